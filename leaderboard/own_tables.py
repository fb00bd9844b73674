"""A pair of files of one's own, a published table and raw scores, as a case; see the docs."""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation.report_tables import plural
from datumrl.leaderboard import cell_text, own_files, own_scales, rules
from datumrl.leaderboard.own_files import Sheet
from datumrl.leaderboard.rules import RawRun, Recomputer, Rule
from datumrl.leaderboard.table_case import Case, PrintedCell

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
_NAMED = 8  # problems of one kind named one by one


@dataclass(frozen=True)
class Reading:
    """How a user's pair of files is to be read."""

    columns: Mapping[str, str]
    names: Mapping[str, str]  # published algorithm -> raw algorithm
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
    cells, notes = _cells(table, reading)
    runs, said = _runs(scores, reading)
    notes = [*table.notes, *scores.notes, *notes, *said]
    cells = [_matched(cell, runs) for cell in cells]
    if not any((cell.algorithm, cell.dataset) in runs for cell in cells):
        raise DatumrlError(_nothing_matches(table, scores, cells, runs))
    notes += _unmatched(cells, runs)
    units = own_scales.units({dataset for _, dataset in runs}, reading.references)
    quantity = "score" if reading.references else ""
    cells = [
        PrintedCell(
            cell.algorithm, cell.dataset, cell.checkpoint or reading.checkpoint, quantity,
            cell.mean, cell.std, cell.bold, cell.configuration,
        )
        for cell in cells
    ]  # fmt: skip
    expected = Rule(ddof=reading.ddof)
    return Case(tuple(cells), Recomputer(runs, units), expected, notes=tuple(notes))


def described(case: Case) -> str:
    """Return in words what the raw scores are."""
    runs = [run for found in case.raw.raw.values() for run in found]
    count = sum(run.values.size for run in runs)
    parts = (
        plural(f"{number:,}", noun)
        for number, noun in ((count, "evaluation"), (len(runs), "run"), (len(case.raw.raw), "cell"))
    )
    return "raw scores: {} of {} in {}".format(*parts)


def _column(sheet: Sheet, name: str, reading: Reading) -> str | None:
    return own_files.column(sheet, name, reading.columns, _SYNONYMS[name])


def printed(sheet: Sheet, reading: Reading) -> list[tuple[int, PrintedCell]]:
    """Return the printed cells of a long table (a row per cell) or a wide one, with their lines.

    Raises DatumrlError for a cell that cannot be read or stands there twice, naming it.
    """
    own = {name: _column(sheet, name, reading) for name in COLUMNS}
    if own["cell"] is None and own["mean"] is None:
        own["cell"] = own["score"]
    if own["algorithm"] and own["dataset"] and (own["cell"] or own["mean"]):
        found = [_long(sheet, line, row, own, reading) for line, row in sheet.rows]
    else:
        found = _wide(sheet, own, reading)
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


def _cells(sheet: Sheet, reading: Reading) -> tuple[list[PrintedCell], list[str]]:
    cells = [cell for _, cell in printed(sheet, reading)]
    empty = [cell.name for cell in cells if cell.mean is None]
    notes = [f"{sheet.name}: nothing printed for {_listed(empty)}"] if empty else []
    return cells, notes


def _long(
    sheet: Sheet, line: int, row: dict[str, str], own: Mapping[str, str | None], reading: Reading
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
    found = cell_text.parse(row[shown], where)
    std = found.std
    if own["std"]:
        spread = cell_text.parse(row[own["std"]], where.replace(repr(shown), repr(own["std"])))
        std = spread.mean if std is None else std
    checkpoint = text("checkpoint").strip()
    if checkpoint and not rules.known_checkpoint(checkpoint):
        raise DatumrlError(
            f"{sheet.where(line, own['checkpoint'] or '')}: {checkpoint!r} is no checkpoint rule; "
            "use last, best, mean, best-step or last-K-mean, or leave the column out"
        )
    name = reading.names.get(algorithm, algorithm)
    return line, PrintedCell(
        name, dataset, checkpoint, "", found.mean, std, found.bold, text("configuration")
    )


def _wide(
    sheet: Sheet, own: Mapping[str, str | None], reading: Reading
) -> list[tuple[int, PrintedCell]]:
    """Read a table with a row per dataset and a column per algorithm, or the other way round."""
    label = own["dataset"] or own["algorithm"] or sheet.columns[0]
    by_dataset = label != own["algorithm"]
    skipped = {label, own["checkpoint"], own["configuration"]}
    found = []
    for line, row in sheet.rows:
        head = cell_text.cleaned(row[label])
        if not head:
            raise DatumrlError(f"{sheet.where(line, label)}: is empty; fill it in")
        for column in sheet.columns:
            if column in skipped:
                continue
            other = cell_text.cleaned(column)
            algorithm, dataset = (other, head) if by_dataset else (head, other)
            text = cell_text.parse(
                row[column], f"{sheet.where(line, column)} ({algorithm} on {dataset})"
            )
            name = reading.names.get(algorithm, algorithm)
            checkpoint = row[own["checkpoint"]] if own["checkpoint"] else ""
            cell = PrintedCell(name, dataset, checkpoint, "", text.mean, text.std, text.bold)
            found.append((line, cell))
    return found


_Runs = dict[tuple[str, str], list[RawRun]]
_Evaluations = list[tuple[float | None, float, bool]]  # step, value, failed


def _runs(sheet: Sheet, reading: Reading) -> tuple[_Runs, list[str]]:
    own = {name: _column(sheet, name, reading) for name in COLUMNS}
    for name in ("algorithm", "dataset", "score"):
        if own[name] is None:
            raise own_files.missing_column(sheet, name)
    if own["step"] and not own["seed"]:
        raise own_files.missing_column(sheet, "seed")
    gathered: dict[tuple[str, ...], _Evaluations] = defaultdict(list)
    counts: dict[tuple[object, ...], int] = defaultdict(int)
    for number, (line, row) in enumerate(sheet.rows, start=1):
        cell = {name: row[column].strip() for name, column in own.items() if column}
        place = (cell["algorithm"], cell["dataset"], cell.get("configuration", ""))
        seed = cell.get("seed", str(number))
        where = f"{sheet.where(line, own['score'] or '')} ({place[0]} on {place[1]}, seed {seed})"
        step = None
        if "step" in cell:
            step = cell_text.value(cell["step"], sheet.where(line, own["step"] or ""))
        # A seed that comes again at the same step is another run of the same name.
        occurrence = counts[(*place, seed, step)]
        counts[(*place, seed, step)] += 1
        value = cell_text.value(cell["score"], where)
        failed = cell_text.says_failed(cell.get("status", "")) or not np.isfinite(value)
        gathered[(*place, seed, str(occurrence))].append((step, value, failed))
    return _gathered(gathered, sheet.name)


def _gathered(
    gathered: Mapping[tuple[str, ...], _Evaluations], name: str
) -> tuple[_Runs, list[str]]:
    runs: _Runs = defaultdict(list)
    twice, broken = [], []
    for (algorithm, dataset, configuration, seed, occurrence), found in gathered.items():
        ordered = sorted(found, key=lambda each: -1.0 if each[0] is None else each[0])
        steps = None if ordered[0][0] is None else np.array([each[0] for each in ordered])
        run = RawRun(
            seed,
            np.array([each[1] for each in ordered]),
            steps,
            any(each[2] for each in ordered),
            configuration,
            occurrence != "0",
        )
        runs[algorithm, dataset].append(run)
        title = f"{algorithm} on {dataset}, seed {seed}"
        if run.repeated:
            first = gathered[(algorithm, dataset, configuration, seed, "0")]
            same = [each[1] for each in first] == [each[1] for each in found]
            twice.append(f"{title} ({'the same' if same else 'other'} values)")
        if run.broken:
            broken.append(title)
    notes = []
    if twice:
        notes.append(f"{name}: repeated seeds, counted once: {_listed(twice)}")
    if broken:
        notes.append(f"{name}: failed runs or missing values: {_listed(broken)}")
    return dict(runs), notes


def _matched(cell: PrintedCell, runs: _Runs) -> PrintedCell:
    """Return a cell under the raw scores' own spelling where only case and prefix differ."""
    if (cell.algorithm, cell.dataset) in runs:
        return cell
    for algorithm, dataset in runs:
        same = algorithm.casefold() == cell.algorithm.casefold()
        ends = {dataset.casefold(), dataset.rpartition("/")[2].casefold()}
        if same and ends & {cell.dataset.casefold(), cell.dataset.rpartition("/")[2].casefold()}:
            return PrintedCell(
                algorithm, dataset, cell.checkpoint, cell.quantity, cell.mean, cell.std,
                cell.bold, cell.configuration,
            )  # fmt: skip
    return cell


def _unmatched(cells: Sequence[PrintedCell], runs: _Runs) -> list[str]:
    known = sorted({algorithm for algorithm, _ in runs})
    notes = []
    for name in dict.fromkeys(cell.algorithm for cell in cells):
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
            hint = f"; if it is {near[0]!r}, give --names '{name}={near[0]}'" if near else ""
            notes.append(f"algorithm {name!r} has no raw scores{hint}")
    absent = [
        cell.name
        for cell in cells
        if cell.algorithm in known and (cell.algorithm, cell.dataset) not in runs
    ]
    if absent:
        notes.append(f"no raw scores of {_listed(absent)}")
    printed = {(cell.algorithm, cell.dataset) for cell in cells}
    extra = [
        f"{algorithm} on {dataset}"
        for algorithm, dataset in runs
        if (algorithm, dataset) not in printed
    ]
    if extra:
        notes.append(f"raw scores without a printed cell: {_listed(extra)}")
    return notes


def _nothing_matches(table: Sheet, scores: Sheet, cells: Sequence[PrintedCell], runs: _Runs) -> str:
    first, other = cells[0], next(iter(runs))
    return (
        f"no cell of {table.name} has raw scores in {scores.name}: the table has for example "
        f"{first.algorithm!r} on {first.dataset!r}, the raw scores {other[0]!r} on {other[1]!r}; "
        "map columns with --columns and algorithms with --names"
    )


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return "; ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
