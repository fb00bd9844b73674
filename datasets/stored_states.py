"""Trajectories that store their last state as a row of its own, turned into rows of steps.

::

    stored row        0    1    2    3  |  4    5         x: the last state of a trajectory
    last              -    -    -    x  |  -    x
    observations      s0   s1   s2      |  q0             rows of the dataset
    successor                       s3  |       q1        of the row before
    "outgoing"        a0   a1   a2      |  b0             the action of row t was taken there
    "incoming"             a1   a2   a3 |       b1        the action of row t led into it

Either way a trajectory of n + 1 stored rows is an episode of n steps whose last successor is known;
one of a single stored row has no step and is left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np

from datumrl.datasets.prepared import Writer

Blocks = Iterable[tuple[int, np.ndarray]]  # (first stored row, values)


class StoredStates:
    """Which stored rows become what; ``last`` flags the last state of each trajectory."""

    def __init__(self, last: np.ndarray) -> None:
        self.last = last
        first = np.concatenate([[True], last[:-1]])
        self._final = last & ~first
        self._rows_of = {"outgoing": ~last, "incoming": ~first}
        ends = np.flatnonzero(last)
        steps = np.diff(np.concatenate([[-1], ends])) - 1
        self.singles = int((steps == 0).sum())
        self.tail = int(len(last) - 1 - (ends[-1] if len(ends) else -1))
        steps = np.append(steps[steps > 0], [self.tail] if self.tail else [])
        self.starts = np.concatenate([[0], np.cumsum(steps)]).astype(np.int64)
        self.rows = int(self.starts[-1])
        ended = self.starts[1 : len(self.starts) - bool(self.tail)]
        self.successor_rows = (ended - 1).astype(np.int64)

    def notes(self) -> list[str]:
        """Return what a user should know of the trajectories."""
        notes = []
        if self.singles:
            notes.append(f"{self.singles} trajectories of a single state hold no step")
        if self.tail:
            notes.append(f"the last {self.tail} rows are a trajectory without a last state")
        return notes

    def write_observations(
        self,
        writer: Writer,
        blocks: Blocks,
        shape: tuple[int, ...],
        dtype: np.dtype,
        part: str = "",
    ) -> None:
        """Write the observations (or those of one name) and the last states as successors."""
        suffix = f"/{part}" if part else ""
        finals = (len(self.successor_rows), *shape)
        with (
            writer.column(f"observations{suffix}", (self.rows, *shape), dtype) as observations,
            writer.column(f"successors{suffix}", finals, dtype) as successors,
        ):
            for begin, values in blocks:
                within = slice(begin, begin + len(values))
                observations.append(values[~self.last[within]])
                successors.append(values[self._final[within]])

    def write_steps(
        self,
        writer: Writer,
        name: str,
        blocks: Blocks,
        shape: tuple[int, ...],
        dtype: np.dtype | type,
        when: Literal["outgoing", "incoming"],
        *,
        extra: bool = False,
    ) -> None:
        """Write a column of what belongs to steps, such as actions; ``shape`` is that of a row."""
        keep = self._rows_of[when]
        with writer.column(name, (self.rows, *shape), dtype, extra=extra) as column:
            for begin, values in blocks:
                kept = values[keep[begin : begin + len(values)]]
                column.append(kept.reshape(len(kept), *shape))

    def write_boundaries(
        self, writer: Writer, terminals: np.ndarray | None = None, *, unfinished: bool = False
    ) -> None:
        """Write flags and starts: an episode ends by timeout unless its last row is terminal.

        ``unfinished`` says that the last episode just stops where the file does.
        """
        if terminals is None:
            terminals = np.zeros(self.rows, bool)
        timeouts = np.zeros(self.rows, bool)
        timeouts[self.successor_rows] = ~terminals[self.successor_rows]
        if unfinished:
            timeouts[-1] = False
        writer.array("terminals", terminals)
        writer.array("timeouts", timeouts)
        writer.array("starts", self.starts)
        writer.array("successor_rows", self.successor_rows)

    def of_steps(self, values: np.ndarray, when: Literal["outgoing", "incoming"]) -> np.ndarray:
        """Return what belongs to steps of a whole stored column."""
        return values[self._rows_of[when]]
