"""Rows that every table has beside its methods: random, expert, the data's own policy, BC.

None of them is trained here.  By definition of the normalised score a random policy has 0 and the
reference expert 100; the policy that made a dataset has the mean return of its episodes.  Where a
row has been measured under the table's protocol, by us or a publication, the measurement is shown
and not this.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from datumrl.datasets import catalogue
from datumrl.datasets.dataset_card import Card
from datumrl.datasets.errors import DatumrlError
from datumrl.leaderboard import known_quality, published_tables, reported_tables, tables
from datumrl.leaderboard.tables import EXPERT, Aggregate, Table

_NAMES_OF_BC = {"bc", "behavior cloning", "behaviour cloning"}
_NAMES_OF_RANDOM = {"random", "random policy"}


@dataclass(frozen=True)
class Behaviour:
    """What the episodes of a dataset are worth on average; None where nothing tells."""

    score: float | None
    mean_return: float | None
    origin: str


_UNKNOWN = Behaviour(None, None, "")


@dataclass(frozen=True)
class ReferenceRow:
    """One such row: its values by dataset, in the table's unit, and where they come from."""

    id: str
    name: str
    origin: str  # stands in place of the tier
    note: str = ""
    values: dict[str, float] = field(default_factory=dict)
    aggregate: Aggregate | None = None


def behaviours(cards: Iterable[Card]) -> dict[str, Behaviour]:
    """Return the worth of each dataset's own policy: from its card, else as published."""
    found = {
        point.id: Behaviour(EXPERT * point.tq, None, "published TQ")
        for point in known_quality.published_points()
    }
    for row in published_tables.read_csv(reported_tables.CELLS):
        if row["algorithm"] == reported_tables.DATA:
            found[row["dataset"]] = Behaviour(float(row["mean"]), None, "published mean")
    for card in cards:
        quality = card.statistics.scores.tq
        found[card.id] = Behaviour(
            None if quality is None else EXPERT * quality,
            card.statistics.returns.distribution.mean,
            "dataset card",
        )
    return found


def of_table(
    table: Table, behaviour: Mapping[str, Behaviour], submitted: Collection[str] = ()
) -> tuple[ReferenceRow, ...]:
    """Return the rows that a table's own entries do not measure.

    ``submitted`` are the sources of submissions, whose names are what their authors chose: one
    called BC is no measurement of the reference.
    """
    measured = {
        entry.algorithm.casefold()
        for entry in table.entries
        if entry.cells and not all(run.row.source in submitted for run in entry.runs)
    }
    rows = []
    if table.normalised:
        rows.append(_constant(table, "expert", "Reference expert", EXPERT))
    rows.append(_behaviour(table, behaviour))
    if not measured & _NAMES_OF_BC:
        rows.append(_without(table, "bc", "BC", "not run", "no run under this protocol"))
    if not measured & _NAMES_OF_RANDOM:
        if table.normalised:
            rows.append(_constant(table, "random", "Random policy", 0.0))
        else:
            note = "no run under this protocol"
            rows.append(_without(table, "random", "Random policy", "not run", note))
    return tuple(rows)


def _constant(table: Table, key: str, name: str, score: float) -> ReferenceRow:
    values = dict.fromkeys(table.datasets, score)
    return ReferenceRow(
        f"{table.id}--{key}", name, "by definition", "", values, _aggregate(values.values())
    )


def _behaviour(table: Table, behaviour: Mapping[str, Behaviour]) -> ReferenceRow:
    values: dict[str, float] = {}
    origins = set()
    for dataset in table.datasets:
        known = behaviour.get(dataset, _UNKNOWN)
        value = known.score if table.normalised else known.mean_return
        if value is not None:
            values[dataset] = value
            origins.add(known.origin)
    if not values:
        return _without(table, "behaviour", "Behaviour policy", *_why_unknown(table))
    note = "mean return of the datasets"
    counted = table.ranked_over or table.datasets
    known_of = [values[dataset] for dataset in counted if dataset in values]
    if len(known_of) < len(counted):
        note += f", {len(known_of)} of {len(counted)}"
    return ReferenceRow(
        f"{table.id}--behaviour", "Behaviour policy", ", ".join(sorted(origins)), note, values,
        _aggregate(known_of) if table.normalised else None,
    )  # fmt: skip


def _why_unknown(table: Table) -> tuple[str, str]:
    """Return what stands in place of the tier, and why no dataset's own policy has a value."""
    notes = dict.fromkeys(_returns_note(dataset) for dataset in table.datasets)
    if table.normalised and any(notes):
        return "no scores", "; ".join(filter(None, notes))
    return "not measured", "no card of these datasets"


def _returns_note(dataset: str) -> str:
    """Return why returns of a dataset's episodes are no scores; "" if they are."""
    try:
        record = catalogue.known(dataset)
    except DatumrlError:  # a table may be of any name
        return ""
    return "" if record is None else record.returns_note


def _without(table: Table, key: str, name: str, origin: str, note: str) -> ReferenceRow:
    return ReferenceRow(f"{table.id}--{key}", name, origin, note)


def _aggregate(values: Iterable[float]) -> Aggregate | None:
    return tables.aggregate(np.array([list(values)], dtype=np.float64))
