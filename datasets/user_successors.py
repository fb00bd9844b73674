"""Next observations that a user's files state: those that the following row does not give are kept.

They are compared in the type of the observations.  Floats of another width are rounded to it first;
any other type must go into it without loss (uint8 into int16, not float32 into uint8).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from datumrl.datasets.columns import Column, parts
from datumrl.datasets.episodes import first_not_finite
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.prepared import GrowingFile

Error = Callable[[str], DatumrlError]


class Successors:
    """The next observations of all files, block after block."""

    def __init__(
        self,
        observations: dict[str, GrowingFile],
        targets: dict[str, GrowingFile],
        starts: np.ndarray,
    ) -> None:
        """Take the columns of observations, closed; those to write, by the same names; and starts.

        ``starts`` are (episodes + 1,) int64 as in Episodes.
        """
        self._observations, self._targets = observations, targets
        self._ends = starts[1:] - 1
        self._row = 0
        self._listed = [np.zeros(0, np.int64)]
        self._rounded: list[str] = []

    def add(self, block: Column, error: Error) -> None:
        """Write what the next rows say that no other row does.

        Raises what ``error`` makes for other types or shapes than the observations', and for values
        that are not finite.
        """
        given = {}
        for part, values in parts(block).items():
            name = f"observations/{part}" if part else "observations"
            given[name] = self._cast(name, values, error)
        count, row = len(next(iter(given.values()))), self._row
        differs = np.zeros(count, bool)
        differs[self._ends[(self._ends >= row) & (self._ends < row + count)] - row] = True
        for name, values in given.items():
            stored = self._observations[name].rows(row + 1, row + 1 + count)
            unlike = values[: len(stored)] != stored
            unlike = unlike.any(axis=tuple(range(1, unlike.ndim)))  # also of no row at all
            differs[: len(stored)] |= unlike
        for name, values in given.items():
            self._targets[name].append(values[differs])
        self._listed.append(row + np.flatnonzero(differs))
        self._row += count

    def end_file(self, rows: int, error: Error) -> None:
        """Hold the number of rows so far against that of the observations, file by file."""
        if self._row != rows:
            more = "more" if self._row > rows else "fewer"
            raise error(f"has {abs(self._row - rows)} {more} next_observations than observations")

    def rows(self) -> np.ndarray:
        """Return the rows whose next observations were written, int64."""
        return np.concatenate(self._listed)

    def notes(self) -> list[str]:
        """Return what the user should know."""
        within = int((~np.isin(self.rows(), self._ends)).sum())
        disagree = (
            f"{within} next observations disagree with the following row of their episode; they "
            "are kept"
        )
        return [*self._rounded, *([disagree] if within else [])]

    def _cast(self, name: str, values: np.ndarray, error: Error) -> np.ndarray:
        file, label = self._observations[name], f"next_{name}"
        floats = values.dtype.kind == file.dtype.kind == "f"
        fits = values.dtype.kind in "biuf" and values.shape[1:] == file.shape[1:]
        if not fits or not (floats or np.can_cast(values.dtype, file.dtype, "safe")):
            raise error(
                f"{label} are {values.dtype} {values.shape[1:]} where observations are "
                f"{file.dtype} {file.shape[1:]}, which cannot hold them"
            )
        with np.errstate(over="ignore"):
            cast = values.astype(file.dtype, copy=False)
        row = first_not_finite(cast)
        if row is not None:
            raise error(
                f"{label} hold {values[row].tolist()} at row {self._row + row}, not finite "
                f"as {file.dtype}"
            )
        if floats and values.dtype.itemsize > file.dtype.itemsize:
            note = f"{label} are {values.dtype} in the file and {file.dtype} here, as observations"
            self._rounded += [] if note in self._rounded else [note]
        return cast
