"""Aggregate metrics where tasks have different numbers of runs; every task has equal weight.

A run of task t weighs ``1 / (tasks * runs_t)``: extra seeds make a task better known, not more
important.  With equally many runs per task every metric equals its namesake in ``metrics``.  A
failed run leaves a metric undefined: dropping it would flatter the algorithm.  Whoever knows what a
failure is worth says so with ``failed_as``, and the scores remember it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import metrics


@dataclass(frozen=True)
class RaggedScores:
    """Finite scores task after task, ``(..., scores)``; ``runs`` says how many each task has.

    Leading axes are separate sets of scores with the same numbers of runs.  ``failed`` of the
    scores stand for failed runs and are ``failed_as``.
    """

    flat: np.ndarray
    runs: tuple[int, ...]
    failed: int = 0
    failed_as: float | None = None

    @property
    def starts(self) -> np.ndarray:
        """Return where each task begins: ``(tasks,)``."""
        return np.cumsum((0, *self.runs[:-1]))

    @property
    def equal_runs(self) -> bool:
        """Whether every task has as many runs, so that all scores weigh the same."""
        return len(set(self.runs)) == 1

    @property
    def tasks(self) -> list[np.ndarray]:
        """Return the scores of each task: ``(..., runs)`` each."""
        return np.split(self.flat, self.starts[1:], axis=-1)

    @property
    def matrix(self) -> np.ndarray:
        """Return the scores as ``(..., runs, tasks)``; an error where tasks differ in runs."""
        if not self.equal_runs:
            raise DatumrlError(
                f"tasks have {min(self.runs)} to {max(self.runs)} runs and make no matrix; use the "
                "metrics of ragged scores, or the same seeds on every task"
            )
        return np.stack(self.tasks, axis=-1)

    @property
    def note(self) -> str:
        """Return what a table must say beside the metric; "" if no run failed."""
        if not self.failed:
            return ""
        return f"{self.failed} of {sum(self.runs)} runs failed and count as {self.failed_as:g}"

    def task_sums(self, values: np.ndarray) -> np.ndarray:
        """Return the sum of each task of values like ``flat``: ``(..., tasks)``."""
        if self.equal_runs:
            return values.reshape(*values.shape[:-1], len(self.runs), -1).sum(axis=-1)
        return np.add.reduceat(values, self.starts, axis=-1)

    def task_means(self, values: np.ndarray) -> np.ndarray:
        """Return the mean of each task of values like ``flat``: ``(..., tasks)``."""
        return self.task_sums(values) / np.array(self.runs)

    def spread_out(self, of_tasks: np.ndarray) -> np.ndarray:
        """Repeat a number per task for each of its runs: ``(..., tasks)`` to ``(..., scores)``."""
        return np.repeat(of_tasks, self.runs, axis=-1)

    def resampled(self, generator: np.random.Generator, resamples: int) -> RaggedScores:
        """Draw runs with replacement within each task: ``flat`` becomes ``(resamples, scores)``."""
        counts, starts = (np.repeat(values, self.runs) for values in (self.runs, self.starts))
        rows = generator.random((resamples, counts.size))
        rows *= counts
        return replace(self, flat=self.flat[rows.astype(np.intp) + starts])


def gather(tasks: Sequence[npt.ArrayLike], failed_as: float | None = None) -> RaggedScores:
    """Return the scores of tasks, one ``(runs,)`` array each, in which NaN is a failed run.

    Raises DatumrlError for failed runs without ``failed_as``, for a task without runs, and for
    infinite scores or such as are beyond ``metrics.LARGEST``.
    """
    if failed_as is not None and not abs(failed_as) <= metrics.LARGEST:
        raise DatumrlError(
            f"failed_as {failed_as:g} is not finite, or beyond {metrics.LARGEST:g}; give the score "
            "of a failed run"
        )
    arrays = [_checked_task(place, task) for place, task in enumerate(tasks)]
    if not arrays:
        raise DatumrlError("no tasks: there is nothing to aggregate; give at least one")
    failed = [int(np.isnan(array).sum()) for array in arrays]
    if sum(failed) and failed_as is None:
        where = ", ".join(f"{count} on task {place}" for place, count in enumerate(failed) if count)
        raise DatumrlError(
            f"failed runs ({where}) leave the metric undefined; say what a failed run scores "
            "(failed_as), for example 0"
        )
    flat = np.concatenate(arrays)
    if failed_as is not None:
        flat[np.isnan(flat)] = failed_as
    runs = tuple(array.size for array in arrays)
    return RaggedScores(flat, runs, sum(failed), failed_as if sum(failed) else None)


def gather_matrix(scores: npt.ArrayLike, failed_as: float | None = None) -> RaggedScores:
    """Return the scores of a matrix ``(runs, tasks)`` in which NaN is a failed run."""
    array = np.asarray(scores, dtype=np.float64)
    if array.ndim != 2:
        raise DatumrlError(f"scores of shape {array.shape} are not (runs, tasks); give a matrix")
    return gather(list(array.T), failed_as)


def mean(scores: RaggedScores) -> np.ndarray:
    """Return the mean over tasks of each task's mean: ``(...)``."""
    return scores.task_means(scores.flat).mean(axis=-1)


def median(scores: RaggedScores) -> np.ndarray:
    """Return the median over tasks of each task's mean: ``(...)``."""
    return np.median(scores.task_means(scores.flat), axis=-1)


def iqm(scores: RaggedScores) -> np.ndarray:
    """Return the weighted interquartile mean: ``(...)``."""
    return trimmed_mean(scores)[0]


def optimality_gap(scores: RaggedScores, gamma: float) -> np.ndarray:
    """Return the mean over tasks of the mean shortfall below ``gamma``, never negative."""
    if not np.isfinite(gamma):
        raise DatumrlError(f"gamma {gamma} is not finite; use 100 for normalised scores")
    return gamma - scores.task_means(np.minimum(scores.flat, gamma)).mean(axis=-1)


def trimmed_share(scores: RaggedScores) -> float:
    """Return the share of the weight that the IQM drops at each end: a quarter, at most.

    It is that of ``metrics.iqm`` for as many scores, ``floor(n / 4) / n``.
    """
    size = sum(scores.runs)
    return metrics.trimmed(size) / size


def trimmed_mean(scores: RaggedScores) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the IQM and the lowest and highest score that is (in part) kept: three ``(...)``.

    The scores are sorted together; of the unit weight, the first and the last ``trimmed_share`` are
    cut off, through the middle of a score's weight if need be, and the rest is averaged.  The same
    scores in another order give the same digits.
    """
    size = sum(scores.runs)
    cut = metrics.trimmed(size)
    if scores.equal_runs:
        ordered = np.sort(scores.flat, axis=-1)
        kept = ordered[..., cut : size - cut]
        return kept.mean(axis=-1), ordered[..., cut], ordered[..., size - cut - 1]
    weights = np.repeat(1.0 / (len(scores.runs) * np.array(scores.runs)), scores.runs)
    order = np.lexsort((np.broadcast_to(weights, scores.flat.shape), scores.flat), axis=-1)
    ordered, weights = np.take_along_axis(scores.flat, order, axis=-1), weights[order]
    share = cut / size
    below = np.cumsum(weights, axis=-1)
    within = np.clip(below, share, 1.0 - share) - np.clip(below - weights, share, 1.0 - share)
    inside = within > 1e-12  # summing the weights rounds; none is nearly that small
    lowest = np.take_along_axis(ordered, inside.argmax(axis=-1)[..., None], axis=-1)[..., 0]
    last = size - 1 - inside[..., ::-1].argmax(axis=-1)
    highest = np.take_along_axis(ordered, last[..., None], axis=-1)[..., 0]
    return (within * ordered).sum(axis=-1) / within.sum(axis=-1), lowest, highest


def _checked_task(place: int, task: npt.ArrayLike) -> np.ndarray:
    try:
        array = np.array(task, dtype=np.float64)
    except (TypeError, ValueError):
        raise DatumrlError(f"task {place}: {task!r} are no scores; give numbers") from None
    if array.ndim != 1 or array.size == 0:
        raise DatumrlError(
            f"task {place}: scores of shape {array.shape} are not (runs,) with at least one run"
        )
    wrong = array[np.abs(array) > metrics.LARGEST]
    if wrong.size:
        what = f"a score of {wrong[0]:g}, beyond {metrics.LARGEST:g}"
        what = "an infinite score" if np.isinf(wrong[0]) else what
        raise DatumrlError(f"task {place}: {what}; correct it; a failed run is NaN")
    return array
