"""A folder at hand is imported only if it can be that of the dataset; which it is, is looked at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from datumrl.datasets import catalogue, fetching, places
from datumrl.datasets.errors import DatumrlError

ATARI = "d4rl-atari/breakout-mixed-v0"
VD4RL = "vd4rl/main/walker_walk/random/64px"
SHARDS = "vd4rl/main/walker_walk/random/84px"
KITCHEN = "d5rl/standardkitchen_indistribution"
OGBENCH = "ogbench/cube-double-play-100m-v0"
RLU = "rlu/cartpole_swingup"


@pytest.mark.parametrize(
    ("dataset", "files", "message"),
    [
        (ATARI, [], r"observation_ckpt.1.gz nor observation.gz, .*terminal_ckpt.1.gz nor"),
        (ATARI, ["observation.gz", "action.gz", "terminal.gz"], r"neither \S*reward_ckpt.1.gz nor"),
        (VD4RL, ["0.hdf5"], r"holds no \*\.npz"),
        (VD4RL, ["0.npz"], r"0\.npz: lacks reward, action, image"),
        (SHARDS, ["0.npz"], r"holds no \*\.hdf5"),
        (KITCHEN, ["0.hdf5"], r"holds no \.npz episode"),
        (KITCHEN, ["0.npz"], r"0\.npz: has no images and no states"),
        (OGBENCH, ["0-val.npz"], r"holds no \.npz file for training"),
        (OGBENCH, ["0.npz"], r"0\.npz: lacks terminals, observations, actions"),
        (RLU, ["0.npz"], r"holds shards of 0 sets"),
        (RLU, ["train-00001-of-00003"], r"lacking train-00000-of-00003, train-00002-of-00003"),
        (RLU, ["train-00000-of-00100"], r"-of-00100, train-00005-of-00100 and 94 more"),
    ],
)
def test_a_wrong_folder_is_refused_before_anything_is_brought(
    dataset: str, files: list[str], message: str, home: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    (folder / "read.me").write_text("notes of somebody's own")
    for name in files:
        np.savez(folder / "made.npz", other=np.zeros(3))
        (folder / "made.npz").rename(folder / name)
    record = catalogue.find(dataset)
    with pytest.raises(DatumrlError, match=message):
        fetching.fetch(record, source=folder)
    assert not places.raw_path(record).exists()
    assert not [path for path in home.rglob("*") if path.is_file()]
