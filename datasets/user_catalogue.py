"""Records of the datasets that the user registered (see `registration`), as ``user/<name>``."""

from __future__ import annotations

from collections.abc import Iterator

from datumrl.datasets import registration
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.record import DatasetRecord


def find_local(dataset_id: str, known: DatasetRecord | None) -> DatasetRecord | None:
    """Return the record of a registered dataset; None without one.  ``known`` is always None."""
    path = registration.registered_path(dataset_id)
    return registration.record(path) if path is not None and path.is_file() else None


def local_records(known: dict[str, DatasetRecord]) -> Iterator[DatasetRecord]:
    """Yield the records of all registered datasets; one that cannot be read is left out."""
    folder = registration.folder()
    for path in sorted(folder.glob("*.toml")) if folder.is_dir() else ():
        try:
            yield registration.record(path)
        except DatumrlError:  # told when it is asked for
            continue
