"""The compiled inner loops of the permutation tests; imported only when a test is run.

Random relabellings come from a SplitMix64 stream (Steele, Lea, Flood 2014; the constants are
theirs): one 64-bit state per draw of labels, one step per swap.  Nothing here may reorder
floating-point sums (no ``fastmath``), so that a seed gives the same decisions on every machine.
The machine code is kept in numba's cache where a folder for it can be written, else compiled anew.
"""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from datumrl.evaluation import provenance
from datumrl.evaluation.permutation_paths import FLOOR, TIE

_CHUNK = 64  # sets worked on side by side: their sums stay in the nearest cache
_WORTH_THREADS = 1 << 22  # scores to be relabelled, some milliseconds
_PATHS = 500  # paths between two looks at whether more can change anything


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function compiled by numba, kept on disk where that is possible."""
    try:
        return numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        return numba.njit(nogil=True, error_model="numpy")(function)


def largest_statistics(
    columns: np.ndarray, compared: np.ndarray, labels: np.ndarray, groups: int, studentized: bool
) -> np.ndarray:
    """Return the largest statistic over a set's comparisons, ``(sets, blocks, paths)``.

    ``columns (blocks, groups * runs, sets)``: scores, centred and scaled; ``compared (pairs,
    sets)`` is 1.0 where a pair of groups is compared; ``labels (blocks, paths, groups * runs)``.
    """
    blocks, paths, _ = labels.shape
    out = np.empty((columns.shape[2], blocks, paths))
    _fill(columns, compared, labels, groups, studentized, 0, paths, out)
    return out


def rejections(
    columns: np.ndarray,
    compared: np.ndarray,
    labels: np.ndarray,
    groups: int,
    studentized: bool,
    allowances: np.ndarray,
) -> np.ndarray:
    """Return ``first_rejections`` of ``largest_statistics``, computing no more paths than needed.

    Path 0 is surely not marked by an interim once more paths than may be marked *by* then are at
    or above it: as many of them as were marked before are also gone from what may be marked now.
    """
    sets = columns.shape[2]
    work = columns.size * labels.shape[1]
    threads = provenance.usable_threads() if work > _WORTH_THREADS else 1
    size = min(_CHUNK, -(-sets // threads))  # no set's outcome depends on the others beside it
    parts = [slice(start, min(start + size, sets)) for start in range(0, sets, size)]

    def found(part: slice) -> np.ndarray:
        chosen = np.ascontiguousarray(columns[:, :, part])
        mask = np.ascontiguousarray(compared[:, part])
        return _rejections(chosen, mask, labels, groups, studentized, allowances[part])

    if threads == 1 or len(parts) == 1:
        return np.concatenate([found(part) for part in parts])
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        return np.concatenate(list(pool.map(found, parts)))


def _rejections(
    columns: np.ndarray,
    compared: np.ndarray,
    labels: np.ndarray,
    groups: int,
    studentized: bool,
    allowances: np.ndarray,
) -> np.ndarray:
    blocks, paths, _ = labels.shape
    values = np.empty((columns.shape[2], blocks, paths))
    left = allowances.copy()
    for begin in range(0, paths, _PATHS):
        end = min(begin + _PATHS, paths)
        _fill(columns, compared, labels, groups, studentized, begin, end, values)
        _count_down(values, begin, end, left)
        if (left < 0).all():
            return np.zeros(columns.shape[2], dtype=np.int64)
    return first_rejections(values, allowances)


@compiled
def draw_labels(state: int, groups: int, runs: int, paths: int) -> np.ndarray:
    """Return random labellings ``(paths, groups * runs)`` int8, the observed one first.

    Each row is a Fisher-Yates shuffle that leaves out the last group's places: their labels began
    alike, so that no order of what ends there is preferred.  ``state`` is the uint64 that the
    stream starts from.  A place is picked by the upper half of a draw times
    the number of places left: its bias is below one part in 10^7 for up to 400 runs.
    """
    total = groups * runs
    out = np.empty((paths, total), dtype=np.int8)
    for place in range(total):
        out[0, place] = place // runs
    current = np.uint64(state)
    for path in range(1, paths):
        row = out[path]
        row[:] = out[0]
        for place in range(total - runs):
            current += np.uint64(0x9E3779B97F4A7C15)
            mixed = current
            mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            mixed ^= mixed >> np.uint64(31)
            other = place + np.int64(
                ((mixed >> np.uint64(32)) * np.uint64(total - place)) >> np.uint64(32)
            )
            row[place], row[other] = row[other], row[place]
    return out


@compiled
def _count_down(values: np.ndarray, begin: int, end: int, left: np.ndarray) -> None:
    """Take from ``left (sets, blocks)`` the number of paths that path 0 is not clearly above."""
    for each in range(values.shape[0]):
        for block in range(values.shape[1]):
            row = values[each, block]
            for path in range(begin, end):
                if not row[0] > row[path] + TIE * row[path]:
                    left[each, block] -= 1


@compiled
def _fill(
    columns: np.ndarray,
    compared: np.ndarray,
    labels: np.ndarray,
    groups: int,
    studentized: bool,
    begin: int,
    end: int,
    out: np.ndarray,
) -> None:
    """Set the statistics of the paths from ``begin`` to before ``end``."""
    blocks, cells, sets = columns.shape
    if sets == 1:
        _fill_one_set(columns, compared, labels, groups, studentized, begin, end, out)
        return
    runs = cells // groups
    order = np.empty(cells, dtype=np.int64)
    filled = np.empty(groups, dtype=np.int64)
    sums, moments = np.empty((2, groups, sets)), np.empty((2, groups, sets))
    best = np.empty((2, sets))
    for path in range(begin, end):
        sums[:] = 0.0
        for block in range(blocks):
            for group in range(groups):
                filled[group] = group * runs
            for place in range(cells):
                group = labels[block, path, place]
                order[filled[group]] = place
                filled[group] += 1
            _add(columns, block, order, runs, sums, moments)
            _largest_of_pairs(moments, compared, studentized, best)
            for each in range(sets):
                out[each, block, path] = best[0, each] / best[1, each]


@compiled
def _add(
    columns: np.ndarray,
    block: int,
    order: np.ndarray,
    runs: int,
    sums: np.ndarray,
    moments: np.ndarray,
) -> None:
    """Add a block to each group's sums and squares; set its mean and variance."""
    share = 1.0 / (runs * (block + 1.0))
    for group in range(sums.shape[1]):
        for turn in range(group * runs, (group + 1) * runs):
            place = order[turn]
            for each in range(sums.shape[2]):
                value = columns[block, place, each]
                sums[0, group, each] += value
                sums[1, group, each] += value * value
        for each in range(sums.shape[2]):
            mean = sums[0, group, each] * share
            moments[0, group, each] = mean
            moments[1, group, each] = sums[1, group, each] * share - mean * mean


@compiled
def _largest_of_pairs(
    moments: np.ndarray, mask: np.ndarray, studentized: bool, best: np.ndarray
) -> None:
    """Set ``best`` to the numerator and denominator of the largest of the pairs' statistics.

    Fractions are compared by multiplying across: a division for every pair takes far longer.
    """
    for each in range(best.shape[1]):
        best[0, each] = 0.0
        best[1, each] = 1.0
    pair = 0
    for a in range(moments.shape[1]):
        for b in range(a + 1, moments.shape[1]):
            for each in range(best.shape[1]):
                above = moments[0, a, each] - moments[0, b, each]
                above = above * above * mask[pair, each]
                below = max(moments[1, a, each] + moments[1, b, each], FLOOR)
                below = below if studentized else 1.0
                larger = above * best[1, each] > best[0, each] * below
                best[0, each] = above if larger else best[0, each]
                best[1, each] = below if larger else best[1, each]
            pair += 1


@compiled
def _fill_one_set(
    columns: np.ndarray,
    compared: np.ndarray,
    labels: np.ndarray,
    groups: int,
    studentized: bool,
    begin: int,
    end: int,
    out: np.ndarray,
) -> None:
    """Do what ``_fill`` does; one set alone is faster without inner loops over sets."""
    blocks, cells, _ = columns.shape
    first, second = np.empty(groups), np.empty(groups)
    means, variances = np.empty(groups), np.empty(groups)
    for path in range(begin, end):
        first[:] = 0.0
        second[:] = 0.0
        for block in range(blocks):
            for place in range(cells):
                group = labels[block, path, place]
                value = columns[block, place, 0]
                first[group] += value
                second[group] += value * value
            share = groups / (cells * (block + 1.0))
            for group in range(groups):
                means[group] = first[group] * share
                variances[group] = second[group] * share - means[group] * means[group]
            over, under = 0.0, 1.0
            pair = 0
            for a in range(groups):
                for b in range(a + 1, groups):
                    above = means[a] - means[b]
                    above = above * above * compared[pair, 0]
                    below = max(variances[a] + variances[b], FLOOR) if studentized else 1.0
                    if above * under > over * below:
                        over, under = above, below
                    pair += 1
            out[0, block, path] = over / under


@compiled
def boundary(values: np.ndarray, alive: np.ndarray, allowed: int) -> float:
    """Return the least of the living values that at most ``allowed`` of them exceed."""
    if allowed <= 0:
        return np.inf
    heap = np.empty(allowed + 1)  # the largest so far, the least of them at its root
    filled = 0
    for index in range(len(values)):
        if not alive[index]:
            continue
        value = values[index]
        if filled <= allowed:
            place = filled
            filled += 1
            while place > 0 and heap[(place - 1) // 2] > value:
                heap[place] = heap[(place - 1) // 2]
                place = (place - 1) // 2
            heap[place] = value
        elif value > heap[0]:
            place = 0
            while True:
                child = 2 * place + 1
                if child > allowed:
                    break
                if child < allowed and heap[child + 1] < heap[child]:
                    child += 1
                if heap[child] >= value:
                    break
                heap[place] = heap[child]
                place = child
            heap[place] = value
    return heap[0] if filled > allowed else -np.inf


@compiled
def first_rejections(values: np.ndarray, allowances: np.ndarray) -> np.ndarray:
    """Return at which interim, from 1, path 0 of each set is marked, or 0; ``(sets,)`` int64.

    ``values (sets, blocks, paths)``; ``allowances (sets, blocks)``: how many paths may be marked by
    each interim.  No value is below zero.
    """
    sets, blocks, paths = values.shape
    out = np.zeros(sets, dtype=np.int64)
    for each in range(sets):
        alive = np.ones(paths, dtype=np.bool_)
        spent = 0
        for block in range(blocks):
            row = values[each, block]
            left = allowances[each, block] - spent
            if block == blocks - 1:
                # Of the last interim only path 0 matters: how many are not clearly below it?
                for path in range(paths):
                    left -= alive[path] and not row[0] > row[path] + TIE * row[path]
                out[each] = blocks if left >= 0 else 0
                break
            bound = boundary(row, alive, left)
            if np.isfinite(bound):
                bound += TIE * abs(bound)
            for path in range(paths):
                if alive[path] and row[path] > bound:
                    alive[path] = False
                    spent += 1
            if not alive[0]:
                out[each] = block + 1
                break
    return out
