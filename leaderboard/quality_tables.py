"""Published measures of datasets: recomputed from the datasets' own files, where those are here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from datumrl.datasets import catalogue, coverage, discretization, loading, returns_quality
from datumrl.datasets.discretization import Limits, Preset
from datumrl.datasets.episodes import Episodes
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.scores import reference_of
from datumrl.leaderboard import published_tables
from datumrl.leaderboard.published_tables import DataFile

Status = Literal["reproduced", "differs", "no raw data here"]
# Of the mean return behind a TQ: the source's sums of float32 rewards may have been taken in
# another order and precision.  TQ itself may be near 0, which such an error need not be.
RETURN_TOLERANCE = 1e-5
SACO_TOLERANCE = 1e-9  # of a ratio of exact counts


@dataclass(frozen=True)
class QualityTable:
    """TQ and SACo as published, and the rule they follow."""

    id: str
    title: str
    source: str  # owner/name@commit
    url: str
    licence: str
    cells: DataFile  # CSV: dataset, reference, tq, unique_state_actions, saco, as printed
    preset: str  # of `discretization`


@dataclass(frozen=True)
class PublishedRow:
    """One dataset's numbers as printed."""

    dataset: str
    reference: str
    tq: float
    unique_state_actions: int
    saco: float


@dataclass(frozen=True)
class QualityVerdict:
    """A published row beside the numbers recomputed, which are None without the files."""

    printed: PublishedRow
    status: Status
    tq: float | None = None
    unique_state_actions: int | None = None
    saco: float | None = None
    note: str = ""  # what is missing or differs, or which reading of the rule it took


_TABLES = (
    QualityTable(
        id="tq-saco-d4rl-v0",
        title="TQ and SACo of twelve D4RL-v0 datasets (Schweighofer et al.)",
        source="ml-jku/OfflineRL@8cc8eec860b57d04cea4905ff776043a95a52642",
        url="https://github.com/ml-jku/OfflineRL",
        licence="MIT",
        cells=DataFile(
            "tq_saco_d4rl_v0.csv",
            "f75f9856ac6703f84ca8bbd9ddb79356b604ed7d82b03b19d1f2a264dbabf1b6",
        ),
        preset="d4rl-study",
    ),
)


def all_tables() -> tuple[QualityTable, ...]:
    """Return every registered table of dataset measures."""
    return _TABLES


def find(table_id: str) -> QualityTable:
    """Return a registered table of dataset measures; DatumrlError for an unknown id."""
    for table in _TABLES:
        if table.id == table_id:
            return table
    known = ", ".join(table.id for table in _TABLES)
    raise DatumrlError(f"unknown table {table_id!r}; registered: {known}")


def read_rows(table: QualityTable, folder: Path = published_tables.FOLDER) -> list[PublishedRow]:
    """Read the numbers of a table as its source printed them."""
    return [
        PublishedRow(
            row["dataset"],
            row["reference"],
            float(row["tq"]),
            int(row["unique_state_actions"]),
            float(row["saco"]),
        )
        for row in published_tables.read_csv(table.cells, folder)
    ]


def reproduce(
    table_id: str,
    load: Callable[[str], Episodes] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[QualityVerdict]:
    """Recompute every row of which the dataset and its reference are here.

    ``load`` returns a dataset by id or raises DatumrlError (by default `loading.load`);
    ``progress`` is told of rows of the table.

    Raises DatumrlError for an unknown table and a changed data file.
    """
    table = find(table_id)
    rows = read_rows(table)
    preset = discretization.find_preset(table.preset)
    verdicts = []
    for number, row in enumerate(rows, start=1):
        verdicts.append(check(row, preset, load or loading.load))
        if progress is not None:
            progress(number, len(rows))
    return verdicts


def check(row: PublishedRow, preset: Preset, load: Callable[[str], Episodes]) -> QualityVerdict:
    """Recompute one row, or say what is missing for it."""
    loaded = []
    for name in dict.fromkeys((row.dataset, row.reference)):
        try:
            loaded.append(load(name))
        except DatumrlError as problem:
            return QualityVerdict(row, "no raw data here", note=str(problem))
    episodes, reference = loaded[0], loaded[-1]
    unique, of_reference, dtype = _counts(row, preset, episodes, reference)
    tq, selection = _tq(row, preset, episodes)
    equal = count_agrees(row, unique) and tq_agrees(row, tq)
    equal = equal and saco_agrees(row, unique / of_reference)
    notes = []
    if unique != row.unique_state_actions:
        notes.append(f"{unique - row.unique_state_actions:+,} state-actions")
    if not tq_agrees(row, tq):
        notes.append(f"TQ {tq - row.tq:+.3g}")
    notes += [f"edges in {dtype}", f"TQ over {selection}"]
    return QualityVerdict(
        row,
        "reproduced" if equal else "differs",
        tq,
        unique,
        unique / of_reference,
        "; ".join(notes),
    )


def tq_agrees(row: PublishedRow, tq: float) -> bool:
    """Return whether a TQ comes from the mean return that the printed one comes from."""
    scale = reference_of(catalogue.find(row.dataset))
    width = scale.maximum - scale.minimum
    printed = scale.minimum + row.tq * width
    return abs(tq - row.tq) * width <= RETURN_TOLERANCE * abs(printed)


def count_agrees(row: PublishedRow, count: float) -> bool:
    """Return whether a number of distinct state-actions is the printed one."""
    return count == row.unique_state_actions


def saco_agrees(row: PublishedRow, saco: float) -> bool:
    """Return whether a SACo is the printed one."""
    return abs(saco - row.saco) <= SACO_TOLERANCE


def _counts(
    row: PublishedRow, preset: Preset, episodes: Episodes, reference: Episodes
) -> tuple[int, int, str]:
    """Return the two counts and the type of edges; float32 only where float64 does not agree."""
    limits = discretization.limits(reference, preset.rows)
    found = _count(episodes, reference, limits, preset)
    if found[0] != row.unique_state_actions:
        narrow = _count(episodes, reference, limits, replace(preset, edge_dtype="float32"))
        if narrow[0] == row.unique_state_actions:
            return *narrow, "float32"
    return *found, preset.edge_dtype


def _count(
    episodes: Episodes, reference: Episodes, limits: Limits, preset: Preset
) -> tuple[int, int]:
    unique = coverage.unique_state_actions(episodes, limits, preset)
    if episodes is reference:
        return unique, unique
    return unique, coverage.unique_state_actions(reference, limits, preset)


def _tq(row: PublishedRow, preset: Preset, episodes: Episodes) -> tuple[float, str]:
    """Return TQ and over which rows; the first rows only where all rows do not agree."""
    ends, complete = np.asarray(episodes.starts[1:]), episodes.complete()
    values = returns_quality.episode_returns(episodes)
    if not complete.any():
        raise DatumrlError(f"{episodes.id}: has no completed episode, so no TQ; fetch it again")
    scale = reference_of(catalogue.find(row.dataset))
    whole = returns_quality.trajectory_quality(
        float(values[complete].mean()), scale.minimum, scale.maximum
    )
    first = complete & (ends <= (preset.rows or len(episodes)))
    if not tq_agrees(row, whole) and first.any():
        part = returns_quality.trajectory_quality(
            float(values[first].mean()), scale.minimum, scale.maximum
        )
        if tq_agrees(row, part):
            return part, f"the first {preset.rows:,} rows"
    return whole, "all rows"
