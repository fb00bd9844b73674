"""One chunk of a collection: neighbouring streams of one behaviour policy, run side by side.

A stream is whole episodes, one after the other, until it has the recipe's ``stream_rows``
transitions.  It draws from random generators of its own, and a chunk depends on nothing but the
recipe and its number, so chunks can be made in any order, anywhere.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import threadpoolctl

from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import environments
from datumrl.evaluation.controllers import Controller, Seeker
from datumrl.evaluation.recipes import Recipe

if TYPE_CHECKING:
    import gymnasium

# Column of a chunk -> name under which it is kept beside the dataset's own columns.
EXTRAS = {
    "log_probabilities": "infos/action_log_probs",
    "qpos": "infos/qpos",
    "qvel": "infos/qvel",
    "exact_rewards": "infos/reward",  # float64, as the environment gave them, for replays
    "goals": "infos/goal",  # (rows, 0), and then not kept, for policies without goals of their own
}
COLUMNS = ("observations", "actions", "rewards", "terminals", "timeouts", *EXTRAS)


@dataclass(frozen=True)
class Chunk:
    """Streams one after the other, row by row as in Episodes."""

    columns: dict[str, np.ndarray]  # by the names in COLUMNS
    lengths: np.ndarray  # (episodes,) int64
    finals: np.ndarray  # (episodes, observation_dim) float32: the observation after the last row


def collect_chunk(recipe: Recipe, part: int, number: int) -> Chunk:
    """Run streams ``number * lanes`` to ``(number + 1) * lanes - 1`` of one part side by side."""
    streams = range(number * recipe.lanes, (number + 1) * recipe.lanes)
    with contextlib.ExitStack() as stack:
        # One thread: small products gain nothing from more, and how many there are could reach the
        # last bits of what a policy returns.
        stack.enter_context(threadpoolctl.threadpool_limits(1, "blas"))
        made = []
        for _ in streams:
            made.append(environments.make(recipe.environment))
            stack.callback(made[-1].close)
        lanes = [
            _Lane(recipe, part, stream, env) for stream, env in zip(streams, made, strict=True)
        ]
        controller = recipe.parts[part].controller
        noise = np.stack([lane.noise for lane in lanes], axis=1)  # (steps, lanes, any)
        goals = None
        step = 0
        while any(lane.live for lane in lanes):
            # Every lane takes part at every step, live or not: the shape of a batch can reach the
            # last bits of what a policy returns.
            observations = np.stack([lane.observation for lane in lanes]).astype(np.float32)
            actions, log_probabilities, goals = _act(controller, observations, noise[step], goals)
            rows = zip(observations, actions, log_probabilities, goals, strict=True)
            for lane, row in zip(lanes, rows, strict=True):
                if lane.live:
                    lane.step(*row)
            step += 1
    return Chunk(
        {name: np.concatenate([lane.column(name) for lane in lanes]) for name in COLUMNS},
        np.concatenate([np.asarray(lane.lengths, np.int64) for lane in lanes]),
        np.concatenate([np.asarray(lane.finals, np.float32) for lane in lanes]),
    )


def _act(
    controller: Controller | Seeker,
    observations: np.ndarray,
    noise: np.ndarray,
    goals: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return actions, log-probabilities and the policy's goals, (lanes, 0) if it has none."""
    if isinstance(controller, Seeker):
        return controller.pursue(observations, noise, goals)
    return *controller.sample(observations, noise), np.zeros((len(observations), 0))


class _Lane:
    """One stream under way: its environment, its random numbers, its rows so far."""

    def __init__(self, recipe: Recipe, part: int, stream: int, env: gymnasium.Env) -> None:
        self._env = env
        self._simulator: Any = getattr(env.unwrapped, "data", None)
        if self._simulator is None:
            raise DatumrlError(
                f"{recipe.environment.id} shows no MuJoCo state, which local datasets record"
            )
        self._key = (recipe.seed, part, stream)
        self._missing = recipe.stream_rows
        limit = recipe.stream_rows - 1 + recipe.environment.time_limit
        # Trailing zeros do not change a SeedSequence: noise has key 1, the resets have 2, 3...
        generator = np.random.default_rng(np.random.SeedSequence((*self._key, 1)))
        shape = (limit, *(env.action_space.shape or ()))
        self.noise = recipe.parts[part].controller.noise(generator, shape)
        self._columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
        self.lengths: list[int] = []
        self.finals: list[np.ndarray] = []
        self.live = True
        self._reset()

    def _reset(self) -> None:
        key = np.random.SeedSequence((*self._key, 2 + len(self.lengths)))
        self.observation, _ = self._env.reset(seed=int(key.generate_state(1, np.uint64)[0]))
        self._length = 0

    def step(
        self,
        observation: np.ndarray,
        action: np.ndarray,
        log_probability: float,
        goal: np.ndarray,
    ) -> None:
        columns = self._columns
        columns["qpos"].append(self._simulator.qpos.copy())
        columns["qvel"].append(self._simulator.qvel.copy())
        self.observation, reward, terminated, truncated, _ = self._env.step(action)
        columns["observations"].append(observation)
        columns["actions"].append(action)
        columns["rewards"].append(float(reward))
        columns["exact_rewards"].append(float(reward))
        columns["terminals"].append(terminated)
        # A process that ends at the very time limit has ended; the limit then cut nothing off.
        columns["timeouts"].append(truncated and not terminated)
        columns["log_probabilities"].append(log_probability)
        columns["goals"].append(goal)
        self._length += 1
        if terminated or truncated:
            self.lengths.append(self._length)
            self.finals.append(self.observation)
            self._missing -= self._length
            self.live = self._missing > 0
            if self.live:
                self._reset()

    def column(self, name: str) -> np.ndarray:
        dtype: Any = {"rewards": np.float32, "terminals": np.bool_, "timeouts": np.bool_}.get(name)
        return np.asarray(self._columns[name], dtype)
