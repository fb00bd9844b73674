"""Recorded states and actions replayed in MuJoCo: do dynamics, rewards and ends agree?

A dataset that records the whole state (``infos/qpos`` and ``infos/qvel``) can be held against its
environment row by row: put the state, take the action, and compare what comes with what the row
and its successor say.  One step starts from a recorded state each time, so errors do not add up.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from datumrl.datasets.catalogue import Environment
from datumrl.datasets.episodes import Episodes
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.findings import Finding, first
from datumrl.evaluation import environments

if TYPE_CHECKING:
    import gymnasium

Progress = Callable[[int, int], None]  # rows done, rows in all

EXACT_REWARD = 1e-9  # between two float64 rewards of one engine version
SINGLE = 2e-6  # relative to 1 + |value|: float32 rounding of what is stored
# Of the typical step: by so much another engine version may differ on 95 % of rows and still be
# the same dynamics.
OTHER_ENGINE = 0.1

_QUANTILES = {"median": 0.5, "95 %": 0.95, "99 %": 0.99, "largest": 1.0}


@dataclass(frozen=True, eq=False)
class Replay:
    """Errors of replayed rows; NaN where the dataset holds nothing to compare with."""

    rows: np.ndarray  # (n,) int64, increasing
    state: np.ndarray  # (n,) largest |observation of the recorded state - recorded one| / (1 + |.|)
    step: np.ndarray  # (n,) the same of the next observation
    motion: np.ndarray  # (n,) largest |next observation - observation| / (1 + |.|), as recorded
    reward: np.ndarray  # (n,) |reward - recorded reward|
    reward_scale: np.ndarray  # (n,) 1 + |recorded reward|
    termination: np.ndarray  # (n,) bool: the environment says otherwise than the terminal flag
    exact_rewards: bool  # compared with float64 rewards (``infos/reward``), not with float32

    def quantiles(self, name: str) -> dict[str, float]:
        """Return median, 95 %, 99 % and largest of an error; NaN if nothing was compared."""
        values = getattr(self, name)
        values = values[~np.isnan(values)]
        if not len(values):
            return dict.fromkeys(_QUANTILES, float("nan"))
        return {key: float(np.quantile(values, at)) for key, at in _QUANTILES.items()}


def can_replay(episodes: Episodes, extras: Mapping[str, np.ndarray]) -> str | None:
    """Return why the rows cannot be replayed, or None if they hold what is needed."""
    if not isinstance(episodes.observations, np.ndarray) or episodes.observations.ndim != 2:
        return "observations are no vectors"
    missing = [name for name in ("infos/qpos", "infos/qvel") if name not in extras]
    if missing:
        return f"the full state is not recorded ({' and '.join(missing)} missing)"
    if not len(episodes):
        return "the dataset holds no rows"
    return None


def replay(
    episodes: Episodes,
    extras: Mapping[str, np.ndarray],
    environment: Environment,
    *,
    rows: int | None = 1000,
    seed: int = 0,
    progress: Progress | None = None,
) -> Replay:
    """Replay ``rows`` rows drawn without replacement (all of them: None) and return the errors.

    ``extras`` hold infos/qpos and infos/qvel, and infos/reward where rewards are kept in float64.
    Raises DatumrlError if the environment cannot be made, has no ``set_state``, or has a state of
    another size than the recorded one.
    """
    reason = can_replay(episodes, extras)
    if reason is not None:
        raise DatumrlError(f"{episodes.id}: cannot be replayed: {reason}; use one with full states")
    picked = np.arange(len(episodes))
    if rows is not None and rows < len(episodes):
        picked = np.sort(np.random.default_rng(seed).choice(len(episodes), rows, replace=False))
    recorded = np.asarray(extras.get("infos/reward", episodes.rewards)[picked], np.float64)
    with contextlib.closing(environments.make(environment)) as env:
        world = _World(env, episodes, extras)
        errors, ended = _compared(world, episodes, picked, recorded, progress)
    # A fall at the time limit is recorded as a timeout by some collectors: either flag is right.
    differs = (ended != episodes.terminals[picked]) & ~(ended & episodes.timeouts[picked])
    return Replay(
        rows=picked,
        state=errors[0],
        step=errors[1],
        motion=errors[2],
        reward=errors[3],
        reward_scale=1 + np.abs(recorded),
        termination=differs,
        exact_rewards="infos/reward" in extras,
    )


def _compared(
    world: _World,
    episodes: Episodes,
    rows: np.ndarray,
    rewards: np.ndarray,
    progress: Progress | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return errors of state, step, motion and reward (4, n), and where the world ended (n,)."""
    known, successors = _successors(episodes, rows)
    errors = np.full((4, len(rows)), np.nan)
    ended = np.zeros(len(rows), bool)
    for number, row in enumerate(rows):
        before = np.asarray(episodes.observations[row], np.float64)
        shown, after, reward, ended[number] = world.step(int(row))
        errors[0, number] = _error(shown, before[: len(shown)])
        errors[3, number] = abs(reward - rewards[number])
        if known[number]:
            errors[1, number] = _error(after, successors[number])
            errors[2, number] = _error(before, successors[number])
        if progress is not None:
            progress(number + 1, len(rows))
    return errors, ended


class _World:
    """An environment that takes a recorded state and action, and tells what comes of them."""

    def __init__(
        self, env: gymnasium.Env, episodes: Episodes, extras: Mapping[str, np.ndarray]
    ) -> None:
        self._world: Any = env.unwrapped
        self._episodes = episodes
        self._qpos, self._qvel = extras["infos/qpos"], extras["infos/qvel"]
        env.reset(seed=0)
        if not hasattr(self._world, "set_state"):
            raise DatumrlError(
                f"{episodes.id}: its environment cannot be put into a state; only MuJoCo "
                "environments with set_state can be replayed"
            )
        self._sizes = self._world.data.qpos.shape + self._world.data.qvel.shape
        recorded = self._qpos.shape[1:] + self._qvel.shape[1:]
        if recorded != self._sizes:
            raise DatumrlError(
                f"{episodes.id}: records {recorded} positions and velocities where its environment "
                f"has {self._sizes}; the states are another environment's"
            )

    def step(self, row: int) -> tuple[np.ndarray, np.ndarray, float, bool]:
        """Return the observation of a row's state, the next one, the reward, and the end."""
        self._world.set_state(
            np.asarray(self._qpos[row], np.float64), np.asarray(self._qvel[row], np.float64)
        )
        shown = self._observed()
        after, reward, ended, *_ = self._world.step(np.asarray(self._episodes.actions[row]))
        return shown, np.asarray(after, np.float64), float(reward), bool(ended)

    def _observed(self) -> np.ndarray:
        """Return what the state determines of the observation; forces come only with a step."""
        if hasattr(self._world, "_get_obs"):
            return np.asarray(self._world._get_obs(), np.float64)[: sum(self._sizes)]
        state = np.concatenate([self._world.data.qpos, self._world.data.qvel])
        return state[: self._episodes.observations.shape[1]]


def _error(found: np.ndarray, recorded: np.ndarray) -> float:
    return float((np.abs(found - recorded) / (1 + np.abs(recorded))).max(initial=0.0))


def _successors(episodes: Episodes, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which rows have a known successor, and the successors: (n,) bool, (n, dim) float64."""
    known = np.ones(len(episodes), bool)
    known[episodes.starts[1:] - 1] = False
    known[episodes.successor_rows] = True
    following = np.array(episodes.observations[np.minimum(rows + 1, len(episodes) - 1)])
    if len(episodes.successor_rows):
        at = np.searchsorted(episodes.successor_rows, rows)
        at = np.minimum(at, len(episodes.successor_rows) - 1)
        stored = episodes.successor_rows[at] == rows
        following[stored] = episodes.successors[at[stored]]
    return known[rows], following.astype(np.float64)


def finding(result: Replay, *, same_engine: bool, engine: str) -> Finding:
    """Judge a replay.

    In the engine version of the collection, observations must agree to float32 rounding and
    rewards to 1e-9 (to float32 rounding where only that was kept).  Another version (D4RL's files
    come from MuJoCo 2 through mujoco_py) changes contacts a little: there, 95 % of rows must agree
    within a tenth of the median step, and rewards to a tenth of 1 + |reward|.
    """
    state, step, reward = result.state, result.step, result.reward / result.reward_scale
    if same_engine:
        far = ~(state <= SINGLE) | (step > SINGLE) | result.termination
        far |= ~(result.reward <= EXACT_REWARD if result.exact_rewards else reward <= SINGLE)
        allowed = 0.0
    else:
        known = result.motion[~np.isnan(result.motion)]
        typical = float(np.median(known)) if len(known) else 1.0
        tolerance = max(OTHER_ENGINE * typical, SINGLE)
        # What a state looks like does not depend on the engine, only the rounding does.
        far = ~(state <= 10 * SINGLE) | (step > tolerance) | ~(reward <= OTHER_ENGINE)
        far |= result.termination
        allowed = 0.05
    counts: dict[str, int | float] = {
        "rows replayed": len(result.rows),
        "rows that disagree": int(far.sum()),
    }
    counts["terminations that disagree"] = int(result.termination.sum())
    for name in ("state", "step", "reward"):
        for key, value in result.quantiles(name).items():
            counts[f"{name} error, {key}"] = value
    text = _summary(result, counts, same_engine, engine)
    if far.mean() <= allowed:
        return Finding("replay", "pass", text, counts, first(result.rows[far]))
    return Finding("replay", "fail", text, counts, first(result.rows[far]), _remedy(result, far))


def _summary(result: Replay, counts: Mapping[str, float], same_engine: bool, engine: str) -> str:
    agree = len(result.rows) - int(counts["rows that disagree"])
    text = (
        f"{agree:,} of {len(result.rows):,} replayed rows agree; largest error of next "
        f"observations {counts['step error, largest']:.2g}, of rewards "
        f"{counts['reward error, largest']:.2g}"
    )
    if not same_engine:
        text += f" (replayed in {engine}, collected in another engine version)"
    return text


def _remedy(result: Replay, far: np.ndarray) -> str:
    if (result.state[far] > 10 * SINGLE).mean() > 0.5:
        return "the recorded states are not those of the observations: do not use infos/qpos, qvel"
    if result.termination[far].mean() > 0.5:
        return "terminals are not the environment's: bootstrapping would use other ends"
    if np.nanmax(result.step[far], initial=0.0) <= 10 * SINGLE:
        return "rewards are not the environment's: scaled, shifted in time, or of another task"
    return "the environment, its settings or its engine version are not the collection's"
