"""The numbers behind a dataset's pictures: coverage in two dimensions and marginals of actions.

Both come from one seeded sample of rows, without replacement.  Coverage is a grid of counts:

- of the position, for mazes (the first two dimensions of flat observations, or ``achieved_goal``);
- else of the first two principal components of the observations, each dimension standardised by
  its mean and deviation in the sample; constant dimensions are left out, and each component points
  where its largest loading is positive.

Datasets that are shown side by side share one plane, fitted to equally many rows of each, so that
places in it mean the same.  Images, and observations that are single integers, have no plane.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from datumrl.datasets import columns
from datumrl.datasets.episodes import Episodes
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.packing import matrix
from datumrl.datasets.record import DatasetRecord

SAMPLE = 20_000  # rows
CELLS = 36  # per axis of the plane
BINS = 40  # of actions
_OUTSIDE = 0.001  # share of the sample beyond the frame of principal components, on each side
_WIDEST = 512  # dimensions of a vector: wider ones are images or tokens laid flat
_PLACES = 5  # significant digits of edges
_POSITION = "achieved_goal"


@dataclass(frozen=True)
class Plane:
    """How many sampled rows lie in each cell of a grid over two dimensions."""

    labels: tuple[str, str]  # of the axes, with units
    x_edges: tuple[float, ...]  # (columns + 1,) equally wide
    y_edges: tuple[float, ...]  # (rows + 1,)
    counts: tuple[tuple[int, ...], ...]  # (rows, columns), from the lowest y
    square: bool  # both axes have one unit, so a step is as long on either


@dataclass(frozen=True)
class Marginals:
    """How the sampled actions are distributed, one dimension at a time, over shared bins."""

    label: str  # of the axis
    discrete: bool
    edges: tuple[float, ...]  # (bins + 1,)
    counts: tuple[tuple[int, ...], ...]  # (dimensions, bins)


@dataclass(frozen=True)
class Pictures:
    """What is drawn of one dataset beside its statistics; None where ``notes`` say why not."""

    seed: int
    sampled_rows: int
    plane: Plane | None
    actions: Marginals | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class _Points:
    """The rows that a plane is of: (n, dims) float64, and what their axes are."""

    values: np.ndarray
    maze: bool
    what: str  # the observations they are made of, in words
    layout: tuple[object, ...]  # datasets of one layout share a plane


def pictures(
    datasets: Sequence[Episodes], records: Sequence[DatasetRecord | None], seed: int = 0
) -> list[Pictures]:
    """Return the pictures of datasets that are shown side by side, in their order.

    ``records`` are the catalogue's, None for a dataset of the user's own.  Raises DatumrlError for
    a dataset without rows.
    """
    found, points = [], []
    for episodes, record in zip(datasets, records, strict=True):
        if len(episodes) == 0:
            raise DatumrlError(f"{episodes.id}: has no rows, so there is nothing to draw")
        rows = _rows(len(episodes), seed)
        actions, notes = _marginals(episodes, rows)
        mine, why = _points(episodes, record, rows)
        points.append(mine)
        notes = (*notes, f"no plane of coverage: {why}") if mine is None else notes
        found.append(Pictures(seed, len(rows), None, actions, notes))
    planes = _planes(points)
    return [_with_plane(each, plane) for each, plane in zip(found, planes, strict=True)]


def _with_plane(found: Pictures, plane: Plane | str | None) -> Pictures:
    if isinstance(plane, str):
        return replace(found, notes=(*found.notes, f"no plane of coverage: {plane}"))
    return replace(found, plane=plane)


def _rows(rows: int, seed: int) -> np.ndarray:
    """Return the row numbers of the sample, increasing."""
    if rows <= SAMPLE:
        return np.arange(rows)
    drawn = np.random.default_rng(seed).choice(rows, SAMPLE, replace=False, shuffle=False)
    return np.sort(drawn)


def _take(column: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return matrix(np.asarray(column[rows])).astype(np.float64)


def _marginals(episodes: Episodes, rows: np.ndarray) -> tuple[Marginals | None, tuple[str, ...]]:
    discrete = episodes.actions.dtype.kind in "biu"
    values = _take(episodes.actions, rows)
    if values.shape[1] == 0:
        return None, ("no marginals of actions: they have no dimension",)
    finite = np.isfinite(values)
    if not finite.any():
        return None, ("no marginals of actions: no sampled value is finite",)
    notes: tuple[str, ...] = ()
    if not finite.all():
        notes = (f"{int((~finite).sum()):,} sampled action values are not finite and left out",)
    edges = _action_edges(values[finite], discrete)
    counts = tuple(
        tuple(np.histogram(column[np.isfinite(column)], edges)[0].tolist()) for column in values.T
    )
    label = "action, number" if discrete else "action value, units of the environment"
    return Marginals(label, discrete, tuple(edges.tolist()), counts), notes


def _action_edges(values: np.ndarray, discrete: bool) -> np.ndarray:
    low, high = float(values.min()), float(values.max())
    if discrete:
        step = max(1, -(-int(high - low + 1) // BINS))  # whole numbers, so that bins are alike
        return np.arange(low - 0.5, high + step, step)
    # Actions are bounded by -1 and 1 almost everywhere: those that nearly fill it are shown in it.
    if -1.0 <= low < -0.9 and 0.9 < high <= 1.0:
        low, high = -1.0, 1.0
    return _frame(low, high, BINS)


def _frame(low: float, high: float, cells: int) -> np.ndarray:
    """Return equally wide edges from low to high, around them where they are one value."""
    edges = np.linspace(low, high, cells + 1)
    if not np.diff(edges).min() > 0:
        margin = max(abs(low), 1.0) * 1e-3
        edges = np.linspace(low - margin, high + margin, cells + 1)
    return edges


def _points(
    episodes: Episodes, record: DatasetRecord | None, rows: np.ndarray
) -> tuple[_Points | None, str]:
    """Return what a plane is made of, or None and why there is none."""
    named = columns.parts(episodes.observations)
    environment = record.environment.id if record and record.environment else episodes.id
    maze = "maze" in environment.lower() or "maze" in episodes.id.lower()
    vectors = {name: part for name, part in named.items() if _is_vector(part)}
    if maze and _POSITION in vectors and vectors[_POSITION].shape[1] == 2:
        vectors = {_POSITION: vectors[_POSITION]}
    if not vectors:
        return None, f"observations are {columns.describe(episodes.observations)}, no vectors"
    values = np.concatenate([_take(part, rows) for part in vectors.values()], axis=1)
    values = values[np.isfinite(values).all(axis=1)]
    if len(values) < 2:
        return None, f"{len(values)} sampled observations are finite"
    what = "observations" if len(vectors) == len(named) else f"{', '.join(vectors)} of observations"
    position = maze and values.shape[1] >= 2 and (set(vectors) <= {"", _POSITION})
    if position:
        values = values[:, :2]
    shapes = tuple((name, part.shape[1]) for name, part in vectors.items())
    return _Points(values, position, what, (environment, shapes)), ""


def _is_vector(part: np.ndarray) -> bool:
    return part.dtype.kind == "f" and part.ndim == 2 and 1 <= part.shape[1] <= _WIDEST


def _planes(points: Sequence[_Points | None]) -> list[Plane | str | None]:
    """Return each dataset's plane, shared by those of one layout, or why it has none."""
    found: list[Plane | str | None] = [None] * len(points)
    layouts = dict.fromkeys(each.layout for each in points if each is not None)
    for layout in layouts:
        members = [
            (place, each)
            for place, each in enumerate(points)
            if each is not None and each.layout == layout
        ]
        for place, plane in zip(
            [place for place, _ in members], _shared([each for _, each in members]), strict=True
        ):
            found[place] = plane
    return found


def _shared(members: Sequence[_Points]) -> Sequence[Plane | str]:
    """Return the planes of datasets of one layout, in one frame."""
    least = min(len(each.values) for each in members)
    pool = np.concatenate([_evenly(each.values, least) for each in members])
    if members[0].maze:
        labels = ("x, units of the environment", "y, units of the environment")
        projected = [each.values for each in members]
        frame = _frames(np.concatenate(projected), 0.0)
        return [_plane(values, labels, frame, square=True) for values in projected]
    mean, deviation = pool.mean(axis=0), pool.std(axis=0)
    varying = deviation > 1e-9 * np.maximum(1.0, np.abs(mean))
    if int(varying.sum()) < 2:
        return [f"{int(varying.sum())} dimensions of the observations vary"] * len(members)
    standard = [((each.values - mean) / np.where(varying, deviation, 1.0))[:, varying]
                for each in members]  # fmt: skip
    axes, shares = _components((pool[:, varying] - mean[varying]) / deviation[varying])
    of = ", all sets" if len(members) > 1 else ""
    labels = (
        f"component 1, deviations ({100 * shares[0]:.0f} % of variance{of})",
        f"component 2, deviations ({100 * shares[1]:.0f} %)",
    )
    projected = [values @ axes for values in standard]
    frame = _frames(np.concatenate([_evenly(each, least) for each in projected]), _OUTSIDE)
    return [_plane(values, labels, frame, square=False) for values in projected]


def _evenly(values: np.ndarray, count: int) -> np.ndarray:
    """Return ``count`` rows of a sample, evenly spaced."""
    return values[np.arange(count) * len(values) // count]


def _components(standard: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first two principal axes, (dims, 2), and their shares of the variance."""
    variances, axes = np.linalg.eigh(standard.T @ standard / len(standard))
    first = axes[:, [-1, -2]]
    largest = np.abs(first).argmax(axis=0)
    first = first * np.sign(first[largest, [0, 1]])
    return first, variances[[-1, -2]] / variances.sum()


def _frames(pool: np.ndarray, outside: float) -> tuple[np.ndarray, np.ndarray]:
    ends = np.quantile(pool, [outside, 1.0 - outside], axis=0)
    x, y = (_frame(float(low), float(high), CELLS) for low, high in ends.T)
    return x, y


def _plane(
    values: np.ndarray,
    labels: tuple[str, str],
    frame: tuple[np.ndarray, np.ndarray],
    square: bool,
) -> Plane:
    """Count rows (n, 2) in the frame; those outside count in the cells at its border."""
    inside = [np.clip(values[:, axis], frame[axis][0], frame[axis][-1]) for axis in (0, 1)]
    counts = np.histogram2d(inside[1], inside[0], bins=(frame[1], frame[0]))[0].astype(int)
    x, y = (tuple(float(f"{edge:.{_PLACES}g}") for edge in edges) for edges in frame)
    return Plane(labels, x, y, tuple(map(tuple, counts.tolist())), square)
