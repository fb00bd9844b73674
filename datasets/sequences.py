"""Windows of consecutive steps within an episode, for models such as Decision Transformer."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from datumrl.datasets import columns
from datumrl.datasets.columns import Column
from datumrl.datasets.errors import DatumrlError

if TYPE_CHECKING:
    from datumrl.datasets.episodes import Episodes


@dataclass(frozen=True, eq=False)
class SequenceBatch:
    """Windows of ``length`` steps; where ``mask`` is false is no step and all else is zero."""

    observations: Column  # (batch, length, ...), as in Episodes
    actions: np.ndarray  # (batch, length, action_dim), or (batch, length) if discrete
    rewards: np.ndarray  # (batch, length) floating
    returns_to_go: np.ndarray  # (batch, length) float32: undiscounted, this reward included
    timesteps: np.ndarray  # (batch, length) int64: steps since the episode began
    mask: np.ndarray  # (batch, length) bool


@dataclass(frozen=True, eq=False)
class Sequences:
    """One window per row: it begins there and runs for ``length`` steps or to the episode's end.

    Drawing rows uniformly draws episodes in proportion to their length, as Decision Transformer
    does (arXiv:2106.01345).  Short windows are padded after their last step.  The return-to-go of
    an episode cut by a timeout, or unfinished, counts only what was recorded.
    """

    episodes: Episodes
    length: int

    @classmethod
    def of(cls, episodes: Episodes, length: int) -> Sequences:
        """Return the windows of a dataset; nothing is computed yet."""
        if length < 1:
            raise DatumrlError(f"sequence length {length}: must be at least 1")
        return cls(episodes, length)

    @functools.cached_property
    def returns_to_go(self) -> np.ndarray:
        """The undiscounted return from each row on, it included, (rows,) float32."""
        episodes = self.episodes
        earned = np.cumsum(episodes.rewards, dtype=np.float64)
        # Sums up to each episode's end, less what was earned before the row.
        at_end = np.repeat(earned[episodes.starts[1:] - 1], episodes.lengths())
        return (at_end - earned + episodes.rewards).astype(np.float32)

    def __getstate__(self) -> dict[str, Any]:
        """Pickle what the windows are of; another process computes returns-to-go anew."""
        return {"episodes": self.episodes, "length": self.length}

    def __len__(self) -> int:
        """Return the number of windows, which is the number of rows."""
        return len(self.episodes)

    def gather(self, rows: np.ndarray) -> SequenceBatch:
        """Return the windows that begin at ``rows``, (batch,) integers in 0 .. len - 1."""
        rows = np.asarray(rows, np.int64)
        if rows.size and not 0 <= rows.min() <= rows.max() < len(self):
            raise IndexError(
                f"rows {rows.min()} .. {rows.max()} are not within 0 .. {len(self) - 1}"
            )
        starts = self.episodes.starts
        episode = np.searchsorted(starts, rows, side="right") - 1
        window = rows[:, None] + np.arange(self.length)
        mask = window < starts[episode + 1][:, None]
        window = np.where(mask, window, rows[:, None])

        def padded(column: Column) -> Column:
            values = columns.take(column, window)
            for part in columns.parts(values).values():
                part[~mask] = 0
            return values

        return SequenceBatch(
            observations=padded(self.episodes.observations),
            actions=padded(self.episodes.actions),
            rewards=padded(self.episodes.rewards),
            returns_to_go=padded(self.returns_to_go),
            timesteps=np.where(mask, window - starts[episode][:, None], 0),
            mask=mask,
        )
