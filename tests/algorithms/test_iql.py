"""IQL against a plain statement of the paper's equations, and properties they promise."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from datumrl.algorithms import iql
from datumrl.algorithms.batches import Batch
from datumrl.algorithms.stack import Stack, Task, cosine_decay, init_orthogonal_mlp
from datumrl.algorithms.streams import Streams
from datumrl.datasets.episodes import Episodes, episode_starts
from datumrl.datasets.errors import DatumrlError

STATE, ACTION, BATCH, STEPS = 3, 2, 9, 20
MAX_ACTION = [1.0, 2.5]
GAMMA, RATE, EXPECTILE, BETA, LR = 0.97, 0.01, 0.8, 4.0, 1e-3
CPU = torch.device("cpu")
CONFIG = iql.Config(
    steps=STEPS,
    batch_size=BATCH,
    discount=GAMMA,
    tau=RATE,
    expectile=EXPECTILE,
    beta=BETA,
    actor_lr=LR,
    value_lr=2 * LR,
    critic_lr=3 * LR,
    hidden_dims=(8, 6),
)


class PlainIQL:
    """The method in float64, from the equations, one transition at a time."""

    def __init__(self, plain, stack, place):
        self.plain = plain
        self.config = stack.config
        self.actor = plain.one_net(stack.networks["actor"][:6], place)
        self.log_std = None
        if not self.config.deterministic:
            self.log_std = stack.networks["actor"][-1][place].detach().clone().requires_grad_()
        self.value = plain.one_net(stack.networks["value"], place)
        self.critics = [plain.one_net(stack.networks["critic"], place, i) for i in (0, 1)]
        targets = stack.networks["critic_target"]
        self.targets = [plain.one_net(targets, place, i) for i in (0, 1)]
        self.trained = {
            "value": plain.flat(self.value),
            "actor": plain.flat(self.actor) + ([] if self.log_std is None else [self.log_std]),
            "critic": [p for net in self.critics for p in plain.flat(net)],
        }
        self.adams = {name: plain.Adam(parameters) for name, parameters in self.trained.items()}
        self.weights = []

    def v(self, s):
        return self.plain.forward(self.value, s)[0]

    def target_q(self, s, a):
        pair = torch.cat([s, a])
        return min(float(self.plain.forward(net, pair)[0].detach()) for net in self.targets)

    def value_loss(self, batch):
        total = 0.0
        for s, a, *_ in zip(*batch, strict=True):
            u = self.target_q(s, a) - self.v(s)
            total = total + (EXPECTILE if float(u.detach()) > 0 else 1 - EXPECTILE) * u**2
        return total / BATCH

    def mean(self, s, uniforms):
        """Return the policy's mean of one state; units whose number is small are kept, and grow."""
        dropped = self.config.actor_dropout
        for place, (weight, bias) in enumerate(self.actor):
            s = torch.stack([(row * s).sum() for row in weight]) + bias
            if place < len(self.actor) - 1:
                s = torch.where(s > 0, s, torch.zeros_like(s))
                if dropped:
                    factors = [
                        float(float(u) < 1 - dropped) / (1 - dropped) for u in uniforms[place]
                    ]
                    s = torch.stack([x * f for x, f in zip(s, factors, strict=True)])
        return torch.tanh(s)

    def actor_loss(self, batch, noise):
        total = 0.0
        bounds = (self.config.log_std_min, self.config.log_std_max)
        low, high = torch.tensor(bounds, dtype=torch.float64)
        for row, (s, a, *_) in enumerate(zip(*batch, strict=True)):
            advantage = self.target_q(s, a) - float(self.v(s).detach())
            weight = min(math.exp(BETA * advantage), 100.0)
            self.weights.append(weight)
            mean = self.mean(s, [uniforms[row] for uniforms in noise])
            for i, bound in enumerate(MAX_ACTION):
                if self.config.deterministic:
                    total = total + weight * (a[i] / bound - mean[i]) ** 2
                    continue
                std = torch.exp(min(max(self.log_std[i], low), high))
                z = (a[i] / bound - mean[i]) / std
                density = torch.exp(-(z**2) / 2) / (std * math.sqrt(2 * math.pi))
                total = total - weight * torch.log(density)
        return total / BATCH

    def critic_loss(self, batch):
        total = 0.0
        for s, a, r, s2, d in zip(*batch, strict=True):
            y = float(r) + GAMMA * (1 - float(d)) * float(self.v(s2).detach())
            for net in self.critics:
                total = total + (self.plain.forward(net, torch.cat([s, a]))[0] - y) ** 2
        return total / BATCH

    def update(self, batch, noise, step):
        """Return losses and gradients of this step, by network."""
        bounds = torch.tensor(MAX_ACTION, dtype=torch.float64) * (1 - 1e-5)
        s, a, *rest = batch
        batch = [s, torch.minimum(torch.maximum(a, -bounds), bounds), *rest]
        rates = {
            "value": 2 * LR,
            "actor": LR * 0.5 * (1 + math.cos(math.pi * (step - 1) / STEPS)),
            "critic": 3 * LR,
        }
        out = {}
        for name, rate in rates.items():
            drawn = (noise,) if name == "actor" else ()
            loss = getattr(self, f"{name}_loss")(batch, *drawn)
            out[name] = float(loss.detach()), self.adams[name].descend(loss, rate)
        for target, source in zip(self.targets, self.critics, strict=True):
            for old, new in zip(self.plain.flat(target), self.plain.flat(source), strict=True):
                with torch.no_grad():
                    old.copy_(RATE * new + (1 - RATE) * old)
        return out

    def assert_equals(self, stack, place):
        for name in ("value", "actor"):
            self.plain.assert_same(stack.networks[name], (place,), self.trained[name])
        for member in (0, 1):
            for name, nets in (("critic", self.critics), ("critic_target", self.targets)):
                expected = self.plain.flat(nets[member])
                self.plain.assert_same(stack.networks[name], (place, member), expected)


def make_stack(seeds, config=CONFIG, dtype=torch.float64):
    task = Task(STATE, ACTION, torch.tensor(MAX_ACTION, dtype=dtype))
    return Stack.create(iql, config, task, seeds, dtype)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"actor_dropout": 0.3},
        {"log_std_min": -0.3, "log_std_max": 0.35},
        {"deterministic": True, "actor_dropout": 0.1},
    ],
)
def test_losses_gradients_and_parameters_equal_the_plain_statement(plain, changes):
    seeds = (4, 11)
    config = replace(CONFIG, **changes)
    stack = make_stack(seeds, config)
    with torch.no_grad():  # targets of their own, and a spread of advantages that meets the clip
        for layer in stack.networks["critic_target"]:
            layer.mul_(1.3)
        if not config.deterministic:
            stack.networks["actor"][-1].copy_(torch.tensor([[-0.5, 0.3], [0.1, -0.2]]))
    plains = [PlainIQL(plain, stack, place) for place in range(len(seeds))]
    rng = np.random.default_rng(0)
    drawn = iql.noise(config, stack.task)
    assert len(drawn) == (2 if config.actor_dropout else 0)
    for step in range(1, 11):
        batch = plain.random_batch(rng, len(seeds), BATCH, STATE, MAX_ACTION)
        noise = {
            name: torch.as_tensor(rng.random((len(seeds), *draw.shape)))
            for name, draw in drawn.items()
        }
        iql.update(stack, batch, noise, step)
        for place, told in enumerate(plains):
            own = [column[place] for column in batch], [u[place] for u in noise.values()]
            for name, (loss, gradients) in told.update(*own, step).items():
                assert float(stack.losses[name][place]) == pytest.approx(loss, rel=0, abs=1e-8)
                layers = [parameter.grad for parameter in stack.networks[name]]
                if name == "critic":
                    half = len(gradients) // 2
                    plain.assert_same(layers, (place, 0), gradients[:half])
                    plain.assert_same(layers, (place, 1), gradients[half:])
                else:
                    plain.assert_same(layers, (place,), gradients)
            if step in (1, 2, 10):
                told.assert_equals(stack, place)
    weights = [weight for told in plains for weight in told.weights]
    assert max(weights) == 100
    assert min(weights) < 1


def test_standard_deviations_stay_within_their_bounds():
    layers = [*init_orthogonal_mlp(torch.Generator().manual_seed(0), (STATE, 8, ACTION))]
    layers.append(torch.tensor([-9.0, 7.0]))
    assert iql.policy_log_std(iql.Config(), layers).tolist() == [-5.0, 2.0]
    wide = iql.Config(log_std_min=-20.0)
    assert iql.policy_log_std(wide, layers).tolist() == [-9.0, 2.0]


def test_dropout_is_for_training_only_and_draws_for_each_seed():
    config = iql.Config(actor_dropout=0.1, batch_size=500, hidden_dims=(64, 32))
    drawn = iql.noise(config, Task(STATE, ACTION, torch.ones(ACTION)))
    shapes = {name: (draw.shape, draw.kind) for name, draw in drawn.items()}
    assert shapes == {"dropout_0": ((500, 64), "uniform"), "dropout_1": ((500, 32), "uniform")}
    _, noise = Streams((3, 8), 10, 500, drawn, CPU).at(1)
    kept = (noise["dropout_0"] < 0.9).float()
    assert float(kept.mean()) == pytest.approx(0.9, abs=0.01)
    assert not torch.equal(kept[0], kept[1])
    stack = make_stack((0,), config, torch.float32)
    states = torch.randn(4, STATE, generator=torch.Generator().manual_seed(0))
    actors = {"actor": [layer[0] for layer in stack.networks["actor"]]}
    acts = [
        iql.act(each, stack.task, actors, states)
        for each in (config, replace(config, actor_dropout=0.0))
    ]
    assert torch.equal(*acts)


def test_networks_start_orthogonal_with_gain_root_two():
    stack = make_stack((0,), iql.Config(), torch.float32)
    for name in ("actor", "value", "critic"):
        layers = stack.networks[name][: 2 * 3]
        for weight, bias in zip(layers[::2], layers[1::2], strict=True):
            assert not bias.any()
            for matrix in weight.detach().reshape(-1, *weight.shape[-2:]):
                small = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
                gram = small @ small.T
                np.testing.assert_allclose(gram, 2 * torch.eye(len(gram)), atol=1e-5)
    assert not stack.networks["actor"][-1].any()
    critic = stack.networks["critic"][0][0]
    assert not torch.equal(critic[0], critic[1])
    assert torch.equal(stack.networks["critic"][0], stack.networks["critic_target"][0])


def test_defaults_are_the_published_values():
    config = iql.Config()
    assert (config.batch_size, config.discount, config.tau) == (256, 0.99, 0.005)
    assert (config.expectile, config.beta, config.reward_transform) == (0.7, 3.0, "return-range")
    assert (config.actor_lr, config.value_lr, config.critic_lr) == (3e-4, 3e-4, 3e-4)
    assert (config.normalize_states, config.hidden_dims) == (False, (256, 256))
    assert config.steps == 1_000_000


def test_the_rate_of_the_actor_goes_from_whole_to_nothing_by_a_cosine():
    rates = [cosine_decay(2.0, step, 100) for step in (1, 26, 51, 76, 101)]
    expected = [2.0, 1 + math.sqrt(0.5), 1.0, 1 - math.sqrt(0.5), 0.0]
    np.testing.assert_allclose(rates, expected, atol=1e-12)


def test_rewards_are_transformed_by_the_returns_of_complete_episodes():
    episodes = chain([[1, 2], [0, -1, 0], [4, 4, 4, 4]], complete=2)
    returns = {"none": 1.0, "return-range": 1000 / 4}
    for transform, factor in returns.items():
        source = iql.data(iql.Config(reward_transform=transform), episodes, "correct", CPU)
        rewards = source.gather(torch.arange(len(source))[None]).rewards[0]
        expected = factor * episodes.rewards[episodes.transitions("correct").rows]
        np.testing.assert_allclose(rewards, expected, rtol=1e-6)
    source = iql.data(iql.Config(reward_transform="minus-one"), episodes, "correct", CPU)
    assert source.gather(torch.tensor([[0, 1]])).rewards.tolist() == [[0.0, 1.0]]


def test_returns_without_a_range_are_an_error():
    with pytest.raises(DatumrlError, match="use --set reward_transform=none"):
        iql.data(iql.Config(), chain([[1, 2], [3]], complete=2), "correct", CPU)


def chain(rewards, complete):
    """Return episodes with such rewards, the first ``complete`` of them ended by a terminal."""
    lengths = [len(each) for each in rewards]
    rows = sum(lengths)
    terminals = np.zeros(rows, bool)
    terminals[np.cumsum(lengths)[:complete] - 1] = True
    return Episodes(
        id="chain",
        observations=np.arange(rows * 2, dtype=np.float32).reshape(rows, 2),
        actions=np.zeros((rows, 1), np.float32),
        rewards=np.concatenate(rewards).astype(np.float32),
        terminals=terminals,
        timeouts=np.zeros(rows, bool),
        starts=episode_starts(terminals, np.zeros(rows, bool)),
        successor_rows=np.empty(0, np.int64),
        successors=np.empty((0, 2), np.float32),
        time_limit=10,
        timeouts_recorded=True,
    )


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-10)])
def test_with_dropout_a_seed_alone_is_the_same_run_as_in_a_stack(toy, dtype, tolerance):
    config = iql.Config(
        steps=20, batch_size=32, hidden_dims=(16, 16), actor_dropout=0.1, reward_transform="none"
    )

    def actor_after_20_steps(seeds, place):
        task = Task(2, 2, torch.ones(2, dtype=dtype))
        source = iql.data(config, toy, "correct", CPU)
        stack = Stack.create(iql, config, task, seeds, dtype)
        streams = Streams(seeds, len(source), 32, iql.noise(config, task), CPU, dtype)
        for step in range(1, 21):
            rows, drawn = streams.at(step)
            batch = Batch(*(column.to(dtype) for column in source.gather(rows)))
            iql.update(stack, batch, drawn, step)
        return torch.cat([layer[place].detach().flatten() for layer in stack.networks["actor"]])

    together, alone = actor_after_20_steps((7, 3, 0), 1), actor_after_20_steps((3,), 0)
    np.testing.assert_allclose(together, alone, rtol=0, atol=tolerance)
