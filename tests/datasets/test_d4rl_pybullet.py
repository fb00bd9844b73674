"""d4rl-pybullet: the collector's layout against its own loop, time limits, and D4RL's layout."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from datumrl.datasets import (
    catalogue,
    d4rl_pybullet_catalogue,
    d4rl_pybullet_hdf5,
    places,
    prepared,
)
from datumrl.datasets.errors import DatumrlError

HOPPER = "d4rl-pybullet/hopper-bullet-mixed-v0"


def collect(lengths, final_step):
    """Return (rows as published, steps as they happened), by the loop of collect.py (code)."""
    rng, buffer, steps = np.random.default_rng(3), [], []
    for length in lengths:
        state, reward, end = rng.normal(size=15), 0.0, False
        for number in range(length):
            action = rng.uniform(-1, 1, 3)
            buffer.append((state, action, [reward], [end]))
            following, reward, end = rng.normal(size=15), float(rng.random()), number == length - 1
            steps.append((state, action, reward, following, end and length < 1000))
            state = following
        buffer.append((state, np.zeros(3), [reward], [end]))
    return buffer[:final_step], steps


def write(path, buffer, **more):
    """Write the four keys (code: d4rl_pybullet/utility.py); unverified: float32, flags as float."""
    columns = [np.array(column, np.float32) for column in zip(*buffer, strict=True)]
    names = ("observations", "actions", "rewards", "terminals")
    with h5py.File(path, "w") as file:
        for name, values in {**dict(zip(names, columns, strict=True)), **more}.items():
            file.create_dataset(name, data=values)


@pytest.fixture
def convert(tmp_path):
    def made(buffer, **more):
        write(tmp_path / "file.hdf5", buffer, **more)
        record = catalogue.find(HOPPER)
        d4rl_pybullet_hdf5.convert(tmp_path / "file.hdf5", record, tmp_path / "columns")
        episodes = prepared.read(tmp_path / "columns", HOPPER)
        episodes.validate()
        return episodes

    return made


def check(episodes, steps):
    found = episodes.transitions()
    assert len(found) == len(steps)
    for row, (state, action, reward, following, end) in enumerate(steps):
        np.testing.assert_array_equal(found.observations[row], state.astype(np.float32))
        np.testing.assert_array_equal(found.actions[row], action.astype(np.float32))
        assert found.rewards[row] == np.float32(reward)
        np.testing.assert_array_equal(found.next_observations[row], following.astype(np.float32))
        assert found.terminals[row] == end


def test_every_step_is_as_it_happened(convert):
    buffer, steps = collect([7, 1000, 12], 10_000)
    episodes = convert(buffer)
    check(episodes, steps)
    assert episodes.lengths().tolist() == [7, 1000, 12]
    assert np.flatnonzero(episodes.timeouts).tolist() == [1006]
    assert np.flatnonzero(episodes.terminals).tolist() == [6, 1018]
    returns = [sum(s[2] for s in steps[a:b]) for a, b in ((0, 7), (7, 1007), (1007, 1019))]
    np.testing.assert_allclose(episodes.returns(), returns, rtol=1e-6)
    assert any("publisher's collector" in note for note in episodes.notes)


@pytest.mark.parametrize("final_step", [8 + 5, 8 + 2, 8 + 1])
def test_a_file_cut_within_an_episode_loses_only_the_action_without_a_result(convert, final_step):
    buffer, steps = collect([7, 9], final_step)
    episodes = convert(buffer)
    check(episodes, steps[: final_step - 2] if final_step > 9 else steps[:7])
    assert episodes.complete().tolist() == [True, False][: len(episodes.lengths())]


def test_a_file_of_d4rls_layout_is_read_as_that(convert):
    _, steps = collect([7, 1000, 1000], 10_000)
    # D4RL's layout, without timeouts: they follow from the time limit.
    buffer = [(state, action, [reward], [end]) for state, action, reward, _, end in steps]
    episodes = convert(buffer)
    assert len(episodes) == 2007
    assert np.flatnonzero(episodes.timeouts).tolist() == [1006, 2006]
    np.testing.assert_array_equal(episodes.rewards[:3], np.float32([s[2] for s in steps[:3]]))
    assert any("every 1000 steps" in note for note in episodes.notes)


def test_the_catalogue_states_what_is_published(home):
    records = list(d4rl_pybullet_catalogue.records())
    assert len(records) == 12
    assert catalogue.find(HOPPER).rows == 59345
    assert places.raw_path(catalogue.find(HOPPER)).name == "hopper-bullet-mixed-v0.hdf5"
    assert all(each.reference is None and each.errata for each in records)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"observations": np.zeros((10, 14), np.float32)}, r"row of observations has shape \(14,"),
        ({"rewards": np.zeros((9, 1), np.float32)}, "where terminals has 10 rows"),
        ({"terminals": np.full(10, 0.5)}, "terminals holds 0.5 at row 0"),
        ({"terminals": np.array([0] * 9 + [1]), "actions": np.full((10, 3), np.nan)}, "not finite"),
        ({"actions": np.array([b"a"] * 10)}, "lacks actions"),
    ],
)
def test_what_cannot_be_right_is_refused(convert, tmp_path, wrong, message):
    buffer, _ = collect([9], 10)
    with pytest.raises(DatumrlError, match=message):
        convert(buffer, **wrong)
    assert not (tmp_path / "columns").exists()


def test_damage_anywhere_is_an_error_or_a_valid_dataset(convert, tmp_path):
    convert(collect([7, 9], 100)[0])
    file, record = tmp_path / "file.hdf5", catalogue.find(HOPPER)
    whole, rng, refused = file.read_bytes(), np.random.default_rng(0), 0
    for trial in range(60):
        data = bytearray(whole)
        if trial % 3 == 0:
            del data[int(rng.integers(0, len(data))) :]
        else:
            for place in rng.integers(0, 2400, 6):
                data[place] ^= 1 << int(rng.integers(0, 8))
        file.write_bytes(bytes(data))
        try:
            d4rl_pybullet_hdf5.convert(file, record, tmp_path / "columns")
        except DatumrlError:
            refused += 1
            continue
        prepared.read(tmp_path / "columns", HOPPER).validate()
    assert refused >= 20
