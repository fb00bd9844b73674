"""Decision Transformer against a plain statement of the paper and the official code."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from datumrl.algorithms import decision_transformer as dt
from datumrl.algorithms.sequence_batches import Windows
from datumrl.algorithms.stack import Stack, Task
from datumrl.algorithms.streams import Streams

CPU = torch.device("cpu")
STATE, ACTION, BATCH, LENGTH, WIDTH, HEADS, LAYERS, TIMES = 3, 2, 3, 3, 4, 2, 2, 9
MAX_ACTION = [1.0, 2.5]
CLIP, RATE, WARMUP, DECAY = 0.25, 1e-3, 4, 1e-2
CONFIG = dt.Config(
    steps=20,
    batch_size=BATCH,
    context_length=LENGTH,
    layers=LAYERS,
    heads=HEADS,
    embedding_dim=WIDTH,
    dropout=0.3,
    max_timesteps=TIMES,
    actor_lr=RATE,
    warmup_steps=WARMUP,
    weight_decay=DECAY,
    gradient_clip=CLIP,
)
TASK = Task(STATE, ACTION, torch.tensor(MAX_ACTION, dtype=torch.float64))


def make_stack(config=CONFIG, seeds=(3, 8), dtype=torch.float64):
    return Stack.create(
        dt, config, replace(TASK, max_action=TASK.max_action.to(dtype)), seeds, dtype
    )


def random_windows(rng, seeds, config=CONFIG, task=TASK):
    """Windows of 1 to K steps, the first one full; everything after their ends is zero."""
    batch, length = config.batch_size, config.context_length
    ends = rng.integers(1, length + 1, (seeds, batch))
    ends[:, 0] = length
    mask = torch.as_tensor(np.arange(length) < ends[..., None]).double()
    first = rng.integers(0, config.max_timesteps - length + 1, (seeds, batch, 1))
    times = torch.as_tensor(first + np.arange(length)) * mask.long()
    draw = lambda *shape: torch.as_tensor(rng.normal(size=(seeds, batch, length, *shape)))  # noqa: E731
    actions = draw(task.action_dim).clamp(-1, 1) * task.max_action.double()
    states = draw(task.observation_dim) * mask[..., None]
    return Windows(states, actions * mask[..., None], draw() * mask, times, mask)


class PlainDT:
    """The method in float64, one token at a time, padded on the left as in the official code."""

    def __init__(self, stack, place):
        self.config = stack.config
        self.parameters = [p[place].detach().clone() for p in stack.networks["actor"]]
        for parameter in self.parameters:
            parameter.requires_grad_()
        rest = iter(self.parameters)
        pair = lambda: (next(rest), next(rest))  # noqa: E731
        self.times = next(rest)
        self.of_return, self.of_state, self.of_action, self.first_norm = (pair() for _ in range(4))
        names = ("norm_1", "query", "key_value", "out", "norm_2", "mlp_in", "mlp_out")
        self.layers = [{name: pair() for name in names} for _ in range(self.config.layers)]
        self.last_norm, self.head = pair(), pair()
        assert next(rest, None) is None
        self.first = [torch.zeros_like(p) for p in self.parameters]
        self.second = [torch.zeros_like(p) for p in self.parameters]
        self.norms = []

    @staticmethod
    def linear(x, weight, bias):
        return torch.stack([(row * x).sum() for row in weight]) + bias.flatten()

    @staticmethod
    def normalised(x, weight, bias):
        centred = x - x.sum() / len(x)
        return centred / torch.sqrt((centred**2).sum() / len(x) + 1e-5) * weight + bias

    def activated(self, x):
        if self.config.activation == "gelu":
            return x * (1 + torch.erf(x / math.sqrt(2))) / 2
        return torch.where(x > 0, x, torch.zeros_like(x))

    def attended(self, x, layer, real, factor):
        """Return what each token takes from the others; masked scores are -10000, as GPT-2's."""
        size = self.config.embedding_dim // self.config.heads
        keys_values = [self.linear(token, *layer["key_value"]) for token in x]
        results = []
        for i, token in enumerate(x):
            query, parts = self.linear(token, *layer["query"]), []
            for head in range(self.config.heads):
                span = slice(head * size, (head + 1) * size)
                values = [kv[self.config.embedding_dim :][span] for kv in keys_values]
                scores = []
                for j, kv in enumerate(keys_values):
                    score = (query[span] * kv[: self.config.embedding_dim][span]).sum()
                    score = score / math.sqrt(size) if j <= i else torch.tensor(-1e4).double()
                    scores.append(score if real[j] else score - 1e4)
                highest = max(float(s.detach()) for s in scores)
                powers = [torch.exp(s - highest) for s in scores]
                total = sum(powers)
                parts.append(
                    sum(p / total * factor(head, i, j) * values[j] for j, p in enumerate(powers))
                )
            results.append(self.linear(torch.cat(parts), *layer["out"]))
        return results

    def actions(self, states, actions, returns, times, count, factor):
        """Return predictions for the last ``count`` of K steps; those before are padding."""
        length = self.config.context_length
        tokens, real = [], []
        for t in range(length):
            when = self.times[times[t]]
            tokens += [
                self.linear(returns[t].reshape(1), *self.of_return) + when,
                self.linear(states[t], *self.of_state) + when,
                self.linear(actions[t], *self.of_action) + when,
            ]
            real += 3 * [t >= length - count]
        x = [self.normalised(token, *self.first_norm) for token in tokens]
        x = [factor("embedding", i) * token for i, token in enumerate(x)]
        for number, layer in enumerate(self.layers):
            normed = [self.normalised(token, *layer["norm_1"]) for token in x]
            weights = lambda head, i, j, n=number: factor(f"weights_{n}", i, head, j)  # noqa: E731
            added = self.attended(normed, layer, real, weights)
            x = [t + factor(f"attention_{number}", i) * added[i] for i, t in enumerate(x)]
            hidden = [
                self.activated(self.linear(self.normalised(t, *layer["norm_2"]), *layer["mlp_in"]))
                for t in x
            ]
            x = [
                t + factor(f"mlp_{number}", i) * self.linear(hidden[i], *layer["mlp_out"])
                for i, t in enumerate(x)
            ]
        bound = torch.tensor(MAX_ACTION).double()
        of_states = [x[3 * t + 1] for t in range(length - count, length)]
        return [
            bound * torch.tanh(self.linear(self.normalised(t, *self.last_norm), *self.head))
            for t in of_states
        ]

    def loss(self, windows, dropout):
        """Return the loss of one seed's windows, each moved to the right end of its places."""
        total, count_all = 0.0, 0
        length = self.config.context_length
        for b in range(self.config.batch_size):
            count = int(windows.mask[b].sum())
            pad = length - count
            left = lambda rows, value: torch.cat([torch.full_like(rows[:pad], value), rows[:count]])  # noqa: B023, E731
            states, returns = left(windows.observations[b], 0), left(windows.returns_to_go[b], 0)
            actions, times = left(windows.actions[b], -10), left(windows.timesteps[b], 0)
            factor = self.factors(dropout, b, pad)
            found = self.actions(states, actions, returns, times, count, factor)
            for predicted, target in zip(found, actions[pad:], strict=True):
                total = total + ((predicted - target) ** 2).sum()
                count_all += 1
        if self.config.loss_over == "all":
            count_all = self.config.batch_size * length
        return total / (count_all * ACTION)

    def factors(self, dropout, b, pad):
        """Return the dropout factor of a token's place, counted with the padding on the left."""
        last, tokens = self.config.layers - 1, 3 * self.config.context_length - 1

        def factor(name, i, *more):
            i = i - 3 * pad
            *more, j = more if more else (None,)
            j = None if j is None else j - 3 * pad
            if (
                name not in dropout
                or not 0 <= i < tokens
                or (j is not None and not 0 <= j < tokens)
            ):
                return 1.0
            if name.endswith(f"_{last}"):
                if i % 3 != 1:
                    return 1.0
                i //= 3
            place = (b, i) if j is None else (b, more[0], i, j)
            return dropout[name][place]

        return factor

    def update(self, windows, dropout, step):
        """Take one step of AdamW and return the loss and the clipped gradients."""
        loss = self.loss(windows, dropout)
        gradients = torch.autograd.grad(loss, self.parameters)
        size = math.sqrt(sum(float((g**2).sum()) for g in gradients))
        self.norms.append(size)
        gradients = [g * min(1.0, self.config.gradient_clip / (size + 1e-6)) for g in gradients]
        rate = RATE * min(step / WARMUP, 1)
        for i, (p, g) in enumerate(zip(self.parameters, gradients, strict=True)):
            self.first[i] = 0.9 * self.first[i] + 0.1 * g
            self.second[i] = 0.999 * self.second[i] + 0.001 * g * g
            mean, square = self.first[i] / (1 - 0.9**step), self.second[i] / (1 - 0.999**step)
            with torch.no_grad():
                p -= rate * DECAY * p
                p -= rate * mean / (square.sqrt() + 1e-8)
        return float(loss.detach()), gradients


def same(found, expected):
    np.testing.assert_allclose(found.reshape(expected.shape), expected.detach(), rtol=0, atol=1e-8)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"activation": "gelu", "loss_over": "all", "gradient_clip": 0.9},
        {"dropout": 0.0, "heads": 1, "layers": 1},
    ],
    ids=["official", "corl", "plainest"],
)
def test_it_is_the_plain_statement(changes):
    config = replace(CONFIG, **changes)
    stack = make_stack(config)
    rng = np.random.default_rng(0)
    with torch.no_grad():  # larger weights, so that attention and its masks matter
        for tensor in stack.networks["actor"][9:-2]:
            tensor += torch.as_tensor(0.4 * rng.normal(size=tensor.shape))
    plain = PlainDT(stack, 1)
    streams = Streams(stack.seeds, 10, BATCH, dt.noise(config, TASK), CPU, torch.float64)
    for step in range(1, 11):
        windows, (_, noise) = random_windows(rng, 2, config), streams.at(step)
        dt.update(stack, windows, noise, step)
        one = Windows(*(column[1] for column in windows))
        loss, gradients = plain.update(one, {name: of[1] for name, of in noise.items()}, step)
        assert float(stack.losses["actor"][1]) == pytest.approx(loss, abs=1e-8)
        for tensor, gradient in zip(stack.networks["actor"], gradients, strict=True):
            same(tensor.grad[1], gradient)
        if step in (1, 2, 10):
            for tensor, parameter in zip(stack.networks["actor"], plain.parameters, strict=True):
                same(tensor[1].detach(), parameter)
    assert max(plain.norms) > config.gradient_clip


def perturbed_stack():
    stack = make_stack()
    with torch.no_grad():
        for tensor in stack.networks["actor"]:
            tensor += 0.3 * torch.randn(tensor.shape, generator=torch.Generator().manual_seed(1))
    return stack


def predicted(stack, windows):
    return stack.compute(
        lambda config, task, networks, one: dt.predicted(config, task, networks["actor"], one, {}),
        windows,
    )


def test_no_later_token_changes_an_earlier_prediction():
    stack, rng = perturbed_stack(), np.random.default_rng(1)
    windows, other = random_windows(rng, 2), random_windows(rng, 2)
    before = predicted(stack, windows)
    for step in range(LENGTH):
        for name in ("observations", "actions", "returns_to_go", "timesteps"):
            # Of the action, already that of the step itself is later than its state.
            first = step if name == "actions" else step + 1
            changed = getattr(windows, name).clone()
            changed[:, :, first:] = getattr(other, name)[:, :, first:]
            after = predicted(stack, windows._replace(**{name: changed}))
            assert torch.equal(before[:, :, : step + 1], after[:, :, : step + 1])
            if name != "timesteps" and first < LENGTH - (name == "actions"):
                assert not torch.allclose(before[:, 0, first:], after[:, 0, first:])


def test_padding_does_not_matter():
    rng = np.random.default_rng(2)
    windows, garbage = random_windows(rng, 2), random_windows(rng, 2)
    gone = windows.mask == 0
    assert gone.any()
    filled = {
        name: torch.where(gone if column.dim() == 3 else gone[..., None], 7 * other + 3, column)
        for name, column, other in zip(windows._fields[:3], windows[:3], garbage[:3], strict=True)
    }
    filled["timesteps"] = windows.timesteps.where(~gone, 5)
    outcome = []
    for batch in (windows, windows._replace(**filled)):
        once = perturbed_stack()
        dt.update(once, batch, {}, 1)
        outcome.append([once.losses["actor"], *(p.grad for p in once.networks["actor"])])
    for plain, other in zip(*outcome, strict=True):
        assert torch.equal(plain, other)


@pytest.mark.slow
def test_a_seed_alone_is_the_same_run_as_in_a_stack_of_five():
    """With a learning rate that is not small by its warm-up."""
    for dtype, tolerance in ((torch.float32, 1e-6), (torch.float64, 1e-10)):
        config = dt.Config(batch_size=4, context_length=8, embedding_dim=32, warmup_steps=500)
        finals = []
        for seeds in ((7, 3, 0, 12, 5), (3,)):
            stack = make_stack(config, seeds, dtype)
            streams = Streams(seeds, 50, 4, dt.noise(config, stack.task), CPU, dtype)
            for step in range(1, 21):
                rows, noise = streams.at(step)
                each = [random_windows(np.random.default_rng(int(r[0])), 1, config) for r in rows]
                columns = (torch.cat(column) for column in zip(*each, strict=True))
                windows = Windows(*(c.to(dtype) if c.is_floating_point() else c for c in columns))
                dt.update(stack, windows, noise, step)
            place = seeds.index(3)
            parameters = [p[place].detach().flatten() for p in stack.networks["actor"]]
            finals.append(torch.cat(parameters))
        assert (finals[0] - finals[1]).abs().max() <= tolerance
