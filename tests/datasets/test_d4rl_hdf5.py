"""The reader of D4RL gym-mujoco files: what it keeps, casts, infers and notes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from datumrl.datasets import catalogue, d4rl_hdf5, prepared

HOPPER = catalogue.find("d4rl/hopper-medium-v2")


@pytest.fixture
def convert(tmp_path, d4rl_files):
    def run(content, record=HOPPER, **options):
        source = d4rl_files.write(tmp_path / "file.hdf5", content, **options)
        d4rl_hdf5.convert(source, record, tmp_path / "columns")
        return prepared.read(tmp_path / "columns", record.id)

    return run


def test_a_v2_file_comes_through_whole(convert, tmp_path, d4rl_files):
    rng = np.random.default_rng(0)
    content = d4rl_files.columns(rng, 3000, terminals=0.01, timeouts=0.01)
    content["next_observations"] = d4rl_files.true_successors(rng, content)
    extras = d4rl_files.v2_extras(rng, 3000)
    episodes = convert(content | extras)
    episodes.validate()
    for name in ("observations", "actions", "rewards", "terminals", "timeouts"):
        np.testing.assert_array_equal(getattr(episodes, name), content[name])
    assert episodes.timeouts_recorded
    ends = np.flatnonzero(content["terminals"] | content["timeouts"])
    assert episodes.successor_rows.tolist() == sorted({*ends.tolist(), 2999})
    final, known = episodes.final_observations()
    assert known.all()
    np.testing.assert_array_equal(final[:-1], content["next_observations"][ends][: len(final) - 1])
    stored = prepared.read_extras(tmp_path / "columns")
    arrays = {name: value for name, value in extras.items() if np.ndim(value)}
    assert set(stored) == set(arrays)
    for name, values in arrays.items():
        np.testing.assert_array_equal(stored[name], values)
        assert stored[name].dtype == values.dtype
    assert prepared.provenance(tmp_path / "columns")["metadata"] == {
        "algorithm": "SAC",
        "iteration": 1000,
        "policy/nonlinearity": "relu",
    }


def test_columns_are_read_in_blocks_that_follow_the_files_chunks(convert, d4rl_files):
    # More rows than one block, and uncompressed columns, which have no chunks.
    rng = np.random.default_rng(0)
    content = d4rl_files.columns(rng, 150_001, timeouts=0.001)
    content["next_observations"] = d4rl_files.true_successors(rng, content)
    content["next_observations"][[0, 65_535, 65_536, 131_071]] += 1
    for compression in ("gzip", None):
        episodes = convert(content, compression=compression)
        np.testing.assert_array_equal(episodes.observations, content["observations"])
        correct = episodes.transitions()
        assert len(correct) == 150_001
        np.testing.assert_array_equal(correct.next_observations, content["next_observations"])


def test_disagreeing_successors_are_kept_and_counted(convert, d4rl_files):
    rng = np.random.default_rng(0)
    content = d4rl_files.columns(rng, 100, timeouts=0)
    content["timeouts"][49] = True
    content["next_observations"] = d4rl_files.true_successors(rng, content)
    content["next_observations"][[3, 70]] += 1e-3
    episodes = convert(content)
    assert episodes.successor_rows.tolist() == [3, 49, 70, 99]
    assert any(note.startswith("2 stored next observations disagree") for note in episodes.notes)


def test_a_final_observation_is_kept_where_it_happens_to_equal_the_next_row(convert, d4rl_files):
    # Replay sets cut episodes at the end of a training iteration while the process went on.
    content = d4rl_files.columns(np.random.default_rng(0), 6, timeouts=0)
    content["timeouts"][2] = True
    content["next_observations"] = np.roll(content["observations"], -1, axis=0)
    episodes = convert(content)
    assert episodes.successor_rows.tolist() == [2, 5]
    assert episodes.transitions().rows.tolist() == [0, 1, 2, 3, 4, 5]


def test_successors_equal_after_the_cast_to_float32_do_not_disagree(convert, d4rl_files):
    rng = np.random.default_rng(0)
    content = d4rl_files.columns(rng, 50, timeouts=0)
    content["next_observations"] = d4rl_files.true_successors(rng, content) + 0.0
    content["observations"] = content["observations"].astype(np.float64) * (1 + 1e-12)
    episodes = convert(content)
    assert episodes.successor_rows.tolist() == [49]
    assert "observations was float64 and is now float32" in episodes.notes


def test_missing_timeouts_are_put_at_the_time_limit_and_said(convert, d4rl_files):
    content = d4rl_files.columns(np.random.default_rng(0), 14)
    content["terminals"][5] = True
    record = dataclasses.replace(HOPPER, time_limit=4)
    episodes = convert(content, record)
    assert not episodes.timeouts_recorded
    assert np.flatnonzero(episodes.timeouts).tolist() == [3, 9, 13]
    assert episodes.starts.tolist() == [0, 4, 6, 10, 14]
    assert any("has no timeouts" in note for note in episodes.notes)


def test_a_terminal_at_the_time_limit_is_not_called_a_timeout(convert, d4rl_files):
    content = d4rl_files.columns(np.random.default_rng(0), 6)
    content["terminals"][2] = True
    episodes = convert(content, dataclasses.replace(HOPPER, time_limit=3))
    assert np.flatnonzero(episodes.timeouts).tolist() == [5]


def test_notes_tell_of_double_flags_and_the_unfinished_tail(convert, d4rl_files):
    content = d4rl_files.columns(np.random.default_rng(0), 10, timeouts=0)
    content["timeouts"][[2, 5]] = True
    content["terminals"][5] = True
    assert convert(content).notes == (
        "1 rows are terminal and timeout at once; they count as terminal",
        "the last 4 rows are an episode without an end",
    )


def test_infos_of_another_length_are_left_out_and_said(convert, tmp_path, d4rl_files):
    content = d4rl_files.columns(np.random.default_rng(0), 10, timeouts=0)
    episodes = convert(content | {"infos/qpos": np.ones((9, 6)), "infos/qvel": np.ones((10, 6))})
    assert "infos/qpos has shape (9, 6) and was left out" in episodes.notes
    assert list(prepared.read_extras(tmp_path / "columns")) == ["infos/qvel"]


def test_names_in_a_download_cannot_leave_the_folder_or_meet(convert, tmp_path, d4rl_files):
    content = d4rl_files.columns(np.random.default_rng(0), 4, timeouts=0)
    odd = {"infos/..": 1, "infos/a.b": 2, "infos/a/b": 3, "infos/%2E": 4, "metadata/x y": 5}
    convert(content | {name: np.full(4, value) for name, value in odd.items()})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["columns", "file.hdf5"]
    stored = prepared.read_extras(tmp_path / "columns")
    assert {name: int(values[0]) for name, values in stored.items()} == odd


def test_progress_rises_to_all_of_the_bytes(tmp_path, d4rl_files):
    rng = np.random.default_rng(0)
    source = d4rl_files.write(tmp_path / "file.hdf5", d4rl_files.columns(rng, 100, timeouts=0))
    calls = []
    d4rl_hdf5.convert(source, HOPPER, tmp_path / "columns", lambda *call: calls.append(call))
    done = [call[0] for call in calls]
    assert done == sorted(done)
    assert calls[-1] == (100 * (4 * (11 + 3 + 1) + 2),) * 2
