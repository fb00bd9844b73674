"""`datumrl evaluate`: re-roll the policies of a run."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import rich.table
import tyro

from datumrl.scripts import console

if TYPE_CHECKING:
    from datumrl.evaluation.records import RunRecord


@dataclass(frozen=True)
class Command:
    """Roll out a run's checkpointed policies with other evaluation seeds."""

    run_folder: Annotated[Path, tyro.conf.Positional]
    """folder that `datumrl train` wrote"""
    episodes: int | None = None
    """episodes per policy (default: as in the run)"""
    offset: int = 10_000
    """added to each policy's seed; 0 repeats the episodes of the run's own evaluation"""
    device: Literal["cpu", "cuda"] = "cpu"
    """where the policies run"""
    json: bool = False
    """print JSON: one record per policy"""

    def run(self) -> int:
        from datumrl.algorithms.training import reroll

        with console.Bars() as bars:
            show = bars.bar("rolling out", "episodes")
            records = reroll(self.run_folder, self.episodes, self.offset, self.device, show)
        if self.json:
            console.print_json([record.model_dump(mode="json") for record in records])
        else:
            print_scores(scores_of(records))
        return 0


def scores_of(records: Sequence[RunRecord]) -> list[dict[str, Any]]:
    """Return each record's last evaluation point: mean and spread of returns, and the score."""
    from datumrl.evaluation.records import score_rows

    rows = []
    for record in records:
        last = score_rows(record)[-1]
        returns = record.evaluations[-1].returns if last.step is not None else ()
        rows.append(
            {
                "algorithm": record.algorithm,
                "dataset": record.dataset,
                "seed": record.seed,
                "status": record.failure or record.status,
                "step": last.step,
                "mean_return": last.mean_return,
                "deviation": statistics.stdev(returns) if len(returns) > 1 else None,
                "score": last.score,
            }
        )
    return rows


def print_scores(rows: Sequence[dict[str, Any]]) -> None:
    """Print a table per algorithm and dataset: a row per seed, and their mean."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(f"{row['algorithm']} on {row['dataset']}", []).append(row)
    for title, group in groups.items():
        table = rich.table.Table(box=None)
        table.add_column("seed")
        for name in ("step", "return", "± episodes", "score"):
            table.add_column(name, justify="right")
        table.add_column("status")
        for row in group:
            table.add_row(str(row["seed"]), *_cells(row), row["status"])
        done = [row for row in group if row["mean_return"] is not None]
        if len(group) > 1 and done:
            average: dict[str, Any] = {"step": max(row["step"] for row in done), "deviation": None}
            for name in ("mean_return", "score"):
                average[name] = _mean([row[name] for row in done])
            failed = len(group) - len(done)
            status = f"{failed} of {len(group)} failed" if failed else ""
            table.add_row("mean", *_cells(average), status, style="bold")
        console.output.print(title, style="bold", soft_wrap=True)
        console.output.print(table)


def _cells(row: dict[str, Any]) -> list[str]:
    step = "" if row["step"] is None else f"{row['step']:,}"
    return [step, *(_number(row[name]) for name in ("mean_return", "deviation", "score"))]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if len(known) == len(values) else None


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.1f}"
