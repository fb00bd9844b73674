"""Bootstrap interval of the IQM: ours against rliable's, interleaved in one run.

    python benchmarks/bootstrap_against_rliable.py [--repeats 3] [--resamples 50000]

Both resample runs within tasks and take the 2.5 and 97.5 percentiles of as many resamples; ours is
what `datumrl compare --interval percentile` calls for each algorithm.
Figures are in `docs/speed.md`.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import kept_results
import numpy as np
import rliable.library
import rliable.metrics

from datumrl.evaluation import influence, intervals
from datumrl.evaluation.provenance import hardware

SHAPES = ((10, 9), (10, 26))  # runs x tasks: D4RL's locomotion table, Atari 100k


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--resamples", type=int, default=50_000)
    kept_results.add_option(parser, __file__)
    options = parser.parse_args()
    print(hardware())
    print(f"{options.resamples:,} resamples, {options.repeats} repeats")
    print(f"{'runs x tasks':<14}{'':<10}{'min s':>9}{'median s':>10}   interval of the last repeat")
    found = {
        f"{runs} x {tasks}": compare(
            np.random.default_rng(0).normal(60, 25, (runs, tasks)), options
        )
        for runs, tasks in SHAPES
    }
    kept_results.keep(options, found)


def compare(scores: np.ndarray, options: argparse.Namespace) -> dict[str, list[float]]:
    """Time both on one matrix, print their rows and the ratio, and return all seconds."""
    peers: dict[str, Callable[[int], tuple[float, float]]] = {
        "datumrl": lambda seed: ours(scores, options.resamples, seed),
        "rliable": lambda seed: theirs(scores, options.resamples, seed),
    }
    times: dict[str, list[float]] = {name: [] for name in peers}
    ends = {}
    for seed in range(options.repeats):
        for name, peer in peers.items():
            start = time.perf_counter()
            ends[name] = peer(seed)
            times[name].append(time.perf_counter() - start)
    for name, taken in times.items():
        low, high = ends[name]
        print(
            f"{scores.shape[0]:>4} x {scores.shape[1]:<7}{name:<10}{min(taken):>9.4f}"
            f"{statistics.median(taken):>10.4f}   [{low:.3f}, {high:.3f}]"
        )
    best, middle = (of(times["rliable"]) / of(times["datumrl"]) for of in (min, statistics.median))
    print(f"{'':<14}{'ratio':<10}{best:>8.0f}x{middle:>9.0f}x")
    return times


def ours(scores: np.ndarray, resamples: int, seed: int) -> tuple[float, float]:
    generator = np.random.default_rng(seed)
    found = intervals.interval(scores, influence.IQM, generator, "percentile", resamples)
    return found.low, found.high


def theirs(scores: np.ndarray, resamples: int, seed: int) -> tuple[float, float]:
    np.random.seed(seed)  # noqa: NPY002  rliable draws from numpy's global generator
    _, intervals = rliable.library.get_interval_estimates(
        {"scores": scores}, rliable.metrics.aggregate_iqm, reps=resamples
    )
    low, high = np.ravel(intervals["scores"])
    return float(low), float(high)


if __name__ == "__main__":
    main()
