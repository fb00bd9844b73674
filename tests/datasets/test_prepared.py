"""Prepared columns: written all or nothing, opened without a copy, damage told apart."""

from __future__ import annotations

import json
import time
import tracemalloc

import numpy as np
import pytest

from datumrl.datasets import prepared
from datumrl.datasets.episodes import Episodes
from datumrl.datasets.errors import DatumrlError

ID = "d4rl/hopper-medium-v2"


@pytest.fixture
def folder(tmp_path, make_episodes):
    episodes = make_episodes("--T-O--", stored={4: 44}, sha256="ab", notes=("one", "two"))
    extras = {"infos/qpos": np.arange(14.0).reshape(7, 2), "iteration": np.array(3)}
    prepared.write(tmp_path / "columns", episodes, {"made": "by hand"}, extras)
    return tmp_path / "columns"


def test_what_is_read_is_what_was_written(folder, make_episodes):
    episodes = make_episodes("--T-O--", stored={4: 44}, sha256="ab", notes=("one", "two"))
    again = prepared.read(folder, ID)
    for name in Episodes.__dataclass_fields__:
        expected, found = getattr(episodes, name), getattr(again, name)
        if isinstance(expected, np.ndarray):
            np.testing.assert_array_equal(found, expected)
            assert found.dtype == expected.dtype
        elif name not in ("infos", "origin"):
            assert found == expected
    assert list(again.infos) == ["qpos"]  # "iteration" has no value per row
    np.testing.assert_array_equal(again.infos["qpos"], np.arange(14.0).reshape(7, 2))
    assert prepared.provenance(folder) == {"made": "by hand"}
    extras = prepared.read_extras(folder)
    np.testing.assert_array_equal(extras["infos/qpos"], np.arange(14.0).reshape(7, 2))
    assert extras["iteration"] == 3


def peak_of_reading(folder):
    """Return the most bytes that Python held while reading, after a first read has imported all."""
    prepared.read(folder, ID)
    tracemalloc.start()
    prepared.read(folder, ID)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def test_reading_maps_the_columns_read_only_and_copies_nothing(tmp_path, make_episodes):
    prepared.write(tmp_path / "columns", make_episodes("-" * 400_000), {})
    prepared.write(tmp_path / "few_row", make_episodes("-" * 4), {})
    # The smallest column alone holds 400,000 bytes; what reading takes does not grow with the rows.
    many, few = peak_of_reading(tmp_path / "columns"), peak_of_reading(tmp_path / "few_row")
    assert many - few < 20_000
    seconds = []
    for _ in range(10):
        begin = time.perf_counter()
        again = prepared.read(tmp_path / "columns", ID)
        seconds.append(time.perf_counter() - begin)
    assert min(seconds) < 0.02
    for name in prepared.COLUMNS:
        column = getattr(again, name)
        assert isinstance(column, np.memmap)
        assert not column.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        again.rewards[0] = 0


def test_infos_are_opened_when_asked_for_and_cut_with_the_rows(folder):
    file = folder / "extra.infos.qpos.npy"
    content = file.read_bytes()
    file.unlink()
    cut = prepared.read(folder, ID).prefix(3)
    assert "qvel" not in cut.infos
    with pytest.raises(KeyError, match="'qvel'; there are qpos"):
        cut.infos["qvel"]
    with pytest.raises(DatumrlError, match=r"extra\.infos\.qpos\.npy is missing"):
        cut.infos["qpos"]
    file.write_bytes(content)
    np.testing.assert_array_equal(cut.infos["qpos"], np.arange(14.0).reshape(7, 2)[: len(cut)])


def test_an_empty_dataset_goes_through_too(tmp_path, make_episodes):
    prepared.write(tmp_path / "columns", make_episodes(""), {})
    again = prepared.read(tmp_path / "columns", ID)
    assert len(again) == len(again.transitions()) == len(again.transitions("d4rl-legacy")) == 0


def test_memory_mapped_columns_can_be_written_again(folder, tmp_path):
    prepared.write(tmp_path / "again", prepared.read(folder, ID).prefix(4), {})
    again = prepared.read(tmp_path / "again", f"{ID}@4")
    assert again.rewards.tolist() == [1, 2, 3, 4, 5]


def test_nothing_is_written_of_episodes_that_are_not_valid(tmp_path, make_episodes):
    bad = make_episodes("---", rewards=np.array([1, np.nan, 1], "f4"))
    with pytest.raises(DatumrlError, match="not finite at row 1"):
        prepared.write(tmp_path / "columns", bad, {})
    with pytest.raises(DatumrlError, match="extra 'names' holds"):
        prepared.write(tmp_path / "columns", make_episodes("-"), {}, {"names": np.array(["a"])})
    assert list(tmp_path.iterdir()) == []


def test_a_failure_midway_leaves_the_old_columns(folder, make_episodes):
    unserialisable = {"when": object()}
    with pytest.raises(TypeError):
        prepared.write(folder, make_episodes("---"), unserialisable)
    assert len(prepared.read(folder, ID)) == 7
    assert [path.name for path in folder.parent.iterdir()] == ["columns"]


def cut(path):
    path.write_bytes(path.read_bytes()[:-3])


def grow(path):
    path.write_bytes(path.read_bytes() + b"more")


def empty(path):
    path.write_bytes(b"")


def garble(path):
    path.write_bytes(b"<html>" * 100)


def swap(path):
    np.save(path, np.arange(7))


def pickle(path):
    np.save(path, np.array([{}], object), allow_pickle=True)


@pytest.mark.parametrize("damage", [cut, grow, empty, garble, swap, pickle])
@pytest.mark.parametrize("name", ["observations", "starts", "successors"])
def test_a_damaged_column_is_named_with_the_remedy(damage, name, folder):
    damage(folder / f"{name}.npy")
    with pytest.raises(DatumrlError, match=rf"{name}\.npy is .*; delete {folder} and load"):
        prepared.read(folder, ID)


def test_a_missing_column_extra_or_folder_is_named(folder):
    (folder / "rewards.npy").unlink()
    with pytest.raises(DatumrlError, match=r"rewards\.npy is missing; delete"):
        prepared.read(folder, ID)
    (folder / "extra.iteration.npy").unlink()
    with pytest.raises(DatumrlError, match=r"extra\.iteration\.npy is missing"):
        prepared.read_extras(folder)
    with pytest.raises(DatumrlError, match="nowhere does not exist"):
        prepared.read(folder.parent / "nowhere", ID)


def without(key):
    return lambda meta: meta.pop(key)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda meta: meta.update(format="zarr"), "describes no datumrl-columns"),
        (lambda meta: meta.update(version=99), "version 99"),
        (lambda meta: meta.update(id="d4rl/ant-medium-v2"), "holds d4rl/ant-medium-v2, not d4rl/h"),
        (lambda meta: meta.update(rows=8), "different lengths"),
        (without("provenance"), "lacks provenance"),
        (lambda meta: meta["columns"].pop("actions"), r"actions\.npy is not the column"),
    ],
)
def test_a_foreign_meta_json_is_refused(change, message, folder):
    meta = json.loads((folder / "meta.json").read_text())
    change(meta)
    (folder / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(DatumrlError, match=message):
        prepared.read(folder, ID)


def test_a_folder_without_its_meta_json_is_refused(folder):
    (folder / "meta.json").unlink()
    with pytest.raises(DatumrlError, match=r"lacks meta\.json; delete .* and load, or collect"):
        prepared.provenance(folder)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"format": NaN}'])
def test_a_meta_json_that_is_not_one_is_refused(text, folder):
    (folder / "meta.json").write_text(text)
    with pytest.raises(DatumrlError, match=r"meta\.json"):
        prepared.read(folder, ID)


def test_dicts_images_and_discrete_actions_come_back_as_they_were(tmp_path, make_episodes):
    observations = {
        "image": np.arange(48, dtype=np.uint8).reshape(4, 2, 2, 3),
        "../odd name/x.npy": np.arange(4.0)[:, None],
    }
    stored = {name: values[:1] for name, values in observations.items()}
    starts = np.array([0, 3, 4])
    episodes = make_episodes(
        "-TO-",
        stored={2: 0},
        observations=observations,
        successors=stored,
        actions=np.array([3, 1, 0, 2]),
        starts=starts,
        ends="recorded",
    )
    prepared.write(tmp_path / "columns", episodes, {})
    again = prepared.read(tmp_path / "columns", ID)
    again.validate()
    assert list(again.observations) == list(observations)
    for name, values in observations.items():
        assert again.observations[name].dtype == values.dtype
        np.testing.assert_array_equal(again.observations[name], values)
        np.testing.assert_array_equal(again.successors[name], stored[name])
    assert again.actions.dtype == np.int64
    assert again.ends == "recorded"
    assert [path.name for path in tmp_path.iterdir()] == ["columns"]
