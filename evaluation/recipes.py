"""Recipes of the local datasets: which behaviour policies, in which shares, from which seed.

A recipe defines an endless sequence of episodes; a dataset is its beginning.  So ``...-v1@20k`` has
the same recipe as the whole dataset, and is its prefix.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from datumrl.datasets.catalogue import DatasetRecord, Environment
from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import locomotion, provenance
from datumrl.evaluation.controllers import Controller, Seeker, SquashedFeedback, Uniform
from datumrl.evaluation.environments import environment_of
from datumrl.evaluation.waypoints import WaypointWalker

COLLECTOR_VERSION = 1  # raised when the same recipe would give other bits


@dataclass(frozen=True)
class Part:
    """One behaviour policy of a dataset."""

    name: str
    controller: Controller | Seeker
    weight: int = 1  # its share of the transitions, relative to the other parts'


@dataclass(frozen=True)
class Recipe:
    """All that defines the content of a collected dataset on one platform."""

    dataset: str  # id without a prefix size
    environment: Environment
    parts: tuple[Part, ...]
    transitions: int  # of the whole dataset; the episode that reaches it is the last
    seed: int
    lanes: (
        int  # streams that run side by side; their number can reach the bits of a policy's output
    )
    stream_rows: int  # a stream is whole episodes until it has at least so many transitions

    def describe(self) -> dict[str, Any]:
        """Return the recipe as JSON, with the versions of what moves the environment."""
        return {
            "dataset": self.dataset,
            "environment": self.environment.id,
            "environment_kwargs": self.environment.settings,
            "time_limit": self.environment.time_limit,
            "parts": [
                {"name": part.name, "weight": part.weight, "policy": part.controller.describe()}
                for part in self.parts
            ],
            "seed": self.seed,
            "lanes": self.lanes,
            "stream_rows": self.stream_rows,
            "collector": COLLECTOR_VERSION,
            "engine": provenance.engine_versions(self.environment.id),
        }

    @property
    def sha256(self) -> str:
        """Return the dataset's identity: the hash of the recipe, engine versions included."""
        text = json.dumps(self.describe(), sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()


def recipe_for(record: DatasetRecord) -> Recipe:
    """Return the recipe of a local dataset.  Raises DatumrlError for one that is not generated."""
    if record.reader != "local":
        raise DatumrlError(
            f"{record.id} is downloaded, not generated; run `datumrl fetch {record.id}`"
        )
    name = record.full_id.removeprefix("local/")
    if name in locomotion.names():
        fields = locomotion.recipe(name)
        parts = tuple(Part(*policy) for policy in fields.pop("policies").items())
        fields["parts"] = parts
    elif name in _SETS:
        fields = _SETS[name]
    else:
        raise DatumrlError(f"{record.id}: no recipe is known for it; `datumrl datasets` lists ids")
    return Recipe(dataset=record.full_id, environment=environment_of(record), **fields)


# Observations are cart position, pole angle and their velocities; actions are forces in [-3, 3].
# These gains balance for all of the 1,000 steps.  The medium policy has so much noise that it falls
# after about a third of them, having seen many states from which one can still recover.
PENDULUM_RANDOM = Part("random", Uniform(bound=3.0, action_dim=1))
PENDULUM_MEDIUM = Part("medium", SquashedFeedback(((0.5, 8.0, 0.7, 1.0),), 0.89, bound=3.0))
PENDULUM_EXPERT = Part("expert", SquashedFeedback(((0.5, 8.0, 0.7, 1.0),), 0.1, bound=3.0))


def _pendulum(seed: int, *parts: Part) -> dict[str, Any]:
    sizes = {"transitions": 100_000, "lanes": 5, "stream_rows": 2_000}
    return {"seed": seed, "parts": parts, **sizes}


def _pointmaze(seed: int, maze: str) -> dict[str, Any]:
    # A stream of 2,400 rows is 8, 4 or 3 whole episodes of 300, 600 or 800.
    sizes = {"transitions": 1_000_000, "lanes": 10, "stream_rows": 2_400}
    return {"seed": seed, "parts": (Part("waypoints", WaypointWalker(maze)),), **sizes}


_SETS: dict[str, dict[str, Any]] = {  # the fields of Recipe that the catalogue does not hold
    "inverted-pendulum-random-v1": _pendulum(1, PENDULUM_RANDOM),
    "inverted-pendulum-medium-v1": _pendulum(2, PENDULUM_MEDIUM),
    "inverted-pendulum-expert-v1": _pendulum(3, PENDULUM_EXPERT),
    "inverted-pendulum-mixed-v1": _pendulum(4, PENDULUM_RANDOM, PENDULUM_MEDIUM, PENDULUM_EXPERT),
    "pointmaze-umaze-v1": _pointmaze(101, "umaze"),
    "pointmaze-medium-v1": _pointmaze(102, "medium"),
    "pointmaze-large-v1": _pointmaze(103, "large"),
}
