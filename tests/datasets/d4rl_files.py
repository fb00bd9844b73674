"""A writer of D4RL-like HDF5 files for tests, made from the published layouts.

It imports nothing of the package, so that a mistake of the reader cannot hide in what it reads.
What is known of each field: *log*, users printed it; *code*, of D4RL or of tensorflow_datasets.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

OBSERVATION_DIM, ACTION_DIM = 11, 3  # Hopper's


def columns(rng: np.random.Generator, rows: int, **flag_rates: float) -> dict[str, np.ndarray]:
    """Return the basic columns, float32 and bool, with flags drawn at the given rates.

    ``terminals=0.1`` draws a tenth of all rows; a rate that is not given leaves the flag out
    (timeouts) or all false (terminals).
    """
    drawn = {name: rng.random(rows) < rate for name, rate in flag_rates.items()}
    return {
        "observations": rng.normal(size=(rows, OBSERVATION_DIM)).astype(np.float32),  # code, log
        "actions": rng.uniform(-1, 1, (rows, ACTION_DIM)).astype(np.float32),  # code, log
        "rewards": rng.normal(size=rows).astype(np.float32),  # code: (N,) or (N, 1)
        "terminals": np.zeros(rows, bool),  # code: bool in v2, float in other files
        **drawn,  # timeouts: log, in the copies of today; the first of v0 had none
    }


def true_successors(rng: np.random.Generator, content: dict[str, np.ndarray]) -> np.ndarray:
    """Return next observations: the following row's, and a final one of their own at every end."""
    following = np.roll(content["observations"], -1, axis=0)
    ends = content["terminals"] | content["timeouts"]
    ends[-1] = True
    following[ends] = rng.normal(size=(int(ends.sum()), following.shape[1]))
    return following


def v2_extras(rng: np.random.Generator, rows: int) -> dict[str, object]:
    """Return the infos and metadata that the v1 and v2 files hold."""
    return {
        "infos/qpos": rng.normal(size=(rows, 6)),  # code; float64 after the script that mended v1
        "infos/qvel": rng.normal(size=(rows, 6)),
        "infos/action_log_probs": rng.normal(size=rows).astype(np.float32),  # code
        "metadata/algorithm": "SAC",  # code: read with [()]
        "metadata/iteration": np.int32(1000),  # code: a scalar
        "metadata/policy/fc0/weight": rng.normal(size=(8, 11)).astype(np.float32),  # code
        "metadata/policy/nonlinearity": "relu",  # code; unverified: text or bytes
    }


def write(path: Path, content: dict[str, object], *, compression: str | None = "gzip") -> Path:
    """Write arrays compressed and scalars plainly, groups as the slashes in their names say."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, values in content.items():
            if np.ndim(values) and np.size(values):
                file.create_dataset(name, data=values, compression=compression)
            else:
                file[name] = values
    return path
