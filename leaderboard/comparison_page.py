"""The page that compares any two rows of a table, in the browser, from the raw scores it holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from datumrl.leaderboard import dataset_results, names, wording
from datumrl.leaderboard.runs import Status
from datumrl.leaderboard.tables import CONFIDENCE, FEW_RUNS, Cell, Entry, Table

PAGE = "compare.html"
RESAMPLES = 10_000  # of the bootstrap, as in `evaluation.bootstrap`
BAND_RESAMPLES = 2_000  # of them, for the bands of the profiles
SEED = 0
_LOST: tuple[Status, ...] = ("failed", "unfinished")


def key(entry: Entry) -> str:
    """Return what names a row within its table."""
    return entry.id.rpartition("--")[2]


def address(table: Table, first: Entry, second: Entry) -> str:
    """Return where the comparison of two rows is, within the site."""
    query = {"suite": table.id, "a": key(first), "b": key(second)}
    return f"{PAGE}#{urlencode(query)}"


def rival(table: Table, entry: Entry) -> Entry | None:
    """Return the row to compare with at first: the best of the others; None without another."""
    return next((other for other in table.entries if other.id != entry.id), None)


def content(board: Sequence[Table], published: wording.Published) -> dict[str, Any]:
    """Return the page's data: every finished run's score, by table, row and dataset.

    Beside the scores of a cell stands how many of its runs failed or did not finish.
    """
    return {
        "confidence": CONFIDENCE,
        "resamples": RESAMPLES,
        "band_resamples": BAND_RESAMPLES,
        "seed": SEED,
        "few_runs": FEW_RUNS,
        "tables": [_table(table, published) for table in board if table.entries],
    }


def _table(table: Table, published: wording.Published) -> dict[str, Any]:
    return {
        "id": table.id,
        "title": names.shown(f"{table.suite.title}, {wording.subtitle(table)}"),
        "protocol": names.shown(wording.protocol_words(table, published)),
        "normalised": table.normalised,
        "datasets": [names.shown(dataset) for dataset in table.datasets],
        "over": [table.datasets.index(dataset) for dataset in table.ranked_over],
        "pages": [dataset_results.place(dataset) for dataset in table.datasets],
        "rows": [_row(entry, table) for entry in table.entries],
    }


def _row(entry: Entry, table: Table) -> dict[str, Any]:
    return {
        "key": key(entry),
        "name": names.shown(entry.name),
        "algorithm": names.shown(entry.algorithm),
        "tier": entry.tier,
        "page": f"runs/{entry.id}.html",
        # By the place of the dataset in the table.
        "cells": {
            str(place): _cell(entry.cells[dataset])
            for place, dataset in enumerate(table.datasets)
            if dataset in entry.cells
        },
    }


def _cell(cell: Cell) -> dict[str, Any]:
    lost = {str(status): cell.count(status) for status in _LOST if cell.count(status)}
    return {"scores": cell.values.tolist(), **lost}
