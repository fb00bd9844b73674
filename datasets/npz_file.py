"""An open ``.npz`` file read in blocks of rows: nothing is unpickled, no member is read whole.

An ``.npz`` is a zip of ``.npy`` members (NumPy's npy format, versions 1 and 2; 3 is for arrays with
named fields, and refused).  Members of objects are refused: reading them would run code that comes
with the data.
"""

from __future__ import annotations

import contextlib
import lzma
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from datumrl.datasets.errors import DatumrlError, brief
from datumrl.datasets.reading import Progress

_ROWS_AT_ONCE = 1 << 16
_BYTES_AT_ONCE = 1 << 24
# what zipfile, gzip and numpy raise for a damaged file
DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    OverflowError,
    KeyError,
    SyntaxError,  # of a header's text
    tokenize.TokenError,
    struct.error,
    lzma.LZMAError,
    RuntimeError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True)
class Member:
    """One array of the file, as its header describes it."""

    file_name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool

    @property
    def bytes(self) -> int:
        """Return the size of the array."""
        return math.prod(self.shape) * self.dtype.itemsize


class NpzFile:
    """A context with the arrays of a file by name; ``error`` makes the errors that it raises."""

    def __init__(
        self,
        path: Path | IO[bytes],
        error: Callable[[str], DatumrlError],
        progress: Progress | None = None,
        *,
        skip_objects: bool = False,
    ) -> None:
        self.path = path
        self.skipped: list[str] = []  # members of objects, if those are skipped, not refused
        self._skip_objects = skip_objects
        self.members: dict[str, Member] = {}
        self._error = error
        self._progress = progress
        self._done = 0

    def __enter__(self) -> NpzFile:
        with self._damage():
            self._zip = zipfile.ZipFile(self.path)
        try:
            with self._damage():
                for name in self._zip.namelist():
                    if name.endswith(".npy") and (member := self._describe(name)) is not None:
                        self.members[name.removesuffix(".npy")] = member
        except BaseException:
            self._zip.close()
            raise
        self._total = sum(member.bytes for member in self.members.values())
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def __contains__(self, name: str) -> bool:
        return name in self.members

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of an array."""
        return self.members[name].shape

    def blocks(self, name: str, at_once: int | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (first row, values) of an array, some rows (or ``at_once``) at a time."""
        member = self.members[name]
        if member.fortran and len(member.shape) > 1:
            yield 0, self._whole_fortran(member)
            return
        rows = member.shape[0] if member.shape else 1
        shape = member.shape[1:]
        width = math.prod(shape) * member.dtype.itemsize
        step = at_once or min(_ROWS_AT_ONCE, max(1, _BYTES_AT_ONCE // max(1, width)))
        with self._damage(), self._zip.open(member.file_name) as stream:
            read_header(stream)
            for begin in range(0, rows, step):
                count = min(step, rows - begin)
                values = self._read(stream, count * width, member)
                yield begin, np.frombuffer(values, member.dtype).reshape(count, *shape)
            self._expect_end(stream, member)

    def array(self, name: str) -> np.ndarray:
        """Return a whole array, which should be small."""
        blocks = [values for _, values in self.blocks(name)]
        if not blocks:
            return np.zeros(self.shape(name), self.members[name].dtype)
        return np.concatenate(blocks).reshape(self.shape(name))

    def _describe(self, name: str) -> Member | None:
        with self._zip.open(name) as stream:
            shape, fortran, dtype = read_header(stream)
        if dtype.hasobject:
            if self._skip_objects:
                self.skipped.append(name)
                return None
            raise self._error(
                f"{name} holds Python objects, which only unpickling could read, and that may run "
                "any code"
            )
        if dtype.kind not in "biufSU":
            raise self._error(f"{name} holds {dtype}, not numbers")
        stored = self._zip.getinfo(name).file_size
        member = Member(name, shape, dtype, fortran)
        if member.bytes > stored:
            raise self._error(
                f"{name} says it is {dtype} {shape}, {member.bytes:,} bytes, and holds {stored:,}"
            )
        return member

    def _whole_fortran(self, member: Member) -> np.ndarray:
        with self._damage(), self._zip.open(member.file_name) as stream:
            read_header(stream)
            values = self._read(stream, member.bytes, member)
            self._expect_end(stream, member)
        return np.frombuffer(values, member.dtype).reshape(member.shape, order="F")

    def _read(self, stream: IO[bytes], size: int, member: Member) -> bytes:
        values = stream.read(size)
        if len(values) != size:
            raise self._error(f"{member.file_name} is cut off")
        self._done += size
        if self._progress is not None:
            self._progress(self._done, self._total)
        return values

    def _expect_end(self, stream: IO[bytes], member: Member) -> None:
        if stream.read(1):  # which also makes zipfile check the member's CRC
            raise self._error(f"{member.file_name} holds more than its header says")

    @contextlib.contextmanager
    def _damage(self) -> Iterator[None]:
        """Turn what zipfile and numpy raise for a damaged file into an error that says so."""
        try:
            yield
        except DatumrlError:
            raise
        except DAMAGE as problem:
            raise self._error(f"is truncated or damaged ({brief(problem)})") from problem


def read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Return (shape, Fortran order, type) of an npy header; the stream is left at the first value.

    Raises ValueError for anything else.
    """
    version = np.lib.format.read_magic(stream)
    readers: dict[tuple[int, int], Any] = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise ValueError(f"npy version {version} is not known")
    try:
        shape, fortran, dtype = readers[version](stream)
    except (SyntaxError, TypeError, tokenize.TokenError) as problem:  # what numpy lets through
        raise ValueError(f"its npy header is damaged ({problem})") from problem
    return shape, fortran, dtype
