"""A registered table with every evaluation behind it: does each cell follow from them?"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from datumrl.leaderboard import outcome, published_tables
from datumrl.leaderboard.outcome import About, Outcome, Progress
from datumrl.leaderboard.published_tables import PublishedTable
from datumrl.leaderboard.rules import Rule
from datumrl.leaderboard.table_case import Case


def reproduce(
    table: PublishedTable,
    about: About,
    seed: int = 0,
    folder: Path = published_tables.FOLDER,
    progress: Progress | None = None,
) -> Outcome:
    """Recompute a table by its source's rule; ``seed`` is that of the tests' relabellings.

    Raises DatumrlError for a data file that is not the registered one.
    """
    case = published_tables.case(table, folder)
    found = outcome.of_case(case, about, seed, progress)
    runs = [run for own in case.raw.raw.values() for run in own]
    evaluations = sum(run.values.size for run in runs)
    return dataclasses.replace(
        found,
        facts=(f"raw scores: {evaluations:,} evaluations of {len(runs):,} runs",),
        departures=tuple((label, failing(case, rule)) for label, rule in table.departures),
    )


def failing(case: Case, rule: Rule) -> int:
    """Return how many cells do not follow under a rule."""
    cells = sorted(case.testable)
    return len(cells) - int(case.fits(rule, cells).sum())
