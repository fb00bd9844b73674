"""The sha256 of what is fetched, with progress, and of a file copied on the way."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path
from typing import IO

from datumrl.datasets import downloading, files, identity
from datumrl.datasets.downloading import Report, Step
from datumrl.datasets.errors import DatumrlError

_CHUNK = 1 << 22


def hash_of(path: Path, activity: str, report: Report, copy: Path | None = None) -> str:
    """Return the hex sha256 of a file, copying it on the way if told where, or of a folder."""
    if path.is_dir():
        return identity.sha256(path)
    digest = hashlib.sha256()
    with contextlib.ExitStack() as stack:
        handle = stack.enter_context(_readable(path))
        target = None
        if copy is not None:
            with files.storage_errors(copy):
                target = stack.enter_context(copy.open("wb", buffering=0))
        total, done = os.fstat(handle.fileno()).st_size, 0
        while chunk := handle.read(_CHUNK):
            digest.update(chunk)
            if target is not None and copy is not None:
                downloading.write_all(target, chunk, copy)
            done += len(chunk)
            report(Step(activity, done, total))
    return digest.hexdigest()


def _readable(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as problem:
        raise DatumrlError(f"{path}: cannot be read ({problem.strerror}); check it") from None
