"""What tells two recorded runs apart, in words."""

from __future__ import annotations

import json
from typing import Any

from datumrl.evaluation.records import RunRecord

_HASHES = ("dataset_sha256", "dataset_content_sha256")


def differences(found: RunRecord, wanted: RunRecord) -> list[str]:
    """Return in words what tells two runs apart; the machine and its software do not."""
    there, here = _settings(found), _settings(wanted)
    for name in _HASHES:
        if None in (there[name], here[name]):  # not known is no other data
            del there[name], here[name]
    return [
        f"{name} is {json.dumps(there.get(name))} there and {json.dumps(here.get(name))} here"
        for name in {**there, **here}
        if there.get(name) != here.get(name)
    ]


def _settings(record: RunRecord) -> dict[str, Any]:
    content = record.model_dump(mode="json")
    flat = {name: content.get(name) for name in ("algorithm", "dataset", *_HASHES, "seed")}
    for group in ("configuration", "budget", "protocol"):
        flat.update({f"{group}.{name}": value for name, value in content[group].items()})
    return flat
