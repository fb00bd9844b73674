"""Environments as the catalogue names them; the only place where Gymnasium is asked for one."""

from __future__ import annotations

import contextlib
import importlib
import io
from typing import TYPE_CHECKING, Any

import numpy as np

from datumrl.datasets.catalogue import DatasetRecord, Environment
from datumrl.datasets.errors import DatumrlError, installed_by
from datumrl.evaluation import pointmaze, zero_contact_ant

if TYPE_CHECKING:
    import gymnasium

ROBOTICS = ("PointMaze_", "AntMaze_", "AdroitHand", "FrankaKitchen")  # of gymnasium-robotics
# Which parts of a dict of observations, one after the other, are D4RL's: positions and velocities.
_LAYOUTS = {"PointMaze_": ("observation",), "AntMaze_": ("achieved_goal", "observation")}
_ENDS = ("low", "high")
_NOT_MADE = ("MiniGrid-", "FrankaKitchen")  # nearest to D4RL's, with other observations


def environment_of(record: DatasetRecord) -> Environment:
    """Return the environment in which a dataset's policies are evaluated; an error without one."""
    if record.environment is None:
        raise DatumrlError(
            f"{record.id} has no environment, so policies cannot be rolled out for it; judge them "
            "offline, or log returns measured elsewhere with datumrl.Recorder(...).log"
        )
    return record.environment


def make(environment: Environment, nearest: bool = False) -> gymnasium.Env:
    """Return a Gymnasium environment with its time limit and without the passive checker.

    Raises DatumrlError if gymnasium or mujoco is missing, if this Gymnasium lacks the id, and
    unless ``nearest`` is set, if the environment is only the nearest to the one that the dataset's
    scores are defined on.
    """
    if not environment.equivalent and environment.id.startswith(_NOT_MADE):
        raise DatumrlError(
            f"{environment.id} is not made here: its observations cannot be laid out as this "
            "dataset's are; roll out by your own code and hand the returns to "
            "datumrl.Recorder(...).log"
        )
    if not environment.equivalent and not nearest:
        raise DatumrlError(
            f"{environment.id} is only the nearest to the environment of this dataset's scores"
            f"{f' ({environment.note})' if environment.note else ''}, so returns are not "
            "comparable; pass --nearest (nearest=True) to evaluate in it all the same"
        )
    gym: Any = _import_gymnasium(environment)
    for ours in (pointmaze, zero_contact_ant):
        if environment.id in ours.ENVIRONMENTS:
            ours.register()
    if environment.id not in gym.registry and environment.id.startswith(ROBOTICS):
        _register_robotics(environment)
    # A spec from the registry, not the id: exactly the notice that an id is not the newest falls
    # away (-v4 is what D4RL's scores are defined on), while every other warning still comes.
    spec = gym.registry.get(environment.id)
    if spec is None:
        raise DatumrlError(
            f"{environment.id}: Gymnasium {gym.__version__} does not know this environment; "
            "install the versions in constraints.txt"
        )
    try:
        return gym.make(
            spec,
            max_episode_steps=environment.time_limit,
            disable_env_checker=True,  # it costs as much as a small environment's step
            **dict(environment.kwargs),
        )
    except (ImportError, gym.error.DependencyNotInstalled) as problem:
        raise _missing(environment, problem) from problem


def make_flat(environment: Environment, nearest: bool = False) -> gymnasium.Env:
    """Return an environment as `make`, its observations as flat as D4RL's datasets have them.

    Raises DatumrlError where they are a dict in which D4RL's layout cannot be found exactly.
    """
    env = make(environment, nearest)
    gym: Any = _import_gymnasium(environment)
    if not isinstance(env.observation_space, gym.spaces.Dict):
        return env
    names = next((each for begin, each in _LAYOUTS.items() if environment.id.startswith(begin)), ())
    if not names:
        env.close()
        raise DatumrlError(
            f"{environment.id}: its observations are a dict in which the dataset's layout cannot "
            "be found, so policies cannot be rolled out there; judge them offline"
        )
    spaces = [env.observation_space[name] for name in names]
    low, high = (np.concatenate([getattr(space, end) for space in spaces]) for end in _ENDS)
    return gym.wrappers.TransformObservation(
        env,
        lambda observation: np.concatenate([observation[name] for name in names]),
        gym.spaces.Box(low, high, dtype=np.float64),
    )


def _register_robotics(environment: Environment) -> None:
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # it prints a notice about Adroit's rewards
            importlib.import_module("gymnasium_robotics").register_robotics_envs()
    except ImportError as problem:
        raise _missing(environment, problem) from problem


def _import_gymnasium(environment: Environment) -> Any:
    try:
        return importlib.import_module("gymnasium")
    except ImportError as problem:
        raise _missing(environment, problem) from problem


def _missing(environment: Environment, problem: Exception) -> DatumrlError:
    return DatumrlError(
        f"{environment.id} cannot be made ({problem}); install what it needs with "
        f"{installed_by('envs')}"
    )
