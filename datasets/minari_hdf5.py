"""Episodes of Minari's HDF5 storage: a group ``episode_<i>`` each, in ``data/main_data.hdf5``.

h5py's low-level interface: its objects take longer to make than the arrays of a short episode take
to be read.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from h5py import h5d, h5g, h5s, h5t

from datumrl.datasets.background_hash import BackgroundHash
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.hdf5_chunks import never_written
from datumrl.datasets.minari_blocks import Block, Target
from datumrl.datasets.minari_images import decode
from datumrl.datasets.minari_metadata import Error, Leaf, Metadata, data_folder

_MAIN_FILE = "main_data.hdf5"
_COLUMNS = ("actions", "rewards", "terminations", "truncations")


class Storage:
    """A context with the episodes of a file."""

    def __init__(self, folder: Path, metadata: Metadata, error: Error) -> None:
        self._path = data_folder(folder) / _MAIN_FILE
        self._metadata, self._error = metadata, error
        self._types = _Types()
        self._stored: dict[str, h5t.TypeID] = {}  # types of a block's columns

    def __enter__(self) -> Storage:
        if not self._path.is_file():
            raise self._error(f"has no {_MAIN_FILE}, which its data_format asks for")
        with contextlib.ExitStack() as stack:
            with damage(self._error):
                self._file = stack.enter_context(h5py.File(self._path, "r"))
                self.total_episodes = sum(name.startswith("episode_") for name in self._file)
            self._hash = stack.enter_context(BackgroundHash(self._path))
            self._open = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @property
    def hashes(self) -> dict[str, str]:
        """The sha256 of the file, by path; nothing if it could not be read again."""
        with contextlib.suppress(OSError):
            return {str(self._path): self._hash.result()}
        return {}

    def episodes(self) -> Iterator[Episode]:
        """Yield the episodes in the order of their numbers."""
        for number in range(self.total_episodes):
            yield self.episode(number)

    def episode(self, number: int) -> Episode:
        """Return an episode, to be read in pieces.  Raises what ``error`` makes for a bad one."""
        with damage(self._error):
            name = _group(number)
            if name not in self._file.id:
                raise self._error(
                    f"has {self.total_episodes} episodes, but none of number {number}"
                )
            group = h5g.open(self._file.id, name)
            return Episode(number, group, self._metadata, self._types, self._error)

    def fill(self, number: int, block: Block) -> bool:
        """Read a whole episode into a block; False if it has to be looked at by itself."""
        try:
            group = h5g.open(self._file.id, _group(number))
            return all(self._placed(group, target, block) for target in block.targets)
        except (OSError, RuntimeError, KeyError, ValueError, TypeError):
            return False

    def _placed(self, group: h5g.GroupID, target: Target, block: Block) -> bool:
        dataset = h5d.open(group, _path(target.source))
        shape, stored = dataset.shape, dataset.get_type()
        known = self._stored.get(target.name)
        if known is None:
            if dataset.dtype != target.values.dtype:
                return False
            known = self._stored[target.name] = stored
        if not shape or shape[1:] != target.shape or stored != known:
            return False
        room = block.room(target, shape[0])
        if room is None:
            return False
        dataset.read(h5s.ALL, h5s.ALL, room, known)  # as many bytes as the shape says
        return bool(room.all()) or not never_written(dataset)


class _Types:
    """NumPy's types of HDF5's, each made once: it takes longer than to read a short episode."""

    def __init__(self) -> None:
        self._known: list[tuple[h5t.TypeID, np.dtype]] = []

    def of(self, dataset: h5d.DatasetID) -> tuple[h5t.TypeID, np.dtype]:
        stored = dataset.get_type()
        for pair in self._known:
            if pair[0] == stored:
                return pair
        self._known.append((stored, dataset.dtype))
        return self._known[-1]


@dataclass(frozen=True, slots=True)
class _Opened:
    dataset: h5d.DatasetID
    shape: tuple[int, ...]
    type: h5t.TypeID  # as stored, so that reading converts nothing
    dtype: np.dtype


class Episode:
    """One episode, read piece by piece."""

    def __init__(
        self, number: int, group: h5g.GroupID, metadata: Metadata, types: _Types, error: Error
    ) -> None:
        self._error, self._number, self._group, self._types = error, number, group, types
        self._written: set[str | Leaf] = set()  # arrays known to be in the file as a whole
        self._opened: dict[str | Leaf, _Opened] = {name: self._open(name) for name in _COLUMNS}
        for leaf in metadata.observations:
            self._opened[leaf] = self._open(_path(leaf).decode())
        self.steps = self._rows("rewards")
        for name in _COLUMNS:
            if self._rows(name) != self.steps:
                raise self.error(f"holds {self._rows(name)} {name} for {self.steps} rewards")
        counts = {self._rows(leaf) for leaf in metadata.observations}
        if len(counts) != 1:
            raise self.error(f"holds observations of different lengths, {sorted(counts)}")
        self.observations = counts.pop()

    def error(self, problem: str) -> Exception:
        """Return an error that names the episode."""
        return self._error(f"episode {self._number} {problem}")

    def observation(self, leaf: Leaf, begin: int, end: int) -> np.ndarray:
        """Return rows of an array of the observations: numbers, images, or bytes as objects."""
        values = self._read(leaf, begin, end)
        if leaf.kind == "image" and values.shape[1:] != leaf.shape:  # else it is stored as it is
            return decode(list(values), leaf.shape, self.error)
        return values

    def column(self, name: str, begin: int, end: int) -> np.ndarray:
        """Return rows of the actions, rewards, terminations or truncations."""
        return self._read(name, begin, end)

    def infos(self) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """Return the shape and type of every array of numbers in the infos, by name."""
        if b"infos" not in self._group:
            return {}
        with damage(self._error):
            names = list(_datasets_below(h5g.open(self._group, b"infos"), "infos"))
        return {name: found for name in names if (found := self.info_form(name)) is not None}

    def info_form(self, name: str) -> tuple[tuple[int, ...], np.dtype] | None:
        """Return the shape and type of an array of the infos; None without one of numbers."""
        try:
            opened = self._described(h5d.open(self._group, name.encode()))
        except (KeyError, ValueError, TypeError):
            return None
        if not opened.shape or opened.dtype.kind not in "biuf":
            return None
        self._opened[name] = opened
        return opened.shape, opened.dtype

    def info(self, name: str, begin: int, end: int) -> np.ndarray:
        """Return rows of an array of the infos, of which `info_form` told the shape."""
        return self._read(name, begin, end)

    def _open(self, name: str) -> _Opened:
        try:
            return self._described(h5d.open(self._group, name.encode()))
        except (KeyError, ValueError, TypeError):
            raise self.error(f"has no {name} that can be read") from None

    def _described(self, dataset: h5d.DatasetID) -> _Opened:
        return _Opened(dataset, dataset.shape, *self._types.of(dataset))

    def _rows(self, name: str | Leaf) -> int:
        shape = self._opened[name].shape
        if not shape:
            raise self.error(f"holds one number as {_label(name)} where a row per step is needed")
        return int(shape[0])

    def _read(self, name: str | Leaf, begin: int, end: int) -> np.ndarray:
        opened = self._opened[name]
        dataset, shape = opened.dataset, opened.shape
        # Text and JPEG frames of different sizes are objects, whose type h5py has to make.
        kind = None if opened.dtype.hasobject else opened.type
        values = np.empty((end - begin, *shape[1:]), opened.dtype)
        with damage(self._error):
            if end - begin == shape[0]:
                dataset.read(h5s.ALL, h5s.ALL, values, kind)
            else:
                stored = dataset.get_space()
                stored.select_hyperslab((begin, *(0,) * (len(shape) - 1)), values.shape)
                dataset.read(h5s.create_simple(values.shape), stored, values, kind)
            # Only zeros can be rows that are not in the file.
            if name not in self._written and (kind is None or not values.all()):
                self._check_written(name)
        return values

    def _check_written(self, name: str | Leaf) -> None:
        lacking = never_written(self._opened[name].dataset)
        if lacking:
            raise self.error(
                f"holds {_label(name)} of which {lacking} chunks were never written, and HDF5 "
                "would read them as zeros"
            )
        self._written.add(name)


def _label(name: str | Leaf) -> str:
    return name if isinstance(name, str) else f"observations {name.name}".strip()


def _group(number: int) -> bytes:
    return b"episode_%d" % number


def _path(source: str | Leaf) -> bytes:
    """Return where in an episode's group a column is stored."""
    if isinstance(source, str):
        return source.encode()
    return f"observations/{source.hdf5}".rstrip("/").encode()


def _datasets_below(group: h5g.GroupID, prefix: str) -> Iterator[str]:
    """Yield the path of every dataset below a group; what links lead elsewhere are not followed."""
    for name in group:
        kind, path = (
            h5g.get_objinfo(group, name, follow_link=False).type,
            f"{prefix}/{name.decode()}",
        )
        if kind == h5g.GROUP:
            yield from _datasets_below(h5g.open(group, name), path)
        elif kind == h5g.DATASET:
            yield path


@contextlib.contextmanager
def damage(error: Error) -> Iterator[None]:
    """Turn what h5py raises for a damaged file into an error that says so."""
    try:
        yield
    except DatumrlError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, EOFError, SystemError) as problem:
        raise error(f"is truncated or damaged ({problem})") from problem
