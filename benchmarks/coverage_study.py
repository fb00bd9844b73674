"""How often do 95% intervals of the IQM hold the truth?  Simulated, for every interval method.

    python benchmarks/coverage_study.py [--simulations 2000] [--resamples 1000] [--only normal]
        [--figure docs/figures/coverage.svg]

Each simulation draws tasks, then runs of every task, and asks each method for its interval; the
truth is the IQM of infinitely many runs of the same tasks.  Score distributions of a task, with a
location of 10-100 and a spread of 3-25 that differ from task to task:

- normal;
- skewed: lognormal with a log standard deviation of 1, to either side;
- bimodal: two normals four of their standard deviations apart, of any proportion from 1:4 to 4:1;
- published: final scores of d3rlpy's D4RL benchmark, drawn with replacement from the ten seeds of
  randomly chosen pairs of algorithm and dataset;
- failing (beside the others, in no mean): 0 with a chance of 0.2 to 0.8, else normal, as where only
  some runs find a sparse reward at all.

Work is cut into blocks with seeds of their own.  Counts are written after every block, so a killed
study goes on where it was, a greater number of simulations adds to those at hand, and the same
numbers come out in whatever order.  An error of a share near 0.95 is 0.22 / sqrt(simulations).
"""

from __future__ import annotations

import argparse
import csv
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np

from datumrl.datasets import files
from datumrl.evaluation import influence, intervals, ragged
from datumrl.leaderboard import published_tables

RESULTS = Path(__file__).parent / "results" / "coverage.csv"
DISTRIBUTIONS = ("normal", "skewed", "bimodal", "published")
BESIDE = ("failing",)  # shown by itself: so hard that a mean with the others would say nothing
RUNS = (3, 5, 10, 20)
TASKS = (1, 9, 26)
CONFIDENCE = 0.95
BLOCK = 50  # simulations; part of the seeds, so not an option
SEED = 2024
KEY = ("distribution", "runs", "tasks", "resamples", "method")
COUNTS = ("simulations", "covered", "too_high", "too_low")
COLUMNS = (*KEY, *COUNTS, "total_width", "coverage", "mean_width")

_GRID = np.array([NormalDist().inv_cdf((k + 0.5) / 1000) for k in range(1000)])


@dataclass(frozen=True)
class Cell:
    """One combination of the study."""

    distribution: str
    runs: int
    tasks: int
    resamples: int


@dataclass
class Tally:
    """What came of the simulations of one cell with one method."""

    simulations: int = 0
    covered: int = 0
    too_high: int = 0  # the interval lies above the truth
    too_low: int = 0
    total_width: float = 0.0

    def add(self, low: float, high: float, truth: float) -> None:
        """Count one interval."""
        self.simulations += 1
        self.covered += low <= truth <= high
        self.too_high += truth < low
        self.too_low += high < truth
        self.total_width += high - low


Results = dict[tuple[Cell, str], Tally]


def normal(cell: Cell, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return scores ``(runs, tasks)`` and equally likely quantiles of each task ``(n, tasks)``."""
    location, spread = _places(cell, generator)
    drawn = generator.standard_normal((cell.runs, cell.tasks))
    return location + spread * drawn, location + spread * _GRID[:, None]


def skewed(cell: Cell, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return lognormal scores and quantiles, as ``normal`` does."""
    location, spread = _places(cell, generator)
    side = generator.choice((-1.0, 1.0), cell.tasks)
    middle, unit = np.exp(0.5), np.sqrt((np.e - 1.0) * np.e)
    drawn = np.exp(generator.standard_normal((cell.runs, cell.tasks)))
    quantiles = np.exp(_GRID)[:, None]
    scale = side * spread / unit
    return location + scale * (drawn - middle), location + scale * (quantiles - middle)


def bimodal(cell: Cell, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return scores of two modes and their quantiles, as ``normal`` does."""
    location, spread = _places(cell, generator)
    # Whole thousandths, so that as many quantiles come from the higher mode.
    high = generator.integers(200, 801, cell.tasks)
    shape = (cell.runs, cell.tasks)
    drawn = generator.standard_normal(shape) + np.where(
        generator.random(shape) < high / 1000.0, 2.0, -2.0
    )
    quantiles = np.empty((1000, cell.tasks))
    for task, count in enumerate(high):
        quantiles[:, task] = np.concatenate(
            [_normal_grid(1000 - count) - 2, _normal_grid(count) + 2]
        )
    return location + 0.5 * spread * drawn, location + 0.5 * spread * quantiles


def published(cell: Cell, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return scores drawn from published ones, and those, as ``normal`` does."""
    pool = _published_scores()
    seeds = pool[:, generator.choice(pool.shape[1], cell.tasks, replace=False)]
    rows = generator.integers(len(seeds), size=(cell.runs, cell.tasks))
    return np.take_along_axis(seeds, rows, axis=0), seeds


def failing(cell: Cell, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return scores of which some are exactly 0, and their quantiles, as ``normal`` does."""
    location, spread = _places(cell, generator)
    failed = generator.integers(200, 801, cell.tasks)  # whole thousandths, as in ``bimodal``
    shape = (cell.runs, cell.tasks)
    drawn = location + spread * generator.standard_normal(shape)
    drawn[generator.random(shape) < failed / 1000.0] = 0.0
    quantiles = np.zeros((1000, cell.tasks))
    for task, count in enumerate(failed):
        quantiles[count:, task] = location[task] + spread[task] * _normal_grid(1000 - count)
    return drawn, quantiles


def truth_of(quantiles: np.ndarray) -> float:
    """Return the IQM of infinitely many runs: exactly a quarter of the weight cut at each end."""
    ordered = np.sort(quantiles, axis=None)
    size = ordered.size
    edges = np.clip(np.arange(size + 1) / size, 0.25, 0.75)
    return float(2.0 * (np.diff(edges) * ordered).sum())


def simulate(cell: Cell, block: int) -> dict[str, Tally]:
    """Run one block of a cell; its numbers depend on the cell and the block alone."""
    name = zlib.crc32(f"{cell.distribution} {cell.runs} x {cell.tasks}".encode())
    generator = np.random.default_rng([SEED, name, block])
    draw = {each.__name__: each for each in (normal, skewed, bimodal, published, failing)}
    tallies = {method: Tally() for method in intervals.METHODS}
    for _ in range(BLOCK):
        scores, quantiles = draw[cell.distribution](cell, generator)
        truth = truth_of(quantiles)
        found = intervals.intervals(
            ragged.gather_matrix(scores),
            influence.IQM,
            generator,
            resamples=cell.resamples,
            confidence=CONFIDENCE,
        )
        for method, interval in found.items():
            # A population without any spread has its truth on the interval's end, but for rounding.
            slack = 1e-9 * max(1.0, abs(truth))
            tallies[method].add(interval.low - slack, interval.high + slack, truth)
    return tallies


def study(cells: list[Cell], simulations: int, results: Results, path: Path) -> Iterator[str]:
    """Do all that is missing, a block of every cell at a time; tell what was done after each."""
    for block in range(-(-simulations // BLOCK)):
        for cell in cells:
            first = results.get((cell, intervals.METHODS[0]))
            if first is not None and first.simulations > block * BLOCK:
                continue
            for method, tally in simulate(cell, block).items():
                total = results.setdefault((cell, method), Tally())
                for field in (*COUNTS, "total_width"):
                    setattr(total, field, getattr(total, field) + getattr(tally, field))
            write(path, results)
            yield f"block {block + 1}: {cell.distribution}, {cell.runs} x {cell.tasks}"


def read(path: Path) -> Results:
    """Return the counts written so far."""
    if not path.exists():
        return {}
    results = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            cell = Cell(row["distribution"], *(int(row[name]) for name in KEY[1:4]))
            counts = (int(row[name]) for name in COUNTS)
            results[cell, row["method"]] = Tally(*counts, float(row["total_width"]))
    return results


def write(path: Path, results: Results) -> None:
    """Write all counts, in the order of the study."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ranked = sorted(results, key=_order)
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    for cell, method in ranked:
        tally = results[cell, method]
        count = tally.simulations
        key = (cell.distribution, cell.runs, cell.tasks, cell.resamples, method)
        counts = (count, tally.covered, tally.too_high, tally.too_low)
        shares = (f"{tally.covered / count:.4f}", f"{tally.total_width / count:.3f}")
        rows.writerow([*key, *counts, repr(tally.total_width), *shares])
    with files.replacing(path) as file:
        file.write(text.getvalue().encode())


def show(results: Results, resamples: int) -> None:
    """Print coverage by cell, and the methods' means and worst cells by number of runs."""
    chosen = {key: tally for key, tally in results.items() if key[0].resamples == resamples}
    counts = sorted({tally.simulations for tally in chosen.values()})
    print(f"coverage of nominal 95% intervals of the IQM; {resamples} resamples; simulations per")
    print(f"cell: {', '.join(map(str, counts))} (standard error {0.218 / counts[0] ** 0.5:.3f})")
    header = "".join(f"{method:>13}" for method in intervals.METHODS)
    print(f"{'distribution':<14}{'runs':>5}{'tasks':>6}{header}")
    for cell in sorted({cell for cell, _ in chosen}, key=lambda cell: _order((cell, "t"))):
        shares = "".join(f"{_share(chosen[cell, method]):>13.3f}" for method in intervals.METHODS)
        print(f"{cell.distribution:<14}{cell.runs:>5}{cell.tasks:>6}{shares}")
    for name, of in (("mean", np.mean), ("worst", np.min)):
        for runs in sorted({cell.runs for cell, _ in chosen}):
            line = f"{name + ' of all':<14}{runs:>5}{'':>6}"
            for method in intervals.METHODS:
                shares = [
                    _share(tally)
                    for (cell, other), tally in chosen.items()
                    if cell.runs == runs and other == method and cell.distribution not in BESIDE
                ]
                line += f"{of(shares):>13.3f}" if shares else f"{'':>13}"
            print(line)


def draw(results: Results, resamples: int, path: Path) -> None:
    """Draw coverage by number of runs: a panel for each number of tasks, a line for each method.

    A dot is the mean over the distributions, the line below it reaches down to the lowest.
    """
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams["svg.hashsalt"] = "coverage"  # equal numbers give an equal file
    colours = ("#999999", "#cc79a7", "#e69f00", "#0072b2", "#009e73")
    figure = Figure(figsize=(8.4, 3.2), layout="constrained")
    panels = figure.subplots(1, len(TASKS), sharey=True)
    for panel, tasks in zip(panels, TASKS, strict=True):
        panel.axhline(CONFIDENCE, color="black", linewidth=0.8)
        for place, (method, colour) in enumerate(zip(intervals.METHODS, colours, strict=True)):
            for number, runs in enumerate(RUNS):
                shares = [
                    _share(results[Cell(name, runs, tasks, resamples), method])
                    for name in DISTRIBUTIONS
                ]
                x, mean = number + 0.13 * (place - 2), float(np.mean(shares))
                label = method if number == 0 and tasks == TASKS[0] else None
                panel.plot(x, mean, "o", color=colour, markersize=4.5, label=label)
                panel.plot([x, x], [min(shares), mean], color=colour, linewidth=2)
        panel.set_xticks(range(len(RUNS)), [str(runs) for runs in RUNS])
        panel.set_xlabel("runs of each algorithm")
        panel.set_title(f"{tasks} task{'s' if tasks > 1 else ''}", fontsize=10)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("share of intervals that hold the truth")
    figure.legend(ncols=len(intervals.METHODS), loc="outside upper center", frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulations", type=int, default=2000, help="per cell, at least")
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--only", choices=DISTRIBUTIONS + BESIDE, help="one distribution")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--figure", type=Path, help="draw the results there")
    options = parser.parse_args()
    cells = [
        Cell(distribution, runs, tasks, options.resamples)
        for distribution in DISTRIBUTIONS + BESIDE
        if options.only in (None, distribution)
        for runs in RUNS
        for tasks in TASKS
    ]
    results = read(options.out)
    for done in study(cells, options.simulations, results, options.out):
        print(done, flush=True)
    show(results, options.resamples)
    if options.figure is not None:
        draw(results, options.resamples, options.figure)


def _places(cell: Cell, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return generator.uniform(10, 100, cell.tasks), generator.uniform(3, 25, cell.tasks)


def _normal_grid(count: int) -> np.ndarray:
    return np.interp((np.arange(count) + 0.5) / count, (np.arange(1000) + 0.5) / 1000, _GRID)


_POOL: list[np.ndarray] = []


def _published_scores() -> np.ndarray:
    """Return the final scores of every published pair that varies: ``(10 seeds, pairs)``."""
    if not _POOL:
        table = published_tables.all_tables()[0]
        raw = published_tables.read_raw(table)
        references = published_tables.read_references(table)
        columns = [
            published_tables.normalized(curves.returns[:, -1], dataset, references)
            for (_, dataset), curves in sorted(raw.items())
            if len(curves.seeds) == 10
        ]
        _POOL.append(np.stack([column for column in columns if np.ptp(column) > 0], axis=1))
    return _POOL[0]


def _order(key: tuple[Cell, str]) -> tuple[int, ...]:
    cell, method = key
    place = (DISTRIBUTIONS + BESIDE).index(cell.distribution)
    return (cell.resamples, place, cell.runs, cell.tasks, intervals.METHODS.index(method))


def _share(tally: Tally) -> float:
    return tally.covered / tally.simulations


if __name__ == "__main__":
    main()
