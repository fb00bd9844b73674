"""Damaged files of D4RL and NeoRL: a clear error or a correct load; never a crash, hang or loss.

Valid files are damaged in many ways: cut off, bytes flipped or zeroed, keys dropped, shapes and
types that lie.  Each is converted in a process of its own kind, which may neither die nor take
long; what loads must hold what the undamaged file held, wherever the file still says so.  Other
readers' files are damaged in their own tests.
"""

from __future__ import annotations

import dataclasses
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

_SECONDS = 120  # for all cases of one process
ROWS = 60


@dataclasses.dataclass(frozen=True)
class Format:
    """A reader's file: how to write it whole, and how to write arrays that are damaged."""

    dataset: str
    file: str
    arrays: Callable[[], dict[str, np.ndarray]]
    write: Callable[[Path, dict[str, np.ndarray]], None]


def d4rl_arrays() -> dict[str, np.ndarray]:
    """Return the columns of a small Hopper file (code: d4rl/offline_env.py)."""
    rng = np.random.default_rng(0)
    flags = np.zeros(ROWS, bool)
    flags[[19, 39, 59]] = True
    return {
        "observations": rng.standard_normal((ROWS, 11), np.float32),
        "actions": rng.uniform(-1, 1, (ROWS, 3)).astype(np.float32),
        "rewards": rng.random(ROWS, np.float32),
        "terminals": np.zeros(ROWS, bool),
        "timeouts": flags,
        "next_observations": rng.standard_normal((ROWS, 11), np.float32),
        "infos/qpos": rng.standard_normal((ROWS, 6)),
    }


def write_hdf5(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write a gzip HDF5 file, as published ones are (log); gzip has a checksum of its own."""
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file.create_dataset(name, data=values, compression="gzip" if np.ndim(values) else None)


def neorl_arrays() -> dict[str, np.ndarray]:
    """Return the arrays of a small file of the industrial benchmark (code: neorl/core.py)."""
    rng = np.random.default_rng(0)
    return {
        "obs": rng.standard_normal((ROWS, 180), np.float32),
        "next_obs": rng.standard_normal((ROWS, 180), np.float32),
        "action": rng.uniform(-1, 1, (ROWS, 3)).astype(np.float32),
        "reward": rng.random((ROWS, 1), np.float32),
        "done": np.zeros((ROWS, 1), np.float32),
        "index": np.array([20, 40, 60], np.float32),
    }


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write a compressed npz file."""
    np.savez_compressed(path, **arrays)


FORMATS = {
    "d4rl": Format("d4rl/hopper-medium-v2", "file.hdf5", d4rl_arrays, write_hdf5),
    "neorl": Format("neorl/ib-low-100", "file.npz", neorl_arrays, write_npz),
}


def damaged_bytes(rng: np.random.Generator, whole: bytes) -> bytes:
    """Cut a file off, flip bits, put bytes of chance, or put zeros or another part over a part."""
    data, kind = bytearray(whole), rng.integers(5)
    if kind == 0:
        return bytes(data[: rng.integers(len(data))])
    front = len(data) if rng.random() < 0.5 else min(len(data), 4000)  # where structure is
    if kind == 1:
        for place in rng.integers(0, front, rng.integers(1, 6)):
            data[place] ^= 1 << int(rng.integers(8))
    elif kind == 2:
        for place in rng.integers(0, front, rng.integers(1, 6)):
            data[place] = rng.integers(256)
    else:
        begin, length = int(rng.integers(front)), int(rng.integers(1, 200))
        other = int(rng.integers(len(data)))
        part = bytes(length) if kind == 3 else bytes(data[other : other + length])
        data[begin : begin + len(part)] = part
    return bytes(data)


def lying_arrays(
    rng: np.random.Generator, arrays: dict[str, np.ndarray]
) -> dict[str, np.ndarray] | None:
    """Drop a key, or give an array another shape, length or type."""
    name = str(rng.choice(list(arrays)))
    values = arrays[name]
    lies: list[Callable[[], np.ndarray | None]] = [
        lambda: None,
        lambda: values[: rng.integers(len(values))],
        lambda: np.concatenate([values, values[:1]]),
        lambda: values.reshape(-1)[: rng.integers(1, values.size)],
        lambda: values[..., None],
        lambda: np.full(len(values), b"text"),
        lambda: values.astype(np.complex64),
        lambda: np.float32(3.0),
        lambda: np.zeros((0, *values.shape[1:]), values.dtype),
        lambda: np.where(rng.random(values.shape) < 0.1, np.nan, values),
        lambda: values.T.copy() if values.ndim > 1 else values[::-1].copy(),
    ]
    lie = lies[rng.integers(len(lies))]()
    return {key: each for key, each in {**arrays, name: lie}.items() if each is not None}


# Reads a line per case, path and folder, and says what became of it; dies with what kills it.
_CHILD = """
import dataclasses, json, sys
from datumrl.datasets import catalogue, prepared, reading
from datumrl.datasets.errors import DatumrlError
from pathlib import Path
record = catalogue.find(sys.argv[1])
record = dataclasses.replace(record, md5=None, sha256=None)
options = {**record.option, "trajectories": 0} if "trajectories" in record.option else record.option
record = dataclasses.replace(record, options=tuple(options.items()))
for line in sys.stdin:
    source, folder = (Path(each) for each in json.loads(line))
    print("begin", source.name, flush=True)
    try:
        reading.reader_of(record).convert(source, record, folder)
        prepared.read(folder, record.id).validate()
    except DatumrlError as problem:
        print("refused", json.dumps(str(problem)), flush=True)
    else:
        print("loaded", flush=True)
"""


def outcomes(dataset: str, sources: list[Path], root: Path) -> list[tuple[str, str, Path]]:
    """Convert files in one other process; return (outcome, message, columns) of each."""
    folders = [root / f"{source.stem}-columns" for source in sources]
    tasks = "".join(
        json.dumps([str(source), str(folder)]) + "\n"
        for source, folder in zip(sources, folders, strict=True)
    )
    command = [sys.executable, "-W", "error", "-c", _CHILD, dataset]
    done = subprocess.run(
        command, input=tasks, capture_output=True, text=True, timeout=_SECONDS, check=False
    )
    lines = [line for line in done.stdout.splitlines() if not line.startswith("begin")]
    assert done.returncode == 0, f"{done.stdout[-200:]}\n{done.stderr[-2000:]}"
    assert len(lines) == len(sources)
    parts = [line.partition(" ") for line in lines]
    return [(kind, rest, folder) for (kind, _, rest), folder in zip(parts, folders, strict=True)]


def assert_told(message: str, source: Path) -> None:
    text = json.loads(message)
    assert str(source) in text
    assert "\n" not in text
    assert len(text) < 1500


def columns_of(folder: Path) -> dict[str, np.ndarray]:
    return {path.name: np.load(path) for path in folder.glob("*.npy")}


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2))])
@pytest.mark.parametrize("name", FORMATS)
def test_damaged_bytes_are_refused_or_change_nothing(name, seed, tmp_path):
    made, rng = FORMATS[name], np.random.default_rng(seed)
    whole = tmp_path / f"whole-{made.file}"
    made.write(whole, made.arrays())
    sources = [whole]
    for case in range(150 if seed == 0 else 1500):
        sources.append(tmp_path / f"{case}-{made.file}")
        sources[-1].write_bytes(damaged_bytes(rng, whole.read_bytes()))
    (first, _, reference), *rest = outcomes(made.dataset, sources, tmp_path)
    assert first == "loaded"
    expected, refused = columns_of(reference), 0
    for source, (kind, message, folder) in zip(sources[1:], rest, strict=True):
        if kind == "refused":
            refused += 1
            assert_told(message, source)
            assert not folder.exists()
            continue
        found = columns_of(folder)
        notes = json.loads((folder / "meta.json").read_text())["notes"]
        for column, values in expected.items():
            if column.startswith("succe") and any("no part of" in note for note in notes):
                continue  # next observations under a damaged name, which no checksum covers
            if column in found:
                np.testing.assert_array_equal(found[column], values, err_msg=source.name)
            else:  # names lie outside the checksums: an optional column may be named otherwise
                assert column.startswith("extra"), source.name
    assert refused > len(rest) // 3


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", FORMATS)
def test_keys_that_are_gone_and_shapes_that_lie(name, seed, tmp_path):
    made, rng = FORMATS[name], np.random.default_rng(seed)
    sources, contents = [], []
    for case in range(80 if seed == 0 else 800):
        contents.append(lying_arrays(rng, made.arrays()))
        sources.append(tmp_path / f"{case}-{made.file}")
        made.write(sources[-1], contents[-1])
    found = outcomes(made.dataset, sources, tmp_path)
    for source, content, (kind, message, folder) in zip(sources, contents, found, strict=True):
        if kind == "refused":
            assert_told(message, source)
            continue
        rewards = np.load(folder / "rewards.npy")  # what loads is what the file holds
        stored = content["rewards" if "rewards" in content else "reward"]
        np.testing.assert_array_equal(rewards, stored.reshape(-1).astype(np.float32))
    assert {kind for kind, _, _ in found} == {"refused", "loaded"}


def test_objects_in_an_npz_are_never_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    arrays = neorl_arrays()
    files = [tmp_path / f"{name}.npz" for name in arrays]
    for name, file in zip(arrays, files, strict=True):
        np.savez(file, **{**arrays, name: np.array([Trap()] * ROWS, dtype=object)})
    for kind, message, _ in outcomes("neorl/ib-low-100", files, tmp_path):
        assert kind == "refused"
        assert "object" in message
    assert not (tmp_path / "sprung").exists()


def test_a_member_that_unpacks_to_more_than_it_says(tmp_path):
    header = io.BytesIO()
    described = {"descr": "<f4", "fortran_order": False, "shape": (ROWS, 180)}
    np.lib.format.write_array_header_1_0(header, described)
    whole, file = tmp_path / "whole.npz", tmp_path / "bomb.npz"
    write_npz(whole, neorl_arrays())
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(file, "w", 8) as target:
        for member in source.namelist():
            body = source.read(member)
            target.writestr(member, header.getvalue() + bytes(50_000_000)
                            if member == "obs.npy" else body)  # fmt: skip
    ((kind, message, _),) = outcomes("neorl/ib-low-100", [file], tmp_path)
    assert kind == "refused"
    assert_told(message, file)
