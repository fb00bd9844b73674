"""The exact number of distinct rows, in bounded memory whatever the number of rows.

Few rows are entered into hash tables as they come.  Where their keys would take more than 64 MiB,
the keys are first written to temporary files by a part of their hash (in the folder of temporary
files, ``TMPDIR``), so that equal keys meet in one file, and the files are counted one after the
other: every row is read once, written once and read once more, and memory holds the tables of two
files, about 32 MiB of keys each.  Equality is decided by the whole key, never by its hash.
"""

from __future__ import annotations

import contextlib
import itertools
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import numpy as np

from datumrl.datasets.files import storage_errors
from datumrl.datasets.packing import Packing

Progress = Callable[[int, int], None]  # rows done, rows in all

_BATCH_BYTES = 8 << 20  # of keys worked on at once
_MEMORY_BYTES = 64 << 20  # of keys that are counted without temporary files
_FILE_BYTES = 32 << 20  # of keys that go to one temporary file
_MOST_FILES = 256  # open at once; beyond about 340 million rows of 3 words, files grow instead
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
    with ThreadPoolExecutor(_THREADS) as pool:
        batches = _Batches(packing, rows, pool, progress or (lambda _done, _all: None))
        if total <= _MEMORY_BYTES:
            found = _count_in_memory(batches, pool)
        else:
            files = _THREADS
            while files < _MOST_FILES and total > files * _FILE_BYTES:
                files *= 2
            found = _count_in_files(batches, files, pool)
    return found, batches.nans


class _Batches:
    """The keys and hashes of successive rows, made by all threads together."""

    def __init__(
        self, packing: Packing, rows: int, pool: ThreadPoolExecutor, progress: Progress
    ) -> None:
        self.packing, self.rows, self.nans = packing, rows, 0
        self.words = packing.words
        self._pool, self._progress = pool, progress
        self._size = max(_THREADS, _BATCH_BYTES // (8 * packing.words))

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        size = min(self._size, max(1, self.rows))
        keys = np.empty((size, self.words), np.uint64)
        hashes = np.empty(size, np.uint64)
        for begin in range(0, self.rows, size):
            end = min(self.rows, begin + size)
            cuts = np.linspace(begin, end, _THREADS + 1).astype(int).tolist()
            work = [
                self._pool.submit(
                    self._fill, lower, upper, keys[lower - begin :], hashes[lower - begin :]
                )
                for lower, upper in itertools.pairwise(cuts)
            ]
            self.nans += sum(each.result() for each in work)
            yield keys[: end - begin], hashes[: end - begin]
            self._progress(end, self.rows)

    def _fill(self, begin: int, end: int, keys: np.ndarray, hashes: np.ndarray) -> int:
        from datumrl.datasets.packing_kernels import hash_keys

        nans = self.packing.pack(begin, end, keys[: end - begin])
        hash_keys(keys[: end - begin], hashes[: end - begin])
        return nans


class _Table:
    """The distinct keys of one partition."""

    def __init__(self, capacity: int, words: int) -> None:
        self._known = np.empty((capacity, words), np.uint64)  # takes memory as it fills
        self._slots = np.zeros(1 << 12, np.uint64)
        self.count = 0

    def add(self, keys: np.ndarray, hashes: np.ndarray, part: int, shift: int) -> None:
        """Enter those keys whose ``hash >> shift`` is ``part``."""
        from datumrl.datasets.packing_kernels import insert, refill

        row, part_bits, shift_bits = 0, np.uint64(part), np.uint64(shift)
        while True:
            row, self.count = insert(
                keys, hashes, row, part_bits, shift_bits, self._slots, self._known, self.count
            )
            if row == len(keys):
                return
            self._slots = np.zeros(4 * len(self._slots), np.uint64)
            refill(self._known, self.count, self._slots)


def _count_in_memory(batches: _Batches, pool: ThreadPoolExecutor) -> int:
    shift = 64 - (_THREADS - 1).bit_length()
    tables = [_Table(batches.rows, batches.words) for _ in range(_THREADS)]
    for keys, hashes in batches:
        work = [
            pool.submit(table.add, keys, hashes, part, shift) for part, table in enumerate(tables)
        ]
        for each in work:
            each.result()
    return sum(table.count for table in tables)


def _count_in_files(batches: _Batches, files: int, pool: ThreadPoolExecutor) -> int:
    shift = 64 - (files - 1).bit_length()
    folder = Path(tempfile.gettempdir())
    with (
        storage_errors(folder),
        tempfile.TemporaryDirectory(prefix="datumrl-count-") as name,
        contextlib.ExitStack() as stack,
    ):
        paths = [Path(name) / f"{part}.keys" for part in range(files)]
        handles = [stack.enter_context(path.open("wb", buffering=0)) for path in paths]
        for keys, hashes in batches:
            _spill(keys, hashes, shift, handles)
        for handle in handles:
            handle.close()
        work = [
            pool.submit(_count_file, path, part, shift, batches.words)
            for part, path in enumerate(paths)
        ]
        return sum(each.result() for each in work)


def _spill(keys: np.ndarray, hashes: np.ndarray, shift: int, handles: list[IO[bytes]]) -> None:
    from datumrl.datasets.packing_kernels import scatter

    ordered = np.empty_like(keys)
    sizes = np.zeros(len(handles), np.int64)
    scatter(keys, hashes, np.uint64(shift), sizes, ordered)
    begin = 0
    for size, handle in zip(sizes.tolist(), handles, strict=True):
        piece = memoryview(ordered[begin : begin + size]).cast("B") if size else b""
        while len(piece):  # an unbuffered write may take only a part
            piece = piece[handle.write(piece) :]
        begin += size


def _count_file(path: Path, part: int, shift: int, words: int) -> int:
    from datumrl.datasets.packing_kernels import hash_keys

    rows = path.stat().st_size // (8 * words)
    table = _Table(rows, words)
    size = max(1, _BATCH_BYTES // (8 * words))
    with path.open("rb", buffering=0) as handle:
        while len(keys := np.fromfile(handle, np.uint64, size * words).reshape(-1, words)):
            hashes = np.empty(len(keys), np.uint64)
            hash_keys(keys, hashes)
            table.add(keys, hashes, part, shift)
    path.unlink()
    return table.count
