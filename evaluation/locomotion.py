"""The datasets of the local locomotion suite: which of the shipped policies, in which shares.

The levels are D4RL's.  `medium-replay` is a snapshot replay, not the training buffer:
uniform-random warm-up and snapshots of the training up to medium, all in equal shares.
"""

from __future__ import annotations

from typing import Any

from datumrl.evaluation import actors
from datumrl.evaluation.controllers import Controller, Uniform

ACTION_DIMS = {"hopper": 3, "halfcheetah": 6, "walker2d": 6}
REPLAY_SNAPSHOTS = 8
REPLAY = ("random", *(f"replay-{number}" for number in range(REPLAY_SNAPSHOTS)))

LEVELS: dict[str, tuple[tuple[str, ...], int]] = {  # level -> policies in equal shares, transitions
    "random": (("random",), 1_000_000),
    "medium": (("medium",), 1_000_000),
    "medium-replay": (REPLAY, 400_000),
    "medium-expert": (("medium", "expert"), 2_000_000),
    "expert": (("expert",), 1_000_000),
}


def names() -> dict[str, tuple[str, str]]:
    """Return dataset name (without ``local/``) -> environment, level."""
    return {
        f"{environment}-{level}-v1": (environment, level)
        for environment in ACTION_DIMS
        for level in LEVELS
    }


def recipe(name: str) -> dict[str, Any]:
    """Return seed, policies by name and sizes of a dataset; loads the shipped weights it needs."""
    environment, level = names()[name]
    policies, transitions = LEVELS[level]
    return {
        "seed": 1_000 + list(names()).index(name),
        "policies": {policy: controller(environment, policy) for policy in policies},
        "transitions": transitions,
        "lanes": 10,
        # One whole episode of a policy that lasts; short, since each of a replay's nine policies
        # gives at least one chunk of such streams.
        "stream_rows": 1_000,
    }


def controller(environment: str, policy: str) -> Controller:
    """Return one behaviour policy of an environment."""
    if policy == "random":
        return Uniform(bound=1.0, action_dim=ACTION_DIMS[environment])
    return actors.shipped(environment, policy)
