"""Files and disks that cannot be used: one clear error each, and nothing half-written."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys

import h5py
import numpy as np
import pytest

from datumrl.datasets import catalogue, d4rl_hdf5, loading, places
from datumrl.datasets.errors import DatumrlError

ID = "d4rl/hopper-medium-v2"
HOPPER = catalogue.find(ID)
FETCH = re.escape(f"delete it and run `datumrl fetch {ID}`")


@pytest.fixture
def content(d4rl_files):
    rng = np.random.default_rng(0)
    content = d4rl_files.columns(rng, 500, terminals=0.02, timeouts=0.02)
    return content | {"next_observations": d4rl_files.true_successors(rng, content)}


@pytest.fixture
def put(home, d4rl_files):
    return lambda content: d4rl_files.write(places.raw_path(HOPPER), content)


def assert_refused(message):
    with pytest.raises(DatumrlError, match=message) as caught:
        loading.load(ID)
    assert "\n" not in str(caught.value)
    left = [path.name for path in places.prepared_folder(HOPPER).parent.glob("**/*")]
    assert [name for name in left if not name.endswith(".lock")] == []


def test_an_unknown_id_names_the_nearest(home):
    with pytest.raises(
        DatumrlError, match=r"unknown dataset 'd4rl/hoper-medium-v2'.*hopper-medium"
    ):
        loading.load("d4rl/hoper-medium-v2")


@pytest.mark.parametrize("share", [0.001, 0.3, 0.9, 0.999])
def test_a_truncated_file(share, put, content):
    path = put(content)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    assert_refused(f"(is truncated or damaged|is not an HDF5 file).*{FETCH}")


@pytest.mark.parametrize("body", [b"", b"<!DOCTYPE html><p>Not found", b"\x89HDF\r\n\x1a\n"])
def test_a_file_that_is_not_hdf5(body, put, content):
    put(content).write_bytes(body)
    assert_refused(FETCH)


def test_a_compressed_block_that_is_damaged(put, content):
    path = put(content)
    whole = bytearray(path.read_bytes())
    block = whole.index(b"\x78\x5e")  # where a zlib stream of h5py's level begins
    whole[block + 50 : block + 60] = b"\0" * 10
    path.write_bytes(whole)
    assert_refused(f"is truncated or damaged.*{FETCH}")


def test_bytes_damaged_anywhere_are_told_or_harmless(put, content):
    path = put(content)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(80):
        damaged = bytearray(whole)
        places_hit = rng.integers(0, min(len(whole), 8000), 4)  # the front holds the structure
        for place in places_hit:
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            loading.load(ID)
        except DatumrlError:
            refused += 1
    assert refused > 20


@pytest.mark.parametrize("chunks", [None, (100, 11)])
def test_values_that_the_file_does_not_hold_are_not_read_as_zeros(chunks, put, content):
    path = put({name: each for name, each in content.items() if name != "observations"})
    with h5py.File(path, "a") as file:
        stored = file.create_dataset("observations", (500, 11), "f4", chunks=chunks)
        if chunks:
            stored[:400] = content["observations"][:400]
    assert_refused(f"parts of observations are not in the file.*{FETCH}")


@pytest.mark.parametrize("number", [0, 3])
def test_a_chunk_whose_key_is_damaged_is_not_read_as_zeros(number, put, content):
    """HDF5 looks for a chunk by its key: with another one, it finds none and gives zeros."""
    path = put({name: each for name, each in content.items() if name != "observations"})
    with h5py.File(path, "a") as file:
        stored = file.create_dataset(
            "observations", data=content["observations"], chunks=(100, 11), compression="gzip"
        )
        chunk = stored.id.get_chunk_info(number)
        size, place = chunk.size.to_bytes(4, "little"), chunk.byte_offset.to_bytes(8, "little")
    damaged = bytearray(path.read_bytes())
    # A key: size, mask of filters, then the first row, column and byte; behind it the address.
    begin = damaged.index(size + bytes(4) + (100 * number).to_bytes(8, "little"))
    assert damaged[begin + 32 : begin + 40] == place
    damaged[begin + 31] = 112
    path.write_bytes(damaged)
    with h5py.File(path) as file:
        lost = file["observations"][100 * number : 100 * number + 100]
    assert not lost.any(), "HDF5 tells of it now"
    assert_refused(f"is truncated or damaged.*{FETCH}")


def test_a_column_that_no_reader_knows_is_named(put, content):
    put({**content, "returns": np.zeros(500, "f4")})
    assert any("returns is no part of" in note for note in loading.load(ID).notes)


@pytest.mark.parametrize("name", ["observations", "actions", "rewards", "terminals"])
def test_a_missing_key(name, put, content):
    put({key: values for key, values in content.items() if key != name})
    assert_refused(rf"lacks {name} \(it has .*timeouts\); {FETCH}")


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("actions", np.zeros((499, 3), "f4"), r"actions has shape \(499, 3\) .* 500 rewards"),
        ("terminals", np.zeros(501, bool), r"terminals has shape \(501,\)"),
        ("timeouts", np.zeros((500, 2), bool), r"timeouts has shape \(500, 2\)"),
        (
            "next_observations",
            np.zeros((499, 11), "f4"),
            r"next_observations has shape \(499, 11\)",
        ),
        ("observations", np.zeros((500, 17), "f4"), r"\(500, 17\) where .* needs \(500, 11\)"),
        ("actions", np.zeros((500, 6), "f4"), r"\(500, 6\) where .* needs \(500, 3\)"),
        ("rewards", np.float32(1), "holds no transitions"),
        ("rewards", np.zeros(0, "f4"), "holds no transitions"),
        ("rewards", np.full(500, b"one"), "rewards holds .*, not numbers"),
    ],
)
def test_lengths_widths_and_types_that_cannot_be(name, values, message, put, content):
    put(content | {name: values})
    assert_refused(f"{message}.*{FETCH}")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["observations", "actions", "rewards", "next_observations"])
def test_numbers_that_are_not_finite(name, value, put, content):
    content[name][123] = value
    put(content)
    assert_refused(f"{name} holds .* at row 123, which is not finite; {FETCH}")


def test_a_float64_too_large_for_float32(put, content):
    content["rewards"] = content["rewards"].astype(np.float64)
    content["rewards"][7] = 1e300
    put(content)
    assert_refused(r"rewards holds 1e\+300 at row 7")


@pytest.mark.parametrize("value", [2, 0.5, -1, np.nan])
@pytest.mark.parametrize("name", ["terminals", "timeouts"])
def test_flags_that_are_neither_0_nor_1(name, value, put, content):
    content[name] = content[name].astype(np.float32)
    content[name][42] = value
    put(content)
    assert_refused(rf"{name} holds {value}.* at row 42 where only 0 and 1 are flags")


def test_a_file_with_another_hash_than_the_catalogues(put, content, monkeypatch):
    path = put(content)
    record = dataclasses.replace(HOPPER, sha256="0" * 64)
    with pytest.raises(DatumrlError, match=f"expected sha256 0000.*{FETCH}"):
        d4rl_hdf5.convert(path, record, places.prepared_folder(record))


def test_a_path_that_is_not_there_or_is_a_folder(home, tmp_path):
    with pytest.raises(DatumrlError, match=r"nothing\.hdf5 does not exist; check the path"):
        loading.load(ID, path=tmp_path / "nothing.hdf5")
    with pytest.raises(DatumrlError, match="cannot be read"):
        loading.load(ID, path=tmp_path)


def test_a_users_own_file_is_not_said_to_be_deleted(home, tmp_path):
    (tmp_path / "mine.hdf5").write_bytes(b"text")
    with pytest.raises(
        DatumrlError, match=r"mine\.hdf5: is not .*; check that it is the file of d4"
    ):
        loading.load(ID, path=tmp_path / "mine.hdf5")


def test_a_full_disk_while_preparing(small_disk, tmp_path, monkeypatch, d4rl_files):
    monkeypatch.setenv("DATUMRL_HOME", str(small_disk / "home"))
    big = d4rl_files.columns(np.random.default_rng(0), 10_000, timeouts=0.01)
    d4rl_files.write(tmp_path / "big.hdf5", big)
    with pytest.raises(DatumrlError, match=r"cannot write .* the disk is full; free some space"):
        loading.load(ID, path=tmp_path / "big.hdf5")
    assert list(small_disk.rglob("*.npy")) == []
    assert list(small_disk.rglob("*.tmp")) == []


def test_a_limit_on_file_sizes_while_preparing(home, put, content):
    put(content)
    code = (
        "import resource, datumrl\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try:\n"
        f"    datumrl.load({ID!r})\n"
        "except datumrl.DatumrlError as problem:\n"
        "    print(problem)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert "larger than the limit on file sizes; raise it" in answer
    assert not places.prepared_folder(HOPPER).exists()


def test_a_home_below_a_file(tmp_path, monkeypatch, d4rl_files, content):
    (tmp_path / "file").write_text("in the way")
    source = d4rl_files.write(tmp_path / "source.hdf5", content)
    for home in ("file", "file/home"):
        monkeypatch.setenv("DATUMRL_HOME", str(tmp_path / home))
        with pytest.raises(DatumrlError, match="a part of this path is a file; point DATUMRL_HOME"):
            loading.load(ID, path=source)
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_read_only_cache_opens_but_does_not_prepare(
    small_disk, tmp_path, monkeypatch, d4rl_files, content
):
    def make(mode):
        remount = ["mount", "-o", f"remount,{mode},size=64m", str(small_disk)]
        subprocess.run(remount, check=True)

    monkeypatch.setenv("DATUMRL_HOME", str(small_disk / "home"))
    make("rw")
    raw = d4rl_files.write(places.raw_path(HOPPER), content)
    make("ro")
    with pytest.raises(
        DatumrlError, match=r"cannot write .* read-only; point DATUMRL_HOME at a wri"
    ):
        loading.load(ID)
    make("rw")
    loading.load(ID)
    raw.touch()  # so that the columns are held against the file's hash, which cannot be noted
    make("ro")
    assert len(loading.load(ID)) == 500
