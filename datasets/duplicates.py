"""Rows and episodes that a dataset holds more than once: what is equal, for measures and the audit.

Two rows are equal if observation, action and reward are: 0 and -0 are one number, and so are all
NaNs.  Two episodes are equal if their rows are, one after the other; an episode of a single row is
counted among the rows only, since by itself it tells no copy from chance.

Rows of two datasets are compared by the names of their columns, whatever the order of the parts of
a state, and in the type that both can be told in: of floats the narrower one (what was stored in
less precision is still a copy), else the one that NumPy promotes both to.

Where rows have to be named and not just counted, they are compared by 64-bit hashes: of n different
ones, two agree by accident with a chance of about n^2 / 2^65, one in 37 for a billion rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from datumrl.datasets import distinct
from datumrl.datasets.discretization import columns_of
from datumrl.datasets.distinct import Progress
from datumrl.datasets.episodes import Episodes
from datumrl.datasets.findings import flat, pieces
from datumrl.datasets.packing import Exact, Packing, equality_bits

SHORTEST = 2  # rows of an episode that is compared as a whole

_ODD = np.uint64(0x9E3779B97F4A7C15)  # multipliers of splitmix64 (Steele, Lea, Flood 2014)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


@dataclass(frozen=True)
class Duplicates:
    """How much of a dataset is there more than once; counts, and shares without unit."""

    rows: int  # beyond the first of each set of equal rows
    row_share: float | None  # of all rows
    episodes: int  # beyond the first of each set of equal episodes of two rows or more
    episode_share: float | None  # of all of two rows or more, an unfinished tail included


def duplicates(episodes: Episodes, progress: Progress | None = None) -> Duplicates:
    """Return the number of repeated rows, counted exactly, and of repeated episodes."""
    rows = repeated_rows(episodes, progress)
    compared, again = repeated_episodes(episodes)
    return Duplicates(
        rows=rows,
        row_share=rows / len(episodes) if len(episodes) else None,
        episodes=len(again),
        episode_share=len(again) / compared if compared else None,
    )


def repeated_rows(episodes: Episodes, progress: Progress | None = None) -> int:
    """Return how many rows equal an earlier one; whole rows are compared, not their hashes."""
    packing = Packing([Exact(column) for column in _columns(episodes).values()])
    return len(episodes) - distinct.count(packing, progress=progress)


def repeated_episodes(
    episodes: Episodes, hashes: np.ndarray | None = None
) -> tuple[int, np.ndarray]:
    """Return how many episodes were compared, and which equal an earlier one, (k,) int64.

    ``hashes`` are the `row_hashes`, where they are at hand.
    """
    long = np.flatnonzero(episodes.lengths() >= SHORTEST)
    return len(long), long[repeated(episode_hashes(episodes, hashes)[long])]


def repeated(hashes: np.ndarray) -> np.ndarray:
    """Return which hashes are equal to an earlier one, (n,) bool."""
    again = np.zeros(len(hashes), bool)
    order = np.argsort(hashes, kind="stable")  # equal ones in the order they came in
    for piece in pieces(len(hashes) - 1):
        later = order[piece.start + 1 : piece.stop + 1]
        again[later[hashes[later] == hashes[order[piece]]]] = True
    return again


def row_hashes(episodes: Episodes, types: Mapping[str, np.dtype] | None = None) -> np.ndarray:
    """Return a hash of each row's observation, action and reward, (rows,) uint64.

    ``types`` (see `common_types`) are what columns are cast to first, by name; by default none is.
    """
    hashes = np.empty(len(episodes), np.uint64)
    for piece, block in _hashed(episodes, types or {}):
        hashes[piece] = block
    return hashes


def incomparable(one: Episodes, other: Episodes) -> str:
    """Return why no row of one dataset can equal one of the other: "" where that can be."""
    mine, theirs = _columns(one), _columns(other)
    if mine.keys() != theirs.keys():
        return f"{one.id} has {', '.join(mine)}; {other.id} has {', '.join(theirs)}"
    for name, column in mine.items():
        widths = flat(column).shape[1], flat(theirs[name]).shape[1]
        if widths[0] != widths[1]:
            return f"{name} have {widths[0]} dimensions in {one.id}, {widths[1]} in {other.id}"
    return ""


def common_types(one: Episodes, other: Episodes) -> dict[str, np.dtype]:
    """Return, by name, as what to compare the columns of which two datasets differ in type."""
    mine, theirs = _columns(one), _columns(other)
    return {
        name: _common(column.dtype, theirs[name].dtype)
        for name, column in mine.items()
        if column.dtype != theirs[name].dtype
    }


def _common(one: np.dtype, other: np.dtype) -> np.dtype:
    floats = [dtype.newbyteorder("=") for dtype in (one, other) if dtype.kind == "f"]
    if floats:
        return min(floats, key=lambda dtype: dtype.itemsize)
    return np.result_type(one, other)


def episode_hashes(episodes: Episodes, hashes: np.ndarray | None = None) -> np.ndarray:
    """Return a hash of each episode's rows in their order, (episodes,) uint64.

    ``hashes`` are the `row_hashes`, where they are at hand; without them, none are held.
    """
    starts = np.asarray(episodes.starts)
    found = np.zeros(len(starts) - 1, np.uint64)
    known = () if hashes is None else ((piece, hashes[piece]) for piece in pieces(len(episodes)))
    for piece, block in known if hashes is not None else _hashed(episodes, {}):
        rows = np.arange(piece.start, piece.stop)
        numbers = np.searchsorted(starts, rows, side="right") - 1
        places = (rows - starts[numbers]).astype(np.uint64)
        keyed = _mixed(block ^ _mixed((places + np.uint64(1)) * _ODD))
        cuts = np.flatnonzero(np.diff(numbers, prepend=-1))
        found[numbers[cuts]] += np.add.reduceat(keyed, cuts)
    return found


def _hashed(
    episodes: Episodes, types: Mapping[str, np.dtype]
) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield rows and their hashes, piece by piece."""
    columns = {name: flat(column) for name, column in _columns(episodes).items()}
    for piece in pieces(len(episodes), sum(column.shape[1] for column in columns.values())):
        block = np.zeros(piece.stop - piece.start, np.uint64)
        for name, column in columns.items():
            with np.errstate(over="ignore", invalid="ignore"):
                values = column[piece].astype(types.get(name, column.dtype), copy=False)
            for bits in _bits(values).T:
                block = (block ^ bits) * _ODD
                block ^= block >> np.uint64(29)
        yield piece, _mixed(block)


def _mixed(values: np.ndarray) -> np.ndarray:
    """Return the finaliser of splitmix64 of each value, uint64; a permutation of them."""
    values = (values ^ (values >> np.uint64(30))) * _MIX[0]
    values = (values ^ (values >> np.uint64(27))) * _MIX[1]
    return values ^ (values >> np.uint64(31))


def _bits(values: np.ndarray) -> np.ndarray:
    """Return numbers (rows, width) of any type as (rows, any) uint64, equal where they are."""
    if values.dtype.kind == "f":
        values, _ = equality_bits(np.asarray(values))
    size = values.dtype.itemsize
    unsigned = np.ascontiguousarray(values).view(f"u{size}")
    if size == 1 and values.shape[1] >= 8:  # images: eight at a time
        padded = np.pad(unsigned, ((0, 0), (0, -values.shape[1] % 8)))
        unsigned = np.ascontiguousarray(padded).view(np.uint64)
    return np.asfortranarray(unsigned.astype(np.uint64, copy=False))


def _columns(episodes: Episodes) -> dict[str, np.ndarray]:
    """Return the columns that tell rows apart by name, in the order of their names."""
    named = {**columns_of(episodes), "rewards": episodes.rewards}
    return {name: named[name] for name in sorted(named)}
