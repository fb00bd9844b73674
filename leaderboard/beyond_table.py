"""What a printed table does not tell: IQMs with intervals, and which algorithms a test separates.

As ``datumrl compare`` computes them, over datasets that make a fair comparison: of one version (v0
and v2 hold different data), and covered by the same algorithms.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from datumrl.evaluation import bootstrap, group_test, influence, intervals, ragged, score_table
from datumrl.evaluation.group_test import GroupTest
from datumrl.evaluation.scored_runs import ScoredRun
from datumrl.leaderboard import scored_rule
from datumrl.leaderboard.scored_rule import Scoring
from datumrl.leaderboard.table_case import Case, PrintedCell

ALPHA = 0.05
CONFIDENCE = 0.95
Scores = Mapping[tuple[str, str], np.ndarray]  # (runs,) by algorithm and dataset


@dataclass(frozen=True)
class Aggregate:
    """The IQM of one algorithm over the datasets of a pool; no interval from single runs."""

    algorithm: str
    iqm: float
    interval: bootstrap.Interval | None
    letters: str  # algorithms that share a letter were not separated


@dataclass(frozen=True)
class Pool:
    """Datasets of one version that the same algorithms cover completely: a fair comparison.

    ``aggregates`` is ordered by IQM, best first; a pool of one algorithm compares with nothing.
    """

    datasets: tuple[str, ...]
    runs: tuple[int, int]  # fewest and most of a cell
    aggregates: tuple[Aggregate, ...]
    test: str  # how letters were found, or why there are none


def column_of(case: Case) -> PrintedCell | None:
    """Return a cell of the column that aggregates are over: last scores, where there are any."""

    def worth(cell: PrintedCell) -> tuple[bool, bool]:
        return (cell.checkpoint in ("", "final", "last"), cell.quantity == "score")

    found = [case.cells[number] for number in sorted(case.testable)]
    return max(found, key=worth) if found else None


def scores_of(
    case: Case, like: PrintedCell, scoring: Scoring | None = None
) -> dict[tuple[str, str], np.ndarray]:
    """Return each run's score in one column, by default as stated; without cells of failed runs."""
    rule = scoring.rule if scoring else case.stated
    found = {}
    for number in sorted(case.testable):
        cell = case.cells[number]
        if cell.column == like.column:
            values = scored_rule.scores(case, number, rule)
            if values.size and np.isfinite(values).all():
                found[cell.algorithm, cell.dataset] = values
    return found


def pools(case: Case, seed: int = 0, scoring: Scoring | None = None) -> list[Pool]:
    """Return the fair comparisons of a table, most algorithms first; ``seed`` is the test's."""
    like = column_of(case)
    if like is None or not case.pooled_datasets:
        return []
    return pooled(scores_of(case, like, scoring), seed)


def pooled(scores: Scores, seed: int = 0) -> list[Pool]:
    """Return the fair comparisons of scores, most algorithms first."""
    return [_pool(scores, datasets, algorithms, seed) for datasets, algorithms in _fair(scores)]


def _pool(scores: Scores, datasets: tuple[str, ...], algorithms: Sequence[str], seed: int) -> Pool:
    held = {
        name: ragged.gather([scores[name, dataset] for dataset in datasets], None)
        for name in algorithms
    }

    def test(names: Sequence[str]) -> GroupTest:
        return group_test.separate(table(scores, datasets, names), names, ALPHA, seed)

    ordered = sorted(held, key=lambda name: -float(influence.IQM.value(held[name])))
    counts = {name: min(held[name].runs) for name in ordered}
    tested = group_test.with_enough_runs(counts, test)
    aggregates = []
    for name in ordered:
        interval = None
        if min(held[name].runs) > 1:
            generator = np.random.default_rng(seed)  # used where Student's t is blind
            found = intervals.interval(held[name], influence.IQM, generator, confidence=CONFIDENCE)
            interval = found if intervals.has_width(found.low, found.high) else None
        iqm = float(influence.IQM.value(held[name]))
        aggregates.append(Aggregate(name, iqm, interval, tested.letters.get(name, "")))
    cells = [len(scores[name, dataset]) for name in algorithms for dataset in datasets]
    told = group_test.listed(tested.method, tested.untested.items())
    return Pool(datasets, (min(cells), max(cells)), tuple(aggregates), told or tested.reason)


def table(
    scores: Scores, datasets: Sequence[str], algorithms: Sequence[str]
) -> score_table.ScoreTable:
    """Return scores as the table that tests of ``evaluation`` read."""
    runs = [
        ScoredRun(
            algorithm, dataset, number, np.zeros(1), np.full(1, np.nan), np.array([value])
        )
        for dataset in datasets
        for algorithm in algorithms
        for number, value in enumerate(scores[algorithm, dataset].tolist())
    ]  # fmt: skip
    return score_table.build(runs, rule="last")


def _fair(scores: Scores) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Return (datasets, algorithms) of every pool, most algorithms first."""
    coverage: dict[str, set[str]] = defaultdict(set)
    for algorithm, dataset in scores:
        coverage[dataset].add(algorithm)
    grouped: dict[tuple[str, tuple[str, ...]], list[str]] = defaultdict(list)
    for dataset, algorithms in coverage.items():
        tail = dataset.rpartition("-")[2]
        version = tail if tail[:1] == "v" and tail[1:].isdigit() else ""
        grouped[version, tuple(sorted(algorithms))].append(dataset)
    found = [(tuple(sorted(names)), algorithms) for (_, algorithms), names in grouped.items()]
    return sorted(found, key=lambda pool: (-len(pool[1]), -len(pool[0]), pool))
