"""What the board holds of one dataset: every method's seeds on it, table by table.

Every dataset of the board has a page; those without a card show what the catalogue knows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from datumrl.datasets import catalogue
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.quality_map import MapPoint
from datumrl.leaderboard import drawing, names
from datumrl.leaderboard.tables import Cell, Entry, Table


@dataclass(frozen=True)
class Results:
    """One table's methods on the dataset, highest mean first, then those with failed runs."""

    table: Table
    lines: tuple[tuple[Entry, Cell], ...]
    axis: drawing.Axis  # of all their strips


def place(dataset: str) -> str:
    """Return where a dataset's page is within the site."""
    return f"datasets/{names.slug(dataset)}.html"


def datasets(board: Iterable[Table]) -> list[str]:
    """Return every dataset that a run of the board is on."""
    return sorted({name for table in board for name in table.datasets})


def of(dataset: str, board: Iterable[Table]) -> list[Results]:
    """Return the results on a dataset, a part per table: scores of different ones stay apart."""
    found = []
    for table in board:
        lines = [(entry, entry.cells[dataset]) for entry in table.entries if dataset in entry.cells]
        if lines:
            lines.sort(key=_from_the_highest)
            found.append(Results(table, tuple(lines), _axis(table, [cell for _, cell in lines])))
    return found


def facts(
    dataset: str, points: Iterable[MapPoint] = ()
) -> tuple[list[tuple[str, str]], tuple[str, ...]]:
    """Return what is known of a dataset without its card, as (name, text), and its errata."""
    try:
        record = catalogue.find(dataset)
    except DatumrlError:
        return [("catalogue", "not in it: the runs name this dataset, nothing more is known")], ()
    environment = record.environment
    rows = [("environment", environment.id if environment else "not known")]
    if environment and environment.note:
        rows.append(("of the environment", environment.note))
    rows.append(("time limit", f"{record.time_limit:,} steps" if record.time_limit else "none"))
    if record.reference is not None:
        low, high = record.reference.minimum, record.reference.maximum
        rows.append(
            ("scores 0 and 100", f"returns {low:g} and {high:g}; {record.reference.origin}")
        )
    rows += [
        ("TQ, SACo", f"{point.tq:.3f}, {point.saco:.3f}; {point.origin}")
        for point in points
        if point.id == dataset
    ]
    told = [
        ("returns", record.returns_note),
        ("licence", record.licence),
        ("source", record.source),
        ("citation", record.citation),
    ]
    return [*rows, *((name, text) for name, text in told if text)], record.errata


def _from_the_highest(line: tuple[Entry, Cell]) -> tuple[bool, bool, float, str]:
    entry, cell = line
    return (cell.mean is None, cell.count("failed") > 0, -(cell.mean or 0.0), entry.id)


def _axis(table: Table, cells: Sequence[Cell]) -> drawing.Axis:
    values = [value for cell in cells for value in cell.values.tolist()]
    if table.normalised or not values:
        return drawing.axis(values)
    return drawing.axis(values, anchors=())
