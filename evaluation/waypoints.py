"""A point that walks to goals of its own, one after the other, along the shortest path of cells.

After the waypoint controller of D4RL's maze2d (Farama-Foundation/D4RL:
``d4rl/pointmaze/waypoint_controller.py``): the same gains of position and velocity, the same
deviation of the action noise.  The noise goes in before the squashing, so that actions have a
density.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from datumrl.evaluation.controllers import squashed
from datumrl.evaluation.mazes import MAZES, Maze

POSITION_GAIN, VELOCITY_GAIN = 10.0, -1.0


@dataclass(frozen=True)
class WaypointWalker:
    """Feedback towards the middle of the next cell, or towards the goal in the goal's own cell."""

    maze: str
    deviation: float = 0.5  # of the noise, in forces before squashing
    reach: float = 0.2  # a goal is reached within this distance; the next one is then drawn
    spread: float = 0.25  # goals are uniform in a square of twice this side around a cell's middle

    def describe(self) -> dict[str, Any]:
        return {
            "kind": "waypoints",
            "maze": list(MAZES[self.maze].rows),
            "gains": [POSITION_GAIN, VELOCITY_GAIN],
            "deviation": self.deviation,
            "reach": self.reach,
            "spread": self.spread,
        }

    def noise(self, generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Draw (steps, 5): two standard normal numbers for the action, three in [0, 1) for a goal.

        Every step has a goal in store, so that what is drawn does not hang on which goals are
        reached when.
        """
        numbers = [generator.standard_normal(shape), generator.uniform(size=(shape[0], 3))]
        return np.concatenate(numbers, axis=1)

    def pursue(
        self, observations: np.ndarray, noise: np.ndarray, goals: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        goals = self._aim(observations, noise[:, 2:], goals)
        mean = feedback(MAZES[self.maze], observations, goals)
        actions, log_probabilities = squashed(mean, self.deviation, noise[:, :2], bound=1.0)
        return actions, log_probabilities, goals

    def _aim(
        self, observations: np.ndarray, uniform: np.ndarray, goals: np.ndarray | None
    ) -> np.ndarray:
        """Return the goals (rows, 2), drawn anew where there is none or where it is reached."""
        maze = MAZES[self.maze]
        cells = np.floor(uniform[:, 0] * len(maze.cells)).astype(int)
        drawn = maze.centres[cells] + self.spread * (2.0 * uniform[:, 1:] - 1.0)
        if goals is None:
            return drawn
        reached = np.linalg.norm(observations[:, :2] - goals, axis=1) <= self.reach
        return np.where(reached[:, None], drawn, goals)


def feedback(maze: Maze, observations: np.ndarray, goals: np.ndarray) -> np.ndarray:
    """Return the forces (rows, 2) in [-1, 1] that take each row towards its goal, without noise."""
    positions = observations[:, :2].astype(np.float64)
    cells, goal_cells = maze.cell_of(positions), maze.cell_of(goals)
    next_steps, _ = maze.paths
    waypoints = maze.centres[next_steps[goal_cells, cells]]
    waypoints = np.where((cells == goal_cells)[:, None], goals, waypoints)
    forces = POSITION_GAIN * (waypoints - positions) + VELOCITY_GAIN * observations[:, 2:]
    return np.clip(forces, -1.0, 1.0)
