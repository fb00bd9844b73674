"""Episodes of Minari's Arrow and Parquet storage: a folder ``data/<i>`` each, of one file or more.

Every column has a row per observation; the last one of all but the observations is padding.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet

from datumrl.datasets.minari_images import decode
from datumrl.datasets.minari_metadata import Error, Leaf, Metadata, data_folder


class Storage:
    """A context with the episodes of a folder."""

    def __init__(self, folder: Path, metadata: Metadata, error: Error) -> None:
        self._folder, self._metadata, self._error = data_folder(folder), metadata, error

    def __enter__(self) -> Storage:
        folders = [path for path in self._folder.iterdir() if path.is_dir()]
        self.total_episodes = sum(path.name.isdecimal() for path in folders)
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def episodes(self) -> Iterator[Episode]:
        """Yield the episodes in the order of their numbers."""
        for number in range(self.total_episodes):
            table = self._table(number)
            yield Episode(number, table, self._steps(number, table), self._metadata, self._error)

    def _steps(self, number: int, table: pa.Table) -> int:
        """Return how many steps an episode has: by its own metadata, else a row less."""
        path = self._folder / str(number) / "metadata.json"
        stated = None
        if path.is_file():
            try:
                stated = json.loads(path.read_text(encoding="utf-8")).get("total_steps")
            except (OSError, ValueError, RecursionError, AttributeError) as problem:
                raise self._error(f"episode {number}: {path.name} is damaged ({problem})") from None
        if stated is None:
            return max(0, len(table) - 1)
        if stated not in (len(table), len(table) - 1):
            raise self._error(
                f"episode {number} says it has {stated!r} steps, and holds {len(table)} "
                "observations"
            )
        return int(stated)

    def _table(self, number: int) -> pa.Table:
        folder = self._folder / str(number)
        suffix = f".{self._metadata.format}"
        if not folder.is_dir():
            raise self._error(f"has {self.total_episodes} episodes, but none of number {number}")
        paths = sorted(path for path in folder.iterdir() if path.suffix == suffix)
        if not paths:
            raise self._error(f"episode {number} has no {suffix} file")
        try:
            tables = [_read(path) for path in paths]
            table = pa.concat_tables(tables).combine_chunks()
            if len(table):
                table.validate(full=True)
            return table
        except (pa.ArrowException, OSError, ValueError) as problem:
            raise self._error(f"episode {number} is truncated or damaged ({problem})") from None


class Episode:
    """One episode, which is in memory as a whole."""

    def __init__(
        self, number: int, table: pa.Table, steps: int, metadata: Metadata, error: Error
    ) -> None:
        self._number, self._error = number, error
        self._arrays = {name: _whole(table.column(name)) for name in table.column_names}
        for name in ("observations", "actions", "rewards", "terminations", "truncations"):
            if name not in self._arrays:
                raise self.error(f"has no {name}")
        self.observations = len(table)
        self.steps = steps
        self._action = metadata.actions[0]
        self._numbers: dict[str, np.ndarray] | None = None

    def error(self, problem: str) -> Exception:
        """Return an error that names the episode."""
        return self._error(f"episode {self._number} {problem}")

    def observation(self, leaf: Leaf, begin: int, end: int) -> np.ndarray:
        """Return rows of an array of the observations: numbers, images, or text as objects."""
        array = self._arrays["observations"]
        for key in leaf.keys:
            array = self._field(array, key)
        label = f"observations {leaf.name}".strip()
        piece = array[begin:end]
        if leaf.kind == "image" and pa.types.is_binary(piece.type):
            return decode(piece.to_pylist(), leaf.shape, self.error)
        if leaf.kind == "text":
            return np.array([_encoded(text) for text in piece.to_pylist()], object)
        return self._as_numbers(piece, label, leaf.shape)

    def column(self, name: str, begin: int, end: int) -> np.ndarray:
        """Return rows of the actions, rewards, terminations or truncations."""
        shape = self._action.shape if name == "actions" else ()
        return self._as_numbers(self._arrays[name][begin:end], name, shape)

    def infos(self) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """Return the shape and type of every array of numbers in the infos, by name."""
        return {name: (values.shape, values.dtype) for name, values in self._infos().items()}

    def info_form(self, name: str) -> tuple[tuple[int, ...], np.dtype] | None:
        """Return the shape and type of an array of the infos; None without one of numbers."""
        return self.infos().get(name)

    def info(self, name: str, begin: int, end: int) -> np.ndarray:
        """Return rows of an array of the infos."""
        return self._infos()[name][begin:end]

    def _infos(self) -> dict[str, np.ndarray]:
        if self._numbers is None:
            present = "infos" in self._arrays
            self._numbers = dict(self._leaves(self._arrays["infos"], "infos")) if present else {}
        return self._numbers

    def _leaves(self, array: Any, name: str) -> Iterator[tuple[str, np.ndarray]]:
        for position in range(array.type.num_fields):
            field = array.type.field(position)
            inner, below = array.field(position), f"{name}/{field.name}"
            if pa.types.is_struct(field.type):
                yield from self._leaves(inner, below)
                continue
            shape = (field.metadata or {}).get(b"shape")
            with contextlib.suppress(ValueError):  # no numbers, or not in every row
                flat = _numbers(inner)
                if shape is not None:
                    trailing = tuple(int(size) for size in shape.split(b",") if size)
                    flat = flat.reshape(len(inner), *trailing)
                yield below, flat

    def _field(self, array: Any, key: str) -> Any:
        found = array.type.get_field_index(key) if pa.types.is_struct(array.type) else -1
        if found < 0:
            raise self.error(f"has no observations {key}")
        return array.field(found)

    def _as_numbers(self, array: Any, label: str, shape: tuple[int, ...]) -> np.ndarray:
        try:
            return _numbers(array).reshape(len(array), *shape)
        except ValueError as problem:
            raise self.error(f"holds {label} of {array.type} ({problem})") from None


def _read(path: Path) -> pa.Table:
    # One file an episode: Arrow's threads and maps take longer to set up than to be of use.
    content = pa.py_buffer(path.read_bytes())
    if path.suffix == ".parquet":
        return pa.parquet.ParquetFile(content, pre_buffer=False).read(use_threads=False)
    options = pa.ipc.IpcReadOptions(use_threads=False)
    return pa.ipc.open_file(content, options=options).read_all()


def _whole(column: pa.ChunkedArray) -> Any:
    return column.chunk(0) if column.num_chunks else pa.array([], column.type)


def _numbers(array: Any) -> np.ndarray:
    """Return an Arrow array of numbers, or of lists of as many of them each.

    Raises ValueError for any other array, and where a value is missing.
    """
    if array.null_count:
        raise ValueError(f"{array.null_count} values are missing")
    if pa.types.is_fixed_size_list(array.type):
        return _numbers(array.flatten()).reshape(len(array), array.type.list_size)
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        lengths = np.diff(array.offsets.to_numpy())
        if len(lengths) and (lengths != lengths[0]).any():
            raise ValueError("lists of different lengths")
        return _numbers(array.flatten()).reshape(len(array), -1)
    if not (
        pa.types.is_integer(array.type)
        or pa.types.is_floating(array.type)
        or pa.types.is_boolean(array.type)
    ):
        raise ValueError("these are no numbers")
    return array.to_numpy(zero_copy_only=False)


def _encoded(text: object) -> bytes:
    return text if isinstance(text, bytes) else str(text).encode()
