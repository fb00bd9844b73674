"""Means transcribed from publications without raw scores: shown apart, never pooled or ranked."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from datumrl.leaderboard import (
    cell_text,
    corl_table,
    names,
    published_tables,
    reported_tables,
)
from datumrl.leaderboard.outcome import About

TIER = "reported"
_COLUMNS = ("tier", "algorithm", "dataset", "mean", "std", "seeds", "table", "source", "url")


@dataclass(frozen=True)
class ReportedCell:
    """A mean as printed, with its spread and number of seeds as far as the source gives them."""

    mean: str
    std: str
    seeds: str


@dataclass(frozen=True)
class ReportedRow:
    """One algorithm in one published table."""

    about: About
    algorithm: str
    cells: dict[str, ReportedCell]  # by dataset id

    @property
    def id(self) -> str:
        """Return an anchor of its own."""
        return f"reported--{names.slug(self.algorithm, self.about.id)}"

    @property
    def project(self) -> str:
        """Return for example ``CORL``: the table's title up to its colon."""
        return self.about.title.partition(":")[0]


def rows(folder: Path = published_tables.FOLDER) -> list[ReportedRow]:
    """Return every reported row on datasets of the catalogue, by source and algorithm.

    Of tables that print more than one checkpoint the last is taken: ``best`` is chosen by the
    returns it reports.  Domain averages and mixed datasets of the source's own are left out; the
    pages of the published tables have them.
    """
    found: dict[tuple[str, str], dict[str, ReportedCell]] = defaultdict(dict)
    for row in published_tables.read_csv(corl_table.CELLS, folder):
        if row["checkpoint"] == "last":
            found[corl_table.ABOUT.id, row["algorithm"]][row["dataset"]] = _cell(row)
    for row in published_tables.read_csv(reported_tables.CELLS, folder):
        found[row["table"], row["algorithm"]][row["dataset"]] = _cell(row)
    abouts = {about.id: about for about in (corl_table.ABOUT, *reported_tables.ABOUT)}
    gathered = []
    for (table, algorithm), cells in sorted(found.items()):
        kept = {name: cell for name, cell in sorted(cells.items()) if "/" in name and cell.mean}
        gathered.append(ReportedRow(abouts[table], " ".join(algorithm.split()), kept))
    return gathered


def on(every: Iterable[ReportedRow], datasets: Sequence[str]) -> list[ReportedRow]:
    """Return the rows with a mean of any of the datasets, cut down to these."""
    found = []
    for row in every:
        cells = {name: row.cells[name] for name in datasets if name in row.cells}
        if cells:
            found.append(ReportedRow(row.about, row.algorithm, cells))
    return found


def as_csv(every: Iterable[ReportedRow]) -> str:
    """Return rows as CSV, a line per cell, numbers as printed."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for row in every:
        for dataset, cell in row.cells.items():
            fields = (row.algorithm, dataset, cell.mean, cell.std, cell.seeds)
            origin = (row.about.id, row.about.source, row.about.url)
            writer.writerow([TIER, names.spreadsheet_text(fields[0]), *fields[1:], *origin])
    return text.getvalue()


def number(cell: ReportedCell) -> float:
    """Return a printed mean as a number, to sort by."""
    return cell_text.value(cell.mean, "a reported mean")


def _cell(row: dict[str, str]) -> ReportedCell:
    return ReportedCell(row["mean"], row["std"], row["seeds"])
