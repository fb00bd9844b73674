"""What every registered method must do, whatever its mathematics."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from datumrl.algorithms import checkpoints, many_rows, registry
from datumrl.algorithms.policies import acting
from datumrl.algorithms.stack import Stack, Task
from datumrl.algorithms.streams import Streams

# Small networks and quick steps, so that each method shows within seconds that it learns.
QUICK = {
    "td3_bc": {"hidden_dims": (32, 32), "actor_lr": 1e-3, "critic_lr": 3e-3, "batch_size": 64},
    "bc": {"hidden_dims": (32, 32), "actor_lr": 3e-3, "batch_size": 64},
    "percent_bc": {"hidden_dims": (32, 32), "actor_lr": 3e-3, "batch_size": 64},
    "iql": {"hidden_dims": (32, 32), "actor_lr": 3e-3, "critic_lr": 3e-3, "batch_size": 64},
    "cql": {
        "hidden_dims": (32, 32),
        "critic_hidden_dims": (32, 32),
        "policy_lr": 3e-3,
        "critic_lr": 3e-3,
        "batch_size": 32,
        "n_actions": 3,
        "bc_steps": 8,
        "lagrange": True,
    },
    "dt": {
        "context_length": 3,
        "layers": 1,
        "embedding_dim": 32,
        "max_timesteps": 5,
        "return_scale": 1.0,
        "return_targets": (0.0,),
        "actor_lr": 3e-3,
        "warmup_steps": 20,
        "batch_size": 32,
        "dropout": 0.05,
    },
}
# A method's own sizes, but for the batches of one whose updates take long.
OWN = {"cql": {"batch_size": 16, "bc_steps": 8}, "dt": {"batch_size": 4}}
CPU = torch.device("cpu")


class Trainee:
    """A method in training on the toy problem, without environment or files."""

    def __init__(self, name, toy, seeds, dtype=torch.float32, settings=None):
        self.method = registry.find(name)
        settings = QUICK[name] if settings is None else settings
        self.config = registry.resolve(name, {"steps": 400, **settings})
        self.task = Task(2, 2, torch.ones(2, dtype=dtype))
        self.source = self.method.data(self.config, toy, "correct", CPU)
        if dtype != torch.float32:
            as_double = self.source.statistics._asdict()
            self.source.statistics = type(self.source.statistics)(
                **{name: value.to(dtype) for name, value in as_double.items()}
            )
        self.dtype, self.step = dtype, 0
        self.stack = Stack.create(self.method, self.config, self.task, seeds, dtype)
        noise = self.method.noise(self.config, self.task)
        rows, batch_size = len(self.source), self.config.batch_size
        self.streams = Streams(seeds, rows, batch_size, noise, CPU, dtype)

    def train(self, until):
        for step in range(self.step + 1, until + 1):
            rows, noise = self.streams.at(step)
            batch = self.source.gather(rows)
            if self.dtype != torch.float32:
                batch = type(batch)(*(self.as_double(column) for column in batch))
            self.method.update(self.stack, batch, noise, step)
        self.step = until
        return self

    def as_double(self, column):
        return column.to(self.dtype) if column.is_floating_point() else column

    def rewards(self):
        """Return each policy's mean reward on states of its own kind, (seeds,)."""
        states = np.random.default_rng(5).uniform(-1, 1, (500, 2)).astype(np.float32)
        seeds = len(self.stack.seeds)
        policies = acting(
            self.method,
            self.config,
            self.task,
            self.stack.networks,
            self.source.statistics,
            range(seeds),
        )
        actions = policies(np.tile(states, (seeds, 1))).numpy().reshape(seeds, 500, 2)
        best = np.stack([states[:, 0] - states[:, 1], states[:, 1]], axis=1) / 2
        return -((actions - best) ** 2).sum(axis=2).mean(axis=1)

    def parameters(self, place):
        """Return all of one seed's parameters as one vector."""
        layers = [layer for name in self.stack.networks for layer in self.stack.networks[name]]
        return torch.cat([layer[place].detach().flatten() for layer in layers])


@pytest.fixture(params=sorted(registry.ALGORITHMS))
def name(request):
    return request.param


def test_the_file_offers_what_the_contract_names(name):
    method = registry.find(name)
    for part in registry.Method.__annotations__:
        assert callable(getattr(method, part)), part
    config = method.Config()
    assert dataclasses.is_dataclass(config)
    assert type(config).__dataclass_params__.frozen
    assert config.steps >= 1
    assert config.batch_size >= 1


@pytest.mark.slow
def test_it_learns_on_every_seed_with_a_margin(name, toy):
    trainee = Trainee(name, toy, (0, 1, 2))
    before = trainee.rewards()
    after = trainee.train(400).rewards()
    behaviour = float(toy.rewards.mean())
    assert behaviour < -0.2
    assert (after > before / 2).all()
    assert (after > behaviour / 3).all(), (after, behaviour)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-10)])
def test_a_seed_alone_is_the_same_run_as_in_a_stack(name, toy, dtype, tolerance):
    settings = OWN.get(name, {}) if dtype == torch.float32 else QUICK[name]
    together = Trainee(name, toy, (7, 3, 0, 12, 5), dtype, settings).train(20)
    for place, seed in ((0, 7), (3, 12)):
        alone = Trainee(name, toy, (seed,), dtype, settings).train(20)
        difference = (alone.parameters(0) - together.parameters(place)).abs().max()
        assert difference <= tolerance


def test_updates_of_many_rows_are_the_same_alone_and_in_a_stack(toy):
    settings = {**QUICK["cql"], "batch_size": 68, "n_actions": 10, "bc_steps": 2}
    assert many_rows.FEWEST <= 68 * (3 * 10 + 1)
    together = Trainee("cql", toy, (7, 3), settings=settings).train(8)
    alone = Trainee("cql", toy, (3,), settings=settings).train(8)
    assert (alone.parameters(0) - together.parameters(1)).abs().max() <= 1e-6


def test_seeds_differ(name, toy):
    trainee = Trainee(name, toy, (0, 1))
    assert not torch.allclose(trainee.parameters(0), trainee.parameters(1))
    rows, _ = trainee.streams.at(1)
    assert not torch.equal(rows[0], rows[1])


def test_saved_and_resumed_is_uninterrupted(name, toy, tmp_path):
    straight = Trainee(name, toy, (0, 1)).train(25)
    first = Trainee(name, toy, (0, 1)).train(11)
    content = {key: {} for key in ("identity", "task", "statistics", "evaluations", "failures")}
    checkpoints.save(tmp_path / "c.pt", {**content, "step": 11, "stack": first.stack.state()})
    second = Trainee(name, toy, (0, 1))
    second.stack.restore(checkpoints.load(tmp_path / "c.pt", CPU)["stack"])
    second.step = 11
    second.train(25)
    for place in (0, 1):
        assert torch.equal(straight.parameters(place), second.parameters(place))


def test_a_seed_that_diverges_does_not_reach_the_others(name, toy):
    clean = Trainee(name, toy, (0, 1, 2)).train(20)
    spoiled = Trainee(name, toy, (0, 1, 2)).train(5)
    with torch.no_grad():
        for layers in spoiled.stack.networks.values():
            layers[0][1] = torch.nan
    spoiled.train(20)
    assert spoiled.stack.finite().tolist() == [True, False, True]
    for place in (0, 2):
        assert torch.equal(clean.parameters(place), spoiled.parameters(place))
    assert np.isfinite(spoiled.rewards()[[0, 2]]).all()
