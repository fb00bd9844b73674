"""Every registered table: what it is, which files it needs, and how it is recomputed."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from datumrl.datasets.errors import DatumrlError
from datumrl.leaderboard import (
    adastop_example,
    adastop_table,
    corl_table,
    neorl_selection,
    published_tables,
    quality_tables,
    quality_verdicts,
    reported_tables,
    reproduce,
)
from datumrl.leaderboard.outcome import About, Outcome, Progress
from datumrl.leaderboard.published_tables import DataFile

Run = Callable[[int, Path, Progress | None], Outcome]
_D3RLPY_RULE = (
    "final: each run's last evaluation. best: its largest evaluation, without the first one (the "
    "source's reader skips a line), and for PLAS among the last 500 only (the 500 before train its "
    "generative model). Score: 100 (return - minimum) / (maximum - minimum). Mean and standard "
    "deviation (ddof = 0) over 10 seeds, of returns and of scores; one decimal."
)
_D3RLPY_EXPECTED = (
    "The last and the largest of all evaluations of each run; mean and standard deviation "
    "(ddof = 0) over all seeds."
)


@dataclass(frozen=True)
class Registered:
    """One table: ``kind`` says what is at hand, ``run`` recomputes it."""

    about: About
    files: tuple[DataFile, ...]
    run: Run


def all_tables() -> tuple[Registered, ...]:
    """Return every registered table, those with raw scores first."""
    return (
        *(_with_curves(table) for table in published_tables.all_tables()),
        Registered(
            adastop_table.ABOUT,
            (adastop_example.SCORES, adastop_example.PRINTED),
            adastop_table.reproduce,
        ),
        Registered(corl_table.ABOUT, (corl_table.CELLS,), corl_table.reproduce),
        Registered(neorl_selection.ABOUT, (neorl_selection.RUNS,), neorl_selection.reproduce),
        *(_of_quality(table) for table in quality_tables.all_tables()),
        *(
            Registered(about, (reported_tables.CELLS,), _reported(about))
            for about in reported_tables.ABOUT
        ),
    )


def find(table_id: str) -> Registered:
    """Return a registered table; an unknown id is an error that names the nearest."""
    by_id = {table.about.id: table for table in all_tables()}
    if table_id in by_id:
        return by_id[table_id]
    nearest = difflib.get_close_matches(table_id, by_id, n=3, cutoff=0.3) or by_id
    raise DatumrlError(
        f"unknown table {table_id!r}; the nearest: {', '.join(nearest)}; `datumrl reproduce` lists "
        "those registered"
    )


def state(table: Registered, folder: Path = published_tables.FOLDER) -> str:
    """Return what is at hand of a table, and which of its files have been changed."""
    changed = []
    for file in table.files:
        try:
            published_tables.verified(file, folder)
        except DatumrlError:
            changed.append(file.name)
    if changed:
        return f"changed or missing files: {', '.join(changed)}; reinstall datumrl"
    if table.about.id in {each.id for each in quality_tables.all_tables()}:
        return quality_verdicts.state(table.about.id)
    return table.about.kind


def _with_curves(table: published_tables.PublishedTable) -> Registered:
    about = About(
        table.id, table.title, table.source, table.url, table.licence,
        _D3RLPY_RULE, _D3RLPY_EXPECTED, "raw scores at hand",
    )  # fmt: skip

    def run(seed: int, folder: Path, progress: Progress | None) -> Outcome:
        return reproduce.reproduce(table, about, seed, folder, progress)

    return Registered(about, (table.raw, table.cells, table.references), run)


def _of_quality(table: quality_tables.QualityTable) -> Registered:
    about = quality_verdicts.about(table)

    def run(seed: int, folder: Path, progress: Progress | None) -> Outcome:
        return quality_verdicts.reproduce(table, about, progress)

    return Registered(about, (table.cells,), run)


def _reported(about: About) -> Run:
    def run(seed: int, folder: Path, progress: Progress | None) -> Outcome:
        return reported_tables.reproduce(about, folder)

    return run
