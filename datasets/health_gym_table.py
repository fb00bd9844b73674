"""Health Gym's CSV files, patient by patient: one row per patient and time, values as text.

Columns are found by name; a unit in brackets after it (``HR [bpm]``) is ignored, as are an unnamed
index and columns that are not known.  Sources: see `health_gym_catalogue`.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.health_gym_catalogue import Layout
from datumrl.datasets.reading import Progress

Error = Callable[[str], DatumrlError]
PATIENT = "PatientID"
TIMES = ("Timepoints", "Timestep", "Timestamps")  # what the files call the row's time
ADDED = ("reward", "action")  # by the user
_WORDS = {"true": 1.0, "false": 0.0}
_LONGEST_CELL = 1 << 12


@dataclass(frozen=True)
class Patient:
    """The rows of one patient, in the order of time."""

    id: str
    cells: list[list[str]]  # of every column of the file
    values: dict[str, np.ndarray]  # (T,) float64 of every known column, by name without unit


class Table:
    """A file whose header has been read."""

    def __init__(self, source: Path, layout: Layout, error: Error) -> None:
        self.source, self.error = source, error
        self.header = self._first_row()
        names = [name.partition(" [")[0].strip() for name in self.header]
        known = [*layout.observations, *(action.name for action in layout.actions)]
        times = [name for name in TIMES if name in names]
        missing = [name for name in (PATIENT, *known) if name not in names]
        if missing or not times:
            missing += [] if times else [" or ".join(TIMES)]
            raise error(f"lacks the columns {', '.join(missing)} (it has {', '.join(names)})")
        self.time = times[0]
        wanted = [PATIENT, self.time, *known, *(name for name in ADDED if name in names)]
        for name in wanted:
            if names.count(name) > 1:
                raise error(f"has {names.count(name)} columns called {name}")
        self.places = {name: names.index(name) for name in wanted}
        self.ignored = [
            name for name in names if name and name not in wanted and name != "Unnamed: 0"
        ]

    def patients(self, progress: Progress | None = None) -> Iterator[Patient]:
        """Yield the patients in the order of the file."""
        rows: list[list[str]] = []
        seen: set[str] = set()
        place, first = self.places[PATIENT], 2
        for number, row in self._rows(progress):
            if rows and row[place] != rows[0][place]:
                yield self._patient(rows, first, seen)
                rows, first = [], number
            rows.append(row)
        if rows:
            yield self._patient(rows, first, seen)

    def _patient(self, rows: list[list[str]], first: int, seen: set[str]) -> Patient:
        name = rows[0][self.places[PATIENT]]
        if name in seen:
            raise self.error(f"row {first}: patient {name} was there before, and others since")
        seen.add(name)
        values = {
            key: np.array([self._number(row[place], key, first + n) for n, row in enumerate(rows)])
            for key, place in self.places.items()
            if key != PATIENT
        }
        steps = np.diff(values[self.time])
        if (steps != 1).any():
            row = first + int((steps != 1).argmax()) + 1
            raise self.error(f"row {row}: {self.time} of patient {name} does not count up by 1")
        return Patient(name, rows, values)

    def _number(self, cell: str, column: str, row: int) -> float:
        text = cell.strip().lower()
        try:
            value = _WORDS[text] if text in _WORDS else float(text)
        except ValueError:
            value = np.nan
        if not np.isfinite(value):
            raise self.error(f"row {row}: {column} holds {cell[:40]!r} where a number is needed")
        return value

    def _first_row(self) -> list[str]:
        for _, row in self._lines(None):
            return row
        raise self.error("is empty")

    def _rows(self, progress: Progress | None) -> Iterator[tuple[int, list[str]]]:
        for number, row in self._lines(progress):
            if number == 1 or not row:
                continue
            if len(row) != len(self.header):
                raise self.error(f"row {number} has {len(row)} of {len(self.header)} columns")
            yield number, row

    def _lines(self, progress: Progress | None) -> Iterator[tuple[int, list[str]]]:
        size, done = self.source.stat().st_size, 0

        def lines(handle: Iterator[str]) -> Iterator[str]:
            nonlocal done
            for line in handle:
                done += len(line)
                if not line.endswith(("\n", "\r")):
                    raise csv.Error("it ends within a row; complete its last line")
                yield line

        try:
            with self.source.open(encoding="utf-8-sig", newline="") as handle:
                for number, row in enumerate(csv.reader(lines(handle), strict=True), 1):
                    if max(map(len, row), default=0) > _LONGEST_CELL:
                        raise self.error(f"row {number} has a cell of over {_LONGEST_CELL} letters")
                    if progress is not None and number % 1000 == 0:
                        progress(min(done, size), size)
                    yield number, row
        except (OSError, UnicodeDecodeError, csv.Error) as problem:
            raise self.error(f"is no CSV file, or is damaged ({problem})") from problem


def levels(
    values: np.ndarray, ways: tuple[tuple[float, ...], ...]
) -> tuple[np.ndarray, int] | None:
    """Return (the level of every value, which way they are written), or None if no way fits."""
    for way, written in enumerate(ways):
        distances = np.abs(values[:, None] - np.array(written))
        nearest = distances.argmin(axis=1)
        allowed = 1e-4 * np.abs(np.array(written))[nearest]
        if (distances[np.arange(len(values)), nearest] <= allowed).all():
            return nearest, way
    return None
