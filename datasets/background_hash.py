"""The sha256 of a file, taken in a thread while another one reads what the file holds."""

from __future__ import annotations

import concurrent.futures
import hashlib
import threading
from pathlib import Path

# Large: HDF5 keeps the interpreter to itself while it reads, so that every piece has to wait.
_PIECE = 1 << 24


class BackgroundHash:
    """A context; leaving it stops a hash that nobody has waited for."""

    def __init__(self, path: Path) -> None:
        self._path, self._stopped = path, threading.Event()

    def __enter__(self) -> BackgroundHash:
        self._pool = concurrent.futures.ThreadPoolExecutor(1)
        self._digest = self._pool.submit(self._taken)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._pool.shutdown()

    def result(self) -> str:
        """Return the hex digest, once it is there.  Raises OSError if the file cannot be read."""
        return self._digest.result()

    def _taken(self) -> str:
        digest, piece = hashlib.sha256(), bytearray(_PIECE)
        with self._path.open("rb", buffering=0) as file:
            while (count := file.readinto(piece)) and not self._stopped.is_set():
                digest.update(memoryview(piece)[:count])
        return digest.hexdigest()
