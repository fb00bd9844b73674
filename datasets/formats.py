"""What the first bytes and the size of a file tell about its being whole, before any reader."""

from __future__ import annotations

import os
import struct
from pathlib import Path

from datumrl.datasets.errors import DatumrlError

_HDF5 = b"\x89HDF\r\n\x1a\n"
_ZIP = b"PK\x03\x04"
_SIGNATURES = {".hdf5": _HDF5, ".h5": _HDF5, ".npz": _ZIP, ".zip": _ZIP}
_NAMES = {_HDF5: "HDF5", _ZIP: "zip"}
_HEAD = 64  # no HDF5 file is shorter


def signature(suffix: str) -> bytes:
    """Return how a file of that suffix begins; nothing for a suffix that is not known."""
    return _SIGNATURES.get(suffix, b"")


def fault(path: Path, suffix: str) -> str | None:
    """Return what is wrong with a file that should be of that format; None if nothing shows.

    Raises DatumrlError for a file that cannot be read.
    """
    try:
        with path.open("rb") as handle:
            head = handle.read(_HEAD)
            size = handle.seek(0, os.SEEK_END)
    except OSError as problem:
        raise DatumrlError(f"{path}: cannot be read ({problem.strerror}); check it") from None
    if not head:
        return "is empty"
    expected = signature(suffix)
    if not head.startswith(expected):
        return f"is no {_NAMES[expected]} file: it begins {head!r}"
    # A zip ends with its directory, which its reader looks for.
    end = _end_of_hdf5(head) if expected == _HDF5 else 0
    return f"is cut off: {size:,} of {end:,} bytes" if size < end else None


def _end_of_hdf5(head: bytes) -> int:
    """Return the size that a whole file has at least, by the superblock at its beginning.

    Source: HDF5 File Format Specification 3.0, section II.A.  Addresses of other than 8 bytes and
    later superblocks are left to the reader to judge.
    """
    if len(head) < _HEAD:
        return _HEAD
    places = {0: (13, 40), 1: (13, 44), 2: (9, 28), 3: (9, 28)}  # size of addresses, end of file
    size_at, end_at = places.get(head[8], (8, 0))
    if head[size_at] != 8:
        return _HEAD
    return int(struct.unpack_from("<Q", head, end_at)[0])
