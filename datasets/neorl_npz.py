"""Reader of NeoRL's and NeoRL-2's ``.npz`` files.

NeoRL: ``obs next_obs action reward done`` with a row per step, and ``index``, the exclusive end
of each trajectory as float32, without a leading 0.  NeoRL-2: the same with ``truncated``, and
``index`` not always there; a trajectory ends where done or truncated is set.  Sources:
polixir/NeoRL neorl/core.py, polixir/NeoRL2 neorl2/envs/base.py.  No published file was at hand:
where a file differs from this, the reader says what it found.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from datumrl.datasets import identity
from datumrl.datasets.episodes import as_flags, episode_starts, first_not_finite
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.npz_file import NpzFile
from datumrl.datasets.prepared import ColumnFile, Writer, writing
from datumrl.datasets.reading import Progress, finish
from datumrl.datasets.record import DatasetRecord

_REQUIRED = ("obs", "next_obs", "action", "reward", "done")
_ROWS_AT_ONCE = 1 << 16


def convert(
    source: Path, record: DatasetRecord, folder: Path, progress: Progress | None = None
) -> None:
    """Convert a NeoRL or NeoRL-2 file into prepared columns in ``folder``, all or nothing."""
    written_from = identity.describe(source, record)

    error = identity.complaint(source, record)

    with NpzFile(source, error, progress) as file, writing(folder) as writer:
        reading = _Reading(file, record, error)
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
    """The rows that are wanted of a file whose layout has been checked."""

    def __init__(
        self, file: NpzFile, record: DatasetRecord, error: Callable[[str], DatumrlError]
    ) -> None:
        self.file, self.record, self.error = file, record, error
        self.notes: list[str] = []
        missing = [name for name in _REQUIRED if name not in file]
        if missing:
            raise error(f"lacks {', '.join(missing)} (it has {', '.join(file.members) or 'none'})")
        self.rows = total = (file.shape("reward") or (0,))[0]
        if total == 0:
            raise error("holds no transitions")
        self._check_shapes()
        done = self._flags("done")
        truncated = self._flags("truncated") if "truncated" in file else None
        starts = self._starts(done, truncated)
        wanted = int(record.option["trajectories"])
        if len(starts) - 1 < wanted:
            raise error(f"holds {len(starts) - 1} trajectories where {record.id} has {wanted}")
        if 0 < wanted < len(starts) - 1:
            self.notes.append(f"the first {wanted} of {len(starts) - 1} trajectories of the file")
            starts = starts[: wanted + 1]
        self.starts, self.rows = starts, int(starts[-1])
        self._set_flags(done[: self.rows], None if truncated is None else truncated[: self.rows])

    def columns(self, writer: Writer) -> dict[str, Any]:
        """Write all columns; return the fields of Episodes that are none."""
        record, rows = self.record, self.rows
        divisor = float(record.option["action_divisor"])
        with writer.column("observations", (rows, record.observation_dim), np.float32) as column:
            self._copy("obs", column)
        observations = column
        with writer.column("actions", (rows, record.action_dim), np.float32) as column:
            self._copy("action", column, divisor)
        with writer.column("rewards", (rows,), np.float32) as column:
            self._copy("reward", column)
        writer.array("terminals", self.terminals)
        writer.array("timeouts", self.timeouts)
        writer.array("starts", self.starts)
        listed, successors = self._successors(observations)
        writer.array("successor_rows", listed)
        writer.array("successors", successors)
        return {"timeouts_recorded": True, "ends": "recorded"}

    def _check_shapes(self) -> None:
        total, record = self.rows, self.record
        observations: list[tuple[int, ...]] = [(total, record.observation_dim)]
        flat: list[tuple[int, ...]] = [(total,), (total, 1)]
        expected: dict[str, list[tuple[int, ...]]] = {
            "obs": observations,
            "next_obs": observations,
            "action": [(total, record.action_dim), *(flat[:1] if record.action_dim == 1 else [])],
            "reward": flat,
            "done": flat,
            "truncated": flat,
        }
        for name, shapes in expected.items():
            if name in self.file and self.file.shape(name) not in shapes:
                raise self.error(
                    f"{name} has shape {self.file.shape(name)} where {record.id} with {total} "
                    f"rewards needs {shapes[0]}"
                )
        for name in ("index", *expected):
            if name in self.file and self.file.members[name].dtype.kind not in "biuf":
                raise self.error(f"{name} holds {self.file.members[name].dtype}, not numbers")

    def _flags(self, name: str) -> np.ndarray:
        return as_flags(name, self.file.array(name), 0, self.error)

    def _starts(self, done: np.ndarray, truncated: np.ndarray | None) -> np.ndarray:
        """Return the first row of each trajectory, then the number of rows."""
        if "index" not in self.file:
            ended = done if truncated is None else done | truncated
            self.notes.append("the file has no index; trajectories end where done or truncated is")
            return episode_starts(np.zeros_like(done), ended)
        raw = self.file.array("index").reshape(-1).astype(np.float64)
        index = raw.astype(np.int64)
        if len(index) and index[0] == 0:
            self.notes.append("index holds beginnings, with a leading 0, unlike NeoRL's own files")
            starts = np.append(index, self.rows) if index[-1] != self.rows else index
        else:
            starts = np.concatenate([[0], index])
        whole = np.array_equal(raw, index) and (np.diff(starts) > 0).all()
        if not whole or starts[-1] != self.rows:
            raise self.error(
                f"index does not increase to the number of rows, {self.rows} (it ends at "
                f"{raw[-1] if len(raw) else 'nothing'})"
            )
        return starts.astype(np.int64)

    def _set_flags(self, done: np.ndarray, truncated: np.ndarray | None) -> None:
        """Tell ends of the process from time limits."""
        ends = self.starts[1:] - 1
        is_end = np.zeros(self.rows, bool)
        is_end[ends] = True
        inside = int((done & ~is_end).sum())
        if inside:
            self.notes.append(f"done is set at {inside} rows within a trajectory; they stay there")
        if truncated is not None:
            self.timeouts = truncated & is_end & ~done
            self.terminals = done.copy()
        else:
            full = np.zeros(self.rows, bool)
            full[ends[np.diff(self.starts) == self.record.time_limit]] = True
            self.terminals = done & ~full if self.record.option["terminates"] else done & ~is_end
            self.timeouts = is_end & ~self.terminals
        both = 0 if truncated is None else int((truncated & done).sum())
        if both:
            self.notes.append(f"{both} rows are done and truncated at once; they count as done")

    def _copy(self, name: str, column: ColumnFile, divisor: float = 1.0) -> None:
        for begin, values in self.file.blocks(name):
            part = values[: max(0, self.rows - begin)]
            if not len(part):
                break
            cast = part.astype(np.float32).reshape(len(part), *column.shape[1:])
            self._check_finite(name, begin, cast)
            column.append(cast if divisor == 1.0 else cast / np.float32(divisor))

    def _check_finite(self, name: str, begin: int, values: np.ndarray) -> None:
        row = first_not_finite(values)
        if row is not None:
            odd = np.atleast_1d(values[row])
            first = odd[~np.isfinite(odd)][0]
            raise self.error(f"{name} holds {first} at row {begin + row}, which is not finite")

    def _successors(self, observations: ColumnFile) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows whose successor the following row does not give, and the successors."""
        rows, successors = [np.zeros(0, np.int64)], [np.zeros((0, observations.shape[1]), "f4")]
        ends = self.starts[1:] - 1
        for begin, values in self.file.blocks("next_obs"):
            part = values[: max(0, self.rows - begin)].astype(np.float32)
            if not len(part):
                break
            self._check_finite("next_obs", begin, part)
            following = observations.rows(begin + 1, begin + 1 + len(part))
            listed = np.ones(len(part), bool)
            listed[: len(following)] = (part[: len(following)] != following).any(axis=1)
            listed[ends[(ends >= begin) & (ends < begin + len(part))] - begin] = True
            rows.append(begin + np.flatnonzero(listed))
            successors.append(part[listed])
        all_rows = np.concatenate(rows)
        if disagreeing := len(all_rows) - len(ends):
            self.notes.append(
                f"{disagreeing} stored next observations disagree with the following row of their "
                "trajectory; they are kept"
            )
        return all_rows, np.concatenate(successors)
