"""The site's pages of published tables: the rule in words, the verdicts, what lies beyond."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datumrl.datasets import files
from datumrl.leaderboard import (
    names,
    outcome_files,
    outcome_reading,
    outcome_sheets,
    published_tables,
    registered,
    trained_outcome,
    trained_sheets,
)
from datumrl.leaderboard.outcome import Outcome


@dataclass(frozen=True)
class ReproductionPage:
    """One table, and where its page and its data are within the site."""

    outcome: Outcome
    page: str
    data: str

    @property
    def verdict(self) -> str:
        """Return the table's state in a few words."""
        if self.outcome.trained is not None:
            return trained_sheets.words(self.outcome.trained)
        counts = self.outcome.counts
        if counts.get("differs"):
            return f"{counts['differs']:,} cells differ"
        following = counts.get("reproduced", 0) + counts.get("only under", 0)
        if following:
            hidden = counts.get("only under", 0)
            return f"{following:,} cells follow" + (
                f", {hidden:,} only under a hidden rule" if hidden else ""
            )
        return self.outcome.about.kind or "no raw data"

    @property
    def command(self) -> str:
        """Return what computes the page again."""
        if self.outcome.trained is not None:
            return self.outcome.trained.command
        return self.outcome.command or f"datumrl reproduce {self.outcome.about.id}"


def pages(outcomes: Sequence[Outcome]) -> list[ReproductionPage]:
    """Return a page per table, in the order given."""
    return [
        ReproductionPage(
            outcome,
            f"tables/{names.slug(outcome.about.id)}.html",
            f"data/tables/{names.slug(outcome.about.id)}.json",
        )
        for outcome in outcomes
    ]


def context(page: ReproductionPage) -> dict[str, Any]:
    """Return what the page's template shows; the cells come last, since they are many."""
    first, *others = outcome_sheets.sheets(page.outcome)
    return {
        "page": page,
        "about": page.outcome.about,
        "summary": outcome_sheets.summary(page.outcome),
        "sheets": [*others, first],
        "notes": page.outcome.notes,
        "right": outcome_files.RIGHT,
    }


def registered_outcomes(
    progress: Callable[[int, int], None] | None = None, kept: Path | None = None
) -> list[Outcome]:
    """Recompute every registered table; the same in every call of a process, so done once.

    Tables whose cells were trained again, and those of one's own, follow from a folder with a
    folder for each, by default ``reproductions`` under ``DATUMRL_HOME``.
    """
    found = []
    tables = registered.all_tables()
    for done, table in enumerate(tables, start=1):
        # Which dataset files are here may change from call to call.
        needs_files = table.about.id.startswith("tq-saco")
        run = _recomputed.__wrapped__ if needs_files else _recomputed
        found.append(run(table.about.id))
        if progress is not None:
            progress(done, len(tables))
    taken = frozenset(each.about.id for each in found)
    folder = kept or files.home() / trained_outcome.FOLDER
    return [*found, *outcome_reading.read_all(folder, taken)]


@functools.cache
def _recomputed(table_id: str) -> Outcome:
    return registered.find(table_id).run(0, published_tables.FOLDER, None)
