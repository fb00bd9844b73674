"""Time and peak memory of loading 1,000,000 transitions of 17+6 dims from a D4RL v2 file.

Each measurement is a process of its own (so that its peak memory is its own); the kinds take turns,
so that a busy machine is unkind to all alike.  Times leave out starting Python and importing; files
are in the page cache.  The peers: a plain h5py read of the needed columns, and D4RL's row loop.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import kept_results
import numpy as np

ID = "d4rl/halfcheetah-medium-v2"
OBSERVATION_DIM, ACTION_DIM, EPISODE = 17, 6, 1000


def generate(path: Path, rows: int) -> None:
    """Write a file in the layout of D4RL's gym-mujoco v2: gzip, next observations, infos."""
    import h5py

    rng = np.random.default_rng(0)
    observations = rng.standard_normal((rows, OBSERVATION_DIM), np.float32)
    following = np.roll(observations, -1, axis=0)
    timeouts = np.arange(rows) % EPISODE == EPISODE - 1
    following[timeouts] = rng.standard_normal((int(timeouts.sum()), OBSERVATION_DIM), np.float32)
    content = {
        "observations": observations,
        "actions": rng.uniform(-1, 1, (rows, ACTION_DIM)).astype(np.float32),
        "rewards": rng.standard_normal(rows, np.float32),
        "terminals": np.zeros(rows, bool),
        "timeouts": timeouts,
        "next_observations": following,
        "infos/qpos": rng.standard_normal((rows, 9)),
        "infos/qvel": rng.standard_normal((rows, 9)),
        "infos/action_log_probs": rng.standard_normal(rows, np.float32),
    }
    path.parent.mkdir(parents=True)
    with h5py.File(path, "w") as file:
        for name, values in content.items():
            file.create_dataset(name, data=values, compression="gzip")
        file["metadata/algorithm"] = "SAC"


def read_columns(path: Path) -> dict[str, np.ndarray]:
    """Read the columns that every reader needs, plainly."""
    import h5py

    names = ("observations", "actions", "rewards", "terminals", "timeouts")
    with h5py.File(path, "r") as file:
        return {name: file[name][:] for name in names}


def row_loop(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """State what D4RL's qlearning_dataset does with timeouts at hand, one row at a time."""
    kept = {name: [] for name in ("observations", "actions", "next_observations", "rewards")}
    terminals = []
    for row in range(len(columns["rewards"]) - 1):
        if columns["timeouts"][row]:
            continue
        kept["observations"].append(columns["observations"][row].astype(np.float32))
        kept["next_observations"].append(columns["observations"][row + 1].astype(np.float32))
        kept["actions"].append(columns["actions"][row].astype(np.float32))
        kept["rewards"].append(columns["rewards"][row].astype(np.float32))
        terminals.append(bool(columns["terminals"][row]))
    made = {name: np.array(values) for name, values in kept.items()}
    return {**made, "terminals": np.array(terminals)}


def measure(kind: str, path: Path) -> dict[str, float]:
    """Run one kind of work in this process; return its seconds and the process's peak memory."""
    import h5py  # noqa: F401  (imports are not what is measured)

    from datumrl.datasets import d4rl_hdf5, loading  # noqa: F401

    work: dict[str, Callable[[], object]] = {
        "imports alone": lambda: None,
        "first load (converts)": lambda: loading.load(ID),
        "second load (opens)": lambda: loading.load(ID),
        "h5py, columns alone": lambda: read_columns(path),
    }
    if kind in work:
        action = work[kind]
    elif kind == "D4RL's row loop":
        columns = read_columns(path)
        action = lambda: row_loop(columns)  # noqa: E731
    else:
        episodes, view = loading.load(ID), kind.partition(" ")[2]
        action = lambda: episodes.transitions(view)  # noqa: E731
    begin = time.perf_counter()
    action()
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "peak_mib": peak}


KINDS = (
    "imports alone",
    "first load (converts)",
    "second load (opens)",
    "h5py, columns alone",
    "transitions correct",
    "transitions d4rl-legacy",
    "D4RL's row loop",
)


def check(path: Path) -> str:
    """Compare the legacy view with the row loop, and see that the columns are mapped."""
    from datumrl.datasets import loading

    episodes = loading.load(ID)
    view, loop = episodes.transitions("d4rl-legacy"), row_loop(read_columns(path))
    for name, values in loop.items():
        np.testing.assert_array_equal(getattr(view, name), values)
    assert isinstance(episodes.observations, np.memmap)
    return f"d4rl-legacy equals D4RL's row loop in all {len(view):,} rows; the columns are mapped"


def run_all(rows: int, repeats: int) -> tuple[dict[str, list[dict[str, float]]], str]:
    """Generate the file and measure every kind in turn, ``repeats`` times."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        path = home / "raw" / "d4rl" / "halfcheetah_medium-v2.hdf5"
        environment = {**os.environ, "DATUMRL_HOME": folder, "OMP_NUM_THREADS": "1"}

        def child(*arguments: str) -> str:
            command = [sys.executable, __file__, *arguments]
            return subprocess.run(
                command, env=environment, stdout=subprocess.PIPE, text=True, check=True
            ).stdout

        child("--generate", str(path), "--rows", str(rows))
        results: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
        for repeat in range(repeats):
            for kind in KINDS:
                if kind.startswith("first") and repeat:
                    shutil.rmtree(home / "prepared")
                results[kind].append(json.loads(child("--measure", kind, str(path))))
        return results, child("--check", str(path)).strip()


def main() -> None:
    """Parse the command line and print the table, or do one part of the work for the parent."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--generate", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--check", type=Path, help=argparse.SUPPRESS)
    kept_results.add_option(parser, __file__)
    options = parser.parse_args()
    if options.generate:
        generate(options.generate, options.rows)
    elif options.measure:
        print(json.dumps(measure(options.measure[0], Path(options.measure[1]))))
    elif options.check:
        print(check(options.check))
    else:
        results, verdict = run_all(options.rows, options.repeats)
        found = {"rows": options.rows, "results": results, "check": verdict}
        kept_results.keep(options, found)
        if options.json:
            print(json.dumps(found))
        else:
            print(_table(results, options.rows, verdict))


def _table(results: dict[str, list[dict[str, float]]], rows: int, verdict: str) -> str:
    lines = [f"{rows:,} transitions of {OBSERVATION_DIM}+{ACTION_DIM} dims"]
    lines.append(f"{'':<26}{'min ms':>10}{'median ms':>12}{'peak MiB':>10}")
    for kind, runs in results.items():
        times = [1000 * run["seconds"] for run in runs]
        peak = max(run["peak_mib"] for run in runs)
        lines.append(f"{kind:<26}{min(times):>10.1f}{statistics.median(times):>12.1f}{peak:>10.0f}")
    return "\n".join([*lines, verdict])


if __name__ == "__main__":
    main()
