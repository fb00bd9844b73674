"""Data that stays on disk: the same batches and parameters as in memory, in little memory."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import torch

import datumrl
from datumrl.algorithms import checkpoints, memory, packed_rows
from datumrl.algorithms.batches import Transitions, best_rows
from datumrl.algorithms.gathering import Gathering
from datumrl.datasets import prepared
from datumrl.datasets.episodes import Episodes, episode_starts
from datumrl.datasets.errors import DatumrlError

CPU = torch.device("cpu")
DATASET = "local/inverted-pendulum-mixed-v1@2k"


def mapped(folder, rows=3000, dtype=np.float32, **fields):
    """Return generated episodes of all kinds of ends, opened from disk."""
    rng = np.random.default_rng(0)
    terminals, timeouts = rng.random(rows) < 0.02, rng.random(rows) < 0.02
    starts = episode_starts(terminals, timeouts)
    stored = starts[1:-1:3] - 1
    episodes = Episodes(
        id="generated",
        observations=(5 + 3 * rng.standard_normal((rows, 4))).astype(dtype),
        actions=rng.uniform(-1, 1, (rows, 2)).astype(dtype),
        rewards=rng.standard_normal(rows).astype(dtype),
        terminals=terminals,
        timeouts=timeouts,
        starts=starts,
        successor_rows=stored,
        successors=rng.standard_normal((len(stored), 4)).astype(dtype),
        time_limit=1000,
        timeouts_recorded=True,
    )
    prepared.write(folder, dataclasses.replace(episodes, **fields), {})
    return prepared.read(folder, "generated")


def both(episodes, **options):
    """Return the batches' source in memory and on disk."""
    sources = []
    for limit in (None, 0):
        with memory.limited(limit):
            sources.append(Transitions(episodes, device=CPU, **options))
    held, drawn = sources
    assert not held.on_disk
    assert drawn.on_disk
    return held, drawn


@pytest.mark.parametrize("view", ["correct", "d4rl-legacy"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("transform", ["none", "minus-one", "return-range"])
def test_batches_on_disk_are_those_in_memory_bit_for_bit(tmp_path, view, dtype, transform):
    episodes = mapped(tmp_path / "columns", dtype=dtype)
    assert Gathering.of(episodes.index(view)) is not None  # so what follows is of the compiled pass
    best = best_rows(episodes, 0.3)
    for keep in (None, best):
        held, drawn = both(
            episodes, view=view, normalize_epsilon=1e-3, keep=keep, reward_transform=transform
        )
        assert len(held) == len(drawn)
        for one, other in zip(held.statistics, drawn.statistics, strict=True):
            assert torch.equal(one, other)
        rows = torch.randint(len(held), (3, 64), generator=torch.Generator().manual_seed(0))
        for one, other in zip(held.gather(rows), drawn.gather(rows), strict=True):
            assert one.shape == other.shape
            assert torch.equal(one, other)


def test_a_dataset_of_ends_or_of_other_types_is_gathered_too(tmp_path):
    rows = 200
    ends = np.ones(rows, bool)  # every episode is one step: nothing small says where they are
    whole = np.random.default_rng(0).integers(0, 9, (rows, 4)).astype(np.uint8)
    none = {"successor_rows": np.zeros(0, np.int64)}
    for name, fields in {
        "ends": {"terminals": ends, "timeouts": ~ends, "starts": np.arange(rows + 1)},
        "bytes": {"observations": whole, "successors": np.zeros((0, 4), np.uint8), **none},
    }.items():
        held, drawn = both(
            mapped(tmp_path / name, rows, **fields), view="correct", normalize_epsilon=1e-3
        )
        numbers = torch.arange(len(held))[None]
        for one, other in zip(held.gather(numbers), drawn.gather(numbers), strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize("number", [-1, 2000])
def test_a_number_out_of_range_reads_nothing(tmp_path, number):
    episodes = mapped(tmp_path / "columns", 2000)
    drawn = both(episodes, view="d4rl-legacy", normalize_epsilon=None)[1]
    with pytest.raises(IndexError, match=f"{number} .*not within 0 .. {len(drawn) - 1}"):
        drawn.gather(torch.tensor([[0, number]]))


def test_streamed_statistics_are_those_of_the_whole_array(tmp_path, monkeypatch):
    monkeypatch.setattr(packed_rows, "_BYTES_AT_ONCE", 1000)  # many blocks
    episodes = mapped(tmp_path / "columns")
    observations = episodes.transitions().observations
    mean, scale = packed_rows.streamed_moments(episodes.index(), 1e-3)
    deviation = observations.std(axis=0, dtype=np.float64) + 1e-3
    np.testing.assert_array_equal(
        mean, observations.mean(axis=0, dtype=np.float64).astype(np.float32)
    )
    np.testing.assert_array_equal(scale, deviation.astype(np.float32))


def test_other_types_are_cast_before_anything_is_computed(tmp_path):
    episodes = mapped(tmp_path / "columns", dtype=np.float64)
    single = mapped(
        tmp_path / "single",
        **{
            name: np.asarray(getattr(episodes, name)).astype(np.float32)
            for name in ("observations", "actions", "rewards", "successors")
        },
    )
    rows = torch.arange(100)[None]
    options = {"view": "correct", "normalize_epsilon": 1e-3, "reward_transform": "minus-one"}
    for one, other in zip(
        both(episodes, **options)[1].gather(rows), both(single, **options)[0].gather(rows),
        strict=True,
    ):  # fmt: skip
        assert torch.equal(one, other)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["td3_bc", "percent_bc"])
def test_a_run_on_disk_ends_with_the_parameters_of_one_in_memory(home, tmp_path, method):
    saved = []
    for limit in (None, "0"):
        folder = tmp_path / f"run-{limit}"
        settings = {"hidden_dims": (16, 16), "batch_size": 32}
        datumrl.train(method, DATASET, (0, 3), 40, settings, 40, 1, folder, "cpu", memory=limit)
        saved.append(checkpoints.load(folder / checkpoints.FILE, CPU)["stack"]["networks"])
    for name, layers in saved[0].items():
        for one, other in zip(layers, saved[1][name], strict=True):
            assert torch.equal(one, other)


@pytest.mark.slow
def test_workers_share_the_limit(home, tmp_path, monkeypatch):
    from datumrl.algorithms import executor, training

    job = training.plan(
        "bc", DATASET, (0, 1), 20, {"hidden_dims": (8,)}, 20, 1, "cpu"
    )  # fmt: skip
    placed = executor.place(job, 2, root=tmp_path)
    outcomes = executor.run(placed, 2, memory_limit=0)
    assert [outcome.error for outcome in outcomes] == [None, None]
    assert memory.for_each(4, 4000) == 1000
    assert memory.for_each(2, None) <= memory.SHARE * memory.available()


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("1500", 1500), ("4GB", 4 * 10**9), ("500 MiB", 500 * 2**20), ("1.5k", 1500)],
)
def test_sizes(text, size):
    assert memory.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "four", "-1", "4XB", "4 GB or so", "iB"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(DatumrlError, match=r"memory limit .*write a size such as 4GB"):
        memory.parse_size(text)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {
                "observations": np.zeros((30, 8, 8, 3), np.uint8),
                "successors": np.zeros((0, 8, 8, 3), np.uint8),
            },
            r"observations of shape 8 x 8 x 3, uint8; the methods here need flat vectors",
        ),
        (
            {
                "observations": {"image": np.zeros((30, 4), np.uint8), "at": np.zeros((30, 2))},
                "successors": {"image": np.zeros((0, 4), np.uint8), "at": np.zeros((0, 2))},
            },
            r"a dict of observations \(at, image\)",
        ),
        ({"actions": np.zeros(30, np.int64)}, r"discrete actions \(int64\)"),
    ],
)
def test_what_no_method_trains_on_is_refused_and_can_still_be_gathered(tmp_path, fields, message):
    none = {"successor_rows": np.zeros(0, np.int64), "successors": np.zeros((0, 4), np.float32)}
    episodes = mapped(tmp_path / "columns", 30, **{**none, **fields})
    with pytest.raises(DatumrlError, match=message):
        Transitions(episodes, "correct", CPU, None)
    batch = episodes.index().gather(np.array([3, 0, 7]))
    assert len(batch) == 3


_PEAK = """
import sys
import numpy as np, torch
from pathlib import Path
from datumrl.algorithms import memory
from datumrl.algorithms.batches import Transitions
from datumrl.datasets import prepared

def anonymous():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) >> 10

episodes = prepared.read(Path(sys.argv[1]), "generated")
device = torch.device("cpu")
with memory.limited(0):
    Transitions(episodes.prefix(1000), "correct", device, 1e-3).gather(torch.arange(10)[None])
before = anonymous()
with memory.limited(0):
    source = Transitions(episodes, "correct", device, 1e-3, reward_transform="return-range")
for _ in range(200):
    source.gather(torch.randint(len(source), (5, 256)))
print(anonymous() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_data(tmp_path):
    mapped(tmp_path / "columns", rows=500_000)  # 26 MB of columns, 46 MB packed
    command = [sys.executable, "-c", _PEAK, str(tmp_path / "columns")]
    grown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert int(grown) < 25  # MiB
