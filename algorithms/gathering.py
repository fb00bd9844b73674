"""Batches drawn from columns that stay on disk, nearly as fast as from packed rows in memory.

A batch is a few hundred rows from anywhere, and copying them takes less time than the calls of
numpy that it needs, some twenty.  Here one compiled pass gathers all columns of a batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from datumrl.datasets.views import Index

_TYPES = {np.dtype(np.float32), np.dtype(np.float64)}
_SPECIAL = 1 / 8  # of the rows at most: what is kept of them must be small beside the columns


@dataclass(frozen=True, eq=False)
class _Search:
    """Increasing numbers, and where to begin to look for one."""

    values: np.ndarray  # (k,) int64
    hints: np.ndarray  # int64: how many values are less than each multiple of 2**shift
    shift: int

    @classmethod
    def among(cls, values: np.ndarray, end: int) -> _Search:
        """For numbers from 0 to ``end``; a search passes over about one value."""
        shift = max(0, end // max(1, len(values))).bit_length()
        steps = np.arange((end >> shift) + 1, dtype=np.int64) << shift
        return cls(values, np.searchsorted(values, steps).astype(np.int64), shift)


class Gathering:
    """An index's columns, its dropped rows, and the rows whose successor is not the next row."""

    def __init__(self, index: Index) -> None:
        episodes = index.episodes
        before = index.skipped - np.arange(len(index.skipped))
        jumps, firsts = np.unique(before, return_index=True)
        self._count = len(index)
        self._jumps = _Search.among(jumps, len(index) + 1)
        self._skipped = np.append(firsts, len(before)).astype(np.int64)
        rows, self._elsewhere = _special(index)
        self._special = _Search.among(rows, len(episodes))
        self._columns = [
            np.asarray(getattr(episodes, name))
            for name in ("observations", "actions", "rewards", "terminals", "successors")
        ]

    @classmethod
    def of(cls, index: Index) -> Gathering | None:
        """Return None where this would not do: columns of other types, ends nearly everywhere."""
        episodes = index.episodes
        columns = (episodes.observations, episodes.actions, episodes.rewards, episodes.successors)
        special = len(episodes.starts) + len(episodes.successor_rows)
        if {column.dtype for column in columns} <= _TYPES and special <= _SPECIAL * len(episodes):
            return cls(index)
        return None

    def at(self, numbers: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """Return packed rows, (n, width) float32, with rewards as they are in the column.

        ``numbers`` int64; IndexError for one out of range.
        """
        from datumrl.algorithms.gathering_kernels import gather

        observations, actions = self._columns[:2]
        width = 2 * observations.shape[1] + actions.shape[1] + 2
        packed = np.empty((len(numbers), width), np.float32)
        jumps, special = self._jumps, self._special
        if not gather(
            numbers,
            self._count,
            jumps.values,
            jumps.hints,
            jumps.shift,
            self._skipped,
            special.values,
            special.hints,
            special.shift,
            self._elsewhere,
            *self._columns,
            mean,
            scale,
            packed,
        ):
            raise IndexError(
                f"transitions {numbers.min()} .. {numbers.max()} are not within 0 .. "
                f"{self._count - 1}"
            )
        return packed


def _special(index: Index) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows whose successor is not the next row, and where it is (see the kernel)."""
    episodes = index.episodes
    last = len(episodes) - 1
    if index.view == "d4rl-legacy":
        return np.array([last]), np.array([last])
    ends, listed = episodes.starts[1:] - 1, np.asarray(episodes.successor_rows)
    rows = np.union1d(ends, listed)
    elsewhere = rows.copy()  # an end without a stored successor stands for itself
    elsewhere[np.searchsorted(rows, listed)] = -1 - np.arange(len(listed))
    return rows, elsewhere
