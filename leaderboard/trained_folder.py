"""The folder that keeps what training a table gave: one for each table, its margin and settings.

What earlier calls trained of the same table stays, cell by cell, until a call trains it again.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from datumrl.datasets import files
from datumrl.evaluation.report_tables import plural
from datumrl.leaderboard import names, outcome_files, outcome_reading, trained_outcome
from datumrl.leaderboard.outcome import Outcome
from datumrl.leaderboard.trained import Column, Trained
from datumrl.leaderboard.training_cells import TrainingTable, identity
from datumrl.leaderboard.training_verdict import MARGIN


def of(table: TrainingTable, points: float, changes: str) -> Path:
    """Return the folder of a table (all of its cells), trained with a margin and changed settings.

    A registered table trained as it says is named by its id; the digest in the names of others is
    of their cells too, since file names such as ``table.csv`` are many tables'.  An outcome of an
    earlier version, named by the id alone, is gone on with where it lies.
    """
    home = files.home() / trained_outcome.FOLDER
    plain = home / names.slug(table.about.id)
    if not table.own and not changes and points == MARGIN:
        return plain
    start = trained_outcome.outcome(table, Trained((), points, changes=changes))
    before = earlier(plain)
    if before is not None and before.about == start.about and before.trained is not None:
        columns = before.trained.columns
        if columns and len(columns) == len(_staying(before, start, table)):
            return plain
    content = json.dumps([sorted(_identities(table)), points, changes])
    return home / names.slug(table.about.id, content)


def earlier(folder: Path) -> Outcome | None:
    """Return the outcome in a folder, None where there is none.

    Raises DatumrlError for one that cannot be read.
    """
    path = folder / outcome_files.NAMES[2]
    return outcome_reading.read(path) if path.exists() else None


def merged(found: Outcome, folder: Path, table: TrainingTable) -> Outcome:
    """Return an outcome with the cells of the one in a folder that it does not train itself.

    ``table`` has all of the table's cells: what is none of them, or was trained with another margin
    or other settings, does not stay.  To be called before each write, since another call may train
    other cells of the table meanwhile.
    """
    assert found.trained is not None
    before = earlier(folder)
    own = {column.identity for column in found.trained.columns}
    staying = [each for each in _staying(before, found, table) if each.identity not in own]
    if before is None or before.trained is None or not _continues(before, found):
        return found
    columns = (*staying, *found.trained.columns)
    done = {column.cell.name for column in columns}
    named = {name for name, _ in found.trained.left_out}
    waiting = {cell.name for cell in table.cells} - done - named
    left_out = [each for each in before.trained.left_out if each[0] in waiting]
    commands = dict.fromkeys(column.command for column in columns)
    together = dataclasses.replace(
        found.trained,
        columns=columns,
        left_out=(*found.trained.left_out, *left_out),
        command="; ".join(commands) or found.trained.command,
    )
    return dataclasses.replace(found, trained=together)


def words(folder: Path, found: Outcome, table: TrainingTable) -> str:
    """Return what becomes of the outcome in a folder, "" where there is none."""
    before = earlier(folder)
    if before is None:
        return ""
    if before.trained is None:
        return f"{folder}: replaces an outcome that was recomputed from raw scores"
    staying = len(_staying(before, found, table))
    others = len(before.trained.columns) - staying
    parts = [f"{plural(staying, 'cell')} of earlier calls, unless trained again"] * (staying > 0)
    if others:
        parts.append(f"without {others} of another table, margin or settings")
    return f"{folder}: goes on with {', '.join(parts)}" if parts else ""


def _staying(before: Outcome | None, found: Outcome, table: TrainingTable) -> list[Column]:
    """Return the columns of an earlier outcome that are of this table, margin and settings."""
    if before is None or before.trained is None or not _continues(before, found):
        return []
    there = _identities(table)
    return [
        dataclasses.replace(column, command=column.command or before.trained.command)
        for column in before.trained.columns
        if column.identity in there
    ]


def _continues(before: Outcome, found: Outcome) -> bool:
    """Return whether two outcomes have one name, source, margin and settings."""
    about, other = before.about, found.about
    trained, new = before.trained, found.trained
    assert trained is not None
    assert new is not None
    return (about.id, about.source, trained.points, trained.changes) == (
        other.id, other.source, new.points, new.changes,
    )  # fmt: skip


def _identities(table: TrainingTable) -> set[str]:
    return {identity(cell, printed) for cell in table.cells for printed in cell.printed}
