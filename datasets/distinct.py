"""The exact number of distinct rows, in bounded memory whatever the number of rows.

Keys of rows are parted by some bits of their hash, so that equal keys meet in one part and each
part's hash table is small.  Parts are kept in memory up to 64 MiB of keys; beyond that they are
temporary files (in the folder of temporary files, ``TMPDIR``): every row is read once, written once
and read once more, and memory holds the tables of two parts, about 32 MiB of keys each.  Equality
is decided by the whole key, never by its hash.
"""

from __future__ import annotations

import contextlib
import itertools
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from datumrl.datasets.files import storage_errors
from datumrl.datasets.packing import Packing

Progress = Callable[[int, int], None]  # rows done, rows in all

_BATCH_BYTES = 8 << 20  # of keys worked on at once
_MEMORY_BYTES = 64 << 20  # of keys that are counted without temporary files
_PART_BYTES = 1 << 19  # of keys in a part in memory: with its table, what a core's cache holds
_FILE_BYTES = 32 << 20  # of keys in a temporary file
_MOST_FILES = 256  # open at once; beyond about 340 million rows of 3 words, files grow instead
_SMALL_TABLE = 1 << 15  # keys; a table for more grows as they come
_THREADS = 2


def count(packing: Packing, rows: int | None = None, progress: Progress | None = None) -> int:
    """Return how many different keys the first ``rows`` rows (all by default) have.

    Raises DatumrlError when the temporary files do not fit on the disk.
    """
    found, _ = count_with_nans(packing, rows, progress)
    return found


def count_with_nans(
    packing: Packing, rows: int | None = None, progress: Progress | None = None
) -> tuple[int, int]:
    """Return how many different keys the first ``rows`` rows have, and how many NaNs."""
    rows = packing.rows if rows is None else min(rows, packing.rows)
    total = rows * packing.words * 8
    in_memory = total <= _MEMORY_BYTES
    parts = (
        _parts(total, _PART_BYTES) if in_memory else min(_MOST_FILES, _parts(total, _FILE_BYTES))
    )
    with ThreadPoolExecutor(_THREADS) as pool:
        batches = _Batches(packing, rows, parts, pool, progress or (lambda _done, _all: None))
        found = (_count_in_memory if in_memory else _count_in_files)(batches, pool)
    return found, batches.nans


def _parts(total: int, each: int) -> int:
    """Return a power of two, 2 or more: of how many parts none much exceeds ``each``."""
    return 1 << max(1, (total // each).bit_length())


@dataclass(frozen=True, eq=False)
class _Ordered:
    """Keys in the order of their parts; part p is at offsets[p] to offsets[p + 1]."""

    keys: np.ndarray
    offsets: np.ndarray

    def part(self, number: int) -> np.ndarray:
        return self.keys[self.offsets[number] : self.offsets[number + 1]]


class _Batches:
    """The keys of successive rows, made by all threads together."""

    def __init__(
        self, packing: Packing, rows: int, parts: int, pool: ThreadPoolExecutor, progress: Progress
    ) -> None:
        self.words, self.rows, self.parts, self.nans = packing.words, rows, parts, 0
        self._packing, self._pool, self._progress = packing, pool, progress
        self._shift = np.uint64(64 - (parts - 1).bit_length())
        self._size = max(_THREADS, _BATCH_BYTES // (8 * packing.words))

    def __iter__(self) -> Iterator[_Ordered]:
        for begin in range(0, self.rows, self._size):
            end = min(self.rows, begin + self._size)
            cuts = np.linspace(begin, end, _THREADS + 1).astype(int).tolist()
            work = [self._pool.submit(self._order, *cut) for cut in itertools.pairwise(cuts)]
            for each in work:
                ordered, nans = each.result()
                self.nans += nans
                yield ordered
            self._progress(end, self.rows)

    def _order(self, begin: int, end: int) -> tuple[_Ordered, int]:
        from datumrl.datasets.packing_kernels import hash_keys, scatter

        keys = np.empty((end - begin, self.words), np.uint64)
        nans = self._packing.pack(begin, end, keys)
        hashes = np.empty(len(keys), np.uint64)
        hash_keys(keys, hashes)
        ordered = _Ordered(np.empty_like(keys), np.zeros(self.parts + 1, np.int64))
        scatter(keys, hashes, self._shift, ordered.offsets, ordered.keys)
        return ordered, nans


def _distinct(pieces: Iterable[np.ndarray], rows: int, words: int) -> int:
    """Return how many different keys there are in pieces of ``rows`` keys together."""
    from datumrl.datasets.packing_kernels import insert, refill

    known = np.empty((rows, words), np.uint64)  # takes memory as it fills
    slots = np.zeros(_slots(min(rows, _SMALL_TABLE)), np.uint64)
    count = 0
    for keys in pieces:
        row = 0
        while True:
            row, count = insert(keys, row, slots, known, count)
            if row == len(keys):
                break
            slots = np.zeros(4 * len(slots), np.uint64)
            refill(known, count, slots)
    return int(count)


def _slots(keys: int) -> int:
    """Return a power of two of more than twice as many slots as keys."""
    return 1 << (2 * keys + 1).bit_length()


def _count_in_memory(batches: _Batches, pool: ThreadPoolExecutor) -> int:
    kept = list(batches)

    def count_part(number: int) -> int:
        pieces = [each.part(number) for each in kept]
        return _distinct(pieces, sum(map(len, pieces)), batches.words)

    return sum(pool.map(count_part, range(batches.parts)))


def _count_in_files(batches: _Batches, pool: ThreadPoolExecutor) -> int:
    folder = Path(tempfile.gettempdir())
    with (
        storage_errors(folder),
        tempfile.TemporaryDirectory(prefix="datumrl-count-") as name,
        contextlib.ExitStack() as stack,
    ):
        paths = [Path(name) / f"{part}.keys" for part in range(batches.parts)]
        handles = [stack.enter_context(path.open("wb", buffering=0)) for path in paths]
        for ordered in batches:
            for part, handle in enumerate(handles):
                _write(ordered.part(part), handle)
        for handle in handles:
            handle.close()
        return sum(pool.map(lambda path: _count_file(path, batches.words), paths))


def _write(keys: np.ndarray, handle: IO[bytes]) -> None:
    piece = keys.data.cast("B") if len(keys) else memoryview(b"")
    while len(piece):  # an unbuffered write may take only a part
        piece = piece[handle.write(piece) :]


def _count_file(path: Path, words: int) -> int:
    found = _distinct(_read(path, words), path.stat().st_size // (8 * words), words)
    path.unlink()
    return found


def _read(path: Path, words: int) -> Iterator[np.ndarray]:
    size = max(1, _BATCH_BYTES // (8 * words))
    with path.open("rb", buffering=0) as handle:
        while len(keys := np.fromfile(handle, np.uint64, size * words)):
            yield keys.reshape(-1, words)
