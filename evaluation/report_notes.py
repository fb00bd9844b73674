"""What a report says of its table below all numbers."""

from __future__ import annotations

from datumrl.evaluation import run_ends
from datumrl.evaluation.records import why_unscored
from datumrl.evaluation.report_parts import Options
from datumrl.evaluation.score_table import ScoreTable


def notes(table: ScoreTable, options: Options) -> list[str]:
    """Return what a reader must know of missing, early, failed and unnamed runs, and of returns."""
    runs = [run for cell in table.cells.values() for run in cell]
    found = []
    if table.missing:
        found.append(
            f"missing cells: {len(table.missing)}; aggregates and comparisons are over the "
            f"{len(table.common)} of {len(table.datasets)} datasets that every algorithm has"
        )
    if table.rule == "best":
        found.append(
            "checkpoint `best`: each run's highest evaluation, chosen by the test return itself; "
            "optimistic by the amount shown"
        )
    found += run_ends.notes(table.cells)
    if silent := sum(run.seed is None for run in runs):
        found.append(
            f"{silent} scores have no seed, so nothing tells whether one of them is there twice"
        )
    if options.failed_as is not None:
        failed = sum(run.status == "failed" for run in runs)
        counted = "run counts" if failed == 1 else "runs count"
        found.append(f"--failed-as {options.failed_as:g}: {failed} failed {counted} as this")
    if table.unit == "return":
        reasons = dict.fromkeys(
            run.unscored or why_unscored(run.dataset) for run in runs if run.unit
        )
        found += [f"{reason}: numbers are undiscounted returns" for reason in reasons]
    return found
