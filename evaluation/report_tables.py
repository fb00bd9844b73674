"""A report as tables of text, the same for the terminal, Markdown and LaTeX; and as figures' words.

Names come from files and are untrusted: what cannot be printed is replaced.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from datumrl.evaluation import report_marks
from datumrl.evaluation.ragged_comparisons import Plan
from datumrl.evaluation.report_parts import Measure, Options, Report, Summary
from datumrl.evaluation.score_table import CHECKPOINTS

MISSING = "missing"
NAME_LENGTH = 200
_MOST_DECIMALS = 8  # smaller numbers are shown with a power of ten
_METRICS = {
    "iqm": "IQM",
    "mean": "mean",
    "median": "median",
    "optimality_gap": "optimality gap",
}
_DECISIONS = {"larger": "larger", "smaller": "smaller", "equal": "not separated"}


@dataclass(frozen=True)
class Sheet:
    """One table: what it is called, its columns and rows, and the words below it."""

    key: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str


def sheets(report: Report) -> list[Sheet]:
    """Return every table of a report that has rows."""
    made = [
        _aggregates(report),
        _pairs(report),
        _decisions(report),
        _datasets(report),
        _ranks(report),
        _checkpoints(report),
    ]
    return [sheet for sheet in made if sheet.rows]


def printable(text: str) -> str:
    """Return a text with what cannot be printed replaced."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


def name(text: str) -> str:
    """Return a name as `printable` does, cut where it would push a table's numbers out of sight."""
    shown = printable(text)
    return shown if len(shown) <= NAME_LENGTH else f"{shown[: NAME_LENGTH - 1]}…"


def decimals(largest: float) -> int:
    """Return with how many decimals returns up to a size are shown: four digits of the largest.

    At least one, which is what normalised scores have: 3000.5, 30.05, 0.03005.
    """
    return max(1, 3 - math.floor(math.log10(largest))) if largest > 0.0 else 1


def number(value: float | None, digits: int = 1) -> str:
    """Return a number for display: a true minus sign, no negative zero, a dash for None."""
    if value is None:
        return "–"
    plain = abs(value) < 1e7 and digits <= _MOST_DECIMALS
    text = f"{value:.{digits}f}" if plain else f"{value:.3g}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")


def measure(found: Measure | None, digits: int = 1, marked: bool = False) -> str:
    """Return ``49.7 [47.5, 51.8]``, with `` ‡`` if marked; without an interval the number alone."""
    if found is None:
        return "–"
    mark = " ‡" * marked
    if found.low is None:
        return number(found.value, digits) + mark
    ends = f"[{number(found.low, digits)}, {number(found.high, digits)}]"
    return f"{number(found.value, digits)} {ends}{mark}"


def span(runs: tuple[int, int]) -> str:
    """Return ``5`` or ``3–5``."""
    return str(runs[0]) if runs[0] == runs[1] else f"{runs[0]}–{runs[1]}"


def plural(count: int | str, noun: str) -> str:
    """Return ``1 run``, ``2 runs``, ``3–5 runs``."""
    return f"{count} {noun}" if str(count) == "1" else f"{count} {noun}s"


def metric_names(report: Report) -> dict[str, str]:
    """Return the metrics that the report has: key -> words."""
    kept = _METRICS if report.table.unit == "score" else dict(list(_METRICS.items())[:3])
    return {key: _with_gamma(key, words, report) for key, words in kept.items()}


def unit(report: Report) -> str:
    """Return what scores are measured in."""
    return "normalised score (0–100)" if report.table.unit == "score" else "undiscounted return"


def digits_of(report: Report) -> int:
    """Return the decimals of a report's scores and their differences: one for normalised ones."""
    if report.table.unit == "score":
        return 1
    found = np.concatenate([report.table.values(*cell) for cell in report.table.cells])
    return decimals(float(np.max(np.abs(found), where=np.isfinite(found), initial=0.0)))


def basis(report: Report) -> str:
    """Return the runs, tasks, checkpoint and failures that everything rests on."""
    known = report.summaries
    runs = (min(each.runs[0] for each in known), max(each.runs[1] for each in known))
    parts = [
        f"{plural(span(runs), 'run')} x {plural(len(report.table.common), 'task')}",
        unit(report),
        f"checkpoint `{report.table.rule}`" + (" (optimistic)" * (report.table.rule == "best")),
    ]
    if report.options.failed_as is not None:
        parts.append(f"failed runs count as {report.options.failed_as:g}")
    return ", ".join(parts)


def interval_words(report: Report) -> str:
    """Return how intervals of aggregates were made: level, method, resamples, seed."""
    options = report.options
    several = len(report.table.common) > 1  # with one task the median is the mean
    if options.method == "t":
        median = "; the median's from joint limits of the tasks' means, wide" if several else ""
        return student_words(options) + median
    doubt = several and not options.over_tasks
    median = "; the median's hold the truth less often than that" if doubt else ""
    return bootstrap_words(options.plan, options.method) + median


def student_words(options: Options) -> str:
    """Return how intervals by Student's t were made."""
    return f"{100 * options.confidence:g}% intervals by Student's t on influence values, over runs"


def bootstrap_words(plan: Plan, method: str = "percentile") -> str:
    """Return how bootstrap intervals were made by a plan."""
    over = "runs and tasks" if plan.over_tasks else "runs"
    return (
        f"{100 * plan.confidence:g}% intervals by the {method} bootstrap over {over} "
        f"({plan.resamples:,} resamples, seed {plan.seed})"
    )


def test_words(report: Report) -> str:
    """Return which test separates groups, or why there is none."""
    if report.test.reason:
        return f"groups not tested: {printable(report.test.reason)}"
    return printable(report.test.method)


def _with_gamma(key: str, words: str, report: Report) -> str:
    if key == "optimality_gap" and report.options.gamma != 100.0:
        return f"{words} (gamma {report.options.gamma:g})"
    return words


def _aggregates(report: Report) -> Sheet:
    keys = metric_names(report)
    lettered = bool(report.test.letters)
    columns = ["algorithm", *(["groups"] if lettered else []), *keys.values(), "runs x tasks", ""]
    rows = [_aggregate_row(report, summary, keys, lettered) for summary in report.summaries]
    if not any(row[-1] for row in rows):
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    caption = f"{basis(report)}; {interval_words(report)}."
    if lettered:
        caption += f" Algorithms that share a letter are not separated: {test_words(report)}."
    else:
        caption += f" {test_words(report)}."
    return Sheet("aggregates", "Aggregates", tuple(columns), tuple(rows), caption)


def _aggregate_row(
    report: Report, summary: Summary, keys: dict[str, str], lettered: bool
) -> tuple[str, ...]:
    letters = [report.test.letters.get(summary.algorithm, "–")] if lettered else []
    flag = " †" if summary.few_runs else ""
    size = f"{span(summary.runs)} x {summary.tasks}{flag}"
    undefined = [f"undefined: {name(summary.undefined)}"] if summary.undefined else []
    said = "; ".join([*undefined, *summary.notes])
    digits, marked = digits_of(report), report_marks.marked(report, summary)
    numbers = [
        "undefined"
        if summary.undefined
        else measure(summary.metrics.get(key), digits, marked=key in marked)
        for key in keys
    ]
    return (name(summary.algorithm), *letters, *numbers, size, said)


def _pairs(report: Report) -> Sheet:
    untested = "by dataset" if _is_family(report) else "not tested"
    exact = any(pair.p_adjusted is not None for pair in report.pairs)
    digits, marks = digits_of(report), report_marks.of_pairs(report)
    rows = [
        (
            name(pair.first),
            name(pair.second),
            measure(pair.improvement, 2),
            measure(pair.difference, digits, marked=bool(mark)),
            _DECISIONS.get(pair.decision or "", untested),
            *([number(pair.p_adjusted, 4)] if exact else []),
        )
        for pair, mark in zip(report.pairs, marks, strict=True)
    ]
    options = report.options
    percentile = bootstrap_words(options.plan)
    difference = student_words(options) if options.method == "t" else percentile
    difference = "; ".join([difference, *sorted({f"‡ {mark}" for mark in marks if mark})])
    caption = (
        f"P(X > Y): chance that a run of the first scores above one of the second on the same task "
        f"({percentile}); difference of IQMs, first less second ({difference}). {basis(report)}. "
        f"Test: {test_words(report)}."
    )
    columns = ["first", "second", "P(X > Y)", "IQM difference", "test: first is"]
    if exact:
        columns.append("adjusted p")
        caption += " Adjusted p: the least family-wise alpha that would separate the two."
    return Sheet("pairs", "Pairs", tuple(columns), tuple(rows), caption)


def _is_family(report: Report) -> bool:
    """Return whether pairs were decided on each dataset, so that none is decided over all."""
    question = (report.test.sequential or {}).get("question")
    return isinstance(question, dict) and bool(question["family"])


def _decisions(report: Report) -> Sheet:
    if report.test.sequential is None:
        return Sheet("decisions", "", (), (), "")
    rows = [
        (
            name(each.first),
            _DECISIONS.get(each.decision, "undecided"),
            name(each.second),
            "–" if each.interim is None else str(each.interim),
        )
        for each in report.test.decisions
    ]
    columns = ("first", "decision", "second", "at interim")
    said = f"Sequential comparison: {test_words(report)}. {report.test.sequential['words']}"
    return Sheet("decisions", "Sequential decisions", columns, tuple(rows), said)


def _datasets(report: Report) -> Sheet:
    """Return scores by dataset and algorithm, with the longer of the two downwards."""
    order, digits = [summary.algorithm for summary in report.summaries], digits_of(report)
    rows = [
        (name(dataset), *(_cell(report, algorithm, dataset, digits) for algorithm in order))
        for dataset in report.table.datasets
    ]
    columns = ("dataset", *(name(each) for each in order))
    if len(order) > len(rows):
        columns, *rows = zip(columns, *rows, strict=True)
        columns = ("algorithm", *columns[1:])
    caption = (
        f"Mean ± standard deviation over runs (ddof = 1), {unit(report)}, checkpoint "
        f"`{report.table.rule}`. Missing cells are missing, not zero."
    )
    return Sheet("datasets", "Datasets", columns, tuple(rows), caption)


def _cell(report: Report, algorithm: str, dataset: str, digits: int) -> str:
    if (algorithm, dataset) not in report.table.cells:
        return MISSING
    values = report.table.values(algorithm, dataset)
    bad = [run.status for run in report.table.cells[algorithm, dataset] if run.status != "complete"]
    if bad and (report.options.failed_as is None or "unfinished" in bad):
        return f"undefined: {len(bad)} of {plural(len(values), 'run')} {bad[0]}"
    if report.options.failed_as is not None:
        values = np.nan_to_num(values, nan=report.options.failed_as)
    spread = f" ± {number(float(values.std(ddof=1)), digits)}" if len(values) > 1 else ""
    failed = f" ({len(bad)} failed)" if bad else ""
    return f"{number(float(values.mean()), digits)}{spread}{failed}"


def _ranks(report: Report) -> Sheet:
    if report.ranks is None:
        return Sheet("ranks", "", (), (), "")
    value = report.ranks.value
    rows = [
        (name(algorithm), *(number(float(share), 2) for share in value[place]))
        for place, algorithm in enumerate(report.defined)
    ]
    caption = (
        f"Chance of each rank (1 is best) when every algorithm draws one run per task, exact for "
        f"these runs; {basis(report)}."
    )
    if report.ranks.low is not None:
        caption += f" In report.csv: {bootstrap_words(report.options.curve_plan)}."
    columns = ("algorithm", *(f"rank {k + 1}" for k in range(len(value))))
    return Sheet("ranks", "Rank distributions", columns, tuple(rows), caption)


def _checkpoints(report: Report) -> Sheet:
    keys, digits = (*CHECKPOINTS, "optimism of best"), digits_of(report)
    rows = [
        (name(each.algorithm), *(number(each.checkpoints.get(key), digits) for key in keys))
        for each in report.summaries
        if each.checkpoints
    ]
    caption = (
        "IQM by the rule that picks a run's evaluation. `best` picks by the test return itself; "
        "its optimism is the mean over runs of what the same choice gains when it is scored on "
        f"other data ({_how_honest(report)}). {basis(report)}."
    )
    return Sheet("checkpoints", "Checkpoint rules", ("algorithm", *keys), tuple(rows), caption)


def _how_honest(report: Report) -> str:
    """Return how the honest estimate of `best` is made."""
    found: Sequence[str] = [
        best[1] for each in report.defined if (best := report.table.best(each)) is not None
    ]
    return " or ".join(sorted(set(found))) or "not estimated"
