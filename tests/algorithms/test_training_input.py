"""Input of `datumrl.train` that cannot be used is refused before anything is written."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch

import datumrl
from datumrl.algorithms import tasks
from datumrl.datasets import catalogue, places, prepared
from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import environments

DATASET = "local/inverted-pendulum-mixed-v1@2k"
HOPPER = "local/hopper-medium-v1"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": []}, "no seeds"),
        ({"seeds": [3, 3]}, "seed 3 is given twice"),
        ({"seeds": [-1]}, "seed -1"),
        ({"seeds": [0.5]}, "seeds are integers"),
        ({"steps": 0}, "steps=0: must be at least 1"),
        ({"settings": {"steps": 5}}, "given twice"),
        ({"evaluate_every": 0}, "evaluate_every=0"),
        ({"episodes": 0}, "episodes=0"),
        ({"device": "tpu"}, "choose auto, cpu or cuda"),
        ({"view": "wrong"}, "'wrong' is no view"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(home, tmp_path, changes, message):
    with pytest.raises(DatumrlError, match=message):
        datumrl.train("td3_bc", DATASET, folder=tmp_path / "run", **{"steps": 60, **changes})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("method", "settings"), [("dt", {}), ("bc", {"context_length": 3}), ("percent_bc", "official")]
)
def test_a_view_is_refused_where_it_would_change_nothing(method, settings):
    options = {"preset": settings} if isinstance(settings, str) else {"settings": settings}
    with pytest.raises(DatumrlError, match="learns from pieces of whole episodes"):
        datumrl.train(method, HOPPER, view="d4rl-legacy", **options)


@pytest.fixture
def hopper(make_episodes, tmp_path, monkeypatch):
    """Put a dataset of so wide observations, with these actions, in Hopper's place."""
    monkeypatch.setenv("DATUMRL_HOME", str(tmp_path / "home"))

    def write(width, actions):
        rng, flags = np.random.default_rng(0), ("-" * 9 + "T") * (len(actions) // 10)
        columns = {
            "observations": rng.normal(size=(len(flags), width)).astype(np.float32),
            "actions": actions.astype(np.float32),
            "successors": np.zeros((0, width), np.float32),
        }
        episodes = make_episodes(flags, id=HOPPER, **columns)
        prepared.write(places.local_folder(catalogue.find(HOPPER)), episodes, {})

    return write


def test_observations_of_another_width_than_the_environments_are_refused(hopper, tmp_path):
    hopper(12, np.zeros((20, 3)))
    with pytest.raises(DatumrlError, match=r"have 12 dimensions, but Hopper-v4 .*shape \(11,\)"):
        datumrl.train("bc", HOPPER, steps=10, evaluate_every=5, folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def _with_actions(monkeypatch, low, high, dtype):
    make = environments.make_flat

    def made(*arguments):
        env = make(*arguments)
        env.action_space = gymnasium.spaces.Box(low, high, (3,), dtype)
        return env

    monkeypatch.setattr(environments, "make_flat", made)


@pytest.mark.parametrize(("low", "high"), [(-np.inf, np.inf), (-1, 2)])
def test_actions_without_symmetric_bounds_are_refused(hopper, tmp_path, monkeypatch, low, high):
    hopper(11, np.zeros((20, 3)))
    _with_actions(monkeypatch, low, high, np.float32)
    with pytest.raises(DatumrlError, match="finite bounds symmetric about zero"):
        datumrl.train("bc", HOPPER, steps=10, evaluate_every=5, folder=tmp_path / "run")


def test_bounds_in_float64_are_trained_on_in_float32(hopper, monkeypatch):
    hopper(11, np.zeros((20, 3)))
    _with_actions(monkeypatch, -1, 1, np.float64)
    task = tasks.of(catalogue.find(HOPPER), datumrl.load(HOPPER), torch.device("cpu"), False)
    assert task.max_action.dtype == torch.float32


@pytest.mark.parametrize("beyond", [None, 1.01, -1.01])
def test_an_action_that_no_policy_can_do_is_told_and_spoils_nothing(hopper, tmp_path, beyond):
    actions = np.random.default_rng(1).uniform(-1, 1, (40, 3))
    actions[3] = [1, -1, 1.0000001]  # as rounding gives
    if beyond is not None:
        actions[17, 2] = beyond
    hopper(11, actions)
    reports = []
    settings = {"bc_steps": 2, "n_actions": 2, "hidden_dims": (8,), "critic_hidden_dims": (8,)}
    (record,) = datumrl.train(
        "cql", HOPPER, [0], 3, settings, 3, 1, tmp_path / "run", "cpu", progress=reports.append
    )
    assert record.status == "complete"
    notes = [note for report in reports for note in report.notes]
    if beyond is None:
        assert notes == []
    else:
        (note,) = notes
        assert note.startswith(f"action 2 of row 17 is {beyond}, beyond the bound of 1: ")
        assert f"`datumrl stats {HOPPER} --audit`" in note


@pytest.mark.parametrize("tracked", [False, True])
def test_without_a_display_notes_are_warnings_of_the_line_that_called(hopper, tmp_path, tracked):
    actions = np.random.default_rng(1).uniform(-1, 1, (40, 3))
    actions[17, 2] = 1.01
    hopper(11, actions)
    settings = {"batch_size": 4, "hidden_dims": (8,)}
    more = {"folder": tmp_path / "run", "device": "cpu", "tensorboard": tracked}
    with pytest.warns(UserWarning, match="action 2 of row 17 is 1.01, beyond the bound") as told:
        datumrl.train("bc", HOPPER, [0], 4, settings, 2, 1, **more)
    assert [warning.filename for warning in told] == [__file__]


def test_a_dataset_that_is_not_here_says_how_to_get_it(home, tmp_path):
    with pytest.raises(DatumrlError, match="datumrl collect local/inverted-pendulum-expert-v1"):
        datumrl.train("td3_bc", "local/inverted-pendulum-expert-v1", folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_cuda_without_a_gpu_is_refused(home, tmp_path):
    with pytest.raises(DatumrlError, match="no CUDA GPU"):
        datumrl.train("td3_bc", DATASET, folder=tmp_path / "run", device="cuda")
