"""Batches of consecutive steps, for policies that act on what happened before."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from datumrl.algorithms.batches import Statistics, StatisticsOf, moments
from datumrl.datasets.episodes import Episodes
from datumrl.datasets.errors import DatumrlError


class Windows(NamedTuple):
    """Consecutive steps of one seed; in a stack every field has a leading axis of seeds."""

    observations: torch.Tensor  # (batch, length, observation_dim), normalised
    actions: torch.Tensor  # (batch, length, action_dim)
    returns_to_go: torch.Tensor  # (batch, length), this step's reward included, scaled
    timesteps: torch.Tensor  # (batch, length) int64, steps since the episode began
    mask: torch.Tensor  # (batch, length) 1 for a step; 0 after the episode's end, and all else 0


class LastStates(NamedTuple):
    """What a policy saw last and did then; in a stack every field has a leading axis of seeds."""

    observations: torch.Tensor  # (batch, length * observation_dim), normalised, the oldest first
    actions: torch.Tensor  # (batch, action_dim), taken after the last of them


class Subsequences:
    """The windows of a dataset's complete episodes, one from every row on.

    Drawing rows uniformly draws episodes in proportion to their length and starts uniformly within
    them.  An unfinished tail is left out: its returns-to-go lack what was not recorded.
    """

    def __init__(
        self,
        episodes: Episodes,
        length: int,
        return_scale: float,
        device: torch.device,
        normalize_epsilon: float | None,
        dtype: torch.dtype = torch.float32,
        keep: np.ndarray | None = None,
        statistics_of: StatisticsOf = "kept",
    ) -> None:
        """Windows have ``length`` steps; returns-to-go are divided by ``return_scale``.

        Observations are normalised by mean and standard deviation + epsilon, or not at all (None).
        ``keep``, (rows of the episodes,) bool, names whole episodes to learn from (all complete
        ones by default); ``statistics_of`` says whether mean and deviation are theirs.
        """
        complete = episodes.complete()
        if not complete.any():
            raise DatumrlError(f"{episodes.id} has no complete episode to learn from; collect more")
        known = complete if keep is None else complete & keep[episodes.starts[:-1]]
        drawn, every = (np.repeat(each, episodes.lengths()) for each in (known, complete))
        returns = episodes.sequences(length).returns_to_go[drawn]
        observations = episodes.observations[drawn]
        measured = observations if statistics_of == "kept" else episodes.observations[every]
        mean, scale = moments(measured, normalize_epsilon)
        columns = [
            (observations - mean) / scale,
            episodes.actions[drawn],
            returns[:, None] / np.float32(return_scale),
        ]
        self._widths = [column.shape[1] for column in columns]
        # One row more, of zeros, for the places after an episode's end.
        packed = np.zeros((len(returns) + 1, sum(self._widths)), np.float32)
        np.concatenate(columns, axis=1, out=packed[:-1], casting="same_kind")
        self._packed = torch.from_numpy(packed).to(device, dtype)
        lengths = episodes.lengths()[known]
        timesteps = np.concatenate([np.arange(each) for each in lengths] + [np.zeros(1, int)])
        self._timesteps = torch.from_numpy(timesteps).to(device)
        ends = np.repeat(np.cumsum(lengths), lengths)
        self._ends = torch.from_numpy(ends).to(device)  # of each row's episode, exclusive
        self._places = torch.arange(length, device=device)
        self.statistics = Statistics(
            torch.from_numpy(mean).to(device, dtype), torch.from_numpy(scale).to(device, dtype)
        )

    def __len__(self) -> int:
        """Return the number of windows, which is that of the rows of the episodes."""
        return len(self._ends)

    def gather(self, rows: torch.Tensor) -> Windows:
        """Return the windows that begin at ``rows`` (seeds, batch)."""
        steps = rows[..., None] + self._places
        real = steps < self._ends[rows][..., None]
        steps = steps.where(real, len(self))
        packed = self._packed.index_select(0, steps.flatten()).view(*steps.shape, -1)
        observations, actions, returns = packed.split(self._widths, dim=-1)
        mask = real.to(packed.dtype)
        return Windows(observations, actions, returns[..., 0], self._timesteps[steps], mask)


class StackedStates:
    """The windows of `Subsequences`, each as one long observation and its last action."""

    def __init__(self, windows: Subsequences) -> None:
        self._windows, self.statistics = windows, windows.statistics

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self._windows)

    def gather(self, rows: torch.Tensor) -> LastStates:
        """Return the states of the windows that begin at ``rows`` (seeds, batch).

        Where an episode ends within a window, zeros come before its states, not after them.
        """
        windows = self._windows.gather(rows)
        states, length = windows.observations, windows.mask.shape[-1]
        real = windows.mask.sum(dim=-1, keepdim=True).long()
        turned = (torch.arange(length, device=rows.device) + real) % length
        states = states.gather(-2, turned[..., None].expand_as(states))
        last = (real - 1)[..., None].expand(*real.shape, windows.actions.shape[-1])
        return LastStates(states.flatten(-2), windows.actions.gather(-2, last).squeeze(-2))
