"""The Python API: a preset, seeds, and fields by their names."""

from __future__ import annotations

import pytest

import datumrl
from datumrl.datasets import catalogue
from datumrl.datasets.errors import DatumrlError


@pytest.mark.slow
def test_train_with_a_preset_and_fields(tmp_path, monkeypatch):
    from datumrl.evaluation.collector import collect

    monkeypatch.setenv("DATUMRL_HOME", str(tmp_path))
    dataset = "local/hopper-medium-v1@2k"
    collect(catalogue.find(dataset))
    records = datumrl.train(
        "iql",
        dataset,
        seeds=range(2),
        preset="corl",
        steps=4,
        episodes=1,
        hidden_dims=(8, 8),
        device="cpu",
    )
    assert [record.seed for record in records] == [0, 1]
    for record in records:
        assert record.budget.preset == "corl except hidden_dims, steps, episodes"
        assert record.budget.reward_transform == "return-range"
        assert record.configuration["tau"] == 0.001
        assert record.configuration["view"] == "d4rl-legacy"


def test_fields_are_checked_like_settings():
    dataset = "local/hopper-medium-v1"
    with pytest.raises(DatumrlError, match="did you mean 'expectile'"):
        datumrl.train("iql", dataset, expectil=0.9)
    with pytest.raises(DatumrlError, match="expectile is given twice"):
        datumrl.train("iql", dataset, settings={"expectile": 0.8}, expectile=0.9)
    with pytest.raises(DatumrlError, match="unknown preset"):
        datumrl.train("iql", dataset, preset="corll")
