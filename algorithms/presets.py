"""Published hyper-parameters, and where each value of a run comes from.

A preset is a table of values (``tables/*.csv``), one row for a field of one algorithm on the
datasets that its patterns name; where several rows name the same field, the last one counts.  Only
values are in the tables.  What other code does otherwise than a method's paper is told in that
method's file and in the rows' notes, and is not repeated here.
"""

from __future__ import annotations

import csv
import difflib
import fnmatch
import functools
import importlib.resources
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, get_args

from datumrl.algorithms import registry
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.views import View

PRESETS = ("official", "corl")
NONE = "none"
# How a run is evaluated and what it draws from, for presets that do not say.
RUN_DEFAULTS: dict[str, Any] = {"evaluate_every": 5_000, "episodes": 10, "view": "correct"}
GIVEN = "given here"


class Row(NamedTuple):
    """One published value."""

    algorithm: str
    datasets: tuple[str, ...]  # patterns of ids, as of fnmatch
    field: str  # of the method's Config, or of RUN_DEFAULTS
    value: str
    source: str
    notes: str


@dataclass(frozen=True)
class Choice:
    """The values of a run and, for each, what it was taken from."""

    config: Any  # the method's Config
    evaluate_every: int
    episodes: int
    view: View
    preset: str  # as recorded: its name, "none", or "corl except steps"
    origins: Mapping[str, str]  # field -> where its value comes from


@functools.cache
def rows(table: str) -> tuple[Row, ...]:
    """Return a preset's rows; those of "defaults" tell the sources of the methods' defaults."""
    path = importlib.resources.files("datumrl.algorithms") / "tables" / f"{table}.csv"
    lines = csv.DictReader(path.read_text(encoding="utf-8").splitlines())
    return tuple(
        Row(
            line["algorithm"],
            tuple(line["datasets"].split()),
            line["field"],
            line["value"],
            line["source"],
            line["notes"],
        )
        for line in lines
    )


def values(preset: str, algorithm: str, dataset_id: str) -> dict[str, Row]:
    """Return a preset's row for each field it has for an algorithm on a dataset.

    Raises DatumrlError, naming what the preset covers, if it has none.
    """
    if preset not in PRESETS:
        close = difflib.get_close_matches(preset, PRESETS, n=1)
        remedy = f"did you mean {close[0]!r}?" if close else f"use {' or '.join(PRESETS)}"
        raise DatumrlError(f"unknown preset {preset!r}; {remedy}")
    name = dataset_id.partition("@")[0]  # a shorter local dataset is of the same kind
    found = {
        row.field: row
        for row in rows(preset)
        if row.algorithm == algorithm and _matches(name, row.datasets)
    }
    if not found:
        raise DatumrlError(_uncovered(preset, algorithm, dataset_id))
    return found


def choose(
    algorithm: str,
    dataset_id: str,
    preset: str | None = None,
    settings: Mapping[str, object] | None = None,
    run: Mapping[str, object] | None = None,
) -> Choice:
    """Return all values of a run: those given, else the preset's, else the method's defaults.

    ``settings`` are fields of the method's Config, with its name before a dot where they are for it
    alone, ``run`` of `RUN_DEFAULTS`.  Raises DatumrlError
    for a field or value that cannot be, and for a preset without values for the dataset.
    """
    settings, run = registry.of_method(algorithm, settings or {}), dict(run or {})
    given = registry.resolve(algorithm, settings)  # names what is wrong before any table is read
    published = values(preset, algorithm, dataset_id) if preset not in (None, NONE) else {}
    of_config = {f: row.value for f, row in published.items() if f not in RUN_DEFAULTS}
    of_run = {f: row.value for f, row in published.items() if f in RUN_DEFAULTS}
    before = registry.resolve(algorithm, of_config)
    config = registry.resolve(algorithm, {**of_config, **settings})
    run_before = _checked_run({**RUN_DEFAULTS, **of_run})
    run_now = _checked_run({**run_before, **run})
    if run.get("view") not in (None, RUN_DEFAULTS["view"]) and registry.draws_windows(config):
        raise DatumrlError(
            f"view={run['view']}: {algorithm} learns from pieces of whole episodes, which no view "
            "of transitions changes; leave it out"
        )
    changed = [field for field in settings if getattr(before, field) != getattr(given, field)]
    changed += [field for field in run if run_before[field] != run_now[field]]
    recorded = preset or NONE
    if recorded != NONE and changed:
        recorded = f"{preset} except {', '.join(changed)}"
    origins = {
        field: _origin(algorithm, field, preset, published, {**settings, **run})
        for field in [*registry.configuration(config), *RUN_DEFAULTS]
    }
    return Choice(config, **run_now, preset=recorded, origins=origins)


def _origin(
    algorithm: str,
    field: str,
    preset: str | None,
    published: Mapping[str, Row],
    given: Mapping[str, object],
) -> str:
    if field in given:
        return GIVEN
    if field in published:
        row = published[field]
        return f"preset {preset} ({row.source})" + (f"; {row.notes}" if row.notes else "")
    for row in rows("defaults"):
        if (row.algorithm, row.field) == (algorithm, field):
            return f"default ({row.source})"
    return "default, datumrl's own"


def _checked_run(run: Mapping[str, object]) -> dict[str, Any]:
    checked: dict[str, Any] = {}
    for field in ("evaluate_every", "episodes"):
        checked[field] = registry.checked(field, run[field], int)
    checked["view"] = run["view"]
    if run["view"] not in get_args(View):
        known = " or ".join(get_args(View))
        raise DatumrlError(f"{run['view']!r} is no view of transitions; use {known}")
    return checked


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _uncovered(preset: str, algorithm: str, dataset_id: str) -> str:
    covered = dict.fromkeys(
        pattern for row in rows(preset) if row.algorithm == algorithm for pattern in row.datasets
    )
    if not covered:
        algorithms = ", ".join(dict.fromkeys(row.algorithm for row in rows(preset)))
        return f"preset {preset} has no values for {algorithm}; it has them for {algorithms}"
    return (
        f"preset {preset} has no values for {algorithm} on {dataset_id}; it covers "
        f"{', '.join(covered)}; leave it out to train with the defaults"
    )
