"""Reader of the datasets that users register (see `registration`): columns by the user's own names.

An episode never spans two files.  Where a rule other than flags says where episodes end and there
are no timeouts, the last row of an episode that is not terminal counts as a timeout: we stopped
looking there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from datumrl.datasets import identity, registration
from datumrl.datasets.columns import Column, parts
from datumrl.datasets.episodes import TOO_WIDE, as_flags, first_not_finite, is_too_wide
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.prepared import GrowingFile, Writer, writing
from datumrl.datasets.reading import Progress, finish
from datumrl.datasets.record import DatasetRecord
from datumrl.datasets.user_boundaries import Boundaries
from datumrl.datasets.user_successors import Successors
from datumrl.datasets.user_tables import Use, missing, opened

_FLAGS = ("terminals", "timeouts")
_WHICH = "discrete_actions = true says which action each is"


def convert(
    source: Path, record: DatasetRecord, folder: Path, progress: Progress | None = None
) -> None:
    """Convert a registered dataset into prepared columns in ``folder``, all or nothing."""
    described = registration.description(record.id)
    convert_described(source, record, described, folder, progress)


def convert_described(
    source: Path,
    record: DatasetRecord,
    described: Mapping[str, Any],
    folder: Path,
    progress: Progress | None = None,
) -> None:
    """Convert what a description (see `registration_schema`) tells of, all or nothing."""
    if described["format"] == "minari":
        from datumrl.datasets import minari_reader

        minari_reader.convert(source, record, folder, progress)
        return
    written_from = identity.describe(source, record)
    with writing(folder) as writer:
        reading = _Reading(source, record, described, progress)
        fields = reading.columns(writer)
        finish(
            writer,
            record,
            written_from,
            rows=reading.rows,
            notes=reading.notes,
            **fields,
        )


class _Reading:
    """The rows of the files in their order, and the columns under way."""

    def __init__(
        self,
        source: Path,
        record: DatasetRecord,
        described: Mapping[str, Any],
        progress: Progress | None,
    ) -> None:
        self._paths = [path.resolve() for path in identity.members(source)]  # the user's, no links
        self._record, self._described, self._progress = record, described, progress
        self._mapping: dict[str, Any] = dict(described["columns"])
        self._boundaries = Boundaries(described["boundaries"], record.time_limit)
        self._files: dict[str, GrowingFile] = {}
        self._flags: dict[str, list[np.ndarray]] = {name: [] for name in _FLAGS}
        self._ends: list[int] = []  # rows up to the end of each file
        # A CSV has no types: whole numbers in every row are most likely discrete.
        self._all_whole = described["format"] == "csv" and not record.discrete_actions
        self.rows = 0
        self.notes: list[str] = []

    def columns(self, writer: Writer) -> dict[str, Any]:
        """Write all columns; return the fields of Episodes that are none."""
        with contextlib.ExitStack() as stack:
            for number, path in enumerate(self._paths):
                self._read(path, writer, stack)
                if self._progress is not None:
                    self._progress(number + 1, len(self._paths))
        if self.rows == 0:
            raise DatumrlError(f"{self._paths[0]}: holds no rows; check the files")
        if self._all_whole:
            raise self._error(self._paths[0])(
                f"actions are whole numbers in every row: {_WHICH}; numbers that are no choices "
                "need a decimal point (1.0) in a CSV"
            )
        flags = {
            name: np.concatenate(blocks) if name in self._mapping else None
            for name, blocks in self._flags.items()
        }
        found = self._boundaries.found(flags["terminals"], flags["timeouts"])
        self.notes += found.notes
        writer.array("terminals", found.terminals)
        writer.array("timeouts", found.timeouts)
        writer.array("starts", found.starts)
        self._successors(writer, found.starts)
        # Under any rule but flags, the description says where episodes were cut.
        recorded = "timeouts" in self._mapping or self._boundaries.rule != "flags"
        return {"timeouts_recorded": recorded, "ends": found.ends}

    def _read(self, path: Path, writer: Writer, stack: contextlib.ExitStack) -> None:
        begin = self.rows
        for block in self._blocks(path, ("observations", "actions", "rewards", *_FLAGS)):
            values = {
                "observations": _observations(block, self._mapping["observations"]),
                "actions": self._actions(path, block),
                "rewards": self._rewards(path, block),
            }
            for name in ("observations", "actions", "rewards"):
                for part, array in parts(values[name]).items():
                    self._append(path, f"{name}/{part}" if part else name, array, writer, stack)
            for name in _FLAGS:
                if name in self._mapping:
                    self._flags[name].append(self._flag(path, name, block[self._mapping[name]]))
            column = self._boundaries.episode_column
            rows = len(values["rewards"])
            if column is not None:
                self._boundaries.episodes(path, block[column], self.rows)
            self.rows += rows
        index = self._boundaries.index_column
        with self._table(path) as table:
            given = table.whole(index) if index is not None else None
            if self._all_whole:
                self._all_whole = table.integers(_sources(self._mapping["actions"]))
        self._boundaries.file(path, begin, self.rows, given)
        self._ends.append(self.rows)

    def _blocks(self, path: Path, wanted: tuple[str, ...]) -> Iterator[dict[str, np.ndarray]]:
        """Yield the columns of a file that some fields are made of."""
        uses: dict[str, Use] = {}
        for field in wanted:
            use: Use = "flags" if field in _FLAGS else "numbers"
            if field == "actions" and self._record.discrete_actions:
                use = "integers"
            uses.update(dict.fromkeys(_sources(self._mapping.get(field)), use))
        if (column := self._boundaries.episode_column) is not None and "rewards" in wanted:
            uses.setdefault(column, "episode")
        index = self._boundaries.index_column
        with self._table(path) as table:
            lacking = missing(table, [*uses, *([index] if index else [])])
            if lacking:
                raise self._error(path)(
                    f"has no column {', '.join(lacking)} (it has {', '.join(table.names())})"
                )
            yield from table.blocks(uses)

    def _table(self, path: Path) -> Any:
        return opened(path, self._described["format"], self._error(path))

    def _error(self, path: Path) -> Any:
        def error(problem: str) -> DatumrlError:
            return DatumrlError(f"{path}: {problem}; mend the file or its description")

        return error

    def _append(
        self,
        path: Path,
        name: str,
        values: np.ndarray,
        writer: Writer,
        stack: contextlib.ExitStack,
    ) -> None:
        if values.dtype.kind not in "biuf":
            raise self._error(path)(f"{name} holds {values.dtype}, not numbers")
        if is_too_wide(values.dtype):
            raise self._error(path)(f"{name} holds {values.dtype}; {TOO_WIDE}")
        row = first_not_finite(values)
        if row is not None:
            raise self._error(path)(
                f"{name} holds {values[row].tolist()} at row {self.rows + row}, not finite"
            )
        if name not in self._files:
            shape, dtype = values.shape[1:], values.dtype
            self._files[name] = stack.enter_context(writer.growing(name, shape, dtype))
        file = self._files[name]
        if values.shape[1:] != file.shape[1:] or not np.can_cast(values.dtype, file.dtype, "safe"):
            raise self._error(path)(
                f"{name} is {values.dtype} {values.shape[1:]} where rows before are {file.dtype} "
                f"{file.shape[1:]}"
            )
        file.append(values)

    def _actions(self, path: Path, block: dict[str, np.ndarray]) -> np.ndarray:
        values = _joined(block, self._mapping["actions"])
        whole = values.dtype.kind in "biu"
        if not self._record.discrete_actions:
            if whole:
                raise self._error(path)(f"actions are {values.dtype}: with whole numbers, {_WHICH}")
            self._all_whole = self._all_whole and bool((values == np.floor(values)).all())
            return values.reshape(len(values), -1)
        if not whole:
            if not (np.isfinite(values).all() and (values == np.floor(values)).all()):
                raise self._error(path)("discrete actions that are no whole numbers")
            values = values.astype(np.int64)
        if values.size and int(values.min()) < 0:
            raise self._error(path)(f"a discrete action is {int(values.min())}; they count from 0")
        return (values.astype(np.int8) if values.dtype.kind == "b" else values).squeeze(
            tuple(axis for axis in range(1, values.ndim) if values.shape[axis] == 1)
        )

    def _rewards(self, path: Path, block: dict[str, np.ndarray]) -> np.ndarray:
        values = block[self._mapping["rewards"]]
        if values.dtype.kind not in "biuf" or values.size != len(values):
            raise self._error(path)(
                f"rewards are {values.dtype} {values.shape}, not a number per row"
            )
        values = values.reshape(-1)
        if values.dtype.kind != "f":
            note = f"rewards are {values.dtype} in the file and float64 here"
            self.notes += [] if note in self.notes else [note]
            return values.astype(np.float64)
        return values

    def _flag(self, path: Path, name: str, values: np.ndarray) -> np.ndarray:
        if values.dtype.kind not in "biuf" or values.size != len(values):
            raise self._error(path)(f"{name} are {values.dtype} {values.shape}, not flags")
        return as_flags(name, values, self.rows, self._error(path))

    def _successors(self, writer: Writer, starts: np.ndarray) -> None:
        """Write the successors that the following row does not give."""
        named = {name: file for name, file in self._files.items() if name.startswith("observ")}
        given = self._mapping.get("next_observations")
        with contextlib.ExitStack() as stack:
            targets = {
                name: stack.enter_context(
                    writer.growing(
                        name.replace("observations", "successors", 1), file.shape[1:], file.dtype
                    )
                )
                for name, file in named.items()
            }
            successors = Successors(named, targets, starts)
            ends = zip(self._paths, self._ends, strict=True)
            for path, rows in ends if given is not None else ():
                for block in self._blocks(path, ("next_observations",)):
                    successors.add(_observations(block, given), self._error(path))
                successors.end_file(rows, self._error(path))
        writer.array("successor_rows", successors.rows())
        self.notes += successors.notes()


def _sources(mapping: Any) -> list[str]:
    """Return the columns of a file that a field is made of."""
    if mapping is None:
        return []
    if isinstance(mapping, str):
        return [mapping]
    inner = mapping.values() if isinstance(mapping, dict) else mapping
    return [name for each in inner for name in _sources(each)]


def _observations(block: dict[str, np.ndarray], mapping: Any) -> Column:
    """Return the observations of a block; single floats become rows of one."""
    if isinstance(mapping, dict):
        return {name: _observations(block, each) for name, each in mapping.items()}
    values = _joined(block, mapping)
    return values[:, None] if values.ndim == 1 and values.dtype.kind not in "iu" else values


def _joined(block: dict[str, np.ndarray], mapping: Any) -> np.ndarray:
    if isinstance(mapping, str):
        return block[mapping]
    arrays = [block[name].reshape(len(block[name]), -1) for name in mapping]
    return np.concatenate(arrays, axis=1)
