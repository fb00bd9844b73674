"""One algorithm in several settings is several entries, named by the settings that differ."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from datumrl.evaluation.scored_runs import ScoredRun

_LABELLED = 3  # how many differing settings a label names
_ABSENT = "absent"


def told_apart(runs: Sequence[ScoredRun]) -> list[ScoredRun]:
    """Rename runs whose algorithm ran in several settings on one dataset, e.g. ``iql (tau=0.9)``.

    Settings that differ between datasets only are one entry: methods are tuned for each dataset.
    """
    by_algorithm: dict[str, list[ScoredRun]] = defaultdict(list)
    for run in runs:
        by_algorithm[run.algorithm].append(run)
    return [run for members in by_algorithm.values() for run in _renamed(members)]


def _renamed(runs: Sequence[ScoredRun]) -> list[ScoredRun]:
    keys = [json.dumps(run.settings, sort_keys=True, default=str) for run in runs]
    on_dataset: dict[str, set[str]] = defaultdict(set)
    for run, key in zip(runs, keys, strict=True):
        on_dataset[run.dataset].add(key)
    if all(len(found) == 1 for found in on_dataset.values()):
        return list(runs)
    labels = _labels(dict(zip(keys, [run.settings for run in runs], strict=True)))
    return [
        replace(run, algorithm=f"{run.algorithm} ({labels[key]})")
        for run, key in zip(runs, keys, strict=True)
    ]


def _labels(variants: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    fields = sorted({name for settings in variants.values() for name in settings})
    differing = [
        name
        for name in fields
        if len({str(settings.get(name, _ABSENT)) for settings in variants.values()}) > 1
    ]
    labels = {
        key: ", ".join(
            f"{name}={settings.get(name, _ABSENT)!s:.30}" for name in differing[:_LABELLED]
        )
        for key, settings in variants.items()
    }
    if len(set(labels.values())) == len(labels):
        return labels
    return {key: f"{label}, #{place}" for place, (key, label) in enumerate(labels.items(), 1)}
