"""One process at a time on one file, across processes; a killed holder lets go by itself."""

from __future__ import annotations

import contextlib
import errno
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from datumrl.datasets import files, leftovers

try:
    import fcntl
except ImportError:  # not POSIX: processes then do not wait for each other
    fcntl = None  # type: ignore[assignment]

_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
_PAUSE = 0.1  # seconds between two looks at a lock that another holds


@contextlib.contextmanager
def locked(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock of ``path``; ``waiting`` is called once if another process holds it.

    A folder that cannot be written to needs no lock, so files in a shared read-only one can be
    checked all the same.  Raises DatumrlError where the folder cannot be made.
    """
    lock = path.with_name(f".{path.name}.lock")
    with files.storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = _acquire(lock, waiting)
    except OSError as problem:
        if problem.errno not in _READ_ONLY:
            raise
        yield
        return
    with handle:
        try:
            yield
        finally:
            # Removed while held: whoever waits on this file sees that its name is gone.
            lock.unlink(missing_ok=True)


def _acquire(lock: Path, waiting: Callable[[], None]) -> IO[bytes]:
    told = False
    while True:
        handle = lock.open("ab")
        if fcntl is None:
            return handle
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.close()
            if not told:
                waiting()
                told = True
            time.sleep(_PAUSE)
            continue
        except BaseException:
            handle.close()
            raise
        if leftovers.is_at(handle.fileno(), lock):
            return handle
        handle.close()
