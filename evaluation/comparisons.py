"""Comparisons of algorithms on the same tasks: improvement, differences, ranks; with intervals.

After Agarwal et al. 2021 (arXiv:2108.13264), section 4.3.  Scores are ``(..., runs, tasks)``, one
array per algorithm; algorithms may have different numbers of runs, not different tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import metrics, resampling

Metric = Callable[[np.ndarray], np.ndarray]


def probability_of_improvement(scores: metrics.Scores, others: metrics.Scores) -> np.ndarray:
    """Return P(X > Y) + P(X = Y) / 2, averaged over tasks: two ``(..., runs, tasks)`` to ``(...)``.

    Per task this is the Mann-Whitney statistic over the number of pairs of runs, as in rliable.
    """
    x, y = resampling.checked_samples([scores, others])
    wins = np.zeros(np.broadcast_shapes(x.shape[:-2], y.shape[:-2]))
    for run in range(y.shape[-2]):
        other = y[..., run : run + 1, :]
        above = np.count_nonzero(x > other, axis=(-2, -1))
        below = np.count_nonzero(x < other, axis=(-2, -1))
        wins += above - below
    pairs = x.shape[-2] * y.shape[-2] * x.shape[-1]
    return 0.5 + 0.5 * wins / pairs


def score_difference(
    scores: metrics.Scores, others: metrics.Scores, metric: Metric = metrics.iqm
) -> np.ndarray:
    """Return the metric of the first scores less that of the others: ``(...)``."""
    x, y = resampling.checked_samples([scores, others])
    return metric(x) - metric(y)


def rank_distribution(samples: Sequence[metrics.Scores]) -> np.ndarray:
    """Return the chance of each rank (1 is best) when every algorithm draws one run per task.

    ``algorithms`` arrays ``(..., runs, tasks)`` to ``(..., algorithms, ranks)``, averaged over
    tasks; rows and columns add up to one.  Ties are broken at random.  Exact, where rliable's
    examples sample: given a score, the others beat it independently, so the rank is one plus a
    Poisson-binomial number.  A tie is beaten with a uniform chance U, shared by all that are tied;
    the average over U of a polynomial in U is exact by Gauss-Legendre quadrature.
    """
    arrays = resampling.checked_samples(samples)
    if len(arrays) < 2:
        raise DatumrlError(f"{len(arrays)} algorithm has no rank; give the scores of two or more")
    return np.stack([_ranks_of(place, arrays) for place in range(len(arrays))], axis=-2)


def improvement(
    scores: metrics.Scores,
    others: metrics.Scores,
    generator: np.random.Generator,
    resamples: int = resampling.RESAMPLES,
    confidence: float = 0.95,
    over_tasks: bool = False,
) -> resampling.Estimate:
    """Return the probability of improvement of ``(runs, tasks)`` over another, with an interval."""
    return resampling.estimate(
        [scores, others], probability_of_improvement, generator, resamples, confidence, over_tasks
    )


def difference(
    scores: metrics.Scores,
    others: metrics.Scores,
    generator: np.random.Generator,
    metric: Metric = metrics.iqm,
    resamples: int = resampling.RESAMPLES,
    confidence: float = 0.95,
    over_tasks: bool = False,
) -> resampling.Estimate:
    """Return the difference of a metric of two ``(runs, tasks)``, with an interval."""
    return resampling.estimate(
        [scores, others],
        lambda x, y: score_difference(x, y, metric),
        generator,
        resamples,
        confidence,
        over_tasks,
    )


def ranks(
    samples: Sequence[metrics.Scores],
    generator: np.random.Generator,
    resamples: int = 2_000,
    confidence: float = 0.95,
    over_tasks: bool = False,
) -> resampling.Estimate:
    """Return the rank distribution ``(algorithms, ranks)`` with pointwise intervals."""
    return resampling.estimate(
        samples,
        lambda *drawn: rank_distribution(drawn),
        generator,
        resamples,
        confidence,
        over_tasks,
    )


def _ranks_of(place: int, arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Return the rank probabilities of one algorithm: ``(..., ranks)``."""
    own = arrays[place]
    above, equal = [], []
    for other, theirs in enumerate(arrays):
        if other != place:
            pairs = theirs[..., None, :, :] - own[..., :, None, :]  # (..., own runs, runs, tasks)
            above.append((pairs > 0).mean(axis=-2))
            equal.append((pairs == 0).mean(axis=-2))
    degree = sum(bool(share.any()) for share in equal)
    nodes, weights = np.polynomial.legendre.leggauss(degree // 2 + 1)
    total = np.zeros((*above[0].shape[:-2], len(arrays)))
    for node, weight in zip((nodes + 1.0) / 2.0, weights / 2.0, strict=True):
        beaten = [more + node * same for more, same in zip(above, equal, strict=True)]
        total += weight * _poisson_binomial(beaten).mean(axis=(-3, -2))
    return total


def _poisson_binomial(chances: Sequence[np.ndarray]) -> np.ndarray:
    """Return the distribution of the number of successes: n ``(...)`` to ``(..., n + 1)``."""
    counts = np.zeros((*chances[0].shape, len(chances) + 1))
    counts[..., 0] = 1.0
    for chance in chances:
        gained = counts[..., :-1] * chance[..., None]
        counts *= 1.0 - chance[..., None]
        counts[..., 1:] += gained
    return counts
