"""Decision Transformer in environments: memory, targets, records, resumption."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator

import gymnasium
import numpy as np
import pytest
import torch

import datumrl
from datumrl.algorithms import checkpoints, policies, registry, training
from datumrl.algorithms import decision_transformer as dt
from datumrl.algorithms.batches import Statistics
from datumrl.algorithms.sequence_batches import Windows
from datumrl.algorithms.stack import Stack, Task
from datumrl.algorithms.streams import Streams
from datumrl.datasets.catalogue import Environment
from datumrl.datasets.episodes import Episodes, episode_starts
from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation.records import read_record, score_rows
from datumrl.evaluation.rollout import episode_seed, rollout

DATASET = "local/inverted-pendulum-mixed-v1@2k"
CPU = torch.device("cpu")
SMALL = {
    "context_length": 4,
    "layers": 1,
    "embedding_dim": 16,
    "batch_size": 8,
    "warmup_steps": 5,
    "actor_lr": 3e-3,
}


class Noted:
    """A policy that is listened to."""

    def __init__(self, policy):
        self.policy, self.actions = policy, []
        self.reset, self.rewarded = policy.reset, policy.rewarded

    def __call__(self, observations):
        self.actions.append(self.policy(observations))
        return self.actions[-1]


def plain_episode(stack, place, statistics, target, environment, seed):
    """One episode of one policy with its whole history at hand; return its actions and return."""
    config, networks = stack.config, {"actor": [p[place] for p in stack.networks["actor"]]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        env = gymnasium.make(environment.id, max_episode_steps=environment.time_limit)
    state, _ = env.reset(seed=seed)
    states, actions, wanted, total, ended = [], [], [target / config.return_scale], 0.0, False
    while not ended:
        now = torch.as_tensor(state.astype(np.float32)).double()
        states.append((now - statistics.mean) / statistics.scale)
        first = max(0, len(states) - config.context_length)
        times = torch.arange(first, len(states)).clamp(max=config.max_timesteps - 1)
        unknown = torch.full((env.action_space.shape[0],), 99.0, dtype=torch.float64)
        windows = Windows(
            torch.stack(states[first:])[None],
            torch.stack([*actions[first:], unknown])[None],
            torch.tensor(wanted[first:], dtype=torch.float64)[None],
            times[None],
            torch.ones((1, len(times)), dtype=torch.float64),
        )
        with torch.no_grad():
            found = dt.predicted(config, stack.task, networks["actor"], windows, {})[0, -1]
        actions.append(found)
        state, reward, terminated, truncated, _ = env.step(
            np.clip(found.numpy(), env.action_space.low, env.action_space.high)
        )
        wanted.append(wanted[-1] - reward / config.return_scale)
        total, ended = total + reward, terminated or truncated
    env.close()
    return torch.stack(actions), total


def test_memory_is_that_of_a_plain_loop_over_one_environment():
    environment, episodes, seeds = Environment("Hopper-v4", 40), 2, (5, 2)
    task = Task(11, 3, torch.ones(3, dtype=torch.float64))
    targets = {"return_targets": (60.0, -40.0, 7.0), "return_scale": 20.0}
    config = dt.Config(**{**SMALL, **targets, "layers": 2, "max_timesteps": 10})
    stack = Stack.create(dt, config, task, (9, *seeds), torch.float64)
    with torch.no_grad():  # so that the past and the target matter
        for tensor in stack.networks["actor"][1:]:
            tensor += 0.3 * torch.randn(tensor.shape, generator=torch.Generator().manual_seed(0))
    rng = np.random.default_rng(0)
    mean, scale = torch.as_tensor(rng.normal(size=11)), torch.as_tensor(rng.uniform(1, 2, 11))
    statistics = Statistics(mean, scale)
    trained = Noted(policies.acting(dt, config, task, stack.networks, statistics, (1, 2)))
    for _ in range(2):  # a second rollout begins anew
        trained.actions.clear()
        each = [seed for seed in seeds for _ in config.return_targets]
        result = rollout(trained, environment, episodes, each)
        actions = torch.stack(trained.actions).view(-1, 2, 3, episodes, 3)
        for place, seed in enumerate(seeds):
            for which, target in enumerate(config.return_targets):
                for episode in range(episodes):
                    start = episode_seed(seed, episode)
                    plain, total = plain_episode(
                        stack, place + 1, statistics, target, environment, start
                    )
                    found = actions[: len(plain), place, which, episode]
                    assert (found - plain).abs().max() < 1e-6
                    assert result.lengths[3 * place + which, episode] == len(plain)
                    assert result.returns[3 * place + which, episode] == pytest.approx(total)
    assert result.lengths.max() > config.max_timesteps
    assert len(np.unique(result.returns)) == result.returns.size


def train(folder, **changes):
    given = {"seeds": (4, 1), "steps": 30, "settings": SMALL, "evaluate_every": 12, "episodes": 2}
    return datumrl.train("dt", DATASET, folder=folder, device="cpu", **{**given, **changes})


def content(folder):
    records = {path.name: path.read_text() for path in folder.glob("seed-*.json")}
    saved = checkpoints.load(folder / checkpoints.FILE, CPU)
    tensors = saved.pop("stack")["networks"]["actor"]
    for name in ("task", "statistics"):
        tensors = [*tensors, *(t for t in saved.pop(name).values() if hasattr(t, "shape"))]
    return records, saved, tensors


def test_every_target_is_a_run_of_its_own(home, tmp_path):
    records = train(tmp_path / "run")
    names = [(record.algorithm, record.seed) for record in records]
    labels = ("dt-target-1", "dt-target-2")
    assert names == [(label, seed) for label in labels for seed in (4, 1)]
    targets = [record.configuration["return_target"] for record in records]
    assert targets[0] == targets[1] > targets[2] == targets[3]
    for record in records:
        assert record.configuration["return_targets"] == [targets[0], targets[2]]
        assert [point.step for point in record.evaluations] == [12, 24, 30]
        suffix = record.algorithm.removeprefix("dt")
        assert read_record(tmp_path / "run" / f"seed-{record.seed:03d}{suffix}.json") == record
        assert {row.algorithm for row in score_rows(record)} == {record.algorithm}
    assert len({json.dumps(r.model_dump(mode="json")["evaluations"]) for r in records}) == 4
    again = training.reroll(tmp_path / "run", offset=0)
    assert [record.evaluations[0] for record in again] == [r.evaluations[-1] for r in records]
    assert [(record.algorithm, record.seed) for record in again] == names
    assert [record.configuration["return_target"] for record in again] == targets


def test_given_targets_in_their_order(home, tmp_path):
    settings = {**SMALL, "return_targets": "5,200,-3"}
    records = train(tmp_path / "run", settings=settings, seeds=(0,), steps=6)
    assert [record.configuration["return_target"] for record in records] == [5, 200, -3]
    assert [record.algorithm for record in records] == [f"dt-target-{n}" for n in (1, 2, 3)]
    alone = train(
        tmp_path / "alone", settings=settings | {"return_targets": "200"}, seeds=(0,), steps=6
    )
    assert alone[0].evaluations == records[1].evaluations
    with pytest.raises(DatumrlError, match="return_targets"):
        train(tmp_path / "none", settings={**SMALL, "return_targets": "far"})


class Stopped(Exception):
    pass


@pytest.mark.parametrize("calls", [1, 3, 8])
def test_stopped_in_any_phase_it_goes_on_to_the_same_end(home, tmp_path, calls):
    train(tmp_path / "straight")
    left = calls

    def stop(_):
        nonlocal left
        left -= 1
        if left == 0:
            raise Stopped

    with pytest.raises(Stopped):
        train(tmp_path / "broken", progress=stop, checkpoint_seconds=0)
    train(tmp_path / "broken")
    straight, broken = content(tmp_path / "straight"), content(tmp_path / "broken")
    assert straight[:2] == broken[:2]
    for one, other in zip(straight[2], broken[2], strict=True):
        assert torch.equal(one, other)


def test_a_seed_that_diverges_fails_for_every_target(home, tmp_path):
    def stop(progress):
        if progress.step == 12 and progress.evaluated:
            raise Stopped

    with pytest.raises(Stopped):
        train(tmp_path / "run", progress=stop)
    path = tmp_path / "run" / checkpoints.FILE
    saved = checkpoints.load(path, CPU)
    saved["stack"]["networks"]["actor"][1][1] = torch.inf
    saved.pop("format")
    checkpoints.save(path, saved)
    records = train(tmp_path / "run")
    status = {(record.algorithm[-1], record.seed): record.status for record in records}
    assert {key for key, value in status.items() if value == "failed"} == {("1", 1), ("2", 1)}
    assert all(len(record.evaluations) == 1 for record in records if record.seed == 1)
    again = training.reroll(tmp_path / "run", offset=0)
    assert [record.status for record in again] == [record.status for record in records]


class Pay(gymnasium.Env):
    """Twelve steps; each pays its action."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,))
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return self.np_random.normal(size=2), {}

    def step(self, action):
        self.count += 1
        return self.np_random.normal(size=2), float(action[0]), self.count == 12, False, {}


@pytest.fixture
def pay() -> Iterator[Environment]:
    gymnasium.register("DatumrlPay-v0", entry_point=Pay)
    yield Environment("DatumrlPay-v0", 50)
    del gymnasium.registry["DatumrlPay-v0"]


def mixed_pay() -> Episodes:
    """400 episodes, each with a level of pay of its own."""
    rng = np.random.default_rng(0)
    level = np.repeat(rng.uniform(-1, 1, 400), 12)
    actions = np.clip(level + rng.normal(0, 0.1, level.shape), -1, 1).astype(np.float32)
    ends = np.arange(len(level)) % 12 == 11
    return Episodes(
        id="pay",
        observations=rng.normal(size=(len(level), 2)).astype(np.float32),
        actions=actions[:, None],
        rewards=actions,
        terminals=ends,
        timeouts=np.zeros(len(ends), bool),
        starts=episode_starts(ends, np.zeros(len(ends), bool)),
        successor_rows=np.empty(0, np.int64),
        successors=np.empty((0, 2), np.float32),
        time_limit=50,
        timeouts_recorded=True,
    )


@pytest.mark.slow
def test_it_earns_about_the_return_it_is_asked_for(pay):
    settings = {**SMALL, "embedding_dim": 32, "batch_size": 32, "max_timesteps": 12}
    targets = {"return_targets": (8.0, 0.0, -8.0), "return_scale": 10.0}
    config = registry.resolve("dt", {**settings, **targets, "context_length": 6})
    source = dt.data(config, mixed_pay(), "correct", CPU)
    seeds, task = (0, 1, 2), Task(2, 1, torch.ones(1))
    stack = Stack.create(dt, config, task, seeds)
    streams = Streams(seeds, len(source), config.batch_size, dt.noise(config, task), CPU)
    for step in range(1, 601):
        rows, noise = streams.at(step)
        dt.update(stack, source.gather(rows), noise, step)
    trained = policies.acting(dt, config, task, stack.networks, source.statistics, range(3))
    points = policies.evaluate(trained, 600, pay, 5, seeds)
    returns = np.array([np.mean(point.returns) for point in points]).reshape(3, 3)
    assert np.abs(returns - [8, 0, -8]).max() < 2.5, returns
