"""Which evaluations of a training run make its score: last, last-10-mean, best.

``best`` picks the evaluation that came out highest, and so reports its luck as skill.  How much is
shown beside it: the same choice made on one half of the data and scored on the other half is honest
about luck, and ``best`` less that is its optimism.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation.records import COUNTED

WINDOW = COUNTED["last-10-mean"]
SPLITS = 20


@dataclass(frozen=True)
class Best:
    """The best evaluation of each run and an honest estimate of such a choice, both ``(...)``."""

    value: np.ndarray
    honest: np.ndarray

    @property
    def optimism(self) -> np.ndarray:
        """Return how much of ``value`` is luck."""
        return self.value - self.honest


def last(curves: npt.ArrayLike) -> np.ndarray:
    """Return the last evaluation: ``(..., evaluations)`` to ``(...)``."""
    return _checked(curves, 1)[..., -1]


def last_mean(curves: npt.ArrayLike, window: int = WINDOW) -> np.ndarray:
    """Return the mean of the last ``window`` evaluations: ``(..., evaluations)`` to ``(...)``.

    Raises DatumrlError for a shorter curve: a mean of fewer would go by the same name.
    """
    array = _checked(curves, 1)
    if not 1 <= window <= array.shape[-1]:
        raise DatumrlError(
            f"a mean of the last {window} evaluations of {array.shape[-1]}: evaluate more often, "
            "or use the last one"
        )
    return array[..., -window:].mean(axis=-1)


def best(curves: npt.ArrayLike) -> np.ndarray:
    """Return the highest evaluation: ``(..., evaluations)`` to ``(...)``.  See its optimism."""
    return _checked(curves, 1).max(axis=-1)


def best_of_episodes(
    returns: npt.ArrayLike, generator: np.random.Generator, splits: int = SPLITS
) -> Best:
    """Return ``best`` and its honest estimate from raw returns ``(..., evaluations, episodes)``.

    Every evaluation's episodes are split at random into halves; the evaluation that is best on one
    half is scored on the other, both ways, and this is averaged over ``splits``.  A choice by half
    of the episodes is a little worse than one by all, so the honest score errs downwards.
    Raises DatumrlError for a single episode per evaluation: use ``best_of_evaluations``.
    """
    array = _checked(returns, 2)
    episodes = array.shape[-1]
    if episodes < 2:
        raise DatumrlError(
            "one episode per evaluation cannot be split into halves; use the neighbouring "
            "evaluations instead (best_of_evaluations)"
        )
    if splits < 1:
        raise DatumrlError(f"{splits} splits are too few; use {SPLITS}")
    honest = np.zeros(array.shape[:-2])
    for _ in range(splits):
        shuffled = generator.permuted(array, axis=-1)
        first = shuffled[..., : episodes // 2].mean(axis=-1)
        second = shuffled[..., episodes // 2 :].mean(axis=-1)
        honest += _at_best(first, second) + _at_best(second, first)
    return Best(array.mean(axis=-1).max(axis=-1), honest / (2 * splits))


def best_of_evaluations(curves: npt.ArrayLike) -> Best:
    """Return ``best`` and its honest estimate where only ``(..., evaluations)`` are known.

    The best of the evaluations at even places is scored by its neighbours (the mean of the one or
    two at odd places next to it), and the other way round.  A neighbour is nearly the same policy
    with luck of its own.  As far as the policy did change between them, the choice among half of
    the evaluations lost a peak that was real, so the optimism errs upwards.
    """
    array = _checked(curves, 1)
    if array.shape[-1] < 2:
        raise DatumrlError("one evaluation has no neighbour; `best` is then the last")
    beside = np.empty_like(array)
    beside[..., 1:-1] = 0.5 * (array[..., :-2] + array[..., 2:])
    beside[..., 0], beside[..., -1] = array[..., 1], array[..., -2]
    halves = [_at_best(array[..., odd::2], beside[..., odd::2]) for odd in (0, 1)]
    return Best(array.max(axis=-1), 0.5 * (halves[0] + halves[1]))


def _at_best(chosen_by: np.ndarray, scored_by: np.ndarray) -> np.ndarray:
    place = chosen_by.argmax(axis=-1)[..., None]
    return np.take_along_axis(scored_by, place, axis=-1)[..., 0]


def _checked(values: npt.ArrayLike, least_axes: int) -> np.ndarray:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise DatumrlError(
            "curves of different lengths are no array; give runs with the same evaluations"
        ) from None
    if array.ndim < least_axes or array.size == 0:
        axes = ("(..., evaluations)", "(..., evaluations, episodes)")[least_axes - 1]
        raise DatumrlError(f"returns of shape {array.shape} are not {axes} with at least one")
    if not np.isfinite(array).all():
        raise DatumrlError(
            "returns that are not finite have no best or last; decide how a failed run scores"
        )
    return array
