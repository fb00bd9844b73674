"""What a killed process left half written: told from work going on by its lock, and removed.

What it had only put aside, to be replaced, is put back instead.

A temporary file or folder is locked while it is being written, by the system, which lets go when
the process ends in whatever way.  One that can be locked is therefore nobody's any more.
"""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # not POSIX: left-overs stay, since nothing tells them from work going on
    fcntl = None  # type: ignore[assignment]

_SUFFIX = ".tmp"
_ASIDE = ".aside.tmp"  # of a folder that holds, under its name, what is about to be replaced


def new_file(path: Path) -> tuple[int, Path, int | None]:
    """Make a temporary file beside ``path``, without what was left of earlier ones.

    Returns its descriptor for writing, its path, and the lock, a descriptor to be `released`.
    """
    sweep(path)
    while True:
        descriptor, name = tempfile.mkstemp(_SUFFIX, _prefix(path), path.parent)
        lock = None if fcntl is None else os.dup(descriptor)  # it outlives the writing
        if _held(lock, Path(name)):
            return descriptor, Path(name), lock
        os.close(descriptor)
        release(lock)


def new_folder(path: Path, *, aside: bool = False) -> tuple[Path, int | None]:
    """Make a temporary folder beside ``path``; returns it and the lock, to be `released`.

    One to put ``path`` ``aside`` in is not removed before what it holds is back, or replaced.
    """
    sweep(path)
    while True:
        suffix = _ASIDE if aside else _SUFFIX
        folder = Path(tempfile.mkdtemp(suffix, _prefix(path), path.parent))
        try:
            lock = None if fcntl is None else os.open(folder, os.O_RDONLY)
        except FileNotFoundError:  # swept before it could be locked
            continue
        if _held(lock, folder):
            return folder, lock
        release(lock)


def release(lock: int | None) -> None:
    """Let go of a lock."""
    if lock is not None:
        os.close(lock)


def sweep(path: Path) -> None:
    """Remove the temporary files and folders of ``path`` that no process holds any more.

    Where ``path`` was put aside and nothing has taken its place, it is put back.
    """
    if fcntl is None:
        return
    for found in path.parent.glob(f"{glob.escape(_prefix(path))}*{_SUFFIX}"):
        # What cannot be opened, locked or removed is somebody else's.
        with contextlib.suppress(OSError), _opened(found) as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if found.name.endswith(_ASIDE):
                put_back(found)
            if found.is_dir():
                shutil.rmtree(found)
            else:
                found.unlink()


def put_back(aside: Path) -> None:
    """Give what was put aside its name again, unless that is taken."""
    for path in list(aside.iterdir()):
        place = aside.parent / path.name
        if not os.path.lexists(place):
            path.rename(place)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def is_at(descriptor: int, path: Path) -> bool:
    """Return whether an open file or folder is still the one of that name, not one removed."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _held(lock: int | None, path: Path) -> bool:
    """Lock a new file or folder; False if another process swept it before that."""
    if lock is None:
        return True
    with contextlib.suppress(OSError):  # a file system without locks: its left-overs stay
        fcntl.flock(lock, fcntl.LOCK_EX)
    return is_at(lock, path)


def _prefix(path: Path) -> str:
    return f".{path.name}."
