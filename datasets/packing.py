"""Rows of columns as packed keys: what makes two rows the same when distinct ones are counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from datumrl.datasets.errors import DatumrlError

_BATCH = 1 << 16  # rows
_VALUES_AT_ONCE = 1 << 22
_WORD = 64
_LARGEST = int(np.iinfo(np.int64).max)


@dataclass(frozen=True, eq=False)
class Binned:
    """A floating column of which bins are counted: `numpy.digitize` on the edges of each dimension.

    ``edges`` (dim, edges) float64, increasing along a row.
    """

    column: np.ndarray  # (rows, dim)
    edges: np.ndarray


@dataclass(frozen=True, eq=False)
class Exact:
    """A column of which every value is counted as it is: integers, flags or the bits of floats.

    Of floats, 0 and -0 are one value, and so are all NaNs.
    """

    column: np.ndarray  # (rows, dim)


Part = Binned | Exact


class Packing:
    """The bits that each dimension of some columns gets in a row's key.

    ``words`` is the number of 64-bit words of a key, ``nans`` how many NaNs have been packed so
    far (in a binned column they are in the last bin).
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        lengths = {len(part.column) for part in parts}
        if len(lengths) != 1:
            raise DatumrlError(f"columns of {sorted(lengths)} rows; they must have equally many")
        (self.rows,) = lengths
        packers: list[_BinPacker | _ValuePacker] = []
        for part in parts:
            packers.append(_BinPacker(part) if isinstance(part, Binned) else _ValuePacker(part))
        self.words = _lay_out(packers)
        self._packers = packers

    def pack(self, begin: int, end: int, keys: np.ndarray) -> int:
        """Fill ``keys`` (end - begin, words) uint64 with those of some rows; return the NaNs."""
        nans = 0
        keys[:] = 0
        for start in range(begin, end, _BATCH):
            stop = min(end, start + _BATCH)
            for packer in self._packers:
                nans += packer.pack(start, stop, keys[start - begin : stop - begin])
        return nans


def matrix(column: np.ndarray) -> np.ndarray:
    """Return a column as (rows, dim): scalars as one dimension, images flattened; no copy."""
    return column.reshape(len(column), -1) if len(column) else column.reshape(0, _width(column))


def _width(column: np.ndarray) -> int:
    return int(np.prod(column.shape[1:], dtype=np.int64))


class _BinPacker:
    def __init__(self, part: Binned) -> None:
        column = matrix(part.column)
        self._column = column
        # Comparisons in float32 with the next float32 above an edge decide as float64 ones would.
        self._type = np.float32 if column.dtype.itemsize <= 4 else np.float64
        edges = np.ascontiguousarray(part.edges, np.float64)
        self._thresholds = _rounded_up(edges) if self._type is np.float32 else edges
        self._low = edges[:, 0].copy()
        span = edges[:, -1] - edges[:, 0]
        steps = np.full(len(span), edges.shape[1] - 1.0)
        self._scale = np.divide(steps, span, out=np.zeros_like(span), where=span > 0)
        self.bits = [int(edges.shape[1]).bit_length()] * column.shape[1]
        self.words = self.shifts = np.zeros(0, np.uint64)

    def pack(self, begin: int, end: int, keys: np.ndarray) -> int:
        from datumrl.datasets.packing_kernels import pack_bins

        values = np.ascontiguousarray(self._column[begin:end], self._type)
        return int(
            pack_bins(
                np.asarray(values),
                self._thresholds,
                self._low,
                self._scale,
                self.words,
                self.shifts,
                keys,
            )
        )


class _ValuePacker:
    def __init__(self, part: Exact) -> None:
        self._column = matrix(part.column)
        dtype, dims = self._column.dtype, self._column.shape[1]
        if dtype.kind not in "biuf" or dtype.itemsize > 8:
            raise DatumrlError(
                f"a column of {dtype} cannot be counted; flags, and numbers of up to 8 bytes can"
            )
        if dtype.kind in "f":
            self._low = np.zeros(dims, np.int64)
            self.bits = [8 * dtype.itemsize] * dims
        else:
            self._low, high = self._range()
            self.bits = [
                max(1, (int(top) - int(bottom)).bit_length())
                for bottom, top in zip(self._low, high, strict=True)
            ]
        self.words = self.shifts = np.zeros(0, np.uint64)

    def _range(self) -> tuple[np.ndarray, np.ndarray]:
        dtype, dims = self._column.dtype, self._column.shape[1]
        if dtype.itemsize == 1 or not len(self._column):  # bytes need no look
            ends = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
            return np.full(dims, ends[0], np.int64), np.full(dims, int(ends[1]) & _LARGEST)
        low, high = np.full(dims, _LARGEST), np.full(dims, -_LARGEST - 1)
        step = max(1, _VALUES_AT_ONCE // max(1, dims))
        for begin in range(0, len(self._column), step):
            values = _integers(self._column[begin : begin + step])
            low = np.minimum(low, values.min(axis=0))
            high = np.maximum(high, values.max(axis=0))
        return low, high

    def pack(self, begin: int, end: int, keys: np.ndarray) -> int:
        from datumrl.datasets.packing_kernels import pack_integers

        values, nans = self._column[begin:end], 0
        if values.dtype.kind == "f":
            values, nans = equality_bits(np.asarray(values))
        pack_integers(_integers(values), self._low, self.words, self.shifts, keys)
        return nans


def _integers(values: np.ndarray) -> np.ndarray:
    """Return integers as int64; of uint64 the bits, which tell as well which are equal."""
    return np.ascontiguousarray(np.asarray(values).astype(np.int64, copy=False))


def equality_bits(values: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the bits of floats as unsigned integers, and the number of NaNs.

    0 and -0 have the same bits, and so have all NaNs.
    """
    values = values + values.dtype.type(0)  # -0 becomes 0
    missing = np.isnan(values)
    values[missing] = np.nan  # of all the NaNs, one
    return values.view(f"u{values.dtype.itemsize}"), int(missing.sum())


def _lay_out(packers: Sequence[_BinPacker | _ValuePacker]) -> int:
    """Give every dimension bits of one word, in order; return the number of words."""
    word, used = 0, 0
    for packer in packers:
        words, shifts = [], []
        for bits in packer.bits:
            if used + bits > _WORD:
                word, used = word + 1, 0
            words.append(word)
            shifts.append(used)
            used += bits
        packer.words = np.array(words, np.int64)
        packer.shifts = np.array(shifts, np.uint64)
    return word + 1


def _rounded_up(edges: np.ndarray) -> np.ndarray:
    """Return the least float32 that is not below each edge."""
    with np.errstate(over="ignore"):
        rounded = edges.astype(np.float32)
    below = rounded.astype(np.float64) < edges
    rounded[below] = np.nextafter(rounded[below], np.float32(np.inf))
    return rounded
