"""How often a rule that has nothing to do with a table fits some of its cells all the same.

Cells are coarse (a mean printed as 64 allows an interval of 1), and many rules are tried.  Rules
that leave a choice open (one run missing, another in every cell) offer several numbers per cell,
all near to that of all runs, which is where slightly wrong numbers lie too.  So a rule has to do
better than this: numbers are off by normal errors about as wide as those seen, and a cell is hit
as often as what the rule offers covers these errors.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from datumrl.leaderboard.rules import Numbers, Rule
from datumrl.leaderboard.table_case import Case

LEVEL = 0.1  # of believing such a rule, of all rules that are tried
# Quantiles of the errors seen, which may be unlike: the width that makes hits likeliest counts.
_WIDTHS = (0.25, 0.5, 0.75)
_FLOAT_SLACK = 1e-9
_Points = set[tuple[int | None, int | None]]  # mean and deviation in units of their last digits


@dataclass(frozen=True)
class _Missed:
    """What of a cell a rule misses, by how much, and the numbers it would need to be hit."""

    units: tuple[float | None, float | None]  # of the last digit; None for a number not missed
    centre: Numbers  # of the rule that misses
    taken: tuple[Sequence[int], Sequence[int]]  # what that rule is printed as
    spread: float  # of the runs, in the printed unit
    errors: Numbers  # in spreads; NaN for a number not missed, or where that is not known
    offered: _Points


def of_cells(case: Case, base: Rule, rule: Rule, cells: Sequence[int]) -> float:
    """Return the chance that such a rule fits as many of some cells as ``rule`` does.

    Only cells that ``base`` misses count, and of these the numbers that it misses: others stay as
    they are under many rules.
    """
    from scipy import special

    numbers = [number for number in cells if not case.fit(base, number)]
    fitting = int(case.fits(rule, numbers).sum())
    if fitting < 1:
        return 1.0
    missed = [_missed(case, base, rule, number) for number in numbers]
    widths = [_widths([cell.errors[kind] for cell in missed]) for kind in (0, 1)]
    mean = max(
        math.fsum(_hit(cell, pair) for cell in missed) / len(missed)
        for pair in itertools.product(*widths)
    )
    return float(special.bdtrc(fitting - 1, len(missed), mean))


def _widths(errors: Sequence[float]) -> list[float]:
    known = [error for error in errors if math.isfinite(error)]
    return np.quantile(known, _WIDTHS).tolist() if known else [math.nan]


def of_cut_digits(case: Case, base: Rule) -> float:
    """Return the chance that digits cut off fit every number that ``base`` fits by rounding."""
    numbers = 0
    for number in case.testable:
        printed = 1 if case.cells[number].std is None else 2
        units = _units(case, base, number, case.raw.numbers(case.cells[number].place, base))
        numbers += printed - sum(unit is not None for unit in units)
    return 0.5**numbers


def _missed(case: Case, base: Rule, rule: Rule, number: int) -> _Missed:
    cell = case.cells[number]
    found = case.raw.numbers(cell.place, base) or [(math.nan, math.nan)]
    printed = (cell.mean, cell.std)
    units = _units(case, base, number, found)
    spread = _spread(case, number, found)
    centre = min(found, key=lambda own: _distance(own, printed))
    errors, taken = [], []
    for text, value, unit in zip(printed, centre, units, strict=True):
        gap = math.nan if unit is None else abs(float(text or "nan") - value)
        errors.append(gap / (spread or 1.0))
        taken.append([] if unit is None else _printed_as(value, unit, case.slack, base.cut))
    offered = _offered(case, rule, number, units)
    return _Missed(
        (units[0], units[1]), centre, (taken[0], taken[1]), spread, (errors[0], errors[1]), offered
    )


def _units(case: Case, rule: Rule, number: int, found: Sequence[Numbers]) -> list[float | None]:
    """Return the unit of mean and deviation; None for one that is not printed or not missed."""
    printed = (case.cells[number].mean, case.cells[number].std)
    return [
        None
        if text is None or any(_is_printed(own[kind], text, case.slack, rule.cut) for own in found)
        else _unit(text)
        for kind, text in enumerate(printed)
    ]


def _offered(case: Case, rule: Rule, number: int, units: Sequence[float | None]) -> _Points:
    """Return what a rule would have a cell printed as, of the numbers that are missed.

    Ways by which the other numbers no longer are as printed are left out.
    """
    cell = case.cells[number]
    points: _Points = set()
    for own in case.raw.numbers(cell.place, rule):
        shown: list[list[int | None]] = []
        for value, text, unit in zip(own, (cell.mean, cell.std), units, strict=True):
            if unit is not None:
                shown.append([*_printed_as(value, unit, case.slack, rule.cut)])
            elif text is None or _is_printed(value, text, case.slack, rule.cut):
                shown.append([None])
            else:
                shown.append([])
        points |= set(itertools.product(shown[0], shown[1]))
    return points


def _hit(cell: _Missed, widths: Sequence[float]) -> float:
    """Return the chance that a cell is hit, errors being as wide as so many of its spreads."""
    shares: list[dict[int, float]] = [{}, {}]
    total = 0.0
    for point in cell.offered:
        chance = 1.0
        for kind, at in enumerate(point):
            if at is None:
                continue
            if at not in shares[kind]:
                shares[kind][at] = _share(cell, kind, at, widths[kind])
            chance *= shares[kind][at]
        total += chance
    return min(1.0, total)


def _share(cell: _Missed, kind: int, at: int, width: float) -> float:
    """Return how often an error has a number printed as ``at`` units, as it is not as it should."""
    unit, taken = cell.units[kind], cell.taken[kind]
    assert unit is not None
    if at in taken:
        return 0.0
    if not math.isfinite(cell.errors[kind]):  # failed runs: there is nothing to be off from
        return min(1.0, unit / (2.0 * cell.spread)) if cell.spread else 1.0
    wide = max(width * (cell.spread or 1.0), unit / 2.0)
    own = _between(cell, kind, min(taken), max(taken), wide)
    return _between(cell, kind, at, at, wide) / max(1.0 - own, 1e-12)


def _between(cell: _Missed, kind: int, first: int, last: int, wide: float) -> float:
    unit = cell.units[kind] or 0.0
    low, high = (
        ((at * unit) - cell.centre[kind]) / (wide * math.sqrt(2.0))
        for at in (first - 0.5, last + 0.5)
    )
    return (math.erf(high) - math.erf(low)) / 2.0


def _unit(printed: str) -> float:
    return float(Decimal((0, (1,), int(Decimal(printed).as_tuple().exponent))))


def _is_printed(value: float, printed: str, slack: float, cut: bool) -> bool:
    unit = _unit(printed)
    return round(float(printed) / unit) in _printed_as(value, unit, slack, cut)


def _printed_as(value: float, unit: float, slack: float, cut: bool) -> list[int]:
    """Return what a value may be printed as, in units of the last digit (`rules.bounds`)."""
    if not math.isfinite(value):
        return []
    at = value / unit
    margin = (slack + _FLOAT_SLACK * max(1.0, abs(value))) / unit
    near = range(math.floor(at - margin) - 1, math.floor(at + margin) + 3)
    if cut:  # towards 0
        return [k for k in near if k - (k <= 0) - margin <= at <= k + (k >= 0) + margin]
    return [k for k in near if k - 0.5 - margin <= at <= k + 0.5 + margin]


def _distance(own: Numbers, printed: Sequence[str | None]) -> float:
    gap = math.fsum(
        abs(value - float(text))
        for value, text in zip(own, printed, strict=True)
        if text is not None
    )
    return gap if math.isfinite(gap) else math.inf


def _spread(case: Case, number: int, found: Sequence[Numbers]) -> float:
    """Return how far apart the runs of a cell are, in the printed unit."""
    cell = case.cells[number]
    known = [width for _, width in found if math.isfinite(width) and width > 0.0]
    if known:  # raw values may have another unit: the smaller is nearer to the printed one
        printed = abs(float(cell.std or 0.0))
        return min(*known, printed) if printed else min(known)
    values = np.concatenate([run.values for run in case.raw.raw[cell.algorithm, cell.dataset]])
    values = values[np.isfinite(values)]
    return float(values.std()) if values.size else 0.0
