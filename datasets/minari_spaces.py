"""The spaces that Minari's metadata states of columns, as it serialises them.

Where a dataset does not know what its environment allows, the space is what its type allows, and of
discrete values, those that occur.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from datumrl.datasets.columns import Column
from datumrl.datasets.errors import DatumrlError

_ROWS_AT_ONCE = 1 << 20


def of_observations(observations: Column) -> str:
    """Return the space of observations; names joined by slashes become Dicts within Dicts."""
    if not isinstance(observations, dict):
        return json.dumps(_space(observations))
    tree: dict[str, Any] = {"type": "Dict", "subspaces": {}}
    for name, values in observations.items():
        *outer, last = name.split("/")
        inner = tree
        for key in outer:
            inner = inner["subspaces"].setdefault(key, {"type": "Dict", "subspaces": {}})
        if inner["type"] != "Dict" or last in inner["subspaces"]:
            raise DatumrlError(
                f"observations {name}: is an array and a group of arrays at once, which Minari "
                "cannot hold"
            )
        inner["subspaces"][last] = _space(values)
    return json.dumps(tree)


def of_actions(actions: np.ndarray, bounds: tuple[np.ndarray, np.ndarray] | None) -> str:
    """Return the space of actions; ``bounds`` are those of the environment, (action_dim,) each."""
    if actions.dtype.kind == "f" and bounds is not None:
        return json.dumps(_box(actions, bounds[0].tolist(), bounds[1].tolist()))
    if actions.dtype.kind in "iu" and actions.ndim == 2 and _range(actions)[0] >= 0:
        counts = [_range(actions[:, column])[1] + 1 for column in range(actions.shape[1])]
        dtype, start = str(actions.dtype), [0] * len(counts)
        space = {"type": "MultiDiscrete", "dtype": dtype, "nvec": counts, "start": start}
        return json.dumps(space)
    return json.dumps(_space(actions))


def _space(values: np.ndarray) -> dict[str, Any]:
    shape, dtype = values.shape[1:], values.dtype
    if dtype.kind in "iu" and not shape:
        low, high = _range(values)
        low = min(low, 0)
        return {"type": "Discrete", "dtype": "int64", "start": low, "n": high - low + 1}
    if dtype.kind == "f":
        lowest, highest = -np.inf, np.inf
    elif dtype.kind == "b":
        lowest, highest = 0, 1
    else:
        lowest, highest = np.iinfo(dtype).min, np.iinfo(dtype).max
    low, high = np.full(shape, lowest).tolist(), np.full(shape, highest).tolist()
    return _box(values, low, high)


def _box(values: np.ndarray, low: Any, high: Any) -> dict[str, Any]:
    box = {"type": "Box", "dtype": str(values.dtype), "shape": list(values.shape[1:])}
    return {**box, "low": low, "high": high}


def _range(values: np.ndarray) -> tuple[int, int]:
    """Return the least and the greatest value, read a piece at a time."""
    pieces = [
        values[begin : begin + _ROWS_AT_ONCE] for begin in range(0, len(values), _ROWS_AT_ONCE)
    ]
    return min(int(each.min()) for each in pieces), max(int(each.max()) for each in pieces)
