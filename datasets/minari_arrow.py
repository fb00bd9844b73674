"""Episodes of Minari's Arrow and Parquet storage: a folder ``data/<i>`` each, of one file or more.

Every column has a row per observation; the last one of all but the observations is padding.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet

from datumrl.datasets.minari_blocks import Block
from datumrl.datasets.minari_images import decode
from datumrl.datasets.minari_metadata import Error, Leaf, Metadata, data_folder

_METADATA = "metadata.json"


class Storage:
    """A context with the episodes of a folder."""

    def __init__(self, folder: Path, metadata: Metadata, error: Error) -> None:
        self._folder, self._metadata, self._error = data_folder(folder), metadata, error
        self.hashes: dict[str, str] = {}  # sha256 of the files that were read, by path

    def __enter__(self) -> Storage:
        with os.scandir(self._folder) as entries:
            self.total_episodes = sum(each.name.isdecimal() and each.is_dir() for each in entries)
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def episodes(self) -> Iterator[Episode]:
        """Yield the episodes in the order of their numbers."""
        for number in range(self.total_episodes):
            yield self.episode(number)

    def episode(self, number: int) -> Episode:
        """Return an episode.  Raises what ``error`` makes for a bad one."""
        folder = f"{self._folder}{os.sep}{number}{os.sep}"
        try:
            names = os.listdir(folder)  # noqa: PTH208 - a thousand folders, and strings do
        except (FileNotFoundError, NotADirectoryError):
            raise self._error(
                f"has {self.total_episodes} episodes, but none of number {number}"
            ) from None
        except OSError as problem:
            raise self._error(f"episode {number} cannot be read ({problem.strerror})") from None
        suffix = f".{self._metadata.format}"
        paths = [folder + name for name in sorted(names) if name.endswith(suffix)]
        if not paths:
            raise self._error(f"episode {number} has no {suffix} file")
        try:
            table = _joined([_read(self._content(path), suffix) for path in paths])
        except (pa.ArrowException, OSError, ValueError) as problem:
            raise self._error(f"episode {number} is truncated or damaged ({problem})") from None
        stated = self._stated(number, folder + _METADATA) if _METADATA in names else None
        if stated is None:
            stated = max(0, len(table) - 1)
        elif stated not in (len(table), len(table) - 1):
            raise self._error(
                f"episode {number} says it has {stated!r} steps, and holds {len(table)} "
                "observations"
            )
        return Episode(number, table, int(stated), self._metadata, self._error)

    def fill(self, number: int, block: Block) -> bool:
        """Read a whole episode into a block; False if it has to be looked at by itself."""
        episode = self.episode(number)
        for target in block.targets:
            found = episode.whole(target.source)
            if found is None or found.shape[1:] != target.shape:
                return False
            room = block.room(target, len(found))
            if room is None or found.dtype != room.dtype:
                return False
            room[...] = found
        return True

    def _stated(self, number: int, path: str) -> Any:
        """Return how many steps an episode's own metadata says it has."""
        try:
            return json.loads(self._content(path)).get("total_steps")
        except (OSError, ValueError, RecursionError, AttributeError) as problem:
            raise self._error(f"episode {number}: {_METADATA} is damaged ({problem})") from None

    def _content(self, path: str) -> bytes:
        """Return a file's bytes, which are hashed on the way."""
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - likewise
            content = file.readall()
        if path not in self.hashes:
            self.hashes[path] = hashlib.sha256(content).hexdigest()
        return content


class Episode:
    """One episode, which is in memory as a whole."""

    def __init__(
        self, number: int, table: pa.RecordBatch, steps: int, metadata: Metadata, error: Error
    ) -> None:
        self._number, self._error = number, error
        self._arrays = dict(zip(table.schema.names, table.columns, strict=True))
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

    def whole(self, source: str | Leaf) -> np.ndarray | None:
        """Return all rows of a column, the observations if it is a leaf; None without one."""
        if isinstance(source, Leaf):
            return self.observation(source, 0, self.observations)
        if source.startswith("infos/"):
            return self._infos().get(source)
        return self.column(source, 0, self.steps)

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


def _read(content: bytes, suffix: str) -> pa.RecordBatch:
    # One file an episode: Arrow's threads and maps take longer to set up than to be of use.
    buffer = pa.py_buffer(content)
    if suffix == ".parquet":
        file = pa.parquet.ParquetFile(buffer, pre_buffer=False)
        return _one(file.read(use_threads=False).to_batches(), file.schema_arrow)
    stream = pa.ipc.open_file(buffer, options=pa.ipc.IpcReadOptions(use_threads=False))
    batches = [stream.get_batch(number) for number in range(stream.num_record_batches)]
    return _one(batches, stream.schema)


def _one(batches: list[pa.RecordBatch], schema: pa.Schema) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else _concatenated(batches, schema)


def _concatenated(batches: list[pa.RecordBatch], schema: pa.Schema) -> pa.RecordBatch:
    table = pa.Table.from_batches(batches, schema)
    if not len(table):
        return pa.RecordBatch.from_pylist([], schema)
    for batch in batches:  # before their offsets are trusted
        batch.validate(full=True)
    (joined,) = table.combine_chunks().to_batches()
    return joined


def _joined(parts: list[pa.RecordBatch]) -> pa.RecordBatch:
    batch = _one(parts, parts[0].schema)
    batch.validate(full=True)
    return batch


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
