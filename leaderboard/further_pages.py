"""The site's pages beside its tables: methods, datasets, comparisons, the map, the statistics."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jinja2
from markupsafe import Markup, escape

from datumrl.datasets import quality_map
from datumrl.evaluation import ragged_comparisons
from datumrl.evaluation.score_table import CURVE_POINTS
from datumrl.leaderboard import (
    comparison_page,
    dataset_pages,
    dataset_results,
    drawing,
    learning_curves,
    method_map,
    method_map_drawing,
    standings,
    training_commands,
    wording,
)
from datumrl.leaderboard.dataset_pages import DatasetPage
from datumrl.leaderboard.outcome import Outcome
from datumrl.leaderboard.submitted_runs import Submitted
from datumrl.leaderboard.suite_pages import SuitePage
from datumrl.leaderboard.tables import Entry, Table

STATISTICS_PAGE = "statistics.html"
MOST_RUNS = 300  # listed on a row's page, which is to stay below 300 kB; the CSV has all
LONGEST_SETTINGS = 60_000  # characters of all configurations on a page
File = tuple[str, str]  # place within the site, content


@dataclass(frozen=True)
class Beside:
    """What is known beside the runs."""

    submitted: Mapping[str, Submitted] = field(default_factory=dict)  # by the source of score rows
    trainable: Collection[str] = ()  # methods that `datumrl train` knows
    left_out: Sequence[str] = ()  # why submissions are not shown, one reason each


class Pages:
    """Makes the pages with the site's templates; ``asset`` returns a template's text."""

    def __init__(
        self,
        environment: jinja2.Environment,
        asset: Callable[[str], str],
        board: Sequence[Table],
        suites: Sequence[SuitePage],
        published: wording.Published,
        beside: Beside,
    ) -> None:
        self._environment, self._asset = environment, asset
        self._board, self._published, self._beside = board, published, beside
        self._suite_of = {view.table.id: each.page for each in suites for view in each.views}
        self._curves = learning_curves.published(published)
        self._style = Markup(asset("board.css") + asset("pages.css"))
        self._script = functools.cache(self._joined)

    def every(
        self, cards: Sequence[DatasetPage], reproductions: Sequence[Outcome]
    ) -> Iterator[File]:
        """Yield every page and the data that belong to them."""
        yield from self.methods(reproductions)
        yield from self.datasets(cards)
        yield from self.others(cards)

    def methods(self, reproductions: Sequence[Outcome]) -> Iterator[File]:
        """Yield the page of every row of every table, and the numbers behind its curves."""
        for table in self._board:
            for entry in table.entries:
                curves = learning_curves.of_entry(entry, table, self._curves)
                data = f"data/curves/{entry.id}.json"
                if curves:
                    yield data, json.dumps(curves, allow_nan=False) + "\n"
                shown = self._method(entry, table, reproductions)
                shown |= {"curves": curves, "curves_data": data, "embedded": embedded(curves)}
                scripts = ("svg.js", "curves.js") if curves else ()
                yield f"runs/{entry.id}.html", self._render("entry.html", scripts, **shown)

    def datasets(self, cards: Sequence[DatasetPage]) -> Iterator[File]:
        """Yield the page of every dataset with a card or with runs."""
        with_card = {each.card.id for each in cards}
        points = dataset_pages.points([each.card for each in cards])
        for each in cards:
            shown = dataset_pages.context(each, cards)
            yield each.page, self._dataset("dataset.html", each.card.id, shown)
        for dataset in dataset_results.datasets(self._board):
            if dataset not in with_card:
                facts, errata = dataset_results.facts(dataset, points)
                shown = {"facts": facts, "errata": errata}
                page = self._dataset("dataset_bare.html", dataset, shown)
                yield dataset_results.place(dataset), page

    def others(self, cards: Sequence[DatasetPage]) -> Iterator[File]:
        """Yield the comparison, the map, and the page that explains the statistics."""
        scripts = ("comparison_statistics.js", "svg.js", "compare.js")
        content = comparison_page.content(self._board, self._published)
        yield (
            comparison_page.PAGE,
            self._render(
                "compare.html",
                scripts,
                data=embedded(content),
                resamples=comparison_page.RESAMPLES,
            ),
        )
        points = dataset_pages.points([each.card for each in cards])
        found = method_map.verdicts(points, self._board)
        letters = method_map.letters(found)
        yield (
            method_map.PAGE,
            self._render(
                "map.html",
                found=found,
                letters=letters,
                map=method_map_drawing.draw(found, letters),
                own_reference=any(each.point.own_reference for each in found),
                shapes=dataset_pages.SHAPES,
                kinds=", ".join(f"{mark} {kind}" for kind, mark in quality_map.KINDS.items()),
                tests=sorted({each.how for each in found if each.best}),
                alpha=standings.ALPHA,
            ),
        )
        yield "data/map.json", json.dumps(method_map.as_json(found), indent=1) + "\n"
        yield (
            STATISTICS_PAGE,
            self._render(
                "statistics.html",
                alpha=standings.ALPHA,
                rank_resamples=standings.RESAMPLES,
                resamples=ragged_comparisons.Plan().resamples,
            ),
        )

    def _method(
        self, entry: Entry, table: Table, reproductions: Sequence[Outcome]
    ) -> dict[str, Any]:
        sources = sorted({run.row.source for run in entry.runs if run.row.source})
        known = self._beside.submitted
        shown = [(each, known[each]) for each in sources if each in known]
        commands = training_commands.of_entry(entry, self._beside.trainable)
        return {
            "entry": entry,
            "table": table,
            "sources": sources,
            "submitted": known,
            "shown_methods": shown,
            "rival": comparison_page.rival(table, entry),
            "axis": _axes(entry, table),
            "points": CURVE_POINTS,
            "listed_runs": entry.runs[:MOST_RUNS],
            "commands": [] if shown else commands,  # a submission names its own code
            "versions": training_commands.versions(entry),
            "reproductions": [
                each.about.id for each in reproductions if each.about.source in sources
            ],
            "configurations": configurations(entry),
        }

    def _dataset(self, template: str, dataset: str, shown: Mapping[str, Any]) -> str:
        results = dataset_results.of(dataset, self._board)
        return self._render(template, dataset=dataset, results=results, **shown)

    def _joined(self, scripts: tuple[str, ...]) -> tuple[Markup, str]:
        """Return scripts as one, and its digest for the page's policy."""
        script = "\n".join(self._asset(name) for name in ("board.js", *scripts))
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        return Markup(script), digest

    def _render(self, template: str, scripts: Sequence[str] = (), **shown: Any) -> str:
        script, digest = self._script(tuple(scripts))
        return self._environment.get_template(template).render(
            {
                "style": self._style,
                "script": script,
                "script_digest": digest,
                "suite_page": lambda table: self._suite_of[table.id],
                "compare": comparison_page.address,
                **shown,
            }
        )


def embedded(content: Any) -> Markup:
    """Return JSON content as it may stand in a page: no letter of it ends or begins a tag."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return Markup(text)


def configurations(entry: Entry) -> list[tuple[str, Markup]]:
    """Return (datasets, settings) of each distinct configuration of a row, for display."""
    datasets: dict[str, set[str]] = {}
    for run in entry.runs:
        if run.record is not None:
            content = {
                "configuration": run.record.configuration,
                "budget": run.record.budget.model_dump(mode="json"),
            }
            text = json.dumps(content, indent=2, sort_keys=True)
            datasets.setdefault(text, set()).add(run.row.dataset)
    longest = LONGEST_SETTINGS // max(1, len(datasets))
    # JSON escapes control characters itself; as markup its line breaks survive.
    return [
        (", ".join(sorted(found)), escape(_clipped(text, longest)))
        for text, found in sorted(datasets.items())
    ]


def _clipped(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    told = f"cut at {longest:,} of {len(text):,} characters; the run records have all"
    return f"{text[:longest]}\n… {told}"


def _axes(entry: Entry, table: Table) -> Callable[[str], drawing.Axis]:
    """Return the axis of a dataset's strip: one for all scores, or its own for returns."""
    every = [value for cell in entry.cells.values() for value in cell.values.tolist()]
    shared = drawing.axis(every)

    def of(dataset: str) -> drawing.Axis:
        if table.normalised:
            return shared
        values = entry.cells[dataset].values.tolist()
        return drawing.axis(values, anchors=() if values else (0.0, 1.0))

    return of
