"""The fast rows equal Gymnasium's environments bit by bit, over whole episodes."""

from __future__ import annotations

import numpy as np
import pytest

from datumrl.datasets.catalogue import Environment
from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import environments, fast_locomotion, provenance
from datumrl.evaluation.fast_locomotion import Locomotion
from datumrl.evaluation.locomotion import controller
from datumrl.evaluation.rollout import _Rows, rollout

# Each with a behaviour policy under which some episodes end early and others by the time limit.
BODIES = {"HalfCheetah-v4": "halfcheetah", "Hopper-v4": "hopper", "Walker2d-v4": "walker2d"}


def policies(identity: str, dtype: type):
    """Return actions of a random policy that learned nothing, and of one that moves."""
    generator = np.random.default_rng(1)
    dimension = 3 if identity == "Hopper-v4" else 6

    def act(observations: np.ndarray) -> np.ndarray:
        noise = generator.uniform(-1, 1, (len(observations), dimension))
        try:
            moving = controller(BODIES[identity], "medium").mode(observations)
        except DatumrlError:  # no policy of this body ships
            moving = np.zeros_like(noise)
        half = len(observations) // 2
        moving[:half] = noise[:half]
        return moving.astype(dtype)

    return act


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("identity", BODIES)
@pytest.mark.parametrize("threads", ["1", "2"])
def test_every_step_is_gymnasiums(identity, dtype, threads, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    monkeypatch.setattr(provenance, "usable_cores", lambda: 2)
    environment, seeds = Environment(identity, 300), [3, 1, 4, 1]
    assert fast_locomotion.knows(environment)
    fast = Locomotion(environments.make(environment), environment, seeds)
    slow = _Rows([environments.make(environment) for _ in seeds], seeds)
    assert np.array_equal(fast.observations, slow.observations)
    act, live, observations, lengths = policies(identity, dtype), [0, 1, 2, 3], slow.observations, 0
    while live:
        actions = np.clip(act(observations.astype(np.float32)), -1, 1)
        mine, its = fast.step(live, actions), slow.step(live, actions)
        for one, other in zip(mine, its, strict=True):
            assert one.dtype == other.dtype
            assert np.array_equal(one, other)
        observations = observations.copy()
        observations[live] = its[0]
        live = [row for row, end in zip(live, its[2], strict=True) if not end]
        lengths += 1
    assert lengths == 300 or identity != "HalfCheetah-v4"
    fast.close()
    slow.close()


def test_unhealthy_states_end_as_they_do_in_gymnasium():
    generator = np.random.default_rng(0)
    for identity in ("Hopper-v4", "Walker2d-v4"):
        env = environments.make(Environment(identity, 1000)).unwrapped
        env.reset(seed=0)
        positions = generator.normal(0, [50, 1, 0.5], (400, 3))
        positions[:, 1] += 1
        scale = generator.choice([1, 60], (400, 1))
        rest = generator.normal(0, scale, (400, env.model.nq - 3 + env.model.nv))
        positions = np.concatenate([positions, rest[:, : env.model.nq - 3]], axis=1)
        velocities = rest[:, env.model.nq - 3 :]
        velocities[7, 0] = np.nan
        found = fast_locomotion._BODIES[identity].healthy(positions, velocities)
        expected = []
        for position, velocity in zip(positions, velocities, strict=True):
            env.data.qpos[:], env.data.qvel[:] = position, velocity
            expected.append(env.is_healthy)
        assert found.tolist() == expected
        assert 0 < sum(expected) < 400


def test_a_rollout_takes_it_and_other_settings_do_not(monkeypatch):
    def act(observations):
        return np.tanh(observations[:, :3])

    fast = rollout(act, Environment("Hopper-v4", 1000), 3, [5, 6])
    monkeypatch.setattr(fast_locomotion, "knows", lambda _: False)
    slow = rollout(act, Environment("Hopper-v4", 1000), 3, [5, 6])
    assert np.array_equal(fast.returns, slow.returns)
    assert np.array_equal(fast.lengths, slow.lengths)
    monkeypatch.undo()
    assert not fast_locomotion.knows(Environment("Hopper-v4", 1000, {"healthy_reward": 2.0}))
    assert not fast_locomotion.knows(Environment("Ant-v4", 1000))


def test_threads_are_as_many_as_cores_unless_fewer_are_asked_for(monkeypatch):
    monkeypatch.setattr(provenance, "usable_cores", lambda: 4)
    for asked, used in (("2", 2), ("8", 4), ("", 4), ("0", 4), ("4,2", 4)):
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
        assert provenance.usable_threads() == used
