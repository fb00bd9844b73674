"""The public functions that do by a dataset's id what the commands do."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

import datumrl

PENDULUM = "local/inverted-pendulum-random-v1@200"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DATUMRL_HOME", str(tmp_path))
    return tmp_path


def test_the_catalogue_is_listed_by_collection() -> None:
    every, ours = datumrl.list_datasets(), datumrl.list_datasets("local")
    assert len(every) > 1000
    assert {record.collection for record in ours} == {"local"}
    assert ours == [record for record in every if record.collection == "local"]
    assert datumrl.find(ours[0].id) == ours[0]
    with pytest.raises(datumrl.DatumrlError, match=r"'gym' is no collection; choose .*d4rl, "):
        datumrl.list_datasets("gym")


def test_a_local_dataset_is_collected_then_verified() -> None:
    told: list[tuple[int, int]] = []
    made = datumrl.collect(PENDULUM, progress=lambda *done: told.append(done))
    assert told[-1][0] >= 200
    np.testing.assert_array_equal(made.rewards, datumrl.load(PENDULUM).rewards)
    count = len(told)
    again = datumrl.collect(PENDULUM, progress=lambda *done: told.append(done))
    assert (again.sha256, len(told)) == (made.sha256, count)
    with pytest.raises(datumrl.DatumrlError, match="run `datumrl fetch d4rl/hopper-medium-v2`"):
        datumrl.collect("d4rl/hopper-medium-v2")


def test_a_file_at_hand_is_fetched_and_one_that_is_generated_is_not(home: Path) -> None:
    with h5py.File(home / "mine.hdf5", "w") as file:
        file["rewards"] = np.ones(3)
    content = (home / "mine.hdf5").read_bytes()
    fetched = datumrl.fetch("d4rl/hopper-medium-v2", source=home / "mine.hdf5")
    assert (fetched.how, fetched.path.read_bytes()) == ("imported", content)
    again = datumrl.fetch("d4rl/hopper-medium-v2")
    assert (again.how, again.sha256) == ("verified", fetched.sha256)
    with pytest.raises(datumrl.DatumrlError, match=f"run `datumrl collect {PENDULUM}`"):
        datumrl.fetch(PENDULUM)


def test_the_environment_of_a_dataset_is_made_as_rollouts_have_it() -> None:
    env = datumrl.make(PENDULUM)
    assert env.spec is not None
    assert (env.spec.id, env.spec.max_episode_steps) == ("InvertedPendulum-v4", 1000)
    observation, _ = env.reset(seed=0)
    assert observation.shape == (4,)
    env.close()
    with pytest.raises(
        datumrl.DatumrlError, match=r"nearest to the environment of d4rl/maze2d.*\(nearest=True\)"
    ):
        datumrl.make("d4rl/maze2d-umaze-v1")
    near = datumrl.make("d4rl/maze2d-umaze-v1", nearest=True)
    assert near.observation_space.shape == (4,)
    near.close()
    with pytest.raises(datumrl.DatumrlError, match="has no environment that is made here"):
        datumrl.make("neorl2/Pipeline")
