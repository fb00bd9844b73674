"""Minari datasets into Minari's own folder: by the minari package's download, or by a copy."""

from __future__ import annotations

import importlib
import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

from datumrl.datasets import fetching, files, identity, minari_metadata, places
from datumrl.datasets.catalogue import DatasetRecord
from datumrl.datasets.downloading import Origin, Report
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.locking import locked

REMOTE_VARIABLE = "MINARI_REMOTE"  # which the package honours; its own default is below
_DEFAULT_REMOTE = "hf://farama-minari"


def fetch(
    record: DatasetRecord, source: Path | None, force: bool, report: Report
) -> fetching.Fetched:
    """Bring a Minari dataset to Minari's folder, or verify the one that is there.

    The sha256 of its files is recorded under DATUMRL_HOME, so that nothing foreign lies in Minari's
    folder.  Raises DatumrlError where it cannot be had, and for one changed since it was fetched.
    """
    path = places.raw_path(record)
    recorded = files.home() / "raw" / record.id
    with locked(recorded, lambda: report("another process is fetching this dataset; waiting")):
        before = fetching.read_sidecar(recorded)
        if (path / "data" / "metadata.json").is_file() and not force:
            return _at_hand(record, path, recorded, before)
        how: fetching.How = "downloaded" if source is None else "imported"
        if source is None:
            report(f"{record.id}: asking the minari package for it")
            origin = _download(record, path, force)
        else:
            origin = _copy(record, source.expanduser(), path)
        sha256 = _checked(record, path)
        other = before.sha256 if before and before.sha256 != sha256 else None
        _record(record, path, recorded, sha256, origin)
        return fetching.Fetched(path, sha256, False, origin, how, other, recorded)


def _at_hand(
    record: DatasetRecord, path: Path, recorded: Path, before: fetching.Sidecar | None
) -> fetching.Fetched:
    sha256 = _checked(record, path)
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


def _checked(record: DatasetRecord, path: Path) -> str:
    """Return the sha256 of a dataset's files, once its metadata can be read."""

    def error(problem: str) -> DatumrlError:
        return DatumrlError(f"{path}: {problem}; `datumrl fetch {record.id} --force` gets it anew")

    minari_metadata.read(path, error)
    return identity.sha256(path)


def _download(record: DatasetRecord, path: Path, force: bool) -> str:
    """Let the minari package download; return where from."""
    name = record.id.partition("/")[2]
    remote = os.environ.get(REMOTE_VARIABLE) or _DEFAULT_REMOTE
    download = _downloader(record)
    existed = path.exists()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as that a later version exists
            download(name, force_download=force)
    except Exception as problem:  # of a remote's own library, which may be any
        if not existed:
            shutil.rmtree(path, ignore_errors=True)
        raise DatumrlError(
            f"{record.id}: the minari package could not download it from {remote} "
            f"({type(problem).__name__}: {problem}); check the network and {REMOTE_VARIABLE}, or "
            "import a folder at hand with --from"
        ) from problem
    if not path.is_dir():
        raise DatumrlError(
            f"{record.id}: the minari package has put nothing at {path}; check MINARI_DATASETS_PATH"
        )
    return f"{remote}/{name}"


def _downloader(record: DatasetRecord) -> Callable[..., None]:
    try:
        download: Callable[..., None] = importlib.import_module("minari").download_dataset
    except ImportError as problem:
        raise DatumrlError(
            f"{record.id}: is downloaded by the minari package ({problem}); install it with "
            "`pip install datumrl[interop]`, or import a folder at hand with --from"
        ) from problem
    return download


def _copy(record: DatasetRecord, source: Path, path: Path) -> str:
    """Copy a dataset's folder to its place, all or nothing; return where from."""
    if not source.is_dir():
        raise DatumrlError(f"--from {source}: a Minari dataset is a folder; check the path")
    _checked(record, source)
    with files.replacing_folder(path) as temporary:
        shutil.copytree(source, temporary, dirs_exist_ok=True)
    return str(source.resolve())
