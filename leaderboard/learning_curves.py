"""Learning curves of a row of the board: scores over training, a point per evaluation.

They come from run records, or from the raw scores behind a published table.  Finished seeds make
the mean and its spread; a failed or unfinished seed is kept apart, as far as it came.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from datumrl.datasets import catalogue, scores
from datumrl.evaluation.score_table import CURVE_POINTS
from datumrl.leaderboard import published_tables
from datumrl.leaderboard.runs import Run
from datumrl.leaderboard.tables import Cell, Entry, Table

_DIGITS = 6  # of a drawn number; the raw data have all


@dataclass(frozen=True, eq=False)
class SeedCurve:
    """One run's evaluations: ``steps`` and ``values (evaluations,)`` in the table's unit."""

    seed: int | None
    complete: bool
    steps: np.ndarray
    values: np.ndarray


# The curves of a publication's seeds, by algorithm and dataset.
Curves = Mapping[tuple[str, str], Sequence[SeedCurve]]


def published(sources: Iterable[str]) -> dict[str, Curves]:
    """Return the curves behind the published tables among ``sources``, by source."""
    wanted = set(sources)
    return {
        table.source: _behind(table)
        for table in published_tables.all_tables()
        if table.source in wanted
    }


def of_entry(entry: Entry, table: Table, known: Mapping[str, Curves]) -> list[dict[str, Any]]:
    """Return the curve of each dataset as JSON content, of those with two evaluations or more.

    ``steps`` and, over finished seeds, ``mean``, ``spread`` (ddof = 0), ``low`` and ``high`` are
    lists of one length; ``others`` are the seeds that did not finish.  Long curves are thinned,
    ends kept.
    """
    drawn = (_curve(cell, table.normalised, known) for cell in entry.cells.values())
    return [curve for curve in drawn if curve is not None]


def _behind(table: published_tables.PublishedTable) -> Curves:
    references = published_tables.read_references(table)
    return {
        (algorithm, dataset): [
            SeedCurve(int(seed), True, curves.steps, values)
            for seed, values in zip(
                curves.seeds,
                published_tables.normalized(curves.returns, dataset, references),
                strict=True,
            )
        ]
        for (algorithm, dataset), curves in published_tables.read_raw(table).items()
    }


def _curve(cell: Cell, normalised: bool, known: Mapping[str, Curves]) -> dict[str, Any] | None:
    found = [_of_run(run, normalised, known) for run in cell.runs]
    curves = [curve for curve in found if curve is not None]
    if max((len(curve.steps) for curve in curves), default=0) < 2:
        return None
    finished = [curve for curve in curves if curve.complete]
    return {
        "dataset": cell.dataset,
        "unit": "normalised score" if normalised else "undiscounted return",
        "seeds": len(finished),
        **_summary(finished),
        "others": [_other(curve) for curve in curves if not curve.complete],
    }


def _of_run(run: Run, normalised: bool, known: Mapping[str, Curves]) -> SeedCurve | None:
    record = run.record
    if record is None:
        curves = known.get(run.row.source, {}).get((run.row.algorithm, run.row.dataset), ())
        return next((curve for curve in curves if curve.seed == run.row.seed), None)
    means = [math.fsum(point.returns) / len(point.returns) for point in record.evaluations]
    values = np.array(means, dtype=np.float64)
    if normalised and len(values):
        values = scores.normalize(values, catalogue.find(record.dataset))
    steps = np.array([point.step for point in record.evaluations], dtype=np.int64)
    return SeedCurve(record.seed, run.status == "complete", steps, values)


def _summary(finished: Sequence[SeedCurve]) -> dict[str, list[float]]:
    """Return what is drawn of the finished seeds, at the steps that all of them were evaluated."""
    if not finished:
        return {"steps": [], "mean": [], "spread": [], "low": [], "high": []}
    shared = set.intersection(*(set(curve.steps.tolist()) for curve in finished))
    steps = _thinned(np.array(sorted(shared), dtype=np.int64))
    rows = np.stack([curve.values[np.isin(curve.steps, steps)] for curve in finished])
    return {
        "steps": steps.tolist(),
        "mean": _rounded(rows.mean(axis=0)),
        "spread": _rounded(rows.std(axis=0)),
        "low": _rounded(rows.min(axis=0)),
        "high": _rounded(rows.max(axis=0)),
    }


def _other(curve: SeedCurve) -> dict[str, Any]:
    places = _thinned(np.arange(len(curve.steps)))
    return {
        "seed": curve.seed,
        "steps": curve.steps[places].tolist(),
        "values": _rounded(curve.values[places]),
    }


def _thinned(values: np.ndarray) -> np.ndarray:
    if len(values) <= CURVE_POINTS:
        return values
    return values[np.linspace(0, len(values) - 1, CURVE_POINTS).round().astype(int)]


def _rounded(values: np.ndarray) -> list[float]:
    return [float(f"{value:.{_DIGITS}g}") for value in values.tolist()]
