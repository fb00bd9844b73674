"""Behaviour policies that need no training: uniform actions and noisy linear feedback.

A controller is a pure function of observations and noise (and of its goals, if it has any), so that
a collector can draw each stream's noise from that stream's own generator and run many streams side
by side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np


class Controller(Protocol):
    """What the collector asks of a behaviour policy."""

    def describe(self) -> dict[str, Any]:
        """Return JSON that defines the policy exactly; it becomes part of the recipe."""

    def noise(self, generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Draw the noise that `sample` expects, one value per action dimension."""

    def sample(self, observations: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Map (rows, observation_dim) and (rows, action_dim) to actions and log-probabilities.

        Actions are (rows, action_dim) float32 within the action space, log-probabilities (rows,)
        float64, densities in the action's own units.
        """


@runtime_checkable
class Seeker(Protocol):
    """A behaviour policy with goals of its own: a pure function of them too, in and out."""

    def describe(self) -> dict[str, Any]:
        """Return JSON that defines the policy exactly; it becomes part of the recipe."""

    def noise(self, generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Draw the noise that `pursue` expects, (steps, any), for actions of ``shape``."""

    def pursue(
        self, observations: np.ndarray, noise: np.ndarray, goals: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return actions and log-probabilities as `Controller.sample`, and the goals they go for.

        ``goals`` are those of the step before, None at the first; shape (rows, goal_dim) float64.
        """


@dataclass(frozen=True)
class Uniform:
    """Actions uniform in [-bound, bound]."""

    bound: float
    action_dim: int

    def describe(self) -> dict[str, Any]:
        return {"kind": "uniform", "bound": self.bound, "action_dim": self.action_dim}

    def noise(self, generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return generator.uniform(-1.0, 1.0, shape)

    def sample(self, observations: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        log_probability = -self.action_dim * np.log(2.0 * self.bound)
        return (self.bound * noise).astype(np.float32), np.full(len(observations), log_probability)


@dataclass(frozen=True)
class SquashedFeedback:
    """a = bound tanh(u / bound) with u = gains . observation + deviation * standard normal noise.

    Squashed rather than clipped: a clipped action has no density at the bound.
    """

    gains: tuple[tuple[float, ...], ...]  # (action_dim, observation_dim)
    deviation: float
    bound: float

    def describe(self) -> dict[str, Any]:
        return {
            "kind": "squashed linear feedback",
            "gains": [list(row) for row in self.gains],
            "deviation": self.deviation,
            "bound": self.bound,
        }

    def noise(self, generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return generator.standard_normal(shape)

    def sample(self, observations: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean = observations.astype(np.float64) @ np.transpose(self.gains)
        return squashed(mean, self.deviation, noise, self.bound)


def squashed(
    mean: np.ndarray, deviation: float, noise: np.ndarray, bound: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return bound tanh(u / bound), u = mean + deviation * noise, and its log-density.

    ``mean`` and standard normal ``noise`` are (rows, action_dim).
    """
    scaled = (mean + deviation * noise) / bound
    gaussian = -0.5 * noise**2 - np.log(deviation) - 0.5 * np.log(2.0 * np.pi)
    # da/du = 1 - tanh(u / bound)^2, its logarithm in the form that does not cancel for large u.
    slope = 2.0 * (np.log(2.0) - scaled - np.logaddexp(0.0, -2.0 * scaled))
    actions = (bound * np.tanh(scaled)).astype(np.float32)
    return actions, (gaussian - slope).sum(axis=-1)
