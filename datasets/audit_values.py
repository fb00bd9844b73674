"""Checks of the numbers in the columns: finite, varying, in their space, at full precision."""

from __future__ import annotations

import numpy as np

from datumrl.datasets.episodes import Episodes
from datumrl.datasets.findings import Finding, first, flat, named_columns, pieces, sampled, share

OUTSIDE = 1e-6  # of the range: less than this beyond a bound is float32 rounding
SATURATED = 1e-3  # of the range: an action this near to a bound is saturated
MOSTLY = 0.9  # share of saturated values of one dimension from which on a warning is given

_PRECISION_ROWS = 100_000  # rows looked at for lost precision
_PRECISION_NUMBERS = 1 << 26  # or fewer, where rows are wide
_DISTINCT = 100  # fewer distinct values than these are discrete, not imprecise
# Zero bits at the end of every float32 tell the type that a number once had.
_NARROW = {"bfloat16": (16, None), "float16": (13, np.float16)}


def check_finite(episodes: Episodes) -> Finding:
    """No column holds a NaN or an infinity."""
    name = "finite values"
    counts, offending = {}, []
    for column, values in named_columns(episodes).items():
        bad = _not_finite_rows(values)
        counts[column] = len(bad)
        stored = column.startswith("successors")
        offending.append(episodes.successor_rows[bad] if stored else bad)
    rows = np.unique(np.concatenate(offending))
    if not len(rows):
        return Finding(name, "pass", "every number is finite", counts)
    where = ", ".join(f"{count:,} in {column}" for column, count in counts.items() if count)
    return Finding(
        name,
        "fail",
        f"rows that hold NaN or infinity: {where}",
        counts,
        first(rows),
        "one such number makes every weight NaN; mend the source or drop these episodes",
    )


def _not_finite_rows(values: np.ndarray) -> np.ndarray:
    found = [np.zeros(0, np.int64)]
    for piece in pieces(len(values), values.shape[1]) if values.dtype.kind == "f" else ():
        bad = ~np.isfinite(values[piece])
        if bad.any():
            found.append(piece.start + np.flatnonzero(bad.any(axis=1)))
    return np.concatenate(found)


def limits(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each dimension's least and largest finite value of (rows, dim): two (dim,) float64.

    A dimension without finite values has infinity and minus infinity.
    """
    dim = values.shape[1]
    low, high = np.full(dim, np.inf), np.full(dim, -np.inf)
    for piece in pieces(len(values), dim):
        block = np.asarray(values[piece])
        finite = np.isfinite(block)
        if not finite.all():
            low = np.minimum(low, np.where(finite, block, np.inf).min(axis=0))
            high = np.maximum(high, np.where(finite, block, -np.inf).max(axis=0))
        else:
            low = np.minimum(low, block.min(axis=0))
            high = np.maximum(high, block.max(axis=0))
    return low, high


def check_constant(episodes: Episodes) -> Finding:
    """Every dimension of observations and actions varies."""
    name = "constant columns"
    if len(episodes) < 2:
        return Finding(name, "not applicable", "fewer than two rows")
    constant, total = [], 0
    for column, values in named_columns(episodes).items():
        if column.startswith(("rewards", "successors")):
            continue
        low, high = limits(values)
        total += len(low)
        constant += [f"{column}[{index}]" for index in np.flatnonzero(low >= high)]
    counts = {"columns": total, "constant": len(constant)}
    if not constant:
        return Finding(name, "pass", f"all {total} dimensions vary", counts)
    shown = ", ".join(constant[:8]) + (", ..." if len(constant) > 8 else "")
    return Finding(
        name,
        "warn",
        f"{len(constant)} of {total} dimensions never change: {shown}",
        counts,
        (),
        "they carry nothing and have no deviation to divide by; a value unseen in training may "
        "come at evaluation",
    )


def check_actions(episodes: Episodes, bounds: tuple[np.ndarray, np.ndarray] | None) -> Finding:
    """Actions lie in the action space; ``bounds`` are its low and high, (action_dim,) each.

    Also tells the share of saturated values (within 0.1 % of the range of a bound): policies with a
    squashed Gaussian give those no finite log-probability.
    """
    name = "actions in their space"
    if bounds is None or len(episodes) == 0 or not _fits(bounds, episodes):
        return Finding(name, "not applicable", "no finite bounds are known, or there are no rows")
    low, high = (np.asarray(bound, np.float64) for bound in bounds)
    margin = OUTSIDE * (high - low)
    near = SATURATED * (high - low)
    outside, largest = [np.zeros(0, np.int64)], 0.0
    saturated = np.zeros(len(low), np.int64)
    for piece in pieces(len(episodes)):
        block = flat(episodes.actions)[piece].astype(np.float64)
        beyond = np.maximum(low - block, block - high)
        outside.append(piece.start + np.flatnonzero((beyond > margin).any(axis=1)))
        largest = max(largest, float(np.nanmax(beyond, initial=0.0)))
        saturated += np.count_nonzero(beyond >= -near, axis=0)
    rows = np.concatenate(outside)
    part = saturated / len(episodes)
    counts = {
        "rows outside": len(rows),
        "largest excess": largest,
        "saturated share": float(part.mean()),
        "saturated share of the worst dimension": float(part.max()),
    }
    saturation = f"{100 * part.mean():.1f} % of values are saturated"
    if len(rows):
        text = f"{share(len(rows), len(episodes))} actions lie outside by up to {largest:.3g}"
        remedy = "the environment clips such actions: clip them, or rescale if units differ"
        return Finding(name, "fail", f"{text}; {saturation}", counts, first(rows), remedy)
    if part.max() > MOSTLY:
        text = f"actions[{int(part.argmax())}] is saturated in {100 * part.max():.0f} % of rows"
        remedy = "log-probabilities of a squashed Gaussian are unbounded there; clip before atanh"
        return Finding(name, "warn", text, counts, (), remedy)
    return Finding(name, "pass", f"all lie in their space; {saturation}", counts)


def _fits(bounds: tuple[np.ndarray, np.ndarray], episodes: Episodes) -> bool:
    shape = flat(episodes.actions).shape[1:]
    return all(bound.shape == shape and np.isfinite(bound).all() for bound in bounds)


def check_precision(episodes: Episodes) -> Finding:
    """Numbers have the precision of their type: none passed through a narrower one.

    A dimension with at least 100 distinct values that are not whole, all of which a float16 (or
    bfloat16) can hold, has lost precision: by chance, one float32 in 2^13 is such a value.
    """
    name = "precision"
    narrow: dict[str, list[str]] = {}
    for column, values in named_columns(episodes).items():
        if values.dtype.kind != "f" or values.dtype.itemsize < 4 or column.startswith("succ"):
            continue
        rows = sampled(len(episodes), min(_PRECISION_ROWS, _PRECISION_NUMBERS // values.shape[1]))
        for index, dimension in enumerate(values[rows].astype(np.float32).T):
            kind = _narrow_type(np.ascontiguousarray(dimension))
            if kind is not None:
                narrow.setdefault(kind, []).append(f"{column}[{index}]")
    cast = [note for note in episodes.notes if note.endswith("was float64 and is now float32")]
    counts = {kind: len(narrow.get(kind, ())) for kind in _NARROW}
    counts["columns cast from float64"] = len(cast)
    parts = [f"{', '.join(found[:6])} passed through {kind}" for kind, found in narrow.items()]
    if not parts and not cast:
        return Finding(name, "pass", "no column passed through a narrower type", counts)
    return Finding(
        name,
        "warn",
        "; ".join([*parts, *cast]),
        counts,
        (),
        "small steps are lost in the rounding: replays will not agree beyond it",
    )


def _narrow_type(values: np.ndarray) -> str | None:
    values = values[np.isfinite(values)]
    values = values[values != np.rint(values)]
    if not len(values):
        return None
    bits = np.bitwise_or.reduce(values.view(np.uint32))
    for kind, (zeros, exact) in _NARROW.items():
        # A float16 below 6e-5 has fewer bits still; a float32 that small has other exponents.
        if bits & ((1 << zeros) - 1):
            continue
        with np.errstate(over="ignore"):
            if exact is not None and (values.astype(exact).astype(np.float32) != values).any():
                continue
        if len(np.unique(values)) >= _DISTINCT:
            return kind
    return None
