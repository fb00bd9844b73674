"""A report as plain text, Markdown, CSV rows and JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from datumrl.evaluation import report_tables
from datumrl.evaluation.report_parts import Band, Measure, Report
from datumrl.evaluation.report_tables import Sheet

SCHEMA = "datumrl-report/1"
CSV_COLUMNS = ("statistic", "algorithm", "other", "dataset", "at", "value", "low", "high", "note")
_FORMULA = ("=", "+", "-", "@", "\t")
_TEXT_COLUMNS = (
    "algorithm",
    "first",
    "second",
    "dataset",
    "groups",
    "",
    "test: first is",
    "decision",
)


def plain(report: Report, only_pairs: bool = False) -> str:
    """Return the compact report for a terminal: aggregates, checkpoints, pairs, notes."""
    keys = (
        ("decisions", "pairs")
        if only_pairs
        else ("aggregates", "decisions", "checkpoints", "pairs")
    )
    parts = []
    by_key = {sheet.key: sheet for sheet in report_tables.sheets(report)}
    for key in keys:
        if key in by_key:
            parts.append(_plain_sheet(by_key[key]))
    parts += [f"note: {report_tables.printable(note)}" for note in report.notes]
    return "\n".join(parts)


def _plain_sheet(sheet: Sheet) -> str:
    widths = [max(map(len, column)) for column in zip(sheet.columns, *sheet.rows, strict=True)]

    def line(cells: tuple[str, ...]) -> str:
        shown = [
            cell.ljust(width) if column in _TEXT_COLUMNS else cell.rjust(width)
            for cell, width, column in zip(cells, widths, sheet.columns, strict=True)
        ]
        return "  ".join(shown).rstrip()

    rows = [line(row) for row in sheet.rows]
    return "\n".join([sheet.title, line(sheet.columns), *rows, f"  {sheet.caption}", ""])


def markdown(report: Report, figures: Mapping[str, str]) -> str:
    """Return the report in Markdown; ``figures`` maps a figure's name to its caption."""
    parts = ["# Comparison", ""]
    for sheet in report_tables.sheets(report):
        parts += [f"## {sheet.title}", "", *markdown_table(sheet), "", escaped(sheet.caption), ""]
    for name, caption in figures.items():
        parts += [f"![{escaped(caption)}](figures/{name}.svg)", "", escaped(caption), ""]
    if report.notes:
        parts += ["## Notes", "", *(f"- {escaped(note)}" for note in report.notes), ""]
    return "\n".join(parts)


def markdown_table(sheet: Sheet) -> Iterator[str]:
    """Yield the lines of a table in Markdown."""
    yield "| " + " | ".join(map(escaped, sheet.columns)) + " |"
    yield "|" + "|".join(":--" if c in _TEXT_COLUMNS else "--:" for c in sheet.columns) + "|"
    for row in sheet.rows:
        yield "| " + " | ".join(map(escaped, row)) + " |"


def escaped(text: str) -> str:
    """Return text that Markdown shows as it is."""
    text = report_tables.printable(text)
    # Backticks of our own captions stay; what could start a link, tag, cell or emphasis does not.
    for mark in ("\\", "|", "<", ">", "[", "]", "*", "_"):
        text = text.replace(mark, f"\\{mark}")
    return text


def csv_rows(report: Report) -> Iterator[tuple[Any, ...]]:
    """Return every number of the report, one a row, in the order of CSV_COLUMNS."""
    note = "; ".join(report.notes)
    for each in report.summaries:
        own = _guarded(each.algorithm)
        said = "; ".join(part for part in (each.undefined, *each.notes, note) if part)
        for key in report_tables.metric_names(report):
            ends = _ends(each.metrics.get(key))
            yield (key, own, "", "", "", *ends, _guarded(said))
        letters = report.test.letters.get(each.algorithm)
        if letters:
            yield ("groups", own, "", "", letters, "", "", "", report.test.method)
        for rule, value in each.checkpoints.items():
            yield ("iqm by rule", own, "", "", rule, repr(value), "", "", "")
    yield from _pair_rows(report)
    yield from _cell_rows(report)
    yield from _estimate_rows(report)


def _pair_rows(report: Report) -> Iterator[tuple[Any, ...]]:
    for pair in report.pairs:
        names = (_guarded(pair.first), _guarded(pair.second), "", "")
        yield ("probability of improvement", *names, *_ends(pair.improvement), pair.decision or "")
        yield ("iqm difference", *names, *_ends(pair.difference), pair.decision or "")
        if pair.p_adjusted is not None:
            yield ("adjusted p", *names, repr(pair.p_adjusted), "", "", pair.decision or "")
    for each in report.test.decisions:
        interim = "" if each.interim is None else str(each.interim)
        both = (_guarded(each.first), _guarded(each.second), "")
        yield ("decision", *both, interim, "", "", "", each.decision)


def _cell_rows(report: Report) -> Iterator[tuple[Any, ...]]:
    for algorithm in report.table.algorithms:
        for dataset in report.table.datasets:
            where = (_guarded(algorithm), "", _guarded(dataset))
            if (algorithm, dataset) not in report.table.cells:
                yield ("score", *where, "", "", "", "", report_tables.MISSING)
                continue
            runs = report.table.cells[algorithm, dataset]
            values = report.table.values(algorithm, dataset)
            for run, value in zip(runs, values, strict=True):
                seed = "" if run.seed is None else run.seed
                shown = "" if np.isnan(value) else repr(float(value))
                yield ("score", *where, seed, shown, "", "", _guarded(run.reason))


def _estimate_rows(report: Report) -> Iterator[tuple[Any, ...]]:
    for index, name in enumerate(report.defined):
        own = (_guarded(name), "", "")
        if report.ranks is not None:
            places = range(1, len(report.ranks.value) + 1)
            yield from _series("rank", own, places, _row(report.ranks, index))
        for kind, profile in zip(("run", "task"), report.profiles[name], strict=True):
            levels = report.thresholds.tolist()
            yield from _series(f"{kind}-level profile", own, levels, profile)
        if name in report.curves:
            curve = report.curves[name]
            yield from _series("iqm at step", own, curve.steps.tolist(), curve.band)


def _series(statistic: str, own: tuple[str, ...], at: Any, found: Band) -> Iterator[Any]:
    nothing = [""] * len(found.value)
    low, high = (
        nothing if end is None else [repr(each) for each in end.tolist()]
        for end in (found.low, found.high)
    )
    for place, value, *ends in zip(at, found.value.tolist(), low, high, strict=True):
        yield (statistic, *own, place, repr(value), *ends, "")


def _row(found: Band, index: int) -> Band:
    low, high = (None if end is None else end[index] for end in (found.low, found.high))
    return Band(found.value[index], low, high)


def _ends(found: Measure | None) -> tuple[str, str, str]:
    if found is None:
        return ("", "", "")
    ends = (found.value, found.low, found.high)
    return tuple("" if end is None else repr(float(end)) for end in ends)  # type: ignore[return-value]


def _guarded(text: str) -> str:
    """Return text that a spreadsheet does not take for a formula."""
    plain_text = report_tables.printable(text)
    return f"'{plain_text}" if plain_text.startswith(_FORMULA) else plain_text


def as_json(report: Report) -> dict[str, Any]:
    """Return the report as what strict JSON can hold."""
    return {
        "schema": SCHEMA,
        "options": {**asdict(report.options), "interval": report.options.method},
        "unit": report.table.unit,
        "checkpoint": report.table.rule,
        "datasets": list(report.table.datasets),
        "compared_datasets": list(report.table.common),
        "missing": [list(pair) for pair in report.table.missing],
        "algorithms": [
            {
                **asdict(each),
                "few_runs": each.few_runs,
                "groups": report.test.letters.get(each.algorithm),
            }
            for each in report.summaries
        ],
        "pairs": [asdict(pair) for pair in report.pairs],
        "test": {
            "method": report.test.method,
            "reason": report.test.reason,
            "untested": dict(report.test.untested),
            "decisions": [asdict(each) for each in report.test.decisions],
            "sequential": report.test.sequential,
        },
        "ranks": _band_json(report.ranks),
        "profiles": {
            "thresholds": report.thresholds.tolist(),
            "algorithms": {
                name: {"run": _band_json(run), "task": _band_json(task)}
                for name, (run, task) in report.profiles.items()
            },
        },
        "curves": {
            name: {"steps": curve.steps.tolist(), **(_band_json(curve.band) or {})}
            for name, curve in report.curves.items()
        },
        "notes": list(report.notes),
    }


def _band_json(found: Band | None) -> dict[str, Any] | None:
    if found is None:
        return None
    arrays = {"value": found.value, "low": found.low, "high": found.high}
    return {key: None if array is None else array.tolist() for key, array in arrays.items()}
