"""Suites: which datasets belong together, so that their scores may share a table."""

from __future__ import annotations

import re
from dataclasses import dataclass

_DATASET = re.compile(
    r"(?:(?P<collection>[^/]*)/)?(?P<name>.*?)(?:-(?P<version>v\d+))?(?:@(?P<prefix>.*))?",
    re.DOTALL,
)
_FAMILIES = {
    "halfcheetah": "locomotion",
    "hopper": "locomotion",
    "walker2d": "locomotion",
    "HalfCheetah": "locomotion",
    "Hopper": "locomotion",
    "Walker2d": "locomotion",
    "inverted": "inverted pendulum",
    "pen": "adroit",
    "hammer": "adroit",
    "door": "adroit",
    "relocate": "adroit",
}
_COLLECTIONS = {"d4rl": "D4RL", "local": "Local", "neorl": "NeoRL", "neorl2": "NeoRL-2"}
_WHOLE = {"neorl2"}  # collections that are one suite, whatever their environments


@dataclass(frozen=True, order=True)
class Suite:
    """Datasets whose scores may be averaged: one collection, family, version and size."""

    collection: str
    family: str
    version: str
    prefix: str

    @property
    def title(self) -> str:
        """Return for example ``D4RL locomotion v2``."""
        size = f"first {self.prefix}" if self.prefix else ""
        collection = _COLLECTIONS.get(self.collection, self.collection)
        return " ".join(part for part in (collection, self.family, self.version, size) if part)


def suite_of(dataset: str) -> Suite:
    """Return the suite of a dataset id; unknown names form families by their first word."""
    match = _DATASET.fullmatch(dataset)
    assert match is not None  # every part of the pattern is optional
    first = match["name"].partition("-")[0]
    collection = match["collection"] or ""
    return Suite(
        collection=collection,
        family="" if collection in _WHOLE else _FAMILIES.get(first, first),
        version=match["version"] or "",
        prefix=match["prefix"] or "",
    )
