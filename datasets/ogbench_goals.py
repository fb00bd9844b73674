"""Rewards and ends of OGBench's single-task datasets, computed from the state as its loader does.

A task is a fixed goal of one or more parts; the reward of a row is the number of parts that its
state satisfies less their number, and the row is terminal if it satisfies all of them.  That is the
state *before* the action (``success_timing="pre"`` of OGBench's single-task environments).  The
goals are facts of the released package, see ``tables/ogbench_goals.csv``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np

from datumrl.datasets import fact_tables
from datumrl.datasets.errors import DatumrlError

_OBJECTS = 14  # index in qpos of the first object: six joints of the arm, eight of the gripper
_CUBE = 7  # a free joint: position and quaternion
_BALL = 15  # after the ant


@dataclass(frozen=True)
class Goal:
    """What a task asks for."""

    kind: str  # maze, ball, cube, scene or puzzle
    tolerance: float
    xy: tuple[float, ...] = ()
    cubes: tuple[tuple[float, ...], ...] = ()  # x, y, z of each
    buttons: tuple[int, ...] = ()
    drawer: float = 0.0
    window: float = 0.0

    @property
    def needs(self) -> tuple[str, ...]:
        """Return the arrays of the file that tell whether it is satisfied."""
        position = () if self.kind == "puzzle" else ("qpos",)
        return position + (("button_states",) if self.buttons else ())

    @property
    def qpos_width(self) -> int:
        """Return how many values of qpos there must be at least."""
        drawer_and_window = len(self.buttons) + 2 if self.kind == "scene" else 0
        widths = {"maze": 2, "ball": _BALL + 2}
        return widths.get(self.kind, _OBJECTS + _CUBE * len(self.cubes) + drawer_and_window)

    def satisfied(self, qpos: np.ndarray | None, buttons: np.ndarray | None) -> np.ndarray:
        """Return which parts each state satisfies, (rows, parts) bool."""
        parts: list[np.ndarray] = []
        if self.kind in ("maze", "ball") and qpos is not None:
            begin = _BALL if self.kind == "ball" else 0
            away = np.linalg.norm(qpos[:, begin : begin + 2] - np.array(self.xy), axis=-1)
            parts.append((away <= self.tolerance)[:, None])
        if self.cubes and qpos is not None:
            places = np.stack([self._cube(qpos, number) for number in range(len(self.cubes))], 1)
            away = np.linalg.norm(np.array(self.cubes) - places, axis=-1)
            parts.append(away <= self.tolerance)
        if self.buttons and buttons is not None:
            parts.append(buttons == np.array(self.buttons))
        if self.kind == "scene" and qpos is not None:
            drawer = _OBJECTS + _CUBE * len(self.cubes) + len(self.buttons)
            for index, wanted in ((drawer, self.drawer), (drawer + 1, self.window)):
                parts.append((np.abs(qpos[:, index] - wanted) <= self.tolerance)[:, None])
        return np.concatenate(parts, axis=1)

    @staticmethod
    def _cube(qpos: np.ndarray, number: int) -> np.ndarray:
        begin = _OBJECTS + _CUBE * number
        return qpos[:, begin : begin + 3]


def goal(environment: str, task: int) -> Goal:
    """Return the goal of a task, 1 to 5, or of the environment's default task, 0.

    Raises DatumrlError where no goal is established.
    """
    for row in fact_tables.rows("ogbench_goals.csv"):
        chosen = row["default"] == "yes" if task == 0 else int(row["task"]) == task
        if row["environment"] == environment and chosen:
            content = json.loads(row["goal"])
            content["cubes"] = tuple(map(tuple, content.get("cubes", ())))
            for name in ("xy", "buttons"):
                content[name] = tuple(content.get(name, ()))
            return Goal(kind=row["kind"], tolerance=float(row["tolerance"]), **content)
    raise DatumrlError(
        f"ogbench {environment}: the goal of task {task or 'default'} is not known, so rewards "
        "would be guesses; use the goal-conditioned dataset"
    )
