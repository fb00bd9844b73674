"""Packed transitions: the rows asked for, normalised as the official code does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from datumrl.algorithms.batches import Transitions
from datumrl.datasets.episodes import episode_starts
from datumrl.datasets.errors import DatumrlError

CPU = torch.device("cpu")


@pytest.fixture
def walk(toy):
    """Episodes of four steps that end by timeout and terminal in turn."""
    terminals = np.arange(len(toy)) % 8 == 7
    timeouts = np.arange(len(toy)) % 8 == 3
    starts = episode_starts(terminals, timeouts)
    return replace(toy, terminals=terminals, timeouts=timeouts, starts=starts)


@pytest.mark.parametrize("view", ["correct", "d4rl-legacy"])
def test_a_batch_is_the_rows_of_the_view(walk, view):
    source = Transitions(walk, view, CPU, None)
    steps = walk.transitions(view)
    assert len(source) == len(steps) < len(walk)
    rows = np.random.default_rng(0).integers(0, len(steps), (3, 5))
    batch = source.gather(torch.from_numpy(rows))
    for column, expected in zip(
        batch,
        (
            steps.observations,
            steps.actions,
            steps.rewards,
            steps.next_observations,
            steps.terminals,
        ),
        strict=True,
    ):
        np.testing.assert_array_equal(column, expected[rows].astype(np.float32))


def test_next_states_are_normalised_by_the_statistics_of_states(walk):
    source = Transitions(walk, "correct", CPU, 1e-3)
    steps = walk.transitions("correct")
    mean, scale = steps.observations.mean(0), steps.observations.std(0) + 1e-3
    np.testing.assert_allclose(source.statistics.mean, mean, atol=1e-6)
    np.testing.assert_allclose(source.statistics.scale, scale, rtol=1e-5)
    batch = source.gather(torch.arange(6)[None])
    np.testing.assert_allclose(
        batch.next_observations[0], (steps.next_observations[:6] - mean) / scale, atol=1e-5
    )
    raw = torch.from_numpy(steps.observations[:6])
    np.testing.assert_allclose(source.statistics.normalized(raw), batch.observations[0], atol=1e-6)


def test_no_transitions_is_an_error(walk):
    columns = ("observations", "actions", "rewards", "terminals", "timeouts")
    row = {name: getattr(walk, name)[:1] for name in columns}
    one = replace(walk, starts=np.array([0, 1]), **row)
    with pytest.raises(DatumrlError, match="toy has no transitions"):
        Transitions(one, "d4rl-legacy", CPU, None)
