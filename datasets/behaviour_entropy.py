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
Bounds = tuple[np.ndarray, np.ndarray]  # low and high of the action space, (action dims,) each
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
    action_bounds: Bounds | None = None,
    rows: int = SAMPLE,
    seed: int = 0,
) -> BehaviourEntropy:
    """Return a policy's normalised entropy over a seeded sample of a dataset's states.

    ``policy`` maps a batch of observations (n, ...) either to probabilities (n, actions), or to the
    means and standard deviations (n, action dims) of independent Gaussians: a pair of arrays.
    A Gaussian is discretised into 100 equally wide bins between the ``action_bounds`` of each
    dimension, its mass outside going to the outer bins (as clipping does); the result is the
    mean over dimensions.  Any other output, such as plain actions, is refused: one draw tells
    nothing of an entropy.

    Raises DatumrlError for such outputs, probabilities that do not sum to 1, Gaussians that are not
    finite or whose actions have no finite bounds, and no states.
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
            bounds = _finite(episodes.id, action_bounds, means)
            kind, found = "gaussian", gaussian_entropy(means, deviations, *bounds)
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


def _finite(name: str, bounds: Bounds | None, means: np.ndarray) -> Bounds:
    """Return the bounds of actions as float64 if a Gaussian can be discretised between them."""
    if bounds is None:
        raise DatumrlError(
            f"{name}: the bounds of its actions are not given, so a Gaussian policy cannot be "
            "discretised; pass action_bounds=(low, high), which evaluation.auditing.action_bounds "
            "returns for a catalogued dataset"
        )
    low, high = (np.asarray(bound, np.float64) for bound in bounds)
    fit = low.shape == high.shape == means.shape[1:]
    if not fit or not np.isfinite(high - low).all() or not (low < high).all():
        raise DatumrlError(
            f"{name}: action_bounds are {low} and {high}; a Gaussian policy of means {means.shape} "
            "needs a finite low and high of each action dimension, low below high"
        )
    return low, high


def gaussian_entropy(
    means: np.ndarray, deviations: np.ndarray, low: np.ndarray, high: np.ndarray
) -> np.ndarray:
    """Return the normalised entropy of Gaussians (n, action dims) between bounds, (n,).

    ``low`` and ``high`` (action dims,) are those of the actions.
    """
    from scipy.special import ndtr

    if means.ndim != 2 or means.shape != deviations.shape or not (deviations > 0).all():
        raise DatumrlError(
            f"the policy returned means {means.shape} and deviations {deviations.shape}; both must "
            "be (states, action dims), and deviations above 0"
        )
    if not (np.isfinite(means).all() and np.isfinite(deviations).all()):
        row = int(np.flatnonzero(~np.isfinite(means + deviations).all(axis=1))[0])
        raise DatumrlError(
            f"the policy returned means {means[row]} and deviations {deviations[row]}, which are "
            "not finite; has its training diverged?"
        )
    inner = np.linspace(low, high, BINS + 1, axis=-1)[..., 1:-1]
    below = ndtr((inner - means[..., None]) / deviations[..., None])
    first, last = np.zeros((*means.shape, 1)), np.ones((*means.shape, 1))
    masses = np.diff(np.concatenate([first, below, last], axis=-1), axis=-1)
    positive = np.where(masses > 0, masses, 1.0)
    # From 0, as minus a sum of zeros would be minus zero.
    return 0.0 - (positive * np.log(positive)).sum(axis=-1).mean(axis=-1) / math.log(BINS)
