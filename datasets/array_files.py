"""Arrays spread over files of one format and read as one, in blocks of rows, nothing unpickled.

A published set may be one file, a folder of shards, or a folder with a file per episode; a reader
asks for the arrays it needs by name and gets their rows one file after the other.
"""

from __future__ import annotations

import abc
import contextlib
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from datumrl.datasets import identity
from datumrl.datasets.episodes import as_flags, first_not_finite
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.npz_file import NpzFile
from datumrl.datasets.reading import Progress
from datumrl.datasets.record import DatasetRecord

_BYTES_AT_ONCE = 1 << 24
_MOST_COMPRESSED = 2000  # gzip makes data at most about 1,030 times smaller


class ArrayFiles(abc.ABC):
    """Arrays by name, of files that all have them, with the rows of all files one after another.

    Every array has as many rows as all others of its file; widths and kinds do not change between
    files.  ``notes`` says what a user should know.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        record: DatasetRecord,
        required: Sequence[str],
        optional: Sequence[str] = (),
        progress: Progress | None = None,
    ) -> None:
        self.paths, self.record = list(paths), record
        self.notes: list[str] = []
        self._progress, self._done = progress, 0
        lengths = []
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._types: dict[str, np.dtype] = {}
        for path in self.paths:
            lengths.append(self._add(path, self._describe(path), required, optional))
        self.starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)  # of each file
        self.rows = int(self.starts[-1])
        self._total = sum(self.rows * self.row_bytes(name) for name in self._shapes)

    @abc.abstractmethod
    def _describe(self, path: Path) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """Return the shape and type of every array of numbers in a file."""

    @abc.abstractmethod
    def _blocks_of(self, path: Path, name: str, step: int) -> Iterator[np.ndarray]:
        """Yield the rows of one array of one file, about ``step`` at a time."""

    def __contains__(self, name: str) -> bool:
        return name in self._shapes

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of one row."""
        return self._shapes[name]

    def dtype(self, name: str) -> np.dtype:
        """Return the type of the values, as the first file has it."""
        return self._types[name]

    def row_bytes(self, name: str) -> int:
        """Return the size of one row."""
        return math.prod(self._shapes[name]) * self._types[name].itemsize

    def error(self, problem: str, path: Path | None = None) -> DatumrlError:
        """Return an error about a file, or about the one there is."""
        source = path or (self.paths[0] if len(self.paths) == 1 else self.paths[0].parent)
        return DatumrlError(f"{source}: {problem}; {identity.remedy(source, self.record)}")

    def expect(self, name: str, shapes: Sequence[tuple[int, ...]], kinds: str) -> None:
        """Raise DatumrlError unless a row has one of these shapes and is of one of these kinds."""
        shape, dtype = self._shapes[name], self._types[name]
        if shape not in shapes:
            raise self.error(
                f"a row of {name} has shape {shape} where {self.record.id} needs {shapes[0]}"
            )
        if dtype.kind not in kinds:
            wanted = {"f": "floating", "u": "unsigned", "i": "integer", "b": "flag"}
            needs = " or ".join(wanted[kind] for kind in kinds if kind in wanted)
            raise self.error(f"{name} holds {dtype} where {self.record.id} needs {needs} values")

    def blocks(self, name: str, at_once: int | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (first row, values) of an array, ``at_once`` rows (default: about 16 MiB)."""
        step = at_once or max(1, _BYTES_AT_ONCE // max(1, self.row_bytes(name)))
        for path, begin, end in zip(self.paths, self.starts[:-1], self.starts[1:], strict=True):
            row = int(begin)
            for values in self._blocks_of(path, name, step):
                self._done += values.nbytes
                if self._progress is not None:
                    self._progress(min(self._done, self._total), self._total)
                yield row, values
                row += len(values)
            if row != end:
                raise self.error(f"{name} holds {row - begin} rows of {end - begin}", path)

    def numbers(
        self, name: str, dtype: np.dtype | type = np.float32, at_once: int | None = None
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (first row, finite values of that type) of an array."""
        if self._types[name] == np.float64 and np.dtype(dtype) == np.float32:
            self.notes.append(f"{name} was float64 and is now float32")
        for begin, values in self.blocks(name, at_once):
            with np.errstate(over="ignore"):
                cast = values.astype(dtype, copy=False)
            row = first_not_finite(cast)
            if row is not None:
                raise self.error(
                    f"{name} holds {values[row].tolist()} at row {begin + row}, which is not finite"
                )
            yield begin, cast

    def flags(self, name: str) -> np.ndarray:
        """Return a whole array of flags, (rows,) bool."""
        self.expect(name, [(), (1,)], "biuf")
        column = np.empty(self.rows, bool)
        for begin, values in self.blocks(name):
            column[begin : begin + len(values)] = as_flags(name, values, begin, self.error)
        return column

    def choices(self, name: str, count: int) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (first row, int64 values 0 to count - 1) of an array of discrete actions."""
        self.expect(name, [(), (1,)], "iuf")
        for begin, values in self.blocks(name):
            flat = values.reshape(-1)
            with np.errstate(invalid="ignore"):
                whole = flat.astype(np.int64)
            odd = np.flatnonzero((whole != flat) | (whole < 0) | (whole >= count))
            if len(odd):
                raise self.error(
                    f"{name} holds {flat[odd[0]].item()} at row {begin + int(odd[0])} where only "
                    f"0 to {count - 1} are actions"
                )
            yield begin, whole

    def _add(
        self,
        path: Path,
        found: dict[str, tuple[tuple[int, ...], np.dtype]],
        required: Sequence[str],
        optional: Sequence[str],
    ) -> int:
        """Take note of one file's arrays; return its number of rows."""
        if missing := [name for name in required if name not in found]:
            names = ", ".join(sorted(found)) or "none"
            raise self.error(f"lacks {', '.join(missing)} (it has {names})", path)
        wanted = {name: found[name] for name in (*required, *optional) if name in found}
        if self._shapes and (unlike := set(self._shapes) ^ set(wanted)):
            raise self.error(f"has or lacks {', '.join(sorted(unlike))}, unlike other files", path)
        first = required[0]
        rows = wanted[first][0][0] if wanted[first][0] else 0
        for name, (shape, dtype) in wanted.items():
            if not shape or shape[0] != rows:
                raise self.error(f"{name} has shape {shape} where {first} has {rows} rows", path)
            known = self._shapes.setdefault(name, shape[1:])
            kind = self._types.setdefault(name, dtype).kind
            if known != shape[1:] or kind != dtype.kind:
                raise self.error(
                    f"{name} has rows of {dtype} {shape[1:]}, unlike other files' "
                    f"{self._types[name]} {known}",
                    path,
                )
        return rows


class NpzFiles(ArrayFiles):
    """``.npz`` files; members of objects or text are not looked at, let alone unpickled."""

    def _describe(self, path: Path) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        with self._open(path) as file:
            return {
                name: (member.shape, member.dtype)
                for name, member in file.members.items()
                if member.dtype.kind in "biuf"
            }

    def _blocks_of(self, path: Path, name: str, step: int) -> Iterator[np.ndarray]:
        with self._open(path) as file:
            for _, values in file.blocks(name, step):
                yield values

    def _open(self, path: Path) -> NpzFile:
        return NpzFile(path, lambda problem: self.error(problem, path), skip_objects=True)


class Hdf5Files(ArrayFiles):
    """HDF5 files; a dataset in groups is named by its path."""

    @classmethod
    def names(cls, path: Path, record: DatasetRecord) -> list[str]:
        """Return the names of all arrays of numbers in a file."""
        return sorted(cls([], record, ())._describe(path))

    def _describe(self, path: Path) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        import h5py

        found: dict[str, tuple[tuple[int, ...], np.dtype]] = {}

        def remember(name: str, item: Any) -> None:
            is_array = isinstance(item, h5py.Dataset) and item.shape is not None
            if is_array and item.dtype.kind in "biuf":
                found[name] = (item.shape, item.dtype)
                self._check_size(path, name, item)

        with self._open(path) as handle:
            handle.visititems(remember)
        return found

    def _check_size(self, path: Path, name: str, dataset: Any) -> None:
        stored = dataset.id.get_storage_size()
        most = stored * _MOST_COMPRESSED + 4096 if dataset.chunks else stored
        if dataset.nbytes > most:
            raise self.error(
                f"{name} says it is {dataset.dtype} {dataset.shape}, {dataset.nbytes:,} bytes, and "
                f"holds {stored:,}",
                path,
            )

    def _blocks_of(self, path: Path, name: str, step: int) -> Iterator[np.ndarray]:
        from datumrl.datasets import hdf5_chunks

        with self._open(path) as handle:
            dataset = handle[name]
            if dataset.chunks and dataset.chunks[0] * self.row_bytes(name) <= 16 * _BYTES_AT_ONCE:
                chunk = dataset.chunks[0]  # whole chunks, so that none is decompressed twice
                step = chunk * max(1, step // chunk)
            for begin in range(0, len(dataset), step):
                yield hdf5_chunks.read_rows(dataset, begin, begin + step)

    @contextlib.contextmanager
    def _open(self, path: Path) -> Iterator[Any]:
        """Open a file; what h5py raises for a damaged one becomes an error that says so."""
        import h5py

        try:
            # No cache of chunks: every one is read once.
            with h5py.File(path, "r", rdcc_nbytes=0) as handle:
                yield handle
        except DatumrlError:
            raise
        except (OSError, RuntimeError, KeyError, ValueError, TypeError) as problem:
            raise self.error(f"is no HDF5 file, truncated or damaged ({problem})", path) from None


def in_order(folder: Path, pattern: str) -> list[Path]:
    """Return the files below a folder that match, by name, with numbers in names as numbers."""

    def key(path: Path) -> list[tuple[int, str]]:
        pieces = re.split(r"(\d+)", path.relative_to(folder).as_posix())
        return [(int(piece), "") if piece.isdecimal() else (-1, piece) for piece in pieces]

    return sorted((path for path in folder.rglob(pattern) if path.is_file()), key=key)
