"""Reader of D4RL's gym-mujoco HDF5 files (v0, v1 and v2 layouts) into prepared columns.

Required: observations (N, obs), actions (N, act), rewards and terminals (N,) or (N, 1).  Optional:
timeouts (absent from the earliest v0 files), next_observations and infos/* (v1, v2), metadata/*.
Numbers may be float64 (replay sets) and flags float; see d4rl/offline_env.py of
Farama-Foundation/D4RL and tensorflow_datasets/d4rl of tensorflow/datasets.  Everything is read in
blocks of whole HDF5 chunks, so that memory stays small and no chunk is decompressed twice.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from datumrl.datasets import identity
from datumrl.datasets.catalogue import DatasetRecord
from datumrl.datasets.episodes import episode_starts, first_not_finite
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.prepared import Writer, writing
from datumrl.datasets.reading import Progress

_REQUIRED = ("observations", "actions", "rewards", "terminals")
_ROWS_AT_ONCE = 1 << 16


def convert(
    source: Path, record: DatasetRecord, folder: Path, progress: Progress | None = None
) -> None:
    """Convert a D4RL gym-mujoco file into prepared columns in ``folder``, all or nothing.

    Raises DatumrlError for a file that is not the record's, is damaged, lacks keys, or holds
    lengths, widths, flags or values that cannot be right; the message names the offending row.
    """
    written_from = identity.describe(source, record)
    with _File(source, record, progress) as file, writing(folder) as writer:
        fields = _convert_columns(file, writer)
        metadata = _convert_extras(file, writer)
        writer.finish(
            rows=file.rows,
            provenance={"reader": record.reader, "source": written_from, "metadata": metadata},
            id=record.id,
            time_limit=record.time_limit,
            sha256=written_from["sha256"],
            notes=file.notes,
            **fields,
        )


class _File:
    """An open HDF5 file whose layout has been checked; `blocks` reads and checks its values."""

    def __init__(self, path: Path, record: DatasetRecord, progress: Progress | None) -> None:
        self.path = path
        self.record = record
        self.notes: list[str] = []
        self._progress = progress
        self._done = 0

    def __enter__(self) -> _File:
        with self.damage():
            if not h5py.is_hdf5(self.path):
                with self.path.open("rb") as handle:
                    begin = handle.read(16)
                raise self.error(f"is not an HDF5 file (it begins {begin!r})")
            # No cache of chunks: every one is read once, and each dataset would keep 8 MiB of them.
            self._handle = h5py.File(self.path, "r", rdcc_nbytes=0)
        try:
            with self.damage():
                self._find_datasets()
                self._check_layout()
        except BaseException:
            self._handle.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._handle.close()

    def __contains__(self, name: str) -> bool:
        return name in self.datasets

    def _find_datasets(self) -> None:
        self.datasets: dict[str, h5py.Dataset] = {}

        def remember(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset) and item.shape is not None:
                self.datasets[name] = item

        self._handle.visititems(remember)
        self._total = sum(dataset.nbytes for dataset in self.datasets.values() if dataset.shape)

    def _check_layout(self) -> None:
        missing = [name for name in _REQUIRED if name not in self]
        if missing:
            raise self.error(
                f"lacks {', '.join(missing)} (it has {', '.join(sorted(self.datasets)) or 'none'})"
            )
        self.rows = len(self.datasets["rewards"]) if self.datasets["rewards"].shape else 0
        if self.rows == 0:
            raise self.error("holds no transitions")
        flat: list[tuple[int, ...]] = [(self.rows,), (self.rows, 1)]
        observations: list[tuple[int, ...]] = [(self.rows, self.record.observation_dim)]
        expected: dict[str, list[tuple[int, ...]]] = {
            "observations": observations,
            "actions": [(self.rows, self.record.action_dim)],
            "rewards": flat,
            "terminals": flat,
            "timeouts": flat,
            "next_observations": observations,
        }
        for name, shapes in expected.items():
            if name not in self:
                continue
            dataset = self.datasets[name]
            if dataset.shape not in shapes:
                raise self.error(
                    f"{name} has shape {dataset.shape} where {self.record.id} with {self.rows} "
                    f"rewards needs {shapes[0]}"
                )
            if dataset.dtype.kind not in "biuf":
                raise self.error(f"{name} holds {dataset.dtype}, not numbers")
            if dataset.dtype == np.float64 and name not in ("terminals", "timeouts"):
                self.notes.append(f"{name} was float64 and is now float32")

    def error(self, problem: str) -> DatumrlError:
        return DatumrlError(f"{self.path}: {problem}; {identity.remedy(self.path, self.record)}")

    @contextlib.contextmanager
    def damage(self) -> Iterator[None]:
        """Turn what h5py raises for a damaged file, at any call, into an error that says so."""
        try:
            yield
        except DatumrlError:
            raise
        except (OSError, RuntimeError, KeyError, ValueError, TypeError) as problem:
            raise self.error(f"is truncated or damaged ({problem})") from problem

    def blocks(self, name: str) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (first row, values as they are stored) of a dataset, in whole HDF5 chunks."""
        dataset = self.datasets[name]
        chunk = dataset.chunks[0] if dataset.chunks else 1
        step = chunk * max(1, _ROWS_AT_ONCE // chunk)
        for begin in range(0, len(dataset), step):
            with self.damage():
                values = dataset[begin : begin + step]
            self._done += values.nbytes
            if self._progress is not None:
                self._progress(self._done, self._total)
            yield begin, values

    def numbers(self, name: str) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (first row, finite float32 values) of a dataset."""
        for begin, values in self.blocks(name):
            with np.errstate(over="ignore"):
                cast = values.astype(np.float32, copy=False)
            row = first_not_finite(cast)
            if row is not None:
                raise self.error(
                    f"{name} holds {values[row].tolist()} at row {begin + row}, which is not finite"
                )
            yield begin, cast

    def flags(self, name: str) -> np.ndarray:
        """Return a whole column of flags, (rows,) bool."""
        column = np.empty(self.rows, bool)
        for begin, values in self.blocks(name):
            flat = values.reshape(-1)
            odd = np.flatnonzero((flat != 0) & (flat != 1))
            if len(odd):
                raise self.error(
                    f"{name} holds {flat[odd[0]].item()} at row {begin + int(odd[0])} where only 0 "
                    "and 1 are flags"
                )
            column[begin : begin + len(flat)] = flat
        return column


def _convert_columns(file: _File, writer: Writer) -> dict[str, bool]:
    terminals = file.flags("terminals")
    recorded = "timeouts" in file
    if recorded:
        timeouts = file.flags("timeouts")
    else:
        timeouts = _infer_timeouts(terminals, file.record.time_limit)
        file.notes.append(
            f"the file has no timeouts; they were put at every {file.record.time_limit} steps of "
            "an episode"
        )
    starts = episode_starts(terminals, timeouts)
    widths = {"observations": file.record.observation_dim, "actions": file.record.action_dim}
    for name, width in widths.items():
        with writer.column(name, (file.rows, width), np.float32) as column:
            for _, values in file.numbers(name):
                column.append(values)
        if name == "observations":
            observations = column
    with writer.column("rewards", (file.rows,), np.float32) as column:
        for _, values in file.numbers("rewards"):
            column.append(values.reshape(-1))
    writer.array("terminals", terminals)
    writer.array("timeouts", timeouts)
    writer.array("starts", starts)
    rows, successors = _stored_successors(file, observations.rows, starts)
    writer.array("successor_rows", rows)
    writer.array("successors", successors)
    _note_ends(file, terminals, timeouts)
    return {"timeouts_recorded": recorded}


def _infer_timeouts(terminals: np.ndarray, limit: int) -> np.ndarray:
    """Return True at every ``limit``-th step since the last terminal, unless it is one itself."""
    begins = np.concatenate([[0], np.flatnonzero(terminals) + 1])
    step = np.arange(len(terminals)) - np.repeat(begins, np.diff(np.append(begins, len(terminals))))
    return (step % limit == limit - 1) & ~terminals


def _stored_successors(
    file: _File, observations: Callable[[int, int], np.ndarray], starts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows, and the stored successors, that the following row does not give.

    Those are the ends of episodes and the rows whose stored next observation disagrees.
    """
    rows, successors = [np.zeros(0, np.int64)], [np.zeros((0, file.record.observation_dim), "f4")]
    if "next_observations" not in file:
        return rows[0], successors[0]
    ends = starts[1:] - 1
    for begin, values in file.numbers("next_observations"):
        following = observations(begin + 1, begin + 1 + len(values))
        listed = np.ones(len(values), bool)  # the file's last row has no following one
        listed[: len(following)] = (values[: len(following)] != following).any(axis=1)
        within = ends[(ends >= begin) & (ends < begin + len(values))]
        listed[within - begin] = True
        rows.append(begin + np.flatnonzero(listed))
        successors.append(values[listed])
    all_rows = np.concatenate(rows)
    disagreeing = len(all_rows) - len(ends)
    if disagreeing:
        file.notes.append(
            f"{disagreeing} stored next observations disagree with the following row of their "
            "episode; they are kept"
        )
    return all_rows, np.concatenate(successors)


def _note_ends(file: _File, terminals: np.ndarray, timeouts: np.ndarray) -> None:
    both = int((terminals & timeouts).sum())
    if both:
        file.notes.append(f"{both} rows are terminal and timeout at once; they count as terminal")
    flagged = np.flatnonzero(terminals | timeouts)
    tail = file.rows - 1 - int(flagged[-1] if len(flagged) else -1)
    if tail:
        file.notes.append(f"the last {tail} rows are an episode without an end")


def _convert_extras(file: _File, writer: Writer) -> dict[str, Any]:
    """Write infos/* and the arrays of metadata/* as they are; return the scalars of metadata/*."""
    scalars: dict[str, Any] = {}
    for name, dataset in file.datasets.items():
        top, _, rest = name.partition("/")
        if top == "metadata" and dataset.shape == ():
            with file.damage():
                scalars[rest] = _json_scalar(dataset[()])
        elif top == "infos" and dataset.shape[:1] != (file.rows,):
            file.notes.append(f"{name} has shape {dataset.shape} and was left out")
        elif top in ("infos", "metadata") and dataset.dtype.kind in "biuf":
            with writer.column(name, dataset.shape, dataset.dtype, extra=True) as column:
                for _, values in file.blocks(name):
                    column.append(values)
    return scalars


def _json_scalar(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    finite = isinstance(value, np.bool_ | np.integer | np.floating) and np.isfinite(value)
    return value.item() if finite else str(value)
