"""A real HTTP server on this machine that misbehaves on demand."""

from __future__ import annotations

import contextlib
import http.server
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

Reply = Callable[["Handler"], None]
MODIFIED = "Wed, 01 Jan 2020 00:00:00 GMT"


class Server:
    """Serves ``bodies`` by path; each of ``replies`` is used for one request, then `serve`.

    ``etag`` and ``last_modified`` go with every body; ``requests`` holds path and headers of each
    request so far.
    """

    def __init__(self, certificate: Path | None = None) -> None:
        self.bodies: dict[str, bytes] = {}
        self.replies: list[Reply] = []
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.etag: str | None = '"first"'
        self.last_modified: str | None = MODIFIED
        self.released = threading.Event()  # lets stalled answers end
        self._server = _Quiet(("127.0.0.1", 0), Handler)
        self._server.owner = self
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        scheme = "http" if certificate is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def ranges(self) -> list[str | None]:
        """The Range header of every request."""
        return [headers.get("Range") for _, headers in self.requests]


class _Quiet(http.server.ThreadingHTTPServer):
    daemon_threads = True
    owner: Server

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hang up."""


class Handler(http.server.BaseHTTPRequestHandler):
    """One request."""

    def do_GET(self) -> None:
        owner = self.owner
        owner.requests.append((self.path, dict(self.headers)))
        with contextlib.suppress(ConnectionError):
            (owner.replies.pop(0) if owner.replies else serve)(self)

    @property
    def owner(self) -> Server:
        assert isinstance(self.server, _Quiet)
        return self.server.owner

    def start(self, status: int, body: bytes, start: int = 0, announced: int | None = None) -> None:
        """Send the headers of the rest of a body."""
        self.send_response(status)
        self.send_header("Content-Length", str(announced or len(body) - start))
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        for header, value in (
            ("ETag", self.owner.etag),
            ("Last-Modified", self.owner.last_modified),
        ):
            if value is not None:
                self.send_header(header, value)
        self.end_headers()

    def wanted(self, heed_validator: bool = True) -> tuple[int, bytes, int]:
        """Return status, body and first byte, as RFC 9110 has it."""
        body = self.owner.bodies[self.path]
        asked = self.headers.get("Range")
        same = self.headers.get("If-Range") in (self.owner.etag, self.owner.last_modified)
        if asked is None or (heed_validator and not same):
            return 200, body, 0
        return 206, body, int(asked.removeprefix("bytes=").removesuffix("-"))

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def serve(handler: Handler) -> None:
    """Answer rightly."""
    if handler.path not in handler.owner.bodies:
        handler.send_error(404)
        return
    status, body, start = handler.wanted()
    if start >= len(body):
        handler.send_error(416)
        return
    handler.start(status, body, start)
    handler.wfile.write(body[start:])


def ignore_range(handler: Handler) -> None:
    """Send all, whatever was asked for."""
    body = handler.owner.bodies[handler.path]
    handler.start(200, body)
    handler.wfile.write(body)


def ignore_validator(handler: Handler) -> None:
    """Continue a file that has changed since."""
    status, body, start = handler.wanted(heed_validator=False)
    handler.start(status, body, start)
    handler.wfile.write(body[start:])


def truncate(count: int) -> Reply:
    """Announce all, send so many bytes, end."""

    def reply(handler: Handler) -> None:
        status, body, start = handler.wanted()
        handler.start(status, body, start)
        handler.wfile.write(body[start : start + count])

    return reply


def reset(count: int) -> Reply:
    """Send so many bytes, then break the connection as a failing router does."""

    def reply(handler: Handler) -> None:
        truncate(count)(handler)
        handler.wfile.flush()
        handler.owner.released.wait(0.2)  # a reset overtakes what was sent just before
        linger = struct.pack("ii", 1, 0)
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        handler.connection.close()

    return reply


def stall(count: int) -> Reply:
    """Send so many bytes, then nothing until the server is released; then the rest."""

    def reply(handler: Handler) -> None:
        status, body, start = handler.wanted()
        handler.start(status, body, start)
        handler.wfile.write(body[start : start + count])
        handler.wfile.flush()
        handler.owner.released.wait(30)
        handler.wfile.write(body[start + count :])

    return reply


def chunked(count: int | None = None) -> Reply:
    """Send without announcing a size, in chunks; end after so many bytes if told so."""

    def reply(handler: Handler) -> None:
        status, body, start = handler.wanted()
        handler.protocol_version = "HTTP/1.1"
        handler.send_response(status)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.send_header("ETag", handler.owner.etag or "")
        if status == 206:
            handler.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/*")
        handler.send_header("Connection", "close")
        handler.end_headers()
        for at in range(start, len(body), 1000):
            if count is not None and at >= start + count:
                handler.close_connection = True
                return
            piece = body[at : at + 1000]
            handler.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        handler.wfile.write(b"0\r\n\r\n")
        handler.close_connection = True

    return reply


def status(code: int) -> Reply:
    """Fail."""
    return lambda handler: handler.send_error(code)


def redirect(address: str) -> Reply:
    """Send elsewhere."""

    def reply(handler: Handler) -> None:
        handler.send_response(302)
        handler.send_header("Location", address)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return reply


def say(body: bytes, announced: int | None = None, **headers: str) -> Reply:
    """Answer 200 with another body, perhaps announced as longer."""

    def reply(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body) if announced is None else announced))
        for header, value in headers.items():
            handler.send_header(header.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return reply
