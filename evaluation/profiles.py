"""Performance profiles: the share of scores above each threshold.

Both kinds of Agarwal et al. 2021 (arXiv:2108.13264), section 4.2, as in rliable 1.2.0.  The
run-level profile is an unbiased estimate of the chance that a new run on a random task scores above
the threshold; the task-level one asks how many tasks have a *mean* above it, and is biased when
there are few runs.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import metrics, resampling


def score_distribution(scores: metrics.Scores, thresholds: npt.ArrayLike) -> np.ndarray:
    """Return the share of all runs x tasks with a score above each threshold.

    ``(..., runs, tasks)`` and ``(thresholds,)`` to ``(..., thresholds)``.
    """
    array = metrics.checked(scores)
    return _shares_above(array.reshape(*array.shape[:-2], -1), _checked(thresholds))


def average_score_distribution(scores: metrics.Scores, thresholds: npt.ArrayLike) -> np.ndarray:
    """Return the share of tasks whose mean over runs is above each threshold.

    ``(..., runs, tasks)`` and ``(thresholds,)`` to ``(..., thresholds)``.
    """
    return _shares_above(metrics.checked(scores).mean(axis=-2), _checked(thresholds))


def profile(
    scores: metrics.Scores,
    thresholds: npt.ArrayLike,
    generator: np.random.Generator,
    task_level: bool = False,
    resamples: int = resampling.RESAMPLES,
    confidence: float = 0.95,
    over_tasks: bool = False,
) -> resampling.Estimate:
    """Return the profile of scores ``(runs, tasks)`` with pointwise intervals: ``(thresholds,)``.

    Each threshold's interval holds on its own; the band as a whole covers less often.
    """
    levels = _checked(thresholds)
    of = average_score_distribution if task_level else score_distribution
    return resampling.estimate(
        [scores], lambda drawn: of(drawn, levels), generator, resamples, confidence, over_tasks
    )


def _checked(thresholds: npt.ArrayLike) -> np.ndarray:
    levels = np.asarray(thresholds, dtype=np.float64)
    if levels.ndim != 1 or levels.size == 0 or np.isnan(levels).any():
        raise DatumrlError(
            f"thresholds {np.array2string(levels, threshold=5)} are no list of numbers; give for "
            "example numpy.linspace(0, 100, 101)"
        )
    return levels


def _shares_above(values: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Return the share of the last axis above each level: ``(..., n)`` to ``(..., levels)``."""
    shares = np.empty((*values.shape[:-1], levels.size))
    for place, level in enumerate(levels):  # one at a time: all at once would not fit the cache
        shares[..., place] = np.count_nonzero(values > level, axis=-1)
    return shares / values.shape[-1]
