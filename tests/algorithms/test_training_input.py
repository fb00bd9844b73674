"""Input of `datumrl.train` that cannot be used is refused before anything is written."""

from __future__ import annotations

import pytest
import torch

import datumrl
from datumrl.datasets.errors import DatumrlError

DATASET = "local/inverted-pendulum-mixed-v1@2k"


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


def test_a_dataset_that_is_not_here_says_how_to_get_it(home, tmp_path):
    with pytest.raises(DatumrlError, match="datumrl collect local/inverted-pendulum-expert-v1"):
        datumrl.train("td3_bc", "local/inverted-pendulum-expert-v1", folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_cuda_without_a_gpu_is_refused(home, tmp_path):
    with pytest.raises(DatumrlError, match="no CUDA GPU"):
        datumrl.train("td3_bc", DATASET, folder=tmp_path / "run", device="cuda")
