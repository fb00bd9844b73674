"""Environments as the catalogue names them; the only place where Gymnasium is asked for one."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from datumrl.datasets.catalogue import DatasetRecord, Environment
from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import pointmaze

if TYPE_CHECKING:
    import gymnasium


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
    if not environment.equivalent and not nearest:
        raise DatumrlError(
            f"{environment.id} is only the nearest to the environment of this dataset's scores"
            f"{f' ({environment.note})' if environment.note else ''}, so returns are not "
            "comparable; pass nearest=True to evaluate in it all the same"
        )
    gym: Any = _import_gymnasium(environment)
    if environment.id in pointmaze.ENVIRONMENTS:
        pointmaze.register()
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


def _import_gymnasium(environment: Environment) -> Any:
    try:
        return importlib.import_module("gymnasium")
    except ImportError as problem:
        raise _missing(environment, problem) from problem


def _missing(environment: Environment, problem: Exception) -> DatumrlError:
    return DatumrlError(
        f"{environment.id} cannot be made ({problem}); install what it needs with "
        "`pip install datumrl[envs]`"
    )
