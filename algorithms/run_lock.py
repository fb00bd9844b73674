"""One process at a time in a run's folder."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from datumrl.datasets import files, locking
from datumrl.datasets.errors import DatumrlError

try:
    import fcntl
except ImportError:  # not POSIX: nothing then keeps two processes out of one folder
    fcntl = None  # type: ignore[assignment]

_PATIENCE_SECONDS = 2.0  # for whoever else is in a run's folder


@contextlib.contextmanager
def only_process(folder: Path) -> Iterator[None]:
    """Keep other processes out of a run's folder; the system ends that when this one dies.

    On a file system without locks nothing does, and training goes on all the same.
    """
    with contextlib.ExitStack() as stack:
        with files.storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            handle = stack.enter_context((folder / ".lock").open("w"))
        if fcntl is not None and not _locked(handle):
            raise DatumrlError(
                f"{folder}: another process is training here; wait for it, or choose another "
                "folder with --out"
            )
        yield


def _locked(handle: IO[str]) -> bool:
    """Lock a file, with patience: the worker of a command just killed takes a moment to end."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        except OSError as problem:
            if problem.errno in locking.WITHOUT_LOCKS:
                return True
            raise
