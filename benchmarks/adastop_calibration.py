"""Does AdaStop hold its level, what does it find, and how many runs does it save?

    python benchmarks/adastop_calibration.py [--replications 400] [--only TEXT] [--seconds S]

Simulates comparisons in which it is known which algorithms are alike.  ``rejected`` counts the
simulations with any false rejection (truths "complete", "partial", "spread") or those that find
every true difference ("shift": the last algorithm's mean lies above the others').  Every line of
the table is seeded by its own name; those already in ``results/adastop_calibration.csv`` with as
many replications are kept, so that an interrupted study goes on where it stopped.  A fixed design
is one of a single interim with as many runs as the sequential one uses at most.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import math
import time
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from datumrl.datasets import files
from datumrl.evaluation import adastop
from datumrl.evaluation.adastop_design import Design

RESULTS = Path(__file__).parent / "results" / "adastop_calibration.csv"
COUNTED = ("replications", "rejected", "rate", "low", "high", "alpha", "mean_runs", "seconds")
SHIFT = 1.0  # standard deviations


@dataclass(frozen=True)
class Cell:
    """One design under one truth."""

    truth: str
    procedure: str
    statistic: str
    distribution: str
    algorithms: int
    runs: int
    interims: int
    permutations: int = 1_000

    @property
    def name(self) -> str:
        """Return what tells this cell from all others."""
        return " ".join(str(value) for value in asdict(self).values())


def cells() -> Iterator[Cell]:
    """Yield the study: the level of the default first, then power, then the other procedures."""
    designs = ((5, 1), (3, 3), (5, 5), (10, 3))
    for (runs, interims), count, distribution in itertools.product(
        designs, (2, 3, 5), ("normal", "skewed", "bimodal")
    ):
        yield Cell("complete", "closed", "studentized", distribution, count, runs, interims)
    for truth, statistic in itertools.product(("partial", "spread"), ("studentized", "difference")):
        yield Cell(truth, "closed", statistic, "normal", 5, 5, 5)
    for procedure, count in itertools.product(
        ("independent", "shared", "joint", "released"), (2, 3, 5)
    ):
        yield Cell("complete", procedure, "difference", "normal", count, 5, 5)
    for truth, procedure in itertools.product(
        ("partial", "spread"), ("independent", "shared", "joint")
    ):
        yield Cell(truth, procedure, "difference", "normal", 5, 5, 5)
    for count, (runs, interims) in itertools.product((2, 3, 5), ((5, 5), (25, 1))):
        for statistic in ("studentized", "difference"):
            yield Cell("shift", "closed", statistic, "normal", count, runs, interims)
        yield Cell("shift", "independent", "difference", "normal", count, runs, interims)
    for distribution in ("skewed", "bimodal"):
        yield Cell("shift", "closed", "studentized", distribution, 3, 5, 5)


def draw(distribution: str, generator: np.random.Generator, size: int) -> np.ndarray:
    """Return scores of mean 0 and standard deviation 1."""
    if distribution == "normal":
        return generator.normal(size=size)
    if distribution == "skewed":
        spread = math.sqrt((math.e - 1.0) * math.e)
        return (generator.lognormal(size=size) - math.sqrt(math.e)) / spread
    # Runs that fail and runs that do not, four standard deviations apart.
    side = generator.integers(0, 2, size=size) * 2.0 - 1.0
    return (2.0 * side + generator.normal(size=size)) / math.sqrt(5.0)


def moments(cell: Cell) -> list[tuple[float, float]]:
    """Return each algorithm's mean and standard deviation; equal pairs of them are true nulls."""
    count = cell.algorithms
    if cell.truth == "partial":  # the first three alike, the others far away and wider
        return [(0.0, 1.0)] * 3 + [(6.0 * place, 3.0) for place in range(1, count - 2)]
    if cell.truth == "spread":  # equal means, so that only equal spreads are true nulls
        return [(0.0, 1.0)] * 3 + [(0.0, 5.0)] * (count - 3)
    if cell.truth == "shift":
        return [(0.0, 1.0)] * (count - 1) + [(SHIFT, 1.0)]
    return [(0.0, 1.0)] * count


def simulate(cell: Cell, seed: int) -> tuple[bool, int]:
    """Return whether one comparison ends as ``rejected`` counts, and its number of runs."""
    generator = np.random.default_rng([zlib.crc32(cell.name.encode()), seed])
    truth = {f"a{place}": pair for place, pair in enumerate(moments(cell))}
    design = Design(
        tuple(truth),
        cell.runs,
        cell.interims,
        permutations=cell.permutations,
        procedure=cell.procedure,
        statistic=cell.statistic,
        seed=seed,
    )
    state = adastop.start(design)
    while not state.finished:
        block = {
            name: truth[name][0] + truth[name][1] * draw(cell.distribution, generator, cell.runs)
            for name in state.wanted
        }
        state = adastop.update(state, {name: scores.tolist() for name, scores in block.items()})
    false = any(
        c.decision != "equal" and truth[c.first] == truth[c.second] for c in state.comparisons
    )
    found = all(
        c.decision == "smaller" for c in state.comparisons if truth[c.first] != truth[c.second]
    )
    return (found if cell.truth == "shift" else false), sum(state.runs_used.values())


def wilson(count: int, total: int, z: float = 1.96) -> tuple[float, float]:
    """Return Wilson's 95% interval of a share."""
    share = count / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total**2)) / (1 + z * z / total)
    return max(0.0, middle - half), min(1.0, middle + half)


def row_of(cell: Cell, replications: int) -> dict[str, str]:
    """Return a finished line of the table."""
    began = time.perf_counter()
    outcomes = [simulate(cell, seed) for seed in range(replications)]
    count = sum(hit for hit, _ in outcomes)
    low, high = wilson(count, replications)
    values = (
        str(replications),
        str(count),
        f"{count / replications:.4f}",
        f"{low:.4f}",
        f"{high:.4f}",
        "0.05",
        f"{sum(runs for _, runs in outcomes) / replications:.1f}",
        f"{time.perf_counter() - began:.1f}",
    )
    return {
        **{key: str(value) for key, value in asdict(cell).items()},
        **dict(zip(COUNTED, values, strict=True)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replications", type=int, default=400)
    parser.add_argument("--only", default="", help="lines whose name holds this text")
    parser.add_argument("--seconds", type=float, default=math.inf, help="start none after so long")
    options = parser.parse_args()
    began = time.perf_counter()
    rows: dict[str, dict[str, str]] = {}
    if RESULTS.exists():
        with RESULTS.open(encoding="utf-8", newline="") as handle:
            for row in csv.DictReader(handle):
                key = " ".join(value for name, value in row.items() if name not in COUNTED)
                rows[key] = row
    for cell in cells():
        if options.only not in cell.name:
            continue
        known = rows.get(cell.name)
        if known is None or int(known["replications"]) < options.replications:
            if time.perf_counter() - began > options.seconds:
                print(f"stopped after {options.seconds:.0f} s; start again to go on")
                break
            rows[cell.name] = row_of(cell, options.replications)
            write(list(rows.values()))
        row = rows[cell.name]
        print(
            f"{cell.name:<62} {row['rate']} [{row['low']}, {row['high']}] of {row['replications']}"
            f"  runs {row['mean_runs']}",
            flush=True,
        )


def write(rows: list[dict[str, str]]) -> None:
    """Write the whole table at once."""
    with files.replacing(RESULTS, "w") as handle:
        table = csv.DictWriter(handle, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


if __name__ == "__main__":
    main()
