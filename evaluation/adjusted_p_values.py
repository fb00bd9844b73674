"""Adjusted p-values of the closed test: the least family-wise alpha that separates each pair.

A set of algorithms has an exact permutation p-value: the share of relabellings, the observed one
among them, whose largest statistic is not clearly below the observed one's.  At any alpha the set
is rejected if that is at most its level, a fixed share of alpha.  A pair is separated once every
set that holds both is rejected, so its adjusted p-value is the largest of p over share.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from datumrl.evaluation import adastop, permutation_paths
from datumrl.evaluation.adastop import State
from datumrl.evaluation.adastop_design import connected_sets, set_level

_SETS = 64  # worked on at once: their statistics are some megabytes


def of_pairs(state: State) -> dict[tuple[str, str], float]:
    """Return each comparison's adjusted p-value, at most 1, after a closed test of one interim.

    Empty for other procedures, and with several interims, which spend alpha one after another.
    """
    design = state.design
    if design.procedure != "closed" or design.interims > 1 or not state.finished:
        return {}
    scores = adastop.array(design, state.blocks)
    found = np.zeros(len(design.edges))
    by_size: dict[int, list[frozenset[int]]] = defaultdict(list)
    for members in connected_sets(design.edges):
        by_size[len(members)].append(members)
    for _, sets in sorted(by_size.items(), reverse=True):
        inside = np.array([[a in each and b in each for a, b in design.edges] for each in sets])
        open_ = np.flatnonzero((inside & (found < 1.0)).any(axis=1))
        for start in range(0, len(open_), _SETS):
            places = open_[start : start + _SETS]
            chosen = [sets[place] for place in places]
            shares = [set_level(design, each) / design.alpha for each in chosen]
            values = permutation_paths.largest_statistics(*adastop.of_sets(design, scores, chosen))[
                :, 0
            ]
            p = _not_below(values).mean(axis=1) / np.array(shares)
            found = np.maximum(found, np.where(inside[places], p[:, None], 0.0).max(axis=0))
    return dict(zip(design.pairs, np.minimum(found, 1.0).tolist(), strict=True))


def _not_below(values: np.ndarray) -> np.ndarray:
    """Return which paths the observed one, path 0, is not clearly above: ``(sets, paths)``."""
    return ~(values[:, :1] > values + permutation_paths.TIE * values)
