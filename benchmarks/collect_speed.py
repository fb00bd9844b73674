"""Transitions per second of `datumrl collect` against a plain single-environment loop.

python benchmarks/collect_speed.py [--transitions N] [--repeats N] [--workers N]

The loop is what a user would write: one Gymnasium environment, the same actor on one observation
at a time, the same columns kept in lists.  Interleaved repeats; minimum and median of the time.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import kept_results
import numpy as np
import rich.console
import rich.table

from datumrl.datasets import catalogue
from datumrl.evaluation import environments, provenance, recipes
from datumrl.evaluation.collector import collect


def plain_loop(dataset_id: str, transitions: int) -> float:
    """Return the seconds that a loop over one environment takes."""
    recipe = recipes.recipe_for(catalogue.find(dataset_id))
    env = environments.make(recipe.environment)
    controller = recipe.parts[0].controller
    generator = np.random.default_rng(0)
    columns: list[list[object]] = [[] for _ in range(8)]
    started = time.perf_counter()
    observation, _ = env.reset(seed=0)
    for _ in range(transitions):
        noise = controller.noise(generator, (1, env.action_space.shape[0]))
        actions, log_probability = controller.sample(observation[None].astype(np.float32), noise)
        state = env.unwrapped.data
        row = [observation, actions[0], log_probability[0], state.qpos.copy(), state.qvel.copy()]
        observation, reward, terminated, truncated, _ = env.step(actions[0])
        for column, value in zip(columns, [*row, reward, terminated, truncated], strict=True):
            column.append(value)
        if terminated or truncated:
            observation, _ = env.reset()
    for column in columns:
        np.asarray(column)
    return time.perf_counter() - started


def collected(dataset_id: str, transitions: int, workers: int) -> float:
    """Return the seconds that a collection takes, start of the workers and writing included."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["DATUMRL_HOME"] = home
        started = time.perf_counter()
        made = collect(catalogue.find(f"{dataset_id}@{transitions}"), workers=workers)
        seconds = time.perf_counter() - started
        return seconds * transitions / len(made.episodes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--transitions", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--environments", nargs="+", default=["hopper", "halfcheetah"])
    kept_results.add_option(parser, __file__)
    args = parser.parse_args()
    table = rich.table.Table(
        "dataset", "how", "min s", "median s", "per second", "against the loop"
    )
    found: dict[str, dict[str, list[float]]] = {}
    for environment in args.environments:
        dataset_id = f"local/{environment}-medium-v1"
        ways = {
            "plain loop": lambda name=dataset_id: plain_loop(name, args.transitions),
            "collect, 1 worker": lambda name=dataset_id: collected(name, args.transitions, 1),
            f"collect, {args.workers} workers": lambda name=dataset_id: collected(
                name, args.transitions, args.workers
            ),
        }
        found[dataset_id] = times = {way: [] for way in ways}
        for _ in range(args.repeats):
            for way, measure in ways.items():
                times[way].append(measure())
        base = statistics.median(times["plain loop"])
        for way, seconds in times.items():
            middle = statistics.median(seconds)
            table.add_row(
                dataset_id,
                way,
                f"{min(seconds):.1f}",
                f"{middle:.1f}",
                f"{args.transitions / middle:,.0f}",
                f"{base / middle:.2f}x",
            )
    console = rich.console.Console()
    console.print(
        f"{args.transitions:,} transitions, {args.repeats} repeats, {provenance.hardware()}"
    )
    console.print(table)
    kept_results.keep(args, found)


if __name__ == "__main__":
    main()
