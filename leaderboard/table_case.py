"""A published table ready to be recomputed: its cells, its raw scores, and the rules at hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from datumrl.leaderboard.rules import Place, Raw, Recomputer, Rule, bounds


@dataclass(frozen=True)
class PrintedCell:
    """Mean and standard deviation over runs, as the source printed them.

    ``mean`` and ``std`` keep the printed digits; None where nothing was printed.
    """

    algorithm: str
    dataset: str
    checkpoint: str  # what the column says that it holds: final, best, ...; "" if nothing
    quantity: str  # "return", "score" (normalised, 0-100) or "" (as the raw values are)
    mean: str | None
    std: str | None
    bold: bool = False
    configuration: str = ""

    @property
    def place(self) -> Place:
        """Return what a rule is applied to."""
        return Place(
            self.algorithm,
            self.dataset,
            self.checkpoint,
            self.quantity == "score",
            self.configuration,
        )

    @property
    def column(self) -> str:
        """Return what tells cells of one algorithm and dataset apart; "" if nothing does."""
        return " ".join(filter(None, (self.checkpoint, self.quantity, self.configuration)))

    @property
    def name(self) -> str:
        """Return for example ``IQL on hopper-medium-v2 (final score)``."""
        column = f" ({self.column})" if self.column else ""
        return f"{self.algorithm} on {self.dataset}{column}"

    @property
    def printed(self) -> str:
        """Return the cell as printed, with one spelling of ±; "–" for an empty one."""
        if self.mean is None:
            return "–"
        return self.mean if self.std is None else f"{self.mean} ± {self.std}"


def has_runs(cell: PrintedCell, raw: Raw) -> bool:
    """Return whether there are raw scores of a cell, of its configuration where it names one."""
    runs = raw.get((cell.algorithm, cell.dataset), ())
    return any(not cell.configuration or run.configuration == cell.configuration for run in runs)


@dataclass(frozen=True)
class Case:
    """A table's cells and raw scores.

    ``expected`` is the rule a reader would expect.  ``known`` names rules of the source that depart
    from it, in the order in which they are tried; the last is the source's whole rule.
    """

    cells: tuple[PrintedCell, ...]
    raw: Recomputer
    expected: Rule = field(default_factory=Rule)
    known: tuple[tuple[str, Rule], ...] = ()
    slack: float = 0.0  # half a unit of raw values that were rounded themselves
    notes: tuple[str, ...] = ()
    pooled_datasets: bool = True  # whether aggregates over datasets mean anything
    testable: frozenset[int] = field(init=False)  # cells with something printed and raw scores

    def __post_init__(self) -> None:
        found = frozenset(
            number
            for number, cell in enumerate(self.cells)
            if cell.mean is not None and has_runs(cell, self.raw.raw)
        )
        object.__setattr__(self, "testable", found)

    @property
    def stated(self) -> Rule:
        """Return the source's rule, the expected one where nothing is known of it."""
        return self.known[-1][1] if self.known else self.expected

    def fits(self, rule: Rule, cells: Sequence[int]) -> np.ndarray:
        """Return which of some cells a rule reproduces: ``(cells,)`` bool."""
        return np.array([self.fit(rule, number) for number in cells], dtype=bool)

    def fit(self, rule: Rule, number: int) -> bool:
        """Return whether a rule reproduces a cell: all that was printed of it, after rounding."""
        cell = self.cells[number]
        if cell.mean is None:
            return False
        low, high = bounds(cell.mean, self.slack, rule.cut)
        spread = None if cell.std is None else bounds(cell.std, self.slack, rule.cut)
        return any(
            low <= centre <= high and (spread is None or spread[0] <= width <= spread[1])
            for centre, width in self.raw.numbers(cell.place, rule)
        )
