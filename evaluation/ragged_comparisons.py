"""Comparisons, ranks, profiles and curves of several algorithms, whatever runs each task has.

The statistics of Agarwal et al. 2021 (arXiv:2108.13264), sections 4.2 and 4.3, for ragged scores:
each is taken per task and averaged, so that every task weighs the same.  With equally many runs
they equal rliable's.  Intervals are percentiles of a bootstrap that draws runs within every
algorithm and task; ``over_tasks`` draws tasks too, the same for all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import bootstrap, influence, intervals, ranks
from datumrl.evaluation.bootstrap import Estimate
from datumrl.evaluation.influence import Metric
from datumrl.evaluation.ragged import RaggedScores

Statistic = Callable[[Sequence[RaggedScores]], np.ndarray]
_CHUNK_BYTES = 1 << 23  # working memory of one array; no result depends on it


@dataclass(frozen=True)
class Plan:
    """How intervals are made; one seed, one result."""

    seed: int = 0
    resamples: int = bootstrap.RESAMPLES
    confidence: float = 0.95
    over_tasks: bool = False


def probability_of_improvement(scores: RaggedScores, others: RaggedScores) -> np.ndarray:
    """Return P(X > Y) + P(X = Y) / 2, averaged over tasks: ``(...)``.

    Per task this is the Mann-Whitney statistic over the number of pairs of runs.
    """
    total: float | np.ndarray = 0.0
    for x, y in zip(scores.tasks, others.tasks, strict=True):
        wins = np.zeros(np.broadcast_shapes(x.shape[:-1], y.shape[:-1]))
        for run in range(y.shape[-1]):
            other = y[..., run, None]
            wins += np.count_nonzero(x > other, axis=-1) - np.count_nonzero(x < other, axis=-1)
        total = total + 0.5 + 0.5 * wins / (x.shape[-1] * y.shape[-1])
    return np.asarray(total / len(scores.runs))


def rank_distribution(samples: Sequence[RaggedScores]) -> np.ndarray:
    """Return the chance of each rank (1 is best), averaged over tasks: ``(..., names, ranks)``."""
    tasks = zip(*(sample.tasks for sample in samples), strict=True)
    return np.mean([ranks.chances(task) for task in tasks], axis=0)


def run_profile(scores: RaggedScores, thresholds: np.ndarray) -> np.ndarray:
    """Return the share of runs above each threshold, tasks alike: ``(..., thresholds)``."""
    shares = [scores.task_means(scores.flat > level).mean(axis=-1) for level in thresholds]
    return np.stack(shares, axis=-1)


def task_profile(scores: RaggedScores, thresholds: np.ndarray) -> np.ndarray:
    """Return the share of tasks whose mean is above each threshold: ``(..., thresholds)``."""
    means = scores.task_means(scores.flat)
    return np.stack([(means > level).mean(axis=-1) for level in thresholds], axis=-1)


def estimate(samples: Sequence[RaggedScores], statistic: Statistic, plan: Plan) -> Estimate:
    """Return a statistic of several algorithms on the same tasks, with percentile intervals.

    Every sample has a stream of its own, so its draws do not depend on the others' runs.
    """
    bootstrap.check_confidence(plan.confidence)
    if plan.resamples < 1:
        raise DatumrlError(f"{plan.resamples} resamples are too few; use {bootstrap.RESAMPLES}")
    drawn = []
    streams = np.random.default_rng([plan.seed, 1]).spawn(len(samples) + 1)
    widest = sum(sample.flat.size for sample in samples)
    length = max(1, _CHUNK_BYTES // (8 * widest))
    for start in range(0, plan.resamples, length):
        count = min(length, plan.resamples - start)
        drawn.append(statistic(_drawn(samples, streams, count, plan.over_tasks)))
    tail = 50.0 * (1.0 - plan.confidence)
    low, high = np.percentile(np.concatenate(drawn), (tail, 100.0 - tail), axis=0)
    value = statistic([replace(sample, flat=sample.flat[None]) for sample in samples])[0]
    return Estimate(value, low, high)


def _drawn(
    samples: Sequence[RaggedScores],
    streams: Sequence[np.random.Generator],
    count: int,
    over_tasks: bool,
) -> list[RaggedScores]:
    if not over_tasks:
        pairs = zip(samples, streams[1:], strict=True)
        return [sample.resampled(stream, count) for sample, stream in pairs]
    tasks = len(samples[0].runs)
    picked = streams[0].integers(tasks, size=(count, tasks))
    return [
        replace(sample, flat=_of_tasks(sample, picked, stream))
        for sample, stream in zip(samples, streams[1:], strict=True)
    ]


def _of_tasks(sample: RaggedScores, picked: np.ndarray, stream: np.random.Generator) -> np.ndarray:
    """Return runs drawn of the picked tasks: ``(resamples, scores)``."""
    return sample.flat[_places_of_tasks(sample.runs, picked, stream)]


def _places_of_tasks(
    runs: Sequence[int], picked: np.ndarray, stream: np.random.Generator
) -> np.ndarray:
    """Return where runs drawn of the picked tasks stand: ``(resamples, scores)``."""
    if len(set(runs)) > 1:
        raise DatumrlError(
            f"tasks have {min(runs)} to {max(runs)} runs, so tasks cannot be "
            "resampled; use --bootstrap runs, or the same number of seeds on every task"
        )
    each = runs[0]
    rows = (stream.random((*picked.shape, each)) * each).astype(np.intp)
    return (rows + picked[..., None] * each).reshape(len(picked), -1)


def student_difference(
    scores: RaggedScores, others: RaggedScores, metric: Metric, confidence: float
) -> tuple[float, float] | None:
    """Return the interval of a difference of a metric by Student's t; None where t is blind.

    The standard errors of both come from influence values; the degrees of freedom from the tasks'
    variances of both (Welch-Satterthwaite), as in ``intervals``.
    """
    if any(intervals.t_is_blind(each, metric) for each in (scores, others)):
        return None
    value = float(metric.value(scores) - metric.value(others))
    variances, freedoms = [], []
    for each in (scores, others):
        variances.append(influence.task_variances(each, metric))
        kept = 1.0 - 2.0 * metric.trims(each)
        freedoms.append(np.maximum(kept * np.array(each.runs) - 1.0, 1.0))
    parts, freedom = np.concatenate(variances), np.concatenate(freedoms)
    half = intervals.half_width(parts, freedom, confidence)
    return value - half, value + half


def curve(values: np.ndarray, runs: tuple[int, ...], metric: Metric, plan: Plan) -> Estimate:
    """Return a metric at every step of ``(steps, scores)``, with pointwise intervals: ``(steps,)``.

    Whole runs are drawn (``plan.over_tasks``: of tasks that are drawn too), so neighbouring steps
    move together.
    """
    streams = [np.random.default_rng([plan.seed, purpose]) for purpose in (2, 3)]
    length = max(1, _CHUNK_BYTES // (8 * values.size))
    drawn = []
    for start in range(0, plan.resamples, length):
        count = min(length, plan.resamples - start)
        places = _places(runs, streams, count, plan.over_tasks)
        drawn.append(metric.value(RaggedScores(values[:, places], runs)))
    tail = 50.0 * (1.0 - plan.confidence)
    low, high = np.percentile(np.concatenate(drawn, axis=1), (tail, 100.0 - tail), axis=1)
    return Estimate(metric.value(RaggedScores(values, runs)), low, high)


def _places(
    runs: tuple[int, ...], streams: Sequence[np.random.Generator], count: int, over_tasks: bool
) -> np.ndarray:
    """Return where the runs of ``count`` resamples stand: ``(resamples, scores)``."""
    if over_tasks:
        picked = streams[1].integers(len(runs), size=(count, len(runs)))
        return _places_of_tasks(runs, picked, streams[0])
    counts, starts = np.repeat(runs, runs), np.repeat(np.cumsum((0, *runs[:-1])), runs)
    rows = streams[0].random((count, counts.size)) * counts
    return rows.astype(np.intp) + starts
