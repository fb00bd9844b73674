"""Files of the user's own in every format, and the description that registers them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest

FORMATS = ("hdf5", "npz", "csv", "parquet")
ROWS = 12


def columns() -> dict[str, np.ndarray]:
    """Three episodes of 5, 3 and 4 rows: a terminal, a timeout, a terminal."""
    rng = np.random.default_rng(0)
    ends = np.array([4, 7, 11])
    s = rng.normal(size=(ROWS, 2))
    following = np.concatenate([s[1:], [[9.0, 9.0]]])
    following[[4, 7]] = [[7.0, 7.0], [8.0, 8.0]]
    flags = np.zeros((2, ROWS), np.int64)
    flags[0, ends[[0, 2]]] = 1
    flags[1, ends[1]] = 1
    return {
        "s0": s[:, 0],
        "s1": s[:, 1],
        "n0": following[:, 0],
        "n1": following[:, 1],
        "a0": rng.normal(size=ROWS),
        "move": np.arange(ROWS) % 3,
        "reward": rng.normal(size=ROWS),
        "done": flags[0],
        "cut": flags[1],
        "episode": np.repeat([7, 3, 5], [5, 3, 4]),
        "name": np.repeat(["b", "a", "c"], [5, 3, 4]),
    }


def save(path: Path, content: dict[str, Any]) -> Path:
    if path.suffix == ".npz":
        np.savez(path, **content)
    elif path.suffix == ".hdf5":
        with h5py.File(path, "w") as file:
            for name, values in content.items():
                file[name] = values.astype("S") if values.dtype.kind == "U" else values
    else:
        frame = pd.DataFrame({name: list(values) for name, values in content.items()})
        if path.suffix == ".csv":
            frame.to_csv(path, index=False)
        else:
            frame.to_parquet(path, index=False)
    return path


FLAGS = {"rule": "flags"}
COLUMNS = {
    "observations": ["s0", "s1"],
    "actions": ["a0"],
    "rewards": "reward",
    "terminals": "done",
    "timeouts": "cut",
}


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {toml(v)}" for k, v in value.items()) + "}"
    return json.dumps(value)


@pytest.fixture
def describe(tmp_path: Path, home: Path) -> Callable[..., Path]:
    """A writer of descriptions; None leaves a field out."""

    def write(format_name: str, path: str | Path, **fields: Any) -> Path:
        content = {
            "id": "user/robot-v1",
            "format": format_name,
            "path": str(path),
            "columns": COLUMNS,
            "boundaries": FLAGS,
            **fields,
        }
        lines = [f"{key} = {toml(value)}" for key, value in content.items() if value is not None]
        file = tmp_path / "robot.toml"
        file.write_text("\n".join(lines))
        return file

    return write
