"""Runs that belong together: by their checkpoints and by their records alike."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

import datumrl
from datumrl.algorithms import checkpoints, exporting, run_settings, training
from datumrl.datasets.errors import DatumrlError

DATASET = "local/inverted-pendulum-mixed-v1@2k"
QUICK = {"steps": 2, "episodes": 1, "device": "cpu", "batch_size": 8, "hidden_dims": (8,)}


def saved(folder):
    return checkpoints.load(folder / checkpoints.FILE, torch.device("cpu"))


def rewrite(folder, **identity):
    """Change what a checkpoint says of its run."""
    content = saved(folder)
    content["identity"] |= identity
    checkpoints.save(folder / checkpoints.FILE, content)


def test_device_and_evaluation_do_not_set_runs_apart(home, tmp_path):
    for seed, every in enumerate((1, 2)):
        folder = tmp_path / "runs" / str(seed)
        datumrl.train("bc", DATASET, [seed], folder=folder, evaluate_every=every, **QUICK)
    protocol = copy.deepcopy(saved(folder)["identity"]["protocol"])
    protocol["engine"]["mujoco"] = "0.1"
    rewrite(folder, device="cuda", protocol=protocol)
    folders = [tmp_path / "runs" / name for name in "01"]
    identities = {each: saved(each)["identity"] for each in folders}
    places = exporting._places(identities, tmp_path / "runs", tmp_path / "out")
    assert set(places.values()) == {tmp_path / "out"}
    records = [training.reroll(each)[0] for each in folders]
    settings = {run_settings.of_record(record) for record in records}
    assert settings == {run_settings.of_run(saved(folder)["identity"])}


@pytest.mark.parametrize(
    "other",
    [
        {"algorithm": "td3_bc"},
        {"dataset": "local/inverted-pendulum-random-v1"},
        {"dataset_sha256": "0" * 64},
        {"configuration": {"steps": 3}},
        *({name: "other"} for name in ("view", "preset", "matmul_precision")),
        {"revision": 2},
    ],
)
def test_what_was_trained_on_what_sets_runs_apart(other):
    identity = {
        "algorithm": "bc",
        "dataset": DATASET,
        "dataset_sha256": "1" * 64,
        "configuration": {"steps": 2},
        "view": "correct",
    }
    assert run_settings.of_run({**identity, "seeds": [3]}) == run_settings.of_run(identity)
    assert run_settings.of_run({**identity, **other}) != run_settings.of_run(identity)


def test_two_contents_of_the_data_set_runs_apart_and_an_unknown_one_does_not():
    identity = {
        "algorithm": "bc",
        "dataset": DATASET,
        "dataset_sha256": "1" * 64,
        "configuration": {"steps": 2},
    }
    one, other = ({**identity, "dataset_content_sha256": content * 64} for content in "12")
    assert run_settings.alike([one, identity])
    assert run_settings.alike([one, one])
    assert not run_settings.alike([one, identity, other])
    checkpoints.require_same(Path("run"), one, identity)
    checkpoints.require_same(Path("run"), identity, one)
    with pytest.raises(DatumrlError, match=r"dataset_content_sha256 is '1+ there and '2+ here"):
        checkpoints.require_same(Path("run"), one, other)


def test_a_run_on_other_transitions_of_the_recipe_is_not_gone_on_with(home, tmp_path):
    (record,) = datumrl.train("bc", DATASET, [0], folder=tmp_path, **QUICK)
    content = datumrl.datasets.content_hash.known(datumrl.load(DATASET)).content_sha256
    assert record.dataset_content_sha256 == content
    assert training.reroll(tmp_path)[0].dataset_content_sha256 == content
    assert datumrl.train("bc", DATASET, [0], folder=tmp_path, **QUICK) == [record]
    rewrite(tmp_path, dataset_content_sha256="0" * 64)
    with pytest.raises(DatumrlError, match=r"dataset_content_sha256 is '0+ there"):
        datumrl.train("bc", DATASET, [0], folder=tmp_path, **QUICK)


def test_records_tell_the_same_settings(home, tmp_path):
    datumrl.train("iql", DATASET, [0], folder=tmp_path, **QUICK)
    settings = run_settings.of_run(saved(tmp_path)["identity"])
    rewrite(tmp_path, preset="corl", view="d4rl-legacy", matmul_precision="medium", revision=3)
    (record,) = training.reroll(tmp_path)
    assert run_settings.of_record(record) == run_settings.of_run(saved(tmp_path)["identity"])
    assert run_settings.of_record(record) != settings
