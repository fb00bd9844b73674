"""What an exported dataset says of its environment, asked of Gymnasium."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

from datumrl.datasets.catalogue import Environment
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.minari_writer import EnvironmentFacts
from datumrl.evaluation import environments


def environment_facts(environment: Environment) -> EnvironmentFacts:
    """Make an environment once and return its specification and the bounds of its actions.

    Raises DatumrlError if it cannot be made, or if its actions are not a box.
    """
    with contextlib.closing(environments.make(environment, nearest=True)) as env:
        space: Any = env.action_space
        if env.spec is None or not hasattr(space, "low"):
            raise DatumrlError(
                f"{environment.id}: has no specification or no continuous actions ({space}); only "
                "such environments can be written"
            )
        env.spec.disable_env_checker = False  # ours skips it for speed; others should not
        return EnvironmentFacts(
            spec=env.spec.to_json(),
            action_low=np.asarray(space.low, np.float32),
            action_high=np.asarray(space.high, np.float32),
        )
