"""Continuous rows as bins: the two published discretisations, their limits and their edges.

A dimension's edges are ``numpy.linspace(low, high, edges)`` between its extremes in a reference
dataset; a value's bin is that of `numpy.digitize`: the number of edges not above it.  So values
below ``low`` are in bin 0, ``high`` itself and all above it in bin ``edges``, a value equal to an
edge in the bin above it.  A dimension that is constant in the reference has bins 0 (below) and
``edges`` (equal or above) only.  Columns of integers are counted by value, whatever the preset.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

import numpy as np

from datumrl.datasets import columns
from datumrl.datasets.episodes import Episodes
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.packing import Binned, Exact, Packing, Part, matrix

_BATCH = 1 << 18


@dataclass(frozen=True)
class Preset:
    """How rows are discretised and which are counted."""

    name: str
    edges: int  # per dimension
    rows: int | None  # only the first so many, of the dataset and of its reference; None: all
    # In float64, as in NumPy 1 for limits that are scalars, with which both were computed; NumPy 2
    # would make float32 edges of float32 limits.
    edge_dtype: str
    source: str


PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            "d4rl-study",
            edges=5,
            rows=100_000,
            edge_dtype="float64",
            source="ml-jku/OfflineRL: d4rl_results/evaluate.ipynb",
        ),
        Preset(
            "paper",
            edges=100,
            rows=None,
            edge_dtype="float64",
            source="Schweighofer et al., arXiv:2111.04714; ml-jku/OfflineRL: "
            "source/offline_ds_evaluation/evaluator.py",
        ),
    )
}
DEFAULT = "d4rl-study"


def find_preset(name: str) -> Preset:
    """Return a preset by name; an unknown one is an error that names the nearest."""
    if name in PRESETS:
        return PRESETS[name]
    nearest = difflib.get_close_matches(name, PRESETS, n=1, cutoff=0.3) or PRESETS
    raise DatumrlError(f"unknown preset {name!r}; use {' or '.join(nearest)}")


@dataclass(frozen=True, eq=False)
class Limits:
    """The least and largest value of every dimension of some columns, by column.

    None for a column that is counted by value.
    """

    source: str  # the reference dataset
    rows: int  # of it, that were looked at
    columns: dict[str, tuple[np.ndarray, np.ndarray] | None]  # (dim,) float64 each


def columns_of(episodes: Episodes) -> dict[str, np.ndarray]:
    """Return the columns that coverage looks at by name: states, in parts if named, and actions."""
    states = columns.parts(episodes.observations).items()
    named = {f"observations {name}".strip(): values for name, values in states}
    return {**named, "actions": episodes.actions}


def limits(episodes: Episodes, rows: int | None = None) -> Limits:
    """Return the extremes of a reference dataset's first ``rows`` rows (all by default).

    Raises DatumrlError for a reference without rows or with values that are not finite.
    """
    used = len(episodes) if rows is None else min(rows, len(episodes))
    if used == 0:
        raise DatumrlError(f"{episodes.id}: has no rows to take limits from; use another reference")
    found = {
        name: None if column.dtype.kind in "biu" else _extremes(column, used, episodes.id)
        for name, column in columns_of(episodes).items()
    }
    return Limits(episodes.id, used, found)


def _extremes(column: np.ndarray, rows: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    from datumrl.datasets.packing_kernels import extremes

    values = matrix(column)
    low, high = np.full(values.shape[1], np.inf), np.full(values.shape[1], -np.inf)
    nans = 0
    for begin in range(0, rows, _BATCH):
        piece = np.ascontiguousarray(values[begin : min(rows, begin + _BATCH)])
        # What is compiled takes float32 and float64 of this machine's byte order.
        piece = piece.astype(np.float32 if piece.dtype.itemsize <= 4 else np.float64, copy=False)
        nans += extremes(np.asarray(piece), low, high)
    with np.errstate(over="ignore", invalid="ignore"):
        usable = np.isfinite(high - low)
    if nans or not usable.all():
        place = int(np.argmin(usable))
        why = [f"{nans} values are NaN"] if nans else []
        if not usable[place]:
            why.append(f"dimension {place} runs from {low[place]} to {high[place]}")
        raise DatumrlError(
            f"{name}: no limits can be taken from it ({'; '.join(why)}); use another reference, "
            "or mend it"
        )
    return low, high


def edges(low: np.ndarray, high: np.ndarray, count: int, dtype: str = "float64") -> np.ndarray:
    """Return the edges of each dimension, (dim, count) float64.

    They are ``numpy.linspace(low, high, count, dtype=dtype)`` of each dimension, then widened.
    """
    if count < 2:
        raise DatumrlError(f"{count} edges: at least 2 are needed to tell values apart")
    # One by one: for arrays with a constant dimension, linspace rounds in another way.
    made = [
        np.linspace(float(bottom), float(top), count, dtype=dtype)
        for bottom, top in zip(low, high, strict=True)
    ]
    return np.array(made, np.float64).reshape(-1, count)


def packing(episodes: Episodes, found: Limits, preset: Preset, *, actions: bool = True) -> Packing:
    """Return what tells rows apart: bins of states and, by default, of actions.

    Raises DatumrlError where the columns are not of the kind and width the limits are of.
    """
    check_alike(episodes, found)
    parts: list[Part] = []
    for name, column in columns_of(episodes).items():
        extent = found.columns[name]
        if actions or name != "actions":
            parts.append(Exact(column) if extent is None else _binned(column, extent, preset))
    return Packing(parts)


def check_alike(episodes: Episodes, found: Limits) -> None:
    """Raise DatumrlError where columns differ in kind or width from those of the limits."""
    here = columns_of(episodes)
    if here.keys() != found.columns.keys():
        raise DatumrlError(
            f"{found.source}: no reference for {episodes.id}: it has {', '.join(found.columns)}, "
            f"not {', '.join(here)}; use a reference of the same environment"
        )
    for name, column in here.items():
        extent = found.columns[name]
        discrete = column.dtype.kind in "biu"
        if discrete != (extent is None):
            kinds = ("discrete", "continuous") if discrete else ("continuous", "discrete")
            raise DatumrlError(
                f"{found.source}: no reference for {episodes.id}: {name} are {kinds[0]} "
                f"({column.dtype}) here and {kinds[1]} there; use a reference of the same "
                "environment"
            )
        width = matrix(column).shape[1]
        if extent is not None and len(extent[0]) != width:
            raise DatumrlError(
                f"{found.source}: no reference for {episodes.id}: {name} have {len(extent[0])} "
                f"dimensions, not {width}; use a reference of the same environment"
            )


def _binned(column: np.ndarray, extent: tuple[np.ndarray, np.ndarray], preset: Preset) -> Binned:
    return Binned(column, edges(*extent, preset.edges, preset.edge_dtype))
