"""Windows of episodes, how they are drawn, and what a dataset decides about their method."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
import torch

from datumrl.algorithms import decision_transformer as dt
from datumrl.algorithms.sequence_batches import Subsequences
from datumrl.algorithms.stack import Stack, Task
from datumrl.algorithms.streams import Streams
from datumrl.datasets import catalogue
from datumrl.datasets.episodes import Episodes, episode_starts
from datumrl.datasets.errors import DatumrlError

CPU = torch.device("cpu")
STATE, ACTION = 3, 2
CONFIG = dt.Config(context_length=3, embedding_dim=4, max_timesteps=9)


def episodes_of(lengths, rng, complete=True):
    rows = sum(lengths)
    ends = np.zeros(rows, bool)
    ends[np.cumsum(lengths) - 1] = True
    terminals = ends.copy()
    terminals[-1] = complete
    return Episodes(
        id="made",
        observations=rng.normal(2, 3, (rows, STATE)).astype(np.float32),
        actions=rng.uniform(-1, 1, (rows, ACTION)).astype(np.float32),
        rewards=rng.normal(size=rows).astype(np.float32),
        terminals=terminals,
        timeouts=np.zeros(rows, bool),
        starts=episode_starts(terminals, np.zeros(rows, bool)),
        successor_rows=np.empty(0, np.int64),
        successors=np.empty((0, STATE), np.float32),
        time_limit=200,
        timeouts_recorded=True,
    )


def test_windows_are_slices_of_complete_episodes():
    lengths = [4, 1, 6, 3]
    episodes = episodes_of(lengths, np.random.default_rng(3), complete=False)
    source = Subsequences(episodes, 3, 10.0, CPU, 1e-6)
    assert len(source) == 11  # the last episode is unfinished
    batch = source.gather(torch.arange(11)[None])
    kept = episodes.observations[:11].astype(np.float64)
    normal = (episodes.observations - kept.mean(0)) / (kept.std(0) + 1e-6)
    row = 0
    for length in lengths[:3]:
        first = row
        for start in range(length):
            for j in range(3):
                found = [column[0, row, j].numpy() for column in batch]
                if start + j >= length:
                    assert all((value == 0).all() for value in found)
                    continue
                to_go = episodes.rewards[row + j : first + length].sum(dtype=np.float64) / 10
                expected = [normal[row + j], episodes.actions[row + j], to_go, start + j, 1]
                for value, wanted in zip(found, expected, strict=True):
                    np.testing.assert_allclose(value, wanted, atol=1e-5)
            row += 1


def test_episodes_are_drawn_in_proportion_to_their_length_and_starts_uniformly():
    lengths = [1, 9, 40, 150]
    episodes = episodes_of(lengths, np.random.default_rng(4))
    source = dt.data(replace(CONFIG, max_timesteps=150), episodes, "correct", CPU)
    streams = Streams((0,), len(source), 64, {}, CPU)
    rows = np.concatenate([streams.at(step)[0][0].numpy() for step in range(1, 1001)])
    episode = np.searchsorted(episodes.starts, rows, side="right") - 1
    counts = np.bincount(episode, minlength=4)
    expected = len(rows) * np.array(lengths) / sum(lengths)
    assert scipy.stats.chisquare(counts, expected).pvalue > 1e-3
    starts = np.bincount(rows[episode == 3] - episodes.starts[3], minlength=150)
    assert scipy.stats.chisquare(starts).pvalue > 1e-3


def test_an_episode_longer_than_the_timestep_embeddings_is_refused():
    episodes = episodes_of([3, 12], np.random.default_rng(5))
    with pytest.raises(DatumrlError, match="max_timesteps=12"):
        dt.data(CONFIG, episodes, "correct", CPU)
    unfinished = episodes_of([4], np.random.default_rng(5), complete=False)
    with pytest.raises(DatumrlError, match="no complete episode"):
        dt.data(CONFIG, unfinished, "correct", CPU)
    with pytest.raises(DatumrlError, match="embedding_dim=4"):
        Stack.create(dt, replace(CONFIG, heads=3), Task(STATE, ACTION, torch.ones(ACTION)), (0,))


def test_targets_are_the_given_ones_the_published_ones_or_of_the_dataset():
    hopper = catalogue.find("d4rl/hopper-medium-v2")
    pendulum = catalogue.find("local/inverted-pendulum-mixed-v1")
    episodes = episodes_of([3, 5, 2, 4], np.random.default_rng(6), complete=False)
    returns = episodes.returns()[:3]  # the last one is unfinished
    given = replace(CONFIG, return_targets=(1.0, -2.0, 3.0))
    assert dt.completed(given, hopper).return_targets == (1.0, -2.0, 3.0)
    assert dt.completed(CONFIG, hopper).return_targets == (3600, 1800)
    assert dt.completed(CONFIG, pendulum).return_targets is None
    best, middle = dt.completed(CONFIG, pendulum, episodes).return_targets
    assert best == returns.max()
    assert middle == pytest.approx((returns.max() + returns.min()) / 2)
