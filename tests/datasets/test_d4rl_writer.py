"""D4RL files as D4RL's own loaders see them, whose rules are stated anew in this module."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import h5py
import numpy as np
import pytest

from datumrl.datasets import catalogue, d4rl_hdf5, d4rl_writer, exports, places, prepared
from datumrl.datasets.episodes import Episodes
from datumrl.datasets.errors import DatumrlError

HOPPER = catalogue.find("d4rl/hopper-medium-v2")
NARROW = replace(HOPPER, observation_dim=2, action_dim=1)  # as wide as make_episodes makes them
LOCAL = catalogue.find("local/inverted-pendulum-mixed-v1")


def get_dataset(path: Path) -> dict[str, Any]:
    """D4RL's OfflineEnv.get_dataset: every dataset by its full name, scalars with ``[()]``."""
    found: dict[str, Any] = {}
    with h5py.File(path, "r") as file:
        names: list[str] = []
        file.visititems(
            lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None
        )
        for name in names:
            try:
                found[name] = file[name][:]
            except ValueError:
                found[name] = file[name][()]
    rows = found["observations"].shape[0]
    assert found["rewards"].shape == (rows,)
    assert found["terminals"].shape == (rows,)
    return found


def qlearning_dataset(dataset: dict[str, Any], limit: int = 1000) -> dict[str, np.ndarray]:
    """D4RL's qlearning_dataset, a row at a time."""
    steps = defaultdict(list)
    count = 0
    for row in range(len(dataset["rewards"]) - 1):
        terminal = bool(dataset["terminals"][row])
        last = dataset["timeouts"][row] if "timeouts" in dataset else count == limit - 1
        if last:
            count = 0
            continue
        if terminal:
            count = 0
        steps["observations"].append(dataset["observations"][row])
        steps["next_observations"].append(dataset["observations"][row + 1])
        steps["actions"].append(dataset["actions"][row])
        steps["rewards"].append(dataset["rewards"][row])
        steps["terminals"].append(terminal)
        count += 1
    return {name: np.array(values) for name, values in steps.items()}


def sequence_dataset(dataset: dict[str, Any]) -> Iterator[dict[str, np.ndarray]]:
    """D4RL's sequence_dataset: every key is indexed by row."""
    under_way = defaultdict(list)
    for row in range(len(dataset["rewards"])):
        for key in dataset:
            under_way[key].append(dataset[key][row])
        if dataset["terminals"][row] or dataset["timeouts"][row]:
            yield {key: np.array(values) for key, values in under_way.items()}
            under_way = defaultdict(list)


def source_of(episodes: Episodes, record: catalogue.DatasetRecord = NARROW) -> exports.Source:
    rows = len(episodes)
    infos = {
        "qpos": np.linspace(0, 1, 3 * rows).reshape(rows, 3),
        "policy": np.arange(rows, dtype=np.int16),
    }
    told = replace(episodes, infos=infos)
    return exports.Source(record, told, {}, {"command": "datumrl collect it"})


def read_back(path: Path, folder: Path, record: catalogue.DatasetRecord = NARROW) -> Episodes:
    d4rl_hdf5.convert(path, record, folder)
    return prepared.read(folder, record.id)


def assert_same(found: Episodes, expected: Episodes) -> None:
    for name in prepared.COLUMNS:
        column, wanted = getattr(found, name), getattr(expected, name)
        assert column.dtype == wanted.dtype, name
        np.testing.assert_array_equal(column, wanted, err_msg=name)


ALL_KNOWN = ("--T-O-B----O--", {2: 90.0, 4: 91.0, 6: 92.0, 8: 99.0, 11: 93.0, 13: 94.0})


def test_d4rls_loaders_read_it(make_episodes: Callable[..., Episodes], tmp_path: Path) -> None:
    episodes = make_episodes(*ALL_KNOWN)
    export = d4rl_writer.write(tmp_path / "a.hdf5", source_of(episodes))
    assert (export.transitions, export.episodes, export.notes) == (14, 5, ())
    dataset = get_dataset(export.path)
    assert set(dataset) == {
        *("observations", "actions", "rewards", "terminals", "timeouts", "next_observations"),
        *("infos/qpos", "infos/policy"),
    }
    types = {name: values.dtype.name for name, values in dataset.items()}
    assert types.pop("infos/qpos") == "float64"
    assert types.pop("infos/policy") == "int16"
    assert {types.pop("terminals"), types.pop("timeouts")} == {"bool"}
    assert set(types.values()) == {"float32"}
    successors = [1, 2, 90, 4, 91, 6, 92, 8, 99, 10, 11, 93, 13, 94]
    assert dataset["next_observations"][:, 0].tolist() == successors
    steps = qlearning_dataset(dataset)
    legacy = episodes.transitions("d4rl-legacy")
    for name, values in steps.items():
        np.testing.assert_array_equal(values, getattr(legacy, name), err_msg=name)
    trajectories = list(sequence_dataset(dataset))
    assert [len(part["rewards"]) for part in trajectories] == [3, 2, 2, 5]
    assert trajectories[1]["infos/policy"].tolist() == [3, 4]


def test_our_reader_gets_the_same_dataset_back(
    make_episodes: Callable[..., Episodes], tmp_path: Path
) -> None:
    episodes = make_episodes(*ALL_KNOWN)
    source = source_of(episodes)
    export = d4rl_writer.write(tmp_path / "a.hdf5", source)
    found = read_back(export.path, tmp_path / "prepared")
    assert_same(found, episodes)
    assert set(found.infos) == set(source.episodes.infos) == {"qpos", "policy"}
    for name, values in source.episodes.infos.items():
        np.testing.assert_array_equal(found.infos[name], values)


def test_columns_of_many_blocks_come_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = (1 << 16) + 5000
    timeouts = np.zeros(rows, bool)
    timeouts[[(1 << 16) - 1, 1 << 16, rows - 1]] = True  # at the seam of two blocks
    ends = np.flatnonzero(timeouts)
    episodes = Episodes(
        id=NARROW.id,
        observations=rng.normal(size=(rows, 2)).astype(np.float32),
        actions=rng.normal(size=(rows, 1)).astype(np.float32),
        rewards=rng.normal(size=rows).astype(np.float32),
        terminals=np.zeros(rows, bool),
        timeouts=timeouts,
        starts=np.concatenate([[0], ends + 1]).astype(np.int64),
        successor_rows=ends.astype(np.int64),
        successors=rng.normal(size=(len(ends), 2)).astype(np.float32),
        time_limit=1000,
        timeouts_recorded=True,
    )
    told: list[tuple[int, int]] = []
    export = d4rl_writer.write(
        tmp_path / "a.hdf5",
        source_of(episodes),
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(1 << 16, rows), (rows, rows)]
    assert_same(read_back(export.path, tmp_path / "prepared"), episodes)
    with h5py.File(export.path, "r") as file:
        assert {file[name].compression for name in ("actions", "infos/qpos")} == {"gzip"}


def test_an_unknown_successor_is_left_out_and_not_made_up(
    make_episodes: Callable[..., Episodes], tmp_path: Path
) -> None:
    episodes = make_episodes("--T-O--", {2: 90.0})
    export = d4rl_writer.write(tmp_path / "a.hdf5", source_of(episodes))
    omitted, lost = export.notes
    assert "next_observations is left out: 2 rows" in omitted
    assert "1 successors that the source stored" in lost
    with h5py.File(export.path, "r") as file:
        assert "next_observations" not in file
        assert file.attrs["export_notes"] == "\n".join(export.notes)
    found = read_back(export.path, tmp_path / "prepared")
    assert_same(found, replace(episodes, **_no_successors(episodes)))


def _no_successors(episodes: Episodes) -> dict[str, np.ndarray]:
    return {"successor_rows": episodes.successor_rows[:0], "successors": episodes.successors[:0]}


def test_timeouts_that_were_inferred_are_inferred_again(
    d4rl_files: ModuleType, home: Path, tmp_path: Path
) -> None:
    original = d4rl_files.columns(np.random.default_rng(0), 3500, terminals=0.001)
    assert "timeouts" not in original
    d4rl_files.write(places.raw_path(HOPPER), original)
    source = exports.open_source(HOPPER.id)
    export = d4rl_writer.write(tmp_path / "a.hdf5", source)
    assert any("timeouts is left out" in note for note in export.notes)
    dataset = get_dataset(export.path)
    assert set(dataset) == set(original)
    legacy = source.episodes.transitions("d4rl-legacy")
    for name, values in qlearning_dataset(dataset).items():
        np.testing.assert_array_equal(values, getattr(legacy, name), err_msg=name)
    again = read_back(export.path, tmp_path / "prepared", HOPPER)
    assert_same(again, source.episodes)
    assert not again.timeouts_recorded


def test_a_file_of_d4rl_comes_out_as_it_went_in(
    d4rl_files: ModuleType, home: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng(1)
    original = d4rl_files.columns(rng, 300, terminals=0.02, timeouts=0.02)
    original["next_observations"] = d4rl_files.true_successors(rng, original)
    original.update(d4rl_files.v2_extras(rng, 300))
    d4rl_files.write(places.raw_path(HOPPER), original)
    export = d4rl_writer.write(tmp_path / "a.hdf5", exports.open_source(HOPPER.id))
    before, after = get_dataset(places.raw_path(HOPPER)), get_dataset(export.path)
    assert set(after) == set(before)
    assert after["metadata/algorithm"] == b"SAC"
    assert after["metadata/iteration"] == 1000
    for name, values in before.items():
        np.testing.assert_array_equal(after[name], values, err_msg=name)
        if name != "metadata/iteration":
            assert getattr(after[name], "dtype", None) == getattr(values, "dtype", None), name


def test_a_prefix_takes_the_whole_datasets_extras_along(
    make_episodes: Callable[..., Episodes], home: Path, tmp_path: Path
) -> None:
    whole = make_episodes("--T-O----O-", {2: 90.0, 4: 91.0, 9: 92.0, 10: 93.0}, id=LOCAL.id)
    extras = {"infos/qpos": np.arange(11.0)}
    prepared.write(places.prepared_folder(LOCAL), whole, {"recipe_sha256": "ab"}, extras)
    source = exports.open_source(f"{LOCAL.id}@4")
    dataset = get_dataset(d4rl_writer.write(tmp_path / "a.hdf5", source).path)
    assert dataset["infos/qpos"].tolist() == [0, 1, 2, 3, 4]
    assert dataset["next_observations"][:, 0].tolist() == [1, 2, 90, 4, 91]


def test_attributes_say_what_it_is(make_episodes: Callable[..., Episodes], tmp_path: Path) -> None:
    episodes = make_episodes("--T", {2: 9.0}, sha256="ab", notes=("seen by hand",))
    export = d4rl_writer.write(tmp_path / "a.hdf5", source_of(episodes))
    with h5py.File(export.path, "r") as file:
        told = dict(file.attrs)
    assert told["dataset"] == HOPPER.id
    assert told["sha256"] == "ab"
    assert told["environment"] == "Hopper-v4"
    assert told["reference_max_score"] == HOPPER.reference.maximum
    assert told["command"] == "datumrl collect it"
    assert told["notes"].splitlines()[-1] == "seen by hand"


def test_what_exists_is_kept_unless_forced(
    make_episodes: Callable[..., Episodes], tmp_path: Path
) -> None:
    path = tmp_path / "a.hdf5"
    path.write_text("mine")
    source = source_of(make_episodes("--T", {2: 9.0}))
    with pytest.raises(DatumrlError, match=r"a.hdf5 exists; .*--force"):
        d4rl_writer.write(path, source)
    assert path.read_text() == "mine"
    d4rl_writer.write(path, source, force=True)
    assert get_dataset(path)["rewards"].tolist() == [1, 2, 3]


def test_a_full_disk_is_an_error_and_leaves_nothing(
    make_episodes: Callable[..., Episodes], small_disk: Path
) -> None:
    rows = 40_000
    noise = np.random.default_rng(0).normal(size=(rows, 2)).astype(np.float32)
    flags = "-" * (rows - 1) + "O"
    episodes = make_episodes(flags, {rows - 1: 9.0}, observations=noise)
    with pytest.raises(DatumrlError, match="the disk is full"):
        d4rl_writer.write(small_disk / "a.hdf5", source_of(episodes))
    assert list(small_disk.iterdir()) == []


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((2,), np.float64), ((4, 3, 3), np.uint8), ((), np.int64)],
    ids=["float64", "image", "discrete"],
)
def test_observations_keep_their_type_and_shape(
    shape: tuple[int, ...], dtype: type, make_episodes: Callable[..., Episodes], tmp_path: Path
) -> None:
    values = np.random.default_rng(0).integers(0, 1 << 62, (6, *shape))
    values = (values / (1 << 62) if dtype is np.float64 else values).astype(dtype)
    observations, successors = values[:5], values[[4, 5]]
    fields = {"observations": observations, "successors": successors}
    actions = np.zeros((5, 1), np.float32)
    episodes = make_episodes("--T-O", {2: 0.0, 4: 0.0}, actions=actions, **fields)
    episodes.validate()
    dataset = get_dataset(d4rl_writer.write(tmp_path / "a.hdf5", source_of(episodes)).path)
    after = dataset["next_observations"]
    assert after.dtype == dataset["observations"].dtype == dtype
    np.testing.assert_array_equal(dataset["observations"], observations)
    np.testing.assert_array_equal(after, np.stack([values[row] for row in (1, 2, 4, 4, 5)]))


def test_dict_observations_are_refused_before_anything_is_written(
    make_episodes: Callable[..., Episodes], tmp_path: Path
) -> None:
    episodes = make_episodes("--T", {2: 9.0})
    parts = {"camera": episodes.observations, "arm": episodes.observations}
    stored = {"camera": episodes.successors, "arm": episodes.successors}
    episodes = replace(episodes, observations=parts, successors=stored)
    with pytest.raises(DatumrlError, match=r"\(camera, arm\).*--to minari"):
        d4rl_writer.write(tmp_path / "a.hdf5", source_of(episodes))
    assert list(tmp_path.iterdir()) == []


def test_recorded_ends_without_a_flag_become_timeouts(
    make_episodes: Callable[..., Episodes], tmp_path: Path
) -> None:
    starts = np.arange(0, 13, 3)
    stored = {2: 90.0, 5: 91.0, 8: 92.0, 11: 93.0}
    episodes = make_episodes("-----O------", stored, starts=starts, ends="recorded")
    export = d4rl_writer.write(tmp_path / "a.hdf5", source_of(episodes))
    assert export.notes == ("3 ends of episodes without a flag are written as timeouts",)
    trajectories = list(sequence_dataset(get_dataset(export.path)))
    assert [len(each["rewards"]) for each in trajectories] == [3, 3, 3, 3]
    found = read_back(export.path, tmp_path / "prepared")
    assert found.lengths().tolist() == [3, 3, 3, 3]
    np.testing.assert_array_equal(found.successors, episodes.successors)


@pytest.mark.parametrize("ends", ["recorded", "flags"])
def test_timeouts_that_readers_would_infer_otherwise_are_written(
    ends: str, make_episodes: Callable[..., Episodes], tmp_path: Path
) -> None:
    stored = {2: 90.0, 5: 91.0}
    episodes = make_episodes("--O--O", stored, ends=ends, timeouts_recorded=False)
    source = replace(source_of(episodes), record=replace(NARROW, reader="user"))
    export = d4rl_writer.write(tmp_path / "a.hdf5", source)
    assert export.notes == (
        "timeouts is written though the source has none: readers would end episodes elsewhere",
    )
    found = read_back(export.path, tmp_path / "prepared")
    assert found.lengths().tolist() == [3, 3]


def test_terminal_rows_within_an_episode_are_told(
    make_episodes: Callable[..., Episodes], tmp_path: Path
) -> None:
    starts = np.array([0, 5, 7])
    episodes = make_episodes("-T--O-T", {4: 90.0, 6: 91.0}, starts=starts, ends="recorded")
    export = d4rl_writer.write(tmp_path / "a.hdf5", source_of(episodes))
    (note,) = export.notes
    assert note.startswith("1 terminal rows lie within episodes")
    dataset = get_dataset(export.path)
    assert np.flatnonzero(dataset["terminals"]).tolist() == [1, 6]
    assert dataset["next_observations"][:, 0].tolist() == [1, 2, 3, 4, 90, 6, 91]
