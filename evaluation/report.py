"""The evaluator's report: everything `datumrl compare` tells, as data; see ``docs/statistics.md``.

Pure: the same runs and options give the same report to the last digit.  How it is written is in
``report_text``, ``report_latex``, ``report_figures``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import (
    checkpoint_rules,
    compatibility,
    group_test,
    influence,
    intervals,
    ragged_comparisons,
    report_notes,
    score_table,
    scored_runs,
)
from datumrl.evaluation.bootstrap import FEW_RUNS, Estimate
from datumrl.evaluation.group_test import GroupTest
from datumrl.evaluation.ragged import RaggedScores
from datumrl.evaluation.records import RunRecord, ScoreRow
from datumrl.evaluation.report_parts import Band, Curve, Measure, Options, Pair, Report, Summary
from datumrl.evaluation.score_table import ScoreTable
from datumrl.evaluation.scored_runs import ScoredRun

_THRESHOLDS = 101

Tester = Callable[[ScoreTable, Sequence[str]], GroupTest]


def compare(
    records: Iterable[RunRecord | ScoreRow | ScoredRun] | Path | str,
    algorithms: Sequence[str] = (),
    datasets: Sequence[str] = (),
    tester: Tester | None = None,
    notes: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> Report:
    """Return the comparison of run records, score rows, or what lies in a folder or file.

    Print it, or end a notebook's cell with it, to see its tables; ``frame()`` gives the aggregates
    as a pandas table, ``summaries`` and ``pairs`` single numbers, ``write(folder)`` all its files.

    ``options`` are the fields of ``Options``: interval, bootstrap, checkpoint, baseline, failed_as,
    confidence, alpha, gamma, seed, resamples.  ``tester`` replaces the test that separates groups;
    ``progress`` is called with parts done and parts in all.
    Raises DatumrlError where runs may not share a table, saying why.
    """
    chosen = Options.of(options)
    runs = gathered(records)
    table = score_table.build(runs, algorithms, datasets, chosen.checkpoint, chosen.failed_as)
    return of_table(table, chosen, tester, notes, progress)


def gathered(
    records: Iterable[RunRecord | ScoreRow | ScoredRun] | Path | str,
) -> list[ScoredRun]:
    """Return runs of whatever kind, or read from a path, as scored runs."""
    if isinstance(records, str | Path):
        return scored_runs.read([Path(records)])
    given = list(records)
    found = [each for each in given if isinstance(each, ScoredRun)]
    found += scored_runs.from_records(each for each in given if isinstance(each, RunRecord))
    found += scored_runs.from_rows(each for each in given if isinstance(each, ScoreRow))
    strange = [each for each in given if not isinstance(each, RunRecord | ScoreRow | ScoredRun)]
    if strange:
        raise DatumrlError(
            f"{type(strange[0]).__name__} is no record of a run; give RunRecords, ScoreRows or a "
            "folder of records"
        )
    return found


def of_table(
    table: ScoreTable,
    options: Options,
    tester: Tester | None = None,
    notes: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Return the report of a table."""
    if options.baseline is not None:
        compatibility.pick([options.baseline], table.algorithms, "algorithm")
    done = itertools.count(1)
    parts = len(table.algorithms) + 4

    def step() -> None:
        if progress is not None:
            progress(next(done), parts)

    summaries = []
    for name in table.algorithms:
        summaries.append(_summary(table, name, options))
        step()
    summaries.sort(key=lambda s: (bool(s.undefined), -s.metrics["iqm"].value if s.metrics else 0))
    ordered = [each.algorithm for each in summaries if not each.undefined]
    samples = {name: table.scores(name) for name in ordered}
    test = _tested(table, ordered, options, tester)
    step()
    pairs = _pairs(samples, options, test)
    step()
    thresholds, profiles = _profiles(samples, options)
    ranks = _ranks(list(samples.values()), options)
    step()
    curves = {name: found for name in ordered if (found := _curve(table, name, options))}
    step()
    return Report(
        table, options, tuple(summaries), pairs, ranks, thresholds, profiles, curves, test,
        (*notes, *report_notes.notes(table, options)),
    )  # fmt: skip


def _tested(
    table: ScoreTable, ordered: list[str], options: Options, tester: Tester | None
) -> GroupTest:
    if options.baseline is not None and options.baseline not in ordered:
        return GroupTest((), {}, "", f"the baseline {options.baseline} has no defined scores")
    if tester is not None:
        return tester(table, ordered)
    return group_test.groups(table, ordered, options.alpha, options.seed, options.baseline)


def _summary(table: ScoreTable, name: str, options: Options) -> Summary:
    counts = [len(table.cells[name, dataset]) for dataset in table.common]
    runs = (min(counts), max(counts))
    undefined = table.undefined(name)
    if undefined:
        return Summary(name, runs, len(counts), undefined=undefined)
    scores = table.scores(name)
    notes = [scores.note] if scores.note else []
    if runs[0] < FEW_RUNS:
        notes.append(f"† fewer than {FEW_RUNS} runs: do not trust the interval")
    kinds = {"iqm": influence.IQM, "mean": influence.MEAN, "median": influence.MEDIAN}
    if table.unit == "score":
        kinds["optimality_gap"] = influence.optimality_gap(options.gamma)
    metrics = {key: _measured(scores, metric, options) for key, metric in kinds.items()}
    if runs[0] > 1:
        notes += _without_spread(scores, kinds, metrics, options)
    checkpoints = _checkpoints(table, name)
    return Summary(name, runs, len(counts), metrics, "", tuple(notes), checkpoints)


def _measured(scores: RaggedScores, metric: influence.Metric, options: Options) -> Measure:
    value = float(metric.value(scores))
    if min(scores.runs) < 2:
        return Measure(value)
    if options.over_tasks:
        found = ragged_comparisons.estimate(
            [scores], lambda drawn: metric.value(drawn[0]), options.plan
        )
        return _measure(value, float(found.low), float(found.high))
    generator = np.random.default_rng(options.seed)  # anew: no digit depends on other algorithms
    interval = intervals.interval(
        scores, metric, generator, options.method, options.resamples, options.confidence
    )
    return _measure(value, interval.low, interval.high)


def _measure(value: float, low: float, high: float) -> Measure:
    """Return a number with its interval, without one of no width: no spread is no certainty."""
    return Measure(value, low, high) if intervals.has_width(low, high) else Measure(value)


def _without_spread(
    scores: RaggedScores,
    kinds: Mapping[str, influence.Metric],
    metrics: Mapping[str, Measure],
    options: Options,
) -> Iterator[str]:
    """Yield what to say of metrics whose scores, or those that count for them, are all equal."""
    bare = [metric.name for key, metric in kinds.items() if metrics[key].low is None]
    if bare:
        where = "" if len(bare) == len(kinds) else f" of {', '.join(bare)}"
        yield (
            f"‡ no interval{where}: the scores that count are all equal, so nothing tells how "
            "others would scatter"
        )
    replaced = [
        metric.name
        for key, metric in kinds.items()
        if options.method == "t" and metric.name not in bare
        if intervals.t_is_blind(scores, metric)
    ]
    if replaced:
        also = ", also in differences" if influence.IQM.name in replaced else ""
        yield (
            f"‡ {', '.join(replaced)}: the scores that count are all equal, which Student's t "
            f"takes for certainty; percentile interval instead{also}"
        )


def _checkpoints(table: ScoreTable, name: str) -> dict[str, float]:
    """Return the IQM by every rule that the evaluations allow, and the optimism of ``best``."""
    lengths = [len(run.steps) for run in table.runs(name) if run.status == "complete"]
    found: dict[str, float] = {}
    if not lengths or min(lengths) < 2:
        return found
    for rule in score_table.CHECKPOINTS:
        if rule != "last-10-mean" or min(lengths) >= checkpoint_rules.WINDOW:
            found[rule] = float(influence.IQM.value(table.scores(name, rule)))
    best = table.best(name)
    if best is not None:
        optimism = np.broadcast_to(best[0].optimism, (len(lengths),))
        found["optimism of best"] = float(optimism.mean())
    return found


def _pairs(samples: dict[str, RaggedScores], options: Options, test: GroupTest) -> tuple[Pair, ...]:
    names = list(samples)
    wanted = list(itertools.combinations(names, 2))
    if options.baseline is not None:
        wanted = [(n, options.baseline) for n in names if n != options.baseline]
        if options.baseline not in samples:
            wanted = []
    if not wanted:
        return ()
    place = {name: index for index, name in enumerate(names)}

    def statistic(drawn: Sequence[RaggedScores]) -> np.ndarray:
        iqms = [influence.IQM.value(each) for each in drawn]
        columns = []
        for first, second in wanted:
            x, y = place[first], place[second]
            columns.append(ragged_comparisons.probability_of_improvement(drawn[x], drawn[y]))
            columns.append(iqms[x] - iqms[y])
        return np.stack(columns, axis=-1)

    found = ragged_comparisons.estimate(list(samples.values()), statistic, options.plan)
    pairs = []
    for number, (first, second) in enumerate(wanted):
        x, y = samples[first], samples[second]
        told = min(*x.runs, *y.runs) > 1
        improvement, difference = (_of(found, 2 * number + k, told) for k in (0, 1))
        if told and options.method == "t":
            ends = ragged_comparisons.student_difference(x, y, influence.IQM, options.confidence)
            difference = Measure(difference.value, *ends) if ends else difference
        if difference.low is not None and difference.high is not None:
            difference = _measure(difference.value, difference.low, difference.high)
        tested = (test.decision(first, second), test.p_value(first, second))
        pairs.append(Pair(first, second, improvement, difference, *tested))
    return tuple(pairs)


def _of(found: Estimate, column: int, told: bool) -> Measure:
    value, low, high = (float(end[column]) for end in (found.value, found.low, found.high))
    return Measure(value, low, high) if told else Measure(value)


def _band(found: Estimate, samples: Sequence[RaggedScores]) -> Band:
    """Return an estimate without its ends where some task's only run could but be repeated."""
    if min(min(scores.runs) for scores in samples) < 2:
        return Band(found.value)
    return Band(found.value, found.low, found.high)


def _ranks(samples: list[RaggedScores], options: Options) -> Band | None:
    if len(samples) < 2:
        return None
    of_ranks = ragged_comparisons.rank_distribution
    return _band(ragged_comparisons.estimate(samples, of_ranks, options.curve_plan), samples)


def _profiles(
    samples: dict[str, RaggedScores], options: Options
) -> tuple[np.ndarray, dict[str, tuple[Band, Band]]]:
    if not samples:
        return np.empty(0), {}
    everything = np.concatenate([scores.flat for scores in samples.values()])
    thresholds = np.linspace(min(0.0, everything.min()), everything.max(), _THRESHOLDS)

    def profile(scores: RaggedScores, of: Callable[..., np.ndarray]) -> Band:
        found = ragged_comparisons.estimate(
            [scores], lambda drawn: of(drawn[0], thresholds), options.curve_plan
        )
        return _band(found, [scores])

    kinds = (ragged_comparisons.run_profile, ragged_comparisons.task_profile)
    profiles = {
        name: (profile(scores, kinds[0]), profile(scores, kinds[1]))
        for name, scores in samples.items()
    }
    return thresholds, profiles


def _curve(table: ScoreTable, name: str, options: Options) -> Curve | None:
    found = table.curves(name)
    if found is None:
        return None
    steps, values = found
    runs = tuple(len(table.cells[name, dataset]) for dataset in table.common)
    estimate = ragged_comparisons.curve(values, runs, influence.IQM, options.curve_plan)
    return Curve(steps, _band(estimate, [RaggedScores(values, runs)]))
