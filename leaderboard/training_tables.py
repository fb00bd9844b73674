"""Which cells of the registered tables can be trained, with which published hyper-parameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from datumrl.datasets.errors import DatumrlError
from datumrl.leaderboard import corl_table, published_tables, registered, reported_tables
from datumrl.leaderboard.training_cells import (
    METHODS,
    Cell,
    Printed,
    TrainingTable,
    why_untrainable,
)


class _Row(NamedTuple):
    """One printed number."""

    algorithm: str
    dataset: str
    rule: str
    mean: str
    std: str | None
    seeds: int | None


@dataclass(frozen=True)
class _Source:
    """How a table's source trained, as far as it is stated."""

    options: Mapping[str, Any]
    notes: tuple[str, ...]
    rule: str = "last"  # of tables without a column for it
    skipped_by_best: int = 0
    methods: Mapping[str, str] = field(default_factory=lambda: METHODS)
    by_method: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # instead of options


_DDOF = "Deviations are taken to be of ddof = 0; where the source took 1, tests err to caution."
_OFFICIAL = (
    "Hyper-parameters: those of each method's official code (preset official); the source's own may"
    " differ."
)
_RULE_UNKNOWN = "Which evaluation the source printed is not stated; the last is taken."
_SOURCES = {
    "corl-offline": _Source(
        {"preset": "corl"},
        (
            "Hyper-parameters, steps, evaluations and views: CORL's own configurations (preset "
            "corl). DT: the highest return target, as in the source.",
        ),
    ),
    "d3rlpy-d4rl-v0": _Source(
        {"preset": "official", "steps": 500_000, "evaluate_every": 1_000, "episodes": 10},
        (
            f"{_OFFICIAL} Steps and evaluations as in the raw scores: 500,000 (DT 100,000), an "
            "evaluation every 1,000; 10 episodes each are taken.",
        ),
        skipped_by_best=1,
        by_method={
            "dt": {"preset": "official", "steps": 100_000, "evaluate_every": 1_000, "episodes": 10}
        },
    ),
    "jax-corl": _Source(
        {"preset": "corl"},
        (f"Hyper-parameters: CORL's (preset corl). {_RULE_UNKNOWN}", _DDOF),
    ),
    "offlinerl-kit": _Source(
        {"preset": "official", "steps": 1_000_000, "evaluate_every": 1_000, "episodes": 10},
        (
            f"{_OFFICIAL} 1,000,000 steps, an evaluation every 1,000, and the mean of the last 10 "
            "evaluations, as in its trainers. That the table holds this mean is not stated.",
            _DDOF,
        ),
        rule="last-10-mean",
    ),
    "ml-jku-scores": _Source({"preset": "official"}, (_OFFICIAL, _RULE_UNKNOWN)),
    "harness-weighted-sampling": _Source(
        {"preset": "official"},
        (_OFFICIAL, _RULE_UNKNOWN, "Only uniform sampling has a trainer."),
        methods={
            "JaxCQL, Uniform": "cql",
            "d3rlpy/td3_plus_bc, Uniform": "td3_bc",
            "implicit_q_learning, Uniform": "iql",
        },
    ),
}
_D3RLPY_SEEDS = 10


def find(table_id: str, folder: Path = published_tables.FOLDER) -> TrainingTable:
    """Return a registered table's trainable cells.

    Raises DatumrlError for an unknown table, and for one that holds no scores of trained policies.
    """
    about = registered.find(table_id).about
    source = _SOURCES.get(about.id)
    if source is None:
        raise DatumrlError(
            f"{about.id} holds no scores that training gives again; tables to train: "
            f"{', '.join(_SOURCES)}"
        )
    gathered: dict[tuple[str, str], list[_Row]] = {}
    for row in _rows(about.id, folder):
        gathered.setdefault((row.algorithm, row.dataset), []).append(row)
    cells, untrainable = [], []
    for (algorithm, dataset), rows in gathered.items():
        method = source.methods.get(algorithm)
        reason = why_untrainable(algorithm, method, dataset, False)
        if reason or method is None:
            untrainable.append((f"{algorithm} on {dataset}", reason))
        else:
            cells.append(_cell(source, method, rows))
    return TrainingTable(about, tuple(cells), tuple(untrainable), source.notes)


def _cell(source: _Source, method: str, rows: Iterable[_Row]) -> Cell:
    first, *_ = rows = list(rows)
    printed = tuple(
        Printed(row.rule or source.rule, row.mean, row.std, _skipped(source, row)) for row in rows
    )
    options = source.by_method.get(method, source.options)
    return Cell(first.algorithm, method, first.dataset, printed, first.seeds, options)


def _skipped(source: _Source, row: _Row) -> int:
    return source.skipped_by_best if row.rule == "best" else 0


def _rows(table_id: str, folder: Path) -> Iterator[_Row]:
    if table_id == corl_table.ABOUT.id:
        for row in published_tables.read_csv(corl_table.CELLS, folder):
            if "/" in row["dataset"]:  # an average has none
                yield _Row(
                    row["algorithm"], row["dataset"], row["checkpoint"], row["mean"],
                    row["std"] or None, int(row["seeds"]),
                )  # fmt: skip
    elif table_id in {each.id for each in published_tables.all_tables()}:
        table = published_tables.find(table_id)
        for cell in published_tables.read_cells(table, folder):
            if cell.quantity == "score" and cell.mean is not None:
                rule = "last" if cell.checkpoint == "final" else cell.checkpoint
                yield _Row(cell.algorithm, cell.dataset, rule, cell.mean, cell.std, _D3RLPY_SEEDS)
    else:
        for row in published_tables.read_csv(reported_tables.CELLS, folder):
            if row["table"] == table_id and row["mean"]:
                seeds = int(row["seeds"]) if row["seeds"] else None
                yield _Row(
                    row["algorithm"], row["dataset"], "", row["mean"], row["std"] or None, seeds
                )
