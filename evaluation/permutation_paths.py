"""Sequential permutation tests: random relabellings of every block, and how the level is spent.

A *path* relabels the runs within each block, one block per interim; path 0 leaves them as they are.
If the algorithms' runs are exchangeable, all paths, path 0 included, are equally likely to stand
where path 0 stands.  A rule that treats paths alike and never marks more than a share ``alpha`` of
them therefore marks path 0 with probability at most ``alpha``, whatever the scores' distribution.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

_CHUNK = 1 << 17  # numbers worked on at a time, so that they stay in the cache
_FLOOR = 1e-10  # of a variance, relative to that of all scores: ties of constants stay ties
_TIE = 1e-9  # statistics this close, relatively, are equal up to rounding


def arrangements(sizes: int, runs: int) -> int:
    """Return in how many ways ``sizes * runs`` runs are labelled with ``sizes`` names."""
    return math.factorial(sizes * runs) // math.factorial(runs) ** sizes


def labels(groups: int, runs: int, blocks: int, paths: int, interims: int, seed: int) -> np.ndarray:
    """Return the label of each run, ``(blocks, paths, groups * runs)`` int8; path 0 is as observed.

    If the design has at most ``paths`` different paths over all its interims each appears exactly
    once; otherwise they are drawn.  Block b depends on the seed, ``groups`` and b only.
    """
    total = arrangements(groups, runs)
    if total**interims <= paths:
        every = enumerated(groups, runs)
        path = np.arange(total**interims)
        return np.stack([every[path // total**block % total] for block in range(blocks)])
    return np.stack(
        [
            drawn(groups, runs, paths, np.random.default_rng([seed, groups, b]))
            for b in range(blocks)
        ]
    )


def enumerated(groups: int, runs: int) -> np.ndarray:
    """Return every labelling ``(arrangements, groups * runs)`` int8, the observed one first."""
    rows = np.full((1, groups * runs), groups - 1, dtype=np.int8)
    for group in range(groups - 1):
        choices = np.array(list(itertools.combinations(range((groups - group) * runs), runs)))
        grown = np.repeat(rows, len(choices), axis=0)
        free = np.nonzero(grown == groups - 1)[1].reshape(len(grown), -1)
        picked = np.take_along_axis(free, np.tile(choices, (len(rows), 1)), axis=1)
        np.put_along_axis(grown, picked, np.int8(group), axis=1)
        rows = grown
    return rows


def drawn(groups: int, runs: int, paths: int, generator: np.random.Generator) -> np.ndarray:
    """Return random labellings ``(paths, groups * runs)`` int8, the observed one first."""
    observed = np.repeat(np.arange(groups, dtype=np.int8), runs)
    order = generator.random((paths, groups * runs), dtype=np.float32).argsort(axis=1)
    order[0] = np.arange(groups * runs)
    return observed[order]


def largest_statistics(
    scores: np.ndarray, edges: np.ndarray, relabelled: np.ndarray, studentized: bool
) -> np.ndarray:
    """Return the largest statistic over a set's comparisons, ``(blocks, paths, sets)``.

    ``scores (sets, blocks, groups, runs)``; ``edges (sets, pairs)`` says which of the pairs of
    groups, in the order of ``itertools.combinations``, are compared; ``relabelled`` as ``labels``
    returns it.  The statistic of a pair after b blocks is its squared difference of means, over
    the sum of the two variances if ``studentized``.
    """
    sets, blocks, groups, runs = scores.shape
    flat = scores.reshape(sets, -1)
    centred = scores - flat.mean(axis=1)[:, None, None, None]
    spread = np.sqrt(np.mean(centred**2, axis=(1, 2, 3)))
    spread[spread == 0.0] = 1.0
    centred /= spread[:, None, None, None]
    columns = centred.reshape(sets, blocks, groups * runs).transpose(1, 2, 0)
    paths = relabelled.shape[1]
    out = np.empty((blocks, paths, sets))
    names = np.arange(groups, dtype=np.int8)
    step = max(1, _CHUNK // (groups * sets))
    for start in range(0, paths, step):
        part = slice(start, min(start + step, paths))
        first = np.zeros((part.stop - start, groups, sets))
        second = np.zeros_like(first)
        for block in range(blocks):
            chosen = (relabelled[block, part, None] == names[:, None]).astype(float)
            chosen = chosen.reshape(-1, groups * runs)  # one matrix product is faster than many
            first += (chosen @ columns[block]).reshape(first.shape)
            if studentized:
                second += (chosen @ columns[block] ** 2).reshape(first.shape)
            count = (block + 1) * runs
            out[block, part] = _largest(first / count, second / count, edges, studentized)
    return out


def _largest(
    means: np.ndarray, squares: np.ndarray, edges: np.ndarray, studentized: bool
) -> np.ndarray:
    variances = squares - means**2
    best = np.zeros((len(means), means.shape[2]))
    for pair, (a, b) in enumerate(itertools.combinations(range(means.shape[1]), 2)):
        value = means[:, a] - means[:, b]
        value *= value
        if studentized:
            spread = variances[:, a] + variances[:, b]
            value /= np.maximum(spread, _FLOOR, out=spread)
        if not edges[:, pair].all():
            value *= edges[:, pair]  # no statistic is below zero: what is not compared drops out
        np.maximum(best, value, out=best)
    return best


def boundary(values: np.ndarray, allowed: int) -> float:
    """Return the least value that at most ``allowed`` values exceed, ties counted together."""
    if allowed <= 0:
        return math.inf
    if allowed >= len(values):
        return -math.inf
    place = len(values) - 1 - allowed
    return float(np.partition(values, place)[place])


def beyond(values: np.ndarray, bound: float) -> np.ndarray:
    """Return which values exceed a boundary by more than rounding."""
    return values > bound + _TIE * abs(bound) if math.isfinite(bound) else values > bound


def allowance(level: float, interim: int, interims: int, paths: int) -> int:
    """Return how many paths may be marked by an interim (from 1): the level is spent evenly."""
    return math.floor(level * interim / interims * paths + 1e-9)


def rejected(values: np.ndarray, level: float, interims: int) -> bool:
    """Return whether path 0 is marked at one of the interims so far; ``values (blocks, paths)``.

    Each interim marks the paths, of those not yet marked, whose statistic is largest, as many as
    the level spent so far allows; what ties keep from being spent is left to later interims.
    """
    paths = values.shape[1]
    alive = np.ones(paths, dtype=bool)
    for block, row in enumerate(values):
        budget = allowance(level, block + 1, interims, paths) - (paths - int(alive.sum()))
        marked = alive & beyond(row, boundary(row[alive], budget))
        if marked[0]:
            return True
        alive &= ~marked
    return False
