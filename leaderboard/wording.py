"""What the page says of a table or row in words: protocol, checkpoint, budget, warnings."""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping
from typing import Any

from datumrl.evaluation.records import Protocol
from datumrl.leaderboard.published_sources import PublishedSource
from datumrl.leaderboard.submission_schema import Method
from datumrl.leaderboard.submitted_runs import Submitted
from datumrl.leaderboard.tables import FEW_RUNS, Cell, Entry, Table

# Who vouches for a number, strongest first.
TIERS = {
    "reproduced": "submitted and confirmed with evidence of others, or trained by datumrl itself; "
    "raw returns",
    "submitted": "submitted with every episode's return; checked for form, not run again",
    "raw published": "per-seed scores of a publication; statistics recomputed here",
    "reported": "means as printed, without raw scores; never pooled or ranked",
    "local": "trained and evaluated here, with complete run records",
}

CHECKPOINTS = {
    "last": "last evaluation",
    "last-10-mean": "mean of the last 10 evaluations",
    "best": "best evaluation (chosen by the test return: optimistic)",
}
NOT_STATED = "not stated"
_WIDEST_LIST = 3

Published = Mapping[str, PublishedSource]  # by the source that score rows name
SubmittedBy = Mapping[str, Submitted]  # by the same
NOBODY: SubmittedBy = types.MappingProxyType({})


def number(value: float | None, digits: int = 1) -> str:
    """Return a number for display: a true minus sign, no negative zero, an en dash for None."""
    if value is None:
        return "–"
    text = f"{value:,.{digits}f}" if abs(value) < 1e7 else f"{value:.3g}"
    if float(text.replace(",", "")) == 0:
        text = text.lstrip("-")
    return text.replace("-", "−")


def interval(low: float | None, high: float | None) -> str:
    """Return an interval for display."""
    if low is None or high is None:
        return "no interval"
    return f"[{number(low)}, {number(high)}]"


def plural(count: int, noun: str) -> str:
    """Return for example ``1 run`` or ``2 runs``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def ranks(entry: Entry) -> str:
    """Return a row's rank interval for display, "" without one."""
    if entry.rank_interval is None:
        return ""
    low, high = entry.rank_interval
    return f"{low}" if low == high else f"{low}–{high}"


def tier_class(tier: str) -> str:
    """Return the style of a tier's label: its name in one word."""
    return tier.replace(" ", "-") if tier in TIERS else "other"


def span(values: Iterable[int | None]) -> str:
    """Return the distinct values of a whole row or table: one number, or a range."""
    known = sorted({value for value in values if value is not None})
    if not known:
        return NOT_STATED
    return f"{known[0]:,}" if len(known) == 1 else f"{known[0]:,}–{known[-1]:,}"


def listed(values: Iterable[str]) -> str:
    """Return the distinct values, in order and comma-separated; a long list is cut with a count."""
    known = sorted(set(values))
    if not known:
        return NOT_STATED
    more = len(known) - _WIDEST_LIST
    return ", ".join(known) if more <= 0 else ", ".join(known[:_WIDEST_LIST]) + f" and {more} more"


def protocols(table: Table) -> list[Protocol]:
    """Return the protocols of the run records behind a table."""
    return [run.record.protocol for run in table.runs if run.record is not None]


def protocol_words(table: Table, published: Published) -> str:
    """Say in words how a table's returns were measured."""
    found = protocols(table)
    if not found:
        source = published.get(table.runs[0].row.source)
        if source is None and any(run.row.tier == "reported" for run in table.runs):
            return "Means as printed. How they were measured is not stated here."
        return _published_words(source)
    environments = listed(f"{each.environment}{_kwargs(each)}" for each in found)
    engines = listed(f"{name} {version}" for each in found for name, version in each.engine.items())
    limits = span(each.time_limit for each in found)
    chosen = any(each.online_selection for each in found)
    return (
        f"{plural(found[0].episodes, 'episode')} of at most {limits} steps per evaluation in "
        f"{environments} ({engines}). Counted: {CHECKPOINTS[found[0].checkpoint]}. "
        + (
            "Online returns took part in choosing settings."
            if chosen
            else "Online returns chose nothing."
        )
    )


def _published_words(source: PublishedSource | None) -> str:
    if source is None:
        return f"Counted: {CHECKPOINTS['last']} of each run. The source states no more."
    name, _, commit = source.source.partition("@")
    return f"Raw scores of {name} at {commit[:7]}, {source.licence}. {source.protocol}"


def _kwargs(protocol: Protocol) -> str:
    shown = ", ".join(f"{key}={value}" for key, value in protocol.environment_kwargs.items())
    return f" ({shown})" if shown else ""


def subtitle(table: Table) -> str:
    """Return a few words that tell tables of the same suite apart."""
    found = protocols(table)
    if not found:
        return f"published by {table.runs[0].row.source.partition('@')[0] or 'a source not named'}"
    engines = listed(f"{name} {version}" for each in found for name, version in each.engine.items())
    nearest = any(each.nearest for each in found)
    where = ", in an environment that is only the nearest to that of the scores" if nearest else ""
    remark = next((f"{run.remark}, " for run in table.runs if run.remark), "")
    return f"own runs, {remark}{plural(found[0].episodes, 'episode')}, {engines}{where}"


def checkpoint(entry: Entry) -> str:
    """Return which evaluation of a run counts."""
    rules = {run.record.protocol.checkpoint for run in entry.runs if run.record is not None}
    return listed(rules) if rules else "last"


def tuning(method: Method, brief: bool = False) -> str:
    """Return a submission's tuning budget in words, in brief without the names of its parts."""
    spent = method.tuning
    if spent.configurations == 1:
        return "nothing was tried out"
    parts = [plural(spent.configurations, "configuration")]
    for names, noun in ((list(map(str, spent.seeds)), "seed"), (spent.datasets, "dataset")):
        parts.append(plural(len(names), noun) + ("" if brief else f" ({', '.join(names)})"))
    return " × ".join(parts)


def budget(entry: Entry, submitted: SubmittedBy = NOBODY) -> dict[str, str]:
    """Return a row's training budget in words; what the source lacks is said to be missing.

    What a submission spent on tuning is what its method says.
    """
    budgets = [run.record.budget for run in entry.runs if run.record is not None]
    if not budgets:
        return {
            "steps": span(run.row.step for run in entry.runs),
            "tuning": NOT_STATED,
            "preset": NOT_STATED,
            "reward transform": NOT_STATED,
        }
    return {
        "steps": span(each.steps for each in budgets),
        "tuning": listed(
            tuning(submitted[run.row.source].method, brief=True)
            if run.row.source in submitted
            else run.record.budget.tuning
            for run in entry.runs
            if run.record is not None
        ),
        "preset": listed(each.preset for each in budgets),
        "reward transform": listed(each.reward_transform for each in budgets),
    }


def warnings(entry: Entry, table: Table) -> list[str]:
    """Return what a reader must know before reading a row's numbers."""
    notes = _failures(entry, table)
    unfinished, total = entry.count("unfinished"), len(entry.runs)
    if unfinished:
        reasons = sorted({run.reason for run in entry.runs if run.reason})
        why = f" ({listed(reasons)})" if reasons else ""
        notes.append(f"{unfinished} of {plural(total, 'run')} unfinished{why}")
    counted = entry.finished & set(table.ranked_over or table.datasets)
    finished = [entry.cells[dataset].values.size for dataset in counted]
    if finished and min(finished) < FEW_RUNS:
        notes.append(f"only {plural(min(finished), 'run')}")
    if table.normalised and entry.lacks:
        over = plural(len(table.ranked_over), "dataset")
        told = f"{len(counted)} of {over}, without {listed(map(short, entry.lacks))}"
        notes.append(told if table.unranked or entry.failing else f"not ranked: {told}")
    notes += _ends_early(entry)
    if entry.aggregate and entry.aggregate.runs < max(finished):
        notes.append(f"{entry.aggregate.runs} seeds per dataset in the aggregate")
    if entry.aggregate and entry.aggregate.percentile:
        notes.append("percentile interval: the scores that count are all equal")
    return notes


def undefined(entry: Entry, table: Table) -> str:
    """Return which failed runs leave a row without an aggregate; "" where none do."""
    return _failed(cell for name, cell in entry.cells.items() if name in table.ranked_over)


def _failures(entry: Entry, table: Table) -> list[str]:
    counted = undefined(entry, table)
    if not counted:
        return list(filter(None, [_failed(entry.cells.values())]))
    others = _failed(cell for name, cell in entry.cells.items() if name not in table.ranked_over)
    told = [counted if table.unranked else f"not ranked: {counted}"]
    return [*told, f"{others} on other datasets"] if others else told


def _failed(cells: Iterable[Cell]) -> str:
    found = list(cells)
    failed = sum(cell.count("failed") for cell in found)
    total = plural(sum(len(cell.runs) for cell in found), "run")
    return f"{failed} of {total} failed" if failed else ""


def short(dataset: str) -> str:
    """Return a dataset's name without its collection."""
    return dataset.partition("/")[2] or dataset


def extent(table: Table) -> str:
    """Return over how many datasets a table's aggregates and ranks are."""
    whole = plural(len(table.datasets), "dataset")
    few = len(table.ranked_over) < len(table.datasets)
    return f"{len(table.ranked_over)} of {whole}" if few and table.normalised else whole


def left_out(table: Table) -> str:
    """Return over which datasets a table does not rank, and by which rule, in words; "" if all."""
    others = [short(name) for name in table.datasets if name not in table.ranked_over]
    if not others or not table.ranked_over:
        return ""
    return (
        f"Not over {listed(others)}: of all sets of datasets that methods have in common, the one "
        "with the most methods × datasets is taken, whatever their scores"
    )


def nothing(entry: Entry) -> str:
    """Return why a row has no aggregate."""
    if not entry.finished:
        return "no finished run"
    return "undefined, as runs failed" if entry.failing else "none of the ranked datasets"


def _ends_early(entry: Entry) -> list[str]:
    """Return which seeds of score rows end before the others of their dataset, if any."""
    found = []
    for cell in entry.cells.values():
        rows = [run.row for run in cell.finished if run.record is None and run.row.step is not None]
        last = max((row.step or 0 for row in rows), default=0)
        found += [
            f"seed {row.seed} on {row.dataset} (step {row.step or 0:,} of {last:,})"
            for row in rows
            if (row.step or 0) < last
        ]
    return [f"ends before the other seeds: {listed(found)}"] if found else []


def seeds(cell: Cell) -> str:
    """Return every seed's value, for the hint over a cell."""
    shown = (
        f"seed {'?' if run.row.seed is None else run.row.seed}: {number(value)}"
        for run, value in zip(cell.finished, cell.values.tolist(), strict=True)
    )
    return "; ".join(shown)


def settings_count(entry: Entry) -> int:
    """Return how many settings (configuration and budget) a row's datasets were run with."""
    return len({run.variant for run in entry.runs})


def summary(
    tables: Iterable[Table], published: Published, submitted: SubmittedBy = NOBODY
) -> dict[str, Any]:
    """Return every number of the page as JSON content."""
    return {
        "tables": [
            {
                "id": table.id,
                "suite": table.suite.title,
                "protocol": protocol_words(table, published),
                "unit": "normalised score" if table.normalised else "undiscounted return",
                "datasets": list(table.datasets),
                "ranked_over": list(table.ranked_over),
                "test": table.test,
                "rows": [_row(entry, table, submitted) for entry in table.entries],
            }
            for table in tables
        ]
    }


def _row(entry: Entry, table: Table, submitted: SubmittedBy) -> dict[str, Any]:
    found = entry.aggregate
    spread = found if found and found.low is not None else None
    return {
        "id": entry.id,
        "algorithm": entry.algorithm,
        "variant": entry.label,
        "tier": entry.tier,
        "rank": entry.rank,
        "rank_interval": entry.rank_interval,
        "lacks": list(entry.lacks),
        "undefined": undefined(entry, table),
        "letters": entry.letters,
        "untested": entry.untested,
        "iqm": found and found.iqm,
        "interval": spread and [spread.low, spread.high],
        "interval_method": found and found.interval_method,
        "mean": found and found.mean,
        "median": found and found.median,
        "optimality_gap": found and found.optimality_gap,
        "runs": found and found.runs,
        "tasks": found and found.tasks,
        "failed": entry.count("failed"),
        "unfinished": entry.count("unfinished"),
        "checkpoint": checkpoint(entry),
        "budget": budget(entry, submitted),
        "cells": [
            {
                "dataset": cell.dataset,
                "mean": cell.mean,
                "spread": cell.spread,
                "failed": cell.count("failed"),
                "unfinished": cell.count("unfinished"),
                "seeds": [run.row.seed for run in cell.finished],
                "values": cell.values.tolist(),
            }
            for cell in entry.cells.values()
        ],
    }
