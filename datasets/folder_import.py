"""Folders of published files brought into ``DATUMRL_HOME``: linked where possible, else copied.

Such a folder may hold hundreds of gigabytes that nobody edits, so a hard link takes none of them
again; its hash, recorded at the import, tells if a file was changed all the same.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from datumrl.datasets import files, identity, reading
from datumrl.datasets.downloading import Report, Step
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.record import DatasetRecord


def find_folder(source: Path, record: DatasetRecord) -> Path:
    """Return the folder to import: ``source``, or the one below it that is the record's.

    Raises DatumrlError where there is none, or none that holds what the record's reader needs.
    """
    source = files.expanded(source, "--from ")
    name = Path(record.file_name)
    for folder in (source / name, source / name.name, source):
        if folder.is_dir():
            break
    else:
        raise DatumrlError(f"--from {source}: there is no such folder, as {record.id} is; check it")
    if not identity.members(folder):
        raise DatumrlError(f"--from {folder}: holds no file; name the folder of {record.id}")
    reading.check_folder(folder, record)
    return folder


def bring(source: Path, target: Path, report: Report) -> None:
    """Make ``target`` a folder of the same files as ``source``, all or nothing."""
    members = identity.members(source)
    total = sum(path.stat().st_size for path in members)
    done = 0
    with files.replacing_folder(target) as temporary:
        for path in members:
            place = temporary / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(OSError):  # another disk, or none that links
                os.link(path.resolve(), place)
            if not place.exists():
                shutil.copyfile(path, place)
            done += path.stat().st_size
            report(Step(f"importing {source.name}", done, total))
