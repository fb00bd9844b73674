"""How much each run moves a metric: the basis of standard errors and of BCa's acceleration.

The empirical influence value of run i of task t says at what rate the metric grows with that run's
share of its task (Efron and Tibshirani 1993, chapters 21 and 22; Davison and Hinkley 1997, section
2.7, for several samples).  Within a task the values add up to nought.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from datumrl.evaluation import metrics, ragged
from datumrl.evaluation.ragged import RaggedScores


@dataclass(frozen=True)
class Metric:
    """A metric of ragged scores and the influence of each run on it.

    ``value`` maps ``(..., scores)`` to ``(...)``, ``influence`` to ``(..., scores)``;
    ``of_matrix`` is its namesake in ``metrics``, of ``(..., runs, tasks)``.  ``trims`` is the share
    of each end that the metric drops: what is dropped is no degree of freedom.  ``of_means`` is for
    a metric of the tasks' means that their smooth theory fails, since it picks some of them: it
    maps ``(tasks,)`` to a number that grows with each.
    """

    name: str
    value: Callable[[RaggedScores], np.ndarray]
    influence: Callable[[RaggedScores], np.ndarray]
    of_matrix: Callable[[np.ndarray], np.ndarray]
    trims: Callable[[RaggedScores], float] = lambda scores: 0.0
    of_means: Callable[[np.ndarray], float] | None = None


def standard_error(scores: RaggedScores, metric: Metric) -> np.ndarray:
    """Return the metric's standard error over other runs of the same tasks: ``(...)``.

    ``se^2 = sum_t sum_i l_ti^2 / (n_t (n_t - 1))``; a task of one run contributes nothing.  For the
    IQM this is the standard error of a trimmed mean by its winsorised scores.
    """
    return np.sqrt(task_variances(scores, metric).sum(axis=-1))


def task_variances(scores: RaggedScores, metric: Metric) -> np.ndarray:
    """Return each task's part of the squared standard error: ``(..., tasks)``."""
    runs = np.array(scores.runs)
    squares = scores.task_sums(np.square(metric.influence(scores)))
    return squares / (runs * np.maximum(runs - 1, 1))


def acceleration(scores: RaggedScores, metric: Metric) -> np.ndarray:
    """Return BCa's acceleration of a stratified sample: ``(...)``.

    ``a = sum_t sum_i l_ti^3 / n_t^3 / (6 (sum_t sum_i l_ti^2 / n_t^2)^(3/2))`` (Davison and Hinkley
    1997, chapter 5); nought where the scores do not vary.
    """
    runs = np.array(scores.runs)
    values = metric.influence(scores)
    cubes = (scores.task_sums(values**3) / runs**3).sum(axis=-1)
    squares = (scores.task_sums(values**2) / runs**2).sum(axis=-1)
    varies = squares > 0.0
    return np.where(varies, cubes / (6.0 * np.where(varies, squares, 1.0) ** 1.5), 0.0)


def _centred(scores: RaggedScores, values: np.ndarray) -> np.ndarray:
    return values - scores.spread_out(scores.task_means(values))


def _of_mean(scores: RaggedScores) -> np.ndarray:
    return _centred(scores, scores.flat) / len(scores.runs)


def _of_iqm(scores: RaggedScores) -> np.ndarray:
    _, low, high = ragged.trimmed_mean(scores)
    winsorised = np.clip(scores.flat, low[..., None], high[..., None])
    kept = 1.0 - 2.0 * ragged.trimmed_share(scores)
    return _centred(scores, winsorised) / (kept * len(scores.runs))


def _of_median(scores: RaggedScores) -> np.ndarray:
    """Return the influence on the one or two tasks in the middle; the others have none.

    True for as many runs as keep those tasks in the middle; with few others come there, which no
    influence tells.  Student's t does not use it.
    """
    order = np.argsort(scores.task_means(scores.flat), axis=-1)
    tasks = len(scores.runs)
    middle = sorted({(tasks - 1) // 2, tasks // 2})
    shares = np.zeros(order.shape)
    np.put_along_axis(shares, order[..., middle], 1.0 / len(middle), axis=-1)
    return _centred(scores, scores.flat) * scores.spread_out(shares)


def _median_of_means(means: np.ndarray) -> float:
    return float(np.median(means))


MEAN = Metric("mean", ragged.mean, _of_mean, metrics.mean)
MEDIAN = Metric("median", ragged.median, _of_median, metrics.median, of_means=_median_of_means)
IQM = Metric("IQM", ragged.iqm, _of_iqm, metrics.iqm, trims=ragged.trimmed_share)


def optimality_gap(gamma: float) -> Metric:
    """Return the metric of the mean shortfall below ``gamma``."""
    return Metric(
        "optimality gap",
        lambda scores: ragged.optimality_gap(scores, gamma),
        lambda scores: -_centred(scores, np.minimum(scores.flat, gamma)) / len(scores.runs),
        lambda array: metrics.optimality_gap(array, gamma),
    )
