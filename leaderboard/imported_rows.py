"""Imported score rows: what they lack, and the CSV file that they are written to."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from datumrl.datasets import files
from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation.records import ScoreRow

_HEADER = tuple(ScoreRow.model_fields)
_FRACTION = 1.5  # scores of good policies exceed the reference's, by half at most
_FEWEST = 3  # scores that are looked at together


@dataclass(frozen=True)
class Imported:
    """Rows, and what they lack: field -> number of rows without it."""

    rows: tuple[ScoreRow, ...]

    @property
    def missing(self) -> dict[str, int]:
        """Return how many rows lack each field; a row has either a return or a score."""
        looked_at = ("seed", "step", "episodes", "protocol")
        counts = {name: sum(getattr(row, name) is None for row in self.rows) for name in looked_at}
        return {name: count for name, count in counts.items() if count}

    @property
    def doubt(self) -> str:
        """Return what must be asked of scores that all look like fractions, "" of others."""
        told = [row.score for row in self.rows if row.score is not None and not row.failed]
        low, high = min(told, default=0.0), max(told, default=0.0)
        if len(told) < _FEWEST or not any(told) or max(-low, high) > _FRACTION:
            return ""
        return (
            f"all scores lie between {low:.3g} and {high:.3g}: fractions, as D4RL's "
            "get_normalized_score gives? datumrl's are 100 times that"
        )


def check_target(path: Path, source: Path) -> None:
    """Raise DatumrlError where writing rows to ``path`` would replace what they are read from.

    Nor is any other file replaced that does not hold the rows of an earlier import.
    """
    remedy = "choose another file with --out"
    if path.exists() and source.exists() and path.samefile(source):
        raise DatumrlError(f"{path} is what is imported, and would be replaced; {remedy}")
    if source.is_dir() and path.resolve().is_relative_to(source.resolve()):
        raise DatumrlError(f"{path} lies inside {source}, which is imported; {remedy}")
    if not path.exists():
        return
    if not path.is_file():
        raise DatumrlError(f"{path} is no file that rows could be written to; {remedy}")
    own = ",".join(_HEADER).encode()
    with path.open("rb") as handle:
        start = handle.readline(2 * len(own))
    if start and start.rstrip() != own:
        raise DatumrlError(
            f"{path} exists and holds no rows of an earlier import; remove it, or {remedy}"
        )


def write(imported: Imported, path: Path) -> None:
    """Write rows as the CSV that `datumrl compare` reads; empty fields are missing."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_HEADER)
    for row in imported.rows:
        values = [getattr(row, name) for name in _HEADER]
        writer.writerow("" if value is None else value for value in values)
    with files.replacing(path, "w") as handle:
        handle.write(text.getvalue())
