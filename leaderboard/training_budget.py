"""Which cells of a table to train where hours are short: those that tell most for their time.

A cell's worth is how likely its verdict is before anything is trained (`chance_to_tell`): near 1
for a narrow spread over many seeds, near 0 where the published seeds leave a wide error, 0 where no
spread was published.  Of a cell with several columns the best counts.  The next cell taken is the
one with the most worth per hour that still fits, where each further cell of a method counts half,
a third, ... of its worth: ten cells of the cheapest method tell less of a table than one of each.
Ties go to the shorter training, then by name, so that the same input gives the same choice.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from datumrl.datasets.errors import DatumrlError
from datumrl.leaderboard.training_cells import Cell
from datumrl.leaderboard.training_verdict import chance_to_tell

RULE = (
    "chance of a verdict per hour, the most first; a method's second cell counts half, its third "
    "a third"
)


@dataclass(frozen=True)
class Choice:
    """What fits a budget, in the order in which to train, and what is left out with the reason."""

    cells: tuple[Cell, ...]
    left_out: tuple[tuple[Cell, str], ...]


def worth(cell: Cell, seeds: int, points: float) -> float:
    """Return how likely a cell's verdict is, 0 to 1, before it is trained with some seeds."""
    return max(
        chance_to_tell(cell.sample(printed), seeds, cell.margin(points, printed))
        for printed in cell.printed
    )


def choose(
    cells: Sequence[Cell],
    hours: Sequence[float],
    budget: float | None,
    seeds: int,
    points: float,
) -> Choice:
    """Return which cells to train within ``budget`` hours; None takes all, in the same order.

    ``hours`` are what each takes; those that are trained already (0) are always in.
    """
    if budget is not None and not 0.0 <= budget < math.inf:
        raise DatumrlError(f"--budget {budget:g}: give a number of hours, 0 or more")
    worths = [worth(cell, seeds, points) for cell in cells]
    chosen = [place for place in range(len(cells)) if hours[place] == 0.0]
    waiting = [place for place in range(len(cells)) if hours[place] > 0.0]
    left = math.inf if budget is None else budget
    taken = Counter(cells[place].method for place in chosen)

    def rank(place: int) -> tuple[float, float, str]:
        cell = cells[place]
        rate = worths[place] / hours[place] / (1 + taken[cell.method])
        return (-rate, hours[place], cell.name)

    while True:
        fitting = [
            place
            for place in waiting
            if hours[place] <= left and (worths[place] > 0.0 or budget is None)
        ]
        if not fitting:
            break
        best = min(fitting, key=rank)
        chosen.append(best)
        waiting.remove(best)
        left -= hours[best]
        taken[cells[best].method] += 1
    reasons = tuple((cells[at], _reason(hours[at], worths[at], left)) for at in waiting)
    return Choice(tuple(cells[at] for at in chosen), reasons)


def _reason(hours: float, worth_of: float, left: float) -> str:
    if worth_of == 0.0:
        return "without a published spread no verdict is possible"
    return f"takes {hours:.3g} h, {left:.3g} h are left"
