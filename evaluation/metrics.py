"""Aggregate metrics of score arrays ``(..., runs, tasks)``: one number per leading index.

They are those of Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical
Precipice" (2021), and agree with rliable 1.2.0 on its ``(runs, tasks)`` matrices.  Any scale of
scores will do; ours are 0-100.  NaN, infinity, scores beyond 1e100 and empty arrays are errors: a
failed run needs a decision (its score, or its absence from every task), not a silent propagation.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from datumrl.datasets.errors import DatumrlError

Scores = npt.ArrayLike
LARGEST = 1e100  # of a score's size: the statistics take powers, and larger ones overflow


def checked(scores: Scores) -> np.ndarray:
    """Return scores as float64 ``(..., runs, tasks)``; an error says what cannot be aggregated."""
    try:
        array = np.asarray(scores, dtype=np.float64)
    except (TypeError, ValueError):
        raise DatumrlError(
            f"scores of type {type(scores).__name__} are no rectangular array of numbers; give one "
            "of shape (runs, tasks) in which every task has the same number of runs"
        ) from None
    if array.ndim < 2:
        raise DatumrlError(
            f"scores of shape {array.shape} have no axes for runs and tasks; give an array of "
            "shape (runs, tasks), for one task scores[:, None]"
        )
    if array.shape[-1] == 0 or array.shape[-2] == 0:
        raise DatumrlError(
            f"scores of shape {array.shape} hold no run or no task; there is nothing to aggregate"
        )
    bad = ~(np.abs(array) <= LARGEST)
    if bad.any():
        place = tuple(int(axis[0]) for axis in np.nonzero(bad))
        what = f"beyond {LARGEST:g}" if np.isfinite(array[place]) else "not finite"
        raise DatumrlError(
            f"score {array[place]:g} at index {place} is {what}; correct it, or decide how failed "
            "runs score before aggregating"
        )
    return array


def mean(scores: Scores) -> np.ndarray:
    """Return the mean over runs and tasks: ``(..., runs, tasks)`` to ``(...)``."""
    return checked(scores).mean(axis=(-2, -1))


def median(scores: Scores) -> np.ndarray:
    """Return the median over tasks of each task's mean: ``(..., runs, tasks)`` to ``(...)``."""
    return np.median(checked(scores).mean(axis=-2), axis=-1)


def iqm(scores: Scores) -> np.ndarray:
    """Return the interquartile mean over all runs x tasks: ``(..., runs, tasks)`` to ``(...)``.

    The lowest and highest ``trimmed(n)`` of the n scores are left out, the rest is averaged.  The
    same scores in another order give the same digits, so that equal methods tie.
    """
    array = checked(scores)
    flat = np.sort(array.reshape(*array.shape[:-2], -1), axis=-1)  # sums round by their order
    size = flat.shape[-1]
    cut = trimmed(size)
    return flat[..., cut : size - cut].mean(axis=-1)


def trimmed(size: int) -> int:
    """Return how many of ``size`` scores the IQM drops at each end: a quarter, rounded down."""
    return size // 4


def optimality_gap(scores: Scores, gamma: float) -> np.ndarray:
    """Return the mean shortfall below ``gamma`` (100 for normalised scores), never negative.

    Scores above gamma count as gamma: ``(..., runs, tasks)`` to ``(...)``.
    """
    if not np.isfinite(gamma):
        raise DatumrlError(f"gamma {gamma} is not finite; use 100 for normalised scores")
    return gamma - np.minimum(checked(scores), gamma).mean(axis=(-2, -1))
