"""A tar archive read in one pass, without a file or a folder ever being made from a name in it.

Archives may be plain, or compressed by xz or gzip, whatever their names say.  Only regular files
and folders are taken: links, devices and sparse files are refused, as are names that leave the
archive's own folder.  What is read at a time is bounded, so a small archive that unpacks to
terabytes ends in an error.  Python's own ``tarfile`` takes a damaged header for the end of the
archive, which would lose episodes silently; here it is an error.
"""

from __future__ import annotations

import gzip
import lzma
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Protocol

from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.reading import Progress

_BLOCK = 512
_CHUNK = 1 << 20
_LONGEST_NAME = 1 << 16
_XZ_MEMORY = 1 << 29  # of the decompressor; the largest preset needs an eighth of it
_XZ, _GZIP = b"\xfd7zXZ\x00", b"\x1f\x8b"


class Source(Protocol):
    """Whatever bytes can be read from."""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes; none at the end."""


def members(
    path: Path,
    error: Callable[[str], DatumrlError],
    *,
    largest: int,
    in_all: int,
    progress: Progress | None = None,
) -> Iterator[tuple[str, bytes]]:
    """Yield (name, content) of every regular file, in the archive's order.

    ``largest`` bounds the bytes of one file and ``in_all`` those of the unpacked archive; ``error``
    makes the errors raised for what is damaged, hostile or too large.
    """
    size = path.stat().st_size
    with path.open("rb") as handle:
        stream = _Blocks(_unpacked(handle), error, in_all)
        try:
            for name, content in _files(stream, error, largest):
                if progress is not None:
                    progress(handle.tell(), size)
                yield name, content
        except (OSError, EOFError, lzma.LZMAError, zlib.error, tarfile.TarError) as problem:
            raise error(f"is cut off or damaged ({problem})") from problem


def _files(
    stream: _Blocks, error: Callable[[str], DatumrlError], largest: int
) -> Iterator[tuple[str, bytes]]:
    long_name: str | None = None
    while any(header := stream.read(_BLOCK)):
        entry = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
        name, long_name = long_name or entry.name, None
        if entry.type in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME):
            if not 0 <= entry.size <= _LONGEST_NAME:
                raise error(f"holds a name of {entry.size:,} bytes; no episode is called so")
            long_name = _long_name(entry.type, stream.padded(entry.size))
            continue
        _check_name(name, entry, error)
        if entry.isdir():
            continue
        if not 0 <= entry.size <= largest:
            raise error(f"{name!r} says it has {entry.size:,} bytes; no episode is so large")
        yield name, stream.padded(entry.size)
    stream.expect_end()


def _long_name(kind: bytes, payload: bytes) -> str | None:
    """Return the name that an entry of GNU's or POSIX's extensions gives to the next file."""
    if kind == tarfile.GNUTYPE_LONGNAME:
        return payload.rstrip(b"\0").decode("utf-8", "surrogateescape")
    found = None
    while payload.strip(b"\0"):
        length, _, rest = payload.partition(b" ")
        if not re.fullmatch(rb"[0-9]{1,6}", length) or not len(length) < int(length) <= len(
            payload
        ):
            raise tarfile.ReadError("an extended header is damaged")
        key, _, value = rest[: int(length) - len(length) - 1].partition(b"=")
        if key == b"size" or key.startswith(b"GNU.sparse"):
            raise tarfile.ReadError("a file says it is sparse, or too large for a plain header")
        if key == b"path" and kind == tarfile.XHDTYPE:
            found = value.rstrip(b"\n").decode("utf-8", "surrogateescape")
        payload = payload[int(length) :]
    return found


def _check_name(name: str, entry: tarfile.TarInfo, error: Callable[[str], DatumrlError]) -> None:
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0]:
        raise error(f"holds the name {name!r}, which leads out of the archive's folder")
    if entry.type not in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE):
        raise error(f"holds {name!r}, which is a link or a device; only plain files are read")


def _unpacked(handle: IO[bytes]) -> Source:
    magic = handle.read(len(_XZ))
    handle.seek(0)
    if magic == _XZ:
        return _Xz(handle)
    return gzip.GzipFile(fileobj=handle) if magic.startswith(_GZIP) else handle


class _Xz:
    """An xz file, of one stream or several, unpacked in bounded memory."""

    def __init__(self, handle: IO[bytes]) -> None:
        self._handle = handle
        self._decoder = self._fresh()

    def read(self, size: int, /) -> bytes:
        while True:
            if self._decoder.eof:
                rest = (self._decoder.unused_data or self._handle.read(_CHUNK)).lstrip(b"\0")
                if not rest:
                    return b""
                self._decoder = self._fresh()
                packed = rest
            else:
                packed = self._handle.read(_CHUNK) if self._decoder.needs_input else b""
                if not packed and self._decoder.needs_input:
                    raise EOFError("the compressed data end too early")
            if unpacked := self._decoder.decompress(packed, size):
                return unpacked

    def _fresh(self) -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)


class _Blocks:
    """Exact reads from a source, counted."""

    def __init__(self, source: Source, error: Callable[[str], DatumrlError], limit: int) -> None:
        self._source, self._error, self._left = source, error, limit

    def read(self, size: int) -> bytes:
        """Return exactly so many bytes."""
        self._left -= size
        if self._left < 0:
            raise self._error("unpacks to more than this dataset can have")
        pieces = []
        while size:
            piece = self._source.read(min(size, _CHUNK))
            if not piece:
                raise EOFError("the archive ends too early")
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def padded(self, size: int) -> bytes:
        """Return a file's bytes, and skip those that fill its last block."""
        content = self.read(size)
        self.read(-size % _BLOCK)
        return content

    def expect_end(self) -> None:
        """Read to the very end: nothing but zeros may follow the first block of them."""
        while piece := self._source.read(_CHUNK):
            self._left -= len(piece)
            if self._left < 0 or any(piece):
                raise self._error("goes on after its end")
