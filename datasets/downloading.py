"""Bytes over HTTP into ``.part`` files: resumed, retried, from the first source that has them.

Written with the standard library: pooch cannot resume, and a partial file may only be continued
under a validator (ETag, Last-Modified) that says it is still the same file, which needs the headers
of every answer.
"""

from __future__ import annotations

import hashlib
import http
import re
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

from datumrl.datasets import files
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.http_answers import (
    LastingFailure,
    NoSuchRange,
    PassingFailure,
    opened,
    read,
    read_some,
)

ATTEMPTS = 4  # in a row that bring no new byte before a source is given up
_CHUNK = 1 << 20
_HEAD = 64  # bytes looked at before anything is kept


class Step(NamedTuple):
    """How far some work is, in bytes; ``total`` is None where it is not known."""

    activity: str
    done: int
    total: int | None


# Called with a Step often, and with a sentence when something happened that is worth knowing.
Report = Callable[[Step | str], None]


@dataclass(frozen=True)
class Origin:
    """Which version of which file the bytes at hand are."""

    url: str
    etag: str | None
    last_modified: str | None
    size: int | None

    @property
    def validator(self) -> str | None:
        """Return what If-Range may hold; a weak ETag does not promise equal bytes."""
        if self.etag and not self.etag.startswith("W/"):
            return self.etag
        return self.last_modified


@dataclass(frozen=True)
class Download:
    """What is wanted: one file, from the first of ``urls`` that gives it.

    Each source has a part of its own, the first one ``part``: which bytes follow is known of no
    other, and what has come from one is not given up for the beginning of another's.
    """

    urls: Sequence[str]
    part: Path
    begins: bytes  # the first bytes of a right file; empty if any will do
    report: Report
    accept: Callable[[Path], str | None]  # what is wrong with the whole file, or None
    timeout: float = 30.0  # seconds without a byte
    pause: float = 1.0  # seconds before the first repetition, doubled after each

    def run(self) -> Origin:
        """Fill the part of a source (`part_of` its url); return where the bytes come from.

        The source that most has come from is asked until it is given up, then the others in turn.
        Raises DatumrlError if no source gives the file.  What has come so far is then kept, and the
        next run goes on from there.
        """
        failures: dict[str, str] = {}
        barren = dict.fromkeys(self.urls, 0)  # attempts in a row without a new byte
        most = {url: _size(self.part_of(url)) for url in barren}
        due = dict.fromkeys(barren, 0.0)
        while barren:
            url = min(barren, key=lambda url: (-self._kept(url)[1], barren[url]))
            if (seconds := due[url] - time.monotonic()) > 0:
                self.report(f"{url} {failures[url]}; trying again in {seconds:.2g} s")
                time.sleep(seconds)
            try:
                return self._from(url)
            except PassingFailure as problem:
                failures[url] = str(problem)
                have = _size(self.part_of(url))
                barren[url] = 1 if have > most[url] else barren[url] + 1
                most[url] = max(most[url], have)
                due[url] = time.monotonic() + self.pause * 2 ** (barren[url] - 1)
                if barren[url] == ATTEMPTS:
                    del barren[url]
            except LastingFailure as problem:
                failures[url] = str(problem)
                del barren[url]
                self.report(f"{url} {problem}")
        raise DatumrlError(self._no_source(failures))

    def part_of(self, url: str) -> Path:
        """Return the file that takes what comes from a source."""
        if url == self.urls[0]:
            return self.part
        key = hashlib.sha256(url.encode()).hexdigest()[:8]
        return self.part.with_name(f"{self.part.stem}.{key}{self.part.suffix}")

    def forget(self, but: str) -> None:
        """Remove what has come from all sources but one, those of earlier runs included."""
        kept = self.part_of(but).name
        stem, suffix = re.escape(self.part.stem), re.escape(self.part.suffix)
        ours = re.compile(rf"({stem}(?:\.[0-9a-f]{{8}})?{suffix})(?:\.json)?")
        with files.storage_errors(self.part):
            for path in list(self.part.parent.iterdir()):
                match = ours.fullmatch(path.name)
                if match and match[1] != kept:
                    path.unlink(missing_ok=True)

    def _from(self, url: str) -> Origin:
        """Take the file from one source; stay with it as long as every attempt brings bytes."""
        part = self.part_of(url)
        while True:
            before = _size(part)
            try:
                origin = self._attempt(url, part)
            except PassingFailure as problem:
                if before and isinstance(problem, NoSuchRange):
                    _discard(part)
                    continue
                if _size(part) <= before:
                    raise
                self.report(f"{url} {problem}; going on from byte {_size(part):,}")
                time.sleep(self.pause)
                continue
            fault = self.accept(part)
            if fault is None:
                return origin
            _discard(part)
            raise LastingFailure(f"offers a file that {fault}")

    def _attempt(self, url: str, part: Path) -> Origin:
        known, have = self._kept(url)
        if known and known.size is not None and have == known.size:
            return known  # stopped between the last byte and the renaming
        headers = {"Range": f"bytes={have}-", "If-Range": known.validator or ""} if known else {}
        with opened(url, headers, self.timeout) as answer:
            if answer.headers.get("Content-Encoding", "identity") != "identity":
                raise LastingFailure("compresses the file on its way; it cannot be checked")
            if known and answer.status == http.HTTPStatus.PARTIAL_CONTENT:
                origin = _continued(answer, known, have)
                if origin is None:
                    _discard(part)
                    raise PassingFailure("continued with another file than it began with")
                self._append(answer, origin, have, b"")
                return origin
            if answer.status != http.HTTPStatus.OK:
                raise LastingFailure(f"answered {answer.status} {answer.reason}")
            head = self._checked_head(answer)
            origin = _described(answer, url)
            if known:
                self.report(f"{url} does not go on where it stopped; from the start again")
            _discard(part)
            files.write_json(notes_path(part), asdict(origin))
            self._append(answer, origin, 0, head)
            return origin

    def _checked_head(self, answer: Any) -> bytes:
        """Return the first bytes; nothing is kept of an answer that is no such file."""
        head = read(answer, _HEAD)
        if not head:
            announced = int(answer.headers.get("Content-Length") or 0)
            raise (PassingFailure if announced else LastingFailure)("sent an empty body")
        if not head.startswith(self.begins[: len(head)]):
            raise LastingFailure(f"answered with something else: the body begins {head!r}")
        return head

    def _append(self, answer: Any, origin: Origin, have: int, chunk: bytes) -> None:
        part = self.part_of(origin.url)
        self._check_space(part, origin, have)
        activity = f"downloading {self.part.stem}"
        self.report(Step(activity, have, origin.size))
        with files.storage_errors(part):
            # Unbuffered: what has come is on its way to the disk, whatever ends the process.
            target = part.open("ab", buffering=0)
        with target:
            while chunk or (chunk := read_some(answer, _CHUNK)):
                write_all(target, chunk, part)
                have += len(chunk)
                chunk = b""
                self.report(Step(activity, have, origin.size))
        if origin.size is not None and have < origin.size:
            raise PassingFailure(f"ended after {have:,} of {origin.size:,} bytes")

    def _check_space(self, part: Path, origin: Origin, have: int) -> None:
        if origin.size is None:
            return
        for remedied in (False, True):
            with files.storage_errors(part):
                free = shutil.disk_usage(part.parent).free
            if origin.size - have <= free:
                return
            if not remedied:
                self.forget(but=origin.url)  # whose sources were given up
        raise DatumrlError(
            f"cannot write {part}: {(origin.size - have) / 1e6:,.0f} MB are to come and "
            f"{free / 1e6:,.0f} MB are free; free some space or point DATUMRL_HOME elsewhere"
        )

    def _kept(self, url: str) -> tuple[Origin | None, int]:
        """Return what a source's part holds, if it can be continued, and its size."""
        part = self.part_of(url)
        try:
            known = Origin(**files.read_json(notes_path(part)))
        except (DatumrlError, TypeError):
            return None, 0
        have = _size(part)
        if known.url != url or not known.validator or not have:
            return None, 0
        return known, have

    def _no_source(self, failures: dict[str, str]) -> str:
        told = "; ".join(f"{url} {problem}" for url, problem in failures.items())
        kept = max(_size(self.part_of(url)) for url in self.urls)
        again = f"the same command goes on from byte {kept:,}, " if kept else "try again later, "
        return (
            f"could not be downloaded: {told}; {again}name another source with "
            "--mirror URL_PREFIX, or import a file at hand with --from PATH"
        )


def _discard(part: Path) -> None:
    with files.storage_errors(part):
        part.unlink(missing_ok=True)
        notes_path(part).unlink(missing_ok=True)


def notes_path(part: Path) -> Path:
    """Return the file that says which version of which file a ``.part`` is the beginning of."""
    return part.with_name(part.name + ".json")


def _described(answer: Any, url: str) -> Origin:
    length = answer.headers.get("Content-Length")
    return Origin(
        url=url,
        etag=answer.headers.get("ETag"),
        last_modified=answer.headers.get("Last-Modified"),
        size=int(length) if length and length.isdigit() else None,
    )


def _continued(answer: Any, known: Origin, have: int) -> Origin | None:
    """Return the origin if a partial answer is the rest of what is at hand, else None."""
    span, _, total = answer.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
    if span.partition("-")[0] != str(have):
        return None
    for header, value in (("ETag", known.etag), ("Last-Modified", known.last_modified)):
        if value and answer.headers.get(header, value) != value:
            return None
    if not total.isdigit():
        return known
    if known.size not in (None, int(total)):
        return None
    return Origin(known.url, known.etag, known.last_modified, int(total))


def write_all(target: IO[bytes], chunk: bytes, path: Path) -> None:
    """Write all of ``chunk`` to an unbuffered file; ``path`` names it in errors."""
    rest = memoryview(chunk)
    with files.storage_errors(path):
        while rest:
            rest = rest[target.write(rest) :]


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
