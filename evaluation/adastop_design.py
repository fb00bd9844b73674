"""What a sequential comparison fixes before its first run, and refusals of what cannot decide."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import stepdown

PROCEDURES = ("closed", *stepdown.PROCEDURES)
STATISTICS = ("studentized", "difference")
_MOST = 1_000_000  # runs, interims, permutations: more is a slip of the pen
_LEAST_ALPHA = 1e-12
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


def set_level(design: Design, members: frozenset[int]) -> float:
    """Return the level at which a set of algorithms is tested for being all alike."""
    if all(a in members or b in members for a, b in design.edges):
        return design.alpha
    return design.alpha * len(members) / len(design.algorithms)


@functools.lru_cache(maxsize=8)
def connected_sets(edges: tuple[tuple[int, int], ...]) -> tuple[frozenset[int], ...]:
    """Return every set of two or more algorithms that the comparisons connect."""
    neighbours: dict[int, set[int]] = {}
    for a, b in edges:
        neighbours.setdefault(a, set()).add(b)
        neighbours.setdefault(b, set()).add(a)
    _refuse_large_sets(neighbours)
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


def _refuse_large_sets(neighbours: Mapping[int, set[int]]) -> None:
    """Refuse what would take too many sets, before listing them: their number doubles each time."""
    left = set(neighbours)
    while left:
        border = {left.pop()}
        reached = set(border)
        while border:
            border = set().union(*(neighbours[name] for name in border)) - reached
            reached |= border
        left -= reached
        if len(reached) > _LARGEST_SET:
            raise DatumrlError(
                f"the comparisons connect {len(reached)} algorithms, more than {_LARGEST_SET}; "
                'compare fewer at a time, or use procedure="independent"'
            )


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
            raise DatumrlError(f"comparison {pair}: give two different names of {', '.join(names)}")
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
        # In logarithms: the number itself may have millions of digits.
        arrangements = math.lgamma(2 * runs + 1) - 2 * math.lgamma(runs + 1)
        return arrangements * design.interims < math.log(needed) - 1e-9

    if too_few(design.runs):
        enough = next(runs for runs in itertools.count(design.runs) if not too_few(runs))
        raise DatumrlError(
            f"{design.runs} runs x {design.interims} interims can never reject at alpha "
            f"{design.alpha}: use at least {enough} runs per interim"
        )
    least = math.ceil(1 / level - 1e-9)
    if design.permutations < least:
        raise DatumrlError(
            f"{design.permutations} permutations can never reject at alpha {design.alpha}: use at "
            f"least {least}, better 10000"
        )
