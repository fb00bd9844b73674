"""Does a published table follow from its raw scores?  Recompute it, cell by cell."""

from __future__ import annotations

import functools
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np

from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import bootstrap, metrics
from datumrl.leaderboard import published_tables
from datumrl.leaderboard.published_tables import Curves, PrintedCell, PublishedTable, Rule

# Summation order differs between libraries; this is far below any printed digit.
_FLOAT_SLACK = Decimal("1e-9")


@dataclass(frozen=True)
class Verdict:
    """One printed cell beside the mean and standard deviation recomputed from the raw scores."""

    printed: PrintedCell
    mean: float
    std: float

    @property
    def mean_equal(self) -> bool:
        """Whether the recomputed mean rounds to the printed one."""
        return rounds_to(self.mean, self.printed.mean)

    @property
    def std_equal(self) -> bool:
        """Whether the recomputed standard deviation rounds to the printed one."""
        return rounds_to(self.std, self.printed.std)

    @property
    def equal(self) -> bool:
        """Whether both numbers of the cell follow."""
        return self.mean_equal and self.std_equal

    @property
    def mean_difference(self) -> float:
        """Recomputed mean less the printed one."""
        return self.mean - float(self.printed.mean)

    @property
    def std_difference(self) -> float:
        """Recomputed standard deviation less the printed one."""
        return self.std - float(self.printed.std)


@dataclass(frozen=True)
class Aggregate:
    """The IQM of one algorithm over the tasks of a pool, with its bootstrap interval."""

    algorithm: str
    iqm: float
    interval: bootstrap.Interval


@dataclass(frozen=True)
class Pool:
    """Datasets of one version that the same algorithms cover completely: a fair comparison.

    ``aggregates`` is ordered by IQM, best first; a pool of one algorithm compares with nothing.
    """

    datasets: tuple[str, ...]
    runs: int
    aggregates: tuple[Aggregate, ...]


@dataclass(frozen=True)
class Reproduction:
    """All that recomputing a table tells."""

    table: PublishedTable
    runs: int
    evaluations: int
    verdicts: tuple[Verdict, ...]
    departures: tuple[tuple[str, int], ...]  # another rule, and how many cells it fails
    pools: tuple[Pool, ...]


def reproduce(
    table_id: str,
    seed: int = 0,
    resamples: int = 50_000,
    folder: Path = published_tables.FOLDER,
) -> Reproduction:
    """Recompute a registered table; ``seed`` and ``resamples`` are those of the intervals.

    Raises DatumrlError for an unknown table, and for a data file that is not the registered one.
    """
    table = published_tables.find(table_id)
    if seed < 0:
        raise DatumrlError(f"seed {seed} is negative; use 0 or more")
    raw = published_tables.read_raw(table, folder)
    cells = published_tables.read_cells(table, folder)
    references = published_tables.read_references(table, folder)
    departures = tuple(
        (label, sum(not verdict.equal for verdict in check(cells, raw, references, rule)))
        for label, rule in table.departures
    )
    return Reproduction(
        table=table,
        runs=sum(len(curves.seeds) for curves in raw.values()),
        evaluations=sum(curves.returns.size for curves in raw.values()),
        verdicts=tuple(check(cells, raw, references, table.rule)),
        departures=departures,
        pools=tuple(pools(raw, references, seed, resamples)),
    )


def check(
    cells: Sequence[PrintedCell],
    raw: published_tables.RawScores,
    references: published_tables.References,
    rule: Rule,
) -> list[Verdict]:
    """Recompute every printed cell from the raw scores by a rule."""
    chosen = functools.cache(
        lambda algorithm, dataset, checkpoint: choose(
            raw[algorithm, dataset], algorithm, checkpoint, rule
        )
    )
    verdicts = []
    for cell in cells:
        values = chosen(cell.algorithm, cell.dataset, cell.checkpoint)
        if cell.quantity == "score":
            values = published_tables.normalized(values, cell.dataset, references)
        verdicts.append(Verdict(cell, float(values.mean()), float(values.std(ddof=rule.ddof))))
    return verdicts


def choose(curves: Curves, algorithm: str, checkpoint: str, rule: Rule) -> np.ndarray:
    """Return each run's return at a checkpoint, "final" or "best", by a rule: ``(runs,)``."""
    if checkpoint == "final":
        return curves.returns[:, -1]
    window = curves.returns[:, rule.skipped :]
    last = dict(rule.windows).get(algorithm)
    if last is not None:
        window = window[:, -last:]
    return window.max(axis=1)


def rounds_to(value: float, printed: str) -> bool:
    """Tell whether a value rounds to a printed number, whichever way ties are broken."""
    number = Decimal(printed)
    half_unit = Decimal((0, (5,), int(number.as_tuple().exponent) - 1))
    slack = _FLOAT_SLACK * max(Decimal(1), abs(number))
    return math.isfinite(value) and abs(Decimal(value) - number) <= half_unit + slack


def pools(
    raw: published_tables.RawScores,
    references: published_tables.References,
    seed: int,
    resamples: int,
) -> list[Pool]:
    """Return the IQMs of final scores, pooled over tasks only where that is a fair comparison.

    Datasets share a pool if they have the same version (v0 and v2 hold different data) and the
    same algorithms cover them with equally many runs.  The largest comparison comes first.
    """
    found = []
    for datasets, algorithms, runs in _fair_pools(raw):
        aggregates = []
        for algorithm in algorithms:
            columns = [
                published_tables.normalized(raw[algorithm, name].returns[:, -1], name, references)
                for name in datasets
            ]
            scores = np.stack(columns, axis=1)
            # Each starts anew, so that an interval does not depend on what was computed before.
            generator = np.random.default_rng(seed)
            interval = bootstrap.interval(scores, metrics.iqm, generator, resamples)
            aggregates.append(Aggregate(algorithm, float(metrics.iqm(scores)), interval))
        aggregates.sort(key=lambda entry: -entry.iqm)
        found.append(Pool(datasets, runs, tuple(aggregates)))
    return found


def _fair_pools(
    raw: published_tables.RawScores,
) -> list[tuple[tuple[str, ...], tuple[str, ...], int]]:
    """Return (datasets, algorithms, runs) of every pool, most algorithms first."""
    coverage: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    for (algorithm, dataset), curves in raw.items():
        coverage[dataset][len(curves.seeds)].add(algorithm)
    grouped: dict[tuple[str, tuple[str, ...], int], list[str]] = defaultdict(list)
    for dataset, by_runs in coverage.items():
        version = dataset.rpartition("-")[2]
        for runs, algorithms in by_runs.items():
            grouped[version, tuple(sorted(algorithms)), runs].append(dataset)
    found = [
        (tuple(sorted(datasets)), algorithms, runs)
        for (_, algorithms, runs), datasets in grouped.items()
    ]
    return sorted(found, key=lambda pool: (-len(pool[1]), -len(pool[0]), pool))
