"""From a dataset id to Episodes: open the prepared columns, or make them from a file at hand."""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from datumrl.datasets import identity, places, prepared, reading
from datumrl.datasets.catalogue import DatasetRecord, find
from datumrl.datasets.episodes import Episodes
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.locking import locked
from datumrl.datasets.reading import Progress


def load(
    dataset_id: str, *, path: Path | str | None = None, progress: Progress | None = None
) -> Episodes:
    """Return a dataset with memory-mapped, read-only columns.

    The first load of a downloaded file converts it, which ``progress`` is told of; later loads
    open the result.  ``path`` names a file to use instead of the downloaded one (for a local
    dataset, its folder).

    Raises DatumrlError for an unknown id, a dataset that is not here, and a bad file.
    """
    record = find(dataset_id)
    given = None if path is None else Path(path)
    if given is not None and not given.exists():
        raise DatumrlError(f"{given} does not exist; check the path")
    if record.reader == "local":
        return _load_local(record, given)
    folder = places.prepared_folder(record)
    if given is not None:
        # A file of the user's own never becomes what the id means to a later load without it.
        key = hashlib.sha256(str(given.resolve()).encode()).hexdigest()[:12]
        folder = folder.with_name(f"from-{key}.{folder.name}")
    source = given or _source(record, folder)
    if source is not None and not _is_current(folder, source, record):
        _convert(source, record, folder, progress)
    return prepared.read(folder, record.id)


def qlearning_dataset(
    dataset_id: str, *, path: Path | str | None = None, progress: Progress | None = None
) -> dict[str, np.ndarray]:
    """Return the dict of D4RL's ``qlearning_dataset``, row for row; see `views` for its rules.

    Keys: observations, actions, next_observations, rewards (float32) and terminals (bool).
    """
    steps = load(dataset_id, path=path, progress=progress).transitions("d4rl-legacy")
    return {
        "observations": steps.observations,
        "actions": steps.actions,
        "next_observations": steps.next_observations,
        "rewards": steps.rewards,
        "terminals": steps.terminals,
    }


def _load_local(record: DatasetRecord, given: Path | None) -> Episodes:
    if given is not None:
        _check_given(given, record)
    folder = given or places.local_folder(record)
    if folder.exists():
        return prepared.read(folder, record.id)
    whole = places.local_folder(replace(record, id=record.full_id, prefix=None))
    if not whole.exists():
        raise DatumrlError(f"{record.id} is not here; run `datumrl collect {record.id}`")
    episodes = prepared.read(whole, record.full_id)
    return replace(episodes.prefix(record.prefix or len(episodes)), id=record.id)


def _check_given(folder: Path, record: DatasetRecord) -> None:
    """Raise DatumrlError for a path of the user's that is no folder of this local dataset."""
    if not (folder / "meta.json").is_file():
        raise DatumrlError(
            f"{folder}: is no folder that `datumrl collect` wrote, which is what a path of "
            f"{record.id} must be"
        )
    held = prepared.dataset_id(folder)
    if held != record.id:
        raise DatumrlError(f"{folder}: holds {held}, not {record.id}; use that id, or another path")


def _source(record: DatasetRecord, folder: Path) -> Path | None:
    """Return the file to convert, or to hold the prepared columns against; None: they suffice."""
    raw = places.raw_path(record)
    if record.collection == "user" and (gone := _gone(raw)):
        raise DatumrlError(f"{gone} is gone; {identity.remedy(raw, record)}")
    if raw.exists():
        return raw
    if folder.exists():
        return None
    if record.collection == "d4rl" and (cached := places.d4rl_cache_path(record)).exists():
        return cached
    how = f" ({record.access})" if record.access else ""
    raise DatumrlError(f"{record.id} is not here; run `datumrl fetch {record.id}`{how}")


def _gone(raw: Path) -> Path | None:
    """Return a user's file that is gone, or one that a folder of links leads to; None without."""
    linked = [each for each in raw.iterdir() if each.is_symlink()] if raw.is_dir() else []
    for path in [raw, *linked]:
        if not path.exists():
            return path.readlink() if path.is_symlink() else path
    return None


def _is_current(folder: Path, source: Path, record: DatasetRecord) -> bool:
    """Return whether prepared columns exist, and are of this very file as the record has it."""
    if not folder.exists():
        return False
    provenance = prepared.provenance(folder)
    known = provenance.get("source", {})
    state = identity.quick(source)
    current = identity.is_current(state, record, known)
    if current is not None:
        return current
    if known.get("sha256") != identity.sha256(source):
        return False
    with contextlib.suppress(DatumrlError):  # a read-only cache is hashed again next time
        known = {**known, "stamp": state[1]}
        prepared.amend_provenance(folder, {**provenance, "source": known})
    return True


def _convert(source: Path, record: DatasetRecord, folder: Path, progress: Progress | None) -> None:
    # The reader is not needed, nor imported, for later loads.
    from datumrl.datasets import fetching

    # A user's file has nothing of ours beside it, nor has one at a path that the user names.
    ours = record.collection not in ("minari", "user") and source == places.raw_path(record)
    fetched = fetching.read_sidecar(source) if ours else None
    if fetched is not None and record.sha256 is None:
        # The file has to be what was fetched, even where nothing confirms what that was.
        record = replace(record, sha256=fetched.sha256)
    with locked(folder, waiting=lambda: None):
        if not _is_current(folder, source, record):  # another process may have converted it
            reading.reader_of(record).convert(source, record, folder, progress)
