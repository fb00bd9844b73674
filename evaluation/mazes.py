"""The maps of the point mazes and shortest paths through them.

The maps are those of D4RL's maze2d (Farama-Foundation/D4RL: ``d4rl/pointmaze/maze_model.py``), also
in gymnasium-robotics.  Cells are squares of side 1; x grows to the right and y upwards from the
middle of the map, as in gymnasium-robotics.
"""

from __future__ import annotations

import functools
from collections import deque
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Maze:
    """A map in text, one row after the other: ``#`` wall, ``.`` free, ``G`` the evaluation goal."""

    rows: tuple[str, ...]

    @functools.cached_property
    def cells(self) -> np.ndarray:
        """Return (row, column) of every free cell, in reading order: (cells, 2) int64."""
        return np.argwhere(np.array([list(row) for row in self.rows]) != "#")

    @functools.cached_property
    def centres(self) -> np.ndarray:
        """Return x and y of the middle of every free cell, (cells, 2) float64."""
        height, width = len(self.rows), len(self.rows[0])
        row, column = self.cells.T
        return np.stack([column + 0.5 - width / 2, height / 2 - row - 0.5], axis=1)

    @functools.cached_property
    def goal(self) -> np.ndarray:
        """Return x and y of the evaluation goal, the middle of its cell."""
        marked = [self.rows[row][column] == "G" for row, column in self.cells]
        return self.centres[marked.index(True)]

    @functools.cached_property
    def _numbers(self) -> np.ndarray:
        """The number of the cell at each row and column, -1 for walls."""
        numbers = np.full((len(self.rows), len(self.rows[0])), -1)
        numbers[tuple(self.cells.T)] = np.arange(len(self.cells))
        return numbers

    def cell_of(self, positions: np.ndarray) -> np.ndarray:
        """Return the number of the free cell that each position (rows, 2) lies in."""
        height, width = self._numbers.shape
        column = np.floor(positions[:, 0] + width / 2).astype(int)
        row = np.floor(height / 2 - positions[:, 1]).astype(int)
        numbers = self._numbers[row, column]
        assert (numbers >= 0).all(), "a position inside a wall"
        return numbers

    @functools.cached_property
    def paths(self) -> tuple[np.ndarray, np.ndarray]:
        """Return shortest paths between free cells: next steps and lengths, both (cells, cells).

        ``next_steps[goal, cell]`` is the cell to go to from ``cell`` (at the goal: itself), the
        first in reading order among equals, and ``lengths[goal, cell]`` how many moves it takes.
        """
        count = len(self.cells)
        next_steps, lengths = np.full((count, count), -1), np.full((count, count), -1)
        for goal in range(count):
            next_steps[goal, goal], lengths[goal, goal] = goal, 0
            queue = deque([goal])
            while queue:
                cell = queue.popleft()
                for other in self._neighbours(cell):
                    if lengths[goal, other] < 0:
                        next_steps[goal, other], lengths[goal, other] = (
                            cell,
                            lengths[goal, cell] + 1,
                        )
                        queue.append(other)
        return next_steps, lengths

    def _neighbours(self, cell: int) -> list[int]:
        row, column = self.cells[cell]
        around = ((row - 1, column), (row, column - 1), (row, column + 1), (row + 1, column))
        return [int(self._numbers[place]) for place in around if self._numbers[place] >= 0]


# The evaluation goals are in the cells that D4RL marks: top left, bottom right, bottom right.
MAZES = {
    "umaze": Maze(
        (
            "#####",
            "#G..#",
            "###.#",
            "#...#",
            "#####",
        )
    ),
    "medium": Maze(
        (
            "########",
            "#..##..#",
            "#..#...#",
            "##...###",
            "#..#...#",
            "#.#..#.#",
            "#...#.G#",
            "########",
        )
    ),
    "large": Maze(
        (
            "############",
            "#....#.....#",
            "#.##.#.#.#.#",
            "#......#...#",
            "#.####.###.#",
            "#..#.#.....#",
            "##.#.#.#.###",
            "#..#...#.G.#",
            "############",
        )
    ),
}
