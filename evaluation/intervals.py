"""Confidence intervals of a metric by several methods, for ragged scores and matrices alike.

- ``percentile``: the quantiles of the resampled metric.
- ``basic``: those quantiles mirrored at the estimate.
- ``bca``: percentiles corrected for bias and for a spread that changes with the metric's value
  (Efron 1987, "Better bootstrap confidence intervals").
- ``studentised``: quantiles of (resampled metric - estimate) / its own standard error, times the
  standard error (bootstrap-t; Efron 1981).  Long where it should be; unstable below five runs.
- ``t``: no resampling; the standard error times a quantile of Student's t, whose degrees of freedom
  come from the tasks' variances (Welch-Satterthwaite), as Tukey and McLaughlin (1963) and Yuen
  (1974) do for trimmed means.  Two exceptions: the median over tasks takes the medians of the
  tasks' own limits (see ``_of_limits``), and where the scores that a metric rests on are all equal
  though not all scores are, t is blind and the interval is the percentile one (``t_is_blind``).

How often each holds the truth at a nominal 0.95 is measured by ``benchmarks/coverage_study.py``,
for the IQM of normal, skewed, bimodal and published scores (2,000 simulations a cell, standard
error 0.005; mean and lowest of the four distributions x 1, 9 and 26 tasks):

    runs   percentile        basic          bca  studentised            t
       3  0.812 0.732  0.807 0.707  0.804 0.699  0.900 0.685  0.959 0.909
       5  0.898 0.857  0.854 0.719  0.894 0.860  0.915 0.712  0.942 0.851
      10  0.929 0.903  0.900 0.816  0.925 0.907  0.944 0.912  0.942 0.899
      20  0.940 0.923  0.918 0.859  0.938 0.926  0.947 0.930  0.942 0.907

So ``t`` is the default.  With 9 tasks or more ``t`` and ``studentised`` hold from three runs on
(0.94 to 0.99); percentile, basic and BCa have 0.77 to 0.88 at three, and come near at ten.
On a single task none holds for every distribution: ``t`` has 0.91 to 0.96 with three runs, 0.85 to
0.92 with five and 0.90 to 0.94 with ten; percentile 0.73 to 0.76, 0.89 to 0.90 and 0.93 to 0.94.

Percentiles of an IQM or of another metric of equally many runs a task come from ``bootstrap``.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import bootstrap, influence, ragged
from datumrl.evaluation.bootstrap import FEW_RUNS, RESAMPLES, Interval
from datumrl.evaluation.influence import Metric
from datumrl.evaluation.ragged import RaggedScores

METHODS = ("percentile", "basic", "bca", "studentised", "t")
_CHUNK_BYTES = 1 << 22  # working memory of one array; no result depends on it
_STUDENTISED_RUNS = 3  # two runs give a resample either no spread or always the same
_NORMAL = NormalDist()


def interval(
    scores: RaggedScores | npt.ArrayLike,
    metric: Metric,
    generator: np.random.Generator,
    method: str = "t",
    resamples: int = RESAMPLES,
    confidence: float = 0.95,
) -> Interval:
    """Return the interval of a metric for ragged scores or a matrix ``(runs, tasks)``.

    Runs are resampled within tasks.  Raises DatumrlError for an unknown method, for a task of one
    run, and for ``studentised`` with two.
    """
    return intervals(scores, metric, generator, (method,), resamples, confidence)[method]


def intervals(
    scores: RaggedScores | npt.ArrayLike,
    metric: Metric,
    generator: np.random.Generator,
    methods: Sequence[str] = METHODS,
    resamples: int = RESAMPLES,
    confidence: float = 0.95,
) -> dict[str, Interval]:
    """Return the interval by each method, all from the same resamples."""
    held = scores if isinstance(scores, RaggedScores) else ragged.gather_matrix(scores)
    _check(held, methods, resamples, confidence)
    value = float(metric.value(held))
    needs_errors = "studentised" in methods
    blind = "t" in methods and t_is_blind(held, metric)
    drawn, errors = np.empty(0), np.empty(0)
    if blind or set(methods) - {"t"}:
        drawn, errors = _drawn(held, metric, generator, resamples, needs_errors)
    few = min(held.runs) < FEW_RUNS
    found = {}
    for method in methods:
        if method == "t" and not blind:
            low, high = _student(held, metric, value, confidence)
        elif method == "studentised":
            error = float(influence.standard_error(held, metric))
            low, high = _studentised(drawn, errors, value, error, confidence)
        elif method == "bca":
            low, high = _bca(drawn, value, float(influence.acceleration(held, metric)), confidence)
        else:
            low, high = _quantiles(drawn, confidence)
            if method == "basic":
                low, high = 2.0 * value - high, 2.0 * value - low
        found[method] = Interval(low, high, few_runs=few)
    return found


def _check(scores: RaggedScores, methods: Sequence[str], resamples: int, confidence: float) -> None:
    bootstrap.check_confidence(confidence)
    for method in methods:
        if method not in METHODS:
            raise DatumrlError(f"unknown interval method {method!r}; use {', '.join(METHODS)}")
    if resamples < 1:
        raise DatumrlError(f"{resamples} resamples are too few; use {RESAMPLES}")
    if scores.flat.ndim != 1:
        raise DatumrlError(f"scores of shape {scores.flat.shape} are several sets; give one")
    fewest = min(scores.runs)
    if fewest < 2:
        raise DatumrlError(
            f"task {scores.runs.index(fewest)} has one run, which shows no uncertainty; give at "
            f"least two runs, better {FEW_RUNS} or more"
        )
    if "studentised" in methods and fewest < _STUDENTISED_RUNS:
        raise DatumrlError(
            f"task {scores.runs.index(fewest)} has two runs; studentised intervals need "
            f"{_STUDENTISED_RUNS}; use t or percentile"
        )


def _drawn(
    scores: RaggedScores,
    metric: Metric,
    generator: np.random.Generator,
    resamples: int,
    with_errors: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the metric of every resample and, if wanted, its standard error there."""
    if scores.equal_runs and not with_errors:
        drawn = bootstrap.distribution(scores.matrix, metric.of_matrix, generator, resamples)
        return drawn, np.empty(0)
    values, errors = np.empty(resamples), np.empty(resamples if with_errors else 0)
    length = max(1, _CHUNK_BYTES // (8 * scores.flat.size))
    for start in range(0, resamples, length):
        part = slice(start, min(start + length, resamples))
        sample = scores.resampled(generator, part.stop - part.start)
        values[part] = metric.value(sample)
        if with_errors:
            errors[part] = influence.standard_error(sample, metric)
    return values, errors


def _quantiles(values: np.ndarray, confidence: float) -> tuple[float, float]:
    tail = 50.0 * (1.0 - confidence)
    low, high = np.percentile(values, (tail, 100.0 - tail))
    return float(low), float(high)


def _bca(
    drawn: np.ndarray, value: float, acceleration: float, confidence: float
) -> tuple[float, float]:
    rounding = 1e-11 * max(abs(value), float(np.abs(drawn).max()))  # by the order of summing
    ties = np.abs(drawn - value) <= rounding
    below = (np.count_nonzero((drawn < value) & ~ties) + 0.5 * np.count_nonzero(ties)) / drawn.size
    margin = 0.5 / drawn.size  # all resamples on one side: as far as they can tell
    bias = _NORMAL.inv_cdf(min(max(below, margin), 1.0 - margin))
    ends = []
    for share in (0.5 - confidence / 2.0, 0.5 + confidence / 2.0):
        shifted = bias + _NORMAL.inv_cdf(share)
        # Beyond the pole of the correction the end lies at the last resample.
        slope = max(1.0 - acceleration * shifted, 1e-9)
        ends.append(100.0 * _NORMAL.cdf(bias + shifted / slope))
    low, high = np.percentile(drawn, ends)
    return float(low), float(high)


def _studentised(
    drawn: np.ndarray, errors: np.ndarray, value: float, error: float, confidence: float
) -> tuple[float, float]:
    """Return the bootstrap-t interval; resamples without any spread are left out."""
    told = errors > 1e-9 * error
    if error == 0.0 or not told.any():
        return value, value
    low, high = _quantiles((drawn[told] - value) / errors[told], confidence)
    return value - high * error, value - low * error


def has_width(low: float, high: float) -> bool:
    """Return whether ends are two numbers: an interval that is a point is no certainty, but blind.

    So it is where all scores that count are equal: nothing tells how others would scatter.
    """
    return not np.isclose(low, high, rtol=1e-9, atol=1e-9)


def t_is_blind(scores: RaggedScores, metric: Metric) -> bool:
    """Return whether Student's t would give a point though runs of a task differ.

    So it is where the scores that count are all equal: eight zeros, 60 and 80 have an IQM of 0 with
    a standard error of 0.
    """
    spread = max(float(np.ptp(task)) for task in scores.tasks)
    if spread == 0.0 or metric.of_means is not None:
        return False
    return float(influence.standard_error(scores, metric)) <= 1e-9 * spread


def _student(
    scores: RaggedScores, metric: Metric, value: float, confidence: float
) -> tuple[float, float]:
    if metric.of_means is not None:
        return _of_limits(scores, metric.of_means, confidence)
    parts = influence.task_variances(scores, metric)
    kept = 1.0 - 2.0 * metric.trims(scores)
    freedom = np.maximum(kept * np.array(scores.runs) - 1.0, 1.0)
    half = half_width(parts, freedom, confidence)
    return value - half, value + half


def half_width(parts: np.ndarray, freedom: np.ndarray, confidence: float) -> float:
    """Return the quantile of Student's t times the standard error.

    ``parts`` are the tasks' shares of the squared standard error and ``freedom`` their degrees of
    freedom; those of the sum are Welch's and Satterthwaite's.
    """
    variance = float(parts.sum())
    if variance == 0.0:
        return 0.0
    shares = parts / variance  # squares of tiny variances would vanish
    degrees = 1.0 / float((shares**2 / freedom).sum())
    return student_quantile(0.5 + confidence / 2.0, degrees) * math.sqrt(variance)


def _of_limits(
    scores: RaggedScores, of_means: Callable[[np.ndarray], float], confidence: float
) -> tuple[float, float]:
    """Return the median of the tasks' lower limits by Student's t, and that of their upper ones.

    The medians of T limits lie on either side of the true median if the lower limits of the
    ``T // 2 + 1`` tasks with the lowest true means hold, and the upper limits of as many highest:
    then the m-th lowest limit is no higher than the m-th lowest mean, for every m up to the middle.
    Runs of different tasks are independent, so each limit may fail with chance
    ``1 - (1 - tail) ** (1 / (T // 2 + 1))``.  For normal scores the interval thus holds at least as
    often as it says, wherever the tasks' means lie; near-equal means make it wider than need be.
    For a single task it is Student's.
    """
    runs = np.array(scores.runs)
    means = scores.task_means(scores.flat)
    squares = scores.task_sums(np.square(scores.flat - scores.spread_out(means)))
    errors = np.sqrt(squares / (runs * (runs - 1)))
    share = (0.5 + confidence / 2.0) ** (1.0 / (len(runs) // 2 + 1))
    reach = errors * np.array([student_quantile(share, count - 1.0) for count in scores.runs])
    return of_means(means - reach), of_means(means + reach)


@functools.lru_cache(maxsize=1)
def _nodes() -> tuple[np.ndarray, np.ndarray]:
    nodes, weights = np.polynomial.legendre.leggauss(64)
    return (nodes + 1.0) / 2.0, weights / 2.0


def student_quantile(share: float, degrees: float) -> float:
    """Return the quantile of Student's t for a share of at least 1/2 and degrees of 1 or more.

    With ``t = sqrt(degrees) tan(angle)`` the density is a power of the cosine, which Gauss-Legendre
    quadrature integrates; the angle is found by bisection.
    """
    nodes, weights = _nodes()
    whole = math.exp(
        0.5 * math.log(math.pi) + math.lgamma(degrees / 2.0) - math.lgamma((degrees + 1.0) / 2.0)
    )
    wanted = (share - 0.5) * whole
    low, high = 0.0, math.pi / 2.0
    for _ in range(60):
        angle = 0.5 * (low + high)
        covered = angle * float((weights * np.cos(angle * nodes) ** (degrees - 1.0)).sum())
        low, high = (angle, high) if covered < wanted else (low, angle)
    return math.sqrt(degrees) * math.tan(0.5 * (low + high))
