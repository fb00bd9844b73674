"""What tells two recorded runs apart, in words."""

from __future__ import annotations

import json
from typing import Any

from datumrl.evaluation.records import RunRecord


def differences(found: RunRecord, wanted: RunRecord) -> list[str]:
    """Return in words what tells two runs apart; the machine and its software do not."""
    there, here = _settings(found), _settings(wanted)
    if None in (found.dataset_sha256, wanted.dataset_sha256):  # not known is no other data
        del there["dataset_sha256"], here["dataset_sha256"]
    return [
        f"{name} is {json.dumps(there.get(name))} there and {json.dumps(here.get(name))} here"
        for name in {**there, **here}
        if there.get(name) != here.get(name)
    ]


def _settings(record: RunRecord) -> dict[str, Any]:
    content = record.model_dump(mode="json")
    flat = {name: content[name] for name in ("algorithm", "dataset", "dataset_sha256", "seed")}
    for group in ("configuration", "budget", "protocol"):
        flat.update({f"{group}.{name}": value for name, value in content[group].items()})
    return flat
