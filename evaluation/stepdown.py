"""The published AdaStop: step-down over the largest difference; kept beside ``closed`` to compare.

Three ways to permute within each block: ``shared`` (the paper: one relabelling of two groups for
all comparisons), ``independent`` (one for each comparison) and ``joint`` (all algorithms together;
made for the complete null).  None is exact when some comparisons are null and others are not:
relabelled pairs are not distributed jointly as the observed ones are.  All paths are listed if they
are no more than the design's permutations, else drawn.  ``released`` decides as the
released package (0.1.3) does: it holds an absolute difference against *signed* permuted ones, so
that a true null is rejected about twice as often as ``alpha`` says.  Not for use, but for showing
what that package would have decided.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from datumrl.evaluation import permutation_paths

if TYPE_CHECKING:
    from datumrl.evaluation.adastop_design import Design

PROCEDURES = ("independent", "shared", "joint", "released")


def rejections(design: Design, scores: np.ndarray, decided: Sequence[int]) -> np.ndarray:
    """Return which comparisons the last interim rejects, ``(comparisons,)`` bool.

    ``scores (interims so far, algorithms, runs)``; ``decided`` is the interim, from 1, at which a
    comparison was rejected before, or 0.  Paths that an earlier interim marked stay marked.
    """
    *_, found = interims(design, scores, decided)
    return found


def interims(design: Design, scores: np.ndarray, decided: Sequence[int]) -> Iterator[np.ndarray]:
    """Yield what each interim rejects, as ``rejections`` returns it for the last."""
    edges = design.edges
    permuted = np.zeros((_path_count(design), len(edges)))
    alive = np.ones(len(permuted), dtype=bool)
    observed = np.zeros(len(edges))
    spent = 0
    for block, values in enumerate(scores):
        open_ = np.array([when == 0 or when > block for when in decided])
        permuted += _differences(design, values, block, open_)
        first, second = np.array(edges).T
        observed += np.where(open_, values[first].sum(axis=1) - values[second].sum(axis=1), 0.0)
        allowed = _allowed(design, block, len(alive))
        found, bound = _step_down(design, permuted, observed, alive, open_, allowed - spent)
        left = open_ & ~found
        if left.any():
            size = np.abs(permuted[:, left]).max(axis=1)
            alive &= ~permutation_paths.beyond(size, bound)
        # The released package books the signed share only, and marks twice as many.
        spent = allowed if design.procedure == "released" else int((~alive).sum())
        yield found


def _step_down(
    design: Design,
    permuted: np.ndarray,
    observed: np.ndarray,
    alive: np.ndarray,
    open_: np.ndarray,
    allowed: int,
) -> tuple[np.ndarray, float]:
    """Return what this interim rejects, and the bound of those left.

    The largest difference is held against the bound for all that are left, again and again until
    one is within it.
    """
    found = np.zeros(len(open_), dtype=bool)
    bound = math.inf
    while (open_ & ~found).any():
        left = np.flatnonzero(open_ & ~found)
        sizes = permuted[np.ix_(alive, left)]
        largest = (sizes if design.procedure == "released" else np.abs(sizes)).max(axis=1)
        bound = permutation_paths.boundary(largest, allowed)
        top = left[np.abs(observed[left]).argmax()]
        if not permutation_paths.beyond(np.abs(observed[top]), bound):
            break
        found[top] = True
    return found, bound


def lists_all(design: Design, runs: int | None = None) -> bool:
    """Return whether every path of a design appears once, so that no seed decides.

    ``runs`` instead of the design's.  Of the closed procedure it tells this of pairs; the released
    package lists the first blocks' only.
    """
    groups, times = _relabelled(design)
    times *= design.interims
    return permutation_paths.all_fit(groups, runs or design.runs, times, design.permutations)


def _relabelled(design: Design) -> tuple[int, int]:
    """Return how many groups are relabelled at once, and how often in each block."""
    if design.procedure == "joint":
        return len(design.algorithms), 1
    return 2, len(design.edges) if design.procedure == "independent" else 1


def _path_count(design: Design) -> int:
    """Return how many paths there are; the released package lists the first blocks' in full."""
    if design.procedure == "released":
        listed = permutation_paths.arrangements(2, design.runs)
        blocks = _listed_blocks(design)
        return listed**blocks if listed < design.permutations else design.permutations
    if not lists_all(design):
        return design.permutations
    groups, times = _relabelled(design)
    return permutation_paths.arrangements(groups, design.runs) ** (times * design.interims)


def _listed(design: Design, block: int, own: int) -> np.ndarray:
    """Return which of the listed relabellings each path has in a block, ``(paths,)``.

    Paths count them through like digits: one for each block and, if comparisons are relabelled
    one by one, for each of these (``own``).
    """
    groups, times = _relabelled(design)
    every = permutation_paths.arrangements(groups, design.runs)
    return np.arange(_path_count(design)) // every ** (block * times + own) % every


def _allowed(design: Design, block: int, paths: int) -> int:
    """Return how many paths may be marked by an interim.

    The released package counts what is allowed in paths of the blocks listed so far, each of which
    stands for as many of ours as the blocks to come have relabellings.
    """
    alike = 1
    if design.procedure == "released":
        listed = permutation_paths.arrangements(2, design.runs)
        alike = listed ** max(0, _listed_blocks(design) - block - 1)
    return alike * permutation_paths.allowance(
        design.alpha, block + 1, design.interims, paths // alike
    )


def _listed_blocks(design: Design) -> int:
    listed = permutation_paths.arrangements(2, design.runs)
    blocks = 0
    while blocks < design.interims and listed ** (blocks + 1) < design.permutations:
        blocks += 1
    return blocks


def _differences(design: Design, values: np.ndarray, block: int, open_: np.ndarray) -> np.ndarray:
    """Return the block's permuted differences of sums, ``(paths, comparisons)``; 0 for the decided.

    Path 0 is the observed labelling.
    """
    paths = _path_count(design)
    out = np.zeros((paths, len(open_)))
    edges = np.array(design.edges)
    if design.procedure == "joint":
        sums = _joint_sums(design, values, block)
        out[:, open_] = sums[:, edges[open_, 0]] - sums[:, edges[open_, 1]]
        return out
    shared = _two_groups(design, block) if design.procedure == "shared" else None
    for index in np.flatnonzero(open_):
        both = values[edges[index]]
        both = (both - both.mean()).ravel()
        relabelled = _two_groups(design, block, int(index)) if shared is None else shared
        out[:, index] = (1.0 - 2.0 * relabelled) @ both
    return out


def _two_groups(design: Design, block: int, own: int | None = None) -> np.ndarray:
    """Return labels ``(paths, 2 * runs)``: those of a comparison's own, or shared ones (None)."""
    paths = _path_count(design)
    if design.procedure == "released" and block < _listed_blocks(design):
        every = permutation_paths.enumerated(2, design.runs)
        return every[np.arange(paths) // len(every) ** block % len(every)]
    if design.procedure != "released" and lists_all(design):
        return permutation_paths.enumerated(2, design.runs)[_listed(design, block, own or 0)]
    start = permutation_paths.stream(design.seed, 2, block, 0 if own is None else 1 + own)
    return permutation_paths.drawn(2, design.runs, paths, start)


def _joint_sums(design: Design, values: np.ndarray, block: int) -> np.ndarray:
    """Return sums ``(paths, algorithms)`` after relabelling all algorithms that still run."""
    running = np.flatnonzero(np.isfinite(values).all(axis=1))
    pool = values[running]
    pool = (pool - pool.mean()).ravel()
    if lists_all(design):
        # Of fewer algorithms each relabelling is listed equally often: their number divides.
        every = permutation_paths.enumerated(len(running), design.runs)
        relabelled = every[_listed(design, block, 0) % len(every)]
    else:
        start = permutation_paths.stream(design.seed, len(running), block)
        relabelled = permutation_paths.drawn(len(running), design.runs, design.permutations, start)
    sums = np.zeros((len(relabelled), len(values)))
    for place, algorithm in enumerate(running):
        sums[:, algorithm] = (relabelled == place) @ pool
    return sums
