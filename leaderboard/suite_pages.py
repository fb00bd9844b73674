"""The site's pages of suites: the tables of one benchmark, what was reported of it, and files."""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from datumrl.datasets.suites import Suite, suite_of
from datumrl.leaderboard import drawing, names, reference_rows, reported_means, wording
from datumrl.leaderboard.reference_rows import Behaviour, ReferenceRow
from datumrl.leaderboard.reported_means import ReportedRow
from datumrl.leaderboard.tables import Aggregate, Entry, Table

# Suites that everyone looks for come first, in this order; the others follow by name.
KNOWN = (
    "D4RL locomotion v2",
    "D4RL locomotion v0",
    "D4RL antmaze v2",
    "D4RL adroit v1",
    "D4RL kitchen v0",
    "D4RL maze2d v1",
    "NeoRL",
    "NeoRL-2",
    "Local",
)
_WHOLE_COLLECTIONS = {"local": "Local", "neorl": "NeoRL", "neorl2": "NeoRL-2"}
_COLUMNS = (
    "rank", "rank_low", "rank_high", "algorithm", "variant", "iqm", "low", "high",
    "interval_method", "letters", "mean", "median", "optimality_gap", "runs", "tasks", "steps",
    "tuning", "tier", "lacks", "undefined",
)  # fmt: skip
_NUMBERS = (
    "iqm", "low", "high", "interval_method", "mean", "median", "optimality_gap", "runs", "tasks",
)  # fmt: skip
# Columns of the main table that a reader may hide.
CHOICES = {
    "interval": "Interval",
    "iqm": "IQM",
    "groups": "Groups",
    "mean": "Mean",
    "median": "Median",
    "gap": "Gap",
    "runs": "Runs × datasets",
    "budget": "Budget",
    "tier": "Tier",
}


class TableView:
    """A table with its reference rows and the axes that its drawings share."""

    def __init__(
        self,
        table: Table,
        behaviour: Mapping[str, Behaviour],
        submitted: wording.SubmittedBy = wording.NOBODY,
    ) -> None:
        self.table = table
        self.submitted = submitted
        self.references = reference_rows.of_table(table, behaviour, submitted)
        every: list[Entry | ReferenceRow] = [*table.entries, *self.references]
        found = [row.aggregate for row in every if row.aggregate]
        ends = [end for each in found for end in (each.low, each.high, each.iqm) if end is not None]
        per_run = [value for each in found for value in each.per_run]
        self.axis = drawing.axis([*ends, *per_run], anchors=(0.0,) if found else (0.0, 100.0))
        self._shared = drawing.axis(self._values(table.datasets))

    @property
    def behaviour(self) -> ReferenceRow | None:
        """Return the row of the data's own policy, if any of its values is known."""
        return next((row for row in self.references if row.values and not _constant(row)), None)

    def cell_axis(self, dataset: str) -> drawing.Axis:
        """Return the axis of a dataset's strips: the suite's for scores, its own for returns."""
        if self.table.normalised:
            return self._shared
        values = self._values([dataset])
        return drawing.axis(values, anchors=() if values else (0.0, 1.0))

    def _values(self, datasets: Iterable[str]) -> list[float]:
        return [
            value
            for entry in self.table.entries
            for dataset in datasets
            if dataset in entry.cells
            for value in entry.cells[dataset].values.tolist()
        ]

    def best(self, dataset: str) -> float | None:
        """Return the highest mean of a dataset's row, None if there is nothing to compare.

        A mean of what failed runs left is none of them.
        """
        cells = [entry.cells[dataset] for entry in self.table.entries if dataset in entry.cells]
        means = [cell.mean for cell in cells if cell.mean is not None and not cell.count("failed")]
        return max(means) if len(means) > 1 else None

    def scores(self, datasets: Sequence[str]) -> Markup:
        """Return every score as JSON, by row and by the place of its dataset among ``datasets``.

        Rounded to more digits than are shown: what is computed of them in the page is.  Beside
        them, by row, the places with failed runs: over these nothing is computed.
        """
        place = {name: datasets.index(name) for name in self.table.datasets}
        rows = {
            entry.id: {
                place[cell.dataset]: [round(value, 3) for value in cell.values.tolist()]
                for cell in entry.cells.values()
                if cell.values.size
            }
            for entry in self.table.entries
        }
        for row in self.references:
            rows[row.id] = {place[name]: [round(value, 3)] for name, value in row.values.items()}
        over = [place[name] for name in self.table.ranked_over]
        failed = {
            entry.id: [place[cell.dataset] for cell in entry.cells.values() if cell.count("failed")]
            for entry in self.table.entries
            if entry.count("failed")
        }
        content = {"places": sorted(place.values()), "over": over, "rows": rows, "failed": failed}
        # Ids are slugs, the rest is numbers: no letter of it means anything to a browser.
        return Markup(json.dumps(content, allow_nan=False, separators=(",", ":")))

    @property
    def aggregates(self) -> str:
        """Return where the main table's numbers are within the site."""
        return f"data/aggregates/{self.table.id}.csv"


@dataclass(frozen=True)
class SuitePage:
    """One page: its tables, and the means that publications report of its datasets."""

    title: str
    page: str
    views: tuple[TableView, ...]
    reported: tuple[ReportedRow, ...]
    reported_data: str

    @property
    def raw_views(self) -> list[TableView]:
        """Return the tables of raw returns."""
        return [view for view in self.views if not view.table.normalised]

    @property
    def datasets(self) -> list[str]:
        """Return the datasets of every table, by id."""
        measured = {name for view in self.views for name in view.table.datasets}
        return sorted(measured | set(self.reported_datasets))

    @property
    def reported_datasets(self) -> list[str]:
        """Return the datasets of the reported means, by id."""
        return sorted({name for row in self.reported for name in row.cells})

    @property
    def tiers(self) -> list[str]:
        """Return the tiers on the page, strongest first."""
        found = {entry.tier for view in self.views for entry in view.table.entries}
        found |= {reported_means.TIER} if self.reported else set()
        return [tier for tier in wording.TIERS if tier in found]

    def lacks(self, cells: Iterable[str]) -> str:
        """Return the places of the page's datasets that are not among a row's, for the filter."""
        present = set(cells)
        absent = [str(place) for place, name in enumerate(self.datasets) if name not in present]
        return " ".join(absent)


def title_of(suite: Suite) -> str:
    """Return the page that a suite's tables are on, by title."""
    if suite.collection in _WHOLE_COLLECTIONS:
        return _WHOLE_COLLECTIONS[suite.collection]
    return Suite(suite.collection, suite.family, suite.version, "").title


def pages(
    board: Sequence[Table],
    behaviour: Mapping[str, Behaviour],
    reported: Sequence[ReportedRow] = (),
    submitted: wording.SubmittedBy = wording.NOBODY,
) -> list[SuitePage]:
    """Return a page per suite that has a table or reported means, known suites first."""
    tables: dict[str, list[Table]] = defaultdict(list)
    datasets: dict[str, set[str]] = defaultdict(set)
    for table in board:
        tables[title_of(table.suite)].append(table)
    for row in reported:
        for dataset in row.cells:
            datasets[title_of(suite_of(dataset))].add(dataset)
    titles = sorted({*tables, *datasets}, key=lambda each: (_place(each), each))
    return [
        SuitePage(
            title,
            f"suites/{names.slug(title)}.html",
            tuple(TableView(table, behaviour, submitted) for table in tables[title]),
            tuple(reported_means.on(reported, sorted(datasets[title]))),
            f"data/reported/{names.slug(title)}.csv",
        )
        for title in titles
    ]


def without_results(found: Iterable[SuitePage]) -> list[str]:
    """Return the known suites that no page is of."""
    present = {page.title for page in found}
    return [title for title in KNOWN if title not in present]


def protocols(
    found: Iterable[SuitePage], published: wording.Published
) -> list[tuple[str, list[tuple[SuitePage, Table]]]]:
    """Return every protocol in words, once, with the tables it is that of."""
    places: dict[str, list[tuple[SuitePage, Table]]] = defaultdict(list)
    for page in found:
        for view in page.views:
            places[wording.protocol_words(view.table, published)].append((page, view.table))
    return list(places.items())


def downloads(page: SuitePage) -> dict[str, str]:
    """Return the files that belong to a page, by their place within the site."""
    found = {view.aggregates: _aggregates_csv(view) for view in page.views}
    if page.reported:
        found[page.reported_data] = reported_means.as_csv(page.reported)
    return found


def _place(title: str) -> int:
    return KNOWN.index(title) if title in KNOWN else len(KNOWN)


def _constant(row: ReferenceRow) -> bool:
    return row.origin == "by definition"


def _aggregates_csv(view: TableView) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    lines = [_line(entry, view) for entry in view.table.entries]
    for row in view.references:
        told = {"algorithm": row.name, "variant": row.note, "tier": row.origin}
        lines.append({**told, **_numbers(row.aggregate)})
    for line in lines:
        for name, value in line.items():
            line[name] = names.spreadsheet_text(value) if isinstance(value, str) else value
        writer.writerow(line)
    return text.getvalue()


def _line(entry: Entry, view: TableView) -> dict[str, Any]:
    low, high = entry.rank_interval or (None, None)
    budget = wording.budget(entry, view.submitted)
    return {
        "rank": entry.rank,
        "rank_low": low,
        "rank_high": high,
        "algorithm": entry.algorithm,
        "variant": entry.label,
        **_numbers(entry.aggregate),
        "letters": entry.letters,
        "steps": budget["steps"],
        "tuning": budget["tuning"],
        "tier": entry.tier,
        "lacks": " ".join(entry.lacks),
        "undefined": wording.undefined(entry, view.table),
    }


def _numbers(found: Aggregate | None) -> dict[str, Any]:
    return {name: getattr(found, name) for name in _NUMBERS} if found is not None else {}
