"""CSV files that people bring: rows with line numbers, columns found by name or by mapping."""

from __future__ import annotations

import csv
import difflib
import functools
import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from datumrl.datasets.errors import DatumrlError
from datumrl.leaderboard import cell_text

COLUMNS = (
    "algorithm", "dataset", "seed", "step", "score", "configuration", "status",
    "checkpoint", "cell", "mean", "std",
)  # fmt: skip
_SYNONYMS = {
    "algorithm": ("algo", "method", "agent"),
    "dataset": ("dataset_id", "task", "env", "environment"),
    "seed": ("run", "seed_id"),
    "step": ("steps", "timestep", "iteration", "epoch"),
    "score": ("return", "value", "normalized_score", "normalised_score", "result"),
    "configuration": ("config", "hyperparameters", "variant"),
    "status": ("state",),
    "checkpoint": ("metric", "evaluation"),
    "cell": ("score ± std", "result"),
    "mean": ("average",),
    "std": ("sd", "stddev", "std_dev", "deviation"),
}
# Columns that tell how cells were trained, in any table; no algorithms or datasets.
COUNTS = ("steps", "episodes", "evaluate_every")
WORDS = ("preset", "view")
SETTING = "set."  # before the names of columns that hold fields of a configuration
_OF_TRAINING = ("seeds", *COUNTS, *WORDS)
_DELIMITERS = (",", ";", "\t", "|")
_TOLD = re.compile(r'"?sep=([,;\t|])"?[ ,;\t]*\r?\n', re.IGNORECASE)
_OF_DECIMAL_COMMAS = (";", "\t")
_NAMED = 8  # things of one kind named one by one
LARGEST = 1 << 30  # bytes of a file that is read into memory


@dataclass(frozen=True)
class Sheet:
    """A file's rows: ``rows`` are (line number, cells by column)."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[int, dict[str, str]], ...]
    notes: tuple[str, ...]
    sha256: str = ""
    delimiter: str = ","

    @functools.cached_property
    def commas(self) -> bool:
        """Return whether 95,612 is a number of thousands, so that its comma is no decimal one.

        Files of semicolons or tabs come from where commas are decimal, unless a number tells.
        """
        numbers = [column for column in self.columns if not column.startswith(SETTING)]
        return self.delimiter not in _OF_DECIMAL_COMMAS or cell_text.commas_group(
            row[column] for _, row in self.rows for column in numbers
        )

    def where(self, line: int, column: str) -> str:
        """Return a cell's place for an error."""
        return f"{self.name}, line {line}, column {column!r}"


def read(path: Path) -> Sheet:
    """Read a CSV file with a header; commas, semicolons, tabs or bars separate.

    Raises DatumrlError for a file that is missing, empty, ragged or has a column twice.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise DatumrlError(f"{path} is larger than 1 GiB; keep the columns and rows needed")
        content = path.read_bytes()
    except OSError as problem:
        raise DatumrlError(f"{path}: cannot be read ({problem.strerror}); check the name") from None
    text, note = cell_text.decoded(content, path.name)
    delimiter, found = _rows(text, path.name)
    lines = _without_index(_without_margin(found))
    if len(lines) < 2:
        raise DatumrlError(f"{path} has no rows; give a header line and one row for each cell")
    header = tuple(name.strip() for name in lines[0][1])
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise DatumrlError(f"{path.name}: column {twice[0]!r} occurs twice; rename one")
    rows = []
    for line, cells in lines[1:]:
        if len(cells) != len(header):
            raise DatumrlError(
                f"{path.name}, line {line}: {len(cells)} cells under {len(header)} columns; quote "
                "cells that hold the separator"
            )
        rows.append((line, dict(zip(header, (cell.strip() for cell in cells), strict=True))))
    notes = (note,) if note else ()
    digest = hashlib.sha256(content).hexdigest()
    return Sheet(path.name, header, tuple(rows), notes, digest, delimiter)


def _rows(text: str, name: str) -> tuple[str, list[tuple[int, list[str]]]]:
    """Return what separates cells, and the rows with something in them, with their lines."""
    told = _TOLD.match(text)  # Excel's first line may name the separator
    delimiter = "" if told is None else told[1]
    text = text if told is None else text[told.end() :]
    head = text.lstrip().splitlines()[0] if text.strip() else ""
    delimiter = delimiter or max(_DELIMITERS, key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    skipped = int(told is not None)
    found = []
    try:
        for cells in reader:
            if delimiter == "|":
                cells = _without_frame(cells)
            if any(cell.strip() for cell in cells):
                found.append((reader.line_num + skipped, cells))
    except csv.Error as problem:
        line = reader.line_num + skipped
        raise DatumrlError(f"{name}, line {line}: {problem}; save it as CSV") from None
    return delimiter, found


def _without_index(lines: list[tuple[int, list[str]]]) -> list[tuple[int, list[str]]]:
    """Return rows without the numbers of rows that pandas writes before them, under no name."""
    if not lines or len(lines[0][1]) < 2 or lines[0][1][0].strip() not in ("", "Unnamed: 0"):
        return lines
    numbers = [cells[0].strip() for _, cells in lines[1:]]
    if numbers != [str(number) for number in range(len(numbers))]:
        return lines
    return [(line, cells[1:]) for line, cells in lines]


def _without_margin(lines: list[tuple[int, list[str]]]) -> list[tuple[int, list[str]]]:
    """Return rows without the columns at their right that have no name and no cell."""
    while lines and len(lines[0][1]) > 1 and not lines[0][1][-1].strip():
        width = len(lines[0][1])
        if any(len(cells) == width and cells[-1].strip() for _, cells in lines):
            break
        lines = [(line, cells[:-1] if len(cells) == width else cells) for line, cells in lines]
    return lines


def _without_frame(cells: list[str]) -> list[str]:
    """Return a row of a Markdown table without its outer bars; nothing of the rule under a head."""
    inner = cells[1:-1] if cells and not cells[0].strip() and not cells[-1].strip() else cells
    return [] if all(not cell.strip(" :-") for cell in inner) else inner


def of_training(column: str) -> bool:
    """Return whether a column tells how cells were trained: it holds no cells in a wide table."""
    return column.lower() in _OF_TRAINING or column.startswith(SETTING)


def mapping(pairs: Sequence[str], known: Sequence[str], option: str) -> dict[str, str]:
    """Return ``algorithm=method`` and its like as a dict; ``known`` limits the left sides."""
    example = (
        f"NAME=COLUMN, for example {known[0]}=..."
        if known
        else "PRINTED=RAW, for example TD3-BC=TD3+BC"
    )
    found = {}
    for pair in pairs:
        left, equals, right = pair.partition("=")
        if not (equals and left.strip() and right.strip()):
            raise DatumrlError(f"{option} {pair!r}: write {example}")
        if known and left.strip() not in known:
            near = difflib.get_close_matches(left.strip(), known, n=1) or known
            raise DatumrlError(
                f"{option} {pair!r}: there is no {left.strip()!r}; known: {', '.join(near)}"
            )
        found[left.strip()] = right.strip()
    return found


def own_columns(sheet: Sheet, columns: Mapping[str, str]) -> dict[str, str | None]:
    """Return a file's own name of each of `COLUMNS`: as mapped, else by its name or a synonym."""
    by_lower = {own.lower(): own for own in sheet.columns}
    found: dict[str, str | None] = {}
    for name in COLUMNS:
        mapped = columns.get(name)
        spellings = (name, *_SYNONYMS.get(name, ()))
        known = next((by_lower[each] for each in spellings if each in by_lower), None)
        found[name] = mapped if mapped in sheet.columns else known
    return found


def check_mapping(columns: Mapping[str, str], *sheets: Sheet) -> None:
    """Raise DatumrlError for a mapped column that no file has."""
    there = list(dict.fromkeys(own for sheet in sheets for own in sheet.columns))
    for name, mapped in columns.items():
        if mapped not in there:
            near = difflib.get_close_matches(mapped, there, n=3, cutoff=0.4) or there
            files = " and ".join(sheet.name for sheet in sheets)
            raise DatumrlError(
                f"--columns {name}={mapped}: no column {mapped!r} in {files}; the nearest: "
                f"{', '.join(near)}"
            )


def listed(names: Sequence[str]) -> str:
    """Return names in one line, of many the first."""
    more = len(names) - _NAMED
    return "; ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def missing_column(sheet: Sheet, name: str) -> DatumrlError:
    """Return the error of a column that is needed and not there."""
    near = difflib.get_close_matches(name, sheet.columns, n=1, cutoff=0.4)
    hint = f"{name}={near[0] if near else 'COLUMN'}"
    return DatumrlError(
        f"{sheet.name}: no column {name!r} (there are {', '.join(sheet.columns)}); name it with "
        f"--columns {hint}"
    )
