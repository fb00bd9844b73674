"""Where the chunks of a collection under way lie, and when they are of no more use."""

from __future__ import annotations

import glob
import re
import shutil
from pathlib import Path

from datumrl.datasets.locking import locked

_SUFFIX = ".chunks"


def folder_for(dataset: Path, identity: str) -> Path:
    """Return the folder beside ``dataset`` for its chunks; one of each prefix, and of the whole.

    ``identity`` tells apart what must not be mixed in one dataset.
    """
    return dataset.with_name(f".{dataset.name}.{identity}{_SUFFIX}")


def remove(dataset: Path, whole: bool) -> None:
    """Remove the chunks of a dataset that is all there, whose lock the caller holds.

    With the whole, those of its prefixes go too, since they are read from it, except where another
    process is collecting one.  What may not be removed stays.
    """
    _remove_of(dataset)
    if not whole:
        return
    prefix = re.compile(rf"\.({re.escape(dataset.name)}@[0-9]+[kM]?)\..*")
    found = dataset.parent.glob(f".{glob.escape(dataset.name)}@*{_SUFFIX}")
    for name in sorted({match[1] for path in found if (match := prefix.fullmatch(path.name))}):
        try:
            with locked(dataset.with_name(name), waiting=_leave):
                _remove_of(dataset.with_name(name))
        except _InUseError:
            continue


def _remove_of(dataset: Path) -> None:
    for path in dataset.parent.glob(f".{glob.escape(dataset.name)}.*{_SUFFIX}"):
        shutil.rmtree(path, ignore_errors=True)


class _InUseError(Exception):
    """Another process is at work there."""


def _leave() -> None:
    raise _InUseError
