"""TFRecord files of ``tf.train.Example`` messages, read record by record without TensorFlow.

A record is its length (uint64), the masked CRC-32C of those 8 bytes, the message, and the masked
CRC-32C of the message, all little-endian; a file may be compressed by gzip as a whole.  Sources:
tensorflow/tensorflow tensorflow/core/lib/io/record_writer.h, tensorflow/core/example/example.proto
and feature.proto; the protocol buffers' encoding document; RFC 3720, appendix B.4, for the CRC.
"""

from __future__ import annotations

import functools
import gzip
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from datumrl.datasets.compiling import compiled
from datumrl.datasets.errors import DatumrlError

Feature = np.ndarray | list[bytes]  # float32 or int64, in the order they are stored; or bytes
_GZIP = b"\x1f\x8b"
_LARGEST = 1 << 28  # bytes of one record; those of the control suite have a few hundred thousand
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def is_compressed(path: Path) -> bool:
    """Return whether a file is compressed by gzip."""
    with path.open("rb") as handle:
        return handle.read(2) == _GZIP


def records(path: Path, error: Callable[[str], DatumrlError]) -> Iterator[bytes]:
    """Yield the records of a file; ``error`` makes the error for one that is damaged."""
    packed = is_compressed(path)
    with path.open("rb") as handle:
        stream = gzip.GzipFile(fileobj=handle) if packed else handle
        number = 0
        try:
            while head := stream.read(12):
                length = _length(head)
                body = stream.read(length + 4)
                if len(body) != length + 4:
                    raise EOFError("it ends too early")
                (stored,) = struct.unpack("<I", body[-4:])
                if masked_crc(body[:-4]) != stored:
                    raise ValueError("its checksum is wrong")
                yield body[:-4]
                number += 1
        except (OSError, EOFError, zlib.error, ValueError) as problem:
            raise error(f"record {number} is damaged ({problem})") from problem


def _length(head: bytes) -> int:
    if len(head) != 12:
        raise EOFError("it ends too early")
    length, stored = struct.unpack("<QI", head)
    if masked_crc(head[:8]) != stored:
        raise ValueError("the checksum of its length is wrong")
    if length > _LARGEST:
        raise ValueError(f"it says it has {length:,} bytes")
    return int(length)


def masked_crc(data: bytes) -> int:
    """Return the CRC-32C of some bytes, rotated and shifted as TFRecord stores it."""
    crc = int(_crc(np.frombuffer(data, np.uint8), _table()))
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


@functools.cache
def _table() -> np.ndarray:
    """Return the CRCs of single bytes, (256,) uint32, of the reversed polynomial 0x82F63B78."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, table >> 1 ^ np.uint32(0x82F63B78), table >> 1)
    return table


@compiled
def _crc(data: np.ndarray, table: np.ndarray) -> np.uint32:
    crc = np.uint32(0xFFFFFFFF)
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> np.uint32(8)
    return crc ^ np.uint32(0xFFFFFFFF)


def example(message: bytes) -> dict[str, Feature]:
    """Return the features of an Example by name.

    Raises ValueError for bytes that are none.
    """
    features: dict[str, Feature] = {}
    for whole in _messages(message, 1):
        for entry in _messages(whole, 1):
            name, value = b"", b""
            for number, kind, content in _fields(entry):
                if number == 1 and kind == _BYTES:
                    name = bytes(content)
                elif number == 2 and kind == _BYTES:
                    value = bytes(content)
            features[name.decode()] = _feature(memoryview(value))
    return features


def _feature(message: memoryview) -> Feature:
    found: Feature = []
    for number, kind, content in _fields(message):
        if kind != _BYTES or number not in (1, 2, 3):
            continue
        values = [(k, c) for n, k, c in _fields(content) if n == 1]
        if number == 1:
            found = [bytes(each) for kind, each in values if kind == _BYTES]
        elif number == 2:
            # One packed run, or a field for every number; both have the same bytes within.
            parts = [each for kind, each in values if kind in (_BYTES, _FIXED32)]
            found = np.frombuffer(b"".join(parts), "<f4").astype(np.float32, copy=False)
        else:
            found = _integers(values)
    return found


def _integers(values: list[tuple[int, memoryview]]) -> np.ndarray:
    numbers: list[int] = []
    for _, content in values:
        place = 0
        while place < len(content):
            number, place = _varint(content, place)
            numbers.append(number)
    return np.array(numbers, np.uint64).view(np.int64)


def _messages(message: bytes | memoryview, wanted: int) -> Iterator[memoryview]:
    for number, kind, content in _fields(memoryview(message)):
        if number == wanted and kind == _BYTES:
            yield content


def _fields(message: memoryview) -> Iterator[tuple[int, int, memoryview]]:
    """Yield (number, wire type, content) of every field; a varint's content is its own bytes."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        number, kind = key >> 3, key & 7
        begin = place
        if kind == _VARINT:
            _, place = _varint(message, place)
        elif kind == _BYTES:
            size, begin = _varint(message, place)
            place = begin + size
        elif kind in (_FIXED32, _FIXED64):
            place += 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"wire type {kind} is not known")
        if number == 0 or place > len(message):
            raise ValueError("a field runs over its end")
        yield number, kind, message[begin:place]


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(message):
            break
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, place
    raise ValueError("a number runs over its end")
