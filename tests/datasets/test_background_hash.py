"""The hash taken in a thread: the file's, whatever its size; stopped, or refused, when it must."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import pytest

from datumrl.datasets import background_hash
from datumrl.datasets.background_hash import BackgroundHash


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 50])
def test_it_is_the_files(tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background_hash, "_PIECE", 8)
    path = tmp_path / "file"
    path.write_bytes(content := bytes(range(size)))
    with BackgroundHash(path) as taken:
        assert taken.result() == hashlib.sha256(content).hexdigest()


def test_leaving_stops_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background_hash, "_PIECE", 1)
    path = tmp_path / "file"
    path.write_bytes(bytes(100_000_000))  # minutes, in pieces of one byte
    begin = time.monotonic()
    with BackgroundHash(path):
        pass
    assert time.monotonic() - begin < 10


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with BackgroundHash(tmp_path / "missing") as taken, pytest.raises(FileNotFoundError):
        taken.result()
