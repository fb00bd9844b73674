"""The chance of each rank when algorithms draw one run each on a task; exact, with ties.

After Agarwal et al. 2021 (arXiv:2108.13264), section 4.3, where rliable's examples sample: given a
score, the others beat it independently, so its rank is one plus a Poisson-binomial number.  A tie
is beaten with a uniform chance U, shared by all that are tied; the average over U of a polynomial
in U is exact by Gauss-Legendre quadrature.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def chances(runs: Sequence[np.ndarray]) -> np.ndarray:
    """Return the chance of each rank (1 is best) on one task, ties broken at random.

    An array ``(..., runs)`` per algorithm, two or more, to ``(..., algorithms, ranks)``; rows and
    columns add up to one.
    """
    return np.stack([_of(place, runs) for place in range(len(runs))], axis=-2)


def _of(place: int, runs: Sequence[np.ndarray]) -> np.ndarray:
    """Return the rank chances of one algorithm: ``(..., ranks)``."""
    own = runs[place]
    above, equal = [], []
    for other, theirs in enumerate(runs):
        if other != place:
            pairs = theirs[..., None, :] - own[..., :, None]  # (..., own runs, runs)
            above.append((pairs > 0).mean(axis=-1))
            equal.append((pairs == 0).mean(axis=-1))
    degree = sum(bool(share.any()) for share in equal)
    nodes, weights = np.polynomial.legendre.leggauss(degree // 2 + 1)
    total = np.zeros((*above[0].shape[:-1], len(runs)))
    for node, weight in zip((nodes + 1.0) / 2.0, weights / 2.0, strict=True):
        beaten = [more + node * same for more, same in zip(above, equal, strict=True)]
        total += weight * _poisson_binomial(beaten).mean(axis=-2)
    return total


def _poisson_binomial(shares: Sequence[np.ndarray]) -> np.ndarray:
    """Return the distribution of the number of successes: n ``(...)`` to ``(..., n + 1)``."""
    counts = np.zeros((*shares[0].shape, len(shares) + 1))
    counts[..., 0] = 1.0
    for share in shares:
        gained = counts[..., :-1] * share[..., None]
        counts *= 1.0 - share[..., None]
        counts[..., 1:] += gained
    return counts
