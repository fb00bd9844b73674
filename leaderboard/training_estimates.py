"""What training cells would take, told before anything starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from datumrl.evaluation.report_tables import Sheet, plural
from datumrl.leaderboard.training_cells import Cell

_GIGA = 1e9


@dataclass(frozen=True)
class Estimate:
    """What one cell takes: hours (0 if it is trained already) and bytes of memory at a time."""

    cell: Cell
    hours: float
    memory: int | None  # None where the size of the dataset is not known
    worth: float = 0.0  # chance of a verdict, see `training_budget`
    taken: bool = True  # is it to be trained?

    def words(self, available: int) -> tuple[str, ...]:
        """Return the estimate's row; ``available`` is the memory there is, in bytes."""
        memory = "not known" if self.memory is None else f"{self.memory / _GIGA:.1f} GB"
        return (
            self.cell.algorithm,
            self.cell.dataset,
            duration(self.hours) if self.hours else "trained already",
            f"{memory}, too much" if (self.memory or 0) > available else memory,
            f"{self.worth:.0%}",
            "yes" if self.taken else "no",
        )


def sheet(estimates: Sequence[Estimate], basis: str, available: int) -> Sheet:
    """Return the estimates as a table; ``basis`` says how they were made.

    ``available`` is how many bytes of memory there are.
    """
    total = sum(each.hours for each in estimates)
    taken = sum(each.hours for each in estimates if each.taken)
    memory = max((each.memory or 0 for each in estimates if each.taken), default=0)
    caption = (
        f"{plural(len(estimates), 'cell')}: {duration(total)} in all, {duration(taken)} of those "
        f"to be trained; at most {memory / _GIGA:.1f} GB of memory at a time, of "
        f"{available / _GIGA:.1f} GB that are free. {basis} Chance: that the verdict is agrees or "
        "differs, if new seeds spread as the published."
    )
    columns = ("algorithm", "dataset", "time", "memory", "chance", "train")
    rows = tuple(each.words(available) for each in estimates)
    return Sheet("estimates", "Estimates", columns, rows, caption)


def duration(hours: float) -> str:
    """Return hours as ``45 s``, ``12 min`` or ``3.5 h``."""
    seconds = hours * 3_600.0
    if seconds < 90.0:
        return f"{seconds:.0f} s"
    return f"{seconds / 60.0:.0f} min" if seconds < 5_400.0 else f"{hours:.1f} h"


def as_json(
    estimates: Sequence[Estimate],
    left_out: Sequence[tuple[str, str]],
    missing: Sequence[tuple[str, str]],
) -> dict[str, object]:
    """Return what would be done as JSON values: the estimates and all that stands in the way.

    ``left_out`` are cells and reasons, ``missing`` datasets and the commands that bring them.
    """
    cells = [
        {
            "algorithm": each.cell.algorithm,
            "dataset": each.cell.dataset,
            "hours": each.hours,
            "memory_bytes": each.memory,
            "chance": each.worth,
            "train": each.taken,
        }
        for each in estimates
    ]
    return {
        "missing": [{"dataset": name, "command": command} for name, command in missing],
        "hours": sum(each.hours for each in estimates if each.taken),
        "cells": cells,
        "left_out": [{"cell": cell, "reason": reason} for cell, reason in left_out],
    }
