"""A user's files as columns read in step, some rows at a time: HDF5, npz, CSV and Parquet."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.npz_file import NpzFile

ROWS_AT_ONCE = 1 << 14
_BYTES_AT_ONCE = 1 << 24

Error = Callable[[str], DatumrlError]
Use = Literal["numbers", "integers", "flags", "episode"]  # what a column is read for


class Table(Protocol):
    """One open file."""

    def names(self) -> list[str]:
        """Return the names of the columns."""

    def blocks(self, uses: dict[str, Use]) -> Iterator[dict[str, np.ndarray]]:
        """Yield some rows of all named columns at a time, equally many of each."""

    def whole(self, name: str) -> np.ndarray:
        """Return an array of any length, such as an index of episodes."""


@contextlib.contextmanager
def opened(path: Path, format_name: str, error: Error) -> Iterator[Table]:
    """Open a file of a format.  Raises what ``error`` makes for one that is damaged."""
    if format_name == "npz":
        with NpzFile(path, error) as file:
            yield _Npz(file, error)
    elif format_name == "hdf5":
        import h5py

        with _hdf5_damage(error):
            file = h5py.File(path, "r")
        with file:
            yield _Hdf5(file, error)
    else:
        yield _Csv(path, error) if format_name == "csv" else _Parquet(path, error)


def missing(table: Table, wanted: Sequence[str]) -> list[str]:
    """Return which of the wanted columns a file lacks."""
    known = set(table.names())
    return [name for name in wanted if name not in known]


class _Hdf5:
    def __init__(self, file: Any, error: Error) -> None:
        self._file, self._error = file, error
        self._names: list[str] | None = None

    def names(self) -> list[str]:
        if self._names is None:
            found: list[str] = []

            def visit(name: str, item: Any) -> None:
                if hasattr(item, "dtype"):
                    found.append(name)

            with _hdf5_damage(self._error):
                self._file.visititems(visit)
            self._names = found
        return self._names

    def blocks(self, uses: dict[str, Use]) -> Iterator[dict[str, np.ndarray]]:
        columns = {name: self._file[name] for name in uses}
        shapes = {name: column.shape for name, column in columns.items()}
        rows = _common_rows(shapes, self._error)
        widest = max(column.dtype.itemsize * _width(column.shape) for column in columns.values())
        step = max(1, min(ROWS_AT_ONCE, _BYTES_AT_ONCE // max(1, widest)))
        for name, column in columns.items():
            self._check_stored(name, column)
        for begin in range(0, rows, step):
            with _hdf5_damage(self._error):
                block = {
                    name: _hdf5_rows(column, begin, begin + step)
                    for name, column in columns.items()
                }
            yield block

    def whole(self, name: str) -> np.ndarray:
        column = self._file[name]
        self._check_stored(name, column)
        with _hdf5_damage(self._error):
            return _hdf5_rows(column, 0, len(column)) if column.shape else np.asarray(column[()])

    def _check_stored(self, name: str, column: Any) -> None:
        """Refuse a column of which HDF5 would read zeros, or what lies in other files."""
        from datumrl.datasets import hdf5_chunks

        with _hdf5_damage(self._error):
            elsewhere = column.is_virtual or column.external
            lacking = hdf5_chunks.never_written(column.id)
            empty = column.chunks is None and not hdf5_chunks.is_stored(column)
        if elsewhere:
            raise self._error(
                f"column {name!r} only points at other files, whose changes would go unseen; name "
                "those in path"
            )
        if lacking or empty:
            which = f"{lacking} of its chunks" if lacking else "its rows"
            raise self._error(
                f"column {name!r}: {which} were never written, and HDF5 would read them as zeros "
                "(was the writer interrupted?)"
            )


class _Npz:
    def __init__(self, file: NpzFile, error: Error) -> None:
        self._file, self._error = file, error

    def names(self) -> list[str]:
        return list(self._file.members)

    def blocks(self, uses: dict[str, Use]) -> Iterator[dict[str, np.ndarray]]:
        shapes = {name: self._file.shape(name) for name in uses}
        rows = _common_rows(shapes, self._error)
        streams = {name: _Stream(self._file.blocks(name)) for name in uses}
        widest = max(
            _width(shape) * self._file.members[name].dtype.itemsize
            for name, shape in shapes.items()
        )
        step = max(1, min(ROWS_AT_ONCE, _BYTES_AT_ONCE // max(1, widest)))
        for begin in range(0, rows, step):
            count = min(step, rows - begin)
            yield {name: stream.take(count) for name, stream in streams.items()}
        for stream in streams.values():
            stream.finish()

    def whole(self, name: str) -> np.ndarray:
        return self._file.array(name)


class _Stream:
    """Blocks of rows, cut anew to the number of rows that is asked for."""

    def __init__(self, blocks: Iterator[tuple[int, np.ndarray]]) -> None:
        self._blocks = blocks
        self._left: np.ndarray | None = None

    def take(self, count: int) -> np.ndarray:
        parts: list[np.ndarray] = []
        while count:
            if self._left is None or not len(self._left):
                self._left = next(self._blocks)[1]
            parts.append(self._left[:count])
            self._left = self._left[count:]
            count -= len(parts[-1])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def finish(self) -> None:
        """Read to the end, where the file's checksum is held against it."""
        for _ in self._blocks:
            pass


class _Arrow:
    """What CSV and Parquet share: record batches."""

    def __init__(self, path: Path, error: Error) -> None:
        self._path, self._error = path, error
        self._row = 0

    def whole(self, name: str) -> np.ndarray:
        parts = [block[name] for block in self.blocks({name: "numbers"})]  # type: ignore[attr-defined]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _arrays(self, batch: Any, uses: dict[str, Use]) -> dict[str, np.ndarray]:
        arrays = {name: self._array(batch.column(name), name, use) for name, use in uses.items()}
        self._row += batch.num_rows
        return arrays

    def _array(self, column: Any, name: str, use: Use) -> np.ndarray:
        import pyarrow as pa

        if column.null_count:
            row = self._row + int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))
            raise self._error(f"column {name!r} has no value, or NaN, at row {row}")
        if use == "episode":
            return np.asarray(column.to_pylist(), object)
        kind = column.type
        if (
            pa.types.is_fixed_size_list(kind)
            or pa.types.is_list(kind)
            or pa.types.is_large_list(kind)
        ):
            return self._lists(column, name, use)
        if pa.types.is_dictionary(kind):
            return self._array(column.dictionary_decode(), name, use)
        if not (
            pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
        ):
            raise self._error(f"column {name!r} holds {kind}, not numbers")
        return column.to_numpy(zero_copy_only=False)

    def _lists(self, column: Any, name: str, use: Use) -> np.ndarray:
        import pyarrow as pa

        if not len(column):
            return np.zeros((0, 1))
        if pa.types.is_fixed_size_list(column.type):
            width = column.type.list_size
        else:
            lengths = np.diff(column.offsets.to_numpy())
            width = int(lengths[0])
            if (lengths != width).any():
                row = self._row + int(np.argmax(lengths != width))
                raise self._error(
                    f"column {name!r} holds a list of another length than before at row {row}"
                )
        inner = self._array(column.flatten(), name, use)
        return inner.reshape(len(column), width, *inner.shape[1:])


class _Csv(_Arrow):
    def names(self) -> list[str]:
        with self._damage(), self._reader({}) as reader:
            return list(reader.schema.names)

    def blocks(self, uses: dict[str, Use]) -> Iterator[dict[str, np.ndarray]]:
        with self._damage(), self._reader(uses) as reader:
            for batch in reader:
                yield self._arrays(batch, uses)

    def integers(self, names: Sequence[str]) -> bool:
        """Return whether all these columns begin with whole numbers, without a decimal point."""
        import pyarrow as pa

        with self._damage(), self._reader({}) as reader:
            return all(pa.types.is_integer(reader.schema.field(name).type) for name in names)

    def _reader(self, uses: dict[str, Use]) -> Any:
        import pyarrow as pa
        import pyarrow.csv

        types = {"numbers": pa.float64(), "integers": pa.int64(), "episode": pa.string()}
        given = {name: types[use] for name, use in uses.items() if use in types}
        options = pa.csv.ConvertOptions(column_types=given, include_columns=list(uses))
        return pa.csv.open_csv(
            self._path,
            read_options=pa.csv.ReadOptions(block_size=1 << 22),
            convert_options=options,
        )

    @contextlib.contextmanager
    def _damage(self) -> Iterator[None]:
        import pyarrow as pa

        try:
            yield
        except DatumrlError:
            raise
        except (pa.ArrowException, OSError, ValueError) as problem:
            raise self._error(f"cannot be read as CSV ({problem})") from None


class _Parquet(_Arrow):
    def names(self) -> list[str]:
        with self._file() as file:
            return list(file.schema_arrow.names)

    def blocks(self, uses: dict[str, Use]) -> Iterator[dict[str, np.ndarray]]:
        with self._file() as file:
            for batch in file.iter_batches(batch_size=ROWS_AT_ONCE, columns=list(uses)):
                yield self._arrays(batch, uses)

    @contextlib.contextmanager
    def _file(self) -> Iterator[Any]:
        import pyarrow as pa
        import pyarrow.parquet

        try:
            with pa.parquet.ParquetFile(self._path) as file:
                yield file
        except DatumrlError:
            raise
        except (pa.ArrowException, OSError, ValueError) as problem:
            raise self._error(f"cannot be read as Parquet ({problem})") from None


def _common_rows(shapes: dict[str, tuple[int, ...]], error: Error) -> int:
    lengths = {name: shape[0] if shape else None for name, shape in shapes.items()}
    if len(set(lengths.values())) != 1 or None in lengths.values():
        told = ", ".join(
            f"{name} {'one value' if rows is None else f'{rows} rows'}"
            for name, rows in lengths.items()
        )
        raise error(f"has columns of unequal lengths: {told}")
    return next(rows for rows in lengths.values() if rows is not None)


def _hdf5_rows(column: Any, begin: int, end: int) -> np.ndarray:
    from datumrl.datasets import hdf5_chunks

    if column.dtype.kind not in "biuf":  # names of episodes
        return np.asarray(column[begin:end])
    return hdf5_chunks.read_rows(column, begin, end)


def _width(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape[1:], dtype=np.int64))


@contextlib.contextmanager
def _hdf5_damage(error: Error) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError, KeyError, ValueError) as problem:
        raise error(f"is no HDF5 file, or truncated or damaged ({problem})") from problem
