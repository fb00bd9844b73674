"""Time and peak memory of TQ, SACo, returns, lengths and PSV, against the published evaluation.

The peer is the published way, written here independently: digitise every dimension with numpy, join
each row's bins to a string, enter it into a HyperLogLog of 1 % error; loop over rewards for
returns.  Columns lie on disk as .npy files and are memory-mapped; limits of the reference dataset
are known; machine code is compiled (the warm-up row shows what a process's first call costs).  Each
measurement is a process of its own, so that its peak memory is its own; the kinds take turns.
Anonymous memory is what the process allocates; mapped file pages, which the system may take back at
any time, are counted in peak RSS only.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import kept_results
import numpy as np

OBSERVATION_DIM, ACTION_DIM, EPISODE, EDGES = 17, 6, 1000, 100
MINIMUM, MAXIMUM = -280.178953, 12135.0
PIECE = 1 << 18
NAMES = ("observations", "actions", "rewards")


def generate(folder: Path, rows: int) -> None:
    """Write normal states, uniform actions and normal rewards, a piece at a time."""
    rng = np.random.default_rng(0)
    shapes = {"observations": (OBSERVATION_DIM,), "actions": (ACTION_DIM,), "rewards": ()}
    makers: dict[str, Callable[[tuple[int, ...]], np.ndarray]] = {
        "observations": lambda shape: rng.standard_normal(shape, np.float32),
        "actions": lambda shape: rng.random(shape, np.float32) * 2 - 1,
        "rewards": lambda shape: rng.standard_normal(shape, np.float32),
    }
    for name in NAMES:
        column = np.lib.format.open_memmap(
            folder / f"{name}.npy", "w+", np.float32, (rows, *shapes[name])
        )
        for begin in range(0, rows, PIECE):
            size = min(PIECE, rows - begin)
            column[begin : begin + size] = makers[name]((size, *shapes[name]))
        column.flush()
        del column


def columns(folder: Path, rows: int) -> dict[str, np.ndarray]:
    """Open the first rows of the generated columns, memory-mapped."""
    return {name: np.load(folder / f"{name}.npy", mmap_mode="r")[:rows] for name in NAMES}


def ends_of(rows: int) -> np.ndarray:
    """Return which rows end an episode: every thousandth."""
    ends = np.zeros(rows, bool)
    ends[EPISODE - 1 :: EPISODE] = True
    return ends


class HyperLogLog:
    """Flajolet et al. 2007: 2^14 registers, a relative error of 1.04 / 2^7 = 0.8 %."""

    BITS = 14

    def __init__(self) -> None:
        self.registers = [0] * (1 << self.BITS)

    def add(self, text: str) -> None:
        value = int.from_bytes(hashlib.sha1(text.encode()).digest()[:8], "little")
        place = value & ((1 << self.BITS) - 1)
        rank = 64 - self.BITS - (value >> self.BITS).bit_length() + 1
        self.registers[place] = max(self.registers[place], rank)

    def __len__(self) -> int:
        size = len(self.registers)
        estimate = 0.7213 / (1 + 1.079 / size) * size**2 / sum(2.0**-r for r in self.registers)
        empty = self.registers.count(0)
        if estimate <= 2.5 * size and empty:
            return round(size * np.log(size / empty))
        return round(estimate)


def published_way(
    data: dict[str, np.ndarray], low: np.ndarray, high: np.ndarray
) -> dict[str, float]:
    """Do what the published evaluation does, in its own way."""
    table = np.concatenate([data["observations"], data["actions"]], axis=1)
    for place in range(table.shape[1]):
        edges = np.linspace(low[place], high[place], num=EDGES)
        table[:, place] = np.digitize(table[:, place], edges)
    sketch = HyperLogLog()
    for row in table:
        sketch.add(",".join([str(value) for value in row]))
    returns, total, lengths, length = [], 0.0, [], 0
    ends = ends_of(len(table))
    for row in range(len(table)):
        total, length = total + data["rewards"][row].item(), length + 1
        if ends[row]:
            returns.append(total)
            lengths.append(length)
            total, length = 0.0, 0
    mean = float(np.mean(returns))
    return {
        "distinct": len(sketch),
        "tq": (mean - MINIMUM) / (MAXIMUM - MINIMUM),
        "psv": float(np.mean(np.maximum(np.array(returns) - mean, 0) ** 2)),
        "horizon": float(np.mean(lengths)),
    }


def ours(data: dict[str, np.ndarray], low: np.ndarray, high: np.ndarray) -> dict[str, float]:
    """Do the same with datumrl."""
    from datumrl.datasets import coverage, returns_quality
    from datumrl.datasets.discretization import Limits
    from datumrl.datasets.episodes import Episodes, episode_starts

    rows = len(data["rewards"])
    timeouts, terminals = ends_of(rows), np.zeros(rows, bool)
    episodes = Episodes(
        id="generated",
        **data,
        terminals=terminals,
        timeouts=timeouts,
        starts=episode_starts(terminals, timeouts),
        successor_rows=np.zeros(0, np.int64),
        successors=np.zeros((0, OBSERVATION_DIM), np.float32),
        time_limit=EPISODE,
        timeouts_recorded=True,
    )
    cut = OBSERVATION_DIM
    extents = {"observations": (low[:cut], high[:cut]), "actions": (low[cut:], high[cut:])}
    limits = Limits("generated", rows, extents)
    values = returns_quality.episode_returns(episodes)
    found = returns_quality.returns(episodes, values)
    mean = found.distribution.mean
    return {
        "distinct": coverage.unique_state_actions(episodes, limits, "paper"),
        "tq": returns_quality.trajectory_quality(mean, MINIMUM, MAXIMUM),
        "psv": found.psv,
        "horizon": returns_quality.lengths(episodes).horizon,
    }


@contextlib.contextmanager
def anonymous_peak() -> Iterator[list[float]]:
    """Sample this process's anonymous memory; the list's one entry is the peak in MiB."""
    peak, stop = [0.0], threading.Event()

    def look() -> None:
        while True:
            status = Path("/proc/self/status").read_text()
            line = next(each for each in status.splitlines() if each.startswith("RssAnon"))
            peak[0] = max(peak[0], int(line.split()[1]) / 1024)
            if stop.wait(0.02):
                return

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()


def measure(kind: str, folder: Path, rows: int) -> dict[str, float]:
    """Run one kind in this process: first on a few rows, then timed on all."""
    work = {"datumrl": ours, "published way": published_way}[kind]
    data = columns(folder, rows)
    first = np.concatenate([data["observations"][:100_000], data["actions"][:100_000]], axis=1)
    low, high = first.min(axis=0).astype(float), first.max(axis=0).astype(float)
    begin = time.perf_counter()
    work(columns(folder, 2 * EPISODE), low, high)
    warm_up = time.perf_counter() - begin
    with anonymous_peak() as peak:
        begin = time.perf_counter()
        found = work(data, low, high)
        seconds = time.perf_counter() - begin
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    memory = {"anonymous_mib": peak[0], "rss_mib": rss}
    return {"rows": rows, "seconds": seconds, "warm_up": warm_up, **memory, **found}


def run_all(rows: int, peer_rows: int, repeats: int) -> dict[str, list[dict[str, float]]]:
    """Generate columns and measure both ways in turn."""
    sizes = {"datumrl": rows, "published way": min(rows, peer_rows)}
    results: dict[str, list[dict[str, float]]] = {kind: [] for kind, size in sizes.items() if size}
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder), rows)
        for _ in range(repeats):
            for kind in results:
                command = [sys.executable, __file__, "--measure", kind, folder, str(sizes[kind])]
                environment = {**os.environ, "OMP_NUM_THREADS": "1"}
                done = subprocess.run(
                    command, env=environment, stdout=subprocess.PIPE, text=True, check=True
                )
                results[kind].append(json.loads(done.stdout))
    return results


def table(results: dict[str, list[dict[str, float]]]) -> str:
    """Return the measurements as text."""
    lines = [
        f"{'':<16}{'rows':>12}{'min s':>9}{'median s':>10}{'us/row':>9}{'first s':>9}"
        f"{'anon MiB':>10}{'RSS MiB':>9}"
    ]
    rates = {}
    for kind, runs in results.items():
        seconds = [run["seconds"] for run in runs]
        rows = int(runs[0]["rows"])
        rates[kind] = statistics.median(seconds) / rows
        peaks = [max(run[key] for run in runs) for key in ("anonymous_mib", "rss_mib")]
        lines.append(
            f"{kind:<16}{rows:>12,}{min(seconds):>9.3f}{statistics.median(seconds):>10.3f}"
            f"{1e6 * rates[kind]:>9.3f}{statistics.median(run['warm_up'] for run in runs):>9.3f}"
            f"{peaks[0]:>10.0f}{peaks[1]:>9.0f}"
        )
    exact = results["datumrl"][0]
    if "published way" in results:
        peer = results["published way"][0]
        times = rates["published way"] / rates["datumrl"]
        lines.append(f"a row takes datumrl {times:.0f} times less time")
        if peer["rows"] == exact["rows"]:
            error = peer["distinct"] / exact["distinct"] - 1
            lines.append(
                f"distinct: {exact['distinct']:,} exactly, {peer['distinct']:,} by HyperLogLog "
                f"({100 * error:+.2f} %); TQ differs by {abs(peer['tq'] - exact['tq']):.1g}, "
                f"PSV by {abs(peer['psv'] - exact['psv']):.1g}"
            )
    return "\n".join(lines)


def main() -> None:
    """Parse the command line and print a table per size, or do one part for the parent."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000])
    parser.add_argument(
        "--peer-rows", type=int, default=1_000_000, help="most rows of the peer; 0: none"
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    kept_results.add_option(parser, __file__)
    options = parser.parse_args()
    if options.measure:
        kind, folder, rows = options.measure
        print(json.dumps(measure(kind, Path(folder), int(rows))))
        return
    everything = [run_all(rows, options.peer_rows, options.repeats) for rows in options.rows]
    kept_results.keep(options, everything)
    if options.json:
        print(json.dumps(everything))
        return
    print(f"{OBSERVATION_DIM}+{ACTION_DIM} dims, {EDGES} edges, {os.cpu_count()} cores")
    for results in everything:
        print(table(results), flush=True)


if __name__ == "__main__":
    main()
