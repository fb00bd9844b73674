"""A gzip-compressed ``.npy`` file read in blocks of rows, never whole and without unpickling."""

from __future__ import annotations

import contextlib
import gzip
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, cast

import numpy as np

from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.npz_file import DAMAGE, read_header

_BYTES_AT_ONCE = 1 << 24


class GzipNpy:
    """The array of one file; ``error`` makes the errors that it raises."""

    def __init__(self, path: Path, error: Callable[[str], DatumrlError]) -> None:
        self.path, self._error = path, error
        with self._open() as (stream, header):
            del stream
            self.shape, fortran, self.dtype = header
        if self.dtype.hasobject:
            raise error("holds Python objects, which only unpickling could read")
        if self.dtype.kind not in "biuf":
            raise error(f"holds {self.dtype}, not numbers")
        if not self.shape or (fortran and len(self.shape) > 1):
            raise error("is no array of rows, one after another")

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (first row, values), about 16 MiB at a time."""
        width = math.prod(self.shape[1:]) * self.dtype.itemsize
        step = max(1, _BYTES_AT_ONCE // max(1, width))
        with self._open() as (stream, _):
            for begin in range(0, self.shape[0], step):
                count = min(step, self.shape[0] - begin)
                content = stream.read(count * width)
                if len(content) != count * width:
                    raise self._error(f"is cut off: it says it is {self.dtype} {self.shape}")
                yield begin, np.frombuffer(content, self.dtype).reshape(count, *self.shape[1:])
            if stream.read(1):  # which also makes gzip check its CRC
                raise self._error("holds more than its header says")

    def array(self) -> np.ndarray:
        """Return the whole array, which should be small."""
        empty = np.zeros((0, *self.shape[1:]), self.dtype)
        return np.concatenate([empty, *(values for _, values in self.blocks())])

    @contextlib.contextmanager
    def _open(self) -> Iterator[tuple[IO[bytes], tuple[tuple[int, ...], bool, np.dtype]]]:
        """Yield the stream after its header, and that; damage is an error that says so."""
        try:
            with gzip.open(self.path, "rb") as handle:
                stream = cast(IO[bytes], handle)
                yield stream, read_header(stream)
        except DatumrlError:
            raise
        except DAMAGE as problem:
            raise self._error(f"is truncated or damaged ({problem})") from problem
