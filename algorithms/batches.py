"""What batches are drawn from: a dataset's transitions, packed in memory or gathered from disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, Protocol

import numpy as np
import torch

from datumrl.algorithms import memory, packed_rows
from datumrl.algorithms.packed_rows import PackedRows
from datumrl.datasets.episodes import Episodes
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.views import View

# "return-range": r * 1000 / (highest - lowest return); "minus-one": r - 1
RewardTransform = Literal["none", "return-range", "minus-one"]
StatisticsOf = Literal["kept", "all"]  # of the rows that may be drawn, or of the dataset's


class Statistics(NamedTuple):
    """By what observations are shifted and scaled before any network sees them."""

    mean: torch.Tensor  # (observation_dim,)
    scale: torch.Tensor  # (observation_dim,)

    def normalized(self, observations: torch.Tensor) -> torch.Tensor:
        """Return (observations - mean) / scale."""
        return (observations - self.mean) / self.scale


class Batch(NamedTuple):
    """Transitions of one seed; in a stack every field has a leading axis of seeds."""

    observations: torch.Tensor  # (batch, observation_dim), normalised
    actions: torch.Tensor  # (batch, action_dim)
    rewards: torch.Tensor  # (batch,)
    next_observations: torch.Tensor  # (batch, observation_dim), normalised
    terminals: torch.Tensor  # (batch,) 1 where the process ended, 0 elsewhere


class Source(Protocol):
    """Anything that batches can be drawn from."""

    statistics: Statistics

    def __len__(self) -> int:
        """Return the number of rows to draw from."""

    def gather(self, rows: torch.Tensor) -> NamedTuple:
        """Return the batches at ``rows`` (seeds, batch)."""


class Transitions:
    """A view of a dataset, of which a batch is one gathering of packed rows.

    They are held in one tensor on the device, or gathered from the dataset's memory-mapped columns
    where they would take more memory than `memory.allowed`; batches are the same.
    """

    def __init__(
        self,
        episodes: Episodes,
        view: View,
        device: torch.device,
        normalize_epsilon: float | None,
        dtype: torch.dtype = torch.float32,
        keep: np.ndarray | None = None,
        reward_transform: RewardTransform = "none",
        statistics_of: StatisticsOf = "kept",
    ) -> None:
        """Normalise observations by mean and standard deviation + epsilon, or not at all (None).

        ``keep``, (rows of the episodes,) bool, says which rows may be drawn; all by default.
        ``statistics_of`` says whether mean and deviation are theirs or those of all rows.  Rewards
        are transformed by the returns of all episodes.
        """
        packed_rows.require_vectors(episodes)
        everything = index = episodes.index(view)
        if keep is not None:
            index = packed_rows.kept(index, keep)
        if len(index) == 0:
            raise DatumrlError(
                f"{episodes.id} has no transitions in its {view!r} view; collect more"
            )
        measured = index if statistics_of == "kept" else everything
        mean, scale = packed_rows.streamed_moments(measured, normalize_epsilon)
        self._rows = PackedRows(index, mean, scale, reward_function(episodes, reward_transform))
        self._device, self._dtype = device, dtype
        self._packed: torch.Tensor | None = None  # None: on disk
        if self._rows.bytes <= memory.allowed(device):
            self._packed = torch.empty(
                (len(index), sum(self._rows.widths)), dtype=dtype, device=device
            )
            for begin, block in self._rows.blocks():
                self._packed[begin : begin + len(block)] = torch.from_numpy(block)
        self.statistics = Statistics(
            torch.from_numpy(mean).to(device, dtype), torch.from_numpy(scale).to(device, dtype)
        )

    def __len__(self) -> int:
        """Return the number of transitions."""
        return len(self._rows)

    @property
    def on_disk(self) -> bool:
        """Return whether batches are gathered from the dataset's own columns."""
        return self._packed is None

    def gather(self, rows: torch.Tensor) -> Batch:
        """Return the transitions at ``rows`` (seeds, batch)."""
        if self._packed is None:
            packed = torch.from_numpy(self._rows.batch(rows.flatten().cpu().numpy()))
            packed = packed.to(self._device, self._dtype)
        else:
            packed = self._packed.index_select(0, rows.flatten())
        columns = packed.view(*rows.shape, -1).split(self._rows.widths, dim=-1)
        observations, actions, rewards, following, terminals = columns
        return Batch(observations, actions, rewards[..., 0], following, terminals[..., 0])


def best_rows(
    episodes: Episodes, fraction: float, of: Literal["rows", "episodes"] = "rows"
) -> np.ndarray:
    """Return which rows belong to the best complete episodes, (rows,) bool.

    Episodes are taken by undiscounted return, the best first and the earlier first among equals,
    while they hold at most ``fraction`` of the rows or episodes that are complete; one at least.
    """
    complete = np.flatnonzero(episodes.complete())
    if len(complete) == 0:
        raise DatumrlError(f"{episodes.id} has no complete episode to choose from; collect more")
    order = complete[np.argsort(-episodes.returns()[complete], kind="stable")]
    sizes = episodes.lengths()[order] if of == "rows" else np.ones(len(order), np.int64)
    count = np.searchsorted(np.cumsum(sizes), int(fraction * sizes.sum()), side="right")
    best = np.zeros(len(episodes.lengths()), bool)
    best[order[: max(1, count)]] = True
    return np.repeat(best, episodes.lengths())


def reward_function(
    episodes: Episodes, transform: RewardTransform
) -> Callable[[np.ndarray], np.ndarray]:
    """Return what makes rewards to train on of float32 rewards, element by element.

    The range of returns is that of the complete episodes.
    """
    if transform == "minus-one":
        return lambda rewards: rewards - 1
    if transform == "none":
        return lambda rewards: rewards
    returns = episodes.returns()[episodes.complete()]
    spread = float(np.ptp(returns)) if len(returns) else 0.0
    if spread == 0:
        raise DatumrlError(
            f"reward_transform=return-range: the complete episodes of {episodes.id} have no two "
            "different returns to scale by; use --set reward_transform=none"
        )
    factor = np.float32(1000 / spread)
    return lambda rewards: rewards * factor


def moments(
    observations: np.ndarray, normalize_epsilon: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and scale, (observation_dim,) float32 each; 0 and 1 without normalisation."""
    width = observations.shape[1]
    if normalize_epsilon is None:
        return np.zeros(width, np.float32), np.ones(width, np.float32)
    mean = observations.mean(axis=0, dtype=np.float64)
    scale = observations.std(axis=0, dtype=np.float64) + normalize_epsilon
    return mean.astype(np.float32), scale.astype(np.float32)
