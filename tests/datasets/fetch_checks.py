"""A file on a server of this machine, and what fetching it has to give."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import http_server as web
import numpy as np
import pytest

from datumrl.datasets import catalogue, fetching
from datumrl.datasets.catalogue import DatasetRecord
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.fetching import Fetched

FILE = "/gym_mujoco_v2/hopper_medium-v2.hdf5"
PAUSE = 0.01


def hdf5(seed: int, version: str = "earliest") -> bytes:
    """A whole HDF5 file of about 50 kB."""
    memory = io.BytesIO()
    with h5py.File(memory, "w", libver=version) as file:
        file["observations"] = np.random.default_rng(seed).random((1000, 11), np.float32)
    return memory.getvalue()


BODY, OTHER = hdf5(0), hdf5(1)
# The same size, so that nothing but a validator or a hash tells the two apart.
assert len(BODY) == len(OTHER)


@pytest.fixture
def make_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("DATUMRL_MIRRORS", raising=False)
    servers = []

    def make(**options: Any) -> Any:
        server = web.Server(**options)
        server.bodies[FILE] = BODY
        servers.append(server)
        return server

    yield make
    for server in servers:
        server.close()


@pytest.fixture
def server(make_server: Callable[[], Any]) -> Any:
    return make_server()


@pytest.fixture
def record(server: Any, home: Path) -> DatasetRecord:
    return replace(catalogue.find("d4rl/hopper-medium-v2"), urls=(server.url + FILE,))


def fetch(record: DatasetRecord, **options: Any) -> Fetched:
    return fetching.fetch(record, **{"pause": PAUSE, "timeout": 5.0, **options})


def left_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def assert_whole(fetched: Fetched, body: bytes = BODY) -> None:
    """The right bytes, the right record, and nothing else in the folder."""
    assert fetched.path.read_bytes() == body
    assert fetched.sha256 == hashlib.sha256(body).hexdigest()
    sidecar = fetching.read_sidecar(fetched.path)
    assert (sidecar.sha256, sidecar.size) == (fetched.sha256, len(body))
    assert left_in(fetched.path.parent) == {fetched.path.name, f"{fetched.path.name}.json"}


def refused(record: DatasetRecord, **options: Any) -> str:
    with pytest.raises(DatumrlError) as caught:
        fetch(record, **options)
    return str(caught.value)
