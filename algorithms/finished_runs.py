"""What makes a run the one it is, and the records of a run that has nothing left to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from datumrl.algorithms import registry
from datumrl.algorithms.training import Job
from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation.records import Protocol, RunRecord, read_record


def identity(
    job: Job, protocol: Protocol, dataset_sha256: str | None, content_sha256: str | None = None
) -> dict[str, Any]:
    """Return what makes a run the one it is, as JSON: two runs are the same if it is equal.

    The hash of the data's content is left out where it is not known, which differs from nothing.
    """
    content = {} if content_sha256 is None else {"dataset_content_sha256": content_sha256}
    return {
        "algorithm": job.algorithm,
        "configuration": registry.configuration(job.config),
        "dataset": job.dataset,
        "dataset_sha256": dataset_sha256,
        **content,
        "view": job.view,
        "seeds": list(job.seeds),
        "evaluate_every": job.evaluate_every,
        "protocol": protocol.model_dump(mode="json"),
        "device": job.device,
        **job.recorded_preset(),
        **job.recorded_precision(),
        **registry.recorded_revision(job.algorithm),
    }


def record_paths(job: Job, folder: Path, seeds: Iterable[int]) -> list[Path]:
    """Return the files of a run's records: every entry's, and in it every seed's."""
    entries = registry.entries(job.algorithm, registry.configuration(job.config))
    return [folder / f"seed-{seed:03d}{entry.suffix}.json" for entry in entries for seed in seeds]


def recorded_seeds(folder: Path) -> tuple[int, ...]:
    """Return the seeds that a folder has records of, by their files' names alone."""
    names = (path.name.split("-")[1].partition(".")[0] for path in folder.glob("seed-*.json"))
    return tuple(sorted({int(name) for name in names if name.isdecimal()}))


def ended(job: Job, folder: Path, seeds: Iterable[int]) -> bool:
    """Return whether every seed has been trained to its end, failed ones included."""
    return _ended(record_paths(job, folder, seeds)) is not None


def records(job: Job, folder: Path, wanted: Mapping[str, Any]) -> list[RunRecord] | None:
    """Return a finished run's records as they were written; None if there is something to do.

    Raises DatumrlError if the run is of another ``identity`` than is wanted.
    """
    import torch

    from datumrl.algorithms import checkpoints

    found = _ended(record_paths(job, folder, job.seeds))
    path = folder / checkpoints.FILE
    if found is None or not path.exists():
        return None
    saved = checkpoints.load(path, torch.device("cpu"))
    checkpoints.require_same(path, saved["identity"], wanted)
    return found


def _ended(paths: Iterable[Path]) -> list[RunRecord] | None:
    found = []
    for path in paths:
        try:
            record = read_record(path)
        except DatumrlError:  # missing or damaged: the checkpoint knows better
            return None
        if record.status == "running":
            return None
        found.append(record)
    return found
