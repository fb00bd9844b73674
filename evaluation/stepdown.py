"""The published AdaStop: step-down over the largest difference; kept beside ``closed`` to compare.

Three ways to permute within each block: ``shared`` (the paper: one relabelling of two groups for
all comparisons), ``independent`` (one for each comparison) and ``joint`` (all algorithms together;
made for the complete null).  None is exact when some comparisons are null and others are not:
relabelled pairs are not distributed jointly as the observed ones are.  ``released`` decides as the
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


def _path_count(design: Design) -> int:
    """Return how many paths there are; the released package lists the first blocks' in full."""
    if design.procedure != "released":
        return design.permutations
    listed = permutation_paths.arrangements(2, design.runs)
    return listed ** _listed_blocks(design) if listed < design.permutations else design.permutations


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
    shared = _two_groups(design, block, 0) if design.procedure == "shared" else None
    for index in np.flatnonzero(open_):
        both = values[edges[index]]
        both = (both - both.mean()).ravel()
        relabelled = _two_groups(design, block, 1 + int(index)) if shared is None else shared
        out[:, index] = (1.0 - 2.0 * relabelled) @ both
    return out


def _two_groups(design: Design, block: int, own: int) -> np.ndarray:
    """Return labels ``(paths, 2 * runs)``: those of a comparison's own, or shared ones (0)."""
    paths = _path_count(design)
    if design.procedure == "released" and block < _listed_blocks(design):
        every = permutation_paths.enumerated(2, design.runs)
        return every[np.arange(paths) // len(every) ** block % len(every)]
    start = permutation_paths.stream(design.seed, 2, block, own)
    return permutation_paths.drawn(2, design.runs, paths, start)


def _joint_sums(design: Design, values: np.ndarray, block: int) -> np.ndarray:
    """Return sums ``(paths, algorithms)`` after relabelling all algorithms that still run."""
    running = np.flatnonzero(np.isfinite(values).all(axis=1))
    pool = values[running]
    pool = (pool - pool.mean()).ravel()
    start = permutation_paths.stream(design.seed, len(running), block)
    relabelled = permutation_paths.drawn(len(running), design.runs, design.permutations, start)
    sums = np.zeros((design.permutations, len(values)))
    for place, algorithm in enumerate(running):
        sums[:, algorithm] = (relabelled == place) @ pool
    return sums
