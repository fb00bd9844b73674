"""Each method learns a small task of many steps, by a margin over its data, on every seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from datumrl.algorithms import registry
from datumrl.algorithms.policies import Policies
from datumrl.algorithms.stack import Stack, Task
from datumrl.algorithms.streams import Streams
from datumrl.datasets.episodes import Episodes, episode_starts

LENGTH, EPISODES, STRIDE = 20, 200, 0.2
SEEDS = (0, 1, 2)
CPU = torch.device("cpu")
SMALL = {"hidden_dims": (64, 64), "batch_size": 128}
# method -> settings, the least share of the way from the data's mean return to the best policy's
LEARNERS = {
    "bc": ({**SMALL, "steps": 600, "actor_lr": 1e-3}, 0.4),
    "percent_bc": ({**SMALL, "steps": 600, "actor_lr": 1e-3}, 0.8),
    "td3_bc": ({**SMALL, "steps": 600, "actor_lr": 1e-3, "critic_lr": 1e-3, "tau": 0.02}, 0.9),
    "iql": (
        {
            **SMALL,
            "steps": 500,
            "actor_lr": 1e-3,
            "value_lr": 1e-3,
            "critic_lr": 1e-3,
            "tau": 0.02,
            "reward_transform": "none",
            "beta": 10.0,
        },
        0.8,
    ),
    "cql": (
        {
            **SMALL,
            "critic_hidden_dims": (64, 64),
            "batch_size": 64,
            "steps": 400,
            "policy_lr": 1e-3,
            "critic_lr": 1e-3,
            "tau": 0.02,
            "bc_steps": 100,
            "n_actions": 4,
            "min_q_weight": 1.0,
            "discount": 0.95,
        },
        0.6,
    ),
}


def rolled_out(policy, rng, episodes):
    """Return states (episodes, LENGTH + 1, 2), actions and rewards: a point, best at the origin.

    The origin attracts nothing by itself: who does nothing stays, at minus the squared distance.
    """
    states, actions, rewards = [rng.uniform(-1, 1, (episodes, 2)).astype(np.float32)], [], []
    for _ in range(LENGTH):
        actions.append(np.clip(policy(states[-1]), -1, 1).astype(np.float32))
        states.append((states[-1] + STRIDE * actions[-1]).clip(-1, 1))
        rewards.append(-(states[-1] ** 2).sum(axis=1))
    return [np.stack(each, axis=1) for each in (states, actions, rewards)]


def best(states):
    return -states / STRIDE


def good(states, rng):
    return -2 * states + rng.normal(0, 0.4, states.shape)


def poor(states, rng):
    return rng.normal(0, 0.4, states.shape)


def collected(*behaviours):
    """Return episodes of behaviours in equal shares, mixed."""
    rng = np.random.default_rng(0)
    count = EPISODES // len(behaviours)
    parts = [rolled_out(lambda s, b=b: b(s, rng), rng, count) for b in behaviours]
    order = rng.permutation(EPISODES)
    states, actions, rewards = (np.concatenate(pair)[order] for pair in zip(*parts, strict=True))
    timeouts = np.arange(EPISODES * LENGTH) % LENGTH == LENGTH - 1
    nothing = np.zeros(EPISODES * LENGTH, bool)
    return Episodes(
        id="collected",
        observations=states[:, :-1].reshape(-1, 2),
        actions=actions.reshape(-1, 2),
        rewards=rewards.reshape(-1).astype(np.float32),
        terminals=nothing,
        timeouts=timeouts,
        starts=episode_starts(nothing, timeouts),
        successor_rows=np.flatnonzero(timeouts),
        successors=states[:, -1],
        time_limit=LENGTH,
        timeouts_recorded=True,
    )


def returns(policy):
    """Return the mean return over 100 episodes from the same beginnings for every policy."""
    return rolled_out(policy, np.random.default_rng(7), 100)[2].sum(axis=1).mean()


@pytest.mark.slow
@pytest.mark.parametrize("name", LEARNERS)
def test_it_acts_better_than_its_data_by_a_margin(name):
    settings, share = LEARNERS[name]
    # Cloning only takes the noise out of what it is shown; the others also tell good from poor.
    episodes = collected(good) if name == "bc" else collected(good, poor)
    method, task = registry.find(name), Task(2, 2, torch.ones(2))
    config = registry.resolve(name, settings)
    source = method.data(config, episodes, "correct", CPU)
    stack = Stack.create(method, config, task, SEEDS)
    noise = method.noise(config, task)
    streams = Streams(SEEDS, len(source), config.batch_size, noise, CPU)
    for step in range(1, config.steps + 1):
        rows, drawn = streams.at(step)
        method.update(stack, source.gather(rows), drawn, step)
    behaviour, optimum = float(episodes.returns().mean()), returns(best)
    assert behaviour < 1.5 * optimum < 0
    for place in range(len(SEEDS)):
        acting = Policies(method, config, task, stack.networks, source.statistics, [place])
        learned = returns(lambda states, acting=acting: acting(states).numpy())
        assert (learned - behaviour) / (optimum - behaviour) > share
