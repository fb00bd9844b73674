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
WITHOUT_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)  # what a file system may answer
_PAUSE = 0.1  # seconds between two looks at a lock that another holds


@contextlib.contextmanager
def locked(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock of ``path``; ``waiting`` is called once if another process holds it.

    A folder that cannot be written to needs no lock, so files in a shared read-only one can be
    checked all the same; on a file system without locks, processes do not wait for each other.
    What killed processes left of writing ``path`` is removed, or put back (see `leftovers`).
    Raises DatumrlError where the folder cannot be made.
    """
    lock = path.with_name(f".{path.name}.lock")
    with files.storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    handle = None
    try:
        handle = _acquire(lock, waiting)
    except OSError as problem:
        if problem.errno in WITHOUT_LOCKS:
            lock.unlink(missing_ok=True)
        elif problem.errno not in _READ_ONLY:
            raise
    leftovers.sweep(path)
    try:
        yield
    finally:
        if handle is not None:
            _let_go(handle, lock)


def _let_go(handle: IO[bytes], lock: Path) -> None:
    with handle:
        if fcntl is None:
            handle.close()  # elsewhere than in POSIX, an open file has to keep its name
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
