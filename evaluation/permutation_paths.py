"""Sequential permutation tests: random relabellings of every block, and how the level is spent.

A *path* relabels the runs within each block, one block per interim; path 0 leaves them as they are.
If the algorithms' runs are exchangeable, all paths, path 0 included, are equally likely to stand
where path 0 stands.  A rule that treats paths alike and never marks more than a share ``alpha`` of
them therefore marks path 0 with probability at most ``alpha``, whatever the scores' distribution.

The loops over paths are compiled, in ``permutation_kernels``, which is imported when a test is run.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence

import numpy as np

FLOOR = 1e-10  # of a variance, relative to that of all scores: ties of constants stay ties
_KEPT_SIZE = 1 << 20  # bytes of labels of a block: larger ones are drawn anew every time
TIE = 1e-9  # statistics this close, relatively, are equal up to rounding


def arrangements(sizes: int, runs: int) -> int:
    """Return in how many ways ``sizes * runs`` runs are labelled with ``sizes`` names."""
    return math.factorial(sizes * runs) // math.factorial(runs) ** sizes


def all_fit(groups: int, runs: int, times: int, paths: int) -> bool:
    """Return whether all ways to relabel ``times`` blocks one by one are no more than ``paths``."""
    # In logarithms: the number itself may have millions of digits.
    return times * log_arrangements(groups, runs) <= math.log(paths) + 1e-9


def log_arrangements(sizes: int, runs: int) -> float:
    """Return the logarithm of ``arrangements``."""
    return math.lgamma(sizes * runs + 1) - sizes * math.lgamma(runs + 1)


def labels(groups: int, runs: int, blocks: int, paths: int, interims: int, seed: int) -> np.ndarray:
    """Return the label of each run, ``(blocks, paths, groups * runs)`` int8; path 0 is as observed.

    If the design has at most ``paths`` different paths over all its interims each appears exactly
    once; otherwise they are drawn.  Block b depends on the seed, ``groups`` and b only.
    """
    if all_fit(groups, runs, interims, paths):
        every = enumerated(groups, runs)
        total = len(every)
        path = np.arange(total**interims)
        return np.stack([every[path // total**block % total] for block in range(blocks)])
    small = paths * groups * runs <= _KEPT_SIZE
    draw = _drawn_and_kept if small else _drawn_block
    return np.stack([draw(groups, runs, paths, seed, block) for block in range(blocks)])


@functools.lru_cache(maxsize=4)
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


def _drawn_block(groups: int, runs: int, paths: int, seed: int, block: int) -> np.ndarray:
    return drawn(groups, runs, paths, stream(seed, groups, block))


# Every interim of a comparison asks for the same blocks again, and for one more.
_drawn_and_kept = functools.lru_cache(maxsize=64)(_drawn_block)


def stream(seed: int, *key: int) -> np.uint64:
    """Return where the random stream of a seed and a purpose starts."""
    return np.random.SeedSequence([seed, *key]).generate_state(1, np.uint64)[0]


def drawn(groups: int, runs: int, paths: int, start: np.uint64) -> np.ndarray:
    """Return random labellings ``(paths, groups * runs)`` int8, the observed one first."""
    from datumrl.evaluation import permutation_kernels

    return permutation_kernels.draw_labels(start, groups, runs, paths)


def largest_statistics(
    scores: np.ndarray, edges: np.ndarray, relabelled: np.ndarray, studentized: bool
) -> np.ndarray:
    """Return the largest statistic over a set's comparisons, ``(sets, blocks, paths)``.

    ``scores (sets, blocks, groups, runs)``; ``edges (sets, pairs)`` says which of the pairs of
    groups, in the order of ``itertools.combinations``, are compared; ``relabelled`` as ``labels``
    returns it.  The statistic of a pair after b blocks is its squared difference of means, over
    the sum of the two variances if ``studentized``.
    """
    from datumrl.evaluation import permutation_kernels

    columns, compared = _prepared(scores, edges)
    return permutation_kernels.largest_statistics(
        columns, compared, relabelled, scores.shape[2], studentized
    )


def rejections(
    scores: np.ndarray,
    edges: np.ndarray,
    relabelled: np.ndarray,
    studentized: bool,
    levels: Sequence[float],
    interims: int,
) -> np.ndarray:
    """Return ``first_rejections`` of ``largest_statistics``, in less time."""
    from datumrl.evaluation import permutation_kernels

    columns, compared = _prepared(scores, edges)
    blocks, paths, _ = relabelled.shape
    return permutation_kernels.rejections(
        columns,
        compared,
        relabelled,
        scores.shape[2],
        studentized,
        _allowances(levels, blocks, paths, interims),
    )


def _prepared(scores: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return scores ``(blocks, groups * runs, sets)``, centred and scaled, and edges as floats."""
    sets, blocks, groups, runs = scores.shape
    flat = scores.reshape(sets, -1)
    centred = flat - flat.mean(axis=1, keepdims=True)
    spread = np.sqrt(np.mean(centred**2, axis=1, keepdims=True))
    spread[spread == 0.0] = 1.0
    centred /= spread
    columns = np.ascontiguousarray(centred.reshape(sets, blocks, groups * runs).transpose(1, 2, 0))
    return columns, np.ascontiguousarray(edges.T, dtype=float)


def first_rejections(values: np.ndarray, levels: Sequence[float], interims: int) -> np.ndarray:
    """Return at which interim so far, from 1, path 0 of each set is marked, or 0; ``(sets,)``.

    ``values (sets, blocks, paths)``.  Each interim marks the paths, of those not yet marked, whose
    statistic is largest, as many as the level spent so far allows; what ties keep from being
    spent is left to later interims.
    """
    from datumrl.evaluation import permutation_kernels

    _, blocks, paths = values.shape
    return permutation_kernels.first_rejections(
        values, _allowances(levels, blocks, paths, interims)
    )


def _allowances(levels: Sequence[float], blocks: int, paths: int, interims: int) -> np.ndarray:
    """Return how many paths may be marked by each interim, ``(sets, blocks)``."""
    return np.array(
        [[allowance(level, 1 + b, interims, paths) for b in range(blocks)] for level in levels]
    )


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
    return values > bound + TIE * abs(bound) if math.isfinite(bound) else values > bound


def allowance(level: float, interim: int, interims: int, paths: int) -> int:
    """Return how many paths may be marked by an interim (from 1): the level is spent evenly."""
    return math.floor(level * interim / interims * paths + 1e-9)
