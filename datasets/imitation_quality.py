"""Data quality for imitation: how consistent actions and transitions are among similar states.

Source: Belkhale, Cui, Sadigh, "Data Quality in Imitation Learning", arXiv:2306.02437.  Its action
divergence compares an expert with a learner and cannot be computed from data alone; what is here
are data-only proxies, read from its definitions, with our own choice of neighbourhood:

- States are scaled by the reference dataset's standard deviation per dimension (of its sample);
  dimensions that are constant there are left out.
- epsilon is the 1 % quantile of the distances between pairs of the reference's sampled states, so
  that datasets of one environment are measured with one yardstick.  A dataset that is its own
  reference has a state similarity of 1 % by construction, unless many distances are equal, as
  those of discrete states are: all pairs at epsilon, which may be 0, count as similar.
- The sample is seeded and without replacement.  Standard errors cover this sampling: of means of
  pairs by Hajek's projection (twice the deviation of the row means over the root of their number),
  of means over rows by their deviation; both take rows as independent, which rows of one episode
  are only roughly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from datumrl.datasets.columns import Column, in_joining_order, parts
from datumrl.datasets.episodes import Episodes
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.packing import matrix

SAMPLE = 4_000  # rows; 16 million pairs
_WIDEST = 8_000_000  # numbers in a sample of states: wide ones, as images are, get fewer rows
QUANTILE = 0.01  # of pairwise distances in the reference: epsilon
_BLOCK = 500  # rows whose distances to all others are held at once


@dataclass(frozen=True)
class Estimate:
    """A mean over sampled rows and its standard error; None where nothing could be averaged."""

    value: float | None
    standard_error: float | None
    rows: int  # that went into the mean


@dataclass(frozen=True, eq=False)
class Yardstick:
    """How far apart two rows count as similar: scales and radii of a reference dataset."""

    source: str
    state_parts: dict[str, int]  # the width of each part of a state; of a plain array, that of ""
    # (state dims,), parts in the order of their names: 1 / deviation; 0 for a constant dimension
    state_scale: np.ndarray
    action_scale: np.ndarray | None  # (action dims,) likewise; None: discrete actions
    state_radius: float  # epsilon for states, in scaled units
    joint_radius: float  # epsilon for (state, action) pairs; discrete actions must be the same


@dataclass(frozen=True)
class ImitationQuality:
    """The proxies, each with the error of its sampling."""

    reference: str
    sampled_rows: int
    left_out: int  # sampled rows with values that are not finite
    seed: int
    epsilon: float  # for states, in deviations of the reference
    epsilon_quantile: float
    action_variance: Estimate  # (action units)^2, or a probability for discrete actions
    neighbour_action_variance: Estimate  # the same unit
    transition_diversity: Estimate  # (deviations of the reference)^2 per dimension
    state_similarity: Estimate  # a share of the dataset


@dataclass(frozen=True, eq=False)
class _Sample:
    states: np.ndarray  # (n, dims) float32
    actions: np.ndarray  # (n, dims) float32; one-hot if discrete
    discrete: bool
    changes: np.ndarray  # (n, dims) float32: next state less state; NaN where it is not known
    left_out: int


def yardstick(reference: Episodes, seed: int = 0, rows: int = SAMPLE) -> Yardstick:
    """Return scales and radii from a seeded sample of a reference dataset.

    Raises DatumrlError for a reference of fewer than two usable rows.
    """
    sample = _draw(reference, seed, rows)
    if len(sample.states) < 2:
        raise DatumrlError(
            f"{reference.id}: {len(sample.states)} rows give no distances; use another reference"
        )
    scale, widths = _scale(sample.states), _widths(reference)
    radius = _radius(sample.states * scale)
    if sample.discrete:
        return Yardstick(reference.id, widths, scale, None, radius, radius)
    actions = _scale(sample.actions)
    joint = np.concatenate([sample.states * scale, sample.actions * actions], axis=1)
    return Yardstick(reference.id, widths, scale, actions, radius, _radius(joint))


def imitation_quality(
    episodes: Episodes, measure: Yardstick, seed: int = 0, rows: int = SAMPLE
) -> ImitationQuality:
    """Return the proxies for a seeded sample of rows.

    ``action_variance``: how far an action lies from the mean action of the states within epsilon,
    squared, mean over dimensions; corrected for the neighbours' own spread by n / (n + 1) for n
    neighbours.  Discrete actions: the chance that a neighbour's action differs.
    ``neighbour_action_variance``: half the squared difference to the action of the nearest other
    state, which needs no epsilon (discrete: the chance that it differs).
    ``transition_diversity``: the same deviation of scaled state changes among (state, action) pairs
    within epsilon: the noise of the next state, plus what changes within epsilon, so an upper
    bound.  ``state_similarity``: mean share of the other states within epsilon of a state.

    Raises DatumrlError for columns of other widths, or parts of other names, than the reference's.
    """
    sample = _draw(episodes, seed, rows)
    _check_alike(episodes, sample, measure)
    states = sample.states * measure.state_scale
    # Discrete actions that differ are further apart than any radius.
    action_scale = 2 * measure.joint_radius + 1 if sample.discrete else measure.action_scale
    joint = np.concatenate([states, sample.actions * action_scale], axis=1)
    changes = sample.changes * measure.state_scale
    changes = changes[:, measure.state_scale > 0]
    followed = np.isfinite(changes).all(axis=1)
    sums = _neighbour_sums(states, sample.actions, measure.state_radius)
    noise = _neighbour_sums(joint[followed], changes[followed], measure.joint_radius)
    share = 0.5 if sample.discrete else 1.0 / max(1, sample.actions.shape[1])
    return ImitationQuality(
        reference=measure.source,
        sampled_rows=len(states),
        left_out=sample.left_out,
        seed=seed,
        epsilon=measure.state_radius,
        epsilon_quantile=QUANTILE,
        action_variance=_disagreement(sample, sums)
        if sample.discrete
        else _deviation(sample.actions, sums, share),
        neighbour_action_variance=_nearest(sample.actions, sums, share, sample.discrete),
        transition_diversity=_deviation(changes[followed], noise, 1.0 / max(1, changes.shape[1])),
        state_similarity=_similarity(sums),
    )


def _check_alike(episodes: Episodes, sample: _Sample, measure: Yardstick) -> None:
    there = (
        len(measure.state_scale),
        0 if measure.action_scale is None else len(measure.action_scale),
    )
    here = (sample.states.shape[1], 0 if sample.discrete else sample.actions.shape[1])
    if sample.discrete != (measure.action_scale is None) or here != there:
        raise DatumrlError(
            f"{measure.source}: no reference for {episodes.id}: continuous states and actions have "
            f"{there[0]} and {there[1]} dimensions there, {here[0]} and {here[1]} here; use a "
            "reference of the same environment"
        )
    if (parts_here := _widths(episodes)) != measure.state_parts:
        raise DatumrlError(
            f"{measure.source}: no reference for {episodes.id}: states are of "
            f"{_told(measure.state_parts)} there and of {_told(parts_here)} here; use a reference "
            "of the same environment"
        )


def _widths(episodes: Episodes) -> dict[str, int]:
    """Return the number of dimensions of each part of a state by name."""
    named = parts(episodes.observations).items()
    return {name: matrix(values).shape[1] for name, values in named}


def _told(widths: dict[str, int]) -> str:
    return ", ".join(f"{name or 'one array'} ({widths[name]})" for name in sorted(widths))


@dataclass(frozen=True, eq=False)
class _Sums:
    count: np.ndarray  # (n,) other rows within the radius
    total: np.ndarray  # (n, dims) sum of their values
    nearest: np.ndarray  # (n,) the nearest other row


def _draw(episodes: Episodes, seed: int, rows: int) -> _Sample:
    if rows < 2:
        raise DatumrlError(f"a sample of {rows} rows has no pairs; ask for 2 or more")
    generator = np.random.default_rng(seed)
    width = sum(_widths(episodes).values())
    rows = min(rows, len(episodes), max(2, _WIDEST // max(1, width)))
    chosen = np.sort(generator.choice(len(episodes), rows, replace=False))
    states = _states(episodes.observations, chosen)
    actions = matrix(episodes.actions)[chosen]
    discrete = actions.dtype.kind in "biu"
    with np.errstate(invalid="ignore"):
        changes = _successors(episodes, chosen) - states
    usable = np.isfinite(states).all(axis=1)
    usable &= np.isfinite(actions.astype(np.float64)).all(axis=1)
    actions = actions[usable]
    if discrete:
        actions = _one_hot(actions)
    return _Sample(
        states[usable],
        actions.astype(np.float64),
        discrete,
        changes[usable],
        int((~usable).sum()),
    )


def _one_hot(actions: np.ndarray) -> np.ndarray:
    _, codes = np.unique(actions, axis=0, return_inverse=True)
    return np.eye(int(codes.max(initial=-1)) + 1)[codes.reshape(-1)]


def _successors(episodes: Episodes, rows: np.ndarray) -> np.ndarray:
    """Return the states after some rows, (n, dims) float64; NaN where they are not known."""
    ends = np.asarray(episodes.starts[1:]) - 1
    following = _states(episodes.observations, np.minimum(rows + 1, len(episodes) - 1))
    following[np.isin(rows, ends)] = np.nan
    listed = np.asarray(episodes.successor_rows)
    stored = np.isin(rows, listed)
    following[stored] = _states(episodes.successors, np.searchsorted(listed, rows[stored]))
    return following


def _states(column: Column, rows: np.ndarray) -> np.ndarray:
    """Return some rows as vectors, (n, dims) float64: images flattened, named parts joined."""
    taken = [matrix(part)[rows].astype(np.float64) for part in in_joining_order(column)]
    return np.concatenate(taken, axis=1)


def _scale(values: np.ndarray) -> np.ndarray:
    spread = values.std(axis=0)
    return np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 0)


def _squared_distances(values: np.ndarray, begin: int) -> np.ndarray:
    """Return squared distances of a block of rows to all rows; a row's own is infinite."""
    block = values[begin : begin + _BLOCK]
    norms = np.einsum("ij,ij->i", values, values)
    squares = norms[begin : begin + len(block), None] + norms - 2.0 * (block @ values.T)
    squares[np.arange(len(block)), begin + np.arange(len(block))] = np.inf
    return np.maximum(squares, 0.0)


def _radius(values: np.ndarray) -> float:
    """Return the `QUANTILE` of the distances of all pairs."""
    values = values - values.mean(axis=0)
    kept = []
    for begin in range(0, len(values), _BLOCK):
        squares = _squared_distances(values, begin)
        later = np.arange(len(values)) > begin + np.arange(len(squares))[:, None]
        kept.append(squares[later].astype(np.float32))
    return float(np.sqrt(np.quantile(np.concatenate(kept), QUANTILE)))


def _neighbour_sums(points: np.ndarray, values: np.ndarray, radius: float) -> _Sums:
    count = np.zeros(len(points), np.int64)
    total = np.zeros((len(points), values.shape[1]))
    nearest = np.zeros(len(points), np.int64)
    centred = points - points.mean(axis=0) if len(points) else points
    # Rounding of large norms must not part rows that are the same.
    limit = radius**2 + 1e-9
    for begin in range(0, len(points), _BLOCK):
        squares = _squared_distances(centred, begin)
        near = squares <= limit
        rows = slice(begin, begin + len(squares))
        count[rows] = near.sum(axis=1)
        total[rows] = near.astype(np.float64) @ values
        nearest[rows] = squares.argmin(axis=1)
    return _Sums(count, total, nearest)


def _deviation(values: np.ndarray, sums: _Sums, share: float) -> Estimate:
    some = sums.count > 0
    number = sums.count[some].astype(np.float64)
    apart = values[some] - sums.total[some] / number[:, None]
    return _estimate(share * (apart**2).sum(axis=1) * number / (number + 1.0))


def _disagreement(sample: _Sample, sums: _Sums) -> Estimate:
    some = sums.count > 0
    same = (sample.actions[some] * sums.total[some]).sum(axis=1)
    return _estimate(1.0 - same / sums.count[some])


def _nearest(actions: np.ndarray, sums: _Sums, share: float, discrete: bool) -> Estimate:
    if len(actions) < 2:
        return _estimate(np.zeros(0))
    squares = ((actions - actions[sums.nearest]) ** 2).sum(axis=1)
    # One-hot actions that differ are 2 apart; of two independent draws, half is the variance.
    return _estimate(squares * share * (1.0 if discrete else 0.5))


def _similarity(sums: _Sums) -> Estimate:
    others = len(sums.count) - 1
    if others < 1:
        return _estimate(np.zeros(0))
    found = _estimate(sums.count / others)
    error = None if found.standard_error is None else 2.0 * found.standard_error
    return Estimate(found.value, error, found.rows)


def _estimate(values: np.ndarray) -> Estimate:
    if len(values) == 0:
        return Estimate(None, None, 0)
    error = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
    return Estimate(float(values.mean()), error, len(values))
