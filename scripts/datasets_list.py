"""`datumrl datasets`: the catalogue."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from datumrl.datasets import catalogue, places
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.record import DatasetRecord
from datumrl.scripts import console


@dataclass(frozen=True)
class Command:
    """List the catalogue, or show all about one dataset."""

    dataset: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[ID]")] = None
    """dataset id; without one, the collections, or the datasets that the options choose"""
    collection: str | None = None
    """list only this collection, e.g. d4rl"""
    environment: str | None = None
    """list only ids and environments that hold this text, e.g. hopper"""
    actions: Literal["continuous", "discrete"] | None = None
    """list only datasets of such actions"""
    max_rows: int | None = None
    """list only datasets that are known to hold at most so many transitions"""
    here: bool = False
    """list only what is on this machine"""
    all: bool = False
    """list every dataset; without this or a filter, only the collections are listed"""
    json: bool = False
    """print JSON"""

    def run(self) -> int:
        if self.dataset is None:
            chosen = self._chosen()
            if self.json or len(chosen) < len(catalogue.all_records()) or self.all:
                _list(chosen, self.json)
            else:
                _list_collections(chosen)
        else:
            _tell(catalogue.find(self.dataset), self.json)
        return 0

    def _chosen(self) -> list[DatasetRecord]:
        records = catalogue.all_records()
        known = sorted({record.collection for record in records})
        if self.collection is not None and self.collection not in known:
            raise DatumrlError(
                f"--collection {self.collection} is none of {', '.join(known)}; choose one of them"
            )
        if self.max_rows is not None and self.max_rows < 1:
            raise DatumrlError(f"--max-rows {self.max_rows}: give 1 transition or more")
        return [record for record in records if self._wanted(record)]

    def _wanted(self, record: DatasetRecord) -> bool:
        text = (self.environment or "").lower()
        name = record.environment.id.lower() if record.environment else ""
        return (
            self.collection in (None, record.collection)
            and (text in record.id.lower() or text in name)
            and self.actions in (None, _actions(record))
            and (self.max_rows is None or 0 < (record.rows or 0) <= self.max_rows)
            and (not self.here or _is_here(record))
        )


def _list_collections(records: list[DatasetRecord]) -> None:
    rows = []
    for name in dict.fromkeys(record.collection for record in records):
        mine = [record for record in records if record.collection == name]
        here = sum(_is_here(record) for record in mine)
        example = min((record.id for record in mine[len(mine) // 2 :]), key=len)
        rows.append((name, f"{len(mine):,}", str(here or ""), example))
    console.print_columns(("collection", "datasets", "here", "for example"), rows)
    console.notes.print(
        f"{len(records):,} datasets; --collection NAME, --environment TEXT or --all list them, and "
        "`datumrl datasets ID` shows all about one"
    )


def _list(records: list[DatasetRecord], as_json: bool) -> None:
    if as_json:
        console.print_json([dataclasses.asdict(record) for record in records])
        return
    if not records:
        console.notes.print("no dataset is of that kind; leave an option out to see more")
        return
    console.print_columns(
        ("dataset", "environment", "obs", "act", "reference"),
        [
            (
                record.id,
                _environment(record),
                _observations(record).partition("(")[0].strip(),  # what of is told of one dataset
                f"{record.action_dim or '?'}{' discrete' if record.discrete_actions else ''}",
                _reference(record),
            )
            for record in records
        ],
    )
    console.notes.print(
        f"{len(records)} datasets; ~ marks an environment that is only the nearest to the data's"
    )


def _tell(record: DatasetRecord, as_json: bool) -> None:
    if as_json:
        console.print_json(dataclasses.asdict(record))
        return
    console.print_facts([(name, value) for name, value in _facts(record) if value])


def _facts(record: DatasetRecord) -> list[tuple[str, str]]:
    """Return what there is to tell, as (name, text); empty texts are left out."""
    environment, reference = record.environment, record.reference
    return [
        ("id", record.id),
        ("environment", _environment_in_words(record)),
        ("", environment.note if environment else ""),
        ("its publisher's", " or ".join(record.publisher_environments)),
        ("observations", _observations(record)),
        ("actions", f"{record.action_dim or 'unknown'}, {_actions(record)}"),
        ("transitions", _transitions(record)),
        ("time limit", str(record.time_limit or "none, or not known")),
        ("scores 0 and 100", _reference(record)),
        ("", f"from {reference.origin}" if reference else "report raw returns"),
        ("returns of its episodes", record.returns_note),
        ("validation split", record.validation or ""),
        ("on this machine", "yes" if _is_here(record) else "no"),
        ("sha256", _sha256(record)),
        ("md5", record.md5 or ""),
        *[("url", url) for url in record.urls],
        ("how to get it", record.access),
        ("layout", _layout(record)),
        ("licence", record.licence),
        ("source", record.source),
        ("citation", record.citation),
        ("bibtex", record.bibtex),
        *[("note", erratum) for erratum in record.errata],
    ]


def _transitions(record: DatasetRecord) -> str:
    if not record.rows:
        return ""
    return f"{'at most' if record.rows_at_most else 'about'} {record.rows:,}"


def _environment_in_words(record: DatasetRecord) -> str:
    if record.environment is None:
        return "none: policies cannot be rolled out"
    settings = "".join(f" {key}={value}" for key, value in record.environment.settings.items())
    if not record.environment.settings_known:
        note = " (its settings are known once the dataset is fetched)"
    else:
        note = "" if record.environment.equivalent else " (only the nearest, not equivalent)"
    return f"{record.environment.id}{settings}{note}"


def _environment(record: DatasetRecord) -> str:
    if record.environment is None:
        return "none"
    return record.environment.id if record.environment.equivalent else f"~{record.environment.id}"


def _observations(record: DatasetRecord) -> str:
    return str(record.observation_dim) if record.observation_dim else record.observation_layout


def _actions(record: DatasetRecord) -> str:
    return "discrete" if record.discrete_actions else "continuous"


def _layout(record: DatasetRecord) -> str:
    if record.collection == "user":
        return "as you described it"
    if record.collection == "local":
        return "datumrl's own"
    if record.layout == "unverified":
        return "unverified: no published file or code was at hand; the reader says what it finds"
    return f"known {record.layout}"


def _sha256(record: DatasetRecord) -> str:
    """Return the hash that the catalogue states, or else the one recorded at the first fetch."""
    from datumrl.datasets import fetching

    if record.sha256 or record.reader == "local":
        return record.sha256 or "of its recipe, with `datumrl collect`"
    try:
        fetched = fetching.read_sidecar(places.raw_path(record))
    except DatumrlError as problem:
        return str(problem)
    if fetched is None:
        return "recorded at first fetch, unconfirmed"
    return f"{fetched.sha256}, recorded at first fetch, unconfirmed"


def _is_here(record: DatasetRecord) -> bool:
    return places.prepared_folder(record).exists() or (
        record.reader != "local" and places.raw_path(record).exists()
    )


def _reference(record: DatasetRecord) -> str:
    if record.reference is None:
        return "none"
    return f"{record.reference.minimum:g} .. {record.reference.maximum:g}"
