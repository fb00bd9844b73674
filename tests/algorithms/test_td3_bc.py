"""TD3+BC against a plain statement of the paper's equations: one seed, one transition at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from datumrl.algorithms import td3_bc
from datumrl.algorithms.batches import Batch
from datumrl.algorithms.stack import Stack, Task

STATE, ACTION, BATCH = 3, 2, 9
MAX_ACTION = [1.0, 2.5]
GAMMA, TAU, SIGMA, CLIP, FREQ, ALPHA, LR = 0.97, 0.01, 0.3, 0.4, 2, 1.7, 1e-3
CONFIG = td3_bc.Config(
    batch_size=BATCH,
    discount=GAMMA,
    tau=TAU,
    policy_noise=SIGMA,
    noise_clip=CLIP,
    policy_freq=FREQ,
    alpha=ALPHA,
    actor_lr=LR,
    critic_lr=2 * LR,
    hidden_dims=(8, 6),
)


class Plain:
    """The method in float64, from the equations; networks are lists [(W, b), ...], W (out, in)."""

    def __init__(self, actor, first, second):
        self.nets = {"actor": actor, "first": first, "second": second}
        self.targets = {name: copied(net) for name, net in self.nets.items()}
        self.moments = {
            name: [[torch.zeros_like(p), torch.zeros_like(p)] for p in flat(net)]
            for name, net in self.nets.items()
        }
        self.counts = dict.fromkeys(self.nets, 0)

    def policy(self, net, state):
        raw = forward(net, state)
        return torch.stack([MAX_ACTION[i] * torch.tanh(raw[i]) for i in range(ACTION)])

    def critic_loss(self, batch, noise):
        total = 0.0
        for s, a, r, s2, d, e in zip(*batch, noise, strict=True):
            with torch.no_grad():
                a2 = self.policy(self.targets["actor"], s2).tolist()
                for i, bound in enumerate(MAX_ACTION):
                    smoothing = max(-CLIP * bound, min(CLIP * bound, SIGMA * bound * float(e[i])))
                    a2[i] = max(-bound, min(bound, a2[i] + smoothing))
                pair = torch.cat([s2, torch.tensor(a2, dtype=torch.float64)])
                q2 = min(float(forward(self.targets[n], pair)) for n in ("first", "second"))
                y = float(r) + GAMMA * (1 - float(d)) * q2
            for name in ("first", "second"):
                total = total + (forward(self.nets[name], torch.cat([s, a]))[0] - y) ** 2 / BATCH
        return total

    def actor_loss(self, batch):
        q_sum, q_absolute, cloning = 0.0, 0.0, 0.0
        for s, a, *_ in zip(*batch, strict=True):
            chosen = self.policy(self.nets["actor"], s)
            q = forward(self.nets["first"], torch.cat([s, chosen]))[0]
            q_sum = q_sum + q
            q_absolute += abs(float(q.detach()))
            for i in range(ACTION):
                cloning = cloning + (chosen[i] - a[i]) ** 2
        weight = ALPHA / (q_absolute / BATCH)
        return -weight * q_sum / BATCH + cloning / (BATCH * ACTION)

    def update(self, batch, noise, step):
        """Return losses and gradients of this step, by network."""
        loss = self.critic_loss(batch, noise)
        out = {"critic": (float(loss.detach()), self.descend(loss, ("first", "second"), 2 * LR))}
        if step % FREQ == 0:
            loss = self.actor_loss(batch)
            out["actor"] = (float(loss.detach()), self.descend(loss, ("actor",), LR))
            for name, net in self.nets.items():
                for target, source in zip(flat(self.targets[name]), flat(net), strict=True):
                    target.copy_(TAU * source.detach() + (1 - TAU) * target)
        return out

    def descend(self, loss, names, rate):
        gradients = {}
        every = torch.autograd.grad(loss, [p for name in names for p in flat(self.nets[name])])
        every = iter(every)
        for name in names:
            self.counts[name] += 1
            t = self.counts[name]
            gradients[name] = [next(every) for _ in flat(self.nets[name])]
            for p, g, mv in zip(
                flat(self.nets[name]), gradients[name], self.moments[name], strict=True
            ):
                mv[0] = 0.9 * mv[0] + 0.1 * g
                mv[1] = 0.999 * mv[1] + 0.001 * g * g
                first, second = mv[0] / (1 - 0.9**t), mv[1] / (1 - 0.999**t)
                with torch.no_grad():
                    p -= rate * first / (second.sqrt() + 1e-8)
        return gradients


def forward(net, x):
    for place, (weight, bias) in enumerate(net):
        x = torch.stack([(row * x).sum() for row in weight]) + bias
        if place < len(net) - 1:
            x = torch.where(x > 0, x, torch.zeros_like(x))
    return x


def flat(net):
    return [p for pair in net for p in pair]


def copied(net):
    return [(w.detach().clone(), b.detach().clone()) for w, b in net]


def one_net(layers, *index):
    """Cut one network out of stacked layers and turn it to (W, b) as the plain statement has it."""
    tensors = [layer[index].detach().clone() for layer in layers]
    return [
        (w.requires_grad_(), b[0].clone().requires_grad_())
        for w, b in zip(tensors[::2], tensors[1::2], strict=True)
    ]


def assert_same(layers, index, expected, what):
    for layer, plain in zip(layers, flat(expected), strict=True):
        found = layer[index] if plain.ndim == 2 else layer[index][0]
        np.testing.assert_allclose(found.detach(), plain.detach(), rtol=0, atol=1e-8, err_msg=what)


def assert_stack_equals(stack, place, plain):
    critic = {"first": (place, 0), "second": (place, 1)}
    for name, index in critic.items():
        assert_same(stack.networks["critic"], index, plain.nets[name], name)
        assert_same(stack.networks["critic_target"], index, plain.targets[name], f"{name} target")
    assert_same(stack.networks["actor"], (place,), plain.nets["actor"], "actor")
    assert_same(stack.networks["actor_target"], (place,), plain.targets["actor"], "actor target")


def paired(gradients):
    return list(zip(gradients[::2], gradients[1::2], strict=True))


def random_batch(rng, seeds):
    draw = torch.as_tensor
    return Batch(
        draw(rng.normal(size=(seeds, BATCH, STATE))),
        draw(rng.uniform(-1, 1, (seeds, BATCH, ACTION)) * MAX_ACTION),
        draw(rng.normal(size=(seeds, BATCH))),
        draw(rng.normal(size=(seeds, BATCH, STATE))),
        draw((rng.random((seeds, BATCH)) < 0.3).astype(np.float64)),
    )


def make_stack(seeds, config=CONFIG, dtype=torch.float64):
    task = Task(STATE, ACTION, torch.tensor(MAX_ACTION, dtype=dtype))
    return Stack.create(td3_bc, config, task, seeds, dtype)


def test_losses_gradients_and_parameters_equal_the_plain_statement():
    seeds = (4, 11)
    stack = make_stack(seeds)
    with torch.no_grad():  # large enough that actions reach their bounds
        stack.networks["actor_target"][-2].mul_(6)
    plains = []
    for place in range(len(seeds)):
        critics = [one_net(stack.networks["critic"], place, member) for member in (0, 1)]
        plains.append(Plain(one_net(stack.networks["actor"], place), *critics))
        plains[-1].targets["actor"] = copied(one_net(stack.networks["actor_target"], place))
    rng = np.random.default_rng(0)
    for step in range(1, 11):
        batch = random_batch(rng, len(seeds))
        noise = torch.as_tensor(2 * rng.normal(size=(len(seeds), BATCH, ACTION)))
        td3_bc.update(stack, batch, {"target_policy": noise}, step)
        for place, plain in enumerate(plains):
            told = plain.update([column[place] for column in batch], noise[place], step)
            for name, (loss, gradients) in told.items():
                assert float(stack.losses[name][place]) == pytest.approx(loss, rel=0, abs=1e-8)
                layers = [parameter.grad for parameter in stack.networks[name]]
                for member, each in enumerate(gradients.values()):
                    index = (place, member) if name == "critic" else (place,)
                    assert_same(layers, index, paired(each), f"step {step}: gradient of {name}")
            if step in (1, 2, 10):
                assert_stack_equals(stack, place, plain)


def test_actor_and_targets_wait_for_every_second_step():
    stack = make_stack((0,))
    rng = np.random.default_rng(0)
    before = {name: layers[0].detach().clone() for name, layers in stack.networks.items()}
    noise = {"target_policy": torch.zeros(1, BATCH, ACTION, dtype=torch.float64)}
    td3_bc.update(stack, random_batch(rng, 1), noise, 1)
    changed = {n for n, layers in stack.networks.items() if not torch.equal(layers[0], before[n])}
    assert changed == {"critic"}
    td3_bc.update(stack, random_batch(rng, 1), noise, 2)
    changed = {n for n, layers in stack.networks.items() if not torch.equal(layers[0], before[n])}
    assert changed == set(before)


def test_networks_start_as_torch_linear_layers_do():
    stack = make_stack((0,), td3_bc.Config(), torch.float32)
    torch.manual_seed(0)
    for name, inputs in (("critic", STATE + ACTION), ("actor", STATE)):
        layers = stack.networks[name]
        for place, width in enumerate((inputs, 256, 256)):
            reference = torch.nn.Linear(width, 256)
            for ours, theirs in zip(
                layers[2 * place : 2 * place + 2], reference.parameters(), strict=True
            ):
                bound = 1 / math.sqrt(width)
                assert ours.abs().max() <= bound
                assert theirs.abs().max() <= bound
                if ours.numel() > 1000:
                    assert ours.abs().max() > 0.99 * bound
                    assert ours.std().item() == pytest.approx(theirs.std().item(), rel=0.1)
    critic = stack.networks["critic"][0][0]
    assert not torch.equal(critic[0], critic[1])
    assert torch.equal(stack.networks["critic"][0], stack.networks["critic_target"][0])


def test_defaults_are_the_published_values():
    config = td3_bc.Config()
    assert (config.batch_size, config.discount, config.tau) == (256, 0.99, 0.005)
    assert (config.policy_noise, config.noise_clip, config.policy_freq) == (0.2, 0.5, 2)
    assert (config.alpha, config.actor_lr, config.critic_lr) == (2.5, 3e-4, 3e-4)
    assert (config.normalize_states, config.normalize_eps) == (True, 1e-3)
    assert (config.hidden_dims, config.steps) == ((256, 256), 1_000_000)


def test_actions_of_the_policy_are_within_their_bounds():
    stack = make_stack((0,))
    networks = {name: [100 * layer[0] for layer in ls] for name, ls in stack.networks.items()}
    states = torch.randn(50, STATE, dtype=torch.float64)
    actions = td3_bc.act(CONFIG, stack.task, networks, states).abs()
    assert (actions <= torch.tensor(MAX_ACTION) + 1e-12).all()
    assert (actions.amax(0) > 0.9 * torch.tensor(MAX_ACTION)).all()
