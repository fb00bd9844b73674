"""A trained table as tables of text and sentences, for the terminal, Markdown, LaTeX and site."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter

from datumrl.evaluation.report_tables import Sheet, number, plural
from datumrl.leaderboard import names
from datumrl.leaderboard.trained import Judged, Trained
from datumrl.leaderboard.training_verdict import LEVEL

RIGHT = ("printed", "published seeds", "trained", "new seeds", "difference", "p")
_ALONE = 3  # cells with one reason that have a line each
_PLURALS = {"agrees": "agree", "differs": "differ"}
_CSV = (
    "algorithm", "dataset", "evaluations", "published_mean", "published_std", "published_seeds",
    "new_mean", "new_std", "new_seeds", "failed", "difference", "low", "high", "p_value", "margin",
    "verdict", "note",
)  # fmt: skip


def sheets(trained: Trained) -> list[Sheet]:
    """Return every table that has rows."""
    made = [_cells(trained), _left_out(trained)]
    return [sheet for sheet in made if sheet.rows]


def summary(trained: Trained) -> list[str]:
    """Return the summary, a sentence each."""
    lines = [f"{plural(len(trained.columns), 'cell')} trained again: {words(trained)}"]
    if not trained.columns:
        lines = ["nothing was trained, so no cell agrees or differs"]
    if trained.changes:
        lines.append(f"trained with other settings than the table's: {trained.changes}")
    took = [each.took for each in trained.judged if each.took]
    if took:
        lines.append(f"seeds after which a cell alone differs: {_span(took)}")
    cells = {each.cell.key: each for each in trained.columns}
    hours = sum(each.hours for each in cells.values())
    estimated = sum(each.estimated for each in cells.values() if each.hours)
    if hours:
        lines.append(f"training took {hours:.3g} h; estimated were {estimated:.3g} h")
    lines.append(
        f"margin {trained.points:g} points of 100. Differs: Welch's t test on mean, deviation and "
        f"number of seeds of both, Holm over cells at {LEVEL:g}, and beyond the margin. Agrees: "
        f"the {1 - 2 * LEVEL:.0%} interval of the difference lies within the margin (two one-sided "
        f"tests at {LEVEL:g} each cell)"
    )
    return lines


def _span(values: list[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"


def words(trained: Trained) -> str:
    """Return the state in a few words."""
    if not trained.columns:
        return "none yet"
    return ", ".join(
        f"{count:,} {verdict if count == 1 else _PLURALS.get(verdict, verdict)}"
        for verdict, count in trained.counts.items()
    )


def _cells(trained: Trained) -> Sheet:
    columns = (
        "algorithm", "dataset", "evaluations", "printed", "published seeds", "trained", "new seeds",
        "difference", "p", "verdict",
    )  # fmt: skip
    rows = tuple(_row(each) for each in trained.judged)
    settings = Counter(f"{column.cell.algorithm}: {column.settings}" for column in trained.columns)
    caption = (
        "Mean ± standard deviation over seeds (trained: ddof = 1). Difference: trained less "
        "printed, with its 95% interval. p: of the difference, before Holm."
    )
    if settings:
        caption += f" Trained: {'; '.join(settings)}."
    return Sheet("trained", "Trained again", columns, rows, caption)


def _row(judged: Judged) -> tuple[str, ...]:
    column, judgement = judged.column, judged.judgement
    cell = column.cell
    verdict: str = judgement.verdict
    if judged.took:
        verdict = f"{verdict} (after {judged.took} seeds)"
    if judgement.note:
        verdict = f"{verdict}: {judgement.note}"
    mean, std = _moments(judged)
    trained = number(mean) if std is None else f"{number(mean)} ± {number(std)}"
    failed = f" ({len(column.failed)} failed)" if column.failed else ""
    return (
        cell.algorithm,
        cell.dataset,
        column.printed.rule,
        column.printed.text,
        str(cell.seeds) if cell.seeds else "not stated",
        trained,
        f"{len(column.scores) + len(column.failed)}{failed}",
        _difference(judged),
        "–" if judgement.p_value is None else _p(judgement.p_value),
        verdict,
    )


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else "<0.001"


def _difference(judged: Judged) -> str:
    found = judged.judgement
    if not math.isfinite(found.difference):
        return "–"
    sign = "+" if found.difference > 0 else ""
    shown = f"{sign}{number(found.difference)}"
    if found.low is None or found.high is None:
        return shown
    return f"{shown} [{number(found.low)}, {number(found.high)}]"


def _moments(judged: Judged) -> tuple[float | None, float | None]:
    """Return mean and deviation (ddof = 1) of the new scores, as far as there are any."""
    values = list(judged.column.scores.values())
    if not values:
        return None, None
    mean = math.fsum(values) / len(values)
    if len(values) < 2:
        return mean, None
    return mean, math.sqrt(math.fsum((each - mean) ** 2 for each in values) / (len(values) - 1))


def _left_out(trained: Trained) -> Sheet:
    gathered: dict[str, list[str]] = {}
    for name, reason in trained.left_out:
        gathered.setdefault(reason, []).append(name)
    rows = []
    for reason, cells in gathered.items():
        shown = cells if len(cells) <= _ALONE else [f"{cells[0]} and {len(cells) - 1} more"]
        rows += [(cell, reason) for cell in shown]
    return Sheet(
        "left-out", "Not trained", ("cell", "reason"), tuple(rows),
        "Cells of the table that were not trained, by reason.",
    )  # fmt: skip


def as_csv(trained: Trained) -> str:
    """Return the cells as CSV, a row each; what is missing stays empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_CSV)
    for each in trained.judged:
        column, cell, found = each.column, each.column.cell, each.judgement
        difference = found.difference if math.isfinite(found.difference) else None
        fields = (
            cell.algorithm, cell.dataset, column.printed.rule, float(column.printed.mean),
            column.printed.std and float(column.printed.std), cell.seeds, *_moments(each),
            len(column.scores),
            len(column.failed), difference, found.low, found.high, found.p_value, found.margin,
            found.verdict, found.note,
        )  # fmt: skip
        writer.writerow(
            names.spreadsheet_text(field) if isinstance(field, str) else field for field in fields
        )
    return text.getvalue()
