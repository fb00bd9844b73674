"""Recorded states replayed in MuJoCo: sound data agrees, planted faults are counted exactly."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from datumrl.datasets import catalogue, loading, prepared
from datumrl.datasets.episodes import Episodes
from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import auditing, collector, recipes
from datumrl.evaluation.environments import environment_of
from datumrl.evaluation.replay import EXACT_REWARD, can_replay, finding, replay
from datumrl.scripts.main import main

MAZE = "local/pointmaze-umaze-v1@1k"
HOPPER = "local/hopper-random-v1@1k"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home in which collections have short streams, so that small prefixes are quick."""
    monkeypatch.setenv("DATUMRL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("D4RL_DATASET_DIR", str(tmp_path / "none"))
    monkeypatch.setattr(
        collector,
        "recipe_for",
        lambda record: replace(recipes.recipe_for(record), lanes=2, stream_rows=500),
    )
    return tmp_path / "home"


def collected(name: str) -> tuple[Episodes, dict[str, np.ndarray], catalogue.Environment]:
    record = catalogue.find(name)
    made = collector.collect(record)
    return made.episodes, prepared.read_extras(made.folder), environment_of(record)


def judged(episodes: Episodes, extras: dict, environment: catalogue.Environment, **changes: object):
    """Replay every row with some columns changed, and judge it in the engine of the collection."""
    names = {key: value for key, value in changes.items() if hasattr(episodes, key)}
    infos = {f"infos/{key}": value for key, value in changes.items() if key not in names}
    result = replay(replace(episodes, **names), {**extras, **infos}, environment, rows=None)
    return finding(result, same_engine=True, engine="here")


@pytest.mark.parametrize("name", [MAZE, HOPPER, "local/halfcheetah-random-v1@1k"])
def test_local_datasets_replay_exactly_and_pass_the_audit(name: str, home: Path) -> None:
    episodes, extras, environment = collected(name)
    result = replay(episodes, extras, environment, rows=300, seed=1)
    assert len(result.rows) == 300
    assert result.exact_rewards
    assert result.quantiles("reward")["largest"] < EXACT_REWARD
    report = auditing.audit_dataset(name, replay_rows=100)
    assert report.failures(strict=True) == []
    assert report.finding("replay").verdict == "pass"
    assert report.finding("actions in their space").verdict == "pass"


@pytest.mark.slow
def test_planted_faults_are_counted_exactly(home: Path) -> None:
    episodes, extras, environment = collected(HOPPER)
    data = (episodes, extras, environment)
    assert judged(*data).counts["rows that disagree"] == 0

    rewards = np.array(extras["infos/reward"])
    rewards[[3, 50]] += 1e-6  # what float32 would hide
    result = judged(*data, reward=rewards)
    assert (result.verdict, result.rows) == ("fail", (3, 50))
    assert "rewards" in result.remedy

    terminals = np.array(episodes.terminals)
    terminals[:2] = True
    result = judged(*data, terminals=terminals)
    assert result.counts["terminations that disagree"] == 2
    assert result.rows == (0, 1)

    observations = np.array(episodes.observations)
    observations[7] += 0.01  # seen as the state of row 7 and as the successor of row 6
    assert judged(*data, observations=observations).rows == (6, 7)

    states = np.roll(extras["infos/qvel"], 1, axis=0)  # a wrong alignment
    result = judged(*data, qvel=states)
    assert result.counts["rows that disagree"] > 0.9 * len(episodes)
    assert "infos/qpos" in result.remedy

    actions = np.zeros_like(episodes.actions)
    result = judged(*data, actions=actions)
    assert result.verdict == "fail"
    assert result.counts["state error, largest"] < 1e-6 < result.counts["step error, median"]


def test_a_sample_is_seeded_and_rows_without_successors_are_left_out(home: Path) -> None:
    episodes, extras, environment = collected(HOPPER)
    first, second = (replay(episodes, extras, environment, rows=50, seed=4) for _ in range(2))
    np.testing.assert_array_equal(first.rows, second.rows)
    assert len(np.unique(first.rows)) == 50
    none = np.zeros(0, np.int64)
    bare = replace(episodes, successor_rows=none, successors=episodes.successors[:0])
    result = replay(bare, extras, environment, rows=None)
    np.testing.assert_array_equal(
        result.rows[np.isnan(result.step)], np.asarray(episodes.starts[1:]) - 1
    )
    assert finding(result, same_engine=True, engine="").verdict == "pass"


def test_another_engine_version_may_differ_a_little_but_not_much(home: Path) -> None:
    episodes, extras, environment = collected(HOPPER)
    result = replay(episodes, extras, environment, rows=200)
    assert finding(result, same_engine=False, engine="mujoco 3").verdict == "pass"
    typical = np.median(result.motion)
    near = replace(result, step=result.step + 0.05 * typical)
    assert finding(near, same_engine=True, engine="mujoco 3").verdict == "fail"
    judged_near = finding(near, same_engine=False, engine="mujoco 3")
    assert judged_near.verdict == "pass"
    assert "another engine version" in judged_near.summary
    far = replace(result, step=result.step + 0.5 * typical)
    assert finding(far, same_engine=False, engine="mujoco 3").verdict == "fail"


def test_what_cannot_be_replayed_is_said(home: Path) -> None:
    episodes, extras, environment = collected(HOPPER)
    assert "infos/qvel" in can_replay(episodes, {"infos/qpos": extras["infos/qpos"]})
    with pytest.raises(DatumrlError, match="full state is not recorded"):
        replay(episodes, {}, environment)
    wrong = {**extras, "infos/qpos": extras["infos/qpos"][:, :4]}
    with pytest.raises(DatumrlError, match=r"\(4, 6\) positions and velocities"):
        replay(episodes, wrong, environment)
    empty = replace(episodes, rewards=episodes.rewards[:0])
    assert can_replay(empty, extras) == "the dataset holds no rows"


def d4rl_file(path: Path, episodes: Episodes, extras: dict[str, np.ndarray]) -> Path:
    """Write a collection as D4RL's v1 and v2 files are, with float32 rewards and the states."""
    following = np.roll(np.asarray(episodes.observations), -1, axis=0)
    following[episodes.successor_rows] = episodes.successors
    with h5py.File(path, "w") as file:
        for name in ("observations", "actions", "rewards", "terminals", "timeouts"):
            file[name] = getattr(episodes, name)
        file["next_observations"] = following
        for name in ("infos/qpos", "infos/qvel"):
            file[name] = extras[name]
    return path


def test_wrong_states_are_the_known_erratum_of_v1_and_a_failure_of_v2(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    episodes, extras, _ = collected(HOPPER)
    right = d4rl_file(tmp_path / "right.hdf5", episodes, extras)
    shuffled = {name: np.array(extras[name])[::-1] for name in ("infos/qpos", "infos/qvel")}
    wrong = d4rl_file(tmp_path / "wrong.hdf5", episodes, shuffled)

    def audit(version: int, path: Path, *options: str) -> int:
        name = f"d4rl/hopper-random-v{version}"
        code = main(["stats", name, "--audit", "--path", str(path), *options])
        capsys.readouterr()
        return code

    assert audit(2, right) == 0
    assert audit(2, wrong) == 1
    assert audit(2, wrong, "--replay-rows", "0") == 0
    assert audit(1, wrong) == 0
    assert audit(1, wrong, "--strict") == 1
    report = auditing.audit_dataset("d4rl/hopper-random-v1", path=wrong)
    assert "infos/qpos and infos/qvel are wrong" in report.finding("replay").known_erratum


def test_a_missing_boundary_is_the_known_erratum_of_v0_and_a_failure_of_v2(
    home: Path, tmp_path: Path
) -> None:
    episodes, extras, _ = collected(HOPPER)
    end = int(episodes.starts[10]) - 1
    terminals = np.array(episodes.terminals)
    terminals[end] = False
    path = d4rl_file(tmp_path / "joined.hdf5", replace(episodes, terminals=terminals), extras)
    reports = [
        auditing.audit_dataset(f"d4rl/hopper-random-v{version}", path=path, replay_rows=None)
        for version in (0, 2)
    ]
    for report in reports:
        jump = report.finding("continuity")
        assert (jump.verdict, jump.rows) == ("fail", (end,))
        stored = report.finding("stored next observations")  # the true successor was stored
        assert (stored.verdict, stored.rows) == ("fail", (end,))
        assert report.finding("replay").rows == (end,)  # the environment says terminated
    assert "v0 policies" in reports[0].finding("continuity").known_erratum
    names = [finding.check for finding in reports[1].failures()]
    assert names == ["stored next observations", "continuity"]


def test_a_prefix_finds_the_states_of_the_whole_and_other_data_has_none(home: Path) -> None:
    collected(HOPPER)
    episodes = loading.load(HOPPER)
    extras, origin = auditing.extras_of(episodes.prefix(100))
    assert len(extras["infos/qpos"]) == len(episodes.prefix(100))
    assert origin["recipe"]["dataset"] == "local/hopper-random-v1"
    in_memory = replace(episodes, rewards=np.array(episodes.rewards))
    assert auditing.extras_of(in_memory) == ({}, {})


def test_leakage_is_a_failure_of_the_command(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    collected(MAZE)
    collected("local/pointmaze-umaze-v1@300")
    options = ["--audit", "--replay-rows", "0"]
    assert main(["stats", MAZE, *options]) == 0
    assert "sound" in capsys.readouterr().out
    code = main(["stats", MAZE, *options, "--against", "local/pointmaze-umaze-v1@300", "--json"])
    assert code == 1
    assert '"failures": [\n    "leakage"\n  ]' in capsys.readouterr().out
    assert main(["stats", "local/no-such-thing", "--audit"]) == 2
    assert main(["stats", MAZE, "--strict"]) == 2  # only an audit can be strict
