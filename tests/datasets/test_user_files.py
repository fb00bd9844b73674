"""What a user's files may hold: types of next observations, rows never written, whole numbers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest

import datumrl
from datumrl.datasets import registration
from datumrl.datasets.errors import DatumrlError

ROWS = 8
NAMES = ("observations", "actions", "rewards", "terminals", "next_observations")
Register = Callable[..., registration.Registered]


def content(**changed: Any) -> dict[str, Any]:
    """Two episodes of 4 rows; next observations that agree with the following row."""
    s = np.random.default_rng(0).normal(size=(ROWS + 1, 2)).astype(np.float32)
    columns = {
        "observations": s[:-1],
        "actions": np.linspace(-0.9, 0.8, ROWS)[:, None],
        "rewards": np.arange(ROWS) + 0.5,
        "terminals": np.arange(ROWS) % 4 == 3,
        "next_observations": s[1:],
        **changed,
    }
    return {name: values for name, values in columns.items() if values is not None}


@pytest.fixture
def register(tmp_path: Path, home: Path) -> Register:
    """Register a file of these columns as user/robot."""

    def go(path: Path, columns: Any = NAMES, **fields: Any) -> registration.Registered:
        described = {
            "id": "user/robot",
            "format": path.suffix[1:],
            "path": str(path),
            **fields,
            "columns": columns if isinstance(columns, dict) else {name: name for name in columns},
            "boundaries": {"rule": "flags"},
        }
        lines = []
        for key, value in described.items():
            if isinstance(value, dict):
                lines += [f"[{key}]", *(f"{each} = {json.dumps(value[each])}" for each in value)]
            else:
                lines.append(f"{key} = {json.dumps(value)}")
        toml = tmp_path / "robot.toml"
        toml.write_text("\n".join(lines))
        return registration.register(toml)

    return go


def save(path: Path, columns: dict[str, Any]) -> Path:
    if path.suffix == ".npz":
        np.savez(path, **columns)
    else:
        with h5py.File(path, "w") as file:
            for name, values in columns.items():
                file[name] = values
    return path


@pytest.mark.parametrize("suffix", ["npz", "hdf5"])
def test_wider_floats_are_rounded_before_they_are_compared(
    suffix: str, register: Register, tmp_path: Path
) -> None:
    exact = np.random.default_rng(1).normal(size=(ROWS + 1, 2))
    given = content(observations=exact[:-1].astype(np.float32), next_observations=exact[1:])
    register(save(tmp_path / f"data.{suffix}", given))
    episodes = datumrl.load("user/robot")
    assert episodes.successor_rows.tolist() == [3, 7]
    np.testing.assert_array_equal(episodes.successors, exact[[4, 8]].astype(np.float32))
    assert episodes.successors.dtype == np.float32
    assert "next_observations are float64 in the file and float32 here, as observations" in (
        episodes.notes
    )


def test_the_last_row_of_a_file_needs_no_following_row(register: Register, tmp_path: Path) -> None:
    alone = {name: values[-1:] for name, values in content().items()}
    register(save(tmp_path / "data.npz", alone))
    episodes = datumrl.load("user/robot")
    np.testing.assert_array_equal(episodes.successors, alone["next_observations"])


def test_smaller_whole_numbers_go_into_larger_ones(register: Register, tmp_path: Path) -> None:
    frames = np.arange(ROWS + 1, dtype=np.uint8)[:, None] * np.ones((1, 3), np.uint8)
    register(
        save(
            tmp_path / "data.npz",
            content(observations=frames[:-1].astype(np.int16), next_observations=frames[1:]),
        )
    )
    assert datumrl.load("user/robot").successors.tolist() == [[4] * 3, [8] * 3]


@pytest.mark.parametrize(
    ("now", "following", "told"),
    [
        (np.uint8, np.full((ROWS, 2), 0.5, np.float32), "next_observations are float32 .2,. where"),
        (np.float32, np.full((ROWS, 2), "a"), "next_observations are .* which cannot hold them"),
        (np.uint8, np.full((ROWS, 2), 300), "next_observations are int64"),
        (np.float32, np.full((ROWS, 2), 1e300), r"\[1e\+300, 1e\+300\] at row 0, not finite as"),
        (np.float32, np.full((ROWS, 3), 0.5), "next_observations are float64 .3,. where"),
        (np.float32, np.full((ROWS - 1, 2), 0.5), "has 1 fewer next_observations"),
        (np.float32, np.full((ROWS + 2, 2), 0.5), "has 2 more next_observations"),
    ],
)
def test_next_observations_that_observations_cannot_hold_are_refused(
    now: Any, following: np.ndarray, told: str, register: Register, tmp_path: Path, home: Path
) -> None:
    given = content(observations=np.ones((ROWS, 2), now), next_observations=following)
    with pytest.raises(DatumrlError, match=told):
        register(save(tmp_path / "data.npz", given))
    assert not list(home.rglob("*.toml"))


def unwritten(file: h5py.File, name: str, **layout: Any) -> None:
    """Give a column twice its rows of storage and write the first half of them."""
    values = file[name][:]
    del file[name]
    made = file.create_dataset(name, values.shape, values.dtype, **layout)
    half = len(values) // 2
    if layout:
        made[:half] = values[:half]


@pytest.mark.parametrize(
    ("name", "layout", "told"),
    [
        ("rewards", {"chunks": (2,)}, "'rewards': 2 of its chunks were never written"),
        ("next_observations", {"chunks": (4, 1)}, "'next_observations': 2 of its chunks"),
        ("terminals", {"chunks": (1,), "compression": "gzip"}, "'terminals': 4 of its chunks"),
        ("observations", {"chunks": (4, 2), "fillvalue": 1.0}, "'observations': 1 of its chunks"),
        ("actions", {}, "'actions': its rows were never written"),
    ],
)
def test_rows_never_written_to_an_hdf5_file_are_refused(
    name: str, layout: dict[str, Any], told: str, register: Register, tmp_path: Path
) -> None:
    path = save(tmp_path / "data.hdf5", content())
    with h5py.File(path, "a") as file:
        unwritten(file, name, **layout)
    with pytest.raises(DatumrlError, match=told):
        register(path)


def test_columns_that_point_at_other_files_are_refused(register: Register, tmp_path: Path) -> None:
    path = save(tmp_path / "data.hdf5", content())
    with h5py.File(path, "a") as file:
        layout = h5py.VirtualLayout((ROWS,), "f8")
        layout[:] = h5py.VirtualSource("gone.hdf5", "rewards", (ROWS,))
        del file["rewards"]
        file.create_virtual_dataset("rewards", layout)
    with pytest.raises(DatumrlError, match="'rewards' only points at other files"):
        register(path)


def test_many_small_chunks_of_zeros_are_read_as_they_are(
    register: Register, tmp_path: Path
) -> None:
    rows = 5000
    with h5py.File(tmp_path / "data.hdf5", "w") as file:
        file.create_dataset("observations", data=np.zeros((rows, 2)), chunks=(1, 2))
        file["actions"] = np.full((rows, 1), 0.5)
        file["rewards"] = np.zeros(rows)
        file["terminals"] = np.arange(rows) == rows - 1
    register(tmp_path / "data.hdf5", NAMES[:4])
    assert not datumrl.load("user/robot").observations.any()


@pytest.mark.parametrize("suffix", ["npz", "hdf5"])
@pytest.mark.parametrize("numbers", [np.float32, np.int16])
def test_another_byte_order_becomes_that_of_the_machine(
    numbers: Any, suffix: str, register: Register, tmp_path: Path
) -> None:
    """As MATLAB and Java write HDF5; compiled code takes no other."""
    states = (8 * content()["observations"]).astype(numbers)
    given = content(observations=states, next_observations=np.roll(states, -1, axis=0))
    swapped = {name: each.astype(each.dtype.newbyteorder(">")) for name, each in given.items()}
    register(save(tmp_path / f"data.{suffix}", swapped))
    episodes = datumrl.load("user/robot")
    for name in ("observations", "actions", "rewards", "successors"):
        assert getattr(episodes, name).dtype.isnative
    assert episodes.actions.dtype == np.float64
    np.testing.assert_array_equal(episodes.observations, states)
    np.testing.assert_array_equal(episodes.successors, states[[4, 0]])
    found = datumrl.stats("user/robot")
    assert (found.coverage.rows, found.duplicates.rows) == (ROWS, 0)


def test_floats_of_more_than_eight_bytes_are_refused(register: Register, tmp_path: Path) -> None:
    if np.dtype(np.longdouble).itemsize == 8:
        pytest.skip("this machine has none")
    wide = content(rewards=np.arange(ROWS, dtype=np.longdouble))
    with pytest.raises(DatumrlError, match=r"rewards holds float128; .* store it as float64"):
        register(save(tmp_path / "data.npz", wide))


def csv(path: Path, actions: list[str]) -> Path:
    lines = [f"{row / 10},{action},0.5,{int(row % 4 == 3)}" for row, action in enumerate(actions)]
    path.write_text("\n".join(["s,a,r,done", *lines]))
    return path


CSV = {"observations": "s", "actions": "a", "rewards": "r", "terminals": "done"}


def test_whole_numbers_in_every_row_of_a_csv_are_asked_about(
    register: Register, tmp_path: Path, home: Path
) -> None:
    path = csv(tmp_path / "data.csv", ["0", "1", "2", "1"] * 2)
    with pytest.raises(DatumrlError, match=r"discrete_actions = true .* decimal point \(1\.0\)"):
        register(path, CSV)
    assert not list(home.rglob("*.toml"))
    register(path, CSV, discrete_actions=True)
    assert datumrl.load("user/robot").actions.tolist() == [0, 1, 2, 1] * 2


@pytest.mark.parametrize("actions", [["-1.0", "1.0"] * 4, ["1", "-1"] * 3 + ["0.5", "1"]])
def test_other_numbers_in_a_csv_are_vectors(
    actions: list[str], register: Register, tmp_path: Path
) -> None:
    register(csv(tmp_path / "data.csv", actions), CSV)
    assert datumrl.load("user/robot").actions.ravel().tolist() == list(map(float, actions))


def test_one_file_of_several_may_hold_whole_numbers_alone(
    register: Register, tmp_path: Path
) -> None:
    csv(tmp_path / "a.csv", ["1", "-1"] * 2)
    csv(tmp_path / "b.csv", ["0.25", "1"] * 2)
    register(tmp_path / "*.csv", CSV)
    assert datumrl.load("user/robot").actions.ravel().tolist() == [1, -1, 1, -1, 0.25, 1, 0.25, 1]


def test_discrete_actions_of_more_axes_than_any_reader_takes_are_refused(
    register: Register, tmp_path: Path, home: Path
) -> None:
    given = content(actions=np.ones((ROWS, 2, 2), np.int64))
    with pytest.raises(DatumrlError, match=r"actions is int64 \(8, 2, 2\)"):
        register(save(tmp_path / "data.npz", given), discrete_actions=True)
    assert not list(home.rglob("*.toml"))
    assert not list(home.rglob("meta.json"))


def test_a_parquet_of_whole_numbers_is_asked_about_too(register: Register, tmp_path: Path) -> None:
    frame = pd.read_csv(csv(tmp_path / "data.csv", ["0", "1"] * 4))
    frame.to_parquet(tmp_path / "data.parquet")
    with pytest.raises(DatumrlError, match="discrete_actions = true"):
        register(tmp_path / "data.parquet", CSV)
