"""Which runs are of one method, in the same settings, on the same data: those belong together.

They are told in one table and exported into one folder, whatever device they were trained on, and
however often they were evaluated: neither says what was trained.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from datumrl.algorithms import presets
from datumrl.evaluation.records import RunRecord

_BESIDE = ("view", "matmul_precision", "revision")


def beside(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Return what records have among their settings of a run's identity, but its configuration."""
    return {name: identity[name] for name in _BESIDE if name in identity}


def of_run(identity: Mapping[str, Any]) -> str:
    """Return text that is equal for runs that belong together, by `finished_runs.identity`."""
    configuration = {**identity["configuration"], **beside(identity)}
    return _text(identity, configuration, identity.get("preset", presets.NONE))


def of_record(record: RunRecord) -> str:
    """Return the same text of one seed's record; entries of one method are told apart."""
    return _text(vars(record), record.configuration, record.budget.preset)


def alike(identities: Collection[Mapping[str, Any]]) -> bool:
    """Return whether runs belong together: of one text, and no two known contents of the data."""
    contents = {each.get("dataset_content_sha256") for each in identities} - {None}
    return len({of_run(each) for each in identities}) == 1 and len(contents) < 2


def _text(told: Mapping[str, Any], configuration: Mapping[str, Any], preset: str) -> str:
    trained = [told[name] for name in ("algorithm", "dataset", "dataset_sha256")]
    return json.dumps([*trained, configuration, preset], sort_keys=True)
