"""Import of Minari datasets against iterating the minari package's own episodes.

Both sides are timed in turns in this run: ours from the dataset's folder to prepared columns on
disk (hashing, checks and all), theirs `minari.load_dataset` and every episode of
`iterate_episodes`, concatenated into arrays in memory.

    python benchmarks/minari_speed.py [--repeats 5] [--scale 1.0]
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import kept_results
import numpy as np

CASES = (  # storage, steps in all, steps of an episode, the observation's numbers
    ("hdf5", 1_000_000, 1000, 17),
    ("hdf5", 200_000, 50, 17),
    ("arrow", 200_000, 200, 17),
    ("parquet", 200_000, 200, 17),
)


def write(name: str, storage: str, steps: int, length: int, width: int) -> None:
    """Let minari write a dataset of random numbers."""
    import minari
    from gymnasium import spaces
    from minari.data_collector import EpisodeBuffer

    rng = np.random.default_rng(0)
    last = np.arange(length) == length - 1
    buffers = [
        EpisodeBuffer(
            id=number,
            observations=rng.normal(size=(length + 1, width)),
            actions=rng.uniform(-1, 1, (length, 6)).astype(np.float32),
            rewards=rng.normal(size=length),
            terminations=np.zeros(length, bool),
            truncations=last,
            infos={},
        )
        for number in range(steps // length)
    ]
    minari.create_dataset_from_buffers(
        name,
        buffers,
        observation_space=spaces.Box(-np.inf, np.inf, (width,), np.float64),
        action_space=spaces.Box(-1, 1, (6,), np.float32),
        data_format=storage,
    )


def ours(name: str, home: Path) -> int:
    """Import into a home of its own; return the number of rows."""
    import datumrl

    os.environ["DATUMRL_HOME"] = tempfile.mkdtemp(dir=home)
    return len(datumrl.load(f"minari/{name}"))


def theirs(name: str, home: Path) -> int:
    """Iterate over minari's episodes; return the number of rows."""
    import minari

    columns: dict[str, list[np.ndarray]] = {}
    for episode in minari.load_dataset(name).iterate_episodes():
        for field in ("observations", "actions", "rewards", "terminations", "truncations"):
            columns.setdefault(field, []).append(getattr(episode, field))
    return len(np.concatenate(columns["rewards"])) * (
        len(np.concatenate(columns["observations"])) > 0
    )


def timed(side: Callable[[str, Path], int], name: str, home: Path, rows: int) -> float:
    """Return the seconds that a side takes."""
    begin = time.perf_counter()
    found = side(name, home)
    taken = time.perf_counter() - begin
    assert found == rows, f"{found} rows of {rows}"
    return taken


def main() -> int:
    """Print a table of both sides' times and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of steps")
    kept_results.add_option(parser, __file__)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print(f"{'storage':9}{'steps':>10}{'length':>8}{'ours s':>16}{'minari s':>16}{'ratio':>8}")
    found = {}
    for storage, steps, length, width in CASES:
        rows = max(length, int(steps * options.scale) // length * length)
        with tempfile.TemporaryDirectory() as folder:
            os.environ["MINARI_DATASETS_PATH"] = str(Path(folder) / "minari")
            name = f"bench/{storage}-v0"
            write(name, storage, rows, length, width)
            times: dict[str, list[float]] = {"ours": [], "theirs": []}
            for _ in range(options.repeats):
                times["ours"].append(timed(ours, name, Path(folder), rows))
                times["theirs"].append(timed(theirs, name, Path(folder), rows))
            found[f"{storage}, {rows} steps in episodes of {length}"] = times
            told = [f"{min(each):7.2f} /{statistics.median(each):6.2f}" for each in times.values()]
            ratio = statistics.median(times["theirs"]) / statistics.median(times["ours"])
            print(f"{storage:9}{rows:>10,}{length:>8}{told[0]:>16}{told[1]:>16}{ratio:>7.1f}x")
    print("seconds: minimum / median")
    kept_results.keep(options, {"seconds": found})
    return 0


if __name__ == "__main__":
    sys.exit(main())
