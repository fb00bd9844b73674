"""Variants of one algorithm: runs of other sources or settings are rows of their own."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from datumrl.evaluation.variants import labels
from datumrl.leaderboard import runs
from datumrl.leaderboard.runs import Run


def split(own: Sequence[Run]) -> list[tuple[str, list[Run]]]:
    """Split runs that are shown under one name by who made them, and by configurations or budgets.

    Returns (label, runs) of each variant; the label is "" where there is but one.  Records of
    different sources are never one row: a submission may have the name of a method of ours, or one
    that is shown alike.
    """
    by_maker: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in own:
        by_maker[run.row.algorithm, run.row.source if run.record is not None else ""].append(run)
    makers = _makers(by_maker)
    return [
        (", ".join(filter(None, (makers[maker], label))), variant)
        for maker, members in sorted(by_maker.items())
        for label, variant in _by_settings(members)
    ]


def _makers(by_maker: Mapping[tuple[str, str], Sequence[Run]]) -> dict[tuple[str, str], str]:
    """Return what sets each (algorithm, source) apart: sources, and where they are equal names."""
    if len(by_maker) == 1:
        return dict.fromkeys(by_maker, "")
    found = {
        maker: " and ".join(sorted({run.row.source for run in own} - {""}))
        for maker, own in by_maker.items()
    }
    count = Counter(found.values())
    return {
        (name, source): ", ".join(filter(None, (told, name))) if count[told] > 1 else told
        for (name, source), told in found.items()
    }


def _by_settings(own: Sequence[Run]) -> list[tuple[str, list[Run]]]:
    """Split runs where one dataset was run in several configurations or budgets."""
    variants: dict[str, dict[str, list[Run]]] = defaultdict(lambda: defaultdict(list))
    for run in own:
        variants[run.row.dataset][run.variant].append(run)
    if all(len(found) == 1 for found in variants.values()):
        return [("", list(own))]
    apart: dict[str, list[Run]] = defaultdict(list)
    for run in own:
        apart[run.variant].append(run)
    told = labels({key: _settings(members[0]) for key, members in apart.items()})
    return [(told[key], apart[key]) for key in sorted(apart)]


def _settings(run: Run) -> dict[str, Any]:
    return runs.settings(run.record) if run.record is not None else {}
