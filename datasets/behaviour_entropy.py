"""How random a policy is on a dataset's states, from 0 (deterministic) to 1 (uniform).

Source: Schweighofer et al., arXiv:2111.04714: the entropy of a behaviour clone,
-sum p log p / log |A| with p clipped to [1e-5, 1], mean over states.  No unit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from datumrl.datasets.columns import take
from datumrl.datasets.episodes import Episodes
from datumrl.datasets.errors import DatumrlError

Policy = Callable[[Any], Any]
SAMPLE = 10_000  # states
BINS = 100  # per action dimension, of a Gaussian policy
_LEAST = 1e-5
_BATCH = 1_000


@dataclass(frozen=True)
class BehaviourEntropy:
    """Mean normalised entropy over sampled states, with the standard error of the sampling."""

    value: float
    standard_error: float | None
    states: int
    kind: str  # "discrete" or "gaussian"
    seed: int


def behaviour_entropy(
    episodes: Episodes,
    policy: Policy,
    *,
    low: float | np.ndarray = -1.0,
    high: float | np.ndarray = 1.0,
    rows: int = SAMPLE,
    seed: int = 0,
) -> BehaviourEntropy:
    """Return a policy's normalised entropy over a seeded sample of a dataset's states.

    ``policy`` maps a batch of observations (n, ...) either to probabilities (n, actions), or to the
    means and standard deviations (n, action dims) of independent Gaussians: a pair of arrays.
    A Gaussian is discretised into 100 equally wide bins of the action range ``low`` to ``high``
    per dimension, its mass outside going to the outer bins (as clipping does); the result is the
    mean over dimensions.  Any other output, such as plain actions, is refused: one draw tells
    nothing of an entropy.

    Raises DatumrlError for such outputs, probabilities that do not sum to 1, and no states.
    """
    if len(episodes) == 0:
        raise DatumrlError(f"{episodes.id}: has no states to ask a policy about")
    generator = np.random.default_rng(seed)
    chosen = np.sort(generator.choice(len(episodes), min(rows, len(episodes)), replace=False))
    values, kind = [], ""
    for begin in range(0, len(chosen), _BATCH):
        output = policy(take(episodes.observations, chosen[begin : begin + _BATCH]))
        if isinstance(output, tuple) and len(output) == 2:
            means, deviations = (np.asarray(each) for each in output)
            kind, found = "gaussian", gaussian_entropy(means, deviations, low, high)
        else:
            kind, found = "discrete", normalised_entropy(np.asarray(output))
        values.append(found)
    every = np.concatenate(values)
    error = float(every.std(ddof=1) / np.sqrt(len(every))) if len(every) > 1 else None
    return BehaviourEntropy(float(every.mean()), error, len(every), kind, seed)


def normalised_entropy(probabilities: np.ndarray) -> np.ndarray:
    """Return -sum p log p / log |A| of each row of probabilities (n, actions), (n,).

    p is clipped to [1e-5, 1] first, as in the source.
    """
    if probabilities.ndim != 2 or probabilities.shape[1] < 2:
        raise DatumrlError(
            f"the policy returned {probabilities.shape}: an entropy needs probabilities (states, "
            "actions) of at least 2 actions, or a pair (means, standard deviations)"
        )
    sums = probabilities.sum(axis=1)
    if not (np.abs(sums - 1.0) < 1e-3).all() or (probabilities < 0).any():
        worst = sums[np.argmax(np.abs(sums - 1.0))]
        raise DatumrlError(
            f"the policy's probabilities sum to {worst:g} or are negative; return probabilities, "
            "or a pair (means, standard deviations)"
        )
    clipped = np.clip(probabilities.astype(np.float64), _LEAST, 1.0)
    return -(clipped * np.log(clipped)).sum(axis=1) / math.log(probabilities.shape[1])


def gaussian_entropy(
    means: np.ndarray,
    deviations: np.ndarray,
    low: float | np.ndarray = -1.0,
    high: float | np.ndarray = 1.0,
) -> np.ndarray:
    """Return the normalised entropy of discretised Gaussians (n, action dims), (n,)."""
    from scipy.special import ndtr

    if means.ndim != 2 or means.shape != deviations.shape or not (deviations > 0).all():
        raise DatumrlError(
            f"the policy returned means {means.shape} and deviations {deviations.shape}; both must "
            "be (states, action dims), and deviations above 0"
        )
    inner = np.linspace(low, high, BINS + 1, axis=-1)[..., 1:-1]
    below = ndtr((inner - means[..., None]) / deviations[..., None])
    first, last = np.zeros((*means.shape, 1)), np.ones((*means.shape, 1))
    masses = np.diff(np.concatenate([first, below, last], axis=-1), axis=-1)
    positive = np.where(masses > 0, masses, 1.0)
    return -(positive * np.log(positive)).sum(axis=-1).mean(axis=-1) / math.log(BINS)
