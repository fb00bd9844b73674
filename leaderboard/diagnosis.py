"""Which rule a table follows: the usual suspects are tried, alone and in pairs.

First over the whole table, then over what is left, since cells of one algorithm may follow a rule
of their own.  Among rules that fit equally many cells the one with fewer departures is named.  With
thousands of rules some fit a coarse cell by chance: one is believed only where so many cells would
seldom fit by chance (`chance_fits`), a pair for two cells or more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from datumrl.leaderboard import chance_fits, suspects
from datumrl.leaderboard.rules import Rule
from datumrl.leaderboard.suspects import Suspect
from datumrl.leaderboard.table_case import Case

Progress = Callable[[int, int], None]
_PROBED = 10  # cells still unexplained, of which rules of many must fit one to be tried further
_SAMPLED = 40  # cells on which pairs are sifted
_SIFTED = 12  # pairs that are then tried on every cell
_OF_CUT = 4  # cells that cut digits must explain: one digit too few happens by chance
_OF_MANY = 3  # cells that one of many rules alike must explain
_PRICE = 0.03  # of all cells: what one more departure must explain
_ROUNDS = 4  # rules named per table
_SHOWN = 12


@dataclass(frozen=True)
class Candidate:
    """A rule, in words, and how many cells it fits of those it was tried on."""

    labels: tuple[str, ...]
    rule: Rule
    fits: int
    of: int
    alone: bool = False  # one of many alike

    @property
    def label(self) -> str:
        """Return the departures in words."""
        return " and ".join(self.labels)


@dataclass(frozen=True)
class Explanation:
    """A rule that fits cells which the stated one does not, and other rules that fit the same."""

    candidate: Candidate
    cells: frozenset[int]  # those explained
    where: str  # in words
    equivalent: tuple[str, ...] = ()


@dataclass(frozen=True)
class Diagnosis:
    """What fits: explanations in the order found, and the best rules tried on the whole table."""

    explanations: tuple[Explanation, ...]
    tried: tuple[Candidate, ...]  # best first, the stated rule among them
    rules: int  # how many were tried

    def of(self, number: int) -> Explanation | None:
        """Return what explains a cell."""
        return next((each for each in self.explanations if number in each.cells), None)


def diagnose(case: Case, progress: Progress | None = None) -> Diagnosis:
    """Explain the cells that the stated rule does not fit.

    ``progress`` is told of rules tried and rules in all.
    """
    everything = sorted(case.testable)
    stated = case.fits(case.stated, everything)
    if stated.all():
        return Diagnosis((), (), 1)
    search = _Search(case, suspects.of_case(case), progress)
    left = [number for number, fitting in zip(everything, stated, strict=True) if not fitting]
    explanations: list[Explanation] = []
    threshold = int(stated.sum())
    first = search.best(everything, left)
    tried = [Candidate(("as stated",), case.stated, int(stated.sum()), len(everything)), *first]
    for turn in range(_ROUNDS):
        ranked = first if turn == 0 else search.best(left, left)
        bases = [case.stated, *(each.candidate.rule for each in explanations)]
        found = _explanation(case, search, ranked, threshold, left, bases)
        if found is not None:
            explanations.append(found)
            left = [number for number in left if number not in found.cells]
        elif turn > 0:
            break
        if not left:
            break
        threshold = 0
    shown = sorted(tried, key=lambda each: (-each.fits, len(each.labels)))[:_SHOWN]
    if all(each.labels != ("as stated",) for each in shown):
        shown.append(tried[0])
    told = tuple(each for each in shown if each.fits or each is tried[0])
    return Diagnosis(tuple(explanations), told, search.count)


class _Search:
    """Tries rules on cells and ranks them."""

    def __init__(self, case: Case, found: list[Suspect], progress: Progress | None) -> None:
        self._case = case
        self._suspects = found
        self._pairs = list(suspects.pairs(found))
        self._progress = progress
        self.count = 1 + len(found) + len(self._pairs)

    def believes(self, candidate: Candidate, left: Sequence[int], bases: Sequence[Rule]) -> bool:
        """Return whether a rule fits more of the cells left than chance would let it.

        ``bases`` are the stated rule and those that explain other cells: what is left may be near
        to any of them for no reason.  Of two departures each has to do better than chance beside
        the other alone, too.  The other ddof is the likeliest error: it is believed where the whole
        table follows by it.
        """
        rule = candidate.rule
        whole = candidate.of == candidate.fits == len(self._case.testable)
        parts = [each for each in self._suspects if each.label in candidate.labels]
        for part in parts:
            if whole and self._is_ddof(part):
                continue
            other = self._case.stated
            for each in parts:
                other = each.applied(other) if each is not part else other
            if self._chance(other, rule, left, whole) > self._level(part):
                return False
        if len(parts) > 1:
            level = chance_fits.LEVEL / 2.0 / len(self._pairs)
            single = [each.applied(self._case.stated) for each in parts]
            others = [base for base in bases if base not in single]
        else:
            level = self._level(parts[0])
            others = [base for base in bases if base != self._case.stated]
        return all(self._chance(base, rule, left, whole) <= level for base in others)

    def _chance(self, base: Rule, rule: Rule, left: Sequence[int], whole: bool) -> float:
        chance = chance_fits.of_cells(self._case, base, rule, left)
        if whole and rule.cut and not base.cut:
            chance *= chance_fits.of_cut_digits(self._case, base)
        return chance

    def _is_ddof(self, suspect: Suspect) -> bool:
        stated = self._case.stated
        return suspect.applied(stated) == replace(stated, ddof=1 - stated.ddof)

    def _level(self, suspect: Suspect) -> float:
        """Return the chance at which a departure is believed.

        The other ddof has half of it all, the other half is shared by axes alike.
        """
        if self._is_ddof(suspect):
            return chance_fits.LEVEL / 2.0
        alike = [each for each in self._suspects if each.axis == suspect.axis]
        if not suspect.alone:
            alike = [each for each in alike if not each.alone]
        axes = {each.axis for each in self._suspects}
        return chance_fits.LEVEL / 2.0 / len(axes) / len(alike)

    def best(self, cells: Sequence[int], left: Sequence[int]) -> list[Candidate]:
        """Return the rules that fit most of some cells, after the price of their departures.

        ``left`` are those that nothing explains yet.
        """
        found = [self._tried((suspect,), cells) for suspect in self._suspects if not suspect.alone]
        found += self._of_many(cells, left)
        self._tell(len(self._suspects))
        if not any(each.fits == len(cells) for each in found):
            alone = {each.labels[0]: each.fits for each in found}
            found += [
                pair
                for pair in self._best_pairs(cells, left)
                if all(alone[label] != pair.fits for label in pair.labels)  # else one does it
            ]
        price = _PRICE * len(cells)

        def worth(each: Candidate) -> tuple[bool, float]:
            whole = each.fits == len(cells)
            return (whole, (0 if whole else each.fits) - price * len(each.labels))

        ranked = sorted(found, key=worth, reverse=True)
        return [each for each in ranked if each.fits][:_SHOWN]

    def _of_many(self, cells: Sequence[int], left: Sequence[int]) -> list[Candidate]:
        """Return those of many rules alike that fit a cell which nothing explains yet."""
        if len(left) < min(_OF_MANY, len(self._case.testable)):
            return []
        probe = _spread_over(left, _PROBED)
        many = [(suspect,) for suspect in self._suspects if suspect.alone]
        fitting = [alone for alone in many if self._tried(alone, probe).fits]
        return [self._tried(alone, cells) for alone in fitting]

    def _best_pairs(self, cells: Sequence[int], left: Sequence[int]) -> list[Candidate]:
        sample, probe = _spread_over(cells, _SAMPLED), _spread_over(left, _PROBED)
        sifted = []
        for number, pair in enumerate(self._pairs):
            if self._tried(pair, probe).fits:
                sifted.append((self._tried(pair, sample).fits, -number))
            if number % 50 == 0:
                self._tell(len(self._suspects) + number)
        self._tell(self.count)
        top = sorted(sifted, reverse=True)[:_SIFTED]
        return [self._tried(self._pairs[-number], cells) for fits, number in top if fits]

    def _tried(self, together: Sequence[Suspect], cells: Sequence[int]) -> Candidate:
        rule = self._case.stated
        for suspect in together:
            rule = suspect.applied(rule)
        fits = int(self._case.fits(rule, cells).sum())
        alone = any(each.alone for each in together)
        return Candidate(tuple(each.label for each in together), rule, fits, len(cells), alone)

    def _tell(self, done: int) -> None:
        if self._progress is not None:
            self._progress(min(done, self.count), self.count)


def _spread_over(cells: Sequence[int], count: int) -> list[int]:
    """Return up to so many of the cells, evenly over the table."""
    places = np.linspace(0, len(cells) - 1, min(count, len(cells))).round().astype(int)
    return [cells[place] for place in dict.fromkeys(places.tolist())]


def _explanation(
    case: Case,
    search: _Search,
    ranked: Sequence[Candidate],
    threshold: int,
    left: Sequence[int],
    bases: Sequence[Rule],
) -> Explanation | None:
    """Return the first rule that is better than what is known, with the cells it explains."""
    for candidate in ranked:
        if candidate.fits <= threshold:
            continue
        fitting = case.fits(candidate.rule, left)
        cells = [number for number, fits in zip(left, fitting, strict=True) if fits]
        if len(cells) < min(_least(candidate), len(case.testable)):
            continue
        if not search.believes(candidate, left, bases):
            continue
        equivalent = tuple(
            other.label
            for other in ranked
            if other is not candidate
            and len(other.labels) == len(candidate.labels)
            and other.fits == candidate.fits
            and (case.fits(other.rule, left) == fitting).all()
        )
        return Explanation(candidate, frozenset(cells), _where(case, cells), equivalent)
    return None


def _least(candidate: Candidate) -> int:
    """Return how many cells a rule must explain to be believed: some fit a few by chance."""
    if candidate.rule.cut:
        return _OF_CUT
    return _OF_MANY if candidate.alone else min(len(candidate.labels), 2)


def _where(case: Case, cells: Sequence[int]) -> str:
    """Return in words what cells have in common."""
    chosen = [case.cells[number] for number in cells]
    parts: list[str] = []
    for kind in ("algorithm", "column", "dataset"):
        possible = {getattr(cell, kind) for cell in case.cells}
        found = {getattr(cell, kind) for cell in chosen}
        if len(possible) > 1 and len(found) == 1:
            parts += filter(None, found)
    count = f"{len(cells)} cell" + ("s" if len(cells) > 1 else "")
    return f"{count} ({', '.join(parts)})" if parts else count
