"""Which numbers of a report bear ‡: those without an interval, or with none by Student's t.

The notes beside an algorithm say why, and the caption of the pairs does.
"""

from __future__ import annotations

from datumrl.evaluation import influence, intervals
from datumrl.evaluation.report_parts import Report, Summary

PERCENTILE = "by the percentile bootstrap, as the scores of one that count are all equal"
NO_INTERVAL = "without an interval, as the scores that count never differ"


def marked(report: Report, summary: Summary) -> set[str]:
    """Return the marked metrics of an algorithm, as keys of its summary."""
    if summary.runs[0] < 2:
        return set()  # one run has no interval, which the column of runs says
    bare = {key for key, found in summary.metrics.items() if found.low is None}
    return bare | _percentile_instead(report, summary)


def of_pairs(report: Report) -> list[str]:
    """Return why the difference of each of the report's pairs is marked; "" where it is not."""
    single = {each.algorithm for each in report.summaries if each.runs[0] < 2}
    blind = {s.algorithm for s in report.summaries if "iqm" in _percentile_instead(report, s)}
    marks = []
    for pair in report.pairs:
        both = {pair.first, pair.second}
        mark = PERCENTILE if both & blind else ""
        mark = NO_INTERVAL if pair.difference.low is None else mark
        marks.append("" if both & single else mark)
    return marks


def _percentile_instead(report: Report, summary: Summary) -> set[str]:
    """Return the metrics of which Student's t sees no spread though runs differ."""
    if summary.runs[0] < 2 or report.options.method != "t" or summary.undefined:
        return set()
    scores = report.table.scores(summary.algorithm)
    kinds = {"iqm": influence.IQM, "mean": influence.MEAN, "median": influence.MEDIAN}
    kinds["optimality_gap"] = influence.optimality_gap(report.options.gamma)
    return {key for key in summary.metrics if intervals.t_is_blind(scores, kinds[key])}
