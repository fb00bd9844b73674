"""Scores as a table of algorithms x datasets: what is there, missing, failed; what is compared.

Aggregates and comparisons are over the datasets that every algorithm was run on, so that nobody
gains from a dataset left out.  A missing cell stays missing.  Failed and unfinished runs leave an
algorithm's aggregates undefined, with the reason, unless ``failed_as`` says what a failure scores.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import checkpoint_rules, compatibility, metrics, ragged, run_ends, variants
from datumrl.evaluation.checkpoint_rules import WINDOW, Best
from datumrl.evaluation.ragged import RaggedScores
from datumrl.evaluation.scored_runs import ScoredRun, Unit

CHECKPOINTS = ("last", "last-10-mean", "best")
CURVE_POINTS = 60  # of a curve; longer ones are thinned, ends kept


@dataclass(frozen=True)
class ScoreTable:
    """Runs by algorithm and dataset, ordered by seed, and the rule by which each gives a score."""

    cells: dict[tuple[str, str], tuple[ScoredRun, ...]]
    algorithms: tuple[str, ...]
    datasets: tuple[str, ...]
    unit: Unit
    rule: str
    failed_as: float | None

    @property
    def common(self) -> tuple[str, ...]:
        """Return the datasets that every algorithm was run on."""
        return tuple(
            name for name in self.datasets if all((a, name) in self.cells for a in self.algorithms)
        )

    @property
    def missing(self) -> list[tuple[str, str]]:
        """Return the pairs of algorithm and dataset without any run."""
        return [(a, d) for a in self.algorithms for d in self.datasets if (a, d) not in self.cells]

    def undefined(self, algorithm: str) -> str:
        """Return why an algorithm's aggregates are undefined; "" if they are not."""
        runs = [run for name in self.common for run in self.cells[algorithm, name]]
        reasons = []
        for status, remedy in (("failed", "--failed-as"), ("unfinished", "")):
            found = [run for run in runs if run.status == status]
            if found and (status == "unfinished" or self.failed_as is None):
                first = f"seed {found[0].seed} on {found[0].dataset}: {found[0].reason}"
                how = f"; give a failure's score with {remedy}" if remedy else "; finish the run"
                reasons.append(f"{len(found)} of {len(runs)} runs {status} ({first}){how}")
        return "; ".join(reasons)

    def values(self, algorithm: str, dataset: str, rule: str | None = None) -> np.ndarray:
        """Return the score of each run of a cell, ``(runs,)``; NaN for one without."""
        chosen = [
            score_of(run, self.unit, rule or self.rule) if run.status == "complete" else np.nan
            for run in self.cells[algorithm, dataset]
        ]
        return np.array(chosen, dtype=np.float64)

    def scores(self, algorithm: str, rule: str | None = None) -> RaggedScores:
        """Return an algorithm's scores on the common datasets."""
        tasks = [self.values(algorithm, dataset, rule) for dataset in self.common]
        return ragged.gather(tasks, self.failed_as)

    def runs(self, algorithm: str) -> list[ScoredRun]:
        """Return every run of an algorithm on the common datasets, dataset after dataset."""
        return [run for dataset in self.common for run in self.cells[algorithm, dataset]]

    def suite_scores(self, algorithm: str, rule: str | None = None) -> np.ndarray:
        """Return one score per seed, ``(runs,)``: the mean over the common datasets.

        The seeds of different datasets are independent runs; their n-th ones go together, as many
        as the shortest dataset has.
        """
        tasks = self.scores(algorithm, rule).tasks
        shortest = min(len(task) for task in tasks)
        return np.mean([task[:shortest] for task in tasks], axis=0)

    def best(self, algorithm: str) -> tuple[Best, str] | None:
        """Return ``best`` of every run and its honest estimate, and how that was made.

        None where a run has a single evaluation or none.
        """
        runs = [run for run in self.runs(algorithm) if run.status == "complete"]
        if not runs or min(len(run.steps) for run in runs) < 2:
            return None
        split = all(run.episodes is not None and run.episodes.shape[1] > 1 for run in runs)
        found = []
        for place, run in enumerate(runs):
            if split:
                generator = np.random.default_rng([0, place])
                values = run.episode_values(self.unit)
                assert values is not None  # every run has its episodes
                found.append(checkpoint_rules.best_of_episodes(values, generator))
            else:
                found.append(checkpoint_rules.best_of_evaluations(run.values(self.unit)))
        how = "split episodes" if split else "neighbouring evaluations"
        value, honest = (
            np.array([getattr(b, name) for b in found]) for name in ("value", "honest")
        )
        return Best(value, honest), how

    def curves(self, algorithm: str) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the steps that all runs share, and scores there ``(steps, runs)``; None if < 2.

        A failed run, where ``failed_as`` gives it a score, has that score at every step.
        """
        runs = self.runs(algorithm)
        alive = [run for run in runs if run.status == "complete"]
        if not alive:
            return None
        shared = set.intersection(*(set(run.steps.tolist()) for run in alive))
        steps = np.array(sorted(shared))
        if len(steps) < 2:
            return None
        if len(steps) > CURVE_POINTS:
            steps = steps[np.linspace(0, len(steps) - 1, CURVE_POINTS).round().astype(int)]
        columns = [
            run.values(self.unit)[np.isin(run.steps, steps)]
            if run.status == "complete"
            else np.full(len(steps), self.failed_as, dtype=np.float64)
            for run in runs
        ]
        return steps, np.stack(columns, axis=1)


def build(
    runs: Sequence[ScoredRun],
    algorithms: Sequence[str] = (),
    datasets: Sequence[str] = (),
    rule: str | None = None,
    failed_as: float | None = None,
) -> ScoreTable:
    """Return the table of runs, after refusing what may not share one.

    ``algorithms`` and ``datasets`` choose among what is there; ``rule`` replaces the checkpoint
    rule that the runs' protocol states.
    """
    if rule is not None and rule not in CHECKPOINTS:
        raise DatumrlError(f"unknown checkpoint rule {rule!r}; use {', '.join(CHECKPOINTS)}")
    if failed_as is not None and not np.isfinite(failed_as):
        raise DatumrlError(f"--failed-as {failed_as}: give the finite score of a failed run")
    chosen = _chosen(variants.told_apart(_chosen(runs, (), datasets)), algorithms, ())
    compatibility.check_seeds(chosen)
    compatibility.check(chosen)
    _check_sizes(chosen)
    cells: dict[tuple[str, str], list[ScoredRun]] = defaultdict(list)
    for run in chosen:
        cells[run.algorithm, run.dataset].append(run)
    run_ends.check(cells, rule or chosen[0].rule)
    names = list(dict.fromkeys(run.algorithm for run in chosen))
    table = ScoreTable(
        {
            key: tuple(sorted(found, key=lambda run: -1 if run.seed is None else run.seed))
            for key, found in cells.items()
        },
        tuple(algorithms) if set(algorithms) == set(names) else tuple(sorted(names)),
        tuple(sorted({run.dataset for run in chosen})),
        next((run.unit for run in chosen if run.unit is not None), "score"),
        rule or chosen[0].rule,
        failed_as,
    )
    if not table.common:
        raise DatumrlError(
            "no dataset was run by every algorithm, so nothing can be compared; choose algorithms "
            f"with --algorithms (missing: {_listed(table.missing)})"
        )
    return table


def _check_sizes(runs: Sequence[ScoredRun]) -> None:
    """Refuse evaluations that overflow the statistics, whichever of them and the datasets count."""
    for run in runs:
        if run.unit is not None:
            values = run.values(run.unit)
            if (huge := values[np.abs(values) > metrics.LARGEST]).size:
                raise DatumrlError(
                    f"{run.title}: a {run.unit} of {huge[0]:g}, beyond {metrics.LARGEST:g}; "
                    "correct it, or give the run as failed"
                )


def score_of(run: ScoredRun, unit: Unit, rule: str) -> float:
    """Return the score of a complete run by a checkpoint rule."""
    values = run.values(unit)
    if rule == "best":
        return float(checkpoint_rules.best(values))
    if rule == "last-10-mean":
        if len(values) < WINDOW:
            raise DatumrlError(
                f"{run.title}: {len(values)} evaluations are too few for last-10-mean; use "
                "--checkpoint last"
            )
        return float(checkpoint_rules.last_mean(values))
    return float(checkpoint_rules.last(values))


def _chosen(
    runs: Sequence[ScoredRun], algorithms: Sequence[str], datasets: Sequence[str]
) -> list[ScoredRun]:
    """Return the runs of the named algorithms and datasets.

    A name that no algorithm has stands for all of its variants: ``iql`` for ``iql (tau=0.9)``.
    """
    found = list(runs)
    if datasets:
        known = list(dict.fromkeys(run.dataset for run in runs))
        wanted = compatibility.pick(datasets, known, "dataset")
        found = [run for run in found if run.dataset in wanted]
    if algorithms:
        names = [run.algorithm for run in found]
        known = list(dict.fromkeys([*names, *(name.partition(" (")[0] for name in names)]))
        wanted = compatibility.pick(algorithms, known, "algorithm")
        stems = set(wanted).difference(names)
        found = [
            run
            for run in found
            if run.algorithm in wanted or run.algorithm.partition(" (")[0] in stems
        ]
    return found


def _listed(pairs: Sequence[tuple[str, str]]) -> str:
    shown = ", ".join(f"{algorithm} on {dataset}" for algorithm, dataset in pairs[:4])
    return f"{shown} and {len(pairs) - 4} more" if len(pairs) > 4 else shown
