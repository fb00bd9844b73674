"""Minari datasets into Minari's own folder: by the minari package's download, or by a copy.

The package writes a download straight to its final place and takes a folder that exists for a whole
dataset.  So it is sent to a hidden folder beside that place, and what came is moved there once it
is complete.  A hidden folder that an interruption left is gone on with.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from datumrl.datasets import (
    catalogue,
    fetching,
    files,
    identity,
    leftovers,
    minari_catalogue,
    places,
)
from datumrl.datasets.catalogue import DatasetRecord
from datumrl.datasets.downloading import Origin, Report, Step
from datumrl.datasets.errors import DatumrlError, installed_by
from datumrl.datasets.locking import locked

REMOTE_VARIABLE = "MINARI_REMOTE"  # which the package honours; its own default is below
_DEFAULT_REMOTE = "hf://farama-minari"
_NAMESPACE_FILE = "namespace_metadata.json"  # by which minari lists a folder of datasets


def fetch(
    record: DatasetRecord, source: Path | None, force: bool, report: Report
) -> fetching.Fetched:
    """Bring a Minari dataset to Minari's folder, or verify the one that is there.

    The sha256 of its files is recorded under DATUMRL_HOME, so that nothing foreign lies in Minari's
    folder.  Raises DatumrlError where it cannot be had, for one changed since it was fetched, and
    for one that is not complete; what was there before then still is.
    """
    path = places.raw_path(record)
    recorded = files.home() / "raw" / record.id
    waiting = "another process is fetching this dataset; waiting"
    with locked(recorded, lambda: report(waiting)):
        leftovers.sweep(path)
        before = fetching.read_sidecar(recorded)
        if (path / "data" / "metadata.json").is_file() and not force:
            return _at_hand(record, path, recorded, before)
        how: fetching.How = "downloaded" if source is None else "imported"
        if source is None:
            staging = path.with_name(f".{path.name}.fetching")
            with locked(staging, lambda: report(waiting)):
                report(f"{record.id}: asking the minari package for it")
                with _nearest_told(record):
                    origin = _download(record, staging, force)
                sha256 = _install(record, staging, path, recorded)
        else:
            origin = _copy(record, files.expanded(source, "--from "), path, recorded, report)
            sha256 = identity.sha256(path)
        other = before.sha256 if before and before.sha256 != sha256 else None
        _record(record, path, recorded, sha256, origin)
        return fetching.Fetched(path, sha256, False, origin, how, other, recorded)


def _at_hand(
    record: DatasetRecord, path: Path, recorded: Path, before: fetching.Sidecar | None
) -> fetching.Fetched:
    sha256 = _checked(path, f"`datumrl fetch {record.id} --force` gets it anew")
    if before is None:
        _record(record, path, recorded, sha256, str(path))
    elif before.sha256 != sha256:
        raise DatumrlError(
            f"{path}: expected sha256 {before.sha256}, its files have {sha256}; they were changed "
            f"since they were fetched: `datumrl fetch {record.id} --force` fetches them again"
        )
    origin = str(path) if before is None else before.url
    return fetching.Fetched(path, sha256, False, origin, "verified", None, recorded)


def _record(record: DatasetRecord, path: Path, recorded: Path, sha256: str, origin: str) -> None:
    size = identity.quick(path)[0]
    fetching.write_sidecar(record, recorded, sha256, Origin(origin, None, None, None), size)


def _checked(folder: Path, remedy: str) -> str:
    """Return the sha256 of a dataset's files, once all that its metadata tells of is there."""
    from datumrl.datasets import minari_metadata, minari_reader

    def error(problem: str) -> DatumrlError:
        return DatumrlError(f"{folder}: {problem}; {remedy}")

    metadata = minari_metadata.read(folder, error)
    with minari_reader.storage_of(folder, metadata, error) as storage:
        if metadata.total_episodes not in (None, storage.total_episodes):
            raise error(
                f"says it has {metadata.total_episodes} episodes, and holds "
                f"{storage.total_episodes}"
            )
        return identity.sha256(folder, storage.hashes)


def _download(record: DatasetRecord, staging: Path, force: bool) -> str:
    """Let the minari package download into a folder of its own; return where from."""
    name = _name(record)
    remote = os.environ.get(REMOTE_VARIABLE) or _DEFAULT_REMOTE
    download = _downloader(record)
    # Where a download was interrupted, minari would take what is there for all.
    again = (staging / name).exists()
    with files.storage_errors(staging):
        _declare_namespaces(staging, name)
    try:
        with _minari_folder(staging), _quiet():
            download(name, force_download=force or again)
    except Exception as problem:  # of a remote's own library, which may be any
        kept = any(path.name != _NAMESPACE_FILE for path in identity.members(staging))
        if not kept:
            shutil.rmtree(staging, ignore_errors=True)
        goes_on = "; what has come is kept, and the same command goes on with it" if kept else ""
        raise DatumrlError(
            f"{record.id}: the minari package could not download it from {remote} "
            f"({type(problem).__name__}: {problem}); check the network and {REMOTE_VARIABLE}, or "
            f"import a folder at hand with --from{goes_on}"
        ) from problem
    if not (staging / name).is_dir():
        shutil.rmtree(staging, ignore_errors=True)
        raise DatumrlError(
            f"{record.id}: the minari package found nothing to download at {remote}; check "
            f"{REMOTE_VARIABLE}"
        )
    return f"{remote}/{name}"


@contextlib.contextmanager
def _nearest_told(record: DatasetRecord) -> Iterator[None]:
    """Add what an id may have been meant for to the error, where no catalogue has the id."""
    try:
        yield
    except DatumrlError as problem:
        if catalogue.known(record.id) is not None:
            raise
        told = f"the id is in no catalogue: {catalogue.nearest(record.id)}"
        raise DatumrlError(f"{problem}; {told}") from problem


def _name(record: DatasetRecord) -> str:
    return record.id.removeprefix(minari_catalogue.PREFIX)


def _declare_namespaces(staging: Path, name: str) -> None:
    """Copy what Minari's folder says of a dataset's namespaces; minari asks for others."""
    staging.mkdir(exist_ok=True)
    for parent in list(Path(name).parents)[:-1]:
        declared = minari_catalogue.root() / parent / _NAMESPACE_FILE
        if declared.is_file():
            (staging / parent).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(declared, staging / parent / _NAMESPACE_FILE)


@contextlib.contextmanager
def _minari_folder(folder: Path) -> Iterator[None]:
    """Let minari keep its datasets in another folder for a while."""
    variable = minari_catalogue.ROOT_VARIABLE
    before = os.environ.get(variable)
    os.environ[variable] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ[variable]
        else:
            os.environ[variable] = before


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what minari prints out of the output, and its warnings that a later version exists."""
    with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _install(record: DatasetRecord, staging: Path, path: Path, recorded: Path) -> str:
    """Move a complete download to its place, and what came with it; return its sha256."""
    staged = staging / _name(record)
    shutil.rmtree(staged / ".cache", ignore_errors=True)  # Hugging Face's notes of the download
    try:
        sha256 = _checked(staged, "the download is not whole, or not at its source; fetch it again")
    except DatumrlError:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    with files.storage_errors(path):
        _install_others(staging, staged)
        fetching.sidecar_path(recorded).unlink(missing_ok=True)  # it is not of what comes
        files.put_in_place(staged, path)
    shutil.rmtree(staging, ignore_errors=True)
    return sha256


def _install_others(staging: Path, staged: Path) -> None:
    """Move datasets that the one was combined from, and its namespaces, unless they are there."""
    root = minari_catalogue.root()
    for folder in list(minari_catalogue.dataset_folders(staging)):
        place = root / folder.relative_to(staging)
        if folder == staged or place.exists():
            continue
        with contextlib.suppress(DatumrlError):  # not whole: asked for, it is fetched by itself
            _checked(folder, "fetch it again")
            place.parent.mkdir(parents=True, exist_ok=True)
            files.put_in_place(folder, place)
    for declared in staging.rglob(_NAMESPACE_FILE):
        place = root / declared.relative_to(staging)
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            declared.replace(place)


def _downloader(record: DatasetRecord) -> Callable[..., None]:
    try:
        download: Callable[..., None] = importlib.import_module("minari").download_dataset
    except ImportError as problem:
        raise DatumrlError(
            f"{record.id}: is downloaded by the minari package ({problem}); install it with "
            f"{installed_by('interop')}, or import a folder at hand with --from"
        ) from problem
    return download


def _copy(record: DatasetRecord, source: Path, path: Path, recorded: Path, report: Report) -> str:
    """Copy a dataset's folder to its place, all or nothing; return where from."""
    if not source.is_dir():
        raise DatumrlError(f"--from {source}: a Minari dataset is a folder; check the path")
    _checked(source, f"name a folder that holds {record.id} as a whole")
    members = files.below([source], "*")
    total, done = sum(member.stat().st_size for member in members), 0
    with files.replacing_folder(path) as temporary:
        for member in members:
            place = temporary / member.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(member, place)
            done += place.stat().st_size
            report(Step(f"importing {record.id}", done, total))
        fetching.sidecar_path(recorded).unlink(missing_ok=True)  # it is not of what comes
    return str(source.resolve())
