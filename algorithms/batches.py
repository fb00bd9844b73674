"""What batches are drawn from: a dataset's transitions, packed into one tensor on the device."""

from __future__ import annotations

import dataclasses
from typing import Literal, NamedTuple, Protocol

import numpy as np
import torch

from datumrl.datasets import views
from datumrl.datasets.episodes import Episodes
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.views import View

# "return-range": r * 1000 / (highest - lowest return); "minus-one": r - 1
RewardTransform = Literal["none", "return-range", "minus-one"]


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
    """A view of a dataset as one (rows, columns) tensor, so that a batch is one index_select."""

    def __init__(
        self,
        episodes: Episodes,
        view: View,
        device: torch.device,
        normalize_epsilon: float | None,
        dtype: torch.dtype = torch.float32,
        keep: np.ndarray | None = None,
        reward_transform: RewardTransform = "none",
    ) -> None:
        """Normalise observations by mean and standard deviation + epsilon, or not at all (None).

        ``keep``, (rows of the episodes,) bool, says which rows may be drawn and give the
        statistics; all by default.  Rewards are transformed by the returns of all episodes.
        """
        steps = episodes.transitions(view)
        if keep is not None:
            steps = _kept(steps, keep[steps.rows])
        if len(steps) == 0:
            raise DatumrlError(
                f"{episodes.id} has no transitions in its {view!r} view; collect more"
            )
        mean, scale = moments(steps.observations, normalize_epsilon)
        columns = [
            (steps.observations - mean) / scale,
            steps.actions,
            transformed(steps.rewards, episodes, reward_transform)[:, None],
            (steps.next_observations - mean) / scale,
            steps.terminals[:, None],
        ]
        self._widths = [column.shape[1] for column in columns]
        packed = np.empty((len(steps), sum(self._widths)), np.float32)
        np.concatenate(columns, axis=1, out=packed, casting="same_kind")
        self._packed = torch.from_numpy(packed).to(device, dtype)
        self.statistics = Statistics(
            torch.from_numpy(mean).to(device, dtype), torch.from_numpy(scale).to(device, dtype)
        )

    def __len__(self) -> int:
        """Return the number of transitions."""
        return len(self._packed)

    def gather(self, rows: torch.Tensor) -> Batch:
        """Return the transitions at ``rows`` (seeds, batch)."""
        packed = self._packed.index_select(0, rows.flatten()).view(*rows.shape, -1)
        observations, actions, rewards, following, terminals = packed.split(self._widths, dim=-1)
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


def transformed(rewards: np.ndarray, episodes: Episodes, transform: RewardTransform) -> np.ndarray:
    """Return rewards to train on; the range of returns is that of the complete episodes."""
    if transform == "minus-one":
        return rewards - 1
    if transform == "none":
        return rewards
    returns = episodes.returns()[episodes.complete()]
    spread = float(np.ptp(returns)) if len(returns) else 0.0
    if spread == 0:
        raise DatumrlError(
            f"reward_transform=return-range: the complete episodes of {episodes.id} have no two "
            "different returns to scale by; use --set reward_transform=none"
        )
    return rewards * np.float32(1000 / spread)


def _kept(steps: views.Transitions, mask: np.ndarray) -> views.Transitions:
    columns = ("observations", "actions", "rewards", "next_observations", "terminals", "rows")
    return dataclasses.replace(steps, **{name: getattr(steps, name)[mask] for name in columns})


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
