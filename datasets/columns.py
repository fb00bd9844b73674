"""Columns of a dataset: an array with one entry per row, or several of them by name.

Named columns are how dict observations are held: ``{"image": (rows, 64, 64, 3) uint8, "position":
(rows, 3) float32}``; a nested name is joined by slashes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Column = Any  # np.ndarray (rows, ...), or dict[str, np.ndarray] of as many rows each


def parts(column: Column) -> dict[str, np.ndarray]:
    """Return the arrays of a column by name; a plain array has the name ``""``."""
    return column if isinstance(column, dict) else {"": column}


def in_joining_order(column: Column) -> list[np.ndarray]:
    """Return the arrays of a column in the order in which they are joined: that of their names.

    Two datasets of one environment may hold the same parts in different orders.
    """
    return [values for _, values in sorted(parts(column).items())]


def apply(function: Callable[..., np.ndarray], *columns: Column) -> Column:
    """Return the column of ``function`` of every array, of several alike columns in step."""
    if isinstance(columns[0], dict):
        return {name: function(*(each[name] for each in columns)) for name in columns[0]}
    return function(*columns)


def take(column: Column, rows: np.ndarray) -> Column:
    """Return some rows of a column as arrays of their own."""
    return apply(lambda values: np.take(np.asarray(values), rows, axis=0), column)


def length(column: Column) -> int:
    """Return the number of rows."""
    return len(next(iter(parts(column).values())))


def place(target: Column, rows: np.ndarray, values: Column) -> None:
    """Write ``values`` into some rows of ``target``."""
    for name, array in parts(target).items():
        array[rows] = parts(values)[name]


def describe(column: Column) -> str:
    """Return what a column holds in words: ``float32 (17)``, ``image uint8 (64, 64, 3)``."""
    return ", ".join(
        f"{name} {values.dtype} {_shape(values)}".strip() for name, values in parts(column).items()
    )


def _shape(values: np.ndarray) -> str:
    return f"({', '.join(map(str, values.shape[1:]))})" if values.ndim > 1 else "scalar"
