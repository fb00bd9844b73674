"""`datumrl board` on 15 algorithms x 30 datasets x 10 seeds: time, and size of the pages.

    python benchmarks/board_speed.py [--repeats 3]

The whole command is timed, in a process of its own each time, from files on disk: run records (20
evaluations of 10 episodes) on CORL's 30 D4RL datasets; the same number of score rows in one suite,
the widest table there can be; and what ships with datumrl.  The asked-for bounds are 10 s and 300
KB a page.  The first build on a machine takes longer: numba compiles the test behind the groups.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import kept_results
import numpy as np

from datumrl.evaluation.provenance import hardware
from datumrl.evaluation.records import Budget, Evaluation, Protocol, RunRecord
from datumrl.leaderboard import corl_table, published_tables

ALGORITHMS, DATASETS, SEEDS = 15, 30, 10
EVALUATIONS, EPISODES = 20, 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    kept_results.add_option(parser, __file__)
    options = parser.parse_args()
    repeats = options.repeats
    print(hardware())
    print(f"{ALGORITHMS} algorithms x {DATASETS} datasets x {SEEDS} seeds, {repeats} repeats")
    head = f"{'first s':>9}{'min s':>8}{'median s':>10}{'min CPU s':>11}{'pages':>8}  largest page"
    print(f"{'':<26}{head}")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_records(folder / "records")
        write_rows(folder / "rows.csv")
        inputs = {
            "run records, 4 suites": ["--no-published", str(folder / "records")],
            "score rows, 1 suite": ["--no-published", str(folder / "rows.csv")],
            "what ships with datumrl": [],
        }
        found = {name: measure(name, each, folder, repeats) for name, each in inputs.items()}
    kept_results.keep(options, found)


def measure(name: str, options: list[str], folder: Path, repeats: int) -> dict[str, object]:
    """Build one board again and again; print and return the times and the sizes."""
    out = folder / "board"
    command = [sys.executable, "-m", "datumrl.scripts.main", "board", "--out", str(out), *options]
    environment = {**os.environ, "DATUMRL_HOME": str(folder / "home")}
    times, spent = [], []
    for _ in range(repeats + 1):
        start, before = time.perf_counter(), processor_seconds()
        subprocess.run(command, check=True, capture_output=True, env=environment)
        times.append(time.perf_counter() - start)
        spent.append(processor_seconds() - before)
    first, *later = times
    sizes = {path.relative_to(out): path.stat().st_size for path in out.rglob("*.html")}
    largest = max(sizes, key=lambda path: sizes[path])
    print(
        f"{name:<26}{first:>9.2f}{min(later):>8.2f}{statistics.median(later):>10.2f}"
        f"{min(spent):>11.2f}{len(sizes):>8,}  {sizes[largest] / 1000:.0f} KB {largest}"
    )
    return {
        "seconds": times,
        "CPU seconds": spent,
        "pages": len(sizes),
        "largest page": {"path": str(largest), "bytes": sizes[largest]},
    }


def processor_seconds() -> float:
    """Return what the builds have spent so far: it does not grow while others use the machine."""
    found = resource.getrusage(resource.RUSAGE_CHILDREN)
    return found.ru_utime + found.ru_stime


def datasets() -> list[str]:
    """Return the ids of CORL's table."""
    rows = published_tables.read_csv(corl_table.CELLS)
    return sorted({row["dataset"] for row in rows if "/" in row["dataset"]})


def write_records(folder: Path) -> None:
    """Write a record for every run, with levels that methods and datasets share."""
    for algorithm, dataset, seed, level in runs(datasets()):
        generator = np.random.default_rng([seed, int(level)])
        returns = generator.normal(level, 50, (EVALUATIONS, EPISODES)).tolist()
        lengths = (1000,) * EPISODES
        points = [
            Evaluation(step=50_000 * place, returns=tuple(row), lengths=lengths)
            for place, row in enumerate(returns, start=1)
        ]
        protocol = Protocol(
            dataset=dataset, environment="E-v4", engine={"mujoco": "3.3.7"}, time_limit=1000,
            episodes=EPISODES,
        )  # fmt: skip
        record = RunRecord(
            algorithm=algorithm, configuration={"batch_size": 256}, dataset=dataset,
            dataset_sha256=None, protocol=protocol, budget=Budget(steps=1_000_000), seed=seed,
            status="complete", evaluations=tuple(points), software={}, hardware="none",
        )  # fmt: skip
        place = folder / algorithm / dataset.replace("/", "__")
        place.mkdir(parents=True, exist_ok=True)
        record.write(place / f"seed-{seed}.json")


def write_rows(path: Path) -> None:
    """Write a score row for every run, all of one suite."""
    names = [f"d4rl/hopper-{place:02}-v2" for place in range(DATASETS)]
    lines = ["algorithm,dataset,seed,step,mean_return,score"]
    lines += [
        f"{algorithm},{dataset},{seed},1000000,{30 * level:.4f},{level:.4f}"
        for algorithm, dataset, seed, level in runs(names)
    ]
    path.write_text("\n".join(lines) + "\n")


def runs(names: list[str]) -> list[tuple[str, str, int, float]]:
    """Return (algorithm, dataset, seed, level) of every run."""
    generator = np.random.default_rng(0)
    found = []
    for method in range(ALGORITHMS):
        for dataset in names:
            levels = 40 + 2 * method + generator.normal(0, 8, SEEDS)
            found += [
                (f"method-{method:02}", dataset, seed, float(level))
                for seed, level in enumerate(levels)
            ]
    return found


if __name__ == "__main__":
    main()
