"""What a sequential comparison fixes before its first run, and refusals of what cannot decide."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import permutation_paths, stepdown

PROCEDURES = ("closed", *stepdown.PROCEDURES)
STATISTICS = ("studentized", "difference")
_MOST = 1_000_000  # runs, interims, permutations: more is a slip of the pen
_LEAST_ALPHA = 1e-12
_BY_CHANCE = 1e-3  # of seeds may draw so many extreme paths that nothing can be decided
_LARGEST_SET = 12  # algorithms: 4,083 sets to test; ten make 1,013


@dataclass(frozen=True)
class Design:
    """What is fixed before the first run; a design that cannot decide anything is refused.

    ``comparisons`` is ``"all-pairs"``, ``"against-first"`` or pairs of names.  ``statistic`` is
    that of the closed procedure: differences of means as they are, or over their standard error,
    so that an algorithm of large spread does not hide small differences between others.
    """

    algorithms: tuple[str, ...]
    runs: int = 5  # of each algorithm per interim
    interims: int = 5
    alpha: float = 0.05
    comparisons: str | tuple[tuple[str, str], ...] = "all-pairs"
    permutations: int = 10_000  # with the observed one; all are enumerated where there are no more
    procedure: str = "closed"
    statistic: str = "studentized"
    seed: int = 0

    def __post_init__(self) -> None:
        _check(self)
        _check_that_it_can_decide(self)

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Return the comparisons as pairs of names."""
        if self.comparisons == "all-pairs":
            return tuple(itertools.combinations(self.algorithms, 2))
        if isinstance(self.comparisons, str):
            return tuple((self.algorithms[0], other) for other in self.algorithms[1:])
        return self.comparisons

    @functools.cached_property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """Return the comparisons as pairs of indices into ``algorithms``."""
        place = {name: index for index, name in enumerate(self.algorithms)}
        return tuple((place[a], place[b]) for a, b in self.pairs)

    @functools.cached_property
    def components(self) -> tuple[frozenset[int], ...]:
        """Return the parts of the algorithms that comparisons connect; none lies between two."""
        return tuple(_components(_neighbours(self.edges)))


def set_level(design: Design, members: frozenset[int]) -> float:
    """Return the level at which a connected set of algorithms is tested for being all alike.

    With L algorithms in all, a set of s in a component of c is tested at ``alpha * c / L`` if
    every comparison of the component touches it, else at ``alpha * s / L``.

    These levels hold the family-wise error at alpha.  A true null is decided only if its maximal
    set is rejected: its two algorithms and all that equal ones connect to them.  Maximal sets are
    alike, so each is falsely rejected with at most the chance of its level, and disjoint.  If every
    comparison of a component touches one of them, no other lies there, as its own comparisons would
    have to touch the first: the component's levels are that one's, ``alpha * c / L``.  If not, they
    are ``alpha * s / L`` each and add up to at most ``alpha * c / L``, since disjoint sets hold at
    most c algorithms.  Over the components, the c add up to L and the levels to at most alpha.
    """
    home = next(component for component in design.components if members <= component)
    touched = all(a in members or b in members for a, b in design.edges if a in home and b in home)
    share, total = len(home) if touched else len(members), len(design.algorithms)
    return design.alpha if share == total else design.alpha * share / total


@functools.lru_cache(maxsize=8)
def connected_sets(edges: tuple[tuple[int, int], ...]) -> tuple[frozenset[int], ...]:
    """Return every set of two or more algorithms that the comparisons connect."""
    neighbours = _neighbours(edges)
    for component in _components(neighbours):
        if len(component) > _LARGEST_SET:
            # Refused before its sets are listed: their number doubles with each algorithm.
            raise DatumrlError(
                f"the comparisons connect {len(component)} algorithms, more than {_LARGEST_SET}; "
                'compare fewer at a time, or use procedure="independent"'
            )
    found = {frozenset(edge) for edge in edges}
    border = set(found)
    while border:
        border = {
            members | {other}
            for members in border
            for name in members
            for other in neighbours[name]
        } - found
        found |= border
    return tuple(sorted(found, key=lambda members: (len(members), sorted(members))))


def _neighbours(edges: Iterable[tuple[int, int]]) -> dict[int, set[int]]:
    neighbours: dict[int, set[int]] = {}
    for a, b in edges:
        neighbours.setdefault(a, set()).add(b)
        neighbours.setdefault(b, set()).add(a)
    return neighbours


def _components(neighbours: Mapping[int, set[int]]) -> Iterator[frozenset[int]]:
    left = set(neighbours)
    while left:
        border = {left.pop()}
        reached = set(border)
        while border:
            border = set().union(*(neighbours[name] for name in border)) - reached
            reached |= border
        left -= reached
        yield frozenset(reached)


def _check(design: Design) -> None:
    names = design.algorithms
    if len(names) < 2 or len(set(names)) != len(names):
        raise DatumrlError(f"algorithms {names}: give two or more different names")
    for value, name in (
        (design.runs, "runs"),
        (design.interims, "interims"),
        (design.permutations, "permutations"),
    ):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise DatumrlError(f"{value!r} {name}: give a whole number of at least 1")
        if value > _MOST:
            raise DatumrlError(f"{value:,} {name}: give at most {_MOST:,}")
    if isinstance(design.seed, bool) or not isinstance(design.seed, int) or design.seed < 0:
        raise DatumrlError(f"seed {design.seed!r}: give a whole number, 0 or more")
    if not _LEAST_ALPHA <= design.alpha < 1.0:
        raise DatumrlError(f"alpha {design.alpha} is not between 0 and 1; use for example 0.05")
    for choice, known in ((design.procedure, PROCEDURES), (design.statistic, STATISTICS)):
        if choice not in known:
            raise DatumrlError(f"{choice!r} is none of {', '.join(known)}; choose one of them")
    if isinstance(design.comparisons, str):
        if design.comparisons not in ("all-pairs", "against-first"):
            raise DatumrlError(
                f"comparisons {design.comparisons!r}: use all-pairs, against-first or pairs of "
                "names"
            )
        return
    seen = set()
    for pair in design.comparisons:
        if len(pair) != 2 or pair[0] == pair[1] or not set(pair) <= set(names):
            raise DatumrlError(
                f"comparison {':'.join(map(str, pair))}: give two different names of "
                f"{', '.join(names)}"
            )
        if frozenset(pair) in seen:
            raise DatumrlError(f"comparison {pair}: is given twice; give each once")
        seen.add(frozenset(pair))
    if not seen:
        raise DatumrlError("no comparisons; give at least one")
    if idle := [name for name in names if name not in set().union(*seen)]:
        raise DatumrlError(f"{', '.join(idle)}: in no comparison; compare it, or leave it out")


def _check_that_it_can_decide(design: Design) -> None:
    """Refuse a design under which even scores that do not overlap decide nothing."""
    if design.procedure == "closed":
        connected_sets(design.edges)  # refuses those that are too large
        level = max(set_level(design, frozenset(edge)) for edge in design.edges)
    else:
        level = design.alpha
    # Of all the paths of a pair, the observed one and its mirror image are the most extreme.
    needed = 2 / level

    def too_few(runs: int) -> bool:
        paths = design.interims * permutation_paths.log_arrangements(2, runs)
        return paths < math.log(needed) - 1e-9

    several = design.interims > 1
    given = f"{design.runs} runs{f' x {design.interims} interims' if several else ''}"
    per = " per interim" * several
    if too_few(design.runs):
        enough = next(runs for runs in itertools.count(design.runs) if not too_few(runs))
        raise DatumrlError(
            f"{given} can never reject at alpha {design.alpha}: use at least {enough} runs{per}"
        )
    least = math.ceil(1 / level - 1e-9)
    if design.permutations < least:
        raise DatumrlError(
            f"{design.permutations} permutations can never reject at alpha {design.alpha}: use at "
            f"least {least}, better 10000"
        )
    if _chance_decides(design, level, design.runs):
        more = itertools.count(design.runs + 1)
        enough = next(runs for runs in more if not _chance_decides(design, level, runs))
        raise DatumrlError(
            f"{given}: {design.permutations} random relabellings decide at alpha {design.alpha} by "
            f"their seed; use at least {enough} runs{per}"
        )


def _chance_decides(design: Design, level: float, runs: int) -> bool:
    """Return whether it depends on the draw if scores that do not overlap are told apart.

    They are not where more of the drawn paths than the level allows are as extreme as path 0.
    """
    if design.procedure == "released" or stepdown.lists_all(design, runs):
        return False  # what the package does is kept as it is
    groups = len(design.algorithms) if design.procedure == "joint" else 2
    one = permutation_paths.log_arrangements(groups - 2, runs)
    every = permutation_paths.log_arrangements(groups, runs)
    pairs = len(design.pairs) if design.procedure == "joint" else 1
    share = 2 * pairs * math.exp(design.interims * (one - every))
    others = design.permutations - 1
    if others * share < _BY_CHANCE:
        return False  # no such path is drawn
    from scipy import special

    allowed = math.floor(level * design.permutations + 1e-9)
    return float(special.bdtrc(allowed - 1, others, min(share, 1.0))) > _BY_CHANCE
