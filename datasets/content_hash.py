"""The sha256 of what a generated dataset holds, beside that of its recipe, which is its identity.

Another processor may round the same recipe's policies in another way, and so give other episodes.
What is downloaded or registered needs no such hash: there, that of the source is of its content.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from datumrl.datasets import places, prepared
from datumrl.datasets.columns import parts
from datumrl.datasets.episodes import Episodes
from datumrl.datasets.infos import PREFIX
from datumrl.datasets.record import DatasetRecord


def of_columns(episodes: Episodes, extras: Mapping[str, np.ndarray]) -> str:
    """Return the hex sha256 of all columns and extras: names, types, shapes and bytes."""
    digest = hashlib.sha256()
    columns = {
        f"{name}/{part}" if part else name: values
        for name in prepared.COLUMNS
        for part, values in parts(getattr(episodes, name)).items()
    }
    for name, values in sorted({**columns, **extras}.items()):
        digest.update(f"{name} {values.dtype.str} {values.shape}\n".encode())
        flat: Any = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
        digest.update(flat)
    return digest.hexdigest()


def known(episodes: Episodes) -> Episodes:
    """Return a generated dataset with the hash of its content, others as they are.

    A prefix of a dataset gets the hash that it would have if it had been collected by itself.
    """
    if episodes.content_sha256 is not None or not episodes.id.startswith("local/"):
        return episodes
    infos = {PREFIX + name: values for name, values in episodes.infos.items()}
    return replace(episodes, content_sha256=of_columns(episodes, infos))


def at_hand(record: DatasetRecord) -> tuple[str | None, str | None]:
    """Return a dataset's sha256 and that of its content, as it has been prepared on this machine.

    None of either where it is not known.
    """
    for candidate in (record, replace(record, id=record.full_id, prefix=None)):
        folder = places.prepared_folder(candidate)
        if folder.exists():
            episodes = prepared.read(folder, candidate.id)
            if candidate.prefix != record.prefix and record.prefix is not None:
                episodes = episodes.prefix(min(record.prefix, len(episodes)))
            return episodes.sha256, known(episodes).content_sha256
    return record.sha256, None
