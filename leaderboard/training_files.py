"""A published table of one's own as cells to train; its columns are told in docs/reproduce.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datumrl.datasets.errors import DatumrlError
from datumrl.leaderboard import cell_text, own_files, own_tables, rules
from datumrl.leaderboard.outcome import About
from datumrl.leaderboard.own_files import Sheet
from datumrl.leaderboard.own_tables import Reading
from datumrl.leaderboard.table_case import PrintedCell
from datumrl.leaderboard.training_cells import (
    METHODS,
    Cell,
    Printed,
    TrainingTable,
    why_untrainable,
)


@dataclass(frozen=True)
class Stated:
    """What is stated of a whole table outside its file."""

    seeds: int | None = None  # where it has no such column
    returns: bool = False  # printed are returns, not normalised scores


def read(path: Path, reading: Reading, stated: Stated) -> TrainingTable:
    """Read a table with a row per cell, or a wide one.

    Raises DatumrlError, naming the cell, for what cannot be read.
    """
    if not rules.known_checkpoint(reading.checkpoint):
        raise DatumrlError(
            f"checkpoint {reading.checkpoint!r}: use last, best, mean, best-step or last-K-mean"
        )
    sheet = own_files.read(path)
    own_files.check_mapping(reading.columns, sheet)
    lines = {
        line: {_plain(column): text for column, text in row.items()} for line, row in sheet.rows
    }
    gathered: dict[tuple[str, ...], list[tuple[int, PrintedCell]]] = {}
    empty = []
    for line, cell in own_tables.printed(sheet, reading):
        if cell.std is not None and float(cell.std) < 0:
            raise DatumrlError(
                f"{sheet.name}, line {line}: {cell.name} has a deviation below 0; correct it"
            )
        if cell.mean is None:
            empty.append((cell.name, "nothing is printed"))
        else:
            training = _options(sheet, line, lines[line], cell)
            place = (cell.algorithm, cell.dataset, cell.configuration, repr(training))
            gathered.setdefault(place, []).append((line, cell))
    cells, untrainable = [], []
    for found in gathered.values():
        line, cell = found[0]
        method = _method(cell.algorithm)
        reason = why_untrainable(cell.algorithm, method, cell.dataset, stated.returns)
        if reason or method is None:
            untrainable.append((cell.name, reason))
        else:
            cells.append(_cell(sheet, method, found, lines[line], reading, stated))
    return TrainingTable(
        _about(path, reading), tuple(cells), (*untrainable, *empty), sheet.notes, own=True
    )


def _about(path: Path, reading: Reading) -> About:
    return About(
        path.stem,
        path.name,
        rule=f"{reading.checkpoint} evaluation of each run unless a column says otherwise; mean "
        f"and standard deviation (ddof = {reading.ddof}) over its seeds",
    )


def _plain(column: str) -> str:
    """Return a column's name as it is looked up; fields of a configuration keep their case."""
    return column if column.startswith(own_files.SETTING) else column.lower()


def _method(algorithm: str) -> str | None:
    """Return our method of a published name, spelled as there or as ours."""
    known = {name.casefold(): method for name, method in METHODS.items()}
    known |= {method: method for method in METHODS.values()}
    return known.get(algorithm.casefold())


def _cell(
    sheet: Sheet,
    method: str,
    found: list[tuple[int, PrintedCell]],
    row: Mapping[str, str],
    reading: Reading,
    stated: Stated,
) -> Cell:
    line, first = found[0]
    printed = tuple(
        Printed(
            rules.checkpoint_of(cell.checkpoint or reading.checkpoint, rules.Rule()),
            str(cell.mean),
            cell.std,
        )
        for _, cell in found
    )
    seeds = _count(sheet, line, row, "seeds", first) or stated.seeds
    options = _options(sheet, line, row, first)
    return Cell(
        first.algorithm, method, first.dataset, printed, seeds, options, reading.ddof,
        stated.returns,
    )  # fmt: skip


def _options(sheet: Sheet, line: int, row: Mapping[str, str], cell: PrintedCell) -> dict[str, Any]:
    """Return what the table says of a cell's training."""
    options: dict[str, Any] = {}
    for name in own_files.COUNTS:
        value = _count(sheet, line, row, name, cell)
        if value is not None:
            options[name] = value
    for name in own_files.WORDS:
        text = row.get(name, "").strip()
        if text:
            options[name] = text
    settings = {
        name.removeprefix(own_files.SETTING): text.strip()
        for name, text in row.items()
        if name.startswith(own_files.SETTING) and text.strip()
    }
    return {**options, "settings": settings} if settings else options


def _count(
    sheet: Sheet, line: int, row: Mapping[str, str], name: str, cell: PrintedCell
) -> int | None:
    """Return a whole number of at least 1; None where the column is not there or says nothing."""
    if name not in row:
        return None
    where = f"{sheet.where(line, name)} ({cell.name})"
    found = cell_text.parse(row[name], where, sheet.commas)
    if found.mean is None:
        return None
    value = float(found.mean)
    if value != int(value) or value < 1 or found.std is not None:
        raise DatumrlError(f"{where}: {row[name]!r} is no number of {name}; write 1 or more")
    return int(value)
