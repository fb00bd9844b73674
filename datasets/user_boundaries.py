"""Where the episodes of a user's dataset end: by one of the rules that a description names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from datumrl.datasets.d4rl_boundaries import infer_timeouts
from datumrl.datasets.episodes import episode_starts
from datumrl.datasets.errors import DatumrlError


@dataclass(frozen=True)
class Found:
    """Flags and the first row of each episode."""

    terminals: np.ndarray  # (rows,) bool
    timeouts: np.ndarray  # (rows,) bool
    starts: np.ndarray  # (episodes + 1,) int64
    ends: Literal["flags", "recorded"]
    notes: tuple[str, ...]


class Boundaries:
    """One rule at work, file after file; an episode never spans two files."""

    def __init__(self, described: Mapping[str, Any], time_limit: int) -> None:
        self.rule: str = described["rule"]
        self._described, self._limit = described, time_limit
        column = described.get("column")
        self.episode_column: str | None = column if self.rule == "episode-column" else None
        self.index_column: str | None = column if self.rule in ("ends", "starts") else None
        self._starts: list[np.ndarray] = []  # of episodes, of each file
        self._files = [0]  # first row of each file, then the number of rows
        self._last: Any = None  # the episode of the row before
        self._seen: set[Any] = set()
        self._changes: list[int] = []

    def episodes(self, path: Path, names: np.ndarray, row: int) -> None:
        """Take note of a block of the column that names the episode of each row."""
        if not len(names):
            return
        names = names.reshape(-1) if names.size == len(names) else names
        if names.ndim != 1:
            raise _fault(path, f"{self.episode_column} has shape {names.shape}, not a name per row")
        if names.dtype.kind == "f" and not np.isfinite(names).all():
            raise _fault(path, f"{self.episode_column} is not finite in every row")
        changed = np.flatnonzero(names[1:] != names[:-1]) + 1
        first = [] if self._seen and names[0] == self._last else [0]
        for at in [*first, *changed.tolist()]:
            name = names[at].item() if isinstance(names[at], np.generic) else names[at]
            if name in self._seen:
                raise _fault(
                    path,
                    f"episode {name!r} goes on at row {row + at}, after other rows; its rows must "
                    "follow one another",
                )
            self._seen.add(name)
            self._changes.append(row + at)
        self._last = names[-1]

    def file(self, path: Path, begin: int, end: int, index: np.ndarray | None) -> None:
        """Take note that a file holds rows ``begin`` to ``end``; ``index`` is its index."""
        self._files.append(end)
        rows = end - begin
        if self.rule == "episode-column":
            self._starts.append(np.array(self._changes, np.int64))
            self._changes, self._seen, self._last = [], set(), None
        elif self.rule == "fixed-length":
            length = self._described["length"]
            if rows % length:
                raise _fault(path, f"{rows} rows are no whole number of episodes of {length}")
            self._starts.append(np.arange(begin, end, length))
        elif self.rule != "flags":
            if index is None:
                if len(self._files) > 2:
                    raise _fault(path, "boundaries.values are of one file; name a column instead")
                index = np.array(self._described["values"], np.int64)
            self._starts.append(begin + self._indexed(path, index, rows))

    def found(self, terminals: np.ndarray | None, timeouts: np.ndarray | None) -> Found:
        """Return the episodes, given the flags that the dataset has (None for those it lacks)."""
        rows, notes = self._files[-1], []
        if terminals is None:
            notes.append("there are no terminals: no row counts as an end of the process")
            terminals = np.zeros(rows, bool)
        if self.rule == "flags":
            return self._flagged(terminals, timeouts, notes)
        starts = np.append(np.concatenate(self._starts), rows).astype(np.int64)
        ends = np.zeros(rows, bool)
        ends[starts[1:] - 1] = True
        if timeouts is None:
            timeouts = ends & ~terminals
            notes.append(
                "there are no timeouts: an episode's end that is not terminal counts as one"
            )
        elif (inside := timeouts & ~ends).any():
            raise DatumrlError(
                f"boundaries do not fit: row {int(inside.argmax())} is a timeout within an "
                "episode; mend boundaries in the description"
            )
        within = int((terminals & ~ends).sum())
        if within:
            notes.append(f"{within} terminal rows lie within episodes, which go on after them")
        return Found(terminals, timeouts, starts, "recorded", tuple(notes))

    def _flagged(
        self, terminals: np.ndarray, timeouts: np.ndarray | None, notes: list[str]
    ) -> Found:
        if timeouts is None:
            timeouts = np.zeros_like(terminals)
            if self._limit:
                for begin, end in zip(self._files[:-1], self._files[1:], strict=True):
                    timeouts[begin:end] = infer_timeouts(terminals[begin:end], self._limit)
                notes.append(f"there are no timeouts: they were put at every {self._limit} steps")
        starts = episode_starts(terminals, timeouts)
        whole = np.union1d(starts, self._files)
        ends: Literal["flags", "recorded"] = "flags" if len(whole) == len(starts) else "recorded"
        if ends == "recorded":
            notes.append("the last rows of some files have no flag; an episode ends there")
        return Found(terminals, timeouts, whole.astype(np.int64), ends, tuple(notes))

    def _indexed(self, path: Path, index: np.ndarray, rows: int) -> np.ndarray:
        """Return the first row of each episode, given where they end (exclusively) or start."""
        name = self.index_column or "boundaries.values"
        if index.dtype.kind not in "iuf" or index.size != max(index.shape, default=1):
            raise _fault(path, f"{name} is {index.dtype} {index.shape}, not a list of rows")
        flat = index.reshape(-1)
        values = flat.astype(np.int64)
        whole = np.append(0, values) if self.rule == "ends" else np.append(values, rows)
        fits = (
            len(values) > 0
            and np.array_equal(values, flat)
            and (np.diff(whole) > 0).all()
            and (whole[0], whole[-1]) == (0, rows)
        )
        if not fits:
            rule = (
                f"increase to {rows}, the number of rows (each is one past an episode's last row)"
                if self.rule == "ends"
                else f"increase from 0 and stay below {rows}, the number of rows"
            )
            raise _fault(path, f"{name} do not fit: {self.rule} must {rule}")
        return whole[:-1]


def _fault(path: Path, problem: str) -> DatumrlError:
    return DatumrlError(f"{path}: {problem}; mend the file or boundaries in its description")
