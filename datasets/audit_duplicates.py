"""Checks for rows and episodes that come twice, within a dataset or in two of them.

Rows are compared by 64-bit hashes of (observation, action, reward): of n different rows, two agree
by accident with a chance of about n^2 / 2^65, one in 37 for a billion rows.  The hashes are all
that is held in memory: 8 bytes a row, and as much again while they are sorted.
"""

from __future__ import annotations

import numpy as np

from datumrl.datasets.episodes import Episodes
from datumrl.datasets.findings import Finding, first, named_columns, pieces, share

_SHORTEST = 2  # rows of an episode that is compared as a whole

_ODD = np.uint64(0x9E3779B97F4A7C15)  # multipliers of splitmix64 (Steele, Lea, Flood 2014)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def _mixed(values: np.ndarray) -> np.ndarray:
    """Return the finaliser of splitmix64 of each value, uint64; a permutation of them."""
    values = (values ^ (values >> np.uint64(30))) * _MIX[0]
    values = (values ^ (values >> np.uint64(27))) * _MIX[1]
    return values ^ (values >> np.uint64(31))


def row_hashes(episodes: Episodes) -> np.ndarray:
    """Return a hash of each row's observation, action and reward, (rows,) uint64.

    Zero and minus zero are the same number; NaNs are the same if their bits are.
    """
    hashes = np.empty(len(episodes), np.uint64)
    columns = [
        values
        for name, values in named_columns(episodes).items()
        if not name.startswith("successors")
    ]
    for piece in pieces(len(episodes), sum(column.shape[1] for column in columns)):
        block = np.zeros(piece.stop - piece.start, np.uint64)
        for column in columns:
            for bits in _bits(column[piece]).T:
                block = (block ^ bits) * _ODD
                block ^= block >> np.uint64(29)
        hashes[piece] = _mixed(block)
    return hashes


def _bits(values: np.ndarray) -> np.ndarray:
    """Return the bits of (rows, width) numbers of any type as (rows, any) unsigned integers."""
    if values.dtype.kind == "f":
        values = values + values.dtype.type(0)  # minus zero becomes zero
    size = values.dtype.itemsize
    unsigned = np.ascontiguousarray(values).view(f"u{size}")
    if size == 1 and values.shape[1] >= 8:  # images: eight at a time
        padded = np.pad(unsigned, ((0, 0), (0, -values.shape[1] % 8)))
        unsigned = np.ascontiguousarray(padded).view(np.uint64)
    return np.asfortranarray(unsigned.astype(np.uint64, copy=False))


def episode_hashes(hashes: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Return a hash of each episode's rows in their order, (episodes,) uint64."""
    if len(starts) < 2:
        return np.zeros(0, np.uint64)
    place = np.arange(len(hashes)) - np.repeat(starts[:-1], np.diff(starts))
    keyed = _mixed(hashes ^ _mixed((place.astype(np.uint64) + np.uint64(1)) * _ODD))
    return np.add.reduceat(keyed, starts[:-1])


def repeated(hashes: np.ndarray) -> np.ndarray:
    """Return, increasing, the places whose hash came before, (k,) int64."""
    if not len(hashes):
        return np.zeros(0, np.int64)
    ordered = np.sort(hashes)
    if not (ordered[1:] == ordered[:-1]).any():
        return np.zeros(0, np.int64)
    _, firsts = np.unique(hashes, return_index=True)
    again = np.ones(len(hashes), bool)
    again[firsts] = False
    return np.flatnonzero(again)


def check_duplicate_rows(episodes: Episodes, hashes: np.ndarray) -> Finding:
    """No (observation, action, reward) comes twice, outside of episodes that do so as a whole."""
    name = "duplicated rows"
    if len(episodes) < 2:
        return Finding(name, "not applicable", "fewer than two rows")
    again = repeated(hashes)
    counts = {"rows": len(episodes), "repeated": len(again)}
    if not len(again):
        return Finding(name, "pass", f"all {len(episodes):,} rows are distinct", counts)
    return Finding(
        name,
        "warn",
        f"{share(len(again), len(episodes))} rows repeat an earlier one",
        counts,
        first(again),
        "normal for discrete states; otherwise part of the data was copied, counts for more, and "
        "leaks from training into validation",
    )


def check_duplicate_episodes(episodes: Episodes, hashes: np.ndarray) -> Finding:
    """No episode of two rows or more is a copy of an earlier one.

    States that are whole numbers may repeat by chance, so copies there are only a warning.
    """
    name = "duplicated episodes"
    long = np.flatnonzero(episodes.lengths() >= _SHORTEST)
    if len(long) < 2:
        return Finding(name, "not applicable", "fewer than two episodes of two rows or more")
    again = long[repeated(episode_hashes(hashes, episodes.starts)[long])]
    counts = {"episodes": len(long), "repeated": len(again)}
    if not len(again):
        return Finding(name, "pass", f"all {len(long):,} episodes are distinct", counts)
    return Finding(
        name,
        "warn" if _whole_numbers(episodes) else "fail",
        f"{share(len(again), len(long))} episodes repeat an earlier one",
        counts,
        first(episodes.starts[:-1][again]),
        "drop the copies: they count for more, and a split by episode leaks them",
    )


def _whole_numbers(episodes: Episodes) -> bool:
    """Return whether observations look discrete: the first rows are whole numbers."""
    parts = [
        values[: 1 << 10]
        for name, values in named_columns(episodes).items()
        if name.startswith("observations")
    ]
    return all(bool((part == np.rint(part)).all()) for part in parts)


def check_leakage(training: Episodes, hashes: np.ndarray, validation: Episodes) -> Finding:
    """No row or episode of ``validation`` is in ``training``, whose row hashes are ``hashes``.

    Raises nothing for datasets of different widths: these share no row.
    """
    name = "leakage"
    if not len(validation) or not len(training):
        return Finding(name, "not applicable", "one of the two datasets holds no rows")
    others = row_hashes(validation)
    rows = np.flatnonzero(np.isin(others, hashes))
    mine = episode_hashes(hashes, training.starts)
    shared = np.isin(episode_hashes(others, validation.starts), mine)
    shared &= validation.lengths() >= _SHORTEST
    counts = {
        "rows": len(validation),
        "shared rows": len(rows),
        "shared episodes": int(shared.sum()),
    }
    if not len(rows):
        text = f"none of the {len(validation):,} rows of {validation.id} is in {training.id}"
        return Finding(name, "pass", text, counts)
    return Finding(
        name,
        "fail",
        f"{share(len(rows), len(validation))} rows and {counts['shared episodes']:,} whole "
        f"episodes of {validation.id} are in {training.id}",
        counts,
        first(rows),
        f"drop them from one of the two (the first rows are those of {validation.id}): scores on "
        "them say nothing of what was learned",
    )
