"""V-D4RL: the shift of dm_env's order, shards that cut episodes, folders, images by index."""

from __future__ import annotations

import shutil
import tracemalloc

import h5py
import numpy as np
import pytest

from datumrl.datasets import catalogue, fetching, loading, places, prepared, scores, vd4rl_folder
from datumrl.datasets.errors import DatumrlError

SMALL = "vd4rl/main/walker_walk/random/64px"
LARGE = "vd4rl/main/cheetah_run/medium_replay/84px"


def episode(seed, rows=501):
    """Return the arrays of a published 64-pixel file (code: conversion_scripts/hdf5_to_npz.py)."""
    rng = np.random.default_rng(seed)
    flags = np.zeros(rows, bool)
    first, last = flags.copy(), flags.copy()
    first[0] = last[-1] = True
    return {
        "image": rng.integers(0, 256, (rows, 64, 64, 3), np.uint8),
        "action": rng.uniform(-1, 1, (rows, 6)).astype(np.float32),  # unverified: float32
        "reward": rng.random(rows).astype(np.float32),
        "discount": np.ones(rows, np.float32),
        "is_last": last,
        "is_first": first,
        "is_terminal": flags,
    }


def write_episodes(folder, episodes):
    folder.mkdir(parents=True, exist_ok=True)
    for number, arrays in enumerate(episodes):
        length = len(arrays["action"])  # code: timestamp, uuid, length
        np.savez_compressed(
            folder / f"20220101T0000{number:02d}-{number:032x}-{length}.npz", **arrays
        )


def shard(seed, episodes):
    """Return the arrays of a published shard (code: conversion_scripts/npz_to_hdf5.py)."""
    rng, rows = np.random.default_rng(seed), 501 * episodes
    step_type = np.ones(501)
    step_type[0], step_type[500] = 0, 2
    return {
        "observation": rng.integers(0, 256, (rows, 3, 84, 84), np.uint8),
        "action": rng.uniform(-1, 1, (rows, 6)).astype(np.float32),
        "reward": rng.random(rows).astype(np.float32),
        "discount": np.ones(rows, np.float32),
        "step_type": np.concatenate([step_type] * episodes),
    }


def write_shards(folder, shards):
    folder.mkdir(parents=True, exist_ok=True)
    for number, arrays in enumerate(shards):
        with h5py.File(folder / f"{number}.hdf5", "w") as file:
            for name, values in arrays.items():
                file.create_dataset(name, data=values, compression="gzip", compression_opts=1)


def split(arrays, pieces):
    """Split as the publisher's split_hdf5_shards.py does."""
    parts = {name: np.array_split(values, pieces) for name, values in arrays.items()}
    return [{name: parts[name][number] for name in arrays} for number in range(pieces)]


@pytest.fixture
def convert(tmp_path):
    def made(dataset_id, progress=None):
        record = catalogue.find(dataset_id)
        vd4rl_folder.convert(tmp_path / "raw", record, tmp_path / "columns", progress)
        episodes = prepared.read(tmp_path / "columns", dataset_id)
        episodes.validate()
        return episodes

    return made


def check_against_loop(episodes, image, arrays_of_episodes):
    """Hold every transition against the loop over rows that the baselines write."""
    steps, row = episodes.transitions(), 0
    for arrays in arrays_of_episodes:
        for t in range(len(arrays["action"]) - 1):
            assert steps.observations[row].tobytes() == arrays[image][t].tobytes()
            assert steps.next_observations[row].tobytes() == arrays[image][t + 1].tobytes()
            np.testing.assert_array_equal(steps.actions[row], arrays["action"][t + 1])
            assert steps.rewards[row] == arrays["reward"][t + 1]
            row += 1
    assert row == len(steps) == len(episodes)


def test_actions_and_rewards_are_shifted_onto_the_image_they_followed(convert, tmp_path):
    published = [episode(0), episode(1), episode(2, rows=21)]
    write_episodes(tmp_path / "raw", published)
    episodes = convert(SMALL)
    assert episodes.lengths().tolist() == [500, 500, 20]
    assert not episodes.terminals.any()
    assert np.flatnonzero(episodes.timeouts).tolist() == [499, 999, 1019]
    check_against_loop(episodes, "image", published)
    returns = [float(each["reward"][1:].sum(dtype=float)) for each in published]
    np.testing.assert_allclose(episodes.returns(), returns)
    assert any("1 of 3 episodes do not have 501 rows" in note for note in episodes.notes)


def test_images_stay_on_disk_and_are_gathered_by_index(convert, tmp_path):
    published = [episode(3, rows=31), episode(4, rows=31)]
    write_episodes(tmp_path / "raw", published)
    episodes = convert(SMALL)
    assert isinstance(episodes.observations, np.memmap)
    assert episodes.observations.dtype == np.uint8
    batch = episodes.index().gather(np.array([29, 30, 0]))
    assert batch.next_observations[0].tobytes() == published[0]["image"][30].tobytes()
    assert batch.observations[1].tobytes() == published[1]["image"][0].tobytes()
    assert batch.rewards.tolist() == [
        published[0]["reward"][30],
        published[1]["reward"][1],
        published[0]["reward"][1],
    ]


def test_shards_of_whole_episodes(convert, tmp_path):
    arrays = shard(5, 2)
    write_shards(tmp_path / "raw", [arrays])
    episodes = convert(LARGE)
    assert episodes.observations.shape == (1000, 3, 84, 84)
    halves = [{name: values[:501] for name, values in arrays.items()}]
    halves.append({name: values[501:] for name, values in arrays.items()})
    check_against_loop(episodes, "observation", halves)


def test_episodes_cut_by_the_split_are_joined_in_the_order_of_numbers(convert, tmp_path):
    arrays = shard(6, 2)
    write_shards(tmp_path / "raw", split(arrays, 11))  # 10.hdf5 comes after 9, not after 1
    episodes = convert(LARGE)
    assert episodes.lengths().tolist() == [500, 500]
    np.testing.assert_array_equal(episodes.rewards[:500], arrays["reward"][1:501])
    np.testing.assert_array_equal(episodes.actions[500:], arrays["action"][502:])
    last = episodes.transitions().next_observations[-1]
    assert last.tobytes() == arrays["observation"][-1].tobytes()
    assert any("go on from one shard to the next; they were joined" in n for n in episodes.notes)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        (0, r"1.hdf5: an episode is cut off at row 0"),
        (5, "joined they do not all have 501 rows"),
        (10, "an episode is cut off at row"),
    ],
)
def test_a_missing_shard_is_noticed(convert, tmp_path, missing, message):
    write_shards(tmp_path / "raw", split(shard(6, 2), 11))
    (tmp_path / "raw" / f"{missing}.hdf5").unlink()
    with pytest.raises(DatumrlError, match=message):
        convert(LARGE)
    assert not (tmp_path / "columns").exists()


def test_a_folder_is_imported_hashed_and_loaded(home, tmp_path):
    published = [episode(7, rows=11)]
    tree = tmp_path / "vd4rl_data"
    write_episodes(tree / "main/walker_walk/random/64px", published)
    record = catalogue.find(SMALL)
    with pytest.raises(DatumrlError, match=r"no address to download from; clone the Hugging Face"):
        fetching.fetch(record)
    with pytest.raises(DatumrlError, match="there is no such folder"):
        fetching.fetch(record, source=tmp_path / "nowhere")
    fetched = fetching.fetch(record, source=tree)
    assert fetched.path == places.raw_path(record)
    assert fetched.path.is_relative_to(home)
    assert fetching.fetch(record).how == "verified"
    assert fetching.read_sidecar(fetched.path).sha256 == fetched.sha256
    shutil.rmtree(tree)
    assert len(loading.load(SMALL).transitions()) == 10
    only = next(fetched.path.iterdir())
    only.unlink()
    write_episodes(fetched.path, [episode(8, rows=11)])
    with pytest.raises(DatumrlError, match=r"it was changed or damaged since it was fetched"):
        fetching.fetch(record)
    with pytest.raises(DatumrlError, match="expected sha256"):
        loading.load(SMALL)


def test_the_catalogue_has_every_task_level_and_size(home):
    records = [
        catalogue.find(f"vd4rl/main/{task}/{level}/{pixels}")
        for task in ("walker_walk", "cheetah_run", "humanoid_walk")
        for level in ("random", "medium_replay", "medium", "medium_expert", "expert")
        for pixels in ("64px", "84px")
    ]
    assert {each.action_dim for each in records} == {6, 21}
    assert scores.normalize(512.0, records[0]) == pytest.approx(51.2)
    assert len({places.raw_path(each) for each in records}) == 30
    assert all(each.access and each.folder for each in records)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"image": episode(0, 11)["image"].astype(np.float32)}, "image holds float32"),
        ({"image": episode(0, 11)["image"][:, :32]}, r"shape \(32, 64, 3\) where"),
        ({"action": np.full((11, 6), np.nan, np.float32)}, "action holds .* not finite"),
        ({"reward": np.zeros(10, np.float32)}, "where reward has 10 rows"),
        ({"is_last": np.zeros(11, bool)}, "is_last is not as in a whole episode at its row 10"),
        ({"is_first": np.eye(11, dtype=bool)[4]}, "is_first is not as in a whole episode"),
        ({"action": np.array([{}] * 11)}, "lacks action"),
    ],
)
def test_what_cannot_be_right_is_refused(convert, tmp_path, wrong, message):
    write_episodes(tmp_path / "raw", [{**episode(0, 11), **wrong}])
    with pytest.raises(DatumrlError, match=message):
        convert(SMALL)


def test_a_terminal_row_is_kept_and_told_of(convert, tmp_path):
    arrays = episode(0, 11)
    arrays["is_terminal"] = arrays["is_last"]
    write_episodes(tmp_path / "raw", [arrays])
    episodes = convert(SMALL)
    assert np.flatnonzero(episodes.terminals).tolist() == [9]
    assert not episodes.timeouts.any()
    assert any("never happens" in note for note in episodes.notes)


def test_a_shard_that_lies_about_its_size_is_refused(convert, tmp_path):
    write_shards(tmp_path / "raw", [shard(5, 1)])
    with h5py.File(tmp_path / "raw/0.hdf5", "r+") as file:
        del file["observation"]
        file.create_dataset("observation", (1 << 40, 3, 84, 84), np.uint8, chunks=(1, 3, 84, 84))
    with pytest.raises(DatumrlError, match="observation says it is uint8"):
        convert(LARGE)


@pytest.mark.parametrize("dataset_id", [SMALL, LARGE])
def test_damage_anywhere_is_an_error_or_changes_nothing(convert, tmp_path, dataset_id):
    if dataset_id == SMALL:
        write_episodes(tmp_path / "raw", [episode(0, 5)])
    else:
        short = {name: np.concatenate([v[:3], v[-2:]]) for name, v in shard(0, 1).items()}
        write_shards(tmp_path / "raw", [short])
    file = next((tmp_path / "raw").iterdir())
    whole, images = file.read_bytes(), np.array(convert(dataset_id).observations)
    rng, refused = np.random.default_rng(0), 0
    for trial in range(60):
        data = bytearray(whole)
        if trial % 3 == 0:
            del data[int(rng.integers(0, len(data))) :]
        else:
            # The beginning too, where HDF5 keeps its structure and most bytes are not pixels.
            for place in rng.integers(0, len(data) if trial % 2 else 4096, 4):
                data[place] ^= 1 << int(rng.integers(0, 8))
        file.write_bytes(bytes(data))
        try:
            episodes = convert(dataset_id)
        except DatumrlError:
            refused += 1
        else:  # HDF5 has no checksum of its own: only what gzip checks is sure
            assert episodes.observations.shape == images.shape
            assert dataset_id == LARGE or (episodes.observations == images).all()
    assert refused > 25


def test_memory_does_not_grow_with_the_folder(convert, tmp_path):
    arrays = episode(9)
    folder = tmp_path / "raw"
    folder.mkdir()
    np.savez(folder / "0.npz", **arrays)  # uncompressed, which is as valid and quicker
    for number in range(1, 16):
        shutil.copyfile(folder / "0.npz", folder / f"{number}.npz")  # 98 MB of pixels
    seen = []
    tracemalloc.start()
    episodes = convert(SMALL, lambda *done: seen.append(done))
    episodes.index().gather(np.arange(0, 8000, 100))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(episodes) == 8000
    assert peak < 48 << 20
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
