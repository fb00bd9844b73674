"""Which errata of the collections explain what an audit finds."""

from __future__ import annotations

import functools
import importlib
from dataclasses import replace

from datumrl.datasets import catalogue
from datumrl.datasets.findings import Finding
from datumrl.datasets.record import DatasetRecord

# Check -> keys of the collections' ERRATA that explain it when it does not pass.
FORETOLD = {
    "boundaries": ("antmaze-clusters",),
    "recorded timeouts": ("v0", "no-timeouts", "bullet-layout"),
    "timeouts off the horizon": (
        "replay-fragments",
        "v0",
        "maze2d-goals",
        "antmaze-v0",
        "adroit-human",
        "adroit-cloned",
        "adroit-cloned-v1",
        "adroit-pen",
        "own-length",
        "minari-goals",
    ),
    "episodes beyond the horizon": (
        "v0",
        "maze2d-goals",
        "maze2d-v0",
        "antmaze-v0",
        "antmaze-v1",
        "antmaze-length",
        "kitchen-terminals",
        "adroit-human",
        "adroit-cloned",
        "adroit-cloned-v1",
        "adroit-longhorizon",
        "no-timeouts",
        "bullet-layout",
        "own-length",
        "minari-goals",
    ),
    "terminals at the horizon": (
        "never-terminates",
        "maze2d-goals",
        "kitchen-terminals",
        "antmaze-clusters",
        "beyond",
    ),
    "unfinished tail": (
        "unfinished-tail",
        "stitched",
        "replay-fragments",
        "v0",
        "maze2d-goals",
        "adroit-cloned",
        "adroit-cloned-v1",
        "no-timeouts",
        "bullet-layout",
    ),
    "stored next observations": ("maze2d-goals", "minari-goals"),
    "continuity": (
        "v0",
        "maze2d-goals",
        "antmaze-v0",
        "adroit-cloned",
        "no-timeouts",
        "minari-goals",
    ),
    "constant columns": ("kitchen-goal", "antmaze-goal", "ant-contact"),
    "precision": ("replay-float64", "adroit-v0"),
    "reward values": ("minigrid-rewards", "goals"),
    "final rewards": ("maze2d-reward", "antmaze-clusters", "beyond"),
    "returns": (
        "kitchen-rewards",
        "maze2d-goals",
        "adroit-human",
        "adroit-cloned",
        "adroit-cloned-v1",
    ),
    "level": ("hopper-v1-swap",),
    "duplicated rows": ("adroit-cloned", "adroit-cloned-v1"),
    "duplicated episodes": ("adroit-cloned", "adroit-cloned-v1"),
    "replay": ("v1-infos", "maze2d-reward"),
}
# Errata that are how a collection means its data: what a check would mend is no fault there.
_AS_MEANT = frozenset(
    {
        "adroit-cloned",
        "adroit-cloned-v1",
        "adroit-human",
        "antmaze-clusters",
        "antmaze-length",
        "beyond",
        "goals",
        "kitchen-terminals",
        "minari-goals",
        "minigrid-rewards",
        "own-length",
    }
)


def recognised(finding: Finding, record: DatasetRecord | None) -> Finding:
    """Return a finding with the erratum of the record, if any, that explains it.

    Where the erratum is how the data is meant, the finding's remedy would spoil it and is dropped.
    """
    if record is None or finding.verdict == "pass":
        return finding
    for key in FORETOLD.get(finding.check, ()):
        for text in _texts().get(key, ()):
            if text in record.errata and _explains(key, finding):
                remedy = "" if key in _AS_MEANT else finding.remedy
                return replace(finding, known_erratum=text, remedy=remedy)
    return finding


def _explains(key: str, finding: Finding) -> bool:
    """Return False for what an erratum that explains a check's findings says nothing of.

    Rewards, if amiss, are foretold to be all zero; and a timeout that is late by a row never joins
    two episodes.
    """
    counts = finding.counts
    if finding.check == "reward values":
        return counts.get("least") == counts.get("largest") == 0
    return key != "antmaze-length" or counts["longest"] < 2 * counts["time limit"]


@functools.cache
def _texts() -> dict[str, list[str]]:
    """Return the errata of all collections by key; two collections may use one key."""
    texts: dict[str, list[str]] = {}
    for name in dict.fromkeys(catalogue.COLLECTIONS.values()):
        errata = getattr(importlib.import_module(f"datumrl.datasets.{name}"), "ERRATA", {})
        for key, text in errata.items() if isinstance(errata, dict) else ():
            texts.setdefault(key, []).append(text)
    return texts
