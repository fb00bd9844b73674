"""Rollouts in environments that are only the nearest: asked for by name, and never scored."""

from __future__ import annotations

import contextlib
import json

import numpy as np
import pytest

import datumrl
from datumrl.datasets import catalogue, places, prepared
from datumrl.datasets.episodes import Episodes, episode_starts
from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import environments
from datumrl.evaluation.recorder import protocol_for
from datumrl.evaluation.records import Protocol, read_record, score_rows
from datumrl.scripts import main

pytest.importorskip("gymnasium_robotics")

MAZE, ANT, DOOR = "d4rl/maze2d-umaze-v1", "d4rl/antmaze-umaze-v2", "d4rl/door-human-v1"


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("DATUMRL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("D4RL_DATASET_DIR", str(tmp_path / "none"))


def zeros(width):
    return lambda observations: np.zeros((len(observations), width))


@pytest.mark.parametrize(("dataset", "width"), [(MAZE, 4), (ANT, 29), (DOOR, 39)])
def test_observations_are_as_flat_as_the_datasets(dataset, width):
    record = catalogue.find(dataset)
    assert record.observation_dim == width
    with contextlib.closing(environments.make_flat(record.environment, nearest=True)) as env:
        start, _ = env.reset(seed=3)
        assert start.shape == env.observation_space.shape == (width,)
        simulator = env.unwrapped
        if dataset != DOOR:  # D4RL's layout is qpos, then qvel
            mover = simulator.ant_env if dataset == ANT else simulator.point_env
            expected = np.concatenate([mover.data.qpos, mover.data.qvel])
            np.testing.assert_allclose(start, expected)
            later = env.step(np.full(env.action_space.shape, 0.5))[0]
            expected = np.concatenate([mover.data.qpos, mover.data.qvel])
            np.testing.assert_allclose(later, expected)


@pytest.mark.parametrize(("dataset", "actions"), [(MAZE, 2), (ANT, 8), (DOOR, 28)])
def test_a_rollout_there_has_to_be_asked_for_and_has_no_score(home, dataset, actions):
    with pytest.raises(DatumrlError, match=r"is only the nearest .* pass --nearest"):
        datumrl.evaluate(zeros(actions), dataset, episodes=1)
    record = datumrl.evaluate(zeros(actions), dataset, episodes=1, nearest=True)
    assert record.protocol.nearest
    assert "gymnasium-robotics" in record.protocol.engine
    (row,) = score_rows(record)
    assert row.score is None
    assert row.mean_return is not None


@pytest.mark.parametrize("nearest", [False, True])
def test_kitchen_is_refused_and_what_the_error_advises_is_scored(home, nearest):
    dataset = "d4rl/kitchen-complete-v0"
    with pytest.raises(DatumrlError, match="FrankaKitchen-v1 is not made here: its obs") as refused:
        datumrl.evaluate(zeros(9), dataset, episodes=1, nearest=nearest)
    assert "nearest=True" not in str(refused.value)
    call = str(refused.value).partition("datumrl.Recorder(..., ")[2].rpartition(").")[0]
    with datumrl.Recorder("mine", dataset, 0, {}, 1, episodes=1, **eval(f"dict({call})")) as run:
        run.log(1, [2.0], [280])
    assert score_rows(run.record)[0].score == pytest.approx(50)


def test_returns_in_another_kitchen_are_logged_by_its_name(home):
    named = {"environment": "FrankaKitchen-v1", "engine": {"gymnasium-robotics": "1.3.1"}}
    with datumrl.Recorder("mine", "d4rl/kitchen-complete-v0", 0, {}, 1, episodes=1, **named) as run:
        run.log(1, [2.0], [280])
    assert run.record.protocol.nearest
    assert score_rows(run.record)[0].score is None


def test_protocols_of_equivalent_environments_are_what_they_were():
    protocol = protocol_for(catalogue.find("d4rl/hopper-medium-v2"), 10, nearest=True)
    assert not protocol.nearest
    content = protocol.model_dump(mode="json")
    assert "nearest" not in content
    assert Protocol.model_validate(content) == protocol
    near = protocol_for(catalogue.find(MAZE), 10, nearest=True)
    assert near.digest != near.model_copy(update={"nearest": False}).digest
    assert Protocol.model_validate_json(json.dumps(near.model_dump(mode="json"))) == near


@pytest.fixture
def maze(home):
    """A prepared maze2d-umaze of a few random rows."""
    rng, rows = np.random.default_rng(0), 200
    none = np.zeros(rows, bool)
    episodes = Episodes(
        id=MAZE,
        observations=rng.standard_normal((rows, 4), np.float32),
        actions=rng.uniform(-1, 1, (rows, 2)).astype(np.float32),
        rewards=rng.random(rows, np.float32),
        terminals=none,
        timeouts=none,
        starts=episode_starts(none, none),
        successor_rows=np.zeros(0, np.int64),
        successors=np.zeros((0, 4), np.float32),
        time_limit=300,
        timeouts_recorded=True,
    )
    prepared.write(places.prepared_folder(catalogue.find(MAZE)), episodes, {})


@pytest.mark.slow
def test_training_and_evaluating_take_the_option_and_say_why_there_is_no_score(
    maze, tmp_path, capsys
):
    options = "--seeds 1 --steps 5 --episodes 1 --set hidden_dims=8,8 --device cpu --workers 1"
    train = ["train", "td3_bc", "--on", MAZE, *options.split(), "--out", str(tmp_path / "run")]
    assert main.main(train) == 2
    assert "pass --nearest" in capsys.readouterr().err
    assert main.main([*train, "--nearest"]) == 0
    record = read_record(tmp_path / "run" / "seed-000.json")
    assert record.protocol.nearest
    assert record.protocol.environment == "PointMaze_UMaze-v3"
    assert score_rows(record)[-1].score is None
    capsys.readouterr()
    assert main.main(["evaluate", str(tmp_path / "run"), "--episodes", "1"]) == 2
    assert "pass --nearest" in capsys.readouterr().err
    assert main.main(["evaluate", str(tmp_path / "run"), "--episodes", "1", "--nearest"]) == 0
    capsys.readouterr()
    assert main.main(["compare", str(tmp_path / "run")]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"PointMaze_UMaze-v3 is only the nearest to the environment of {MAZE}'s scores" in shown
    page = tmp_path / "page"
    assert main.main(["board", str(tmp_path / "run"), "--out", str(page)]) == 0
    assert "only the nearest" in (page / "index.html").read_text()
