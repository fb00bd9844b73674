"""A metric over bootstrap resamples of runs within each task, as rliable draws them.

Fast and exact.  Sixteen random bits give several draws at once: a number below ``runs ** k``, got
without bias by rejection, is k draws of a run.  A table turns it into how often each run was drawn.
The IQM of a resample then needs no sorting: the scores are sorted once, and the cumulative counts,
clipped to the middle half, weigh the gaps between neighbouring scores.  Other metrics are applied
to the resampled scores themselves, from the same draws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import metrics

Metric = Callable[[Any], np.ndarray]

RESAMPLES = 10_000
FEW_RUNS = 3  # with fewer, percentile intervals are far too narrow to mean 95%
_WORDS = 1 << 16  # a random word has 16 bits
_TABLE_BYTES = 1 << 20  # keeps the table of counts in the second-level cache
_COUNTABLE_RUNS = 100  # above, counting costs more than sorting
_CHUNK_BYTES = 1 << 23  # working memory of one array; no result depends on it


@dataclass(frozen=True)
class Interval:
    """An interval; ``few_runs`` says that it rests on too few runs to be trusted."""

    low: float
    high: float
    few_runs: bool = False


@dataclass(frozen=True)
class Estimate:
    """A statistic with the ends of its pointwise interval, all three of the statistic's shape."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


def check_confidence(confidence: float) -> None:
    """Refuse a confidence that is no share between 0 and 1."""
    if not 0.0 < confidence < 1.0:
        raise DatumrlError(f"confidence {confidence} is not between 0 and 1; use for example 0.95")


def distribution(
    scores: metrics.Scores, metric: Metric, generator: np.random.Generator, resamples: int
) -> np.ndarray:
    """Return the metric of every resample of scores ``(runs, tasks)``: ``(resamples,)``.

    The metric maps ``(..., runs, tasks)`` to ``(...)``; those of ``metrics`` do.  A generator in
    the same state gives the same digits.
    Raises DatumrlError for fewer than two runs: resampling one run cannot show any uncertainty.
    """
    array = _checked(scores, resamples)
    runs, tasks = array.shape
    stream = _Stream(generator, runs)
    out = np.empty(resamples)
    counting = metric is metrics.iqm and runs <= _COUNTABLE_RUNS
    of_chunk = _iqm_from_counts(array, stream) if counting else _from_scores(array, metric, stream)
    for part in _chunks(resamples, runs * tasks):
        out[part] = of_chunk(part.stop - part.start)
    return out


def _checked(scores: metrics.Scores, resamples: int) -> np.ndarray:
    array = metrics.checked(scores)
    if array.ndim != 2:
        raise DatumrlError(f"scores of shape {array.shape} are not (runs, tasks); bootstrap one")
    if array.shape[0] < 2:
        raise DatumrlError(
            "one run per task has no interval: resampling it can only repeat it; give at least "
            f"two runs, better {FEW_RUNS} or more"
        )
    if array.shape[0] > _WORDS:
        raise DatumrlError(f"{array.shape[0]} runs per task are more than the {_WORDS} supported")
    if resamples < 1:
        raise DatumrlError(f"{resamples} resamples are too few; use {RESAMPLES}")
    return array


def _chunks(resamples: int, size: int) -> Iterator[slice]:
    length = max(1, _CHUNK_BYTES // (8 * size))
    for start in range(0, resamples, length):
        yield slice(start, min(start + length, resamples))


class _Stream:
    """Unbiased draws of runs, the same sequence however many are taken at a time."""

    def __init__(self, generator: np.random.Generator, runs: int) -> None:
        # A stream of its own: what is drawn ahead and left over does not touch the caller's.
        seed = generator.integers(0, 1 << 32, size=8, dtype=np.uint32)
        self._bits = np.random.SFC64(seed.tolist())
        self._kept = np.empty(0, dtype=np.uint16)
        self.runs = runs
        self.draws = 1  # per word
        while runs ** (self.draws + 2) <= _TABLE_BYTES and runs ** (self.draws + 1) <= _WORDS:
            self.draws += 1
        self.words = -(-runs // self.draws)  # per task and resample
        self.size = runs**self.draws
        self._limit = _WORDS // self.size * self.size

    def take(self, resamples: int, tasks: int) -> np.ndarray:
        """Return words below ``size``, ``(resamples * tasks, words)`` uint16."""
        needed = resamples * tasks * self.words
        pieces, have = [self._kept], len(self._kept)
        while have < needed:
            wanted = (needed - have) * _WORDS // self._limit // 4 + 64
            words = self._bits.random_raw(wanted).astype("<u8", copy=False).view("<u2")
            # Words at or above the limit would favour the first runs.
            pieces.append(words[words < self._limit] if self._limit < _WORDS else words)
            have += len(pieces[-1])
        words = np.concatenate(pieces)
        self._kept = words[needed:].copy()
        words = words[:needed]
        if self.size < _WORDS:
            size = np.uint16(self.size)
            words = words - words // size * size  # numpy's % is several times slower
        return words.reshape(-1, self.words)

    def digits(self) -> np.ndarray:
        """Return the draws that each word stands for: ``(size, draws)`` uint16."""
        powers = self.runs ** np.arange(self.draws)
        return (np.arange(self.size)[:, None] // powers % self.runs).astype(np.uint16)


def _from_scores(array: np.ndarray, metric: Metric, stream: _Stream) -> Callable[[int], np.ndarray]:
    runs, tasks = array.shape
    digits = stream.digits()
    columns = np.ascontiguousarray(array.T).ravel()
    offsets = (np.arange(tasks) * runs)[:, None]

    def of_chunk(resamples: int) -> np.ndarray:
        drawn = digits[stream.take(resamples, tasks)].reshape(resamples, tasks, -1)[..., :runs]
        return metric(columns[drawn + offsets].swapaxes(1, 2))

    return of_chunk


def _iqm_from_counts(array: np.ndarray, stream: _Stream) -> Callable[[int], np.ndarray]:
    """Return a function that draws resamples and gives their IQMs.

    With the n scores sorted, x_1 <= ... <= x_n, and C_i the number of draws among the first i,
    ``min(max(C_i, cut), n - cut) - cut`` of the kept draws lie there.  Summing by parts, the IQM is
    x_n less every gap ``x_(i+1) - x_i`` times the share of the kept draws that lie below it.
    """
    runs, tasks = array.shape
    size = array.size
    cut = metrics.trimmed(size)
    top = size - cut
    order = np.argsort(array.T, axis=None)
    ordered = array.T.ravel()[order]
    weights = np.diff(ordered) / (top - cut)
    highest = ordered[-1] + cut * weights.sum()
    tables = _count_tables(stream)
    steps = [
        (*divmod(int(place), runs), weight) for place, weight in zip(order, weights, strict=False)
    ]
    # Once above `top` a sum stays there, so it may be cut off at once and fits in one byte.
    counter = np.uint8 if top + runs < 256 else np.uint32

    def of_chunk(resamples: int) -> np.ndarray:
        words = stream.take(resamples, tasks).reshape(resamples, tasks, -1).swapaxes(0, 1)
        counts = np.take(tables[0], words[..., 0], axis=0, mode="clip")
        for column in range(1, stream.words):
            counts += np.take(tables[column], words[..., column], axis=0, mode="clip")
        below: np.ndarray = np.zeros(resamples, dtype=counter)
        gap = np.empty(resamples)
        result = np.full(resamples, highest)
        # Element by element: a BLAS product would round differently in pieces of another length.
        for task, run, weight in steps:
            below += counts[task, :, run]
            np.minimum(below, counter(top), out=below)
            gap[:] = np.maximum(below, counter(cut))
            gap *= weight
            result -= gap
        return result

    return of_chunk


def _count_tables(stream: _Stream) -> list[np.ndarray]:
    """Return each word's table ``(size, runs padded to 8)``: how often a run is drawn."""
    width = -(-stream.runs // 8) * 8  # whole machine words are copied faster
    one = np.eye(stream.runs, width, dtype=np.uint8)
    tables = [np.zeros((1, width), dtype=np.uint8)]  # by the number of draws counted
    for _ in range(stream.draws):
        tables.append((one[:, None] + tables[-1]).reshape(-1, width))
    rest = stream.runs - (stream.words - 1) * stream.draws
    # The last word has draws to spare; its first `rest` digits are the index modulo runs ** rest.
    last = np.tile(tables[rest], (stream.runs ** (stream.draws - rest), 1))
    return [tables[-1]] * (stream.words - 1) + [last]
