"""Publications whose raw scores the board shows, and those scores as runs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from datumrl.datasets import catalogue, scores
from datumrl.datasets.catalogue import DatasetRecord
from datumrl.evaluation.records import ScoreRow
from datumrl.leaderboard import neorl_selection, published_tables, runs
from datumrl.leaderboard.runs import Run


@dataclass(frozen=True)
class PublishedSource:
    """Where raw scores were published, and how they were measured, in words."""

    source: str  # as the score rows name it
    title: str
    url: str
    licence: str
    protocol: str


def load() -> tuple[list[Run], dict[str, PublishedSource]]:
    """Return every published run and the sources by name."""
    tables = published_tables.all_tables()
    rows = [row for table in tables for row in published_tables.score_rows(table.id)]
    sources = [
        PublishedSource(
            table.source,
            table.title,
            table.url,
            table.licence,
            "Last evaluation of each run; episodes per evaluation and engine versions are not "
            "stated; normalised with the reference returns of the source.",
        )
        for table in tables
    ]
    rows += neorl_rows()
    sources.append(_neorl())
    return runs.from_rows(rows), {each.source: each for each in sources}


def neorl_rows() -> list[ScoreRow]:
    """Return NeoRL's runs with, per dataset and algorithm, the setting that FQE ranks first.

    The source's own rule takes the setting of the highest online return, of the same runs that it
    reports; the offline estimate chooses without them.
    """
    found = []
    known = {record.id: record for record in catalogue.all_records()}
    for (dataset, algorithm), each in neorl_selection.read().items():
        setting = int(np.median(each.fqe, axis=1).argmax())
        record = known.get(dataset)  # None of the source's task that was never published
        for seed, value in enumerate(each.online[setting].tolist()):
            found.append(
                ScoreRow(
                    tier="raw published",
                    algorithm=algorithm,
                    dataset=dataset,
                    seed=seed,
                    mean_return=value,
                    score=_score(value, record),
                    source=neorl_selection.ABOUT.source,
                )
            )
    return found


def _score(value: float, record: DatasetRecord | None) -> float | None:
    if record is None or record.reference is None:
        return None
    return scores.normalize(value, record)


def _neorl() -> PublishedSource:
    about = neorl_selection.ABOUT
    return PublishedSource(
        about.source,
        about.title,
        about.url,
        about.licence,
        "Last evaluation of each run, 1,000 episodes (3 in sp); per dataset the setting that "
        "fitted Q evaluation ranks first, so online returns chose nothing; seeds are numbered by "
        "their order; normalised with reference returns of a third party.",
    )
