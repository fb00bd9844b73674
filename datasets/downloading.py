"""Bytes over HTTP into a ``.part`` file: resumed, retried, from the first source that has them.

Written with the standard library: pooch cannot resume, and a partial file may only be continued
under a validator (ETag, Last-Modified) that says it is still the same file, which needs the headers
of every answer.
"""

from __future__ import annotations

import contextlib
import http.client
import importlib.metadata
import shutil
import socket
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

from datumrl.datasets import files
from datumrl.datasets.errors import DatumrlError

SCHEMES = ("http", "https")
ATTEMPTS = 4  # rounds over all sources without a new byte before giving up
_CHUNK = 1 << 20
_HEAD = 64  # bytes looked at before anything is kept
_PASSING = {408, 425, 429, 500, 502, 503, 504}  # what a server may answer now and not in a moment


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


class _PassingFailure(Exception):
    """May go better in a moment."""


class _NoSuchRange(_PassingFailure):
    """The source has no such rest of the file; it may have the whole."""


class _LastingFailure(Exception):
    """This source will not do."""


@dataclass(frozen=True)
class Download:
    """What is wanted: one file, from the first of ``urls`` that gives it, into ``part``."""

    urls: Sequence[str]
    part: Path
    begins: bytes  # the first bytes of a right file; empty if any will do
    report: Report
    accept: Callable[[Path], str | None]  # what is wrong with the whole file, or None
    timeout: float = 30.0  # seconds without a byte
    pause: float = 1.0  # seconds before the first repetition, doubled after each

    def run(self) -> Origin:
        """Fill ``part``; return where the bytes come from.

        Raises DatumrlError if no source gives the file.  What has come so far is then kept in
        ``part``, and the next run goes on from there.
        """
        failures: dict[str, str] = {}
        candidates = list(dict.fromkeys(self.urls))
        most, barren = _size(self.part), 0
        while barren < ATTEMPTS:
            if barren:
                self._sleep(self.pause * 2 ** (barren - 1), failures)
            for url in tuple(candidates):
                try:
                    return self._from(url)
                except _PassingFailure as problem:
                    failures[url] = str(problem)
                except _LastingFailure as problem:
                    failures[url] = str(problem)
                    candidates.remove(url)
                    self.report(f"{url} {problem}")
            if not candidates:
                break
            barren = 0 if _size(self.part) > most else barren + 1
            most = max(most, _size(self.part))
        raise DatumrlError(self._no_source(failures))

    def _from(self, url: str) -> Origin:
        """Take the file from one source; stay with it as long as every attempt brings bytes."""
        while True:
            before = _size(self.part)
            try:
                origin = self._attempt(url)
            except _PassingFailure as problem:
                if before and isinstance(problem, _NoSuchRange):
                    self._discard()
                    continue
                if _size(self.part) <= before:
                    raise
                self.report(f"{url} {problem}; going on from byte {_size(self.part):,}")
                time.sleep(self.pause)
                continue
            fault = self.accept(self.part)
            if fault is None:
                return origin
            self._discard()
            raise _LastingFailure(f"offers a file that {fault}")

    def _attempt(self, url: str) -> Origin:
        known, have = self._kept(url)
        if known and known.size is not None and have == known.size:
            return known  # stopped between the last byte and the renaming
        headers = {"Range": f"bytes={have}-", "If-Range": known.validator or ""} if known else {}
        with _translated(), contextlib.closing(_open(url, headers, self.timeout)) as answer:
            if answer.headers.get("Content-Encoding", "identity") != "identity":
                raise _LastingFailure("compresses the file on its way; it cannot be checked")
            if known and answer.status == http.HTTPStatus.PARTIAL_CONTENT:
                origin = _continued(answer, known, have)
                if origin is None:
                    self._discard()
                    raise _PassingFailure("continued with another file than it began with")
                self._append(answer, origin, have, b"")
                return origin
            if answer.status != http.HTTPStatus.OK:
                raise _LastingFailure(f"answered {answer.status} {answer.reason}")
            head = self._checked_head(answer)
            origin = _described(answer, url)
            if known:
                self.report(f"{url} does not go on where it stopped; from the start again")
            self._discard()
            files.write_json(self._notes, asdict(origin))
            self._append(answer, origin, 0, head)
            return origin

    def _checked_head(self, answer: Any) -> bytes:
        """Return the first bytes; nothing is kept of an answer that is no such file."""
        head: bytes = answer.read(_HEAD)
        if not head:
            announced = int(answer.headers.get("Content-Length") or 0)
            raise (_PassingFailure if announced else _LastingFailure)("sent an empty body")
        if not head.startswith(self.begins[: len(head)]):
            raise _LastingFailure(f"answered with something else: the body begins {head!r}")
        return head

    def _append(self, answer: Any, origin: Origin, have: int, chunk: bytes) -> None:
        self._check_space(origin, have)
        activity = f"downloading {self.part.stem}"
        self.report(Step(activity, have, origin.size))
        with files.storage_errors(self.part):
            # Unbuffered: what has come is on its way to the disk, whatever ends the process.
            target = self.part.open("ab", buffering=0)
        with target:
            while chunk or (chunk := answer.read1(_CHUNK)):
                write_all(target, chunk, self.part)
                have += len(chunk)
                chunk = b""
                self.report(Step(activity, have, origin.size))
        if origin.size is not None and have < origin.size:
            raise _PassingFailure(f"ended after {have:,} of {origin.size:,} bytes")

    def _check_space(self, origin: Origin, have: int) -> None:
        with files.storage_errors(self.part):
            free = shutil.disk_usage(self.part.parent).free
        if origin.size is not None and origin.size - have > free:
            raise DatumrlError(
                f"cannot write {self.part}: {(origin.size - have) / 1e6:,.0f} MB are to come and "
                f"{free / 1e6:,.0f} MB are free; free some space or point DATUMRL_HOME elsewhere"
            )

    def _kept(self, url: str) -> tuple[Origin | None, int]:
        """Return what ``part`` holds, if it can be continued from this source, and its size."""
        try:
            known = Origin(**files.read_json(self._notes))
        except (DatumrlError, TypeError):
            return None, 0
        have = _size(self.part)
        if known.url != url or not known.validator or not have:
            return None, 0
        return known, have

    def _discard(self) -> None:
        with files.storage_errors(self.part):
            self.part.unlink(missing_ok=True)
            self._notes.unlink(missing_ok=True)

    @property
    def _notes(self) -> Path:
        return notes_path(self.part)

    def _sleep(self, seconds: float, failures: dict[str, str]) -> None:
        url, problem = list(failures.items())[-1]
        self.report(f"{url} {problem}; trying again in {seconds:.3g} s")
        time.sleep(seconds)

    def _no_source(self, failures: dict[str, str]) -> str:
        told = "; ".join(f"{url} {problem}" for url, problem in failures.items())
        kept = _size(self.part)
        again = f"the same command goes on from byte {kept:,}, " if kept else "try again later, "
        return (
            f"could not be downloaded: {told}; {again}name another source with "
            "--mirror URL_PREFIX, or import a file at hand with --from PATH"
        )


def notes_path(part: Path) -> Path:
    """Return the file that says which version of which file a ``.part`` is the beginning of."""
    return part.with_name(part.name + ".json")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never to an unencrypted or a local address."""

    def redirect_request(  # type: ignore[no-untyped-def]
        self, request, body, code, message, headers, address
    ) -> urllib.request.Request | None:
        before, after = (urllib.parse.urlsplit(url).scheme for url in (request.full_url, address))
        if after not in SCHEMES or (before == "https" and after == "http"):
            body.close()
            raise _LastingFailure(f"redirects from {before} to {address}, which is not followed")
        return super().redirect_request(request, body, code, message, headers, address)


def _opener() -> urllib.request.OpenerDirector:
    # Not build_opener: it would also open file:, ftp: and data: addresses.
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(),
    ):
        opener.add_handler(handler)
    opener.addheaders = [
        ("User-Agent", f"datumrl/{importlib.metadata.version('datumrl')}"),
        ("Accept-Encoding", "identity"),
    ]
    return opener


def _open(url: str, headers: dict[str, str], timeout: float) -> Any:
    return _opener().open(urllib.request.Request(url, headers=headers), timeout=timeout)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Turn what the network does into a failure that passes or one that lasts."""
    try:
        yield
    except urllib.error.HTTPError as problem:
        problem.close()
        told = f"answered {problem.code} {problem.msg}".strip().partition("\n")[0]
        if problem.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise _NoSuchRange(told) from None
        raise (_PassingFailure if problem.code in _PASSING else _LastingFailure)(told) from None
    except urllib.error.URLError as problem:
        lasting = isinstance(problem.reason, ssl.SSLCertVerificationError)
        told = f"cannot be reached ({problem.reason})"
        raise (_LastingFailure if lasting else _PassingFailure)(told) from None
    except TimeoutError:
        raise _PassingFailure("sent nothing for too long") from None
    except http.client.InvalidURL as problem:
        raise _LastingFailure(f"is no address ({problem})") from None
    except (ConnectionError, http.client.HTTPException, socket.gaierror, ssl.SSLError) as problem:
        told = str(problem) or type(problem).__name__
        raise _PassingFailure(f"broke the connection ({told})") from None


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
