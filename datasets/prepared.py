"""Prepared columns: one ``.npy`` file per column and a ``meta.json``, opened memory-mapped.

This is the file format of every dataset once it is here: converted downloads and local datasets
alike.  ``extras`` are arrays that no view of the data needs, such as ``infos/qpos``.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import math
import os
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from datumrl.datasets.columns import Column, parts
from datumrl.datasets.episodes import Episodes
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.files import read_json, replacing_folder, write_json
from datumrl.datasets.infos import PREFIX, Infos
from datumrl.datasets.reopening import Origin

FORMAT = "datumrl-columns"
VERSION = 1
COLUMNS = (
    "observations",
    "actions",
    "rewards",
    "terminals",
    "timeouts",
    "starts",
    "successor_rows",
    "successors",
)
_FIELDS = ("id", "time_limit", "timeouts_recorded", "sha256", "notes", "ends")
_KEYS = {"format", "version", "rows", "columns", "extras", "provenance", *_FIELDS} - {"ends"}
_PIECE = 1 << 22  # bytes written at once


class ColumnFile:
    """One ``.npy`` file of a shape known beforehand, written block by block.

    Plain writes, not a memory map: on a full disk a write to a map kills the process (SIGBUS) where
    a plain one raises an error.  The byte order becomes the machine's: compiled code needs it.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: Any) -> None:
        self._path = path
        self.shape = shape
        self.dtype = np.dtype(dtype).newbyteorder("=")
        self._handle = path.open("wb")
        self._write_header()
        self._offset = self._handle.tell()

    def append(self, block: np.ndarray) -> None:
        """Write the next rows, in pieces so that a memory-mapped block is never copied whole."""
        step = max(1, _PIECE // max(1, block[:1].nbytes))
        for begin in range(0, len(block), step):
            piece = np.ascontiguousarray(block[begin : begin + step], self.dtype)
            self._handle.write(piece.data)

    def close(self) -> None:
        """Check that all rows came, and close the file."""
        missing = self._offset + math.prod(self.shape) * self.dtype.itemsize - self._handle.tell()
        self._handle.close()
        assert missing == 0, f"{self._path.name}: {missing} bytes short of {self.shape}"

    def _write_header(self) -> None:
        header = {
            "descr": np.lib.format.dtype_to_descr(self.dtype),
            "fortran_order": False,
            "shape": self.shape,
        }
        np.lib.format.write_array_header_1_0(self._handle, header)

    def rows(self, begin: int, end: int) -> np.ndarray:
        """Return rows ``begin`` to ``end`` (or the last) of the closed file, read anew."""
        width = math.prod(self.shape[1:])
        end = min(end, self.shape[0])
        offset = self._offset + begin * width * self.dtype.itemsize
        values = np.fromfile(self._path, self.dtype, max(0, end - begin) * width, offset=offset)
        return values.reshape(-1, *self.shape[1:])


class GrowingFile(ColumnFile):
    """One ``.npy`` file of which the number of rows is known only when all have come."""

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: Any) -> None:
        super().__init__(path, (0, *shape), dtype)

    def append(self, block: np.ndarray) -> None:
        """Write the next rows."""
        super().append(block)
        self.shape = (self.shape[0] + len(block), *self.shape[1:])

    def close(self) -> None:
        """Write the number of rows into the header, where NumPy leaves room for it, and close."""
        self._handle.seek(0)
        self._write_header()
        assert self._handle.tell() == self._offset, f"{self._path.name}: its header grew"
        self._handle.seek(0, os.SEEK_END)
        super().close()


class Writer:
    """Columns and extras on their way into a folder; see `writing`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._described: dict[str, dict[str, dict[str, Any]]] = {"columns": {}, "extras": {}}

    @contextlib.contextmanager
    def column(
        self, name: str, shape: tuple[int, ...], dtype: Any, *, extra: bool = False
    ) -> Iterator[ColumnFile]:
        """Open a column (or an extra) for writing; all its rows must have come by the end."""
        path = self._folder / _file_name(name, extra)
        assert not path.exists(), f"{path.name} is written twice"
        column = ColumnFile(path, shape, dtype)
        described = {"shape": list(shape), "dtype": column.dtype.str}
        self._described["extras" if extra else "columns"][name] = described
        try:
            yield column
        except BaseException:
            column._handle.close()
            raise
        column.close()

    @contextlib.contextmanager
    def growing(
        self, name: str, shape: tuple[int, ...], dtype: Any, *, extra: bool = False
    ) -> Iterator[GrowingFile]:
        """Open a column (or an extra) of rows of a shape, as many as will have come by the end."""
        path = self._folder / _file_name(name, extra)
        assert not path.exists(), f"{path.name} is written twice"
        # Here, since columns that are closed together close in the reverse of their order.
        described = self._described["extras" if extra else "columns"].setdefault(name, {})
        column = GrowingFile(path, shape, dtype)
        try:
            yield column
        except BaseException:
            column._handle.close()
            raise
        column.close()
        described.update({"shape": list(column.shape), "dtype": column.dtype.str})

    def discard_extra(self, name: str) -> None:
        """Remove an extra that turned out to be of no use; its file must be closed."""
        del self._described["extras"][name]
        (self._folder / _file_name(name, True)).unlink()

    def array(self, name: str, values: np.ndarray, *, extra: bool = False) -> None:
        """Write a whole column (or extra)."""
        with self.column(name, values.shape, values.dtype, extra=extra) as column:
            column.append(values if values.ndim else values.reshape(1))

    def finish(self, *, rows: int, provenance: Mapping[str, Any], **fields: Any) -> None:
        """Write ``meta.json``; ``fields`` are the fields of Episodes that are no columns."""
        fields = {"ends": "flags", **fields}
        assert set(fields) == set(_FIELDS)
        assert {name.partition("/")[0] for name in self._described["columns"]} == set(COLUMNS)
        meta = {"format": FORMAT, "version": VERSION, **fields, "rows": rows, **self._described}
        write_json(self._folder / "meta.json", {**meta, "provenance": dict(provenance)})


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[Writer]:
    """Yield a Writer; the folder appears, or replaces the one there, only if the block succeeds."""
    with replacing_folder(folder) as temporary:
        yield Writer(temporary)


def write(
    folder: Path,
    episodes: Episodes,
    provenance: Mapping[str, Any],
    extras: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Write a dataset as prepared columns, all or nothing.

    ``provenance`` is JSON content that says how the data came about; ``extras`` are numeric arrays
    by name.  Raises DatumrlError for columns that break the contract of Episodes and for a disk
    that is full or read-only.
    """
    episodes.validate()
    for name, values in (extras or {}).items():
        if values.dtype.kind not in "biuf":
            raise DatumrlError(f"extra {name!r} holds {values.dtype}; extras are numbers or flags")
    with writing(folder) as writer:
        for name in COLUMNS:
            for part, values in parts(getattr(episodes, name)).items():
                writer.array(f"{name}/{part}" if part else name, values)
        for name, values in (extras or {}).items():
            writer.array(name, values, extra=True)
        fields = {name: getattr(episodes, name) for name in _FIELDS}
        writer.finish(rows=len(episodes), provenance=provenance, **fields)


def read(folder: Path, dataset_id: str) -> Episodes:
    """Open prepared columns memory-mapped and read-only; nothing is copied.

    Raises DatumrlError for a folder that is missing, holds another dataset, or has a column that is
    missing, cut short or of another shape or type than its ``meta.json`` says.
    """
    meta = _meta(folder)
    if meta["id"] != dataset_id:
        raise DatumrlError(f"{folder} holds {meta['id']}, not {dataset_id}; {_remedy(folder)}")
    columns = {name: _column(folder, name, meta["columns"]) for name in COLUMNS}
    rows, starts = meta["rows"], columns["starts"]
    aligned = all(
        len(each) == rows for name in COLUMNS[:5] for each in parts(columns[name]).values()
    )
    if not aligned or len(starts) == 0 or starts[0] != 0 or starts[-1] != rows:
        raise DatumrlError(f"{folder}: columns of different lengths; {_remedy(folder)}")
    fields = {name: meta[name] for name in _FIELDS if name in meta}
    fields |= {"notes": tuple(meta["notes"]), "infos": _infos(folder, meta)}
    fields["content_sha256"] = meta["provenance"].get("content_sha256")
    return Episodes(**columns, **fields, origin=Origin(folder.resolve(), _identity(meta)))


def _infos(folder: Path, meta: Mapping[str, Any]) -> Infos:
    extras, rows = meta["extras"], meta["rows"]
    names = tuple(
        name.removeprefix(PREFIX)
        for name, described in extras.items()
        if name.startswith(PREFIX) and described["shape"][:1] == [rows]
    )
    return Infos(names, functools.partial(_open_info, folder, extras), rows)


def _open_info(folder: Path, extras: Mapping[str, Any], name: str) -> np.ndarray:
    return _open(folder, PREFIX + name, extras[PREFIX + name], True)


def _column(folder: Path, name: str, described: Mapping[str, Any]) -> Column:
    """Open a column, or all that are described under its name."""
    named = [key for key in described if key.startswith(f"{name}/")]
    if not named:
        return _open(folder, name, described.get(name), False)
    return {key.partition("/")[2]: _open(folder, key, described[key], False) for key in named}


def read_extras(folder: Path) -> dict[str, np.ndarray]:
    """Open the extras of a prepared dataset by name, memory-mapped and read-only."""
    extras = _meta(folder)["extras"]
    return {name: _open(folder, name, described, True) for name, described in extras.items()}


def dataset_id(folder: Path) -> str:
    """Return the id of the dataset that a folder of prepared columns holds."""
    return str(_meta(folder)["id"])


def column_path(folder: Path, name: str) -> Path:
    """Return the file of a column, or of a named part of it such as ``observations/image``."""
    return folder / _file_name(name, False)


def identity(folder: Path) -> str:
    """Return a hash of all that is recorded of what a folder holds and how it came about."""
    return _identity(_meta(folder))


def _identity(meta: Mapping[str, Any]) -> str:
    origin = dict(meta["provenance"])
    if isinstance(source := origin.get("source"), dict):  # `amend_provenance` renews its stamp
        origin["source"] = {key: value for key, value in source.items() if key != "stamp"}
    text = json.dumps({**meta, "provenance": origin}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def provenance(folder: Path) -> dict[str, Any]:
    """Return what was recorded of how a prepared dataset came about."""
    return dict(_meta(folder)["provenance"])


def amend_provenance(folder: Path, provenance: Mapping[str, Any]) -> None:
    """Replace what is recorded of how a prepared dataset came about."""
    write_json(folder / "meta.json", {**_meta(folder), "provenance": dict(provenance)})


def _meta(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise DatumrlError(f"{folder} does not exist; load or collect the dataset first")
    if not (folder / "meta.json").is_file():
        raise DatumrlError(f"{folder} lacks meta.json; {_remedy(folder)}")
    meta = read_json(folder / "meta.json")
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        raise DatumrlError(f"{folder / 'meta.json'} describes no {FORMAT}; {_remedy(folder)}")
    if meta.get("version") != VERSION:
        raise DatumrlError(
            f"{folder}: columns of version {meta.get('version')!r} where this datumrl reads "
            f"{VERSION}; {_remedy(folder)}"
        )
    if missing := _KEYS - set(meta):
        raise DatumrlError(
            f"{folder / 'meta.json'} lacks {', '.join(sorted(missing))}; {_remedy(folder)}"
        )
    return meta


def _open(folder: Path, name: str, described: Any, extra: bool) -> np.ndarray:
    path = folder / _file_name(name, extra)
    try:
        column = np.load(path, mmap_mode="r", allow_pickle=False)
        excess = path.stat().st_size - column.offset - column.nbytes
    except FileNotFoundError:
        raise DatumrlError(f"{path} is missing; {_remedy(folder)}") from None
    except (OSError, ValueError, EOFError, AttributeError) as problem:
        raise DatumrlError(f"{path} is damaged ({problem}); {_remedy(folder)}") from None
    found = {"shape": list(column.shape), "dtype": column.dtype.str}
    if excess or found != described:
        raise DatumrlError(
            f"{path} is not the column that meta.json describes ({found}, {excess} bytes more; "
            f"expected {described}); {_remedy(folder)}"
        )
    return column


def _remedy(folder: Path) -> str:
    return f"delete {folder} and load, or collect, the dataset again"


def _file_name(name: str, extra: bool) -> str:
    # The name may come from a download: it must not become a path, nor meet another name.
    quoted = urllib.parse.quote(name, safe="/").replace(".", "%2E").replace("/", ".")
    return f"extra.{quoted}.npy" if extra else f"{quoted}.npy"
