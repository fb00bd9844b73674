"""Registered datasets are removed again: what was made of them goes, the user's files stay."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from datumrl.datasets import files, leftovers, registration
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.locking import locked
from datumrl.datasets.registration_schema import PREFIX


def unregister(dataset_id: str) -> tuple[Path, ...]:
    """Remove a registered description and its prepared columns; return what was removed, in order.

    The description goes last: killed before that, the same call removes the rest.  What a killed
    registration or conversion left goes too, without a description as well.  Another process that
    is at work on the dataset is waited for.  Raises DatumrlError for an id that is not registered;
    the message names those that are.
    """
    described = registration.registered_path(dataset_id)
    if described is not None and _is_known(described):
        name = described.stem
        with locked(registration.columns_folder(PREFIX + name), waiting=lambda: None):
            leftovers.sweep(registration.folder() / name)
            removed = (*_prepared(name), *_links(name), *_existing(described))
            for path in removed:
                with files.storage_errors(path):
                    _remove(path)
        if removed:
            return removed
    raise DatumrlError(f"{dataset_id} is not registered; {_registered()}")


def _is_known(described: Path) -> bool:
    """Return whether anything may have been made of an id, so that its lock is worth a folder."""
    return described.is_file() or registration.columns_folder(PREFIX).is_dir()


def _existing(described: Path) -> list[Path]:
    return [described] if described.is_file() else []


def _registered() -> str:
    folder = registration.folder()
    known = sorted(path.stem for path in folder.glob("*.toml")) if folder.is_dir() else []
    return f"registered are {', '.join(PREFIX + name for name in known)}" if known else "nothing is"


def _prepared(name: str) -> list[Path]:
    """Return the folders of columns that were made of a dataset's own files, and by ``path=``."""
    folder = registration.columns_folder(PREFIX)
    given = re.compile(rf"from-[0-9a-f]{{12}}\.{re.escape(name)}")
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    return [
        path
        for path in found
        if path.name == name
        # A dataset may have such a name itself.
        or (
            given.fullmatch(path.name)
            and not (registration.folder() / f"{path.name}.toml").exists()
        )
    ]


def _links(name: str) -> list[Path]:
    """Return the folders of links to the files that a pattern names."""
    ours = re.compile(rf"{re.escape(name)}\.[0-9a-f]{{12}}{re.escape(registration.MEMBERS)}")
    folder = registration.folder()
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in found if ours.fullmatch(path.name)]


def _remove(path: Path) -> None:
    """Remove a file, a link or a folder, which is never half there under its name."""
    if path.is_symlink() or not path.is_dir():
        path.unlink()
        return
    temporary, lock = leftovers.new_folder(path)
    try:
        path.rename(temporary / path.name)
        shutil.rmtree(temporary)
    finally:
        leftovers.release(lock)
