"""From a catalogue record to a verified file: downloaded, imported, or found in D4RL's cache.

Beside the file lies ``<file>.json``: where it came from, its size and its sha256.  The hash is
recorded at the first fetch and verified at every later one; it is *confirmed* only if the catalogue
itself states it, since a source that lies the first time lies consistently.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import urllib.parse
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from datumrl.datasets import downloading, files, folder_import, formats, identity, places
from datumrl.datasets.catalogue import DatasetRecord
from datumrl.datasets.downloading import Origin, Report, Step
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.hashing import hash_of
from datumrl.datasets.http_answers import SCHEMES
from datumrl.datasets.locking import locked

How = Literal["downloaded", "verified", "imported", "d4rl-cache"]
MIRRORS_VARIABLE = "DATUMRL_MIRRORS"


@dataclass(frozen=True)
class Fetched:
    """A file at hand whose hash was just computed."""

    path: Path
    sha256: str
    confirmed: bool  # the catalogue states this very hash
    origin: str  # the url or path it came from
    how: How  # what this call did
    replaced: str | None = None  # the sha256 recorded before, if a forced fetch brought another
    recorded: Path | None = None  # beside what its record lies, where that is not ``path``


@dataclass(frozen=True)
class Sidecar:
    """What is recorded beside a fetched file."""

    dataset: str
    url: str  # or the path, for a file that was at hand
    sha256: str
    size: int
    confirmed: bool
    etag: str | None
    last_modified: str | None
    fetched: str  # UTC, ISO 8601
    datumrl: str


def fetch(
    record: DatasetRecord,
    *,
    mirrors: Iterable[str] = (),
    source: Path | None = None,
    force: bool = False,
    progress: Report | None = None,
    timeout: float = 30.0,
    pause: float = 1.0,
) -> Fetched:
    """Bring a dataset's file to `places.raw_path`, or verify the one that is there.

    The sources are the record's urls in order, then ``mirrors``, then those in DATUMRL_MIRRORS (see
    `mirror_url`).  ``source`` imports a file, or the file of that name in a folder, instead of
    downloading (for a dataset that is a folder of files, that folder); ``force`` fetches again what
    is there.  ``timeout`` is the longest silence of a server and ``pause`` the first wait before a
    repetition, both in seconds.

    Raises DatumrlError where the dataset cannot be fetched; what was there before then still is,
    and an interrupted download is continued by the next call.
    """
    if record.reader == "local":
        raise DatumrlError(
            f"{record.id}: is generated, not downloaded; run `datumrl collect {record.id}`"
        )
    if record.collection == "user":
        raise DatumrlError(f"{record.id}: is your own, registered where it lies; nothing to fetch")
    if record.collection == "minari":
        from datumrl.datasets import minari_fetching

        return minari_fetching.fetch(record, source, force, progress or _ignore)
    path, report = places.raw_path(record), progress or _ignore
    urls = _sources(record, mirrors)
    with locked(path, lambda: report("another process is fetching this file; waiting for it")):
        if path.exists() and not force:
            return _at_hand(record, path, source, report)
        if source is not None:
            return _import_given(record, path, source, report)
        if not force and (fetched := _from_d4rl(record, path, report)):
            return fetched
        return _download(record, path, urls, report, timeout, pause)


def read_sidecar(path: Path) -> Sidecar | None:
    """Return what is recorded beside a fetched file; None if nothing is.

    Raises DatumrlError for a damaged record.
    """
    beside = sidecar_path(path)
    if not beside.exists():
        return None
    content = files.read_json(beside)
    try:
        sidecar = Sidecar(**content)
        well = len(bytes.fromhex(sidecar.sha256)) == 32 and isinstance(sidecar.size, int)
    except (TypeError, ValueError):
        well = False
    if not well:
        raise DatumrlError(
            f"{beside} is not a record of a fetched file; delete it, and the next `datumrl fetch` "
            "records the file as it is"
        )
    return sidecar


def sidecar_path(path: Path) -> Path:
    """Return where the record of a fetched file lies: its name and ``.json``."""
    return path.with_name(path.name + ".json")


def mirror_url(prefix: str, url: str) -> str:
    """Return where a mirror has the file of a catalogue url: prefix, last folder, file name.

    ``https://host/data`` mirrors ``http://.../gym_mujoco_v2/hopper_medium-v2.hdf5`` as
    ``https://host/data/gym_mujoco_v2/hopper_medium-v2.hdf5``.

    Raises DatumrlError for a prefix that is no http or https address.
    """
    parts = urllib.parse.urlsplit(prefix)
    if parts.scheme not in SCHEMES or not parts.netloc or parts.query or parts.fragment:
        raise DatumrlError(
            f"mirror {prefix!r}: is no http:// or https:// address of a folder; write for example "
            "https://host/d4rl, and use --from for a file at hand"
        )
    return "/".join([prefix.rstrip("/"), *urllib.parse.urlsplit(url).path.split("/")[-2:]])


def _sources(record: DatasetRecord, mirrors: Iterable[str]) -> list[str]:
    for url in record.urls:
        if urllib.parse.urlsplit(url).scheme not in SCHEMES:
            raise DatumrlError(f"{record.id}: {url} is no http:// or https:// address; mend it")
    of_environment = os.environ.get(MIRRORS_VARIABLE, "").replace(",", " ").split()
    prefixes = [*mirrors, *of_environment]
    return [
        *record.urls,
        *(mirror_url(prefix, url) for prefix in prefixes for url in record.urls[:1]),
    ]


def _at_hand(record: DatasetRecord, path: Path, source: Path | None, report: Report) -> Fetched:
    """Verify the file that is there against its record; write the record if there is none."""
    sidecar = read_sidecar(path)
    sha256 = hash_of(path, f"verifying {path.name}", report)
    again = f"`datumrl fetch {record.id} --force` fetches it again"
    if sidecar is not None and sidecar.sha256 != sha256:
        raise DatumrlError(
            f"{path}: expected sha256 {sidecar.sha256}, file has {sha256}; it was changed or "
            f"damaged since it was fetched: {again}"
        )
    fault = _contradiction(record, sha256, path) or (
        None if sidecar or record.folder else formats.fault(path, path.suffix)
    )
    if fault:
        raise DatumrlError(f"{path}: {fault}; {again}")
    if source is not None:
        given = (
            folder_import.find_folder(source, record)
            if record.folder
            else _found(source, path.name)
        )
        _compare(path, sha256, given, report)
    confirmed = record.sha256 is not None
    if sidecar is None:
        sidecar = write_sidecar(record, path, sha256, Origin(str(path), None, None, None))
    elif sidecar.confirmed != confirmed:  # the catalogue has learned the hash since
        files.write_json(sidecar_path(path), asdict(replace(sidecar, confirmed=confirmed)))
    return Fetched(path, sha256, confirmed, sidecar.url, "verified")


def _compare(path: Path, sha256: str, source: Path, report: Report) -> None:
    if hash_of(source, f"comparing {source.name}", report) != sha256:
        raise DatumrlError(
            f"{source} differs from {path}, which is there already; add --force to replace it"
        )


def _from_d4rl(record: DatasetRecord, path: Path, report: Report) -> Fetched | None:
    """Use the file that D4RL itself downloaded earlier, if it has a whole one."""
    if not record.id.startswith("d4rl/"):
        return None
    cached = places.d4rl_cache_path(record)
    if not cached.is_file():
        return None
    try:
        return _import(record, path, cached, "d4rl-cache", report)
    except _UnusableError as problem:
        # D4RL downloads straight to the final name, so an interrupted one looks finished.
        report(f"not used from D4RL's cache: {problem}")
        return None


def _import(record: DatasetRecord, path: Path, source: Path, how: How, report: Report) -> Fetched:
    """Bring a file at hand to ``path``: D4RL's own by a hard link where possible, others copied.

    A copy of the user's file stays what it is when the original is edited in place; nobody edits
    D4RL's cache, and sharing it takes no second gigabyte.
    """
    temporary = path.with_name(f".{path.name}.import")
    try:
        with files.storage_errors(path):
            temporary.unlink(missing_ok=True)  # of an import that was killed
        if fault := formats.fault(source, path.suffix):
            raise _UnusableError(f"{source}: {fault}; get the file anew")
        if how == "d4rl-cache":
            with contextlib.suppress(OSError):
                os.link(source.resolve(), temporary)  # of a link, it would link that itself
        copy = None if temporary.exists() else temporary
        sha256 = hash_of(source, f"importing {source.name}", report, copy)
        if fault := _contradiction(record, sha256, source):
            raise _UnusableError(f"{source}: {fault}; get the file anew")
        origin = Origin(str(source.resolve()), None, None, None)
        return _install(record, temporary, path, sha256, origin, how)
    finally:
        temporary.unlink(missing_ok=True)


def _import_given(record: DatasetRecord, path: Path, source: Path, report: Report) -> Fetched:
    """Bring what the user has at hand, a file or (for such a dataset) a folder."""
    if not record.folder:
        return _import(record, path, _found(source, path.name), "imported", report)
    folder = folder_import.find_folder(source, record)
    before = None
    with contextlib.suppress(DatumrlError):  # a damaged record is replaced with its folder
        before = read_sidecar(path)
    with files.storage_errors(path):
        sidecar_path(path).unlink(missing_ok=True)
    folder_import.bring(folder, path, report)
    sha256 = identity.sha256(path)
    sidecar = write_sidecar(record, path, sha256, Origin(str(folder.resolve()), None, None, None))
    other = before.sha256 if before and before.sha256 != sha256 else None
    return Fetched(path, sha256, sidecar.confirmed, sidecar.url, "imported", other)


def _download(
    record: DatasetRecord, path: Path, urls: list[str], report: Report, timeout: float, pause: float
) -> Fetched:
    if not urls:
        raise DatumrlError(
            f"{record.id}: has no address to download from; {record.access or 'get it by hand'}, "
            f"then run `datumrl fetch {record.id} --from PATH`"
        )
    sha256 = ""

    def what_is_wrong(part: Path) -> str | None:
        nonlocal sha256
        sha256 = hash_of(part, f"verifying {path.name}", report)
        return formats.fault(part, path.suffix) or _contradiction(record, sha256, part)

    part = path.with_name(path.name + ".part")
    wanted = downloading.Download(
        urls, part, formats.signature(path.suffix), report, what_is_wrong, timeout, pause
    )
    try:
        origin = wanted.run()
    except DatumrlError as problem:
        raise DatumrlError(f"{record.id}: {problem}") from problem.__cause__
    part = wanted.part_of(origin.url)
    wanted.forget(but=origin.url)
    fetched = _install(record, part, path, sha256, origin, "downloaded")
    downloading.notes_path(part).unlink(missing_ok=True)
    return fetched


def _install(
    record: DatasetRecord, temporary: Path, path: Path, sha256: str, origin: Origin, how: How
) -> Fetched:
    """Give a checked file its name.  Killed half-way, it leaves a file that is recorded next time,
    never one beside the record of another."""
    before = None
    with contextlib.suppress(DatumrlError):  # a damaged record is replaced with its file
        before = read_sidecar(path)
    with files.storage_errors(path):
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        sidecar_path(path).unlink(missing_ok=True)
        temporary.replace(path)
    sidecar = write_sidecar(record, path, sha256, origin)
    other = before.sha256 if before and before.sha256 != sha256 else None
    return Fetched(path, sha256, sidecar.confirmed, sidecar.url, how, other)


def write_sidecar(
    record: DatasetRecord, path: Path, sha256: str, origin: Origin, size: int | None = None
) -> Sidecar:
    """Record beside ``path`` where it came from; ``size`` where it is not that of a file there."""
    sidecar = Sidecar(
        dataset=record.id,
        url=origin.url,
        sha256=sha256,
        size=path.stat().st_size if size is None else size,
        confirmed=record.sha256 is not None,
        etag=origin.etag,
        last_modified=origin.last_modified,
        fetched=datetime.now(UTC).isoformat(timespec="seconds"),
        datumrl=importlib.metadata.version("datumrl"),
    )
    files.write_json(sidecar_path(path), asdict(sidecar))
    return sidecar


def _found(source: Path, name: str) -> Path:
    """Return the file to import: ``source``, or the one of the publisher's name in that folder."""
    source = files.expanded(source, "--from ")
    file = source / name if source.is_dir() else source
    if not file.is_file():
        raise DatumrlError(f"--from {file}: there is no such file; check the path")
    return file


def _contradiction(record: DatasetRecord, sha256: str, file: Path) -> str | None:
    """Return what is wrong with a file, given the catalogue's hashes; None if nothing shows."""
    if record.sha256 not in (None, sha256):
        return f"has sha256 {sha256}, but the catalogue says {record.sha256}"
    if record.md5 is not None and (found := files.md5(file)) != record.md5:
        return f"has md5 {found}, but its publisher says {record.md5}"
    return None


class _UnusableError(DatumrlError):
    """The file at hand is not the one that is wanted."""


def _ignore(step: Step | str) -> None:
    pass
