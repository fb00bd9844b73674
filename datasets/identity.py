"""Which file, or folder of files, prepared columns were made from."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from datumrl.datasets import files
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.record import DatasetRecord


def quick(source: Path) -> tuple[int, int]:
    """Return (bytes, newest modification in ns), which tell at once that nothing changed."""
    return _quick(members(source))


def _quick(paths: Iterable[Path]) -> tuple[int, int]:
    states = [path.stat() for path in paths]
    return sum(state.st_size for state in states), max(
        (state.st_mtime_ns for state in states), default=0
    )


def sha256(source: Path, known: Mapping[str, str] | None = None) -> str:
    """Return the hex sha256 of a file; of a folder, that of its files' names and hashes.

    ``known`` are hashes by path of files that were read whole already.
    """
    if not source.is_dir():
        return files.sha256(source)
    return _of_members(source, members(source), known or {})


def _of_members(source: Path, paths: Iterable[Path], known: Mapping[str, str]) -> str:
    digest, prefix = hashlib.sha256(), len(source.parts)
    for path in paths:
        name = "/".join(path.parts[prefix:])
        digest.update(f"{name}\0{known.get(str(path)) or files.sha256(path)}\n".encode())
    return digest.hexdigest()


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
    """Return what prepared columns record of their source: path, size, mtime_ns and sha256.

    ``known`` are hashes by path of a folder's files that were read whole already.
    Raises DatumrlError for a source that cannot be read, or is not what the record expects.
    """
    check_kind(source, record)
    try:
        paths = members(source)
        size, mtime_ns = _quick(paths)
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
    return {"path": str(source.resolve()), "size": size, "mtime_ns": mtime_ns, "sha256": found}


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
