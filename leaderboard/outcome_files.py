"""An outcome as plain text, Markdown, LaTeX and JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from datumrl.datasets import files
from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import report_latex, report_tables, report_text
from datumrl.evaluation.report_tables import Sheet
from datumrl.leaderboard import neorl_selection, outcome_sheets, trained_sheets
from datumrl.leaderboard import outcome as outcomes
from datumrl.leaderboard.outcome import CellVerdict, Outcome

NAMES = ("reproduction.md", "reproduction.tex", "reproduction.json")
TRAINED = "reproduction.csv"  # of a table that was trained again
_WIDTH = 98  # of captions in a terminal
RIGHT = {  # columns of numbers
    "IQM",
    "95% interval",
    "cells it fits",
    "cells that no longer follow",
    "printed",
    "recomputed",
    *neorl_selection.COLUMNS[1:],
    *trained_sheets.RIGHT,
}


def plain(outcome: Outcome, verdicts: Sequence[CellVerdict], detailed: bool = True) -> str:
    """Return an outcome for a terminal; without detail, claims are counted but not listed."""
    parts = [*_head(outcome)]
    if detailed:
        for title, words in _rules(outcome):
            parts += _wrapped(f"{title}: {words}")
    for sheet in outcome_sheets.sheets(outcome, verdicts):
        if sheet.key == "claims" and not detailed:
            parts += ["", sheet.title, *_wrapped(sheet.caption)]
        else:
            parts += ["", *plain_sheet(sheet)]
    if outcome.notes:
        parts += ["", *(f"note: {report_tables.name(note)}" for note in outcome.notes)]
    return "\n".join(parts)


def _head(outcome: Outcome) -> list[str]:
    about = outcome.about
    lines = [about.title]
    if about.source:
        lines.append(f"  source: {about.source} ({about.licence})")
    return lines + [f"  {line}" for line in outcome_sheets.summary(outcome)]


def plain_sheet(sheet: Sheet) -> list[str]:
    """Return a table as lines for a terminal, its caption below."""
    shown = [sheet.columns, *(tuple(map(report_tables.name, row)) for row in sheet.rows)]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]

    def line(row: Sequence[str]) -> str:
        cells = [
            cell.rjust(width) if column in RIGHT else cell.ljust(width)
            for cell, width, column in zip(row, widths, sheet.columns, strict=True)
        ]
        return f"  {'  '.join(cells)}".rstrip()

    return [sheet.title, *map(line, shown), *_wrapped(sheet.caption)]


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False
    )


def markdown(outcome: Outcome) -> str:
    """Return an outcome in Markdown."""
    about = outcome.about
    parts = [f"# {report_text.escaped(about.title)}", ""]
    if about.source:
        parts += [f"Source: <{about.url}>, `{about.source}`, licence {about.licence}.", ""]
    for title, words in _rules(outcome):
        parts += [f"**{title}.** {report_text.escaped(words)}", ""]
    parts += [f"- {report_text.escaped(line)}" for line in outcome_sheets.summary(outcome)]
    parts.append("")
    for sheet in outcome_sheets.sheets(outcome):
        parts += [f"## {report_text.escaped(sheet.title)}", ""]
        parts += [*report_text.markdown_table(sheet), "", report_text.escaped(sheet.caption), ""]
    if outcome.notes:
        parts += ["## Notes", "", *(f"- {report_text.escaped(note)}" for note in outcome.notes), ""]
    return "\n".join(parts)


def _rules(outcome: Outcome) -> list[tuple[str, str]]:
    about = outcome.about
    rules = (("Rule of the source", about.rule), ("Rule a reader would expect", about.expected))
    return [(title, words) for title, words in rules if words]


def latex(outcome: Outcome) -> str:
    """Return an outcome as a LaTeX document."""
    notes = [f"{title}: {words}" for title, words in _rules(outcome)]
    notes += [*outcome_sheets.summary(outcome), *outcome.notes]
    return report_latex.of_sheets(outcome_sheets.sheets(outcome), notes)


def write(outcome: Outcome, folder: Path) -> list[Path]:
    """Write Markdown, LaTeX and JSON (CSV too if trained again) into a folder; return the files."""
    if folder.is_file():
        raise DatumrlError(f"--out {folder} is a file; name a folder")
    for name, text in zip(NAMES, (markdown(outcome), latex(outcome)), strict=False):
        with files.replacing(folder / name, "w") as handle:
            handle.write(text)
    files.write_json(folder / NAMES[2], outcomes.as_json(outcome))
    if outcome.trained is None:
        return [folder / name for name in NAMES]
    with files.replacing(folder / TRAINED, "w") as handle:
        handle.write(trained_sheets.as_csv(outcome.trained))
    return [folder / name for name in (*NAMES, TRAINED)]
