"""What the board counts of a submission's runs, by the checkpoint rule of their protocol."""

from __future__ import annotations

import math
from collections.abc import Sequence

from datumrl.evaluation.records import COUNTED
from datumrl.leaderboard.submission_schema import DatasetResult, Point, SeedRun


def finished(runs: Sequence[SeedRun]) -> dict[int, SeedRun]:
    """Return the runs that did not fail and were evaluated, by seed."""
    return {run.seed: run for run in runs if run.status == "complete" and run.evaluations}


def counted_steps(result: DatasetResult) -> tuple[int, ...]:
    """Return the steps of the evaluations that count, of the runs that did not fail."""
    for run in finished(result.runs).values():
        steps = tuple(point.step for point in run.evaluations)
        return steps[-COUNTED[result.protocol.checkpoint] :]
    return ()


def counted_points(run: SeedRun, checkpoint: str) -> Sequence[Point]:
    """Return the evaluations that the board counts of a run, by its protocol's checkpoint rule."""
    if checkpoint == "best":
        return [max(run.evaluations, key=_mean)]
    return run.evaluations[-COUNTED[checkpoint] :]


def counted(run: SeedRun, checkpoint: str) -> float:
    """Return the mean return that the board counts of a run, by its protocol's checkpoint rule."""
    means = [_mean(point) for point in counted_points(run, checkpoint)]
    return math.fsum(means) / len(means)


def _mean(point: Point) -> float:
    return math.fsum(point.returns) / len(point.returns)
