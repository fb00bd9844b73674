"""Answers of HTTP servers: redirected within bounds, and failures told by whether they pass."""

from __future__ import annotations

import contextlib
import http.client
import importlib.metadata
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

SCHEMES = ("http", "https")
_PASSING = {408, 425, 429, 500, 502, 503, 504}  # what a server may answer now and not in a moment


class PassingFailure(Exception):
    """May go better in a moment."""


class NoSuchRange(PassingFailure):
    """The source has no such rest of the file; it may have the whole."""


class LastingFailure(Exception):
    """This source will not do."""


@contextlib.contextmanager
def opened(url: str, headers: dict[str, str], timeout: float) -> Iterator[Any]:
    """Yield the answer of a server, an `http.client.HTTPResponse`; ``timeout`` is in seconds.

    Raises PassingFailure or LastingFailure where there is none, or one of an error.
    """
    with _translated():
        answer = _opener().open(urllib.request.Request(url, headers=headers), timeout=timeout)
    with contextlib.closing(answer):
        yield answer


def read(answer: Any, size: int) -> bytes:
    """Return ``size`` bytes of an answer, fewer at its end.  Raises PassingFailure."""
    with _translated():
        content: bytes = answer.read(size)
    return content


def read_some(answer: Any, size: int) -> bytes:
    """Return what has come of an answer, at most ``size`` bytes.  Raises PassingFailure."""
    with _translated():
        content: bytes = answer.read1(size)
    return content


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never to an unencrypted or a local address."""

    def redirect_request(  # type: ignore[no-untyped-def]
        self, request, body, code, message, headers, address
    ) -> urllib.request.Request | None:
        before, after = (urllib.parse.urlsplit(url).scheme for url in (request.full_url, address))
        if after not in SCHEMES or (before == "https" and after == "http"):
            body.close()
            raise LastingFailure(f"redirects from {before} to {address}, which is not followed")
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


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Turn what the network does into a failure that passes or one that lasts.

    Around nothing but the network: every other error of the system is taken for one of its (no
    route, network down, connection reset), which pass.
    """
    try:
        yield
    except urllib.error.HTTPError as problem:
        problem.close()
        told = f"answered {problem.code} {problem.msg}".strip().partition("\n")[0]
        if problem.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise NoSuchRange(told) from None
        raise (PassingFailure if problem.code in _PASSING else LastingFailure)(told) from None
    except urllib.error.URLError as problem:
        lasting = isinstance(problem.reason, ssl.SSLCertVerificationError)
        told = f"cannot be reached ({problem.reason})"
        raise (LastingFailure if lasting else PassingFailure)(told) from None
    except TimeoutError:
        raise PassingFailure("sent nothing for too long") from None
    except http.client.InvalidURL as problem:
        raise LastingFailure(f"is no address ({problem})") from None
    except (OSError, http.client.HTTPException) as problem:
        told = str(problem) or type(problem).__name__
        raise PassingFailure(f"broke the connection ({told})") from None
