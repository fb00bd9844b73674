"""Reader of Minari datasets, whatever their storage: HDF5, Arrow or Parquet.

::

    observation   o0   o1   o2   o3      an episode of three steps has four observations:
    action        a0   a1   a2           the last one becomes the stored successor of the last row

Where the record says that the last observation is a copy of the one before it, the last row has no
known successor.  An episode ends where Minari's does.  Infos that have a row per step become
extras; of infos with a row per observation, the last one has no row to belong to.  Text becomes its
UTF-8 bytes.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from datumrl.datasets import identity, minari_metadata
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.minari_columns import Columns
from datumrl.datasets.minari_metadata import Metadata
from datumrl.datasets.prepared import writing
from datumrl.datasets.reading import Progress, finish
from datumrl.datasets.record import DatasetRecord


def convert(
    source: Path, record: DatasetRecord, folder: Path, progress: Progress | None = None
) -> None:
    """Convert a Minari dataset's folder into prepared columns in ``folder``, all or nothing."""
    identity.check_kind(source, record)

    error = identity.complaint(source, record)

    metadata = minari_metadata.read(source, error)
    if metadata.dict_actions:
        named = ", ".join(leaf.name for leaf in metadata.actions)
        raise DatumrlError(
            f"{record.id}: its actions are several arrays ({named}), and a dataset here has one; "
            "write them as one Box or MultiDiscrete to use it"
        )
    if metadata.actions[0].kind != "numbers":
        raise DatumrlError(f"{record.id}: its actions are {metadata.actions[0].type}, no numbers")
    with contextlib.ExitStack() as stack:
        storage = stack.enter_context(storage_of(source, metadata, error))
        writer = stack.enter_context(writing(folder))
        copied = record.option.get("final_observation") == "copied"
        reading = Columns(metadata, storage, error, progress, copied)
        rows = reading.write(writer)
        written_from = identity.describe(source, record, storage.hashes)
        finish(
            writer,
            record,
            written_from,
            rows=rows,
            metadata=_plain(metadata.fields),
            notes=reading.notes,
            timeouts_recorded=True,
            ends="recorded",
        )


def storage_of(source: Path, metadata: Metadata, error: minari_metadata.Error) -> Any:
    """Return a context with the episodes of a dataset's folder, by its data_format."""
    if metadata.format == "hdf5":
        from datumrl.datasets.minari_hdf5 import Storage

        return Storage(source, metadata, error)
    from datumrl.datasets import minari_arrow

    return minari_arrow.Storage(source, metadata, error)


def _plain(fields: Any) -> dict[str, Any]:
    """Return what metadata.json says of the data's origin, as strict JSON."""
    kept = {}
    for name, value in fields.items():
        if isinstance(value, str | int | bool) or (isinstance(value, list) and name != "spaces"):
            kept[name] = [str(each) for each in value] if isinstance(value, list) else value
    return kept
