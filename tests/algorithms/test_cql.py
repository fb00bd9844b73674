"""CQL against a plain statement of the paper's equations, and properties they promise."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from datumrl.algorithms import cql
from datumrl.algorithms.stack import Stack, Task

STATE, ACTION, BATCH, SEVERAL = 3, 2, 4, 2
MAX_ACTION = [1.0, 2.5]
LR = 1e-3
CONFIG = cql.Config(
    batch_size=BATCH,
    discount=0.97,
    tau=0.01,
    min_q_weight=3.0,
    n_actions=SEVERAL,
    bc_steps=1,
    policy_lr=LR,
    critic_lr=2 * LR,
    hidden_dims=(5, 4),
    critic_hidden_dims=(6,),
)
VARIANTS = {
    "without Lagrange": {},
    "with Lagrange": {"lagrange": True, "lagrange_threshold": 2.0},
    "CORL's values": {
        "lagrange": True,
        "lagrange_threshold": 4.0,
        "log_alpha_prime_init": 1.0,
        "clip_diff_min": 3.5,
        "log_std_min": -1.2,
        "log_std_offset": -1.0,
        "reward_scale": 10.0,
        "reward_bias": -5.0,
        "max_backup": True,
    },
    "with cloning first": {"bc_steps": 6},
    "max backup": {"max_backup": True},
    "entropy in the backup": {"backup_entropy": True},
}


class PlainCQL:
    """The method in float64, from the equations, one transition and one action at a time."""

    def __init__(self, plain, stack, place):
        self.plain, self.config = plain, stack.config
        self.actor = plain.one_net(stack.networks["actor"], place)
        self.critics = [plain.one_net(stack.networks["critic"], place, i) for i in (0, 1)]
        targets = stack.networks["critic_target"]
        self.targets = [plain.one_net(targets, place, i) for i in (0, 1)]
        self.log_alpha = torch.zeros((), dtype=torch.float64, requires_grad=True)
        start = torch.tensor(self.config.log_alpha_prime_init, dtype=torch.float64)
        self.log_alpha_prime = start.requires_grad_()
        self.trained = {
            "log_alpha": [self.log_alpha],
            "actor": plain.flat(self.actor),
            "critic": [p for net in self.critics for p in plain.flat(net)],
            "log_alpha_prime": [self.log_alpha_prime],
        }
        self.adams = {name: plain.Adam(parameters) for name, parameters in self.trained.items()}
        self.seen = {"clipped": 0, "bounded": 0, "rows": 0}

    def gaussian(self, s):
        """Return [(mean, standard deviation)] of each action dimension, before the tanh."""
        out = self.plain.forward(self.actor, s)
        pairs = []
        for i in range(ACTION):
            log_std = out[ACTION + i] + self.config.log_std_offset
            self.seen["bounded"] += float(log_std.detach()) < self.config.log_std_min
            low = torch.tensor(self.config.log_std_min, dtype=torch.float64)
            log_std = torch.minimum(torch.maximum(log_std, low), torch.tensor(2.0).double())
            pairs.append((out[i], torch.exp(log_std)))
        return pairs

    @staticmethod
    def log_density(x, mean, std):
        """Return log of the density of tanh(x), x ~ N(mean, std), as rlkit bounds it."""
        normal = torch.exp(-(((x - mean) / std) ** 2) / 2) / (std * math.sqrt(2 * math.pi))
        return torch.log(normal / (1 - torch.tanh(x) ** 2 + 1e-6))

    def draw(self, s, noise):
        """Return one action, in the task's units, and log pi in units of max_action."""
        action, log_pi = [], 0.0
        for (mean, std), e, bound in zip(self.gaussian(s), noise, MAX_ACTION, strict=True):
            x = mean + std * e
            action.append(bound * torch.tanh(x))
            log_pi = log_pi + self.log_density(x, mean, std)
        return torch.stack(action), log_pi

    def q(self, net, s, a):
        return self.plain.forward(net, torch.cat([s, a]))[0]

    def policy_loss(self, batch, noise, cloning):
        alpha, total = math.exp(float(self.log_alpha.detach())), 0.0
        for row, (s, data, *_) in enumerate(zip(*batch, strict=True)):
            a, log_pi = self.draw(s, noise["policy"][row])
            total = total + alpha * log_pi
            if not cloning:
                total = total - torch.minimum(*(self.q(net, s, a) for net in self.critics))
                continue
            for (mean, std), x, bound in zip(self.gaussian(s), data, MAX_ACTION, strict=True):
                y = float(x) / bound
                before = math.log(max(1 + y, 1e-6) / max(1 - y, 1e-6)) / 2
                z = (before - torch.clamp(mean, -9, 9)) / std
                density = torch.exp(-(z**2) / 2) / (std * math.sqrt(2 * math.pi))
                total = total - torch.log(density / (1 - y**2 + 1e-6))
        return total / BATCH

    def backup(self, r, s2, d, noise):
        drawn = [self.draw(s2, each) for each in noise]
        values = [[float(self.q(net, s2, a).detach()) for a, _ in drawn] for net in self.targets]
        following = min(max(of_one) for of_one in values)
        if self.config.backup_entropy:
            alpha = math.exp(float(self.log_alpha.detach()))
            following -= alpha * float(drawn[0][1].detach())
        reward = self.config.reward_scale * float(r) + self.config.reward_bias
        return reward + self.config.discount * (1 - float(d)) * following

    def difference(self, net, s, a, s2, noise):
        """Return log sum_j exp(Q(s, a_j)) / p(a_j) - Q(s, a)."""
        total = 0.0
        for u, here, there in zip(*noise, strict=True):
            uniform = (2 * u - 1) * torch.tensor(MAX_ACTION)
            total = total + torch.exp(self.q(net, s, uniform)) / 0.5**ACTION
            for state, e in ((s, here), (s2, there)):
                action, log_pi = self.draw(state, e)
                value = self.q(net, s, action.detach())
                total = total + torch.exp(value) / math.exp(float(log_pi.detach()))
        result, least = torch.log(total) - self.q(net, s, a), self.config.clip_diff_min
        self.seen["rows"] += 1
        if least is None or float(result.detach()) > least:
            return result
        self.seen["clipped"] += 1
        return torch.tensor(least, dtype=torch.float64)

    def critic_loss(self, batch, noise):
        """Return the loss and [w D_1, w D_2], less tau with Lagrange's multiplier."""
        loss, penalties = 0.0, []
        for net in self.critics:
            error = difference = 0.0
            for row, (s, a, r, s2, d) in enumerate(zip(*batch, strict=True)):
                y = self.backup(r, s2, d, noise["backup"][row])
                error = error + (self.q(net, s, a) - y) ** 2
                kinds = [noise[kind][row] for kind in ("uniform", "current", "next")]
                difference = difference + self.difference(net, s, a, s2, kinds)
            penalty = self.config.min_q_weight * difference / BATCH
            multiplier = 1.0
            if self.config.lagrange:
                penalty = penalty - self.config.lagrange_threshold
                multiplier = min(math.exp(float(self.log_alpha_prime.detach())), 1e6)
            loss = loss + error / BATCH + multiplier * penalty
            penalties.append(float(penalty.detach()))
        return loss, penalties

    def update(self, batch, noise, step):
        """Return losses and gradients of this step, by network."""
        out = {}

        def descend(name, loss, rate):
            out[name] = float(loss.detach()), self.adams[name].descend(loss, rate)

        drawn = [self.draw(s, e) for s, e in zip(batch[0], noise["policy"], strict=True)]
        log_pi = [float(each.detach()) for _, each in drawn]
        descend("log_alpha", -self.log_alpha * (sum(log_pi) / BATCH - ACTION), LR)
        policy_loss = self.policy_loss(batch, noise, step < self.config.bc_steps)
        critic_loss, penalties = self.critic_loss(batch, noise)
        descend("actor", policy_loss, LR)
        descend("critic", critic_loss, 2 * LR)
        if self.config.lagrange:
            multiplier = torch.clamp(torch.exp(self.log_alpha_prime), max=1e6)
            descend("log_alpha_prime", -multiplier * sum(penalties) / 2, 2 * LR)
        for target, source in zip(self.targets, self.critics, strict=True):
            for old, new in zip(self.plain.flat(target), self.plain.flat(source), strict=True):
                with torch.no_grad():
                    old.copy_(0.01 * new + 0.99 * old)
        return out

    def assert_equals(self, stack, place):
        for name in set(stack.networks) - {"critic", "critic_target"}:
            self.plain.assert_same(stack.networks[name], (place,), self.trained[name])
        for member in (0, 1):
            for name, nets in (("critic", self.critics), ("critic_target", self.targets)):
                expected = self.plain.flat(nets[member])
                self.plain.assert_same(stack.networks[name], (place, member), expected)


def make_stack(seeds, config=CONFIG, dtype=torch.float64):
    task = Task(STATE, ACTION, torch.tensor(MAX_ACTION, dtype=dtype))
    return Stack.create(cql, config, task, seeds, dtype)


def random_noise(rng, stack):
    """Return what an update draws, name -> (seeds, ...)."""
    drawn = {}
    for name, draw in cql.noise(stack.config, stack.task).items():
        shape = (len(stack.seeds), *draw.shape)
        numbers = rng.random(shape) if draw.kind == "uniform" else rng.normal(size=shape)
        drawn[name] = torch.as_tensor(numbers)
    return drawn


@pytest.mark.parametrize("variant", VARIANTS)
def test_losses_gradients_and_parameters_equal_the_plain_statement(plain, variant):
    seeds = (4, 11)
    stack = make_stack(seeds, replace(CONFIG, **VARIANTS[variant]))
    with torch.no_grad():  # policies and targets of their own, not the small ones of the start
        for name, factor in (("actor", 700.0), ("critic", 200.0), ("critic_target", 260.0)):
            for layer in stack.networks[name][-2:]:
                layer.mul_(factor)
    plains = [PlainCQL(plain, stack, place) for place in range(len(seeds))]
    rng = np.random.default_rng(0)
    for step in range(1, 11):
        batch = plain.random_batch(rng, len(seeds), BATCH, STATE, MAX_ACTION)
        noise = random_noise(rng, stack)
        cql.update(stack, batch, noise, step)
        for place, told in enumerate(plains):
            its_noise = {name: numbers[place] for name, numbers in noise.items()}
            losses = told.update([column[place] for column in batch], its_noise, step)
            assert losses.keys() == stack.losses.keys()
            for name, (loss, gradients) in losses.items():
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
    if "clip_diff_min" in VARIANTS[variant]:  # the bounds were met, and not always
        for told in plains:
            assert 0 < told.seen["clipped"] < told.seen["rows"]
        assert sum(told.seen["bounded"] for told in plains) > 0


def test_alpha_prime_rises_while_the_difference_is_above_the_threshold_and_falls_below(plain):
    for threshold, sign in ((-50.0, 1), (50.0, -1)):
        config = replace(CONFIG, lagrange=True, lagrange_threshold=threshold)
        stack, rng = make_stack((0,), config), np.random.default_rng(1)
        for step in range(1, 6):
            batch = plain.random_batch(rng, 1, BATCH, STATE, MAX_ACTION)
            cql.update(stack, batch, random_noise(rng, stack), step)
        moved = float(stack.networks["log_alpha_prime"][0].detach())
        assert moved == pytest.approx(sign * 5 * 2 * LR, rel=1e-3)


def test_no_gradient_reaches_the_policy_through_the_samples_of_the_critics_loss(plain):
    stack, rng = make_stack((0,)), np.random.default_rng(2)
    batch = plain.random_batch(rng, 1, BATCH, STATE, MAX_ACTION)
    samples = stack.compute(cql.sample, batch, random_noise(rng, stack))
    assert not any(tensor.requires_grad for tensor in samples)
    assert samples.actions.shape == (1, BATCH, 3 * SEVERAL, ACTION)
    assert (samples.actions.abs() <= torch.tensor(MAX_ACTION)).all()
    before = [layer.detach().clone() for layer in stack.networks["actor"]]
    stack.minimise("critic", cql.critic_loss, batch, samples, batch.rewards)
    for layer, old in zip(stack.networks["actor"], before, strict=True):
        assert layer.grad is None
        assert torch.equal(layer, old)


def test_the_log_sum_exp_estimates_the_integral_over_actions():
    # For Q(s, a) = c a_1 over [-1, 1]^2 the integral of exp Q is 4 sinh(c) / c.
    config = replace(CONFIG, n_actions=20_000, batch_size=1, critic_hidden_dims=(2,))
    stack, c = make_stack((0,), config), 1.5
    stack.task = Task(STATE, ACTION, torch.ones(ACTION, dtype=torch.float64))
    with torch.no_grad():  # c relu(a_1) - c relu(-a_1), and a policy that is wide enough
        for layer in [*stack.networks["critic"], *stack.networks["actor"]]:
            layer.zero_()
        hidden, _, last, _ = stack.networks["critic"]
        hidden[..., 0, STATE], hidden[..., 1, STATE] = 1, -1
        last[..., 0], last[..., 1] = c, -c
    zeros = torch.zeros(1, 1, STATE, dtype=torch.float64)
    batch = [zeros, torch.zeros(1, 1, ACTION).double(), torch.zeros(1, 1).double(), zeros]
    batch = cql.Batch(*batch, torch.zeros(1, 1).double())
    samples = stack.compute(cql.sample, batch, random_noise(np.random.default_rng(3), stack))
    penalty = stack.minimise("critic", cql.critic_loss, batch, samples, batch.rewards)
    drawn = math.log(3 * config.n_actions)  # the method's sum is not divided by their number
    estimate = penalty / config.min_q_weight - drawn
    np.testing.assert_allclose(estimate, math.log(4 * math.sinh(c) / c), atol=0.02)


def test_an_action_beyond_its_bound_is_cloned_as_one_at_it(plain):
    losses = []
    for value in (1.0, 1.01):
        stack, rng = make_stack((0,)), np.random.default_rng(4)
        batch = plain.random_batch(rng, 1, BATCH, STATE, MAX_ACTION)
        batch.actions[0, 1] = value * torch.tensor(MAX_ACTION)
        noise = random_noise(rng, stack)
        stack.minimise("actor", cql.clone_loss, batch, noise)
        losses.append(float(stack.losses["actor"][0]))
        assert bool(stack.finite()[0])
    assert losses[1] == pytest.approx(losses[0], rel=1e-12)


def test_networks_start_as_rlkit_starts_them():
    stack = make_stack((0,), cql.Config(lagrange=True), torch.float32)
    for name, last in (("actor", 1e-3), ("critic", 3e-3)):
        *hidden, weight, bias = [layer.detach() for layer in stack.networks[name]]
        assert len(hidden) == 6
        for matrix, offset in zip(hidden[::2], hidden[1::2], strict=True):
            assert (offset == 0.1).all()
            assert 0.99 / 16 < float(matrix.abs().max()) <= 1 / 16
        assert 0.9 * last < float(weight.abs().max()) <= last
        assert 0 < float(bias.abs().max()) <= last
    critic = stack.networks["critic"][0][0]
    assert not torch.equal(critic[0], critic[1])
    assert torch.equal(stack.networks["critic"][0], stack.networks["critic_target"][0])
    for name in ("log_alpha", "log_alpha_prime"):
        assert stack.networks[name][0].tolist() == [[0.0]]


def test_defaults_are_the_published_values():
    config = cql.Config()
    assert (config.batch_size, config.discount, config.tau) == (256, 0.99, 0.005)
    assert (config.min_q_weight, config.lagrange, config.n_actions) == (5.0, False, 10)
    assert (config.policy_lr, config.critic_lr, config.bc_steps) == (1e-4, 3e-4, 40_000)
    assert (config.max_backup, config.backup_entropy, config.normalize_states) == (False,) * 3
    assert config.hidden_dims == config.critic_hidden_dims == (256, 256, 256)
    assert (config.log_std_min, config.log_std_offset) == (-5.0, 0.0)
    assert (config.lagrange_threshold, config.log_alpha_prime_init) == (10.0, 0.0)
