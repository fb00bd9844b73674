"""Readers: each turns one published file format into prepared columns."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

from datumrl.datasets.prepared import Writer
from datumrl.datasets.record import DatasetRecord

Progress = Callable[[int, int], None]  # bytes done, bytes in all

# what a record calls its reader -> module under datumrl.datasets; imported only when needed
READERS = {
    "d4rl-gym-mujoco": "d4rl_hdf5",
    "d4rl": "d4rl_hdf5",
    "neorl": "neorl_npz",
    "d5rl-steps": "d5rl_steps",
    "d5rl-kitchen": "d5rl_kitchen",
    "d4rl-atari": "d4rl_atari_gzip",
    "d4rl-pybullet": "d4rl_pybullet_hdf5",
    "vd4rl": "vd4rl_folder",
    "ogbench": "ogbench_npz",
    "minari": "minari_reader",
    "user": "user_reader",
    "dgrl-procgen": "dgrl_procgen",
    "dgrl-webshop": "dgrl_webshop",
    "rlu-control": "rlu_control",
    "health-gym": "health_gym_csv",
}


class Reader(Protocol):
    """What such a module offers."""

    def convert(
        self, source: Path, record: DatasetRecord, folder: Path, progress: Progress | None = None
    ) -> None:
        """Convert a file (or folder) into prepared columns in ``folder``, all or nothing.

        Raises DatumrlError for a source that is not the record's, is damaged, or holds what cannot
        be right.
        """


class FolderReader(Reader, Protocol):
    """What a module offers that reads published folders."""

    def check(self, source: Path, record: DatasetRecord) -> None:
        """Raise DatumrlError where a folder lacks what is read, by the names of its files.

        Of what is in them, one file at most is looked at, for the names of its arrays.
        """


def check_folder(source: Path, record: DatasetRecord) -> None:
    """Raise DatumrlError where a folder cannot be that of a record; the message says why."""
    cast(FolderReader, reader_of(record)).check(source, record)


def reader_of(record: DatasetRecord) -> Reader:
    """Return the module that reads a record's files."""
    module: Reader = importlib.import_module(f"datumrl.datasets.{READERS[record.reader]}")
    return module


def finish(
    writer: Writer,
    record: DatasetRecord,
    source: Mapping[str, Any],
    *,
    rows: int,
    notes: Sequence[str],
    metadata: Mapping[str, Any] | None = None,
    **fields: Any,
) -> None:
    """Write the ``meta.json`` of what was read from a source, described by `identity.describe`.

    ``metadata`` is what the source says of itself, ``fields`` are those of Episodes that no record
    holds.
    """
    writer.finish(
        rows=rows,
        provenance={"reader": record.reader, "source": source, "metadata": dict(metadata or {})},
        id=record.id,
        time_limit=record.time_limit,
        sha256=source["sha256"],
        notes=notes,
        **fields,
    )
