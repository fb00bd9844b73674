"""Behaviour policies of the local suite: squashed Gaussian actors in plain numpy.

An actor is a multilayer perceptron with ReLU whose two heads give mean and log standard deviation
of a Gaussian; its sample goes through tanh (Haarnoja et al. 2018, appendix C).  Weights are float16
or float32 safetensors written by the policy training, layers as (out, in).
"""

from __future__ import annotations

import functools
import hashlib
import importlib.resources
from dataclasses import dataclass
from typing import Any

import numpy as np

from datumrl.datasets.errors import DatumrlError

LOG_STD_RANGE = (-20.0, 2.0)


@dataclass(frozen=True, eq=False)
class SquashedGaussianActor:
    """A stochastic policy on actions in (-1, 1), and a `controllers.Controller`."""

    identity: str  # where the weights are from, with their sha256 if they ship
    hidden: tuple[tuple[np.ndarray, np.ndarray], ...]  # (in, out) weight and (out,) bias per layer
    mean: tuple[np.ndarray, np.ndarray]
    log_std: tuple[np.ndarray, np.ndarray]

    def describe(self) -> dict[str, Any]:
        """Return JSON that defines the policy exactly; it becomes part of a recipe."""
        return {"kind": "squashed Gaussian actor", "weights": self.identity}

    def noise(self, generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Return the standard normal noise that `sample` expects."""
        return generator.standard_normal(shape)

    def distribution(self, observations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and log standard deviation before tanh, each (rows, action_dim)."""
        features = np.asarray(observations, dtype=np.float32)
        for weight, bias in self.hidden:
            features = np.maximum(features @ weight + bias, 0.0)
        log_std = features @ self.log_std[0] + self.log_std[1]
        return features @ self.mean[0] + self.mean[1], np.clip(log_std, *LOG_STD_RANGE)

    def mode(self, observations: np.ndarray) -> np.ndarray:
        """Return the deterministic action tanh(mean), (rows, action_dim)."""
        return np.tanh(self.distribution(observations)[0])

    def sample(self, observations: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return actions (rows, action_dim) float32 and their log-probabilities (rows,) float64.

        ``noise`` (rows, action_dim) is standard normal.  The log-probability is that of the tanh
        sample before the action is rounded to float32: the density of a rounded +-1 is infinite.
        """
        mean, log_std = self.distribution(observations)
        raw = mean.astype(np.float64) + np.exp(log_std.astype(np.float64)) * noise
        gaussian = -0.5 * noise**2 - log_std - 0.5 * np.log(2 * np.pi)
        # log(1 - tanh(x)^2) in the form that does not cancel for large |x|.
        squash = 2.0 * (np.log(2.0) - raw - np.logaddexp(0.0, -2.0 * raw))
        return np.tanh(raw).astype(np.float32), (gaussian - squash).sum(axis=-1)


def from_weights(weights: dict[str, np.ndarray], identity: str) -> SquashedGaussianActor:
    """Build an actor from arrays named ``hidden.0.weight``, ``mean.bias``, ``log_std.weight``..."""
    depth = sum(name.startswith("hidden.") for name in weights) // 2
    try:
        layers = [_layer(weights, f"hidden.{k}") for k in range(depth)]
        heads = [_layer(weights, name) for name in ("mean", "log_std")]
    except KeyError as missing:
        raise DatumrlError(
            f"{identity}: no array {missing}; it is no policy of this suite"
        ) from None
    return SquashedGaussianActor(identity, tuple(layers), *heads)


@functools.cache
def shipped(environment: str, name: str) -> SquashedGaussianActor:
    """Load a policy that ships with the suite, e.g. ``("hopper", "expert")``."""
    from safetensors.numpy import load

    folder = importlib.resources.files("datumrl.datasets").joinpath("policies", environment)
    resource = folder.joinpath(f"{name}.safetensors")
    if not resource.is_file():
        raise DatumrlError(f"no behaviour policy {name!r} for {environment!r} ships with datumrl")
    content = resource.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return from_weights(load(content), f"{environment}/{name} sha256:{digest}")


def _layer(weights: dict[str, np.ndarray], name: str) -> tuple[np.ndarray, np.ndarray]:
    weight = np.ascontiguousarray(weights[f"{name}.weight"].T, dtype=np.float32)
    return weight, weights[f"{name}.bias"].astype(np.float32)
