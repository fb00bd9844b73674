"""Where each dataset's files live: downloads, prepared columns, local datasets, D4RL's cache."""

from __future__ import annotations

import os
from pathlib import Path

from datumrl.datasets import minari_catalogue
from datumrl.datasets.catalogue import DatasetRecord
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.files import expanded, home


def raw_path(record: DatasetRecord) -> Path:
    """Return where a dataset's downloaded file lives: ``raw/<collection>/<file name of the url>``.

    Minari's datasets stay in Minari's own folder, and a user's where they are.  Raises DatumrlError
    for a dataset that is generated rather than downloaded.
    """
    if record.collection == "minari":
        return minari_catalogue.folder_of(record.id)
    if record.collection == "user":
        return Path(str(record.option["path"]))
    return home() / "raw" / record.id.partition("/")[0] / _file_name(record)


def prepared_folder(record: DatasetRecord) -> Path:
    """Return the folder of a dataset's memory-mapped columns; for a local one, `local_folder`."""
    if record.reader == "local":
        return local_folder(record)
    return home() / "prepared" / record.id


def local_folder(record: DatasetRecord) -> Path:
    """Return the folder of a local dataset, ``local/<name>`` with any ``@100k``."""
    return home() / "local" / record.id.partition("/")[2]


def d4rl_cache_path(record: DatasetRecord) -> Path:
    """Return where D4RL itself would have put the file (``D4RL_DATASET_DIR`` or its default)."""
    folder = os.environ.get("D4RL_DATASET_DIR") or "~/.d4rl/datasets"
    return expanded(folder, "D4RL_DATASET_DIR=") / _file_name(record)


def _file_name(record: DatasetRecord) -> str:
    if record.reader == "local":
        raise DatumrlError(
            f"{record.id}: is generated, not downloaded; run `datumrl collect {record.full_id}`"
        )
    return record.file_name or record.urls[0].rpartition("/")[2]
