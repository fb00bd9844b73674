"""Time and peak memory of the audit (without replay) of generated data, 17+6 dims by default.

Columns are prepared and memory-mapped, in the page cache; each run is a process of its own, and its
peak memory counts the mapped pages too, so the anonymous part is shown beside it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import kept_results
import numpy as np

ID = "d4rl/halfcheetah-medium-v2"
OBSERVATION_DIM, ACTION_DIM, EPISODE = 17, 6, 1000


def generate(folder: Path, rows: int) -> None:
    """Write prepared columns of a smooth random process."""
    from datumrl.datasets import prepared
    from datumrl.datasets.episodes import Episodes, episode_starts

    rng = np.random.default_rng(0)
    steps = rng.standard_normal((rows, OBSERVATION_DIM), np.float32) * np.float32(0.1)
    timeouts = np.arange(rows) % EPISODE == EPISODE - 1
    terminals = np.zeros(rows, bool)
    observations = np.add.accumulate(steps.reshape(-1, EPISODE, OBSERVATION_DIM), axis=1)
    episodes = Episodes(
        id=ID,
        observations=observations.reshape(rows, OBSERVATION_DIM),
        actions=rng.uniform(-1, 1, (rows, ACTION_DIM)).astype(np.float32),
        rewards=rng.normal(5, 1, rows).astype(np.float32),
        terminals=terminals,
        timeouts=timeouts,
        starts=episode_starts(terminals, timeouts),
        successor_rows=np.zeros(0, np.int64),
        successors=np.zeros((0, OBSERVATION_DIM), np.float32),
        time_limit=EPISODE,
        timeouts_recorded=True,
    )
    prepared.write(folder, episodes, {})


def measure(folder: Path) -> None:
    """Audit once and print seconds and MiB of memory that is the process's own, as JSON."""
    from datumrl.datasets import prepared
    from datumrl.datasets.audit import audit
    from datumrl.datasets.catalogue import find

    episodes = prepared.read(folder, ID)
    bounds = (np.full(ACTION_DIM, -1.0), np.full(ACTION_DIM, 1.0))
    most = 0.0

    def watch(_done: int, _all: int) -> None:
        nonlocal most
        status = Path("/proc/self/status").read_text()
        own = next(line for line in status.splitlines() if line.startswith("RssAnon"))
        most = max(most, int(own.split()[1]) / 1024)

    begin = time.perf_counter()
    audit(episodes, find(ID), action_bounds=bounds, progress=watch)
    print(json.dumps({"seconds": time.perf_counter() - begin, "mib": most}))


def main() -> None:
    """Generate, measure in turn, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 4_000_000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    kept_results.add_option(parser, __file__)
    options = parser.parse_args()
    if options.measure is not None:
        measure(options.measure)
        return
    print(f"{'rows':>12} {'min s':>8} {'median s':>9} {'own memory MiB':>15}")
    found = {}
    with tempfile.TemporaryDirectory() as home:
        for rows in options.rows:
            folder = Path(home, str(rows))
            generate(folder, rows)
            command = [sys.executable, __file__, "--measure", str(folder)]
            found[str(rows)] = runs = [
                json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
                for _ in range(options.repeats)
            ]
            seconds = [run["seconds"] for run in runs]
            memory = max(run["mib"] for run in runs)
            shown = f"{min(seconds):8.2f} {statistics.median(seconds):9.2f} {memory:15,.0f}"
            print(f"{rows:12,} {shown}")
    kept_results.keep(options, found)


if __name__ == "__main__":
    main()
