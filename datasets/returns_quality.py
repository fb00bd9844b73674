"""What the returns, lengths and rewards of a dataset say of its quality.

Only completed episodes count (those that end in a terminal or a timeout); rows after the last such
end, the unfinished tail, are reported beside them.  Returns are undiscounted sums, in reward units.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from datumrl.datasets.catalogue import DatasetRecord
from datumrl.datasets.episodes import Episodes, first_not_finite
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.scores import normalize

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
BINS = 20
_BATCH = 1 << 20


@dataclass(frozen=True)
class Distribution:
    """A sample of numbers, one per completed episode, in their own unit; None where undefined."""

    count: int
    mean: float | None
    std: float | None  # ddof = 0
    minimum: float | None
    quantiles: tuple[tuple[float, float], ...]  # (level, value), linear between order statistics
    maximum: float | None
    bin_edges: tuple[float, ...]  # of the histogram, equally wide; the last bin holds its end
    bin_counts: tuple[int, ...]


@dataclass(frozen=True)
class Returns:
    """Returns of completed episodes, and what the unfinished tail holds."""

    distribution: Distribution  # reward units
    psv: float | None  # positive-sided variance, (reward units)^2
    unfinished_rows: int
    unfinished_return: float | None  # reward units, of the tail; None without one


@dataclass(frozen=True)
class Lengths:
    """Steps per completed episode."""

    distribution: Distribution  # steps
    horizon: float | None  # mean length, steps: the horizon measure of Belkhale et al.
    terminated: int  # completed episodes that end in a terminal (the process ended)
    timed_out: int  # completed episodes that end in a timeout only


@dataclass(frozen=True)
class Rewards:
    """Rewards of all rows, and how sparse they are."""

    mean: float | None
    minimum: float | None
    maximum: float | None
    sparsity: float | None
    zero_share: float | None
    majority: float | None  # the reward that more than half of all rows have; None: there is none
    majority_share: float | None  # share of rows that have it


@dataclass(frozen=True)
class Scores:
    """Returns on the scale of the reference scores, or why they cannot be put there."""

    tq: float | None  # no unit: 0 at the reference minimum, 1 at the maximum, not bounded
    neorl_score: float | None  # score points: 100 TQ
    mean: float | None  # score points, as are the next two
    median: float | None
    best: float | None
    psv: float | None  # (score points)^2
    refused: str = ""  # why there are none


def episode_returns(episodes: Episodes) -> np.ndarray:
    """Return `Episodes.returns`, (episodes,) float64, of rewards that were looked at.

    Raises DatumrlError for a reward that is not finite.
    """
    row = first_not_finite(episodes.rewards)
    if row is not None:
        raise DatumrlError(f"{episodes.id}: reward {episodes.rewards[row]} at row {row}; mend it")
    return episodes.returns()


def returns(episodes: Episodes, values: np.ndarray | None = None) -> Returns:
    """Return the distribution of returns; ``values`` are `episode_returns` where known."""
    values = episode_returns(episodes) if values is None else values
    complete = episodes.complete()
    finished = values[complete]
    open_rows = int(episodes.lengths()[~complete].sum())
    return Returns(
        distribution=distribution(finished),
        psv=positive_sided_variance(finished),
        unfinished_rows=open_rows,
        unfinished_return=float(values[~complete].sum()) if open_rows else None,
    )


def lengths(episodes: Episodes) -> Lengths:
    """Return the distribution of lengths, and how episodes end.

    The horizon is the mean trajectory length, a data-only measure of quality for imitation
    (shorter is better); Belkhale, Cui, Sadigh, arXiv:2306.02437.
    """
    ends = np.asarray(episodes.starts[1:]) - 1
    terminated = int(np.asarray(episodes.terminals[ends]).sum())
    complete = episodes.complete()
    steps = distribution(episodes.lengths()[complete].astype(np.float64))
    return Lengths(steps, steps.mean, terminated, int(complete.sum()) - terminated)


def rewards(episodes: Episodes) -> Rewards:
    """Return the moments of rewards, and their sparsity.

    ``sparsity``: mean over completed episodes of the share of steps with reward 0 (Schweighofer et
    al., arXiv:2111.04714; no unit).  ``zero_share``: share of all rows with reward 0.  A majority
    reward shows sparsity where the idle reward is not 0, such as -1 a step.  All exact.
    """
    if len(episodes) == 0:
        return Rewards(None, None, None, None, None, None, None)
    zeros = np.zeros(len(episodes.starts) - 1)
    total, lowest, highest = 0.0, np.inf, -np.inf
    starts = np.asarray(episodes.starts)
    for begin in range(0, len(episodes), _BATCH):
        piece = np.asarray(episodes.rewards[begin : begin + _BATCH])
        total += float(piece.sum(dtype=np.float64))
        lowest, highest = min(lowest, float(piece.min())), max(highest, float(piece.max()))
        first = int(np.searchsorted(starts, begin, side="right")) - 1
        last = int(np.searchsorted(starts, begin + len(piece)))
        inside = np.maximum(starts[first:last] - begin, 0)
        zeros[first:last] += np.add.reduceat((piece == 0).astype(np.float64), inside)
    complete = episodes.complete()
    shares = zeros[complete] / episodes.lengths()[complete]
    majority, held = _majority(episodes.rewards)
    return Rewards(
        mean=total / len(episodes),
        minimum=lowest,
        maximum=highest,
        sparsity=float(shares.mean()) if len(shares) else None,
        zero_share=float(zeros.sum()) / len(episodes),
        majority=majority,
        majority_share=held / len(episodes) if majority is not None else None,
    )


def _majority(column: np.ndarray) -> tuple[float | None, int]:
    """Return the value that more than half of all rows have, if there is one, and how many do.

    Such a value has more than half of some piece, and is then that piece's middle order statistic.
    """
    pieces = [column[begin : begin + _BATCH] for begin in range(0, len(column), _BATCH)]
    candidates = set()
    for piece in pieces:
        middle = np.partition(np.asarray(piece), len(piece) // 2)[len(piece) // 2]
        if 2 * int((np.asarray(piece) == middle).sum()) > len(piece):
            candidates.add(float(middle))
    for value in candidates:
        held = sum(int((np.asarray(piece) == value).sum()) for piece in pieces)
        if 2 * held > len(column):
            return value, held
    return None, 0


def distribution(values: np.ndarray) -> Distribution:
    """Return moments, quantiles and a histogram of a sample (n,); None where there is nothing."""
    if len(values) == 0:
        return Distribution(0, None, None, None, (), None, (), ())
    counts, bin_edges = _histogram(values)
    return Distribution(
        count=len(values),
        mean=float(values.mean()),
        std=float(values.std()),
        minimum=float(values.min()),
        quantiles=tuple((q, float(np.quantile(values, q))) for q in QUANTILES),
        maximum=float(values.max()),
        bin_edges=tuple(bin_edges.tolist()),
        bin_counts=tuple(counts.tolist()),
    )


def _histogram(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    low, high = values.min(), values.max()
    # Where equal values leave no room for equally wide bins, one bin holds them all.
    if not np.diff(np.linspace(low, high, BINS + 1)).min() > 0:
        return np.array([len(values)]), np.array([low, high])
    return np.histogram(values, BINS)


def positive_sided_variance(values: np.ndarray) -> float | None:
    """Return V+[X] = E[max(X - E[X], 0)^2] over a sample (n,); None for an empty one.

    Unit: that of the values, squared.  High with a low mean: a few episodes are far better than
    the rest, so weighting them helps.  Source: Hong et al., "Harnessing Mixed Offline Reinforcement
    Learning Datasets via Trajectory Weighting", arXiv:2306.13085.
    """
    if len(values) == 0:
        return None
    return float(np.mean(np.maximum(values - values.mean(), 0.0) ** 2))


def trajectory_quality(mean_return: float, minimum: float, maximum: float) -> float:
    """Return TQ = (mean return - g_min) / (g_max - g_min), no unit, not bounded to [0, 1].

    The mean is over completed episodes; g_min and g_max are the reference scores of random and
    expert.  Source: Schweighofer et al., arXiv:2111.04714, with D4RL's references as in its D4RL
    study.
    """
    if not maximum > minimum:
        raise DatumrlError(
            f"reference scores {minimum:g} and {maximum:g}: the maximum must be larger"
        )
    return (mean_return - minimum) / (maximum - minimum)


def neorl_score(mean_return: float, minimum: float, maximum: float) -> float:
    """Return NeoRL-2's dataset score, 100 (mean return - min) / (max - min), in score points.

    Source: polixir/NeoRL2, benchmark/task_score.csv and neorl2/envs/info.py.
    """
    return 100.0 * trajectory_quality(mean_return, minimum, maximum)


def score_refusal(record: DatasetRecord | None) -> str:
    """Return why a dataset's returns cannot be put on the scale of scores; "" if they can.

    They cannot where there are no reference scores, or where the catalogue says that returns of
    the stored episodes are no scores (``returns_note``), as for maze2d, demonstrations and OGBench.
    """
    if record is None:
        return "this dataset is not in the catalogue, so it has no reference scores"
    if record.returns_note:
        return f"{record.id}: {record.returns_note}"
    if record.reference is None:
        return f"{record.id} has no reference scores"
    return ""


def scores(episodes: Episodes, record: DatasetRecord | None, values: np.ndarray) -> Scores:
    """Return TQ and its companions from the return of every episode (episodes,), or the reason."""
    finished = values[episodes.complete()]
    refused = score_refusal(record)
    if not refused and len(finished) == 0:
        refused = f"{episodes.id} has no completed episode"
    if refused or record is None or record.reference is None:
        return Scores(None, None, None, None, None, None, refused)
    low, high = record.reference.minimum, record.reference.maximum
    points = normalize(finished, record)
    mean = float(finished.mean())
    return Scores(
        tq=trajectory_quality(mean, low, high),
        neorl_score=neorl_score(mean, low, high),
        mean=float(points.mean()),
        median=float(np.median(points)),
        best=float(points.max()),
        psv=positive_sided_variance(points),
    )
