"""How often do 95% intervals of the median over tasks hold the truth?  On published scores.

    python benchmarks/median_study.py [--draws 300] [--resamples 400]

Runs are drawn with replacement from the ten seeds of each of d3rlpy's algorithms and tasks (the
widest set of tasks that all have), so that the truth is the median of those seeds' means.  Printed:
the share of intervals that hold it, and their mean width over that of the middle 95% of the
estimates.  The error of a share near 0.95 is 0.22 / sqrt(draws).
"""

from __future__ import annotations

import argparse

import kept_results
import numpy as np

from datumrl.evaluation import influence, intervals
from datumrl.leaderboard import beyond_table, published_tables

RUNS = (3, 5, 10)
METHODS = ("percentile", "bca", "t")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=300)
    parser.add_argument("--resamples", type=int, default=400)
    kept_results.add_option(parser, __file__)
    options = parser.parse_args()
    case = published_tables.case(published_tables.find("d3rlpy-d4rl-v0"))
    column = beyond_table.column_of(case)
    assert column is not None  # the table prints final scores
    scores, pool = beyond_table.scores_of(case, column), beyond_table.pools(case)[0]
    print(f"{len(pool.datasets)} tasks, {options.draws} draws; coverage and width by method")
    print(f"{'algorithm':<10}{'runs':>5}" + "".join(f"{method:>17}" for method in METHODS))
    found: dict[str, dict[int, dict[str, tuple[float, float]]]] = {}
    for name in (each.algorithm for each in pool.aggregates):
        seeds = np.stack([scores[name, dataset] for dataset in pool.datasets], axis=1)
        for runs in RUNS:
            shares = found.setdefault(name, {})[runs] = cell(
                seeds, runs, options.draws, options.resamples
            )
            told = "".join(f"{held:>10.3f}{width:>6.1f}x" for held, width in shares.values())
            print(f"{name:<10}{runs:>5}{told}", flush=True)
    kept_results.keep(options, {"coverage and relative width": found})


def cell(
    seeds: np.ndarray, runs: int, draws: int, resamples: int
) -> dict[str, tuple[float, float]]:
    """Return coverage and relative width of each method for scores ``(seeds, tasks)``."""
    truth = float(influence.MEDIAN.of_matrix(seeds))
    generator = np.random.default_rng(runs)
    held, width, estimates = dict.fromkeys(METHODS, 0), dict.fromkeys(METHODS, 0.0), []
    for _ in range(draws):
        rows = generator.integers(len(seeds), size=(runs, seeds.shape[1]))
        drawn = np.take_along_axis(seeds, rows, axis=0)
        estimates.append(float(influence.MEDIAN.of_matrix(drawn)))
        found = intervals.intervals(drawn, influence.MEDIAN, generator, METHODS, resamples)
        for method, interval in found.items():
            held[method] += interval.low <= truth <= interval.high
            width[method] += interval.high - interval.low
    low, high = np.percentile(estimates, (2.5, 97.5))
    return {m: (held[m] / draws, width[m] / draws / float(high - low)) for m in METHODS}


if __name__ == "__main__":
    main()
