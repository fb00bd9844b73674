"""BC and 10% BC against plain statements of the loss and of which episodes are the best."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from datumrl.algorithms import bc, percent_bc
from datumrl.algorithms.batches import Batch, best_rows
from datumrl.algorithms.stack import Stack, Task
from datumrl.datasets.episodes import episode_starts
from datumrl.datasets.errors import DatumrlError

STATE, ACTION, BATCH, LR = 3, 2, 9, 1e-3
MAX_ACTION = [1.0, 2.5]
CPU = torch.device("cpu")


def make_stack(method, seeds):
    config = method.Config(batch_size=BATCH, actor_lr=LR, hidden_dims=(8, 6))
    task = Task(STATE, ACTION, torch.tensor(MAX_ACTION, dtype=torch.float64))
    return Stack.create(method, config, task, seeds, torch.float64)


def cloning_loss(plain, actor, batch):
    total = 0.0
    for s, a, *_ in zip(*batch, strict=True):
        raw = plain.forward(actor, s)
        for i, bound in enumerate(MAX_ACTION):
            total = total + (bound * torch.tanh(raw[i]) - a[i]) ** 2
    return total / (BATCH * ACTION)


@pytest.mark.parametrize("method", [bc, percent_bc])
def test_losses_gradients_and_parameters_equal_the_plain_statement(method, plain):
    seeds = (4, 11)
    stack = make_stack(method, seeds)
    actors = [plain.one_net(stack.networks["actor"], place) for place in range(len(seeds))]
    adams = [plain.Adam(plain.flat(actor)) for actor in actors]
    rng = np.random.default_rng(0)
    for step in range(1, 11):
        batch = plain.random_batch(rng, len(seeds), BATCH, STATE, MAX_ACTION)
        method.update(stack, batch, {}, step)
        for place, (actor, adam) in enumerate(zip(actors, adams, strict=True)):
            loss = cloning_loss(plain, actor, [column[place] for column in batch])
            gradients = adam.descend(loss, LR)
            found = float(stack.losses["actor"][place])
            assert found == pytest.approx(float(loss.detach()), rel=0, abs=1e-8)
            layers = stack.networks["actor"]
            plain.assert_same([layer.grad for layer in layers], (place,), gradients)
            if step in (1, 2, 10):
                plain.assert_same(layers, (place,), plain.flat(actor))


def test_defaults_are_the_published_values():
    for config in (bc.Config(), percent_bc.Config()):
        assert (config.batch_size, config.actor_lr, config.steps) == (256, 3e-4, 1_000_000)
        assert (config.normalize_states, config.normalize_eps) == (True, 1e-3)
        assert config.hidden_dims == (256, 256)
    assert (percent_bc.Config().fraction, percent_bc.Config().fraction_of) == (0.1, "rows")


@pytest.fixture
def uneven(toy):
    """Eight episodes of different lengths and returns and an unfinished tail of great return."""
    lengths = [3, 9, 1, 4, 6, 2, 10, 5, 7]
    returns = [5, 9, -2, 9, 1, 8, 0, 3, 99]
    rows = sum(lengths)
    ends = np.cumsum(lengths) - 1
    timeouts = np.zeros(rows, bool)
    timeouts[ends[:-1]] = True
    rewards = np.concatenate([[r / n] * n for n, r in zip(lengths, returns, strict=True)])
    none = np.zeros(rows, bool)
    columns = {name: getattr(toy, name)[:rows] for name in ("observations", "actions")}
    starts = episode_starts(none, timeouts)
    return replace(
        toy,
        **columns,
        rewards=rewards.astype(np.float32),
        terminals=none,
        timeouts=timeouts,
        starts=starts,
    )


def plain_best(episodes, fraction, of):
    """Episodes one by one from the best down, as the paper's code and CORL choose them."""
    known = [
        (-float(episodes.rewards[a:b].sum(dtype=np.float64)), a, b)
        for a, b in zip(episodes.starts[:-1], episodes.starts[1:], strict=True)
        if episodes.terminals[b - 1] or episodes.timeouts[b - 1]
    ]
    known.sort(key=lambda each: round(each[0], 4))
    rows = np.zeros(len(episodes), bool)
    total = sum(b - a for _, a, b in known)
    taken = 0
    for place, (_, a, b) in enumerate(known):
        if of == "rows":
            fits = taken + b - a <= int(fraction * total)
        else:
            fits = place < int(fraction * len(known))
        if place and not fits:
            break
        taken += b - a
        rows[a:b] = True
        if not fits:
            break
    return rows


@pytest.mark.parametrize("of", ["rows", "episodes"])
@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.26, 0.35, 0.5, 0.8, 1.0])
def test_the_best_episodes_are_those_chosen_one_by_one(uneven, fraction, of):
    chosen = best_rows(uneven, fraction, of)
    np.testing.assert_array_equal(chosen, plain_best(uneven, fraction, of))
    assert chosen[3:12].all()  # the first of the two best episodes
    assert not chosen[-7:].any()  # the unfinished tail


def test_batches_and_statistics_are_those_of_the_best_episodes(uneven):
    config = percent_bc.Config(fraction=0.35)  # 14 of 40 rows: the episodes of 9 and of 4 rows
    source = percent_bc.data(config, uneven, "correct", CPU)
    kept = np.r_[3:11, 13:16]  # timeout rows have no successor
    assert len(source) == len(kept)
    states = uneven.observations[kept]
    np.testing.assert_allclose(source.statistics.mean, states.mean(0), atol=1e-6)
    np.testing.assert_allclose(source.statistics.scale, states.std(0) + 1e-3, atol=1e-6)
    batch = source.gather(torch.arange(len(kept))[None])
    assert isinstance(batch, Batch)
    np.testing.assert_array_equal(batch.actions[0], uneven.actions[kept])
    assert len(bc.data(bc.Config(), uneven, "correct", CPU)) == len(uneven) - 9


def test_no_complete_episode_is_an_error(uneven):
    rows = np.zeros(len(uneven), bool)
    tail = replace(uneven, timeouts=rows, starts=episode_starts(rows, rows))
    with pytest.raises(DatumrlError, match="toy has no complete episode"):
        best_rows(tail, 0.1)
