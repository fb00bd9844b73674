"""What `datumrl train --show` prints: every value of a run, and where it comes from."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from datumrl.algorithms import presets, registry, training
from datumrl.datasets import catalogue
from datumrl.scripts import console

FROM_DATASET = "derived from the dataset"


@dataclass(frozen=True)
class Shown:
    """A job as it would be done."""

    job: training.Job
    origins: Mapping[str, str]  # field -> where its value comes from
    folder: str


def show(jobs: Sequence[Shown], as_json: bool) -> None:
    """Print the settings of each job below the source that they share, or all of it as JSON."""
    if as_json:
        console.print_json([_content(each) for each in jobs])
        return
    for each in jobs:
        rows = [*_rows(each), ("folder", each.folder, "")]
        width = max(len(name) for name, _, _ in rows) + 2
        lines = [f"{each.job.algorithm} on {each.job.dataset}"]
        for source in sorted(dict.fromkeys(origin for *_, origin in rows), key=bool):
            lines += [f" {source}"] if source else []
            lines += [f"   {name:<{width}}{value}" for name, value, of in rows if of == source]
        for line in lines:
            console.output.print(line, markup=False, soft_wrap=True)


def _rows(shown: Shown) -> Iterator[tuple[str, Any, str]]:
    job = shown.job
    for name, value in registry.configuration(_completed(job)).items():
        own = value == registry.configuration(job.config)[name]
        yield name, value, shown.origins[name] if own else FROM_DATASET
    for name in presets.RUN_DEFAULTS:
        yield name, getattr(job, name), shown.origins[name]
    yield from _derived(job)
    yield "preset", job.preset, ""
    yield "seeds", list(job.seeds), ""
    yield "device", job.device, ""


def _completed(job: training.Job) -> Any:
    """Return the configuration with what the catalogue alone can complete."""
    return registry.completed(job.algorithm, job.config, catalogue.find(job.dataset))


def _derived(job: training.Job) -> Iterator[tuple[str, Any, str]]:
    record = catalogue.find(job.dataset)
    for name in ("observation_dim", "action_dim", "time_limit"):
        value = getattr(record, name, None)
        if value is not None:
            yield name, value, FROM_DATASET
    if getattr(job.config, "normalize_states", False):
        every = getattr(job.config, "statistics_of", "kept") == "all"
        which = "of all episodes" if every else "of what is trained on"
        yield "statistics of states", which, FROM_DATASET
    if getattr(job.config, "reward_transform", "none") == "return-range":
        yield "range of returns", "of its complete episodes", FROM_DATASET


def _content(shown: Shown) -> dict[str, Any]:
    return {
        **dataclasses.asdict(shown.job),
        "config": registry.configuration(_completed(shown.job)),
        "origins": {name: origin for name, _, origin in _rows(shown) if origin},
        "folder": shown.folder,
    }
