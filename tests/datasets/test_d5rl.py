"""D5RL: kitchen episodes of several cameras, Adroit and WidowX, A1 buffers never unpickled."""

from __future__ import annotations

import io
import pickle
import tracemalloc
import zipfile

import h5py
import numpy as np
import pytest

from datumrl.datasets import (
    catalogue,
    d5rl_catalogue,
    d5rl_kitchen,
    d5rl_steps,
    fetching,
    loading,
    prepared,
)
from datumrl.datasets.errors import DatumrlError

KITCHEN = "d5rl/standardkitchen_indistribution"
ELEMENTS = ("microwave", "kettle", "light switch", "slide cabinet", "bottom burner")


class Bomb:
    def __reduce__(self):
        return (exec, ("raise SystemExit('unpickled')",))


def kitchen(seed, rows, size=16):
    """Return the arrays of one episode (code: examples' load_episode names them all).

    unverified: shapes of states, types of rewards.
    """
    rng = np.random.default_rng(seed)
    arrays = {
        "action": rng.uniform(-1, 1, (rows, 9)).astype(np.float32),
        "proprio": rng.normal(size=(rows, 9)).astype(np.float32),
        "metadata": np.array([Bomb()], dtype=object),  # code: objects and text are there, skipped
        "comment": np.array(["text"]),
    }
    for camera in ("camera_0", "camera_gripper"):
        name = f"extra_image_{camera}_rgb"
        arrays[name] = rng.integers(0, 256, (rows, size, size, 3), np.uint8)
    for element in ELEMENTS:
        arrays[f"reward {element}"] = rng.integers(0, 2, rows).astype(np.float32)
    return arrays


def write_kitchen(folder, episodes):
    for number, arrays in enumerate(episodes):
        place = folder / f"day_{number % 2}"  # code: found below folders of any depth
        place.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(place / f"2023-{number}-{len(arrays['action'])}.npz", **arrays)


def converted(reader, source, dataset_id, tmp_path, progress=None):
    reader.convert(source, catalogue.find(dataset_id), tmp_path / "columns", progress)
    episodes = prepared.read(tmp_path / "columns", dataset_id)
    episodes.validate()
    return episodes


@pytest.mark.parametrize("task", ["indistribution", "outofdistribution"])
def test_kitchen_steps_are_those_of_the_loop_over_rows(tmp_path, task):
    published = [kitchen(0, 9), kitchen(1, 5)]
    write_kitchen(tmp_path / "raw", published)
    name = f"d5rl/standardkitchen_{task}"
    episodes = converted(d5rl_kitchen, tmp_path / "raw", name, tmp_path)
    assert sorted(episodes.observations) == [
        "extra_image_camera_0_rgb",
        "extra_image_camera_gripper_rgb",
        "proprio",
    ]
    assert episodes.observations["extra_image_camera_0_rgb"].dtype == np.uint8
    last = "slide cabinet" if task == "indistribution" else "bottom burner"
    elements = ("microwave", "kettle", "light switch", last)
    steps, row = episodes.transitions(), 0
    for arrays in published:
        for t in range(len(arrays["action"]) - 1):
            for part, values in steps.observations.items():
                np.testing.assert_array_equal(values[row], arrays[part][t])
                following = steps.next_observations[part][row]
                np.testing.assert_array_equal(following, arrays[part][t + 1])
            np.testing.assert_array_equal(steps.actions[row], arrays["action"][t + 1])
            assert steps.rewards[row] == sum(arrays[f"reward {e}"][t + 1] for e in elements)
            row += 1
    assert row == len(steps) == 12
    assert not steps.terminals.any()
    assert np.flatnonzero(episodes.timeouts).tolist() == [7, 11]
    assert any("proprio float32 (9,)" in note for note in episodes.notes)


def test_the_randomized_kitchen_has_names_of_its_own(tmp_path):
    arrays = {name: v for name, v in kitchen(0, 6).items() if not name.startswith("reward")}
    for number, element in enumerate(("microwave", "kettle", "bottomknob", "switch", "slide")):
        arrays[f"reward_{element}"] = np.full(6, 10.0**number, np.float32)  # code: reward_{task}
    write_kitchen(tmp_path / "raw", [arrays])
    for task, total in (("indistribution", 11011), ("outofdistribution", 1111)):
        name = f"d5rl/randomizedkitchen_{task}-play_data"
        episodes = converted(d5rl_kitchen, tmp_path / "raw", name, tmp_path)
        assert episodes.rewards.tolist() == [total] * 5


def test_kitchen_with_one_reward_and_other_states(tmp_path):
    arrays = kitchen(0, 6)
    arrays = {"camera_0_rgb": arrays["extra_image_camera_0_rgb"], "action": arrays["action"]}
    arrays["robot_qp"] = np.ones((6, 9))
    arrays["reward"] = np.arange(6.0)
    write_kitchen(tmp_path / "raw", [arrays])
    episodes = converted(d5rl_kitchen, tmp_path / "raw", KITCHEN, tmp_path)
    assert episodes.rewards.tolist() == [1, 2, 3, 4, 5]
    assert episodes.observations["robot_qp"].dtype == np.float32
    assert any(note == "the reward is reward" for note in episodes.notes)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"action": np.zeros((6, 9), np.int64)}, "not float vectors"),
        ({"action": np.array([Bomb()] * 6)}, "lacks action"),
        ({"proprio": np.full((6, 9), np.nan, np.float32)}, "proprio holds .* not finite"),
        ({"proprio": np.zeros((5, 9), np.float32)}, "where action has 6 rows"),
        ({"reward kettle": np.array(["a"] * 6)}, "lacks reward kettle"),
    ],
)
def test_what_cannot_be_right_in_a_kitchen_is_refused(tmp_path, wrong, message):
    write_kitchen(tmp_path / "raw", [{**kitchen(0, 6), **wrong}])
    with pytest.raises(DatumrlError, match=message):
        converted(d5rl_kitchen, tmp_path / "raw", KITCHEN, tmp_path)
    assert not (tmp_path / "columns").exists()


def test_episodes_unlike_each_other_and_pickles_are_refused(tmp_path):
    write_kitchen(tmp_path / "raw", [kitchen(0, 6), kitchen(1, 6, size=8)])
    with pytest.raises(DatumrlError, match="unlike other files'"):
        converted(d5rl_kitchen, tmp_path / "raw", KITCHEN, tmp_path)
    folder = tmp_path / "pickles"
    folder.mkdir()
    (folder / "0.pkl").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(DatumrlError, match=r"its 1 \.pkl files are never unpickled"):
        converted(d5rl_kitchen, folder, KITCHEN, tmp_path)


def steps(lengths, shapes, following=True):
    """Return arrays as save_as_h5py.py writes them (code), with observations of some shapes."""
    rng, rows = np.random.default_rng(5), sum(lengths)
    ends = np.cumsum(lengths) - 1
    timeouts = np.zeros(rows, np.float32)  # code: every column but flags is float32
    timeouts[ends] = 1
    arrays = {
        "actions": rng.uniform(-1, 1, (rows, 28)).astype(np.float32),
        "rewards": -np.ones(rows, np.float32),
        "terminals": np.zeros(rows, bool),
        "timeouts": timeouts.astype(bool),
        "masks": np.ones(rows, np.float32),
    }
    for name, shape in shapes.items():
        values = rng.normal(size=(rows, *shape)).astype(np.float32)
        after = np.roll(values, -1, axis=0)
        after[ends] = rng.normal(size=(len(ends), *shape))
        arrays[f"observations{name}"] = values
        if following:
            arrays[f"next_observations{name}"] = after
    return arrays


def write_hdf5(path, arrays):
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file.create_dataset(name, data=values, compression="gzip")
    return path


def test_adroit_keeps_stored_ends_and_those_that_disagree(tmp_path):
    arrays = steps([5, 7], {"": (39,)})
    arrays["next_observations"][2] += 1
    file = write_hdf5(tmp_path / "door.hdf5", arrays)
    episodes = converted(d5rl_steps, file, "d5rl/adroit/door_binary", tmp_path)
    assert episodes.lengths().tolist() == [5, 7]
    assert episodes.successor_rows.tolist() == [2, 4, 11]
    found = episodes.transitions()
    np.testing.assert_array_equal(found.next_observations, arrays["next_observations"])
    np.testing.assert_array_equal(found.actions, arrays["actions"])
    assert not found.terminals.any()
    assert any("1 stored next observations disagree" in note for note in episodes.notes)


def test_the_last_row_of_a_file_needs_no_following_row(tmp_path):
    arrays = steps([1], {"": (39,)})
    file = write_hdf5(tmp_path / "door.hdf5", arrays)
    episodes = converted(d5rl_steps, file, "d5rl/adroit/door_binary", tmp_path)
    np.testing.assert_array_equal(episodes.successors, arrays["next_observations"])


@pytest.mark.parametrize("following", [True, False])
def test_widowx_has_named_observations(tmp_path, following):
    arrays = steps([4, 6], {"/end_effector_pos": (3,), "/gripper": ()}, following)
    file = write_hdf5(tmp_path / "drawer.hdf5", arrays)
    episodes = converted(d5rl_steps, file, "d5rl/widowx/drawer", tmp_path)
    assert episodes.observations["gripper"].shape == (10, 1)
    found = episodes.transitions()
    kept = np.arange(10) if following else np.array([0, 1, 2, 4, 5, 6, 7, 8])
    np.testing.assert_array_equal(found.rows, kept)
    expected = arrays["observations/end_effector_pos"]
    if following:
        expected = arrays["next_observations/end_effector_pos"]
        np.testing.assert_array_equal(found.next_observations["end_effector_pos"], expected)
    else:
        after = found.next_observations["end_effector_pos"]
        np.testing.assert_array_equal(after, expected[kept + 1])
    assert any("28 dimensions, not 4" in note for note in episodes.notes)


def test_without_timeouts_the_time_limit_ends_episodes(tmp_path):
    arrays = steps([450], {"": (39,)})
    del arrays["timeouts"]
    arrays["terminals"][219] = True
    file = write_hdf5(tmp_path / "door.hdf5", arrays)
    episodes = converted(d5rl_steps, file, "d5rl/adroit/door_binary", tmp_path)
    assert episodes.starts.tolist() == [0, 200, 220, 420, 450]
    assert np.flatnonzero(episodes.timeouts).tolist() == [199, 419]
    assert episodes.complete().tolist() == [True, True, True, False]


def test_an_a1_pickle_is_refused_with_the_conversion_and_its_arrays_are_read(home, tmp_path):
    published = tmp_path / "a1_hiking.zip"
    with zipfile.ZipFile(published, "w") as archive:
        archive.writestr("buffers/buffer.pkl", pickle.dumps(Bomb()))
    name = "d5rl/a1/a1_hiking"
    record = catalogue.find(name)
    fetching.fetch(record, source=published)
    with pytest.raises(DatumrlError, match=r"never unpickled here.*dataset_dict.*--force --from"):
        loading.load(name)
    arrays = steps([5, 7], {"": (46,)})
    arrays["masks"][4] = 0
    arrays["dones"] = arrays.pop("timeouts")
    del arrays["terminals"]
    np.savez(tmp_path / "a1_hiking.npz", **arrays)
    fetching.fetch(record, source=tmp_path / "a1_hiking.npz", force=True)
    episodes = loading.load(name)
    assert np.flatnonzero(episodes.terminals).tolist() == [4]
    assert np.flatnonzero(episodes.timeouts).tolist() == [11]
    found = episodes.transitions().next_observations
    np.testing.assert_array_equal(found, arrays["next_observations"])


def test_the_catalogue_has_all_parts():
    records = {each.id: each for each in d5rl_catalogue.records()}
    assert len(records) == 5 + 3 + 3 + 3
    assert records["d5rl/adroit/pen_binary"].reference.minimum == -100
    assert records["d5rl/widowx/drawer"].reference.maximum == 200
    assert all(each.layout == "unverified" for each in records.values())
    assert all(bool(each.urls) != bool(each.access) for each in records.values())


@pytest.mark.parametrize("kind", ["kitchen", "hdf5", "npz"])
def test_damage_anywhere_is_an_error_or_a_valid_dataset(tmp_path, kind):
    if kind == "kitchen":
        write_kitchen(tmp_path / "raw", [kitchen(0, 6)])
        source, (file,) = tmp_path / "raw", (tmp_path / "raw").rglob("*.npz")
        reader, name = d5rl_kitchen, KITCHEN
    elif kind == "hdf5":
        source = file = write_hdf5(tmp_path / "door.hdf5", steps([5, 7], {"": (39,)}))
        reader, name = d5rl_steps, "d5rl/adroit/door_binary"
    else:
        source = file = tmp_path / "a1.npz"
        np.savez_compressed(file, **steps([5, 7], {"": (46,)}))
        reader, name = d5rl_steps, "d5rl/a1/a1_hiking"
    whole, rng, refused = file.read_bytes(), np.random.default_rng(0), 0
    converted(reader, source, name, tmp_path)
    for trial in range(45):
        data = bytearray(whole)
        if trial % 3 == 0:
            del data[int(rng.integers(0, len(data))) :]
        else:
            for place in rng.integers(0, min(len(data), 4096 if trial % 2 else len(data)), 4):
                data[place] ^= 1 << int(rng.integers(0, 8))
        file.write_bytes(bytes(data))
        try:
            converted(reader, source, name, tmp_path)
        except DatumrlError:
            refused += 1
    assert refused >= 20


@pytest.mark.slow
def test_memory_does_not_grow_with_the_folder(tmp_path):
    arrays = kitchen(0, 120, size=128)  # 12 MB of pixels
    del arrays["metadata"]
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    (tmp_path / "raw").mkdir()
    for number in range(8):
        (tmp_path / f"raw/{number}.npz").write_bytes(buffer.getvalue())
    del buffer, arrays
    seen = []
    tracemalloc.start()
    episodes = converted(
        d5rl_kitchen, tmp_path / "raw", KITCHEN, tmp_path, lambda *done: seen.append(done)
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(episodes) == 8 * 119
    assert peak < 48 << 20
    assert seen[-1][0] == seen[-1][1]
