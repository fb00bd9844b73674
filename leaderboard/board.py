"""The static site: pages, raw data beside them, and a manifest that marks the folder as ours.

The same input gives the same bytes: nothing on the page depends on the time, the machine or the
order in which records were found.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import importlib.resources
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from datumrl.datasets import files
from datumrl.datasets.dataset_card import Card
from datumrl.datasets.errors import DatumrlError
from datumrl.leaderboard import (
    dataset_pages,
    dataset_results,
    drawing,
    further_pages,
    names,
    outcome,
    reference_rows,
    reported_means,
    reproduction_pages,
    standings,
    suite_pages,
    tables,
    wording,
)
from datumrl.leaderboard.dataset_pages import DatasetPage
from datumrl.leaderboard.further_pages import Beside
from datumrl.leaderboard.reported_means import ReportedRow
from datumrl.leaderboard.reproduction_pages import ReproductionPage
from datumrl.leaderboard.suite_pages import SuitePage
from datumrl.leaderboard.tables import Table

MANIFEST = "board.json"
FORMAT = "datumrl-board/1"

_CSV_COLUMNS = (
    "tier",
    "algorithm",
    "variant",
    "dataset",
    "seed",
    "status",
    "step",
    "mean_return",
    "score",
    "episodes",
    "protocol",
    "source",
    "record",
)


def write(
    board: Sequence[Table],
    out: Path,
    published: wording.Published | None = None,
    cards: Sequence[Card] = (),
    reproductions: Sequence[outcome.Outcome] = (),
    reported: Sequence[ReportedRow] = (),
    beside: Beside | None = None,
) -> None:
    """Write the site into a folder, replacing an earlier board as a whole.

    ``published`` tells of the sources that published score rows name; each suite has a page, with
    the means ``reported`` of its datasets, and so has each row of a table, each dataset with a card
    or runs, and each recomputed table.  ``beside`` tells who submitted a row and what can be
    trained.  Raises DatumrlError if the folder holds anything else, or where cards differ.
    """
    out = out.resolve()
    check_target(out)
    datasets, recomputed = dataset_pages.pages(cards), reproduction_pages.pages(reproductions)
    published, beside = published or {}, beside or Beside()
    behaviour, submitted = reference_rows.behaviours(cards), beside.submitted
    suites = suite_pages.pages(board, behaviour, reported, submitted)
    with files.replacing_folder(out) as folder:
        records = _write_records(board, folder)
        for table in board:
            _write(folder, f"data/{table.id}.csv", _csv(table, records))
        _write(folder, "data/summary.json", _json(wording.summary(board, published, submitted)))
        templates = _Templates(published, submitted, records, datasets, recomputed, board)
        _write(folder, "index.html", templates.index(board, suites, beside.left_out))
        for suite in suites:
            _write(folder, suite.page, templates.suite(suite))
            _write_all(folder, suite_pages.downloads(suite).items())
        for dataset in datasets:
            _write(folder, dataset.data, _json(dataset.card.to_json()))
        for page in recomputed:
            _write(folder, page.page, templates.reproduction(page))
            _write(folder, page.data, _json(outcome.as_json(page.outcome)))
        further = templates.further(board, suites, beside)
        _write_all(folder, further.every(datasets, reproductions))
        _write(folder, MANIFEST, _json({"format": FORMAT, "files": _inventory(folder)}))


def check_target(out: Path) -> None:
    """Refuse a folder that holds anything but an earlier board: it would be deleted."""
    if not out.exists():
        return
    remedy = "choose another folder with --out"
    if not out.is_dir():
        raise DatumrlError(f"{out} is a file, not a folder; {remedy}")
    present = {
        path.relative_to(out).as_posix()
        for path in out.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }
    if not present:
        return
    if MANIFEST not in present:
        raise DatumrlError(f"{out} holds files that are no board of ours; {remedy}")
    manifest = files.read_json(out / MANIFEST)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise DatumrlError(f"{out / MANIFEST} is no manifest of a board; {remedy}")
    foreign = sorted(present - {MANIFEST, *manifest.get("files", {})})
    if foreign:
        raise DatumrlError(
            f"{out} holds {foreign[0]!r}, which the board did not put there; move it away, or "
            f"{remedy}"
        )


def _write(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    # "x": two names never share a file, whatever they were made to look like.
    with path.open("x", encoding="utf-8", newline="\n") as handle:
        handle.write(text)


def _write_all(folder: Path, every: Iterable[tuple[str, str]]) -> None:
    for name, text in every:
        _write(folder, name, text)


def _inventory(folder: Path) -> dict[str, str]:
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): files.sha256(path) for path in found}


def _json(content: Any) -> str:
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def _write_records(board: Sequence[Table], folder: Path) -> dict[int, str]:
    """Copy the run records; returns where each one went, by the identity of its run."""
    places = {}
    for entry in (entry for table in board for entry in table.entries):
        for run in entry.runs:
            if run.record is not None:
                place = f"data/runs/{entry.id}/{names.slug(run.row.dataset)}"
                places[id(run)] = name = f"{place}/seed-{run.row.seed}.json"
                _write(folder, name, run.record.model_dump_json() + "\n")
    return places


def _csv(table: Table, records: Mapping[int, str]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_CSV_COLUMNS)
    for entry in table.entries:
        for run in entry.runs:
            row = run.row
            fields: list[Any] = [row.tier, entry.algorithm, entry.label, row.dataset, row.seed]
            fields += [run.status, row.step, row.mean_return, row.score, row.episodes]
            fields += [row.protocol, row.source, records.get(id(run))]
            writer.writerow(
                names.spreadsheet_text(field) if isinstance(field, str) else field
                for field in fields
            )
    return text.getvalue()


class _Templates:
    """The page templates with their filters; every string that is not markup is made inert."""

    def __init__(
        self,
        published: wording.Published,
        submitted: wording.SubmittedBy,
        records: Mapping[int, str],
        datasets: Sequence[DatasetPage],
        reproductions: Sequence[ReproductionPage],
        board: Sequence[Table],
    ) -> None:
        self._published = published
        self._datasets = datasets
        self._reproductions = reproductions
        with_runs = dataset_results.datasets(board)
        page_of = {name: dataset_results.place(name) for name in with_runs}
        page_of |= {each.card.id: each.page for each in datasets}
        reproduced = {each.outcome.about.id: each.page for each in reproductions}
        self._environment = jinja2.Environment(
            loader=jinja2.FunctionLoader(_asset),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            finalize=_inert,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(number=wording.number, plural=wording.plural)
        script = _asset("board.js")
        self._environment.globals.update(
            words=wording,
            drawing=drawing,
            settings=tables,
            published=published,
            submitted=submitted,
            record_of=lambda run: records.get(id(run)),
            dataset_page=page_of.get,
            reproduction_of=reproduced.get,
            resamples=standings.RESAMPLES,
            style=Markup(_asset("board.css")),
            script=Markup(script),
            script_digest=_digest(script),
        )

    def index(
        self, board: Sequence[Table], suites: Sequence[SuitePage], left_out: Sequence[str]
    ) -> str:
        """Render the front page: every table at a glance."""
        every = [run for table in board for run in table.runs]
        published = any(suite.reported for suite in suites)
        return self._environment.get_template("index.html").render(
            suites=suites,
            left_out=left_out,
            waiting=suite_pages.without_results(suites) if published else [],
            protocols=suite_pages.protocols(suites, self._published),
            algorithms=len({run.row.algorithm for run in every}),
            datasets=len({run.row.dataset for run in every}),
            runs=len(every),
            failed=sum(run.status == "failed" for run in every),
            dataset_pages=self._datasets,
            reproduction_pages=self._reproductions,
            overview=dataset_pages.overview(self._datasets) if self._datasets else {},
        )

    def suite(self, suite: SuitePage) -> str:
        """Render the page of a suite: its tables, and the means reported of it."""
        script = _asset("subset.js") + _asset("board.js")
        return self._environment.get_template("suite.html").render(
            suite=suite,
            root="../",
            columns=suite_pages.CHOICES,
            means=reported_means,
            script=Markup(script),
            script_digest=_digest(script),
        )

    def reproduction(self, page: ReproductionPage) -> str:
        """Render the page of one published table: its rule and its verdicts."""
        shown = reproduction_pages.context(page)
        return self._environment.get_template("reproduction.html").render(shown)

    def further(
        self, board: Sequence[Table], suites: Sequence[SuitePage], beside: Beside
    ) -> further_pages.Pages:
        """Return what makes the pages beside the tables."""
        return further_pages.Pages(
            self._environment, _asset, board, suites, self._published, beside
        )


def _digest(script: str) -> str:
    """Return what a page's policy names a script by."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _asset(name: str) -> str:
    folder = importlib.resources.files("datumrl.leaderboard").joinpath("templates")
    return folder.joinpath(name).read_text(encoding="utf-8")


def _inert(value: Any) -> Any:
    return names.shown(value) if isinstance(value, str) and not isinstance(value, Markup) else value
