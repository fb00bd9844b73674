"""What a dataset tells of its rows beside the columns that every dataset has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

PREFIX = "infos/"  # of their names in files: D4RL's infos/qpos is "qpos" here


class Infos(Mapping[str, np.ndarray]):
    """Arrays of a value per row, by name: opened, memory-mapped, when they are asked for."""

    def __init__(self, names: tuple[str, ...], opened: Callable[[str], np.ndarray], rows: int):
        """``opened`` opens a name's array, of which the first ``rows`` are the dataset's."""
        self._names, self._opened, self._rows = names, opened, rows

    def __getitem__(self, name: str) -> np.ndarray:
        """Return a value of every row, (rows, ...); KeyError says which there are."""
        if name not in self._names:
            raise KeyError(f"{name!r}; there are {', '.join(self._names) or 'none'}")
        return self._opened(name)[: self._rows]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._names)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._names)

    def __repr__(self) -> str:
        """Return the names."""
        return f"Infos({', '.join(self._names)})"

    def first(self, rows: int) -> Infos:
        """Return the same of the first rows."""
        return Infos(self._names, self._opened, rows)
