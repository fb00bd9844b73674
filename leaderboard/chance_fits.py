"""How often a rule that has nothing to do with a table fits some of its cells all the same.

Cells are coarse (a mean printed as 64 allows an interval of 1), and many rules are tried.  A rule
moves the mean and the deviation of a cell by about the spread of its runs, so that it hits a
printed number by chance as often as the interval that this allows is shorter than that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from datumrl.leaderboard.rules import Numbers, bounds, rounds_to
from datumrl.leaderboard.table_case import Case

LEVEL = 0.1  # of believing such a rule, of all rules that are tried


def of_cells(case: Case, cells: Sequence[int], fitting: int) -> float:
    """Return the chance that one such rule fits ``fitting`` or more of some cells.

    Only the numbers that the stated rule misses count: others stay as they are under many rules.
    """
    from scipy import special

    if fitting < 1:
        return 1.0
    mean = math.fsum(_hit(case, number) for number in cells) / len(cells)
    return float(special.bdtrc(fitting - 1, len(cells), mean))


def _hit(case: Case, number: int) -> float:
    """Return the chance that one such rule fits one cell."""
    cell = case.cells[number]
    found = case.raw.numbers(cell.place, case.stated) or [(math.nan, math.nan)]
    spread = _spread(case, number, found)
    chance = 1.0
    for place, printed in enumerate((cell.mean, cell.std)):
        if printed is None or any(rounds_to(both[place], printed, case.slack) for both in found):
            continue
        low, high = bounds(printed, case.slack)
        chance *= min(1.0, (high - low) / (2.0 * spread)) if spread else 1.0
    return chance


def _spread(case: Case, number: int, found: Sequence[Numbers]) -> float:
    """Return how far rules move a cell: the spread of its runs, in the printed unit."""
    cell = case.cells[number]
    known = [width for _, width in found if math.isfinite(width) and width > 0.0]
    if known:  # raw values may have another unit: the smaller is nearer to the printed one
        printed = abs(float(cell.std or 0.0))
        return min(*known, printed) if printed else min(known)
    values = np.concatenate([run.values for run in case.raw.raw[cell.algorithm, cell.dataset]])
    values = values[np.isfinite(values)]
    return float(values.std()) if values.size else 0.0
