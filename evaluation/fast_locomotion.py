"""HalfCheetah-v4, Hopper-v4 and Walker2d-v4, many side by side: Gymnasium's trajectories, faster.

Gymnasium makes the first environment and resets it for every row; from there on only MuJoCo steps,
in as many threads as there are cores (``OMP_NUM_THREADS`` bounds them), and what Gymnasium computes
row by row around it (`gymnasium/envs/mujoco/{half_cheetah,hopper,walker2d}_v4.py`) is computed for
all rows at once, operation by operation in the same order and types.  A test compares whole
episodes bit by bit.  Not computed are contact forces, which nothing in these environments reads.
"""

from __future__ import annotations

import concurrent.futures
import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from datumrl.datasets.catalogue import Environment
from datumrl.evaluation import provenance

if TYPE_CHECKING:
    import gymnasium


@dataclass(frozen=True)
class _Body:
    """What differs between the three."""

    control_cost: float
    healthy_reward: float | None  # None: never ends
    healthy_z: tuple[float, float] = (-np.inf, np.inf)
    healthy_angle: tuple[float, float] = (-np.inf, np.inf)
    largest_state: float = np.inf  # of everything but position x and height z

    def healthy(self, positions: np.ndarray, velocities: np.ndarray) -> np.ndarray:
        """Return (rows,) bool."""
        z, angle = positions[:, 1], positions[:, 2]
        (low_z, high_z), (low, high) = self.healthy_z, self.healthy_angle
        fine = (low_z < z) & (z < high_z) & (low < angle) & (angle < high)
        if self.largest_state < np.inf:
            rest = np.concatenate([positions[:, 2:], velocities], axis=1)
            fine &= (np.abs(rest) < self.largest_state).all(axis=1)
        return fine


_BODIES = {
    "HalfCheetah-v4": _Body(0.1, None),
    "Hopper-v4": _Body(1e-3, 1.0, (0.7, np.inf), (-0.2, 0.2), 100.0),
    "Walker2d-v4": _Body(1e-3, 1.0, (0.8, 2.0), (-1.0, 1.0)),
}


def knows(environment: Environment) -> bool:
    """Return whether an environment is one of the three, as they are by default."""
    return environment.id in _BODIES and not dict(environment.kwargs)


class Locomotion:
    """Rows of one environment, each from the start that its seed gives."""

    def __init__(self, made: gymnasium.Env, environment: Environment, seeds: Sequence[int]) -> None:
        """``made`` is a Gymnasium environment of this kind; it is only reset, and then closed."""
        import mujoco

        self._mj_step: Any = mujoco.mj_step
        self._body, self._time_limit = _BODIES[environment.id], environment.time_limit
        inner: Any = made.unwrapped
        self._made, self.space = made, made.action_space
        self._model, self._frames, self._dt = inner.model, inner.frame_skip, inner.dt
        starts, self._data = [], []
        for seed in seeds:
            starts.append(made.reset(seed=seed)[0])
            self._data.append(copy.copy(inner.data))
        self.observations = np.stack(starts)
        # Views of MuJoCo's own memory; asking for one each time costs more than reading it.
        self._controls = [data.ctrl for data in self._data]
        self._positions = [data.qpos for data in self._data]
        self._velocities = [data.qvel for data in self._data]
        self._steps = 0
        self._threads = min(provenance.usable_threads(), len(seeds))
        self._pool = concurrent.futures.ThreadPoolExecutor(max(1, self._threads - 1))

    def close(self) -> None:
        """Let go of threads and environment."""
        self._pool.shutdown()
        self._made.close()

    def step(
        self, live: Sequence[int], actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Step the rows ``live`` by ``actions`` (all rows, action_dim), already in the space.

        Returns their observations (live, observation_dim), rewards (live,) and ends (live,) bool,
        all float64.  A row that has ended is not stepped again; the others have all had as many.
        """
        before = np.array([self._positions[row][0] for row in live])
        for row in live:
            self._controls[row][:] = actions[row]
        self._simulate(live)
        self._steps += 1
        positions = np.array([self._positions[row] for row in live])
        velocities = np.array([self._velocities[row] for row in live])
        rewards = (positions[:, 0] - before) / self._dt
        taken = actions if len(live) == len(actions) else actions[live]
        cost = self._body.control_cost * np.square(taken).sum(axis=1)
        over = self._steps >= self._time_limit
        if self._body.healthy_reward is None:
            ended = np.full(len(live), over)
            seen = velocities
        else:
            rewards = rewards + self._body.healthy_reward
            ended = ~self._body.healthy(positions, velocities) | over
            seen = np.clip(velocities, -10, 10)
        return np.concatenate([positions[:, 1:], seen], axis=1), rewards - cost, ended

    def _simulate(self, live: Sequence[int]) -> None:
        # Threads take row by row from one iterator: one that wakes up late takes fewer.
        rows = iter(live)
        helpers = min(self._threads, len(live)) - 1
        others = [self._pool.submit(self._advance, rows) for _ in range(helpers)]
        self._advance(rows)
        for other in others:
            other.result()

    def _advance(self, rows: Iterator[int]) -> None:
        step, model, frames = self._mj_step, self._model, self._frames
        for row in rows:  # MuJoCo lets other threads run meanwhile
            step(model, self._data[row], frames)
