"""The TQ-SACo map: where datasets lie by the quality of their episodes and by their coverage."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from datumrl.datasets import discretization
from datumrl.datasets.dataset_statistics import DatasetStatistics

Origin = Literal["published", "measured", "shown"]

PRESET = discretization.DEFAULT  # of the published points; others are not comparable with them
ENVIRONMENTS = ("hopper", "halfcheetah", "walker2d")  # those with a mark of their own
KINDS = {
    "random": "r",
    "medium": "m",
    "medium-replay": "mr",
    "medium-expert": "me",
    "expert": "e",
}


@dataclass(frozen=True)
class MapPoint:
    """One dataset on the map."""

    id: str
    tq: float  # no unit: 0 random, 1 expert
    saco: float  # no unit: 1 as many distinct state-actions as the reference
    own_reference: bool  # SACo is 1 by construction
    origin: Origin  # published; measured, in a card that comes with the suite; or shown beside it

    @property
    def environment(self) -> str:
        """Return the environment whose mark it gets; "" for all others."""
        name = self.id.rpartition("/")[2]
        return next((each for each in ENVIRONMENTS if name.startswith(f"{each}-")), "")

    @property
    def mark(self) -> str:
        """Return what is written beside it: a letter or two for the usual kinds, else its name."""
        name = self.id.rpartition("/")[2]
        match = re.fullmatch(rf"(?:{'|'.join(ENVIRONMENTS)})-({'|'.join(KINDS)})-v\d+", name)
        return KINDS[match[1]] if match else name


def place(found: DatasetStatistics, origin: Origin = "shown") -> MapPoint | str:
    """Return where a dataset lies on the map, or why it is not there."""
    if found.scores.tq is None:
        return f"no TQ: {found.scores.refused}"
    preset, covered = discretization.find_preset(PRESET), found.coverage
    usual = min(found.rows, preset.rows or found.rows)
    if covered.preset != PRESET or covered.rows != usual:
        return (
            f"SACo is of preset {covered.preset} over {covered.rows:,} rows, which is not "
            f"comparable with the points known, of {PRESET}"
        )
    own = covered.reference == found.id
    return MapPoint(found.id, found.scores.tq, covered.saco, own, origin)


def merge(*groups: Iterable[MapPoint]) -> list[MapPoint]:
    """Return the points of all groups, each dataset once: as the last group has it."""
    return list({point.id: point for group in groups for point in group}.values())


def legend(points: Sequence[MapPoint]) -> str:
    """Return in words what the marks of these points mean."""
    used = [point for point in points if point.mark in KINDS.values()]
    letters = [f"{mark} {kind}" for kind, mark in KINDS.items() if mark in {p.mark for p in used}]
    words = [", ".join(letters)] if letters else []
    if any(point.own_reference for point in points):
        words.append("hollow: its own reference, so SACo is 1 by construction")
    return "; ".join(words)
