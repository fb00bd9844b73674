"""Which file, or folder of files, prepared columns were made from."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from datumrl.datasets import files
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.record import DatasetRecord


def quick(source: Path) -> tuple[int, int]:
    """Return (bytes, newest modification in ns), which tell at once that nothing changed."""
    states = [path.stat() for path in members(source)]
    return sum(state.st_size for state in states), max(
        (state.st_mtime_ns for state in states), default=0
    )


def sha256(source: Path) -> str:
    """Return the hex sha256 of a file; of a folder, that of its files' names and hashes."""
    if not source.is_dir():
        return files.sha256(source)
    digest = hashlib.sha256()
    for path in members(source):
        digest.update(f"{path.relative_to(source).as_posix()}\0{files.sha256(path)}\n".encode())
    return digest.hexdigest()


def members(source: Path) -> list[Path]:
    """Return the file itself, or all files below a folder in the order of their names."""
    if not source.is_dir():
        return [source]
    return sorted(path for path in source.rglob("*") if path.is_file())


def describe(source: Path, record: DatasetRecord) -> dict[str, Any]:
    """Return what prepared columns record of their source: path, size, mtime_ns and sha256.

    Raises DatumrlError for a source that cannot be read, or is not what the record expects.
    """
    if source.is_dir() != record.folder:
        wanted = "folder" if record.folder else "file"
        raise DatumrlError(
            f"{source}: cannot be read, since {record.id} is a {wanted}; {remedy(source, record)}"
        )
    try:
        size, mtime_ns = quick(source)
        found = sha256(source)
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
