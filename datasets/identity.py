"""Which file, or folder of files, prepared columns were made from."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from datumrl.datasets import files
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.record import DatasetRecord

# reader -> version, raised when columns that it made before are not what it would make now; 1 where
# none is given.  2 of "user": next observations were cast without a look at their type, rows that
# were never written to an HDF5 file were zeros.  2 of "minari": such rows, and NaN as integers.
# 2 of "d4rl": antmaze's resets to a diagonal neighbour were not seen.  3 of "user" and "minari":
# the parts of dict observations came in reverse, and numbers of another byte order kept it.
_READER_VERSIONS = {"user": 3, "minari": 3, "d4rl": 2}


def quick(source: Path) -> tuple[int, int | str]:
    """Return (bytes, stamp), which tell at once that nothing changed.

    The stamp of a file is its modification in ns; of a folder, a digest of the names, sizes and
    modifications of all its files.
    """
    return _quick(source, members(source))


def _quick(source: Path, paths: Iterable[Path]) -> tuple[int, int | str]:
    if not source.is_dir():
        state = source.stat()
        return state.st_size, state.st_mtime_ns
    digest, size = hashlib.sha256(), 0
    for name, path in _named(source, paths):
        state = path.stat()
        size += state.st_size
        digest.update(_bytes(f"{name}\0{state.st_size}\0{state.st_mtime_ns}\n"))
    return size, digest.hexdigest()


def meaning(record: DatasetRecord) -> str:
    """Return the hex sha256 of all in a record, and of its reader, that columns depend on.

    Where the source lies and what it must hold are told apart from this.
    """
    told = {
        "reader": record.reader,
        "version": _READER_VERSIONS.get(record.reader, 1),
        "time_limit": record.time_limit,
        "discrete_actions": record.discrete_actions,
        "options": {name: value for name, value in record.options if name != "path"},
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def is_current(
    state: tuple[int, int | str], record: DatasetRecord, known: Mapping[str, Any]
) -> bool | None:
    """Return whether columns, of which `describe` told this, are of a record and a source.

    ``state`` is what `quick` tells of the source now.  None where only its sha256 can say.
    """
    # Columns made before meanings were kept are of the first version of their reader.
    old = "meaning" not in known and record.reader not in _READER_VERSIONS
    if not old and known.get("meaning") != meaning(record):
        return False
    if record.sha256 not in (None, known.get("sha256")):
        return False
    size, stamp = state
    if known.get("size") != size:
        return False
    # Columns made before stamps were kept have the newest modification, which is that of a file.
    return True if known.get("stamp", known.get("mtime_ns")) == stamp else None


def sha256(source: Path, known: Mapping[str, str] | None = None) -> str:
    """Return the hex sha256 of a file; of a folder, that of its files' names and hashes.

    ``known`` are hashes by path of files that were read whole already.
    """
    if not source.is_dir():
        return files.sha256(source)
    return _of_members(source, members(source), known or {})


def _of_members(source: Path, paths: Iterable[Path], known: Mapping[str, str]) -> str:
    digest = hashlib.sha256()
    for name, path in _named(source, paths):
        digest.update(_bytes(f"{name}\0{known.get(str(path)) or files.sha256(path)}\n"))
    return digest.hexdigest()


def _named(source: Path, paths: Iterable[Path]) -> Iterator[tuple[str, Path]]:
    prefix = len(source.parts)
    return (("/".join(path.parts[prefix:]), path) for path in paths)


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")  # names of files need not be valid Unicode


def members(source: Path) -> list[Path]:
    """Return the file itself, or all files below a folder in the order of their names."""
    if not source.is_dir():
        return [source]
    # Folders of a thousand episodes: paths compare slowly, and what the scan tells is not asked.
    return [source.joinpath(*parts) for parts in sorted(_below(str(source), ()))]


def _below(folder: str, parts: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _below(entry.path, (*parts, entry.name))
            elif entry.is_file():
                yield (*parts, entry.name)


def check_kind(source: Path, record: DatasetRecord) -> None:
    """Raise DatumrlError for a file where the record is of a folder, or the other way round."""
    if source.is_dir() != record.folder:
        wanted = "folder" if record.folder else "file"
        raise DatumrlError(
            f"{source}: cannot be read, since {record.id} is a {wanted}; {remedy(source, record)}"
        )


def describe(
    source: Path, record: DatasetRecord, known: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return what prepared columns record of their source: path, size, stamp, sha256, meaning.

    ``known`` are hashes by path of a folder's files that were read whole already.
    Raises DatumrlError for a source that cannot be read, or is not what the record expects.
    """
    check_kind(source, record)
    try:
        paths = members(source)
        size, stamp = _quick(source, paths)
        folder = source.is_dir()
        found = _of_members(source, paths, known or {}) if folder else files.sha256(source)
        md5 = files.md5(source) if record.md5 and source.is_file() else record.md5
    except OSError as problem:
        raise DatumrlError(f"{source}: cannot be read ({problem.strerror}); mend that") from problem
    for name, expected, actual in (("sha256", record.sha256, found), ("md5", record.md5, md5)):
        if expected not in (None, actual):
            raise DatumrlError(
                f"{source}: expected {name} {expected}, the file has {actual}; "
                f"{remedy(source, record)}"
            )
    return {
        "path": str(source.resolve()),
        "size": size,
        "stamp": stamp,
        "sha256": found,
        "meaning": meaning(record),
    }


def complaint(source: Path, record: DatasetRecord) -> Callable[[str], DatumrlError]:
    """Return what makes an error of what is wrong with a source: named, with the remedy."""

    def error(problem: str) -> DatumrlError:
        return DatumrlError(f"{source}: {problem}; {remedy(source, record)}")

    return error


def remedy(source: Path, record: DatasetRecord) -> str:
    """Return what to do about a source that is not right."""
    from datumrl.datasets import places

    if record.collection == "user":
        return (
            "restore what was registered, or register what is there now under another name (or "
            "with --replace)"
        )
    fetch = f"`datumrl fetch {record.id}`"
    if source == places.raw_path(record):
        return f"delete it and run {fetch}"
    return f"check that it is the file of {record.id}, or get that with {fetch}"
