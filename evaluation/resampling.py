"""Percentile intervals of any statistic of score arrays, elementwise, by stratified bootstrap.

Runs are resampled within each task, and every sample (algorithm) on its own, as in Agarwal et al.
2021 (arXiv:2108.13264).  Leading axes go along: of ``(steps, runs, tasks)`` whole runs are drawn,
so the curves stay curves.  ``bootstrap`` is the fast way to the interval of one metric; this is the
way for statistics of several samples and with several outputs (profiles, ranks, curves).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import metrics
from datumrl.evaluation.bootstrap import FEW_RUNS

Statistic = Callable[..., np.ndarray]

RESAMPLES = 10_000
_CHUNK_BYTES = 1 << 23  # working memory of one array; no result depends on it


@dataclass(frozen=True)
class Estimate:
    """A statistic with the ends of its pointwise interval, all three of the statistic's shape.

    ``few_runs`` says that a sample has so few runs that the interval is far too narrow.
    """

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    few_runs: bool = False


def estimate(
    samples: Sequence[metrics.Scores],
    statistic: Statistic,
    generator: np.random.Generator,
    resamples: int = RESAMPLES,
    confidence: float = 0.95,
    over_tasks: bool = False,
) -> Estimate:
    """Return ``statistic(*samples)`` with percentile intervals, for samples ``(..., runs, tasks)``.

    The statistic takes one array of ``(resamples, ..., runs, tasks)`` per sample and returns
    ``(resamples, ...)``.  Samples may differ in runs, not in tasks.  ``over_tasks`` resamples tasks
    too, the same for every sample: what another choice of tasks would have shown.
    Raises DatumrlError for a sample of one run, and for samples of different tasks.
    """
    check_confidence(confidence)
    arrays = checked_samples(samples, least_runs=2)
    if resamples < 1:
        raise DatumrlError(f"{resamples} resamples are too few; use {RESAMPLES}")
    pieces = []
    for count in _chunks(resamples, sum(array.size for array in arrays)):
        pieces.append(statistic(*_resampled(arrays, generator, count, over_tasks)))
    drawn = np.concatenate(pieces)
    tail = 50.0 * (1.0 - confidence)
    low, high = np.percentile(drawn, (tail, 100.0 - tail), axis=0)
    value = statistic(*(array[None] for array in arrays))[0]
    few = min(array.shape[-2] for array in arrays) < FEW_RUNS
    return Estimate(value, low, high, few_runs=few)


def check_confidence(confidence: float) -> None:
    """Refuse a confidence that is no share between 0 and 1."""
    if not 0.0 < confidence < 1.0:
        raise DatumrlError(f"confidence {confidence} is not between 0 and 1; use for example 0.95")


def checked_samples(samples: Sequence[metrics.Scores], least_runs: int = 1) -> list[np.ndarray]:
    """Return samples as float64 ``(..., runs, tasks)`` of the same tasks, with enough runs each."""
    arrays = [metrics.checked(sample) for sample in samples]
    tasks = [array.shape[-1] for array in arrays]
    if len(set(tasks)) > 1:
        raise DatumrlError(
            f"samples of {', '.join(map(str, tasks))} tasks cannot be compared; give every "
            "algorithm's scores on the same tasks"
        )
    for array in arrays:
        if array.shape[-2] < least_runs:
            raise DatumrlError(
                f"{array.shape[-2]} run per task has no interval: resampling it can only repeat "
                f"it; give at least two runs, better {FEW_RUNS} or more"
            )
    return arrays


def _chunks(resamples: int, size: int) -> Iterator[int]:
    length = max(1, _CHUNK_BYTES // (8 * size))
    for start in range(0, resamples, length):
        yield min(length, resamples - start)


def _resampled(
    arrays: Sequence[np.ndarray], generator: np.random.Generator, count: int, over_tasks: bool
) -> list[np.ndarray]:
    """Return ``count`` resamples of every array: ``(count, ..., runs, tasks)`` each."""
    tasks = arrays[0].shape[-1]
    # One stream for each resample's tasks and each sample's runs, so that pieces change no digit.
    widths = [tasks if over_tasks else 0, *(array.shape[-2] * tasks for array in arrays)]
    uniform = generator.random((count, sum(widths)))
    first, *parts = np.split(uniform, np.cumsum(widths)[:-1], axis=1)
    columns = (first * tasks).astype(np.intp) if over_tasks else np.arange(tasks)[None]
    drawn = []
    for array, part in zip(arrays, parts, strict=True):
        runs = array.shape[-2]
        rows = (part * runs).astype(np.intp).reshape(count, runs, tasks)
        flat = array.reshape(-1, runs * tasks)
        picked = flat[:, rows * tasks + columns[:, None, :]]
        drawn.append(np.moveaxis(picked, 1, 0).reshape(count, *array.shape))
    return drawn
