"""d4rl-atari: a small replay buffer logs as Dopamine's does, and what it saw comes back."""

from __future__ import annotations

import dataclasses
import gzip
import io
import tracemalloc

import numpy as np
import pytest

from datumrl.datasets import (
    catalogue,
    d4rl_atari_catalogue,
    d4rl_atari_gzip,
    fetching,
    loading,
    places,
    prepared,
)
from datumrl.datasets.errors import DatumrlError

BREAKOUT = "d4rl-atari/breakout-mixed-v0"


class Buffer:
    """Rows as the logging buffer writes them (code: circular_replay_buffer.py).

    It pads with three rows of zeros where it is empty or its last row is terminal, goes round, and
    is logged when one row is missing (code: batch_rl logged_replay_buffer.py).
    """

    def __init__(self, capacity):
        self.frames = np.full((capacity, 84, 84), 77, np.uint8)  # whatever lay there
        self.action = np.full(capacity, 3, np.int32)  # code: int32
        self.reward = np.full(capacity, 9, np.float32)  # code: float32
        self.terminal = np.zeros(capacity, np.uint8)  # code: uint8
        self.count = 0

    def add(self, frame, action, reward, terminal):
        if self.count == 0 or self.terminal[(self.count - 1) % len(self.action)]:
            for _ in range(3):
                self._add(np.zeros((84, 84), np.uint8), 0, 0, 0)
        self._add(frame, action, reward, terminal)

    def _add(self, *values):
        row = self.count % len(self.action)
        self.frames[row], self.action[row], self.reward[row], self.terminal[row] = values
        self.count += 1

    def full(self):
        return self.count % len(self.action) == len(self.action) - 1

    def log(self, folder, name="$store$_{}_ckpt.1.gz"):
        folder.mkdir(parents=True, exist_ok=True)
        names = ("observation", "action", "reward", "terminal")
        arrays = (self.frames, self.action, self.reward, self.terminal)
        for each, values in zip(names, arrays, strict=True):
            with gzip.open(folder / name.format(each), "wb", compresslevel=1) as file:
                np.save(file, values, allow_pickle=False)


def play(capacity, lengths, seed=0):
    """Return (buffer, steps as they happened), adding episodes until the buffer is logged."""
    rng, buffer, steps = np.random.default_rng(seed), Buffer(capacity), []
    for length in lengths:
        for number in range(length):
            frame = rng.integers(0, 256, (84, 84), np.uint8)
            if number == 1:
                frame[:] = 0  # a black frame within an episode is no padding
            step = (
                frame,
                int(rng.integers(0, 4)),
                float(rng.integers(-1, 2)),
                number == length - 1,
            )
            buffer.add(*step)
            steps.append(step)
            if buffer.full():
                return buffer, steps
    raise AssertionError("the buffer is not full")


@pytest.fixture
def convert(tmp_path):
    def made(progress=None, dataset_id=BREAKOUT):
        record = catalogue.find(dataset_id)
        d4rl_atari_gzip.convert(tmp_path / "raw", record, tmp_path / "columns", progress)
        episodes = prepared.read(tmp_path / "columns", dataset_id)
        episodes.validate()
        return episodes

    return made


def test_the_steps_that_happened_come_back_without_padding(convert, tmp_path):
    buffer, steps = play(60, [10, 1, 20, 40])
    buffer.log(tmp_path / "raw")
    episodes = convert()
    assert len(episodes) == len(steps) == 59 - 4 * 3
    assert episodes.observations.dtype == np.uint8
    assert episodes.actions.dtype == np.int64
    for row, (frame, action, reward, terminal) in enumerate(steps):
        assert episodes.observations[row].tobytes() == frame.tobytes()
        assert (episodes.actions[row], episodes.rewards[row]) == (action, reward)
        assert episodes.terminals[row] == terminal
    found = episodes.transitions()
    assert len(found) == len(steps) - 1  # nobody knows what followed the last one
    assert found.next_observations[3].tobytes() == steps[4][0].tobytes()
    assert not episodes.timeouts.any()
    assert episodes.lengths().tolist() == [10, 1, 20, 16]
    assert any("12 rows of zeros" in note for note in episodes.notes)
    assert any("rewards lie in -1 .. 1" in note for note in episodes.notes)


def test_padding_across_blocks_and_names_of_the_wrappers_cache(convert, tmp_path, monkeypatch):
    from datumrl.datasets import gzip_npy

    buffer, steps = play(60, [10, 1, 20, 40])
    buffer.log(tmp_path / "raw", "{}.gz")
    for rows in (1, 2, 5):
        monkeypatch.setattr(gzip_npy, "_BYTES_AT_ONCE", rows * 84 * 84)
        episodes = convert()
        assert len(episodes) == len(steps)
        assert (episodes.observations[-1] == steps[-1][0]).all()


def test_an_episode_of_27000_steps_is_told_of(tmp_path, monkeypatch):
    buffer, _ = play(60, [10, 1, 20, 40])
    buffer.log(tmp_path / "raw")
    record = dataclasses.replace(catalogue.find(BREAKOUT), time_limit=20)
    d4rl_atari_gzip.convert(tmp_path / "raw", record, tmp_path / "columns")
    episodes = prepared.read(tmp_path / "columns", BREAKOUT)
    assert any(note.startswith("1 episodes have 20 steps") for note in episodes.notes)
    assert episodes.terminals[30]


def test_fetched_from_the_wrappers_cache_and_loaded(home, tmp_path):
    buffer, steps = play(60, [10, 1, 20, 40])
    buffer.log(tmp_path / "cache/Breakout/1/1", "{}.gz")
    record = catalogue.find(BREAKOUT)
    with pytest.raises(
        DatumrlError, match=r"gs://atari-replay-datasets/dqn/Breakout/1/replay_logs"
    ):
        fetching.fetch(record)
    fetched = fetching.fetch(record, source=tmp_path / "cache")
    assert fetched.path == places.raw_path(record)
    assert len(loading.load(BREAKOUT)) == len(steps)


def test_the_catalogue_has_every_game_level_and_run():
    records = {each.id: each for each in d4rl_atari_catalogue.records()}
    assert len(records) == 62 * 3 * 5
    expert = records["d4rl-atari/montezuma-revenge-expert-v4"]
    assert expert.file_name == "MontezumaRevenge/5/50"
    assert expert.option["epoch"] == 50
    # Well-known sizes of minimal action sets.
    sizes = {"breakout": 4, "pong": 6, "freeway": 3, "seaquest": 18, "qbert": 6, "asterix": 9}
    for game, size in sizes.items():
        assert records[f"d4rl-atari/{game}-mixed-v0"].action_dim == size


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("action", np.full(60, 4, np.int32), "action holds 4 at row 0 where the game has 4"),
        ("action", np.zeros(60, np.float32), "not integers"),
        ("reward", np.full(60, np.nan, np.float32), "reward holds nan at row 0"),
        ("terminal", np.full(60, 2, np.uint8), "terminal holds 2"),
        ("reward", np.zeros(59, np.float32), r"reward has shape \(59,\) where \(60,\)"),
        ("observation", np.zeros((60, 84, 83), np.uint8), "observation has shape"),
        ("observation", np.zeros((60, 84, 84), np.float32), "not uint8"),
        ("action", np.array([{}] * 60), "action_ckpt.1.gz holds Python objects"),
    ],
)
def test_what_cannot_be_right_is_refused(convert, tmp_path, name, values, message):
    buffer, _ = play(60, [10, 1, 20, 40])
    buffer.log(tmp_path / "raw")
    with gzip.open(tmp_path / f"raw/$store$_{name}_ckpt.1.gz", "wb") as file:
        np.save(file, values, allow_pickle=True)
    with pytest.raises(DatumrlError, match=message):
        convert()
    assert not (tmp_path / "columns").exists()


def test_a_file_that_lies_about_its_shape_is_refused(convert, tmp_path):
    buffer, _ = play(60, [10, 1, 20, 40])
    buffer.log(tmp_path / "raw")
    header = io.BytesIO()
    described = {"descr": "|u1", "fortran_order": False, "shape": (1 << 40,)}
    np.lib.format.write_array_header_1_0(header, described)
    with gzip.open(tmp_path / "raw/$store$_terminal_ckpt.1.gz", "wb") as file:
        file.write(header.getvalue() + bytes(60))
    with pytest.raises(DatumrlError, match="terminal has shape"):
        convert()


def test_a_missing_file_is_named(convert, tmp_path):
    buffer, _ = play(60, [10, 1, 20, 40])
    buffer.log(tmp_path / "raw")
    (tmp_path / "raw/$store$_reward_ckpt.1.gz").unlink()
    with pytest.raises(DatumrlError, match=r"holds neither .*reward_ckpt.1.gz nor reward.gz"):
        convert()


def test_damage_anywhere_is_an_error_or_changes_nothing(convert, tmp_path):
    buffer, steps = play(24, [6, 30])
    buffer.log(tmp_path / "raw")
    rng, refused = np.random.default_rng(0), 0
    for trial in range(60):
        file = sorted((tmp_path / "raw").iterdir())[trial % 4]
        whole = file.read_bytes()
        data = bytearray(whole)
        if trial % 3 == 0:
            del data[int(rng.integers(0, len(data))) :]
        else:
            for place in rng.integers(0, len(data), 4):
                data[place] ^= 1 << int(rng.integers(0, 8))
        file.write_bytes(bytes(data))
        try:
            episodes = convert()
        except DatumrlError:
            refused += 1
        else:
            assert [int(a) for a in episodes.actions] == [step[1] for step in steps]
        file.write_bytes(whole)
    assert refused > 40


def test_memory_does_not_grow_with_the_file(convert, tmp_path):
    buffer = Buffer(14_000)  # 99 MB of frames
    buffer.terminal[999::1000] = 1
    buffer.log(tmp_path / "raw")
    seen = []
    tracemalloc.start()
    episodes = convert(lambda *done: seen.append(done))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(episodes) == 13_999
    assert peak < 64 << 20
    assert seen[-1][0] == seen[-1][1]


def test_files_that_users_did_not_find_are_told():
    told = {}
    for record in d4rl_atari_catalogue.records():
        assert "decision-mamba#4" in record.access
        for erratum in record.errata[len(d4rl_atari_catalogue.ERRATA) :]:
            told.setdefault(erratum.partition(" (")[0], []).append(record.id.partition("/")[2])
    games = told["not among the 60 games of the DQN replay dataset that a user lists"]
    assert {name.partition("-")[0] for name in games} == {"adventure", "defender"}
    assert len(games) == 30
    first = ("carnival", "centipede", "ice-hockey", "star-gunner", "video-pinball", "yars-revenge")
    assert told["a user found no file of this epoch in this run"] == [
        "breakout-expert-v4",
        *(f"{game}-expert-v0" for game in first),
    ]
