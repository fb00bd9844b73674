"""Variants of one algorithm: runs of several configurations or budgets are rows of their own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from datumrl.leaderboard import runs
from datumrl.leaderboard.runs import Run

_LABELLED = 3  # how many differing settings a variant's label names


def split(own: Sequence[Run]) -> list[tuple[str, list[Run]]]:
    """Split an algorithm's runs where one dataset was run in several configurations or budgets.

    Returns (label, runs) of each variant; the label is "" where there is but one.
    """
    variants: dict[str, dict[str, list[Run]]] = defaultdict(lambda: defaultdict(list))
    for run in own:
        variants[run.row.dataset][run.variant].append(run)
    if all(len(found) == 1 for found in variants.values()):
        return [("", list(own))]
    split: dict[str, list[Run]] = defaultdict(list)
    for run in own:
        split[run.variant].append(run)
    labels = _labels({key: _settings(members[0]) for key, members in split.items()})
    return [(labels[key], split[key]) for key in sorted(split)]


def _settings(run: Run) -> dict[str, Any]:
    return runs.settings(run.record) if run.record is not None else {}


def _labels(variants: dict[str, dict[str, Any]]) -> dict[str, str]:
    keys = sorted({key for content in variants.values() for key in content})
    differing = [
        key
        for key in keys
        if len({runs.digest(content.get(key)) for content in variants.values()}) > 1
    ]
    labels = {}
    for variant, content in variants.items():
        parts = [
            f"{key}={content[key]!s:.30}" if key in content else f"no {key}"
            for key in differing[:_LABELLED]
        ]
        labels[variant] = ", ".join([*parts, f"#{variant[:6]}"])
    return labels
