"""Transitions as rows of numbers, packed from a dataset's columns a piece at a time.

A piece is a block of rows on their way into memory, or one batch drawn from columns that stay on
disk; its numbers are the same either way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property

import numpy as np

from datumrl.algorithms.gathering import Gathering
from datumrl.datasets.episodes import Episodes
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.views import Index

_BYTES_AT_ONCE = 1 << 22

Transform = Callable[[np.ndarray], np.ndarray]


class PackedRows:
    """Rows (observation, action, reward, next observation, terminal), float32, by number."""

    def __init__(
        self, index: Index, mean: np.ndarray, scale: np.ndarray, transform: Transform
    ) -> None:
        """Observations become (o - mean) / scale, rewards ``transform`` of them."""
        self._index, self._mean, self._scale, self._transform = index, mean, scale, transform
        observation_dim, action_dim = len(mean), index.episodes.actions.shape[1]
        self.widths = [observation_dim, action_dim, 1, observation_dim, 1]
        self._reward = observation_dim + action_dim  # its place in a row

    def __len__(self) -> int:
        """Return the number of transitions."""
        return len(self._index)

    @property
    def bytes(self) -> int:
        """Return what all rows take in memory."""
        return len(self) * sum(self.widths) * 4

    def at(self, numbers: np.ndarray) -> np.ndarray:
        """Return the rows with these numbers, (n, width) float32.

        Columns of another type are cast first: what is computed is what a policy, which is given
        float32, will see.
        """
        steps = self._index.gather(numbers)
        columns = [
            (_single(steps.observations) - self._mean) / self._scale,
            steps.actions,
            self._transform(_single(steps.rewards))[:, None],
            (_single(steps.next_observations) - self._mean) / self._scale,
            steps.terminals[:, None],
        ]
        packed = np.empty((len(steps), sum(self.widths)), np.float32)
        np.concatenate(columns, axis=1, out=packed, casting="same_kind")
        return packed

    def batch(self, numbers: np.ndarray) -> np.ndarray:
        """Return what `at` does, of rows from anywhere and in a fraction of its time."""
        if self._gathering is None:
            return self.at(numbers)
        packed = self._gathering.at(numbers, self._mean, self._scale)
        packed[:, self._reward] = self._transform(packed[:, self._reward])
        return packed

    @cached_property
    def _gathering(self) -> Gathering | None:
        return Gathering.of(self._index)

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (first number, rows) of all, in order."""
        step = _rows_at_once(sum(self.widths))
        for begin in range(0, len(self), step):
            yield begin, self.at(np.arange(begin, min(begin + step, len(self))))


def bytes_of(episodes: Episodes) -> int:
    """Return what a dataset's transitions would take in memory, packed."""
    require_vectors(episodes)
    width = 2 * episodes.observations.shape[1] + episodes.actions.shape[1] + 2
    return len(episodes) * width * 4


def require_vectors(episodes: Episodes) -> None:
    """Raise DatumrlError unless a dataset has flat observations and continuous actions."""
    found = None
    if isinstance(episodes.observations, dict):
        found = f"a dict of observations ({', '.join(sorted(episodes.observations))})"
    elif episodes.observations.ndim != 2:
        shape = " x ".join(map(str, episodes.observations.shape[1:])) or "one number"
        found = f"observations of shape {shape}, {episodes.observations.dtype}"
    elif episodes.actions.ndim != 2 or episodes.actions.dtype.kind != "f":
        found = f"discrete actions ({episodes.actions.dtype})"
    if found is not None:
        raise DatumrlError(
            f"{episodes.id} has {found}; the methods here need flat vectors of observations and "
            "continuous actions, so train on another dataset, or draw batches for your own method "
            "with load(...).index().gather(numbers)"
        )


def kept(index: Index, keep: np.ndarray) -> Index:
    """Return the transitions of an index whose row is True in ``keep``, (rows,) bool."""
    wanted = keep.copy()
    wanted[index.skipped] = False
    skipped = np.flatnonzero(~wanted)
    return Index(index.episodes, index.view, skipped, index.dropped)


def streamed_moments(
    index: Index, normalize_epsilon: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and scale of observations, (observation_dim,) float32 each, reading in blocks.

    Scale is the standard deviation + epsilon; 0 and 1 without normalisation (None).
    """
    width = index.episodes.observations.shape[1]
    if normalize_epsilon is None:
        return np.zeros(width, np.float32), np.ones(width, np.float32)
    mean = _summed(_observations(index), width) / len(index)
    squares = (np.square(block - mean) for block in _observations(index))
    scale = np.sqrt(_summed(squares, width) / len(index)) + normalize_epsilon
    return mean.astype(np.float32), scale.astype(np.float32)


def _summed(blocks: Iterator[np.ndarray], width: int) -> np.ndarray:
    """Return the sum over rows, (width,) float64, row after row as numpy sums a whole array."""
    total = np.zeros(width)
    for block in blocks:
        block[0] += total
        total = np.add.reduce(block, axis=0)
    return total


def _observations(index: Index) -> Iterator[np.ndarray]:
    """Yield all observations in float64, (rows, observation_dim)."""
    observations = np.asarray(index.episodes.observations)
    step = _rows_at_once(2 * observations.shape[1])
    for begin in range(0, len(index), step):
        rows = index.rows(np.arange(begin, min(begin + step, len(index))))
        yield _single(observations[rows]).astype(np.float64)


def _rows_at_once(width: int) -> int:
    return max(1, _BYTES_AT_ONCE // (4 * width))


def _single(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32, copy=False)
