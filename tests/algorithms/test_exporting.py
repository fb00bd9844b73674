"""Exported policies are the trained ones: in numpy, as a torch.export program, without our code."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

import datumrl
from datumrl.algorithms import checkpoints, exporting, policies, registry
from datumrl.datasets.errors import DatumrlError

DATASET = "local/inverted-pendulum-mixed-v1@2k"
WITHOUT_MEMORY = sorted(set(registry.ALGORITHMS) - {"dt"})


@pytest.fixture
def trained(home, tmp_path):
    def train(algorithm, **fields):
        folder = tmp_path / "run"
        short = {"cql": {"bc_steps": 0}, "dt": {"warmup_steps": 0}}.get(algorithm, {})
        fields = {**short, **fields}
        datumrl.train(
            algorithm,
            DATASET,
            seeds=(5, 2),
            steps=3,
            folder=folder,
            episodes=1,
            device="cpu",
            batch_size=8,
            **fields,
        )
        return folder

    return train


def own_actions(folder, seed, observations):
    """Return what the checkpoint's policy does, by way of the evaluation's own code."""
    saved = checkpoints.load(folder / checkpoints.FILE, torch.device("cpu"))
    return policies._restored(saved, [seed])(observations).numpy()


@pytest.mark.parametrize("algorithm", WITHOUT_MEMORY)
def test_exported_policies_equal_the_trained_ones(trained, algorithm):
    folder = trained(algorithm, hidden_dims=(16, 12))
    rng = np.random.default_rng(1)
    for seed in (5, 2):
        arrays, program = datumrl.export_policy(folder, seed)
        for rows in (1, 2, 7, 300):
            observations = rng.normal(0, 3, (rows, 4)).astype(np.float32)
            expected = own_actions(folder, seed, observations)
            policy = datumrl.load_policy(arrays)
            np.testing.assert_allclose(policy(observations), expected, rtol=0, atol=1e-5)
            module = torch.export.load(program).module()
            actions = module(torch.from_numpy(observations))
            np.testing.assert_allclose(actions, expected, rtol=0, atol=1e-5)
        assert policy(observations).dtype == np.float32
        assert policy.origin == {
            "algorithm": algorithm,
            "dataset": DATASET,
            "seed": seed,
            "step": 3,
        }


def test_iql_without_deviations_is_exported_too(trained):
    folder = trained("iql", hidden_dims=(8,), deterministic=True)
    observations = np.eye(4, dtype=np.float32)
    policy = datumrl.load_policy(datumrl.export_policy(folder, 5)[0])
    expected = own_actions(folder, 5, observations)
    np.testing.assert_allclose(policy(observations), expected, rtol=0, atol=1e-5)


def test_the_numpy_policy_needs_no_torch_and_scores_what_the_run_scored(trained, tmp_path):
    folder = trained("td3_bc", hidden_dims=(8, 8))
    arrays, program = datumrl.export_policy(folder, 2, tmp_path / "elsewhere")
    assert arrays == tmp_path / "elsewhere" / "policy-002.npz"
    code = (
        "import sys, numpy, datumrl\n"
        f"policy = datumrl.load_policy({str(arrays)!r})\n"
        "print(policy(numpy.zeros((3, 4))).shape, 'torch' in sys.modules)\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "(3, 1) False"
    own = datumrl.algorithms.training.reroll(folder, offset=0)[1]
    for policy in (datumrl.load_policy(arrays), torch.export.load(program).module()):
        record = datumrl.evaluate(policy, DATASET, seed=2, episodes=1)
        found, expected = record.evaluations[-1].returns, own.evaluations[-1].returns
        assert found == pytest.approx(expected, rel=1e-3)


def test_what_cannot_be_exported_is_said(trained, tmp_path):
    folder = trained("dt", embedding_dim=8, layers=1, context_length=3)
    with pytest.raises(DatumrlError, match="acts on what it remembers"):
        datumrl.export_policy(folder, 5)
    with pytest.raises(DatumrlError, match=r"seed 7 is not in .*; its seeds are 5, 2"):
        datumrl.export_policy(folder, 7)
    with pytest.raises(DatumrlError, match="give the folder of a run"):
        datumrl.export_policy(tmp_path / "nothing", 0)
    for content in (b"", b"nothing of the kind"):
        (tmp_path / "bad.npz").write_bytes(content)
        with pytest.raises(DatumrlError, match=r"is no exported policy \(not an archive of arrays"):
            datumrl.load_policy(tmp_path / "bad.npz")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(DatumrlError, match="is no exported policy"):
        datumrl.load_policy(tmp_path / "other.npz")
    np.save(tmp_path / "array.npy", np.zeros(3))
    with pytest.raises(DatumrlError, match=r"is no exported policy \(not an archive of arrays"):
        datumrl.load_policy(tmp_path / "array.npy")
    with pytest.raises(DatumrlError, match=r"is no exported policy \(.*No such file"):
        datumrl.load_policy(tmp_path / "nothing.npz")


def test_nothing_of_a_run_is_written_if_one_policy_cannot_be(trained, tmp_path):
    folder = trained("td3_bc", hidden_dims=(8,))
    saved = checkpoints.load(folder / checkpoints.FILE, torch.device("cpu"))
    saved["stack"]["networks"]["critic"][0][0] = np.nan  # which no policy consists of
    saved["stack"]["networks"]["actor"][0][1, 0] = np.nan
    checkpoints.save(folder / checkpoints.FILE, saved)
    (told,) = exporting.export_runs(folder, tmp_path / "out")
    assert "policy of seed 2 has weights that are not finite" in told.problem
    assert (told.folder, told.paths, told.unfinished) == (folder, [], False)
    assert not (tmp_path / "out").exists()
    assert datumrl.export_policy(folder, 5, tmp_path / "out")[0].exists()


def test_checkpoints_hold_tensors_and_plain_values_only(trained):
    folder = trained("iql", hidden_dims=(8, 8), actor_dropout=0.1)
    content = torch.load(folder / checkpoints.FILE, weights_only=True)

    def kinds(value):
        if isinstance(value, dict):
            return {type(value)}.union(*(kinds(each) | kinds(k) for k, each in value.items()))
        if isinstance(value, list | tuple):
            return {type(value)}.union(*map(kinds, value))
        return {type(value)}

    assert kinds(content) <= {dict, list, tuple, str, int, float, bool, type(None), torch.Tensor}
