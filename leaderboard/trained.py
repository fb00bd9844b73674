"""What training a table's cells again gave: scores of new seeds beside what was printed.

Only what went in is kept (cells, scores, margin); verdicts are derived from it on every read.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation.records import RunRecord, score_rows
from datumrl.leaderboard import training_verdict
from datumrl.leaderboard.rules import Place, RawRun, Recomputer, Rule, Units
from datumrl.leaderboard.training_cells import SEVERAL_TARGETS, Cell, Printed, identity
from datumrl.leaderboard.training_verdict import MARGIN, Judgement, Pair

# (algorithm, dataset, seeds, options of the cell) -> the records of all that was trained
Run = Callable[[str, str, Sequence[int], Mapping[str, Any]], Sequence[RunRecord]]


@dataclass(frozen=True)
class Column:
    """One printed number and the scores of the new seeds by its rule, in the order of seeds."""

    cell: Cell
    printed: Printed
    scores: Mapping[int, float]  # seed -> score, in the printed unit
    failed: tuple[int, ...] = ()  # seeds
    settings: str = ""  # with which it was trained, where the table does not say
    hours: float = 0.0  # that training took in the call that gave it
    estimated: float = 0.0
    command: str = ""  # that call

    @property
    def identity(self) -> str:
        """Return what it is of, see `training_cells.identity`."""
        return identity(self.cell, self.printed)

    def pair(self, points: float) -> Pair:
        """Return what is tested."""
        return Pair(
            self.cell.sample(self.printed),
            tuple(self.scores.values()),
            self.cell.margin(points, self.printed),
            len(self.failed),
        )


@dataclass(frozen=True)
class Judged:
    """A column with its judgement; ``took`` is the number of seeds from which on it differs."""

    column: Column
    judgement: Judgement
    took: int | None = None


@dataclass(frozen=True)
class Trained:
    """All columns that were trained, and what was not."""

    columns: tuple[Column, ...]
    points: float = MARGIN
    left_out: tuple[tuple[str, str], ...] = ()  # cell, reason
    command: str = ""  # that computes it again; several, where columns are of several calls
    changes: str = ""  # settings other than the table's, as asked for

    @functools.cached_property
    def judged(self) -> tuple[Judged, ...]:
        """Return every column's judgement, Holm's procedure over all of them."""
        pairs = [column.pair(self.points) for column in self.columns]
        judgements = training_verdict.judge(pairs)
        return tuple(
            Judged(
                column,
                judgement,
                training_verdict.seeds_to_differ(pair) if judgement.verdict == "differs" else None,
            )
            for column, pair, judgement in zip(self.columns, pairs, judgements, strict=True)
        )

    @property
    def counts(self) -> dict[str, int]:
        """Return how many columns have each verdict; those that none has are left out."""
        found = Counter(each.judgement.verdict for each in self.judged)
        return {verdict: found[verdict] for verdict in training_verdict.VERDICTS if found[verdict]}

    @property
    def reproduces(self) -> bool:
        """Return whether no column differs."""
        return "differs" not in self.counts

    @property
    def strictly(self) -> bool:
        """Return whether every column agrees, of at least one: nothing shows nothing."""
        return set(self.counts) == {"agrees"}


def columns_of(cell: Cell, records: Sequence[RunRecord]) -> list[Column]:
    """Return a cell's columns from the records of all that was trained for it.

    Raises DatumrlError where returns are not normalised, or a rule needs more evaluations.
    """
    own = _of_table(cell, records)
    failed = tuple(record.seed for record in own if record.status == "failed")
    complete = [record for record in own if record.status == "complete"]
    curves = {record.seed: _curve(cell, record) for record in complete}
    runs = [RawRun(str(seed), curve) for seed, curve in curves.items()]
    raw = Recomputer({(cell.algorithm, cell.dataset): runs}, Units())
    columns = []
    for printed in cell.printed:
        place = Place(cell.algorithm, cell.dataset, printed.rule)
        scores = raw.scores(place, Rule(skipped=printed.skipped)).tolist() if runs else []
        columns.append(
            Column(cell, printed, dict(zip(curves, scores, strict=True)), failed, _settings(own))
        )
    return columns


def _of_table(cell: Cell, records: Sequence[RunRecord]) -> list[RunRecord]:
    """Return the records that a table means: of several return targets the highest's."""
    if cell.method != SEVERAL_TARGETS:
        return list(records)
    targets = [record.configuration.get("return_target") for record in records]
    highest = max((each for each in targets if isinstance(each, int | float)), default=None)
    pairs = zip(records, targets, strict=True)
    return [record for record, target in pairs if target == highest]


def _curve(cell: Cell, record: RunRecord) -> np.ndarray:
    """Return a run's evaluations (evaluations,), in the printed unit."""
    rows = score_rows(record)
    values = [row.mean_return if cell.returns else row.score for row in rows]
    if any(value is None for value in values):
        raise DatumrlError(
            f"{cell.name}: its returns are not normalised, so that they cannot be compared with "
            "scores; give --returns if the table holds returns"
        )
    return np.array(values, dtype=np.float64)


def _settings(records: Sequence[RunRecord]) -> str:
    if not records:
        return ""
    budget = records[0].budget
    preset = "no preset" if budget.preset == "none" else f"preset {budget.preset}"
    episodes = records[0].protocol.episodes
    return f"{budget.steps:,} steps, {preset}, {episodes} episodes per evaluation"


def as_json(trained: Trained) -> dict[str, Any]:
    """Return what was trained, with the verdicts, as what strict JSON can hold."""
    return {
        "margin_points": trained.points,
        "level": training_verdict.LEVEL,
        "changes": trained.changes,
        "command": trained.command,
        "reproduces": trained.reproduces,
        "summary": {"cells": len(trained.columns), **trained.counts},
        "cells": [_column_json(each) for each in trained.judged],
        "left_out": [{"cell": cell, "reason": reason} for cell, reason in trained.left_out],
    }


def _column_json(judged: Judged) -> dict[str, Any]:
    column, cell = judged.column, judged.column.cell
    found = dataclasses.asdict(judged.judgement)
    if not math.isfinite(judged.judgement.difference):
        found["difference"] = None
    return {
        "algorithm": cell.algorithm,
        "method": cell.method,
        "dataset": cell.dataset,
        "printed": dataclasses.asdict(column.printed),
        "published_seeds": cell.seeds,
        "ddof": cell.ddof,
        "returns": cell.returns,
        "options": dict(cell.options),
        "scores": {str(seed): score for seed, score in column.scores.items()},
        "failed": list(column.failed),
        "settings": column.settings,
        "hours": column.hours,
        "estimated_hours": column.estimated,
        "command": column.command,
        "seeds_to_differ": judged.took,
        **found,
    }


def from_json(content: Mapping[str, Any], where: str) -> Trained:
    """Return what `as_json` described; DatumrlError where it does not hold that."""
    try:
        columns = tuple(_column(each) for each in content["cells"])
        return Trained(
            columns,
            float(content["margin_points"]),
            tuple((str(each["cell"]), str(each["reason"])) for each in content["left_out"]),
            str(content["command"]),
            str(content["changes"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise DatumrlError(
            f"{where} is no training of a table ({type(problem).__name__}: {problem}); move it away"
        ) from None


def _column(content: Mapping[str, Any]) -> Column:
    printed = Printed(**content["printed"])
    seeds = content["published_seeds"]
    cell = Cell(
        str(content["algorithm"]),
        str(content["method"]),
        str(content["dataset"]),
        (printed,),
        None if seeds is None else int(seeds),
        dict(content["options"]),
        int(content["ddof"]),
        bool(content["returns"]),
    )
    return Column(
        cell,
        printed,
        {int(seed): float(score) for seed, score in content["scores"].items()},
        tuple(int(seed) for seed in content["failed"]),
        str(content["settings"]),
        float(content["hours"]),
        float(content["estimated_hours"]),
        str(content.get("command", "")),
    )
