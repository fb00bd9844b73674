"""Which versions a run was trained with.  One that goes on with others says so, and its records do.

A checkpoint keeps spans, a list of ``[updates done before, versions]`` in the order of training.
Of a run that began before they were kept, its records tell the first; without any it is unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from datumrl.algorithms import registry
from datumrl.evaluation import provenance

Spans = list[list[Any]]


def versions(algorithm: str) -> dict[str, str]:
    """Return what trains now: versions of packages, and a later revision of the method's code."""
    return {**provenance.software_versions("torch"), **registry.recorded_revision(algorithm)}


def gone_on(spans: Spans, step: int, now: dict[str, str]) -> Spans:
    """Return the spans of a run that goes on after ``step`` updates with the versions ``now``."""
    before = [span for span in spans if span[0] < step]
    same = before and before[-1][1] == now
    return before if same else [*before, [step, now]]


def change(spans: Spans) -> str | None:
    """Say in which versions the last span differs from the one before, if there is one."""
    if len(spans) < 2:
        return None
    (_, before), (step, now) = spans[-2:]
    differing = [
        f"{name} {now.get(name, 'missing')} (before: {before.get(name, 'missing')})"
        for name in {**before, **now}
        if before.get(name) != now.get(name)
    ]
    return f"goes on from step {step:,} with other software: {', '.join(differing)}"


def recorded(spans: Spans) -> dict[str, str]:
    """Return the versions that a record tells, such as ``2.13.0 (2.12.0 until step 300)``."""
    (start, _), *_, (_, last) = [spans[0], *spans]
    unknown = f" (unknown until step {start})" if start else ""
    return {name: _told(name, spans) + unknown for name in last}


def _told(name: str, spans: Sequence[Sequence[Any]]) -> str:
    now = spans[-1][1][name]
    former, value = [], now
    for (_, versions), (end, _) in zip(spans[-2::-1], spans[:0:-1], strict=True):
        if versions.get(name) != value:
            value = versions.get(name)
            former.append(f"{value or 'missing'} until step {end}")
    return f"{now} ({', '.join(former)})" if former else now
