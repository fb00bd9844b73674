"""Point mazes with one fixed goal to be evaluated on: gymnasium-robotics' mazes, as D4RL's maze2d.

A ball is pushed through a maze by forces in [-1, 1].  Observations are x, y and their velocities.
The reward is 1 for every step that ends within `RADIUS` of the maze's evaluation goal, else 0; D4RL
pays for the state before the step.  Episodes start at rest in a random free cell but the goal's, up
to `START_SPREAD` from its middle in x and in y, and only their time limit ends them.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import tempfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from datumrl.evaluation.mazes import MAZES

RADIUS = 0.5
START_SPREAD = 0.25

ENVIRONMENTS = {  # id -> name in MAZES
    "datumrl/PointMazeUMaze-v1": "umaze",
    "datumrl/PointMazeMedium-v1": "medium",
    "datumrl/PointMazeLarge-v1": "large",
}


def register() -> None:
    """Make the ids known to Gymnasium, which must be installed; a second call does nothing."""
    gym: Any = importlib.import_module("gymnasium")
    for name, maze in ENVIRONMENTS.items():
        if name not in gym.registry:
            gym.register(name, entry_point=f"{__name__}:make", kwargs={"maze": maze})


def make(maze: str) -> Any:
    """Return the environment without its time limit.  Raises ImportError for missing packages."""
    return _environment_class()(maze)


@functools.cache
def _robotics(module: str) -> Any:
    """Return a module of gymnasium-robotics' mazes."""
    with contextlib.redirect_stderr(io.StringIO()):  # it prints a notice about its Adroit hands
        return importlib.import_module(f"gymnasium_robotics.envs.maze.{module}")


@functools.cache
def _model(maze: str) -> bytes:
    """Return the MuJoCo model of a maze as gymnasium-robotics builds it, with tiny textures.

    Its textures hold 11 MB and take 30 times as long to make as all the rest, at every instance.
    """
    robotics = _robotics("maze_v4")
    ball = Path(robotics.__file__).parents[1] / "assets" / "point" / "point.xml"
    cells = [[int(cell == "#") for cell in row] for row in MAZES[maze].rows]
    _, path = robotics.Maze.make_maze(str(ball), cells, maze_size_scaling=1, maze_height=0.4)
    model = ElementTree.parse(path)
    Path(path).unlink()  # it would stay in the folder of temporary files
    for texture in model.iter("texture"):
        texture.set("width", "1")
        texture.set("height", "1")
    return ElementTree.tostring(model.getroot())


@functools.cache
def _environment_class() -> type:
    """Return the class, which cannot be defined before Gymnasium is imported."""
    gym: Any = importlib.import_module("gymnasium")

    class PointMaze(gym.Env):
        """The ball of gymnasium-robotics' PointMaze-v3 in its maze, with the goal fixed."""

        def __init__(self, maze: str) -> None:
            self._maze = MAZES[maze]
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "maze.xml"
                path.write_bytes(_model(maze))
                self._ball = _robotics("point").PointEnv(xml_file=str(path))
            self.observation_space = gym.spaces.Box(-np.inf, np.inf, (4,), np.float32)
            self.action_space = self._ball.action_space

        @property
        def data(self) -> Any:
            """MuJoCo's state: ``qpos`` is x and y, ``qvel`` their velocities, in float64."""
            return self._ball.data

        def reset(
            self, *, seed: int | None = None, options: dict[str, Any] | None = None
        ) -> tuple[np.ndarray, dict[str, Any]]:
            super().reset(seed=seed)
            starts = self._maze.centres[(self._maze.centres != self._maze.goal).any(axis=1)]
            offset = self.np_random.uniform(-START_SPREAD, START_SPREAD, 2)
            self._ball.init_qpos[:] = self.np_random.choice(starts) + offset
            state, _ = self._ball.reset()
            return state.astype(np.float32), {}

        def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
            state, *_ = self._ball.step(action)
            distance = np.linalg.norm(state[:2] - self._maze.goal)
            return state.astype(np.float32), float(distance <= RADIUS), False, False, {}

        def set_state(self, qpos: np.ndarray, qvel: np.ndarray) -> None:
            """Put the ball somewhere, as MujocoEnv's method does."""
            self._ball.set_state(qpos, qvel)

        def close(self) -> None:
            self._ball.close()

    return PointMaze
