"""The catalogue: one frozen record per dataset id, found by name.

An id never changes its meaning.  Each collection is a module of its own with a function
``records``; a new collection is one more line in ``COLLECTIONS``.  Those ``IN_FOLDERS`` have, or
add, records of what lies in a folder of this machine.  Finding an id reads its collection only.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import re
from dataclasses import replace
from typing import Any

from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.record import DatasetRecord, Environment, Reference

__all__ = [
    "DatasetRecord",
    "Environment",
    "Reference",
    "all_records",
    "fetchable",
    "find",
    "known",
    "nearest",
]

COLLECTIONS = {  # what ids begin with -> module; collections are listed in this order
    "d4rl": "d4rl_catalogue",
    "neorl": "neorl_catalogue",
    "neorl2": "neorl_catalogue",
    "minari": "minari_catalogue",
    "ogbench": "ogbench_catalogue",
    "dgrl": "dgrl_catalogue",
    "vd4rl": "vd4rl_catalogue",
    "rlu": "rlu_catalogue",
    "d4rl-pybullet": "d4rl_pybullet_catalogue",
    "healthgym": "health_gym_catalogue",
    "d4rl-atari": "d4rl_atari_catalogue",
    "d5rl": "d5rl_catalogue",
    "local": "local_catalogue",
}
IN_FOLDERS = {"minari": "minari_catalogue", "user": "user_catalogue"}  # collection -> module


def find(dataset_id: str) -> DatasetRecord:
    """Return the record of an id such as ``d4rl/hopper-medium-v2`` or ``local/...-v1@100k``.

    Raises DatumrlError for an unknown id and names the nearest ones.
    """
    record = known(dataset_id)
    if record is None:
        name = dataset_id.partition("@")[0]
        asked = f"; `datumrl fetch {name}` asks Minari's remote for it" if _unlisted(name) else ""
        raise DatumrlError(f"unknown dataset {name!r}; {nearest(name)}{asked}")
    return record


def fetchable(dataset_id: str) -> DatasetRecord:
    """Return the record to fetch a dataset by: of Minari's, any well-formed id has one.

    Raises DatumrlError as `find` does for an unknown id of another collection.
    """
    return known(dataset_id) or _unlisted(dataset_id) or find(dataset_id)


def known(dataset_id: str) -> DatasetRecord | None:
    """Return the record of an id, None for one that no catalogue has; names no nearest ones.

    Raises DatumrlError for a prefix that cannot be, and for what is no text.
    """
    if not isinstance(dataset_id, str):
        raise DatumrlError(
            f"{repr(dataset_id)[:60]}: a dataset is named by its id, for example "
            "'d4rl/hopper-medium-v2'"
        )
    name, at, size = dataset_id.partition("@")
    record = _here(name) or _published(name)
    if record is None or not at:
        return record
    if record.reader != "local":
        raise DatumrlError(
            f"{dataset_id}: only local datasets have prefixes, since only their order of episodes "
            f"is ours to define; use {name}"
        )
    return replace(record, id=dataset_id, prefix=_parse_prefix(dataset_id, size))


def all_records() -> list[DatasetRecord]:
    """Return every record, in the order of the catalogue."""
    return list(_all().values())


def nearest(name: str) -> str:
    """Return in words which ids an unknown one may have been meant for."""
    if name.strip("/") in {**COLLECTIONS, **IN_FOLDERS}:
        return f"that is a collection: `datumrl datasets --collection {name.strip('/')}` lists it"
    known = list(_all())
    if name.startswith("user/"):
        here = [each for each in known if each.startswith("user/")]
        registered = f"registered are {', '.join(here)}; " if here else ""
        return f"{registered}`datumrl register FILE.toml` adds your own data"
    by_tail = {candidate.partition("/")[2]: candidate for candidate in known}
    if name in by_tail:
        return f"did you mean {by_tail[name]!r}?"
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    if not close:
        close = [
            by_tail[tail] for tail in difflib.get_close_matches(name, by_tail, n=3, cutoff=0.4)
        ]
    if close:
        return f"the nearest {'are' if len(close) > 1 else 'is'} {', '.join(close)}"
    return "`datumrl datasets` lists those known"


def _parse_prefix(dataset_id: str, size: str) -> int:
    match = re.fullmatch(r"([1-9][0-9]{0,8})(k|M)?", size)
    if match is None:
        raise DatumrlError(
            f"{dataset_id}: {size!r} is no number of transitions; write for example @50000 or @100k"
        )
    return int(match[1]) * {None: 1, "k": 1_000, "M": 1_000_000}[match[2]]


def _here(name: str) -> DatasetRecord | None:
    """Return the record of a dataset that only this machine's files tell of."""
    module = IN_FOLDERS.get(name.partition("/")[0])
    if module is None:
        return None
    found: DatasetRecord | None = _module(module).find_local(name, _published(name))
    return found


def _unlisted(name: str) -> DatasetRecord | None:
    record: DatasetRecord | None = _module("minari_catalogue").unlisted(name)
    return record


def _all() -> dict[str, DatasetRecord]:
    """Return every record by id, those that only this machine's files tell of at the end."""
    known = _records()
    here = [_module(module).local_records(known) for module in IN_FOLDERS.values()]
    return {**known, **{record.id: record for records in here for record in records}}


def _module(name: str) -> Any:
    return importlib.import_module(f"datumrl.datasets.{name}")


def _published(name: str) -> DatasetRecord | None:
    module = COLLECTIONS.get(name.partition("/")[0])
    return None if module is None else _records_of(module).get(name)


def _records() -> dict[str, DatasetRecord]:
    modules = dict.fromkeys(COLLECTIONS.values())
    return {name: record for module in modules for name, record in _records_of(module).items()}


@functools.cache
def _records_of(module: str) -> dict[str, DatasetRecord]:
    return {record.id: record for record in _module(module).records()}
