"""The ant of D4RL's data: Ant-v4's process with zeros for contact forces, wherever it is run."""

import contextlib

import gymnasium
import numpy as np
import pytest

from datumrl.datasets import catalogue
from datumrl.datasets.audit import audit
from datumrl.datasets.episodes import Episodes, episode_starts
from datumrl.evaluation import environments
from datumrl.evaluation.environment_facts import environment_facts
from datumrl.evaluation.replay import finding, replay
from datumrl.evaluation.rollout import rollout

RECORD = catalogue.find("d4rl/ant-medium-v2")
BODY = 27  # values of positions and velocities


def moves(seed: int) -> np.ndarray:
    """Return slowly changing actions that keep the ant on its feet for a while, (200, 8)."""
    steps = np.random.default_rng(seed).normal(size=(200, 8))
    return np.clip(np.cumsum(steps, axis=0) * 0.05, -1, 1)


@pytest.fixture(scope="module")
def lived() -> tuple[Episodes, dict[str, np.ndarray]]:
    """Two episodes of a plain Ant-v4, recorded as D4RL's files are."""
    columns: dict[str, list] = {name: [] for name in ("o", "a", "r", "t", "end", "q", "v")}
    with pytest.warns(DeprecationWarning, match="Ant-v4 is out of date"):
        env = gymnasium.make("Ant-v4", max_episode_steps=200)
    with contextlib.closing(env):
        for seed in range(2):
            seen, _ = env.reset(seed=seed)
            for action in moves(seed):
                inner = env.unwrapped.data
                states = (inner.qpos.copy(), inner.qvel.copy())
                after, reward, terminated, truncated, _ = env.step(action)
                row = (np.pad(seen, (0, 84)), action, reward, terminated, truncated, *states)
                for column, value in zip(columns.values(), row, strict=True):
                    column.append(value)
                seen = after
                if terminated or truncated:
                    break
    terminals, timeouts = np.array(columns["t"]), np.array(columns["end"]) & ~np.array(columns["t"])
    episodes = Episodes(
        id=RECORD.id,
        observations=np.array(columns["o"], np.float32),
        actions=np.array(columns["a"], np.float32),
        rewards=np.array(columns["r"], np.float32),
        terminals=terminals,
        timeouts=timeouts,
        starts=episode_starts(terminals, timeouts),
        successor_rows=np.zeros(0, np.int64),
        successors=np.zeros((0, 111), np.float32),
        time_limit=200,
        timeouts_recorded=True,
    )
    return episodes, {"infos/qpos": np.array(columns["q"]), "infos/qvel": np.array(columns["v"])}


def test_it_is_the_default_ant_v4_and_zeros() -> None:
    with pytest.warns(DeprecationWarning, match="Ant-v4 is out of date"):
        plain = gymnasium.make("Ant-v4")
    with (
        contextlib.closing(plain),
        contextlib.closing(environments.make(environments.environment_of(RECORD))) as ours,
    ):
        assert ours.observation_space.shape == (RECORD.observation_dim,) == (BODY + 84,)
        assert ours.observation_space.contains(ours.reset(seed=5)[0])
        np.testing.assert_array_equal(ours.reset(seed=5)[0][:BODY], plain.reset(seed=5)[0])
        for action in moves(5):
            seen, *rest = ours.step(action)
            expected, *others = plain.step(action)
            np.testing.assert_array_equal(seen, np.pad(expected, (0, 84)))
            assert rest == others
            if rest[1]:
                break


def test_rollouts_show_policies_what_the_data_hold() -> None:
    shown = []

    def policy(observations: np.ndarray) -> np.ndarray:
        shown.append(observations.copy())
        return np.zeros((len(observations), 8))

    limited = catalogue.Environment(RECORD.environment.id, 30)
    found = rollout(policy, limited, episodes=2, seeds=[0, 1])
    every = np.stack(shown)  # standing on the floor from early on
    assert every.shape[1:] == (4, 111)
    assert not every[..., BODY:].any()
    assert found.lengths.tolist() == [[30, 30], [30, 30]]


def test_recorded_data_replay_and_the_zeros_are_a_known_erratum(
    lived: tuple[Episodes, dict[str, np.ndarray]],
) -> None:
    episodes, extras = lived
    result = replay(episodes, extras, RECORD.environment, rows=None)
    judged = finding(result, same_engine=False, engine="here")
    assert judged.verdict == "pass", judged
    assert result.quantiles("step")["largest"] < 1e-5
    constant = audit(episodes, RECORD).finding("constant columns")
    assert (constant.verdict, constant.counts["constant"]) == ("warn", 84)
    assert "D4RL#143" in constant.known_erratum


def test_other_programs_can_make_it_from_what_is_exported() -> None:
    facts = environment_facts(RECORD.environment)
    spec = gymnasium.envs.registration.EnvSpec.from_json(facts.spec)
    with contextlib.closing(gymnasium.make(spec)) as env:
        assert env.reset(seed=0)[0].shape == (111,)
