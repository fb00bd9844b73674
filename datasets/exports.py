"""What every export starts from and ends with: an open dataset, and what was written of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from datumrl.datasets import loading, places, prepared, reading
from datumrl.datasets.catalogue import DatasetRecord, find
from datumrl.datasets.episodes import Episodes
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.infos import PREFIX

Progress = Callable[[int, int], None]  # rows done, rows in all


@dataclass(frozen=True)
class Source:
    """A dataset with all that is known of it."""

    record: DatasetRecord
    episodes: Episodes
    extras: Mapping[str, np.ndarray]  # by name, beside the episodes' infos: D4RL's metadata/...
    provenance: Mapping[str, Any]


@dataclass(frozen=True)
class Export:
    """What was written."""

    path: Path
    name: str  # by which the tools of that format load it
    transitions: int
    episodes: int
    notes: tuple[str, ...]  # what the format cannot hold, and what became of it


def open_source(dataset_id: str, progress: reading.Progress | None = None) -> Source:
    """Open any dataset that can be loaded, with its extras.  Raises what `loading.load` raises."""
    record = find(dataset_id)
    episodes = loading.load(dataset_id, progress=progress)
    folder = places.prepared_folder(record)
    if not folder.exists():  # a prefix that was cut from the whole
        folder = places.prepared_folder(replace(record, id=record.full_id, prefix=None))
    extras = {
        name: values
        for name, values in prepared.read_extras(folder).items()
        if not name.startswith(PREFIX)
    }
    return Source(record, episodes, extras, prepared.provenance(folder))


def refuse_existing(path: Path, force: bool) -> None:
    """Raise DatumrlError where ``path`` exists and may not be replaced."""
    if path.exists() and not force:
        raise DatumrlError(f"{path} exists; choose another --out, or --force to replace it")


def described(source: Source) -> dict[str, Any]:
    """Return what a reader of an exported file should know, as flat JSON.

    The path of the file that the data came from stays out: it is the user's own.
    """
    record, provenance = source.record, source.provenance
    told: dict[str, Any] = {
        "dataset": record.id,
        "sha256": source.episodes.sha256,
        "time_limit": source.episodes.time_limit,
        "licence": record.licence,
        "citation": record.citation,
        "notes": "\n".join([*record.errata, *source.episodes.notes]),
    }
    if record.environment is not None:
        told["environment"] = record.environment.id
    if record.reference is not None:
        told["reference_min_score"] = record.reference.minimum
        told["reference_max_score"] = record.reference.maximum
        told["reference_origin"] = record.reference.origin
    told.update({key: provenance[key] for key in ("command", "recipe_sha256") if key in provenance})
    for package, version in provenance.get("software", {}).items():
        told[f"software_{package}"] = version
    return {key: value for key, value in told.items() if value not in (None, "")}
