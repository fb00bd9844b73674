"""Reading D4RL and NeoRL data needs numpy and h5py, and nothing else that has to be installed."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

_CODE = """
import importlib.abc, sys
allowed = {"numpy", "h5py", "datumrl", *sys.stdlib_module_names}
class OnlyThese(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in allowed and not name.startswith("__editable__"):
            raise ModuleNotFoundError(f"{name} is blocked", name=name)
sys.meta_path.insert(0, OnlyThese())
dataset, file = sys.argv[1:]
import dataclasses, datumrl
from datumrl.datasets import loading
# Generated files have other hashes than those published.
known = loading.find
loading.find = lambda name: dataclasses.replace(known(name), md5=None)
for _ in range(2):  # converted, then opened
    episodes = datumrl.load(dataset, path=file)
for view in ("correct", "d4rl-legacy"):
    steps = episodes.transitions(view)
    episodes.index(view).gather([0, 1])
episodes.sequences(5).gather([0])
print(len(episodes), len(datumrl.qlearning_dataset(dataset, path=file)["rewards"]))
try:
    datumrl.load("d4rl/hoper-medium-v2")
except datumrl.DatumrlError as problem:
    print(problem)
loaded = {name.partition(".")[0] for name in sys.modules}
print(sorted(loaded & {"pandas", "pydantic", "rich", "tyro", "numba", "scipy", "torch"}))
"""


def write(dataset: str, folder, d4rl_files):
    rng, rows = np.random.default_rng(0), 40
    if dataset.startswith("d4rl"):
        content = d4rl_files.columns(rng, rows, timeouts=0.1)
        return d4rl_files.write(folder / "file.hdf5", content)
    content = {
        "obs": rng.standard_normal((rows, 15), np.float32),
        "next_obs": rng.standard_normal((rows, 15), np.float32),
        "action": rng.random((rows, 6), np.float32),
        "reward": rng.random((rows, 1), np.float32),
        "done": np.zeros((rows, 1), np.float32),
        "index": np.arange(2, 41, 2).astype(np.float32),
    }
    np.savez(folder / "file.npz", **content)
    return folder / "file.npz"


@pytest.mark.parametrize("dataset", ["d4rl/hopper-medium-v2", "neorl2/Fusion"])
def test_reading_needs_numpy_and_h5py_only(dataset, tmp_path, home, d4rl_files, monkeypatch):
    file = write(dataset, tmp_path, d4rl_files)
    command = [sys.executable, "-c", _CODE, dataset, str(file)]
    for where in ("as given", None):  # with and without DATUMRL_HOME
        if where is None:
            monkeypatch.delenv("DATUMRL_HOME")
            monkeypatch.setenv("HOME", str(tmp_path))
            monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        counts, problem, loaded = done.stdout.splitlines()
        assert counts.startswith("40 ")
        assert "did you mean" in problem or "hopper-medium-v2" in problem
        assert loaded == "[]"
