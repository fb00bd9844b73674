"""`datumrl reproduce`: does a published table follow from its raw scores?"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from datumrl.leaderboard import published_tables, quality_tables
from datumrl.leaderboard.reproduce import Pool, Reproduction, Verdict, reproduce
from datumrl.scripts import console, reproduce_quality

DIFFERS = 1


@dataclass(frozen=True)
class Command:
    """Recompute a published table from its raw scores; without a table, list those registered.

    Exit code 1 if a cell does not follow.
    """

    table: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[TABLE]")] = None
    """id of a registered table"""
    seed: int = 0
    """seed of the bootstrap intervals"""
    resamples: int = 50_000
    """bootstrap resamples per interval"""
    brief: bool = False
    """leave out the cells that are equal, and algorithms that nothing can be compared with"""
    json: bool = False
    """print JSON"""

    def run(self) -> int:
        if self.table is None:
            _list(self.json)
            return 0
        if quality_tables.is_registered(self.table):
            return reproduce_quality.show(self.table, self.json)
        found = reproduce(self.table, self.seed, self.resamples)
        if self.json:
            console.print_json(_as_json(found, self.seed, self.resamples))
        else:
            shown = [each for each in found.verdicts if not (self.brief and each.equal)]
            _print_cells(shown)
            _print_summary(found)
            _print_departures(found)
            _print_pools(found.pools, self.seed, self.resamples, self.brief)
        return 0 if all(verdict.equal for verdict in found.verdicts) else DIFFERS


def _list(as_json: bool) -> None:
    tables: list[published_tables.PublishedTable | quality_tables.QualityTable]
    tables = [*published_tables.all_tables(), *quality_tables.all_tables()]
    if as_json:
        console.print_json([dataclasses.asdict(table) for table in tables])
        return
    for table in tables:
        _print(table.id)
        _print(f"  {table.title}")
        _print(f"  {table.url} ({table.licence})")


def _print(line: str = "") -> None:
    # Lines are laid out here; rich must not fold them where no terminal tells its width.
    console.output.print(line, soft_wrap=True, markup=False)


def _print_cells(verdicts: Sequence[Verdict]) -> None:
    if not verdicts:
        return
    _print(f"{'printed mean±std of':<40}{'return':>14}{'score, 0-100':>18}")
    algorithm = None
    pairs: dict[tuple[str, str, str], dict[str, Verdict]] = {}
    for verdict in verdicts:
        cell = verdict.printed
        place = (cell.algorithm, cell.dataset, cell.checkpoint)
        pairs.setdefault(place, {})[cell.quantity] = verdict
    for (name, dataset, checkpoint), both in pairs.items():
        cells = "".join(
            _cell(both[quantity], width) if quantity in both else " " * (width + 6)
            for quantity, width in (("return", 15), ("score", 11))
        )
        if name != algorithm:
            algorithm = name
            _print(name)
        _print(f" {dataset:<33} {checkpoint:<5}{cells}".rstrip())
    _print()


def _cell(verdict: Verdict, width: int) -> str:
    printed = f"{verdict.printed.mean}±{verdict.printed.std}"
    return f"{printed:>{width}} {_verdict(verdict)}"


def _verdict(verdict: Verdict) -> str:
    if verdict.equal:
        return "equal"
    parts = []
    if not verdict.mean_equal:
        parts.append(f"mean {verdict.mean_difference:+.2f}")
    if not verdict.std_equal:
        parts.append(f"std {verdict.std_difference:+.2f}")
    return "differs by " + ", ".join(parts)


def _summary(found: Reproduction) -> dict[str, Any]:
    verdicts = found.verdicts
    differences = [
        abs(difference)
        for verdict in verdicts
        for difference in (verdict.mean_difference, verdict.std_difference)
    ]
    return {
        "cells": len(verdicts),
        "cells_equal": sum(verdict.equal for verdict in verdicts),
        "numbers": 2 * len(verdicts),
        "numbers_equal": sum(v.mean_equal + v.std_equal for v in verdicts),
        "largest_difference": max(differences),
    }


def _print_summary(found: Reproduction) -> None:
    table, summary = found.table, _summary(found)
    pairs = len({(v.printed.algorithm, v.printed.dataset) for v in found.verdicts})
    _print(f"{table.title}")
    _print(f"  source: {table.source} ({table.licence})")
    _print(f"  raw scores: {found.evaluations:,} evaluations of {found.runs:,} runs")
    _print(
        f"  {summary['cells_equal']} of {summary['cells']} cells are equal after rounding "
        f"({summary['numbers_equal']} of {summary['numbers']} numbers)"
    )
    _print(f"  ({pairs} pairs x {{final, best}} x {{return, score}}; each a mean and a deviation)")
    _print(f"  largest difference {summary['largest_difference']:.4f}")
    _print("  'best' picks a checkpoint by its test return, so it is an optimistic statistic")


def _print_departures(found: Reproduction) -> None:
    _print()
    _print("Which rules the table rests on: cells that no longer follow under another rule")
    for label, failing in found.departures:
        _print(f"  {label:<45}{failing:>4} of {len(found.verdicts)}")


def _print_pools(pools: tuple[Pool, ...], seed: int, resamples: int, brief: bool) -> None:
    _print()
    _print("IQM of final scores with 95% intervals, over tasks that make a fair comparison")
    _print(f"  (stratified bootstrap over runs, {resamples:,} resamples, seed {seed})")
    for pool in pools:
        alone = len(pool.aggregates) == 1
        if alone and brief:
            continue
        _print()
        _print(
            f"  {len(pool.datasets)} tasks x {pool.runs} runs"
            + (", one algorithm alone: compares with nothing here" if alone else "")
        )
        for aggregate in pool.aggregates:
            interval = aggregate.interval
            few = "  (too few runs to trust)" if interval.few_runs else ""
            _print(
                f"    {aggregate.algorithm:<8}{aggregate.iqm:>6.1f}"
                f"  [{interval.low:5.1f}, {interval.high:5.1f}]{few}"
            )
        for line in _folded(pool.datasets):
            _print(f"    {line}")


def _folded(names: tuple[str, ...], width: int = 76) -> list[str]:
    lines = ["on"]
    for name in names:
        if len(lines[-1]) + 1 + len(name) > width:
            lines.append("  ")
        lines[-1] += f" {name}"
    return lines


def _as_json(found: Reproduction, seed: int, resamples: int) -> dict[str, Any]:
    return {
        "table": dataclasses.asdict(found.table),
        "runs": found.runs,
        "evaluations": found.evaluations,
        "summary": _summary(found),
        "cells": [
            {
                **dataclasses.asdict(verdict.printed),
                "recomputed_mean": verdict.mean,
                "recomputed_std": verdict.std,
                "equal": verdict.equal,
                "verdict": _verdict(verdict),
            }
            for verdict in found.verdicts
        ],
        "departures": [
            {"rule": label, "cells_that_fail": failing} for label, failing in found.departures
        ],
        "iqm": {
            "checkpoint": "final",
            "confidence": 0.95,
            "seed": seed,
            "resamples": resamples,
            "pools": [dataclasses.asdict(pool) for pool in found.pools],
        },
    }
