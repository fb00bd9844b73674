"""One algorithm in several settings is several entries, named by the settings that differ."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from datumrl.evaluation.scored_runs import ScoredRun

_LABELLED = 3  # how many differing settings a label names


def told_apart(runs: Sequence[ScoredRun]) -> list[ScoredRun]:
    """Rename runs whose algorithm ran in several settings on one dataset, e.g. ``iql (tau=0.9)``.

    Settings that differ between datasets only are one entry: methods are tuned for each dataset.
    """
    by_algorithm: dict[str, list[ScoredRun]] = defaultdict(list)
    for run in runs:
        by_algorithm[run.algorithm].append(run)
    return [run for members in by_algorithm.values() for run in _renamed(members)]


def _renamed(runs: Sequence[ScoredRun]) -> list[ScoredRun]:
    keys = [digest(run.settings) for run in runs]
    on_dataset: dict[str, set[str]] = defaultdict(set)
    for run, key in zip(runs, keys, strict=True):
        on_dataset[run.dataset].add(key)
    if all(len(found) == 1 for found in on_dataset.values()):
        return list(runs)
    told = labels(dict(zip(keys, [run.settings for run in runs], strict=True)))
    return [
        replace(run, algorithm=f"{run.algorithm} ({told[key]})")
        for run, key in zip(runs, keys, strict=True)
    ]


def labels(variants: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return what sets apart each of the variants, settings by their digest: ``tau=0.9``.

    The first settings that differ are named; where these do not tell two apart, all labels end in
    digits of their digests.
    """
    fields = sorted({name for settings in variants.values() for name in settings})
    differing = [
        name
        for name in fields
        if len({digest([name in given, given.get(name)]) for given in variants.values()}) > 1
    ]
    told = {
        key: ", ".join(
            f"{name}={settings[name]!s:.30}" if name in settings else f"no {name}"
            for name in differing[:_LABELLED]
        )
        for key, settings in variants.items()
    }
    if len(set(told.values())) == len(told):
        return told
    return {key: f"{label}, #{key[:6]}" for key, label in told.items()}


def digest(settings: Any) -> str:
    """Return 12 hex digits of a JSON value; what is none counts as its text."""
    text = json.dumps(settings, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
