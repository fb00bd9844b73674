"""Is a table of our own reproduced by training other seeds, and is a wrong setting noticed?

BC and TD3+BC are trained on two small local datasets with one set of seeds; their means and
deviations are written as a published table.  ``datumrl reproduce --train`` then trains it again
with other seeds, once as stated and once for each deliberately wrong hyper-parameter.  Printed are
its verdicts and how many seeds it took to see that a cell differs.

    DATUMRL_HOME=... python benchmarks/reproduce_by_training.py [--out FOLDER] [--seeds 20]

Datasets that are not under DATUMRL_HOME are collected.  Killed, the same command resumes.
"""

from __future__ import annotations

import argparse
import csv
import resource
from pathlib import Path

import kept_results
import numpy as np

from datumrl.algorithms import executor
from datumrl.datasets import catalogue, files, loading
from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation.collector import collect
from datumrl.evaluation.records import score_rows
from datumrl.scripts import main

STEPS = {"local/inverted-pendulum-medium-v1@50k": 1_000, "local/halfcheetah-medium-v1@50k": 2_000}
METHODS = {"BC": "bc", "TD3+BC": "td3_bc"}
SETTINGS = {"hidden_dims": "64,64", "batch_size": "128"}
EPISODES = 10
_WHO = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
OTHER_SEEDS = 100  # the first of those that reproduce
# What is changed: method, field=value, and in words.
WRONG = (
    ("TD3+BC", "alpha=40", "16 times the weight of Q"),
    ("TD3+BC", "actor_lr=0.003", "10 times the actor's learning rate"),
    ("BC", "actor_lr=0.00001", "a 30th of the learning rate"),
    ("BC", "actor_lr=0.0001", "a third of the learning rate"),
)


def published(out: Path, seeds: int) -> Path:
    """Train the first seeds and write their table as a paper would print it."""
    path = out / "table.csv"
    settings = {f"set.{name}": value for name, value in SETTINGS.items()}
    with files.replacing(path, "w") as handle:
        writer = csv.writer(handle)
        head = ("algorithm", "dataset", "mean", "std", "seeds", "steps", "episodes")
        writer.writerow((*head, "evaluate_every", *settings))
        for dataset, steps in STEPS.items():
            run = executor.trainer(
                out / "published",
                steps=steps,
                settings=SETTINGS,
                episodes=EPISODES,
                evaluate_every=steps,
                device="cpu",
            )
            for name, method in METHODS.items():
                records = run(method, dataset, range(seeds))
                scores = np.array([score_rows(record)[-1].score for record in records])
                cell = (f"{scores.mean():.1f}", f"{scores.std():.1f}")
                print(f"  {name:7} {dataset:40} {' ± '.join(cell)}", flush=True)
                row = (name, dataset, *cell, seeds, steps, EPISODES, steps)
                writer.writerow((*row, *settings.values()))
    return path


def reproduced(table: Path, out: Path, seeds: int, *options: str) -> list[dict[str, object]]:
    """Train a table again and return what is told of its cells."""
    last = OTHER_SEEDS + seeds - 1
    code = main.main(
        ["reproduce", "--published", str(table), "--train", "--seeds", f"{OTHER_SEEDS}-{last}",
         "--out", str(out), "--device", "cpu", "--brief", *options]
    )  # fmt: skip
    if code > 1:
        raise DatumrlError(f"reproduce {' '.join(options)} ended with {code}")
    trained = files.read_json(out / "reproduction.json")["trained"]
    return [{**cell, "exit": code} for cell in trained["cells"]]


def shown(cells: list[dict[str, object]]) -> None:
    """Print a line for each cell."""
    for cell in cells:
        scores = np.array(list(cell["scores"].values()))
        interval = f"[{cell['low']:+.1f}, {cell['high']:+.1f}]"
        took = f", after {cell['seeds_to_differ']} seeds" if cell["seeds_to_differ"] else ""
        print(
            f"  {cell['algorithm']:7} {cell['dataset']:40} "
            f"{cell['printed']['mean']} ± {cell['printed']['std']} -> "
            f"{scores.mean():.1f} ± {scores.std(ddof=1):.1f}  {cell['difference']:+.1f} "
            f"{interval}  p {cell['p_value']:.2g}  {cell['verdict']}{took}"
        )


def run(out: Path, seeds: int) -> dict[str, list[dict[str, object]]]:
    """Do all of it; return what is told of the cells of each table."""
    for dataset in STEPS:
        try:
            loading.load(dataset)
        except DatumrlError:
            collect(catalogue.find(dataset))
    print(f"published: seeds 0 to {seeds - 1}")
    table = published(out, seeds)
    found = {"as stated": reproduced(table, out / "as-stated", seeds)}
    for number, (method, change, words) in enumerate(WRONG):
        folder = out / f"wrong-{number}"
        options = ("--algorithms", method, "--set", change)
        cells = reproduced(table, folder, seeds // 2, *options)
        found[f"{method} with {change}, {words}"] = cells
    print(f"\nreproduced: seeds from {OTHER_SEEDS}, {seeds}, of wrong settings {seeds // 2}")
    for title, cells in found.items():
        print(f"{title} (exit code {cells[0]['exit']})")
        shown(cells)
    used = sum(resource.getrusage(who).ru_utime for who in _WHO)
    print(f"{used:.0f} s of CPU time in this call")
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/reproduce-by-training"))
    parser.add_argument("--seeds", type=int, default=20)
    kept_results.add_option(parser, __file__)
    given = parser.parse_args()
    kept_results.keep(given, run(given.out, given.seeds))
