"""Where files live, and how they are written so that nothing is ever half there."""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from datumrl.datasets import leftovers
from datumrl.datasets.errors import DatumrlError

_STORAGE_REMEDIES = {
    errno.ENOSPC: "the disk is full; free some space or point DATUMRL_HOME elsewhere",
    errno.EDQUOT: "the disk quota is used up; free some space or point DATUMRL_HOME elsewhere",
    errno.EFBIG: "the file would be larger than the limit on file sizes; raise it (ulimit -f)",
    errno.ENOTDIR: "a part of this path is a file; point DATUMRL_HOME at a folder",
    errno.EEXIST: "a part of this path is a file; point DATUMRL_HOME at a folder",
    errno.EROFS: "the file system is read-only; point DATUMRL_HOME at a writable folder",
    errno.EACCES: "permission denied; point DATUMRL_HOME at a folder you may write",
    errno.EPERM: "not permitted; point DATUMRL_HOME at a folder you may write",
}


def home() -> Path:
    """Return the folder of downloads, prepared data and runs: ``DATUMRL_HOME`` or a default.

    The default is a folder where this system keeps its users' data.
    """
    given = os.environ.get("DATUMRL_HOME")
    if not given:
        return _user_data() / "datumrl"
    return expanded(given, "DATUMRL_HOME=")


def expanded(path: Path | str, named: str = "") -> Path:
    """Return a path of the user's whose first part may be ``~`` or ``~user``, without that.

    Raises DatumrlError where no such user, or no home folder of theirs, is known; ``named`` is what
    stands before the path in the message.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise DatumrlError(
            f"{named}{path}: no such user, or none with a home folder; write the path as a whole"
        ) from None


def _user_data() -> Path:
    named = "the folder of your data, "
    if sys.platform == "win32":
        return expanded(os.environ.get("LOCALAPPDATA") or "~/AppData/Local", named)
    if sys.platform == "darwin":
        return expanded("~/Library/Application Support", named)
    return expanded(os.environ.get("XDG_DATA_HOME") or "~/.local/share", named)


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn a full disk, a read-only folder and their like into an error that says what to do."""
    try:
        yield
    except OSError as problem:
        remedy = _STORAGE_REMEDIES.get(problem.errno or 0)
        if remedy is None:
            # The temporary name beside it tells the user nothing.
            if Path(str(problem.filename)).name.startswith(f".{path.name}."):
                problem.filename = str(path)
            raise
        if not path.absolute().is_relative_to(home().absolute()):  # a place that the user named
            remedy = remedy.replace("point DATUMRL_HOME at", "name").replace(
                "point DATUMRL_HOME elsewhere", "name another place"
            )
        raise DatumrlError(f"cannot write {path}: {remedy}") from problem


@contextlib.contextmanager
def replacing(path: Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a temporary file beside ``path``; rename it over ``path`` only if the block succeeds.

    What a killed process left of writing ``path`` is removed.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary, lock = leftovers.new_file(path)
    try:
        with storage_errors(path):
            encoding = None if "b" in mode else "utf-8"
            with os.fdopen(descriptor, mode, encoding=encoding) as handle:
                yield handle
                handle.flush()
                os.fsync(handle.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        leftovers.release(lock)


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``; it becomes ``path`` only if the block succeeds.

    What a killed process left of writing ``path`` is removed; an earlier folder that it had put
    aside by then comes back.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary, lock = leftovers.new_folder(path)
    try:
        with storage_errors(path):
            temporary.chmod(0o755)
            yield temporary
            put_in_place(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    finally:
        leftovers.release(lock)


def put_in_place(folder: Path, path: Path) -> None:
    """Rename a finished folder to ``path``, on the same file system; replace what is there.

    An earlier folder is put aside before it is removed, so that it is never half there, and is put
    back if anything comes between: at once, or by `leftovers.sweep` after a kill.
    """
    if not path.exists():
        folder.replace(path)
        return
    aside, lock = leftovers.new_folder(path, aside=True)
    try:
        path.rename(aside / path.name)
        folder.replace(path)
    except BaseException:
        leftovers.put_back(aside)
        raise
    finally:
        if path.exists():
            shutil.rmtree(aside)
        leftovers.release(lock)


@contextlib.contextmanager
def scratch_folder(name: str) -> Iterator[Path]:
    """Yield an empty folder among the system's temporary files; it is gone after the block.

    What killed processes left of scratch folders of this name is removed.
    """
    folder, lock = leftovers.new_folder(Path(tempfile.gettempdir()) / name)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        leftovers.release(lock)


def below(folders: Iterable[Path], pattern: str) -> list[Path]:
    """Return the files whose names match, in folders or anywhere below them; links are followed.

    Each folder is entered once, however many links lead to it, and by itself rather than by one.
    """
    found: list[Path] = []
    entered: set[Path] = set()
    waiting = list(folders)
    for start in waiting:  # which grows by the links that are met
        for place, names, files in os.walk(start):
            folder = Path(place)
            if folder.resolve() in entered:
                names.clear()
                continue
            entered.add(folder.resolve())
            found += [folder / name for name in fnmatch.filter(files, pattern)]
            waiting += [folder / name for name in sorted(names) if (folder / name).is_symlink()]
    return sorted(found)


def write_json(path: Path, content: Any) -> None:
    """Write strict JSON (no NaN, no infinity) atomically."""
    with replacing(path, "w") as handle:
        json.dump(content, handle, indent=2, allow_nan=False)
        handle.write("\n")


def read_json(path: Path) -> Any:
    """Read strict JSON; a missing or damaged file is an error that names it."""
    try:
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=_reject_constant)
    except FileNotFoundError:
        raise DatumrlError(f"{path} does not exist; check the path") from None
    except (ValueError, RecursionError) as problem:
        raise DatumrlError(f"{path} is not valid JSON ({problem}); restore or delete it") from None


def _reject_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number that JSON knows")


def sha256(path: Path) -> str:
    """Return the hex sha256 of a file, read in pieces."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def md5(path: Path) -> str:
    """Return the hex md5 of a file, which some publishers state; it guards against damage only."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
