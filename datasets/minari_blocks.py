"""Many short episodes gathered in memory before they are checked and written: a block.

Every row of a column is read straight to its place.  An episode has an observation more than it has
steps, and the next episode is read over it once it is kept as a successor::

    observations  o0 o1 o2 | o0 o1 o2 o3     o3 of the first episode lay where the second begins
    successors    o3         o4              (rows, and one row per episode)
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from datumrl.datasets.minari_metadata import Leaf
from datumrl.datasets.prepared import GrowingFile

_BYTES = 1 << 22  # of a block's arrays together: they stay in a processor's cache
_FLAGS = {"terminals": "terminations", "timeouts": "truncations"}

Form = tuple[tuple[int, ...], np.dtype]  # of a row as the source stores it


@dataclass(frozen=True, slots=True)
class Target:
    """One column of a block."""

    name: str  # of the column
    source: str | Leaf  # what the storage calls it
    role: Literal["step", "observation", "info"]
    shape: tuple[int, ...]  # of a row as the source stores it
    values: np.ndarray  # (capacity, *shape)
    finals: np.ndarray | None = None  # (capacity, *shape), of observations


class Block:
    """Columns of ``rows`` rows of whole episodes, and room for more."""

    def __init__(self, targets: list[Target], capacity: int) -> None:
        self.targets = targets
        self._capacity = capacity
        self.cut_infos = False
        self.clear()

    def clear(self) -> None:
        """Forget all episodes, which have been written."""
        self.rows = 0
        self.ends: list[int] = []  # of episodes, as rows of the block
        self.final_ends: list[int] = []  # of those that have a final observation
        self.begin()

    def begin(self) -> None:
        """Forget what is there of an episode that did not fit."""
        self._steps = self._observations = -1

    def drop(self, names: Mapping[str, Any]) -> None:
        """Leave out columns from here on."""
        self.targets = [target for target in self.targets if target.name not in names]

    def room(self, target: Target, rows: int) -> np.ndarray | None:
        """Return where the next episode's rows of a column belong, (rows, *shape).

        None if they do not fit: too many, or another number than the other columns have.  Columns
        come in the order of ``targets``.
        """
        if target.role == "step":
            if self._steps < 0:
                self._steps = rows
            fits = rows == self._steps > 0
        elif target.role == "observation":
            if self._observations < 0:
                self._observations = rows
            fits = rows == self._observations and rows - self._steps in (0, 1)
        else:
            fits = rows in (self._steps, self._observations)
            self.cut_infos |= fits and rows != self._steps
        end = self.rows + rows
        return target.values[self.rows : end] if fits and end <= self._capacity else None

    def commit(self) -> int:
        """Keep the episode whose columns have come; return its steps."""
        steps, self.rows = self._steps, self.rows + self._steps
        self.ends.append(self.rows)
        if self._observations > steps:
            for target in self.targets:
                if target.finals is not None:
                    target.finals[len(self.final_ends)] = target.values[self.rows]
            self.final_ends.append(self.rows)
        self.begin()
        return steps

    def contents(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yield every column with its rows, and every column of successors."""
        for target in self.targets:
            yield target.name, target.values[: self.rows]
            if target.finals is not None:
                name = target.name.replace("observations", "successors", 1)
                yield name, target.finals[: len(self.final_ends)]

    def episode_of(self, name: str, row: int) -> tuple[int, int]:
        """Return the place of an episode in the block, and the step in it, of a column's row."""
        starts = [0, *self.ends]
        if name.startswith("successors"):
            end = self.final_ends[row]
            episode = self.ends.index(end)
            return episode, end - starts[episode]
        episode = int(np.searchsorted(self.ends, row, side="right"))
        return episode, row - starts[episode]


def block_for(
    first: Any, observations: tuple[Leaf, ...], files: Mapping[str, GrowingFile]
) -> Block | None:
    """Return an empty block for episodes like the first; None if they are not to be gathered.

    Text and JPEG images are not, nor is what a column holds in another type than the source.
    """
    if any(leaf.kind != "numbers" for leaf in observations):
        return None
    found: list[tuple[str, str | Leaf, Any, Form]] = []
    for name in ("rewards", "actions", *_FLAGS):
        source = _FLAGS.get(name, name)
        found.append((name, source, "step", _form(first.column(source, 0, 1))))
    for leaf in observations:
        name = f"observations/{leaf.name}" if leaf.name else "observations"
        found.append((name, leaf, "observation", _form(first.observation(leaf, 0, 1))))
    for name, (shape, dtype) in first.infos().items():
        found.append((name, name, "info", (shape[1:], dtype)))
    for name, *_, (shape, dtype) in found:
        if dtype != files[name].dtype or math.prod(shape) != math.prod(files[name].shape[1:]):
            return None
    width = 0  # bytes of a row
    for *_, role, (shape, dtype) in found:
        width += math.prod(shape) * dtype.itemsize * (2 if role == "observation" else 1)
    capacity = max(1, _BYTES // max(1, width))
    targets = []
    for name, read_from, role, (shape, dtype) in found:
        values = np.empty((capacity, *shape), dtype)
        finals = np.empty_like(values) if role == "observation" else None
        targets.append(Target(name, read_from, role, shape, values, finals))
    return Block(targets, capacity)


def _form(values: np.ndarray) -> Form:
    return values.shape[1:], values.dtype
