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
        "adroit-pen",
    ),
    "episodes beyond the horizon": (
        "v0",
        "maze2d-goals",
        "maze2d-v0",
        "antmaze-v0",
        "antmaze-v1",
        "adroit-human",
        "adroit-cloned",
        "adroit-longhorizon",
        "no-timeouts",
        "bullet-layout",
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
        "no-timeouts",
        "bullet-layout",
    ),
    "stored next observations": ("maze2d-goals",),
    "continuity": ("v0", "maze2d-goals", "antmaze-v0", "adroit-cloned", "no-timeouts"),
    "constant columns": ("kitchen-goal", "antmaze-goal", "ant-contact"),
    "precision": ("replay-float64", "adroit-v0"),
    "reward values": ("minigrid-rewards", "goals"),
    "final rewards": ("maze2d-reward", "antmaze-clusters", "beyond"),
    "returns": ("kitchen-rewards", "maze2d-goals", "adroit-human", "adroit-cloned"),
    "level": ("hopper-v1-swap",),
    "duplicated rows": ("adroit-cloned",),
    "duplicated episodes": ("adroit-cloned",),
    "replay": ("v1-infos", "maze2d-reward"),
}
# Errata that are how a collection means its data: what a check would mend is no fault there.
_AS_MEANT = frozenset(
    {
        "adroit-cloned",
        "adroit-human",
        "antmaze-clusters",
        "beyond",
        "goals",
        "kitchen-terminals",
        "minigrid-rewards",
    }
)


def recognised(finding: Finding, record: DatasetRecord | None) -> Finding:
    """Return a finding with the erratum of the record, if any, that explains it.

    Where the erratum is how the data is meant, the finding's remedy would spoil it and is dropped.
    """
    if record is None or finding.verdict == "pass" or not _may_be_foretold(finding):
        return finding
    for key in FORETOLD.get(finding.check, ()):
        for text in _texts().get(key, ()):
            if text in record.errata:
                remedy = "" if key in _AS_MEANT else finding.remedy
                return replace(finding, known_erratum=text, remedy=remedy)
    return finding


def _may_be_foretold(finding: Finding) -> bool:
    """Return False for what no erratum is about: rewards, if amiss, are foretold to be all zero."""
    counts = finding.counts
    return finding.check != "reward values" or counts.get("least") == counts.get("largest") == 0


@functools.cache
def _texts() -> dict[str, list[str]]:
    """Return the errata of all collections by key; two collections may use one key."""
    texts: dict[str, list[str]] = {}
    for name in dict.fromkeys(catalogue.COLLECTIONS.values()):
        errata = getattr(importlib.import_module(f"datumrl.datasets.{name}"), "ERRATA", {})
        for key, text in errata.items() if isinstance(errata, dict) else ():
            texts.setdefault(key, []).append(text)
    return texts
