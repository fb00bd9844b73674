"""`datumrl datasets`: the catalogue."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated

import rich.table
import tyro

from datumrl.datasets import catalogue
from datumrl.scripts import console


@dataclass(frozen=True)
class Command:
    """List the catalogue, or tell all about one dataset."""

    dataset: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[ID]")] = None
    """dataset id; without one, the whole catalogue is listed"""
    json: bool = False
    """print JSON"""

    def run(self) -> int:
        if self.dataset is None:
            _list(self.json)
        else:
            _tell(catalogue.find(self.dataset), self.json)
        return 0


def _list(as_json: bool) -> None:
    records = catalogue.all_records()
    if as_json:
        console.print_json([dataclasses.asdict(record) for record in records])
        return
    table = rich.table.Table("dataset", "environment", "obs", "act", "reference", box=None)
    for record in records:
        table.add_row(
            record.id,
            record.environment.id if record.environment else "none",
            str(record.observation_dim),
            str(record.action_dim),
            _reference(record),
        )
    console.output.print(table)


def _tell(record: catalogue.DatasetRecord, as_json: bool) -> None:
    if as_json:
        console.print_json(dataclasses.asdict(record))
        return
    table = rich.table.Table(show_header=False, box=None)
    table.add_row("id", record.id)
    if record.environment:
        settings = ", ".join(f"{key}={value}" for key, value in record.environment.kwargs)
        table.add_row("environment", f"{record.environment.id} {settings}".strip())
    table.add_row("observation, action", f"{record.observation_dim}, {record.action_dim}")
    table.add_row("time limit", str(record.time_limit))
    table.add_row("scores 0 and 100", _reference(record))
    if record.reference:
        table.add_row("", f"from {record.reference.origin}")
    table.add_row("sha256", record.sha256 or "recorded at first fetch, unconfirmed")
    for url in record.urls:
        table.add_row("url", url)
    table.add_row("licence", record.licence)
    table.add_row("citation", record.citation)
    for erratum in record.errata:
        table.add_row("note", erratum)
    console.output.print(table)


def _reference(record: catalogue.DatasetRecord) -> str:
    if record.reference is None:
        return "none"
    return f"{record.reference.minimum:g} .. {record.reference.maximum:g}"
