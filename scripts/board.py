"""`datumrl board`: the static leaderboard site."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from datumrl.datasets import files
from datumrl.datasets.errors import DatumrlError
from datumrl.scripts import console

if TYPE_CHECKING:
    from datumrl.datasets.dataset_card import Card
    from datumrl.leaderboard.further_pages import Beside
    from datumrl.leaderboard.outcome import Outcome
    from datumrl.leaderboard.published_sources import PublishedSource
    from datumrl.leaderboard.reported_means import ReportedRow
    from datumrl.leaderboard.runs import Run
    from datumrl.leaderboard.submission_checks import Report
    from datumrl.leaderboard.tables import Table


@dataclass(frozen=True)
class Command:
    """Write the static leaderboard site: published raw scores and your own run records.

    It shows published raw scores and tables, the submissions and dataset cards of datumrl, and your
    own run records beside them. The site is a folder of files that a browser opens as they are.
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """run records (seed-*.json), folders of them, or CSV files of score rows; default:
    DATUMRL_HOME/runs, if there are any"""
    out: Path = Path("board")
    """folder to write; an earlier board in it is replaced, anything else is left alone"""
    published: Annotated[bool, tyro.conf.arg(help_behavior_hint="(default: shown)")] = True
    """leave out the published raw scores and tables, the submissions and the dataset cards of
    datumrl"""
    submissions: tuple[Path, ...] = ()
    """further folders of submissions (method/revision)"""
    cards: tuple[Path, ...] = ()
    """dataset cards (card.json of `datumrl stats --card`) or folders of them, a page each; those
    beside run records are found"""
    json: bool = False
    """print the aggregated numbers as JSON"""

    def run(self) -> int:
        from datumrl.leaderboard import (
            baseline_runs,
            board,
            published_sources,
            submitted_runs,
            tables,
            wording,
        )

        started = time.perf_counter()
        board.check_target(self.out)
        found = _local_runs(self.runs, self.out)
        sources: dict[str, PublishedSource] = {}
        if self.published:
            rows, sources = published_sources.load()
            found += [*rows, *baseline_runs.load()]
        reports = _checked(self.submissions, self.published)
        found += [run for report in reports for run in submitted_runs.runs_of(report)]
        cards = _cards(self.cards, self.runs, self.published)
        if not found and not cards:
            raise DatumrlError("no run records and no published scores; train something first")
        with console.progress() as progress:
            task = progress.add_task("statistics, runs", total=len(found), rate="")
            built = tables.build(found, lambda count: progress.advance(task, count))
        reproductions = _reproductions() if self.published else ()
        reported = _reported() if self.published else ()
        beside = _beside(reports)
        board.write(built, self.out, sources, cards, reproductions, reported, beside)
        if self.json:
            console.print_json(wording.summary(built, sources, beside.submitted))
        else:
            _tell(built, self.out, time.perf_counter() - started)
        return 0


def _local_runs(paths: Sequence[Path], out: Path) -> list[Run]:
    from datumrl.evaluation import records, scored_runs
    from datumrl.leaderboard import runs

    if not paths:
        default = files.home() / "runs"
        if not default.is_dir() or not files.below([default], "seed-*.json"):
            return []
        paths = [default]
    for path in paths:
        # The board holds copies of the records, which the next build would find again.
        if path.is_dir() and out.resolve().is_relative_to(path.resolve()):
            raise DatumrlError(
                f"--out {out} lies inside {path}, where run records are read; choose a folder "
                "outside it"
            )
    tables = [path for path in paths if path.suffix.lower() == ".csv" and path.is_file()]
    rows = {path: scored_runs.csv_rows(path) for path in tables}
    every = [row for found in rows.values() for row in found]
    lines = [f"{path}, line {n}" for path, own in rows.items() for n, _ in enumerate(own, start=2)]
    kept = [path for path in paths if path not in tables]
    read = records.find_records(kept) if kept else []
    own = runs.from_records(read)
    silent = sum(record.status == "complete" and not record.evaluations for record in read)
    if silent:
        console.notes.print(f"{silent} finished runs hold no evaluations and are left out")
    return [*own, *runs.from_rows(every, lines)]


def _checked(folders: Sequence[Path], published: bool) -> list[Report]:
    from datumrl.leaderboard import submission_schema, submitted_runs

    roots: dict[Path, Path] = {}  # by what they are, however they were named
    for root in [submission_schema.FOLDER, *folders] if published else folders:
        roots.setdefault(root.resolve(), root)
    reports = {root: submitted_runs.checked(root) for root in roots.values()}
    _refuse_shared_names(reports)
    return list(reports.values())


def _refuse_shared_names(reports: Mapping[Path, Report]) -> None:
    """Refuse one name in two folders: its runs would be shown as one method's."""
    from datumrl.leaderboard import names, submitted_runs

    every = [
        (root, *each) for root, report in reports.items() for each in submitted_runs.shown(report)
    ]
    for (root, one, method), (there, other, theirs) in itertools.combinations(every, 2):
        alike = names.shown_as(method.name) == names.shown_as(theirs.name)
        if root != there and (alike or one.folder[0] == other.folder[0]):
            raise DatumrlError(
                f"{one.title} in {root} and {other.title} in {there} would be shown as one method "
                f"({names.shown(theirs.name)}); give one folder only, or another name"
            )


def _beside(reports: Sequence[Report]) -> Beside:
    from datumrl.algorithms import registry
    from datumrl.leaderboard import names, submitted_runs
    from datumrl.leaderboard.further_pages import Beside

    found = [submitted_runs.submitted(report) for report in reports]
    submissions = {source: each for one in found for source, each in one.items()}
    left_out = [f"{each.where}: {each.message}" for report in reports for each in report.left_out]
    for reason in left_out:
        console.notes.print(f"left out: {names.shown(reason)}", markup=False)
    return Beside(submissions, tuple(registry.ALGORITHMS), left_out)


def _cards(given: Sequence[Path], runs: Sequence[Path], published: bool) -> list[Card]:
    """Return the cards given, those beside run records, and those of datumrl of other datasets."""
    from datumrl.datasets import dataset_card
    from datumrl.leaderboard import known_quality

    folders = [path for path in runs or [files.home() / "runs"] if path.is_dir()]
    beside = [found for path in folders for found in path.rglob(dataset_card.NAME)]
    cards = [dataset_card.read(path) for path in dataset_card.find([*given, *beside])]
    known = {card.id for card in cards}
    own = known_quality.own_cards() if published else []
    return [*cards, *(card for card in own if card.id not in known)]


def _reported() -> list[ReportedRow]:
    from datumrl.leaderboard import reported_means

    return reported_means.rows()


def _reproductions() -> list[Outcome]:
    from datumrl.leaderboard import reproduction_pages

    with console.Bars() as bars:
        return reproduction_pages.registered_outcomes(bars.bar("published tables", "tables"))


def _tell(built: Sequence[Table], out: Path, seconds: float) -> None:
    from datumrl.leaderboard import names, wording

    for table in built:
        console.output.print(names.shown(table.suite.title), style="bold", markup=False)
        for entry in table.entries:
            found = entry.aggregate
            numbers = (
                f"IQM {wording.number(found.iqm):>6} {wording.interval(found.low, found.high):<16}"
                if found
                else f"{'no aggregate':<27}"
            )
            notes = "; ".join(wording.warnings(entry, table))
            line = f"  {names.shown(entry.name):<16}{numbers} {notes}".rstrip()
            console.output.print(line, markup=False, soft_wrap=True)
    page = out / "index.html"
    console.output.print(f"wrote {page} in {seconds:.1f} s", markup=False, soft_wrap=True)
