"""The compiled inner loops of discretising rows and of counting the distinct ones.

A row becomes a key of a few 64-bit words; each dimension owns some bits of one word.
"""

from __future__ import annotations

import numpy as np

from datumrl.datasets.compiling import compiled


@compiled
def extremes(values: np.ndarray, low: np.ndarray, high: np.ndarray) -> int:
    """Widen ``low`` and ``high`` (dim,) by the rows (rows, dim); return the number of NaNs."""
    nans = 0
    for row in range(values.shape[0]):
        for place in range(values.shape[1]):
            value = values[row, place]
            if value < low[place]:
                low[place] = value
            if value > high[place]:
                high[place] = value
            if value != value:
                nans += 1
    return nans


@compiled
def pack_bins(
    values: np.ndarray,
    thresholds: np.ndarray,
    low: np.ndarray,
    scale: np.ndarray,
    words: np.ndarray,
    shifts: np.ndarray,
    keys: np.ndarray,
) -> int:
    """Put the bin of every value into its row's key; return the number of NaNs.

    ``values`` (rows, dim), ``thresholds`` (dim, edges) of the same type.  The bin is the number of
    edges that are not above the value, as in `numpy.digitize`; NaN is above all.  ``low`` and
    ``scale`` (dim,) float64 only say where to begin to look.
    """
    edges = thresholds.shape[1]
    nans = 0
    for row in range(values.shape[0]):
        for place in range(values.shape[1]):
            value = values[row, place]
            if value != value:
                nans += 1
                number = edges
            else:
                number = 0
                guess = (np.float64(value) - low[place]) * scale[place] + 1.0
                if guess >= edges:
                    number = edges
                elif guess > 0.0:
                    number = int(guess)
                while number < edges and value >= thresholds[place, number]:
                    number += 1
                while number > 0 and value < thresholds[place, number - 1]:
                    number -= 1
            keys[row, words[place]] |= np.uint64(number) << shifts[place]
    return nans


@compiled
def pack_integers(
    values: np.ndarray, low: np.ndarray, words: np.ndarray, shifts: np.ndarray, keys: np.ndarray
) -> None:
    """Put every value, less the lowest of its dimension, into its row's key; int64 all."""
    for row in range(values.shape[0]):
        for place in range(values.shape[1]):
            number = np.uint64(values[row, place] - low[place])
            keys[row, words[place]] |= number << shifts[place]


@compiled
def hash_key(key: np.ndarray) -> np.uint64:
    """Return 64 well-mixed bits of a key (SplitMix64's finaliser; Steele, Lea, Flood 2014)."""
    state = np.uint64(0)
    for word in key:
        state = (state ^ word) + np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state ^= state >> np.uint64(31)
    return state


@compiled
def hash_keys(keys: np.ndarray, hashes: np.ndarray) -> None:
    """Fill ``hashes`` (rows,) uint64 from ``keys`` (rows, words) uint64."""
    for row in range(keys.shape[0]):
        hashes[row] = hash_key(keys[row])


@compiled
def scatter(
    keys: np.ndarray, hashes: np.ndarray, shift: np.uint64, offsets: np.ndarray, out: np.ndarray
) -> None:
    """Copy keys to ``out`` in the order of their partition, ``hash >> shift``.

    ``offsets`` (partitions + 1,) gets where each partition begins, then the number of keys.
    """
    offsets[:] = 0
    for row in range(keys.shape[0]):
        offsets[np.int64(hashes[row] >> shift) + 1] += 1
    for part in range(1, len(offsets)):
        offsets[part] += offsets[part - 1]
    place = offsets.copy()
    for row in range(keys.shape[0]):
        own = np.int64(hashes[row] >> shift)
        for word in range(keys.shape[1]):
            out[place[own], word] = keys[row, word]
        place[own] += 1


@compiled
def insert(
    keys: np.ndarray, begin: int, slots: np.ndarray, known: np.ndarray, count: int
) -> tuple[int, int]:
    """Add the keys from row ``begin`` to a table; return (next row, count of distinct keys).

    ``known`` (capacity, words) holds the distinct keys so far, ``slots`` (a power of two,) uint64
    the upper half of each one's hash and, below, one more than its place in ``known``; 0 is free.
    Equal hashes decide nothing: keys are compared whole.  Stops early when half the slots are
    taken.
    """
    mask = np.uint64(len(slots) - 1)
    upper = np.uint64(0xFFFFFFFF00000000)
    words = keys.shape[1]
    for row in range(begin, keys.shape[0]):
        if 2 * count >= len(slots):
            return row, count
        value = hash_key(keys[row])
        slot = value & mask
        while slots[slot] != np.uint64(0):
            entry = slots[slot]
            if entry & upper == value & upper:
                other = np.int64(entry & np.uint64(0xFFFFFFFF)) - 1
                same = True
                for word in range(words):
                    if known[other, word] != keys[row, word]:
                        same = False
                        break
                if same:
                    break
            slot = (slot + np.uint64(1)) & mask
        if slots[slot] == np.uint64(0):
            for word in range(words):
                known[count, word] = keys[row, word]
            count += 1
            slots[slot] = (value & upper) | np.uint64(count)
    return keys.shape[0], count


@compiled
def refill(known: np.ndarray, count: int, slots: np.ndarray) -> None:
    """Enter the first ``count`` known keys into new, empty slots."""
    mask = np.uint64(len(slots) - 1)
    upper = np.uint64(0xFFFFFFFF00000000)
    for place in range(count):
        value = hash_key(known[place])
        slot = value & mask
        while slots[slot] != np.uint64(0):
            slot = (slot + np.uint64(1)) & mask
        slots[slot] = (value & upper) | np.uint64(place + 1)
