"""An open HDF5 file of D4RL's layout, checked before and while it is read.

Required: observations (N, ...), actions (N, act), rewards and terminals (N,) or (N, 1).  Optional:
timeouts, next_observations, infos/* and metadata/*.  Numbers may be float64 and flags float; see
d4rl/offline_env.py of Farama-Foundation/D4RL and tensorflow_datasets/d4rl of tensorflow/datasets.
Everything is read in blocks of whole HDF5 chunks, so that memory stays small and no chunk is
decompressed twice.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from datumrl.datasets import hdf5_chunks, identity
from datumrl.datasets.episodes import as_flags, first_not_finite
from datumrl.datasets.errors import DatumrlError, brief
from datumrl.datasets.reading import Progress
from datumrl.datasets.record import DatasetRecord

_REQUIRED = ("observations", "actions", "rewards", "terminals")
_KNOWN = (*_REQUIRED, "timeouts", "next_observations", "infos", "metadata")
_ROWS_AT_ONCE = 1 << 16


class D4RLFile:
    """An open HDF5 file whose layout has been checked; `blocks` reads and checks its values."""

    def __init__(self, path: Path, record: DatasetRecord, progress: Progress | None) -> None:
        self.path = path
        self.record = record
        self.notes: list[str] = []
        self._progress = progress
        self._done = 0

    def __enter__(self) -> D4RLFile:
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
                if name.partition("/")[0] not in _KNOWN:
                    self.notes.append(f"{name} is no part of D4RL's layout and was left out")

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
        observations = [self._observation_shape()]
        expected: dict[str, list[tuple[int, ...]]] = {
            "observations": observations,
            "actions": flat
            if self.record.discrete_actions
            else [(self.rows, self.record.action_dim)],
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
            if not hdf5_chunks.is_stored(dataset):
                raise self.error(f"is truncated or damaged (parts of {name} are not in the file)")
            if dataset.dtype == np.float64 and name not in ("terminals", "timeouts"):
                self.notes.append(f"{name} was float64 and is now float32")
        self.observation_type = np.dtype(np.float32)
        if self.datasets["observations"].dtype.kind in "bu":  # an image, not a cast vector
            self.observation_type = self.datasets["observations"].dtype

    def _observation_shape(self) -> tuple[int, ...]:
        """Return the shape that observations must have; where none is known, the one they have."""
        layout = self.record.observation_layout
        if self.record.observation_dim:
            return (self.rows, self.record.observation_dim)
        if layout.startswith("image "):
            return (self.rows, *map(int, layout.removeprefix("image ").split("x")))
        found: tuple[int, ...] = self.datasets["observations"].shape
        self.notes.append(f"observations are found to be {found[1:]}; their layout is unverified")
        return (self.rows, *found[1:])

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
            raise self.error(f"is truncated or damaged ({brief(problem)})") from problem

    def blocks(self, name: str) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (first row, values as they are stored) of a dataset, in whole HDF5 chunks."""
        dataset = self.datasets[name]
        chunk = dataset.chunks[0] if dataset.chunks else 1
        step = chunk * max(1, _ROWS_AT_ONCE // chunk)
        for begin in range(0, len(dataset), step):
            with self.damage():
                values = hdf5_chunks.read_rows(dataset, begin, begin + step)
            self._done += values.nbytes
            if self._progress is not None:
                self._progress(self._done, self._total)
            yield begin, values

    def numbers(
        self, name: str, dtype: np.dtype | type = np.float32
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (first row, finite values of that type) of a dataset."""
        for begin, values in self.blocks(name):
            with np.errstate(over="ignore"):
                cast = values.astype(dtype, copy=False)
            row = first_not_finite(cast)
            if row is not None:
                finite = np.isfinite(np.atleast_1d(cast[row]))
                first = np.atleast_1d(values[row])[~finite][0]
                raise self.error(f"{name} holds {first} at row {begin + row}, which is not finite")
            yield begin, cast

    def flags(self, name: str) -> np.ndarray:
        """Return a whole column of flags, (rows,) bool."""
        column = np.empty(self.rows, bool)
        for begin, values in self.blocks(name):
            column[begin : begin + len(values)] = as_flags(name, values, begin, self.error)
        return column

    def choices(self, name: str) -> np.ndarray:
        """Return a whole column of discrete actions, (rows,) int64, whatever type they came in."""
        column = np.empty(self.rows, np.int64)
        for begin, values in self.blocks(name):
            flat = values.reshape(-1)
            with np.errstate(invalid="ignore"):
                column[begin : begin + len(flat)] = whole = flat.astype(np.int64)
            odd = np.flatnonzero((whole != flat) | (whole < 0) | (whole >= self.record.action_dim))
            if len(odd):
                raise self.error(
                    f"{name} holds {flat[odd[0]].item()} at row {begin + int(odd[0])} where only "
                    f"0 to {self.record.action_dim - 1} are actions"
                )
        return column
