"""Training a table's cells, one after the other, and the folder that keeps what came out."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence

from datumrl.datasets.errors import DatumrlError
from datumrl.leaderboard import trained
from datumrl.leaderboard.outcome import Outcome
from datumrl.leaderboard.trained import Column, Run, Trained
from datumrl.leaderboard.training_cells import Cell, TrainingTable

FOLDER = "reproductions"  # under DATUMRL_HOME: a folder for each table
_SUFFIX = "-trained"  # of ids, beside the table recomputed from raw scores
_SECONDS = 3_600.0


def train(
    table: TrainingTable,
    plan: Trained,
    cells: Sequence[Cell],
    seeds: Sequence[int],
    run: Run,
    hours: Mapping[str, float],
    done: Callable[[Outcome, Cell], None] | None = None,
) -> Outcome:
    """Train cells in the order given and return the table's outcome.

    ``plan`` holds margin, command and what is left out already, ``hours`` the estimate of each cell
    by `Cell.key`.  After every cell ``done`` is given the outcome so far, to keep, and the cell.  A
    cell that cannot be trained is left out with the reason; the others go on.
    """
    columns: list[Column] = []
    left_out = list(plan.left_out)
    found = outcome(table, plan)
    for cell in cells:
        began = time.monotonic()
        try:
            records = run(cell.method, cell.dataset, seeds, cell.options)
            own = trained.columns_of(cell, records)
        except DatumrlError as problem:
            left_out.append((cell.name, str(problem)))
        else:
            estimate = hours.get(cell.key, 0.0)
            # What was trained before is only read.
            took = (time.monotonic() - began) / _SECONDS if estimate else 0.0
            columns += [
                dataclasses.replace(each, hours=took, estimated=estimate, command=plan.command)
                for each in own
            ]
        so_far = dataclasses.replace(plan, columns=tuple(columns), left_out=tuple(left_out))
        found = outcome(table, so_far)
        if done is not None:
            done(found, cell)
    return found


def outcome(table: TrainingTable, found: Trained) -> Outcome:
    """Return what was trained as a table's outcome."""
    about = dataclasses.replace(
        table.about,
        id=f"{table.about.id}{_SUFFIX}",
        title=f"{table.about.title}: trained again",
        expected="",
        kind="trained again",
    )
    return Outcome(about, (), notes=table.notes, trained=found)


def told(found: Outcome, cell: Cell) -> list[str]:
    """Return what became of a cell, a line for each printed number, or why it was left out."""
    assert found.trained is not None
    lines = [
        f"{cell.name}, {each.column.printed.rule}: {each.judgement.verdict}"
        for each in found.trained.judged
        if each.column.cell.key == cell.key
    ]
    reasons = [reason for name, reason in found.trained.left_out if name == cell.name]
    return lines or [f"{cell.name}: left out: {reason}" for reason in reasons[-1:]]
