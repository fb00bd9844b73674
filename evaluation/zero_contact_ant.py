"""The ant of D4RL's data: Gymnasium's Ant-v4, in whose observations all contact forces are 0.

D4RL's ant datasets come from Gym's Ant-v2 under MuJoCo 2.0, which no longer filled the contact
forces that Ant-v2 observes and charges for (openai/gym#1541): values 27 to 110 of every observation
are 0 (Farama-Foundation/D4RL#143, #173), and so was their cost.  What is left of Ant-v2's rewards
(speed + 1 - half the squared action), ends and starts is Ant-v4's without contact forces.
"""

from __future__ import annotations

import functools
import importlib
from typing import Any

import numpy as np

ENVIRONMENTS = ("datumrl/AntZeroContact-v1",)
ZEROS = 84  # six forces and torques of each of 14 bodies


def register() -> None:
    """Make the id known to Gymnasium, which must be installed; a second call does nothing."""
    gym: Any = importlib.import_module("gymnasium")
    for name in ENVIRONMENTS:
        if name not in gym.registry:
            gym.register(name, entry_point=f"{__name__}:make")


def make(**settings: Any) -> Any:
    """Return the environment without its time limit.  Raises ImportError for missing packages."""
    return _environment_class()(use_contact_forces=False, **settings)


@functools.cache
def _environment_class() -> type:
    """Return the class, which cannot be defined before Gymnasium is imported."""
    gym: Any = importlib.import_module("gymnasium")
    ant: Any = importlib.import_module("gymnasium.envs.mujoco.ant_v4")

    class AntZeroContact(ant.AntEnv):
        """Ant-v4 without contact forces, and zeros where Ant-v2 observed them."""

        def __init__(self, **settings: Any) -> None:
            super().__init__(**settings)
            shape = self._get_obs().shape
            self.observation_space = gym.spaces.Box(-np.inf, np.inf, shape, np.float64)

        def _get_obs(self) -> np.ndarray:
            return np.concatenate([super()._get_obs(), np.zeros(ZEROS)])

    return AntZeroContact
