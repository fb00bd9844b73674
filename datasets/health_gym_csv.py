"""Reader of the Health Gym's CSV files with a column ``reward`` that their user added.

Actions are the column ``action`` if there is one, else the levels of the variables that the record
names.  No published file was at hand: the reader says where one differs from what is known.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np

from datumrl.datasets import identity
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.health_gym_catalogue import LAYOUTS, Action, Layout
from datumrl.datasets.health_gym_table import Error, Patient, Table, levels
from datumrl.datasets.prepared import GrowingFile, Writer, writing
from datumrl.datasets.reading import Progress, finish
from datumrl.datasets.record import DatasetRecord


def convert(
    source: Path, record: DatasetRecord, folder: Path, progress: Progress | None = None
) -> None:
    """Convert a file into prepared columns in ``folder``, all or nothing, patient by patient.

    Observations are the record's variables in the order of its layout, as one vector.  Extras: the
    variables that actions were made of, as ``infos/<name>``.
    """
    written_from = identity.describe(source, record)

    error = identity.complaint(source, record)

    layout = LAYOUTS[str(record.option["cohort"])]
    table = Table(source, layout, error)
    _check_added(table, layout, record)
    with writing(folder) as writer, contextlib.ExitStack() as stack:
        columns = _Columns(writer, stack, layout, error)
        for patient in table.patients(progress):
            columns.append(patient)
        if columns.rows == 0:
            raise error("holds no patients")
        stack.close()
        columns.finish()
        finish(
            writer,
            record,
            written_from,
            rows=columns.rows,
            notes=_notes(table, layout, columns),
            timeouts_recorded=True,
            ends="flags",
        )


class _Columns:
    """The columns under way."""

    def __init__(
        self, writer: Writer, stack: contextlib.ExitStack, layout: Layout, error: Error
    ) -> None:
        def column(name: str, kind: type, *shape: int, extra: bool = False) -> GrowingFile:
            return stack.enter_context(writer.growing(name, shape, kind, extra=extra))

        self.layout, self._error, self._writer = layout, error, writer
        self._observations = column("observations", np.float32, len(layout.observations))
        self._actions = column("actions", np.int64)
        self._rewards = column("rewards", np.float32)
        self._amounts = {
            action.name: column(f"infos/{action.name}", np.float32, extra=True)
            for action in layout.actions
        }
        self.starts = [0]
        self.ways: dict[str, int] = {}  # of each variable, how its levels are written
        self.other_lengths = 0

    @property
    def rows(self) -> int:
        return self.starts[-1]

    def append(self, patient: Patient) -> None:
        values, single = patient.values, self._single
        names = self.layout.observations
        self._observations.append(single(np.stack([values[name] for name in names], 1), patient))
        self._actions.append(self._levels_as_one(patient))
        self._rewards.append(single(values["reward"], patient))
        for name, column in self._amounts.items():
            column.append(single(values[name], patient))
        self.starts.append(self.rows + len(patient.cells))
        self.other_lengths += len(patient.cells) != self.layout.steps

    def finish(self) -> None:
        """Write what is known only at the end."""
        array, starts = self._writer.array, np.array(self.starts, np.int64)
        timeouts = np.zeros(self.rows, bool)
        timeouts[starts[1:] - 1] = True
        array("terminals", np.zeros(self.rows, bool))
        array("timeouts", timeouts)
        array("starts", starts)
        array("successor_rows", np.zeros(0, np.int64))
        array("successors", np.zeros((0, len(self.layout.observations)), np.float32))

    def _levels_as_one(self, patient: Patient) -> np.ndarray:
        given = patient.values.get("action")
        if given is None:
            found = [self._level(patient, action) for action in self.layout.actions]
            counts = [len(action.levels[0]) for action in self.layout.actions]
            return np.ravel_multi_index(found, counts).astype(np.int64)
        if (given != np.trunc(given)).any() or given.min() < 0 or given.max() > 1 << 31:
            raise self._error(f"patient {patient.id}: action is other than whole numbers from 0")
        return given.astype(np.int64)

    def _level(self, patient: Patient, action: Action) -> np.ndarray:
        values = patient.values[action.name]
        found = levels(values, action.levels)
        written, way = found if found is not None else (values, -1)
        # All zeros is every way; else all patients are written in one.
        if way < 0 or (written.any() and self.ways.setdefault(action.name, way) != way):
            ways = " or ".join(", ".join(f"{value:g}" for value in each) for each in action.levels)
            raise self._error(
                f"patient {patient.id}: {action.name} holds {np.unique(values)[:6].tolist()} where "
                f"its levels, alike in all of the file, are {ways}; a column action of your own is "
                "taken instead"
            )
        return written

    def _single(self, values: np.ndarray, patient: Patient) -> np.ndarray:
        if np.abs(values).max() > np.finfo(np.float32).max:
            raise self._error(f"patient {patient.id} has a value beyond single precision")
        return values.astype(np.float32)


def _check_added(table: Table, layout: Layout, record: DatasetRecord) -> None:
    cohort = record.option["cohort"]
    if "reward" not in table.places:
        raise DatumrlError(
            f"{table.source}: has no column reward, since the Health Gym defines none; add one, "
            "the reward of each row's action: datumrl.datasets.health_gym.prepare(FILE, RESULT, "
            f"'healthgym/{cohort}', function) does so from a Python function of a patient"
        )
    if "action" not in table.places and not all(action.levels for action in layout.actions):
        names = " and ".join(action.name for action in layout.actions)
        raise DatumrlError(
            f"{table.source}: has no column action, and no levels of {names} are published; add "
            "one of whole numbers from 0, or give datumrl.datasets.health_gym.prepare the cuts "
            "between levels"
        )


def _notes(table: Table, layout: Layout, columns: _Columns) -> list[str]:
    notes = []
    if columns.other_lengths:
        notes.append(f"{columns.other_lengths} patients have not {layout.steps} rows")
    if (patients := len(columns.starts) - 1) != layout.patients:
        notes.append(f"{patients} patients where {layout.patients} are published")
    for action in layout.actions:
        if (way := columns.ways.get(action.name)) is not None:
            written = ", ".join(f"{value:g}" for value in action.levels[way])
            notes.append(f"levels of {action.name} are written as {written}")
    if table.ignored:
        notes.append(f"columns not read: {', '.join(table.ignored)}")
    made = "the column action" if "action" in table.places else "the published levels"
    return [*notes, f"actions are {made}; rewards are the user's column reward"]
