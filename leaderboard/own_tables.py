"""A pair of files of one's own, a published table and raw scores, as a case; see the docs."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation.report_tables import plural
from datumrl.leaderboard import cell_text, own_files, own_names, own_runs, own_scales, rules
from datumrl.leaderboard.own_files import Sheet, listed
from datumrl.leaderboard.own_runs import Runs
from datumrl.leaderboard.rules import Recomputer, Rule
from datumrl.leaderboard.table_case import Case, PrintedCell, has_runs


@dataclass(frozen=True)
class Reading:
    """How a user's pair of files is to be read."""

    columns: Mapping[str, str]
    names: Mapping[str, str]  # of algorithms and datasets: published -> raw
    references: Path | None = None  # CSV: dataset, minimum, maximum
    checkpoint: str = "last"  # where the table has no such column
    ddof: int = 0


def read(published: Path, raw: Path, reading: Reading) -> Case:
    """Read both files.

    Raises DatumrlError for what cannot be read, naming the cell, and where nothing matches.
    """
    if not rules.known_checkpoint(reading.checkpoint):
        raise DatumrlError(
            f"checkpoint {reading.checkpoint!r}: use last, best, mean, best-step or last-K-mean"
        )
    table, scores = own_files.read(published), own_files.read(raw)
    own_files.check_mapping(reading.columns, table, scores)
    cells, notes = _cells(table, reading)
    runs, said = own_runs.read(scores, reading.columns)
    cells, spellings = own_names.matched(cells, runs, table.name)
    notes = [*table.notes, *scores.notes, *notes, *said, *spellings]
    if not any(has_runs(cell, runs) for cell in cells):
        raise DatumrlError("; ".join([_nothing_matches(table, scores, cells, runs), *spellings]))
    notes += _unmatched(cells, runs)
    units = own_scales.units({dataset for _, dataset in runs}, reading.references)
    quantity = "score" if reading.references else ""
    stated = tuple(
        replace(cell, checkpoint=cell.checkpoint or reading.checkpoint, quantity=quantity)
        for cell in cells
    )
    expected = Rule(ddof=reading.ddof)
    files = tuple(f"sha256 of {sheet.name}: {sheet.sha256}" for sheet in (table, scores))
    return Case(stated, Recomputer(runs, units), expected, notes=(*notes, *files))


def described(case: Case) -> str:
    """Return in words what the raw scores are."""
    runs = [run for found in case.raw.raw.values() for run in found]
    count = sum(run.values.size for run in runs)
    parts = (
        plural(f"{number:,}", noun)
        for number, noun in ((count, "evaluation"), (len(runs), "run"), (len(case.raw.raw), "cell"))
    )
    return "raw scores: {} of {} in {}".format(*parts)


def printed(sheet: Sheet, reading: Reading) -> list[tuple[int, PrintedCell]]:
    """Return the printed cells of a long table (a row per cell) or a wide one, with their lines.

    Raises DatumrlError for a cell that cannot be read or stands there twice, naming it.
    """
    own = own_files.own_columns(sheet, reading.columns)
    if own["cell"] is None and own["mean"] is None:
        own["cell"] = own["score"]
    if own["algorithm"] and own["dataset"] and (own["cell"] or own["mean"]):
        found = [_long(sheet, line, row, own) for line, row in sheet.rows]
    else:
        found = _wide(sheet, own)
    if not found:
        raise DatumrlError(f"{sheet.name} has no cell; give a column for each algorithm, or `cell`")
    found = _renamed(sheet, found, reading.names)
    places: dict[tuple[str, ...], int] = {}
    for line, cell in found:
        place = (cell.algorithm, cell.dataset, cell.checkpoint, cell.configuration)
        if place in places:
            raise DatumrlError(
                f"{sheet.name}, line {line}: {cell.name} stands in line {places[place]} already; "
                "keep one, or tell them apart in a column `checkpoint` or `configuration`"
            )
        places[place] = line
    return found


def _renamed(
    sheet: Sheet, cells: Sequence[tuple[int, PrintedCell]], names: Mapping[str, str]
) -> list[tuple[int, PrintedCell]]:
    """Return cells under the raw scores' names; DatumrlError for a name that no cell has."""
    there = dict.fromkeys(name for _, cell in cells for name in (cell.algorithm, cell.dataset))
    for name in names:
        if name not in there:
            near = difflib.get_close_matches(name, there, n=3, cutoff=0.4) or list(there)[:3]
            raise DatumrlError(
                f"--names '{name}={names[name]}': {sheet.name} has no algorithm or dataset "
                f"{name!r}; the nearest: {', '.join(near)}"
            )
    return [
        (
            line,
            replace(
                cell,
                algorithm=names.get(cell.algorithm, cell.algorithm),
                dataset=names.get(cell.dataset, cell.dataset),
            ),
        )
        for line, cell in cells
    ]


def _cells(sheet: Sheet, reading: Reading) -> tuple[list[PrintedCell], list[str]]:
    cells = [cell for _, cell in printed(sheet, reading)]
    empty = [cell.name for cell in cells if cell.mean is None]
    notes = [f"{sheet.name}: nothing printed for {listed(empty)}"] if empty else []
    return cells, notes


def _long(
    sheet: Sheet, line: int, row: dict[str, str], own: Mapping[str, str | None]
) -> tuple[int, PrintedCell]:
    def text(name: str) -> str:
        column = own[name]
        return row[column] if column else ""

    algorithm = cell_text.cleaned(text("algorithm"))
    dataset = cell_text.cleaned(text("dataset"))
    for name, value in (("algorithm", algorithm), ("dataset", dataset)):
        if not value:
            raise DatumrlError(f"{sheet.where(line, own[name] or name)}: is empty; fill it in")
    shown = own["cell"] or own["mean"] or ""
    where = f"{sheet.where(line, shown)} ({algorithm} on {dataset})"
    found = cell_text.parse(row[shown], where, sheet.commas)
    std = found.std
    if own["std"]:
        beside = where.replace(repr(shown), repr(own["std"]))
        spread = cell_text.parse(row[own["std"]], beside, sheet.commas)
        std = spread.mean if std is None else std
    checkpoint = _checkpoint(sheet, line, row, own)
    return line, PrintedCell(
        algorithm, dataset, checkpoint, "", found.mean, std, found.bold, text("configuration")
    )


def _checkpoint(
    sheet: Sheet, line: int, row: Mapping[str, str], own: Mapping[str, str | None]
) -> str:
    """Return what a row says of its evaluations, "" if nothing."""
    column = own["checkpoint"]
    if column is None or not row[column]:
        return ""
    if not rules.known_checkpoint(row[column]):
        raise DatumrlError(
            f"{sheet.where(line, column)}: {row[column]!r} is no checkpoint rule; use last, best, "
            "mean, best-step or last-K-mean, or leave the column out"
        )
    return row[column]


def _wide(sheet: Sheet, own: Mapping[str, str | None]) -> list[tuple[int, PrintedCell]]:
    """Read a table with a row per dataset and a column per algorithm, or the other way round."""
    label = own["dataset"] or own["algorithm"] or sheet.columns[0]
    by_dataset = label != own["algorithm"]
    skipped = {label, own["checkpoint"], own["configuration"]}
    found = []
    for line, row in sheet.rows:
        head = cell_text.cleaned(row[label])
        if not head:
            raise DatumrlError(f"{sheet.where(line, label)}: is empty; fill it in")
        checkpoint = _checkpoint(sheet, line, row, own)
        configuration = row[own["configuration"]] if own["configuration"] else ""
        for column in sheet.columns:
            if column in skipped or own_files.of_training(column):
                continue
            other = cell_text.cleaned(column)
            algorithm, dataset = (other, head) if by_dataset else (head, other)
            where = f"{sheet.where(line, column)} ({algorithm} on {dataset})"
            text = cell_text.parse(row[column], where, sheet.commas)
            cell = PrintedCell(
                algorithm, dataset, checkpoint, "", text.mean, text.std, text.bold, configuration
            )
            found.append((line, cell))
    return found


def _unmatched(cells: Sequence[PrintedCell], runs: Runs) -> list[str]:
    known = sorted({algorithm for algorithm, _ in runs})
    notes = []
    for name in dict.fromkeys(cell.algorithm for cell in cells):
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
            hint = f"; if it is {near[0]!r}, give --names '{name}={near[0]}'" if near else ""
            notes.append(f"algorithm {name!r} has no raw scores{hint}")
    absent = [cell.name for cell in cells if cell.algorithm in known and not has_runs(cell, runs)]
    if absent:
        notes.append(f"no raw scores of {listed(absent)}")
    printed = {(cell.algorithm, cell.dataset) for cell in cells}
    extra = [
        f"{algorithm} on {dataset}"
        for algorithm, dataset in runs
        if (algorithm, dataset) not in printed
    ]
    if extra:
        notes.append(f"raw scores without a printed cell: {listed(extra)}")
    return notes


def _nothing_matches(table: Sheet, scores: Sheet, cells: Sequence[PrintedCell], runs: Runs) -> str:
    first, other = cells[0], next(iter(runs))
    shown, there = (
        f"{algorithm!r} on {dataset!r}" + (f" of configuration {kind!r}" if kind else "")
        for algorithm, dataset, kind in (
            (first.algorithm, first.dataset, first.configuration),
            (*other, runs[other][0].configuration),
        )
    )
    return (
        f"no cell of {table.name} has raw scores in {scores.name}: the table has for example "
        f"{shown}, the raw scores {there}; map columns with --columns, algorithms and datasets "
        "with --names"
    )
