"""BC and 10% BC on their last states, as Decision Transformer's authors clone: windows, losses,
rollouts and resumption against plain statements."""

from __future__ import annotations

import dataclasses
import itertools
import warnings

import gymnasium
import numpy as np
import pytest
import torch

import datumrl
from datumrl.algorithms import bc, checkpoints, percent_bc, policies, registry, training
from datumrl.algorithms.batches import Statistics
from datumrl.algorithms.exporting import export_policy
from datumrl.algorithms.stack import Stack, Task
from datumrl.algorithms.streams import Streams
from datumrl.datasets.catalogue import Environment
from datumrl.datasets.episodes import Episodes, episode_starts
from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation.rollout import episode_seed, rollout

CPU = torch.device("cpu")
DATASET = "local/inverted-pendulum-mixed-v1@2k"
STATE, ACTION, K, LR, DECAY, WARMUP = 3, 2, 4, 1e-2, 0.2, 4
MAX_ACTION = [1.0, 2.5]
SMALL = {
    "context_length": K,
    "hidden_dims": (8, 6),
    "dropout": 0.25,
    "weight_decay": DECAY,
    "warmup_steps": WARMUP,
    "actor_lr": LR,
    "normalize_eps": 1e-6,
    "batch_size": 9,
}
METHODS = pytest.mark.parametrize("name", ["bc", "percent_bc"])
LENGTHS, RETURNS = [3, 9, 1, 4, 6, 2, 10, 5, 7], [5, 9, -2, 9, 1, 8, 0, 3, 99]
KEPT = [(3, 12), (13, 17)]  # rows of the best episodes, which hold 35% of the 40 complete rows


@pytest.fixture
def uneven() -> Episodes:
    """Eight complete episodes and an unfinished one of great return."""
    rng = np.random.default_rng(3)
    rows, ends = sum(LENGTHS), np.cumsum(LENGTHS) - 1
    timeouts = np.zeros(rows, bool)
    timeouts[ends[:-1]] = True
    rewards = np.concatenate([[r / n] * n for n, r in zip(LENGTHS, RETURNS, strict=True)])
    return Episodes(
        id="uneven",
        observations=rng.normal(2, 3, (rows, STATE)).astype(np.float32),
        actions=rng.uniform(-1, 1, (rows, ACTION)).astype(np.float32),
        rewards=rewards.astype(np.float32),
        terminals=np.zeros(rows, bool),
        timeouts=timeouts,
        starts=episode_starts(np.zeros(rows, bool), timeouts),
        successor_rows=np.empty(0, np.int64),
        successors=np.empty((0, STATE), np.float32),
        time_limit=10,
        timeouts_recorded=True,
    )


def config_of(name, **changes):
    own = {"fraction": 0.35, "statistics_of": "all"} if name == "percent_bc" else {}
    return registry.resolve(name, {**SMALL, **own, **changes})


def plain_windows(episodes, kept):
    """Return [(states (K, STATE), action)], as the authors' code cuts them, by straight loops."""
    rows = episodes.observations[:40].astype(np.float64)  # all complete ones
    windows = []
    for first, end in kept:
        for start in range(first, end):
            seen = [
                (episodes.observations[row] - rows.mean(0)) / (rows.std(0) + 1e-6)
                for row in range(start, min(start + K, end))
            ]
            zeros = [np.zeros(STATE)] * (K - len(seen))
            windows.append((np.stack([*zeros, *seen]), episodes.actions[start + len(seen) - 1]))
    return windows


@METHODS
def test_windows_are_the_last_states_with_zeros_before_them(uneven, name):
    config = config_of(name)
    ends = np.cumsum(LENGTHS[:-1])
    kept = KEPT if name == "percent_bc" else list(zip([0, *ends[:-1]], ends, strict=True))
    source = registry.find(name).data(config, uneven, "correct", CPU)
    expected = plain_windows(uneven, kept)
    assert len(source) == len(expected)
    batch = source.gather(torch.arange(len(expected))[None])
    for place, (states, action) in enumerate(expected):
        found = batch.observations[0, place].view(K, STATE)
        np.testing.assert_allclose(found, states, atol=1e-5)
        np.testing.assert_array_equal(batch.actions[0, place], action)


@pytest.mark.parametrize("length", [1, K])
@pytest.mark.parametrize("of", ["kept", "all"])
def test_statistics_are_of_the_kept_or_of_all_episodes(uneven, length, of):
    config = config_of("percent_bc", context_length=length, statistics_of=of)
    source = percent_bc.data(config, uneven, "correct", CPU)
    last = 1 if length == 1 else 0  # a transition needs the state after it
    chosen = KEPT
    if of == "all":
        starts = np.cumsum([0, *LENGTHS])
        complete = list(itertools.pairwise(starts[:-1]))
        # Transitions are also those of the unfinished episode, whose last row has no successor.
        chosen = [*complete, (40, 47)] if length == 1 else complete
    rows = np.concatenate([uneven.observations[a : b - last] for a, b in chosen])
    np.testing.assert_allclose(source.statistics.mean, rows.mean(0), atol=1e-5)
    np.testing.assert_allclose(source.statistics.scale, rows.std(0), atol=1e-5)


def masked_loss(actor, states, actions, masks):
    """The mean squared error of one seed, unit by unit; masks are factors of hidden units."""
    total = 0.0
    for place in range(len(states)):
        hidden = states[place]
        for layer, (weight, bias) in enumerate(actor):
            hidden = torch.stack([(row * hidden).sum() for row in weight]) + bias
            if layer < len(actor) - 1:
                hidden = torch.where(hidden > 0, hidden, torch.zeros_like(hidden))
                hidden = hidden * masks[layer][place]
        for i, bound in enumerate(MAX_ACTION):
            total = total + (bound * torch.tanh(hidden[i]) - actions[place][i]) ** 2
    return total / (len(states) * ACTION)


@METHODS
def test_losses_gradients_and_parameters_equal_the_plain_statement(uneven, plain, name):
    method, config, seeds = registry.find(name), config_of(name), (4, 11)
    task = Task(STATE, ACTION, torch.tensor(MAX_ACTION, dtype=torch.float64))
    stack = Stack.create(method, config, task, seeds, torch.float64)
    source = method.data(config, uneven, "correct", CPU)
    noise = method.noise(config, task)
    streams = Streams(seeds, len(source), config.batch_size, noise, CPU, torch.float64)
    actors = [plain.one_net(stack.networks["actor"], place) for place in range(len(seeds))]
    adams = [plain.Adam(plain.flat(actor)) for actor in actors]
    dropped = []
    for step in range(1, 11):
        rows, factors = streams.at(step)
        batch = type(source.gather(rows))(*(each.double() for each in source.gather(rows)))
        method.update(stack, batch, factors, step)
        dropped.append(factors["dropout_1"])
        rate = LR * step / WARMUP if step < WARMUP else LR
        for place, (actor, adam) in enumerate(zip(actors, adams, strict=True)):
            masks = [factors[f"dropout_{layer}"][place] for layer in (0, 1)]
            loss = masked_loss(actor, batch.observations[place], batch.actions[place], masks)
            before = [p.detach().clone() for p in plain.flat(actor)]
            gradients = adam.descend(loss, rate)
            with torch.no_grad():  # AdamW: the decay is no part of the gradient
                for p, old in zip(plain.flat(actor), before, strict=True):
                    p -= rate * DECAY * old
            found = float(stack.losses["actor"][place])
            assert found == pytest.approx(float(loss.detach()), rel=0, abs=1e-8)
            layers = stack.networks["actor"]
            plain.assert_same([layer.grad for layer in layers], (place,), gradients)
            if step in (1, 2, 10):
                plain.assert_same(layers, (place,), plain.flat(actor))
    shares = torch.stack(dropped)
    np.testing.assert_allclose(shares.unique(), [0.0, 1 / 0.75], rtol=1e-6)
    assert (shares == 0).double().mean() == pytest.approx(0.25, abs=0.05)


@METHODS
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-10)])
def test_a_seed_alone_is_the_same_run_as_in_a_stack(uneven, name, dtype, tolerance):
    method, config = registry.find(name), config_of(name)
    task = Task(STATE, ACTION, torch.tensor(MAX_ACTION, dtype=dtype))
    source = method.data(config, uneven, "correct", CPU)

    def trained(seeds):
        stack = Stack.create(method, config, task, seeds, dtype)
        noise = method.noise(config, task)
        streams = Streams(seeds, len(source), config.batch_size, noise, CPU, dtype)
        for step in range(1, 21):
            rows, factors = streams.at(step)
            batch = source.gather(rows)
            batch = type(batch)(*(each.to(dtype) for each in batch))
            method.update(stack, batch, factors, step)
        return stack.networks["actor"]

    together = trained((7, 3, 0, 12, 5))
    for place, seed in ((0, 7), (3, 12)):
        for one, all_seeds in zip(trained((seed,)), together, strict=True):
            assert (one[0] - all_seeds[place]).abs().max() <= tolerance


def plain_episode(actor, statistics, environment, seed):
    """One episode of one policy with its whole history at hand; return its actions and return."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        env = gymnasium.make(environment.id, max_episode_steps=environment.time_limit)
    state, _ = env.reset(seed=seed)
    seen = [torch.zeros(11, dtype=torch.float64)] * K
    actions, total, ended = [], 0.0, False
    while not ended:
        now = torch.as_tensor(state.astype(np.float32)).double()
        seen.append((now - statistics.mean) / statistics.scale)
        hidden = torch.cat(seen[-K:])
        for layer, (weight, bias) in enumerate(actor):
            hidden = weight @ hidden + bias
            hidden = hidden.relu() if layer < len(actor) - 1 else hidden.tanh()
        actions.append(hidden.detach())
        state, reward, terminated, truncated, _ = env.step(actions[-1].numpy())
        total, ended = total + reward, terminated or truncated
    env.close()
    return torch.stack(actions), total


class Noted:
    """A policy that is listened to."""

    def __init__(self, policy):
        self.policy, self.actions, self.reset = policy, [], policy.reset

    def __call__(self, observations):
        self.actions.append(self.policy(observations))
        return self.actions[-1]


def test_rollouts_are_those_of_a_plain_loop_over_one_environment(plain):
    environment, episodes, seeds = Environment("Hopper-v4", 40), 2, (5, 2)
    task = Task(11, 3, torch.ones(3, dtype=torch.float64))
    config = config_of("bc")
    stack = Stack.create(bc, config, task, (9, *seeds), torch.float64)
    rng = np.random.default_rng(0)
    mean, scale = torch.as_tensor(rng.normal(size=11)), torch.as_tensor(rng.uniform(1, 2, 11))
    statistics = Statistics(mean, scale)
    noted = Noted(policies.acting(bc, config, task, stack.networks, statistics, (1, 2)))
    for _ in range(2):  # a second rollout begins anew
        noted.actions.clear()
        result = rollout(noted, environment, episodes, seeds)
        actions = torch.stack(noted.actions).view(-1, 2, episodes, 3)
        for place, seed in enumerate(seeds):
            actor = plain.one_net(stack.networks["actor"], place + 1)
            for episode in range(episodes):
                start = episode_seed(seed, episode)
                expected, total = plain_episode(actor, statistics, environment, start)
                found = actions[: len(expected), place, episode]
                assert (found - expected).abs().max() < 1e-6
                assert result.lengths[place, episode] == len(expected)
                assert result.returns[place, episode] == pytest.approx(total)
    assert result.lengths.max() > K


class Stopped(Exception):
    pass


@METHODS
def test_stopped_it_goes_on_to_the_same_end(home, tmp_path, name):
    own = {"statistics_of": "all"} if name == "percent_bc" else {}

    def train(folder, **more):
        given = {"seeds": (4, 1), "steps": 30, "evaluate_every": 12, "episodes": 2}
        settings = {**SMALL, **own}
        return datumrl.train(name, DATASET, settings=settings, folder=folder, **given, **more)

    def stop(progress):
        if progress.step >= 17:
            raise Stopped

    straight = train(tmp_path / "straight")
    with pytest.raises(Stopped):
        train(tmp_path / "broken", progress=stop, checkpoint_seconds=0)
    assert [record.evaluations for record in train(tmp_path / "broken")] == [
        record.evaluations for record in straight
    ]
    one, other = (
        checkpoints.load(tmp_path / folder / checkpoints.FILE, CPU)["stack"]["networks"]["actor"]
        for folder in ("straight", "broken")
    )
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    again = training.reroll(tmp_path / "broken", offset=0)
    assert [r.evaluations[0] for r in again] == [r.evaluations[-1] for r in straight]
    with pytest.raises(DatumrlError, match="acts on what it remembers"):
        export_policy(tmp_path / "broken", 4)


def test_without_warmup_the_rate_is_full_from_the_first_step(uneven):
    for name in ("bc", "dt"):
        assert registry.resolve(name, {"warmup_steps": "0"}).warmup_steps == 0
    config = dataclasses.replace(config_of("bc"), warmup_steps=0, dropout=0.0)
    task = Task(STATE, ACTION, torch.ones(ACTION))
    stack = Stack.create(bc, config, task, (0,))
    source = bc.data(config, uneven, "correct", CPU)
    bc.update(stack, source.gather(torch.arange(9)[None]), {}, 1)
    assert stack.optimisers["actor"].param_groups[0]["lr"] == LR
