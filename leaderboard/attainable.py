"""Bounds that no episode's return can leave, by dataset, as far as they are known."""

from __future__ import annotations

import re
from dataclasses import dataclass

from datumrl.datasets.record import DatasetRecord

# Scores, for environments without sharper bounds.  No episode far above the reference expert has
# been seen; some are far below a random policy (NeoRL-2 prints a mean of -422), to nobody's gain.
HIGHEST_SCORE = 300.0
LOWEST_SCORE = -3000.0
LARGEST_RETURN = 1e9  # where no reference is known, or not the environment


@dataclass(frozen=True)
class Bounds:
    """An episode's return lies in ``low + per_step_low * length`` to its counterpart."""

    low: float
    high: float
    per_step_low: float
    per_step_high: float
    why: str

    def of(self, length: int) -> tuple[float, float]:
        """Return the least and largest return of an episode of this length."""
        return self.low + self.per_step_low * length, self.high + self.per_step_high * length


# Rewards of these are known exactly; checked in this order, against "dataset id environment id".
_KNOWN = (
    (r"InvertedPendulum", Bounds(0, 0, 0, 1, "the reward is 1 for every step upright")),
    (r"d4rl/kitchen|FrankaKitchen", Bounds(0, 4, 0, 0, "there are four subtasks, each worth 1")),
    (r"d4rl/antmaze", Bounds(0, 1, 0, 0, "the reward is 1 at the goal, where the episode ends")),
    (r"maze2d|pointmaze|PointMaze", Bounds(0, 0, 0, 1, "the reward of a step is 0 to 1")),
)


def bounds_in(dataset: DatasetRecord, environment: str) -> Bounds:
    """Return the bounds of returns measured in an environment: wide ones if it is no known one."""
    if dataset.environment_called(environment) is None:
        why = f"what {environment} can give is not known"
        return Bounds(-LARGEST_RETURN, LARGEST_RETURN, 0, 0, why)
    return bounds(dataset)


def bounds(dataset: DatasetRecord) -> Bounds:
    """Return the bounds of a dataset's episodes."""
    environment = dataset.environment.id if dataset.environment else ""
    for pattern, known in _KNOWN:
        if re.search(pattern, f"{dataset.id} {environment}"):
            return known
    reference = dataset.reference
    if reference is None:
        return Bounds(-LARGEST_RETURN, LARGEST_RETURN, 0, 0, "no reference returns are known")
    low, high = (
        reference.minimum + score / 100 * (reference.maximum - reference.minimum)
        for score in (LOWEST_SCORE, HIGHEST_SCORE)
    )
    why = f"its score would be outside {LOWEST_SCORE:g} to {HIGHEST_SCORE:g}, as in other units"
    return Bounds(low, high, 0, 0, why)
