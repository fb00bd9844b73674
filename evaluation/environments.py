"""Environments as the catalogue names them; the only place where Gymnasium is asked for one."""

from __future__ import annotations

import contextlib
import importlib
import io
from dataclasses import replace
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
    """Return the environment in which a dataset's policies are evaluated; an error without one.

    One that is only the nearest, with other observations, is not made here, and of one whose
    settings are not known before the dataset is fetched, the error says so.
    """
    environment = record.environment
    if environment is None:
        raise DatumrlError(
            f"{record.id} has no environment that is made here, so policies cannot be rolled out "
            "for it; judge them offline, or hand returns that your own code measured to "
            f"{logging_call(record)}"
        )
    _require_settings(environment, record.id)
    if not _is_laid_out(environment):
        raise _unmade(environment, record)
    return environment


def measured_in(
    record: DatasetRecord, name: str | None = None, time_limit: int | None = None
) -> Environment:
    """Return the environment of this id, the dataset's own by default, that returns are of.

    Where the catalogue knows the environment, it knows its time limit and the name on record.
    Raises DatumrlError for another time limit than that, for none where it is not known, and where
    the dataset has to be fetched before its environment's settings are known.
    """
    known = environment_of(record) if name is None else record.environment_called(name)
    used = known or Environment(str(name), 0)
    _require_settings(used, record.id)
    if used.time_limit and time_limit not in (None, used.time_limit):
        raise DatumrlError(
            f"time_limit {time_limit}: {used.id} cuts episodes of {record.id} off after "
            f"{used.time_limit} steps; leave time_limit out, or call what you measured in by a "
            "name of its own"
        )
    if used.time_limit:
        return used
    if time_limit is None:
        raise DatumrlError(
            f"{used.id}: the time limit of this environment is not known for {record.id}; add "
            f"time_limit=, the steps after which it cuts an episode off{_known_as(record)}"
        )
    return replace(used, time_limit=time_limit)


def _require_settings(environment: Environment, dataset: str) -> None:
    if not environment.settings_known:
        raise DatumrlError(environment.unfetched(dataset))


def require_stated(record: DatasetRecord) -> None:
    """Raise DatumrlError where returns of a dataset may be of either of two environments.

    They are where the one made here is only the nearest to that of the scores; where that is not
    known before the dataset is fetched, the error says so.
    """
    environment = record.environment
    if environment is None or environment.equivalent:
        return
    _require_settings(environment, record.id)
    if not _is_laid_out(environment):
        raise _unmade(environment, record)
    raise DatumrlError(
        f"{environment.only_nearest(record.id)}, so returns are not comparable; pass --nearest "
        "(nearest=True) for returns in it all the same, or hand those that your own code measured "
        f"elsewhere to {logging_call(record)}"
    )


def logging_call(record: DatasetRecord | None) -> str:
    """Return the call that puts returns measured by other code on record for a dataset."""
    if record is not None and record.environment is not None and record.environment.equivalent:
        return "datumrl.Recorder(...).log"
    names = () if record is None else record.publisher_environments
    limit = "" if names and record is not None and record.time_limit else ", time_limit=STEPS"
    return (
        f"datumrl.Recorder(..., environment={(*names, 'ID')[0]!r}{limit}, "
        "engine={'PACKAGE': 'VERSION'}).log"
    )


def _known_as(record: DatasetRecord) -> str:
    own = [record.environment] if record.environment is not None else []
    names = [environment.id for environment in own if environment.time_limit]
    names += record.publisher_environments if record.time_limit else ()
    return f" (it is known for {', '.join(names)})" if names else ""


def _is_laid_out(environment: Environment) -> bool:
    return environment.equivalent or not environment.id.startswith(_NOT_MADE)


def _unmade(environment: Environment, record: DatasetRecord | None) -> DatumrlError:
    dataset = "this dataset" if record is None else record.id
    return DatumrlError(
        f"{environment.id} is not made here: its observations cannot be laid out as {dataset}'s "
        "are; roll out by your own code in the environment of its scores and hand the returns to "
        f"{logging_call(record)}"
    )


def make(environment: Environment, nearest: bool = False) -> gymnasium.Env:
    """Return a Gymnasium environment with its time limit and without the passive checker.

    Raises DatumrlError if gymnasium or mujoco is missing, if this Gymnasium lacks the id, if its
    settings are not known, and unless ``nearest`` is set, if the environment is only the nearest to
    the one that the dataset's scores are defined on.
    """
    _require_settings(environment, "ID")
    if not _is_laid_out(environment):
        raise _unmade(environment, None)
    if not environment.equivalent and not nearest:
        raise DatumrlError(
            f"{environment.only_nearest('this dataset')}, so returns are not comparable; pass "
            "--nearest (nearest=True) to evaluate in it all the same"
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
            **environment.settings,
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
            robotics = importlib.import_module("gymnasium_robotics")  # which registers them all
            if environment.id not in _import_gymnasium(environment).registry:
                robotics.register_robotics_envs()
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
