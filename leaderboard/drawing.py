"""Small SVG drawings: intervals on a shared axis, and one dot per seed.

Everything drawn is also written beside it as text, so the drawings are hidden from screen readers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from datumrl.evaluation import report_tables
from datumrl.leaderboard.tables import Aggregate, Cell, Table

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_TICKS = 5
_STRIP_HEIGHT = 16  # the style sheet says so too, and that a strip is 112 wide
_STRIP_LEFT, _STRIP_RIGHT = 5.0, 99.0  # values lie between; crosses of failed runs to the right
_LANES = (8.0, 4.5, 11.5)  # neighbouring dots take turns, so that equal scores stay visible


@dataclass(frozen=True)
class Axis:
    """A linear axis; ``ticks`` are round numbers inside it."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def fraction(self, value: float) -> float:
        """Return where a value lies: 0 at the left end, 1 at the right."""
        return (value - self.low) / (self.high - self.low)

    def percent(self, value: float) -> str:
        """Return the place of a value as a CSS length."""
        return f"{100 * self.fraction(value):.2f}%"


def axis(values: Iterable[float], anchors: Sequence[float] = (0.0, 100.0)) -> Axis:
    """Return an axis that holds the values and the anchors, and ends at a tick on the right."""
    inside = [*values, *anchors]
    low, high = min(inside), max(inside)
    width = (high - low) or 1.0
    rough = width / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in _STEPS if factor * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(index * step for index in range(first, last + 1))
    return Axis(low - 0.02 * width, last * step + 0.02 * width, ticks)


def digits(of: Table, dataset: str) -> int:
    """Return the decimals of a dataset's cells: one of normalised scores, returns by their size."""
    if of.normalised:
        return 1
    cells = [entry.cells[dataset].values for entry in of.entries if dataset in entry.cells]
    sizes = [float(max(abs(values))) for values in cells if values.size]
    return report_tables.decimals(max(sizes, default=0.0))


def interval(of: Aggregate, on: Axis, css_class: str) -> Markup:
    """Draw one row: grid, the interval as a bar, the IQM as a dot, below them a mark per run."""
    parts = [_vertical(on.percent(tick), "grid", 0, 100) for tick in on.ticks]
    if of.runs > 1:
        parts += [_vertical(on.percent(value), "seed", 74, 92) for value in of.per_run]
    if of.low is not None and of.high is not None:
        low, high = on.percent(of.low), on.percent(of.high)
        parts.append(f'<line class="bar" x1="{low}" x2="{high}" y1="44%" y2="44%"/>')
    parts.append(f'<circle class="dot" cx="{on.percent(of.iqm)}" cy="44%" r="4"/>')
    return Markup(f'<svg class="{css_class}" aria-hidden="true">{"".join(parts)}</svg>')


def strip(cell: Cell, on: Axis) -> Markup:
    """Draw a cell: one dot per finished seed, a line at the mean, a cross if seeds failed."""

    def place(value: float) -> float:
        return _STRIP_LEFT + (_STRIP_RIGHT - _STRIP_LEFT) * on.fraction(value)

    def ruler(value: float) -> str:
        return f"M{place(value):.1f} 0v{_STRIP_HEIGHT}"

    parts = [_path("grid", "".join(ruler(tick) for tick in (on.ticks[0], on.ticks[-1])))]
    if cell.mean is not None:
        parts.append(_path("mean", ruler(cell.mean)))
    # A line of no length with round caps is a dot; all dots of a cell are one short path.
    ordered = sorted(cell.values.tolist())
    dots = "".join(
        f"M{place(value):.1f} {_LANES[index % len(_LANES)]}h0"
        for index, value in enumerate(ordered)
    )
    if dots:
        parts.append(_path("dots", dots))
    if cell.count("failed"):  # one cross; how many there are is written below it
        parts.append(_path("crosses", f"M{_STRIP_RIGHT + 5} 5l6 6m0-6l-6 6"))
    return Markup(f'<svg class="strip" aria-hidden="true">{"".join(parts)}</svg>')


def _path(css_class: str, path: str) -> str:
    return f'<path class="{css_class}" d="{path}"/>'


def _vertical(x: str, css_class: str, top: int, bottom: int) -> str:
    return f'<line class="{css_class}" x1="{x}" x2="{x}" y1="{top}%" y2="{bottom}%"/>'
