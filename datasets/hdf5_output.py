"""HDF5 files written so that a full disk is an error, and not the end of the process."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import IO, Any

import h5py


class Output:
    """An HDF5 file under way; call `check` now and then to stop at the first failed write."""

    def __init__(self, file: h5py.File, sink: _Sink) -> None:
        self.file = file
        self._sink = sink

    def check(self) -> None:
        """Raise the OSError of a write that failed."""
        self._sink.check()


@contextlib.contextmanager
def writing(handle: IO[Any]) -> Iterator[Output]:
    """Write HDF5 to a binary file open for reading and writing (``w+b``) with nothing in it.

    Raises the OSError of a write that failed, once HDF5 has let go of the file.
    """
    sink = _Sink(handle.fileno())
    try:
        with h5py.File(sink, "w") as file:
            yield Output(file, sink)
    except Exception:
        sink.check()  # the disk is the cause of whatever HDF5 says of it
        raise
    sink.check()


class _Sink(io.RawIOBase):
    """The file as HDF5 sees it: writing to it never fails.

    HDF5 ends the process (a segmentation fault) when a write fails as it closes a file.  So the
    first failure is remembered, and what is written after it is thrown away.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._raw = io.FileIO(descriptor, "r+", closefd=False)
        self._size = 0
        self._failure: OSError | None = None

    def check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def write(self, data: Any) -> int:
        left = memoryview(data).cast("B")
        size = len(left)
        self._size = max(self._size, self._raw.tell() + size)
        while len(left) and self._failure is None:
            try:
                left = left[self._raw.write(left) :]
            except OSError as problem:
                self._failure = problem
        return size

    def truncate(self, size: int | None = None) -> int:
        size = self._raw.tell() if size is None else size
        self._size = size
        if self._failure is None:
            try:
                self._raw.truncate(size)
            except OSError as problem:
                self._failure = problem
        return size

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_END:
            offset += self._size
        return self._raw.seek(offset)

    def tell(self) -> int:
        return self._raw.tell()

    def readinto(self, buffer: Any) -> int:
        return self._raw.readinto(buffer) or 0
