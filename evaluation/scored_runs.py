"""Runs as comparisons read them: one seed of one algorithm on one dataset, all its evaluations.

They come from run records, from score rows (a CSV file has the fields of ``ScoreRow`` as columns),
or from published scores.  What must agree before two of them may share a table goes along, in
``conditions``; ``compatibility`` checks it.
"""

from __future__ import annotations

import csv
import math
import shlex
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pydantic

from datumrl.datasets import catalogue, files, scores
from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import csv_lines, records
from datumrl.evaluation.records import RunRecord, ScoreRow

Unit = Literal["score", "return"]
Status = Literal["complete", "failed", "unfinished"]

_OF_THE_SITE = {"variant", "status", "record"}  # columns that ScoreRow does not have
_REQUIRED = ("algorithm", "dataset")
_SHOWN = 8  # of missing or unknown columns


@dataclass(frozen=True, eq=False)
class ScoredRun:
    """One seed.  ``scores`` and ``returns (evaluations,)`` are NaN where the source has none.

    ``episodes (evaluations, episodes)`` are raw returns.  ``conditions`` must be equal for runs on
    the same dataset, ``shared`` for all; what a source does not state is left out of both.
    ``settings`` (configuration and budget) tell variants of an algorithm apart.
    """

    algorithm: str
    dataset: str
    seed: int | None
    steps: np.ndarray
    returns: np.ndarray
    scores: np.ndarray
    status: Status = "complete"
    reason: str = ""  # why a run has no score
    unscored: str = ""  # why its returns are not normalised, as far as its record tells
    episodes: np.ndarray | None = None
    rule: str = "last"  # which evaluation counts, as the run's protocol says
    conditions: Mapping[str, str] = field(default_factory=dict)
    shared: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    budget: int | None = None  # gradient steps of its training, as its record says
    source: str = ""

    @property
    def unit(self) -> Unit | None:
        """Return what the run is measured in: normalised scores where there are any."""
        for unit, values in (("score", self.scores), ("return", self.returns)):
            if np.isfinite(values).any():
                return unit  # type: ignore[return-value]
        return None

    @property
    def title(self) -> str:
        """Return for example ``iql on d4rl/hopper-medium-v2, seed 3``."""
        return title_of(self)

    def values(self, unit: Unit) -> np.ndarray:
        """Return every evaluation in a unit: ``(evaluations,)``."""
        return self.scores if unit == "score" else self.returns

    def episode_values(self, unit: Unit) -> np.ndarray | None:
        """Return every episode in a unit, ``(evaluations, episodes)``, where they are known."""
        if self.episodes is None or unit == "return":
            return self.episodes
        return scores.normalize(self.episodes, catalogue.find(self.dataset))


def from_records(
    found: Iterable[RunRecord], sources: Sequence[str] | None = None
) -> list[ScoredRun]:
    """Return the runs of records; ``sources`` names where each came from."""
    listed = list(found)
    named = sources or [""] * len(listed)
    return [_from_record(record, source) for record, source in zip(listed, named, strict=True)]


def _from_record(record: RunRecord, source: str) -> ScoredRun:
    protocol = record.protocol
    complete = record.status == "complete"
    rows = records.score_rows(record) if complete else []
    status: Status = "unfinished" if record.status == "running" else record.status
    return ScoredRun(
        algorithm=record.algorithm,
        dataset=record.dataset,
        seed=record.seed,
        steps=np.array([row.step for row in rows], dtype=np.int64),
        returns=_numbers(row.mean_return for row in rows),
        scores=_numbers(row.score for row in rows),
        status=status,
        reason=record.failure or ("" if complete else "still running or cut off"),
        unscored=records.unscored(catalogue.find(record.dataset), protocol) if rows else "",
        episodes=np.array([point.returns for point in record.evaluations]) if complete else None,
        rule=protocol.checkpoint,
        conditions=_conditions(record),
        shared={
            "episodes per evaluation": str(protocol.episodes),
            "checkpoint rule": protocol.checkpoint,
            "use of online returns": "chose something" if protocol.online_selection else "nothing",
            **{f"{name} version": version for name, version in protocol.engine.items()},
        },
        settings={
            **{key: value for key, value in record.configuration.items() if key != "seed"},
            **record.budget.model_dump(mode="json"),
        },
        budget=record.budget.steps,
        source=source,
    )


def _conditions(record: RunRecord) -> dict[str, str]:
    protocol = record.protocol
    stated = {
        "environment": protocol.environment,
        "environment arguments": str(sorted(protocol.environment_kwargs.items())),
        "time limit": str(protocol.time_limit),
    }
    if record.dataset_sha256 is not None:
        stated["dataset hash"] = record.dataset_sha256
    if record.dataset_content_sha256 is not None:
        stated["dataset content hash"] = record.dataset_content_sha256
    return {**stated, "evaluation protocol": protocol.digest}


def from_rows(rows: Iterable[ScoreRow], source: str = "") -> list[ScoredRun]:
    """Return the runs of score rows: rows that differ in their step only are one run."""
    grouped: dict[tuple[Any, ...], list[ScoreRow]] = defaultdict(list)
    for count, row in enumerate(rows):
        # Without a seed nothing says which rows belong together, so each is a run of its own.
        own = row.seed if row.seed is not None else f"row {count}"
        grouped[row.tier, row.algorithm, row.dataset, own, row.protocol, row.source].append(row)
    return [_from_rows(members, source) for members in grouped.values()]


def _from_rows(rows: Sequence[ScoreRow], source: str) -> ScoredRun:
    ordered = sorted(rows, key=lambda row: -1 if row.step is None else row.step)
    first = ordered[0]
    steps = [-1 if row.step is None else row.step for row in ordered]
    if len(set(steps)) < len(steps):
        raise DatumrlError(
            f"{title_of(first)}: several scores of the same step; keep one of them, or give every "
            "run its own seed"
        )
    bad, episodes = check_run(ordered)
    stated: dict[str, str] = {"evaluation protocol": first.protocol} if first.protocol else {}
    shared = {} if first.protocol else {"source of scores without a stated protocol": first.source}
    if episodes is not None:
        shared["episodes per evaluation"] = str(episodes)
    return ScoredRun(
        algorithm=first.algorithm,
        dataset=first.dataset,
        seed=first.seed,
        steps=np.array(steps, dtype=np.int64),
        returns=_numbers(row.mean_return for row in ordered),
        scores=_numbers(row.score for row in ordered),
        status="failed" if bad else "complete",
        reason="failed, or its score is not a number" if bad else "",
        conditions=stated,
        shared=shared,
        source=source or first.source,
    )


def check_run(rows: Sequence[ScoreRow]) -> tuple[bool, int | None]:
    """Return whether a run's rows say that it failed, and its episodes per evaluation.

    None of the latter where no row tells them.  Raises DatumrlError where its evaluations were
    measured differently.
    """
    failed = any(map(_failed, rows))
    if not failed:
        _check_one_unit(rows)
    return failed, _episodes(rows)


def _failed(row: ScoreRow) -> bool:
    """Say whether an evaluation failed: it says so, has no number, or one that is not finite."""
    told = [value for value in (row.score, row.mean_return) if value is not None]
    return row.failed or not told or not all(map(math.isfinite, told))


def _check_one_unit(rows: Sequence[ScoreRow]) -> None:
    """Refuse a run of which some evaluations have a score and others a return only."""
    bare = [row for row in rows if row.score is None]
    if bare and len(bare) < len(rows):
        raise DatumrlError(
            f"{title_of(bare[0])}: {_place(bare[0])} has a return but no score, which other rows "
            "have; fill it or drop the row"
        )


def _episodes(rows: Sequence[ScoreRow]) -> int | None:
    """Return how many episodes a run's evaluations have, refusing more than one number of them."""
    known: dict[int, ScoreRow] = {}
    for row in rows:
        if row.episodes is not None:
            known.setdefault(row.episodes, row)
    if len(known) > 1:
        fewest, most = min(known), max(known)
        raise DatumrlError(
            f"{title_of(rows[0])}: mixed episodes per evaluation: {fewest} "
            f"({_place(known[fewest])}) and {most} ({_place(known[most])}); what was measured "
            "differently is not compared: keep the rows of one number"
        )
    return next(iter(known), None)


def _place(row: ScoreRow) -> str:
    return "a row without a step" if row.step is None else f"step {row.step}"


def title_of(row: ScoreRow | ScoredRun) -> str:
    """Return for example ``iql on d4rl/hopper-medium-v2, seed 3``."""
    return f"{row.algorithm} on {row.dataset}, seed {'?' if row.seed is None else row.seed}"


def _numbers(values: Iterable[float | None]) -> np.ndarray:
    return np.array([math.nan if value is None else value for value in values], dtype=np.float64)


def read(paths: Sequence[Path]) -> list[ScoredRun]:
    """Read run records (files, or folders of ``seed-*.json``) and CSV files of score rows.

    A file that is named twice is read once.  Copies are told by their seeds only: of rows without
    seeds nothing says whether two are the same run (see ``report``'s notes).
    """
    runs: list[ScoredRun] = []
    seen: set[Path] = set()
    for path in paths:
        members = files.below([path], "seed-*.json") if path.is_dir() else [path]
        if not members:
            raise DatumrlError(f"no run records (seed-*.json) under {path}; train something first")
        new = {member.resolve(): member for member in members if member.resolve() not in seen}
        seen |= set(new)
        for member in new.values():
            if member.suffix.lower() == ".csv":
                runs += read_csv(member)
            else:
                runs += from_records([records.read_record(member)], [str(member)])
    return runs


def read_csv(path: Path) -> list[ScoredRun]:
    """Read the runs that the rows of a CSV file tell of; see `csv_rows`."""
    return from_rows(csv_rows(path), str(path))


def csv_rows(path: Path) -> list[ScoreRow]:
    """Read score rows from a CSV file; its columns are ScoreRow's fields, empty ones unknown.

    What the site offers for download has three columns more, which are understood as well.
    """
    try:
        rows = _rows(path)
    except (UnicodeDecodeError, csv.Error) as problem:
        raise DatumrlError(f"{path} is no CSV file in UTF-8: {problem}; save it as one") from None
    if not rows:
        raise DatumrlError(f"{path} holds no scores; give at least one row below the header")
    return rows


def _rows(path: Path) -> list[ScoreRow]:
    with path.open(encoding="utf-8-sig", newline="") as handle:
        header, lines = csv_lines.read(handle, str(path))
        _check_columns(path, header)
        return [_row(path, number, cells) for number, cells in lines]


def _check_columns(path: Path, columns: Sequence[str]) -> None:
    known = list(ScoreRow.model_fields)
    missing = [name for name in _REQUIRED if name not in columns]
    unknown = [repr(name) for name in columns if name not in {*known, *_OF_THE_SITE}]
    if not (missing or unknown):
        return
    wrong = [
        f"{what} columns: {', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''} "
        f"({remedy} them)"
        for what, names, remedy in (
            ("missing", list(map(repr, missing)), "add"),
            ("unknown", unknown, "rename or remove"),
        )
        if names
    ]
    out = "scores.csv" if path.name != "scores.csv" else "score_rows.csv"  # never over the input
    options = "".join(f" --{name} ..." for name in missing)
    without = f", with{options} where no column says it" if missing else ""
    raise DatumrlError(
        f"{path}: {'; '.join(wrong)}; known are {', '.join(known)}. Or import the file, "
        "whose columns may have other names: "
        f"`datumrl submit --from csv {shlex.quote(str(path))} --out {out}`{without}"
    )


def _row(path: Path, number: int, cells: Mapping[str, str]) -> ScoreRow:
    given = {name: value.strip() for name, value in cells.items() if value.strip()}
    given.pop("record", None)  # where the site keeps the run record
    if variant := given.pop("variant", ""):
        given["algorithm"] = f"{given.get('algorithm', '')} ({variant})"
    status = given.pop("status", "complete")
    if status not in ("complete", "failed"):
        raise DatumrlError(f"{path}, line {number}: the run is {status!r}; leave its rows out")
    if status == "failed":
        given["failed"] = "true"
    try:
        return ScoreRow(**{"tier": "local", **given})  # type: ignore[arg-type]
    except pydantic.ValidationError as problem:
        said = records.describe_invalid(problem)
        raise DatumrlError(f"{path}, line {number}: {said}; mend the row") from None
