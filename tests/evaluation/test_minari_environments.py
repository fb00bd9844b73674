"""Environments of Minari's datasets: their settings are the dataset's to tell, once it is here."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import datumrl
from datumrl.datasets import catalogue
from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import environments
from datumrl.evaluation.recorder import Recorder
from datumrl.evaluation.records import score_rows, unscored, why_unscored

DATASET, ENVIRONMENT = "minari/mujoco/invertedpendulum/expert-v0", "InvertedPendulum-v5"
FETCH = f"run `datumrl fetch {DATASET}` first"


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of Minari's datasets, and a home."""
    monkeypatch.setenv("DATUMRL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    return tmp_path / "minari"


def bring(root: Path, **fields: Any) -> None:
    """Write what Minari says of the dataset; nothing here reads its episodes."""
    box = {"type": "Box", "dtype": "float64", "low": [-1.0], "high": [1.0]}
    metadata = {
        "observation_space": json.dumps({**box, "shape": [4]}),
        "action_space": json.dumps({**box, "shape": [1]}),
        "ref_min_score": 0.0,
        "ref_max_score": 1000.0,
        **fields,
    }
    folder = root / DATASET.removeprefix("minari/") / "data"
    folder.mkdir(parents=True)
    (folder / "metadata.json").write_text(json.dumps(metadata))


def recorder(**changes: Any) -> Recorder:
    return Recorder("mine", DATASET, 0, {}, 10, **{"episodes": 2, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"nearest": True},
        {"environment": ENVIRONMENT},
        {"environment": ENVIRONMENT, "engine": {}},
    ],
)
def test_what_the_dataset_would_tell_is_asked_for_before_anything_is_recorded(
    root: Path, changes: dict[str, Any]
) -> None:
    with pytest.raises(DatumrlError, match=FETCH):
        recorder(**changes)
    bring(root, env_spec=json.dumps({"id": ENVIRONMENT, "max_episode_steps": 500}))
    told = recorder(**changes).record.protocol
    assert (told.environment, told.time_limit, told.nearest) == (ENVIRONMENT, 500, False)


def test_nothing_is_rolled_out_before_and_scores_are_the_datasets_afterwards(root: Path) -> None:
    def still(observations: np.ndarray) -> np.ndarray:
        return np.zeros((len(observations), 1))

    with pytest.raises(DatumrlError, match=FETCH):
        datumrl.evaluate(still, DATASET, episodes=1, nearest=True)
    with pytest.raises(DatumrlError, match="run `datumrl fetch ID` first"):
        environments.make(catalogue.find(DATASET).environment, nearest=True)
    spec = {"id": ENVIRONMENT, "max_episode_steps": 500, "kwargs": {"reset_noise_scale": 0.02}}
    bring(root, env_spec=json.dumps(spec))
    record = datumrl.evaluate(still, DATASET, episodes=1)
    assert record.protocol.environment_kwargs == {"reset_noise_scale": 0.02}
    assert score_rows(record)[0].score == pytest.approx(record.evaluations[0].returns[0] / 10)


def test_a_maze_is_rolled_out_in_as_its_dataset_tells_it(root: Path) -> None:
    pytest.importorskip("gymnasium_robotics")
    maze = [[1, 1, 1, 1, 1], [1, "r", 0, "g", 1], [1, 1, 1, 1, 1]]
    kwargs = {"maze_map": maze, "continuing_task": True, "reset_target": False}
    spec = {"id": "PointMaze_Open-v3", "max_episode_steps": 100, "kwargs": kwargs}
    bring(root, eval_env_spec=json.dumps(spec))
    environment = catalogue.find(DATASET).environment
    assert environment.equivalent
    assert environment.note == ""
    env = environments.make(environment)
    assert env.unwrapped.maze.maze_map == maze
    env.close()

    def right(observations: np.ndarray) -> np.ndarray:
        return np.tile([1.0, 0.0], (len(observations), 1))

    record = datumrl.evaluate(right, DATASET, episodes=2)
    assert record.protocol.environment_kwargs == kwargs
    assert max(record.evaluations[0].returns) > 0  # the goal is two cells to the right
    again = type(record).model_validate_json(record.model_dump_json())
    assert unscored(catalogue.find(DATASET), again.protocol) == ""
    assert score_rows(again)[0].score == pytest.approx(np.mean(again.evaluations[0].returns) / 10)


def test_whether_a_kitchen_is_made_here_is_not_known_before() -> None:
    kitchen = catalogue.find("minari/D4RL/kitchen/complete-v2")
    for refused in (environments.environment_of, environments.require_stated):
        with pytest.raises(DatumrlError, match=f"run `datumrl fetch {kitchen.id}` first"):
            refused(kitchen)


def test_another_environment_can_be_recorded_without_the_dataset() -> None:
    with recorder(environment="my-pole-v1", time_limit=50, engine={"mine": "1"}) as run:
        run.log(10, [1.0, 2.0], [3, 4])
    assert score_rows(run.record)[0].score is None


def test_a_reader_without_the_dataset_is_told_to_fetch_it(root: Path) -> None:
    spec = {"id": ENVIRONMENT, "max_episode_steps": 500}
    bring(root, env_spec=json.dumps(spec))
    protocol, here = recorder().record.protocol, catalogue.find(DATASET)
    assert unscored(here, protocol) == ""
    (root / DATASET.removeprefix("minari/") / "data" / "metadata.json").unlink()
    away = catalogue.find(DATASET)
    assert FETCH in unscored(replace(away, reference=here.reference), protocol)
    assert why_unscored(DATASET) == "no reference scores"


def test_metadata_that_names_no_environment_asks_for_no_fetching(root: Path) -> None:
    bring(root)
    with pytest.raises(DatumrlError, match=r"only the nearest .*metadata names no .*--nearest"):
        recorder()
    assert recorder(nearest=True).record.protocol.nearest
