"""Other tools' results as ScoreRows.  What a source does not say stays missing, and is listed.

Nothing is guessed: neither what a column measures (``quantity``), nor which dataset a name means
where several have it, nor seeds, steps and numbers of episodes.
"""

from __future__ import annotations

import csv
import functools
import io
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from datumrl.datasets import catalogue, files
from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import csv_lines
from datumrl.evaluation.records import ScoreRow
from datumrl.leaderboard.imported_rows import Imported
from datumrl.leaderboard.imported_text import number, seed_in, whole

Format = Literal["wandb", "d3rlpy", "csv"]
Quantity = Literal["return", "score"]

LARGEST = 200_000_000  # bytes of a file
# Columns by the names that are in use, in this order; compared in small letters.
_COLUMNS = {
    "algorithm": ("algorithm", "algo", "method", "agent", "alg"),
    "dataset": ("dataset", "dataset_id", "dataset_name", "env_name", "env_id", "env", "task"),
    "seed": ("seed", "train_seed", "random_seed"),
    "step": ("step", "_step", "steps", "global_step", "training_step"),
    "episodes": ("episodes", "n_episodes", "eval_episodes"),
}
_VALUES: dict[Quantity, tuple[str, ...]] = {
    "return": ("mean_return", "return", "eval/return", "evaluation/return"),
    "score": ("score", "normalized_score", "d4rl_score", "d4rl_normalized_score", "eval/score"),
}
_CURVE = re.compile(r" - [^-]+$")  # of a chart's columns: "run - metric"

_Place = tuple[str, str, int | None, int | None]  # algorithm, dataset, seed, step
_Lines = Sequence[tuple[int, Mapping[str, str]]]  # a table's: number, cells by column
_Taken = dict[_Place, tuple[ScoreRow, str]]  # with the line, column or log it is from


@dataclass(frozen=True)
class Given:
    """What the user says of a source, which goes before what the source says itself."""

    quantity: Quantity | None = None
    metric: str | None = None  # the column, or d3rlpy's file, with the values
    algorithm: str | None = None
    dataset: str | None = None
    published: str | None = None  # the publication; without one, rows are one's own ("local")


def read(kind: Format, path: Path, given: Given) -> Imported:
    """Import a W&B CSV export, a folder of d3rlpy logs, or a CSV file of per-seed scores."""
    _ids.cache_clear()  # datasets may have been registered since
    if kind == "d3rlpy":
        rows = list(_d3rlpy(path, given))
    else:
        rows = list(_tabular(path, given, charts=kind == "wandb"))
    if not rows:
        raise DatumrlError(f"{path} holds no scores; give a file or folder with at least one")
    return Imported(tuple(rows))


def _row(
    given: Given, found: Mapping[str, Any], value: float, where: str, source: Path
) -> ScoreRow:
    algorithm = given.algorithm or found.get("algorithm")
    dataset = given.dataset or found.get("dataset")
    for name, known in (("algorithm", algorithm), ("dataset", dataset)):
        if not known:
            raise DatumrlError(f"{where}: does not say the {name}; give it with --{name}")
    seed = whole(found.get("seed"), f"{where}: seed")
    failed = not math.isfinite(value)
    told = {"mean_return" if given.quantity == "return" else "score": value}
    tier = "local"
    if given.published is not None:
        tier = "reported" if seed is None else "raw published"
    return ScoreRow(
        tier=tier,  # type: ignore[arg-type]
        algorithm=str(algorithm),
        dataset=dataset_id(str(dataset), where),
        seed=seed,
        step=whole(found.get("step"), f"{where}: step"),
        episodes=whole(found.get("episodes"), f"{where}: episodes"),
        failed=failed,
        source=given.published or _source(source, where, seed),
        **({} if failed else told),  # type: ignore[arg-type]
    )


def _source(path: Path, where: str, seed: int | None) -> str:
    """Return what a row is from: all of an import, or, without a seed, a curve or log alone.

    Rows without a protocol share a table by their source, and a seed tells them apart there.
    """
    alone = seed is None and ": line " not in where
    return where.partition(", line ")[0] if alone else path.absolute().name


def dataset_id(name: str, where: str) -> str:
    """Return the id that a name stands for: itself, or the only one that ends in it."""
    found = _ids(name)
    if len(found) > 1:
        raise DatumrlError(
            f"{where}: {name!r} may be {' or '.join(found[:4])}; say which with --dataset"
        )
    return found[0]


@functools.lru_cache(maxsize=1024)  # to look through the catalogue for every row takes minutes
def _ids(name: str) -> tuple[str, ...]:
    tail = f"/{name.lower()}"
    every = () if "/" in name else catalogue.all_records()
    found = tuple(one.id for one in every if one.id.lower().endswith(tail))
    return found or (catalogue.find(name).id,)  # unknown: names the nearest


def _tabular(path: Path, given: Given, charts: bool) -> Iterator[ScoreRow]:
    header, table = _table(path)
    curves = charts and any(map(_CURVE.search, header))
    if curves and "name" not in {name.lower() for name in header}:
        yield from _chart(path, header, table, given)
        return
    column, given = _value_column(path, header, given)
    places = {field: _column(header, names) for field, names in _COLUMNS.items()}
    named = _column(header, ("name",)) if charts else None
    taken: _Taken = {}
    for place, line in table:
        where = f"{path.name}: line {place}"
        text = line[column].strip()
        if not text:
            continue  # no value, so no score: the run is shown nowhere as zero
        found = {field: line[name] for field, name in places.items() if name}
        if named and not found.get("seed", "").strip():
            found |= seed_in(line[named])
        row = _row(given, found, number(text, where), where, path)
        if charts:  # of W&B's table of runs, where a line is a run, whatever step it ended at
            yield from _of_one_run([row], where, taken)
            continue
        if row.seed is not None and taken.setdefault(_place(row), (row, where))[0] != row:
            raise _twice(row, taken[_place(row)][1], where)
        yield row


def _table(path: Path) -> tuple[list[str], _Lines]:
    """Return a CSV file's header, and its lines with their numbers."""
    try:
        header, lines = csv_lines.read(io.StringIO(_text(path), newline=""), str(path))
        return header, list(lines)
    except FileNotFoundError:
        raise DatumrlError(f"{path} does not exist; check the path") from None
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise DatumrlError(f"{path} is no CSV file ({problem}); export it anew") from None


def _text(path: Path) -> str:
    """Read a file of limited size, which a device or a pipe does not state."""
    with path.open("rb") as handle:
        content = handle.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise DatumrlError(f"{path} is over {LARGEST // 10**6} MB; export fewer columns")
    return content.decode("utf-8-sig")


def _chart(path: Path, header: Sequence[str], table: _Lines, given: Given) -> Iterator[ScoreRow]:
    """Yield the rows of a chart's export: a column ``run - metric`` for every run."""
    if given.quantity is None:
        raise DatumrlError(f"{path}: say what its curves are: --quantity return or score")
    metrics: dict[str, list[str]] = defaultdict(list)
    for name in filter(_CURVE.search, header):
        run, _, metric = name.rpartition(" - ")
        if not metric.endswith(("__MIN", "__MAX")):
            metrics[metric].append(run)
    if given.metric is None and len(metrics) > 1:
        shown = ", ".join(sorted(metrics)[:6])
        raise DatumrlError(f"{path} has several metrics ({shown}); choose one with --metric")
    metric = given.metric or next(iter(metrics), "")
    if metric not in metrics:
        raise DatumrlError(f"{path} has no metric {metric!r}; it has {', '.join(sorted(metrics))}")
    steps = _column(header, _COLUMNS["step"])
    taken: _Taken = {}
    for run in metrics[metric]:
        found, where = seed_in(run), f"{path.name}: {run}"
        told = [(line, line[f"{run} - {metric}"].strip()) for _, line in table]
        rows = [
            _row(
                given,
                {**found, "step": line.get(steps or "")},
                number(text, where),
                where,
                path,
            )
            for line, text in told
            if text
        ]
        yield from _of_one_run(rows, where, taken)


def _d3rlpy(path: Path, given: Given) -> Iterator[ScoreRow]:
    """Yield the evaluations of d3rlpy's logs: ``environment.csv`` has epoch, step and mean return.

    The log names the algorithm in its folder (``TD3PlusBC_20240101120000``) and in
    ``params.json``, but neither dataset nor seed.
    """
    if not path.is_dir():
        raise DatumrlError(f"{path} is no folder; give one that d3rlpy logged to, or its parent")
    metric = given.metric or "environment"
    logs = sorted(log for log in path.rglob("*.csv") if log.stem == metric)
    if not logs:
        raise DatumrlError(f"no {metric}.csv under {path}; log with evaluators, or give --metric")
    if given.quantity is None:
        # d3rlpy's EnvironmentEvaluator logs mean undiscounted returns under this name by default.
        if metric != "environment":
            raise DatumrlError(f"{metric}.csv: say what it holds: --quantity return or score")
        given = _with(given, quantity="return")
    taken: _Taken = {}
    for log in logs:
        told = {
            "algorithm": _d3rlpy_algorithm(log.parent),
            **seed_in(log.parent.name),
        }
        rows = []
        for place, line in enumerate(_lines(log), start=1):
            where = f"{log.parent.name}/{log.name}, line {place}"
            parts = line.split(",")
            if len(parts) != 3:
                raise DatumrlError(f"{where}: expected epoch,step,value; this is no log of d3rlpy")
            value = number(parts[2], where)
            rows.append(_row(given, {**told, "step": parts[1]}, value, where, path))
        yield from _of_one_run(rows, f"{log.parent.name}/{log.name}", taken)


def _lines(log: Path) -> list[str]:
    try:
        return _text(log).splitlines()
    except UnicodeDecodeError as problem:
        raise DatumrlError(f"{log} is no log of d3rlpy ({problem}); remove it") from None


def _of_one_run(rows: list[ScoreRow], where: str, taken: _Taken) -> list[ScoreRow]:
    """Return a run's rows; without a seed, which alone keeps them together, only the last.

    Raises DatumrlError for a second run of one seed, even where it was evaluated at other steps.
    """
    if not rows or rows[0].seed is None:
        return rows[-1:]
    run = rows[0].model_copy(update={"step": None})
    if _place(run) in taken:
        raise _twice(run, taken[_place(run)][1], where)
    taken[_place(run)] = (run, where)
    return rows


def _place(row: ScoreRow) -> _Place:
    return row.algorithm, row.dataset, row.seed, row.step


def _twice(row: ScoreRow, first: str, second: str) -> DatumrlError:
    step = "" if row.step is None else f", step {row.step:,}"
    return DatumrlError(
        f"{first} and {second} are both of {row.algorithm} on {row.dataset}, seed "
        f"{row.seed}{step}; remove one, or import those of another dataset, method or setting "
        "apart (--dataset, --algorithm)"
    )


def _d3rlpy_algorithm(folder: Path) -> str | None:
    path = folder / "params.json"
    content = files.read_json(path) if path.exists() else {}
    content = content if isinstance(content, dict) else {}
    told = content.get("algorithm")  # before version 2; then the configuration's type
    config = content.get("config")
    if told is None and isinstance(config, dict):
        told = config.get("type")
    if isinstance(told, str):
        return told
    match = re.fullmatch(r"([A-Za-z0-9]+)_\d{14}", folder.name)
    return match[1] if match else None


def _value_column(path: Path, header: Sequence[str], given: Given) -> tuple[str, Given]:
    """Return the column of values and what is given, with the quantity known."""
    if given.metric is not None:
        if given.metric not in header:
            shown = ", ".join(header[:12])
            raise DatumrlError(f"{path} has no column {given.metric!r}; it has {shown}")
        known = [q for q, names in _VALUES.items() if given.metric.lower() in names]
        quantity = given.quantity or (known[0] if known else None)
        if quantity is None:
            raise DatumrlError(f"{given.metric}: say what it is: --quantity return or score")
        return given.metric, _with(given, quantity=quantity)
    found = {q: _column(header, names) for q, names in _VALUES.items() if _column(header, names)}
    if given.quantity is not None:
        found = {q: name for q, name in found.items() if q == given.quantity}
    if len(found) != 1:
        what = "both returns and scores" if found else "no column of returns or scores"
        remedy = "choose with --quantity" if found else "name one with --metric"
        raise DatumrlError(f"{path} has {what}; {remedy} ({', '.join(header[:12])})")
    ((quantity, column),) = found.items()
    assert column is not None
    return column, _with(given, quantity=quantity)


def _column(header: Sequence[str], names: Sequence[str]) -> str | None:
    """Return the first column with one of the names, with or without ``config.`` before it."""
    plain = {re.sub(r"^config[./]", "", name.strip().lower()): name for name in reversed(header)}
    return next((plain[name] for name in names if name in plain), None)


def _with(given: Given, **changes: Any) -> Given:
    return Given(**{**{each.name: getattr(given, each.name) for each in fields(Given)}, **changes})
