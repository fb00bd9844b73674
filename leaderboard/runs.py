"""Runs as the board reads them: one score per seed by the checkpoint rule, and what it belongs to.

Of what may share a table, the part of the evaluation protocol that all datasets of a suite have in
common is decided here.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from datumrl.datasets import catalogue
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.suites import Suite, suite_of
from datumrl.evaluation import compatibility, records, scored_runs
from datumrl.evaluation.records import RunRecord, ScoreRow
from datumrl.evaluation.variants import digest

Status = Literal["complete", "failed", "unfinished"]
_HASHES: dict[str, Callable[[RunRecord], str | None]] = {
    "dataset hash": lambda record: record.dataset_sha256,
    "dataset content hash": lambda record: record.dataset_content_sha256,
}


@dataclass(frozen=True)
class Run:
    """One seed of one method on one dataset."""

    row: ScoreRow  # the score that counts; failed and unfinished runs have a row without one
    status: Status
    protocol: str  # key of what all datasets of a table must share
    variant: str = ""  # digest of configuration and budget; "" where the source states neither
    record: RunRecord | None = None
    remark: str = ""  # what a reader must know of all runs of this protocol
    reason: str = ""  # why a run that was trained to its end counts as unfinished


_Key = tuple[str | int | None, ...]  # what the rows of one run have in common
_Placed = tuple[ScoreRow, str]  # with the place where it stands, "" if that is not known
_Measured = tuple[Run, int | None, str]  # a run, its episodes per evaluation, its place


def from_records(found: Sequence[RunRecord]) -> list[Run]:
    """Reduce run records to runs; a record that is given twice counts once.

    A finished run without evaluations, on data without an environment, has nothing to show.
    Raises DatumrlError where two were trained on other data under one dataset's id.
    """
    told = [record for record in found if record.evaluations or record.status != "complete"]
    _check_data(told)
    alike: dict[tuple[str, str, int], list[RunRecord]] = defaultdict(list)
    for record in told:
        alike[record.algorithm, record.dataset, record.seed].append(record)
    return [_from_record(record) for key in sorted(alike) for record in _distinct(alike[key])]


def _check_data(found: Sequence[RunRecord]) -> None:
    """Refuse data of other hashes under one dataset's id; an unknown hash differs from none."""
    for name, of in _HASHES.items():
        first: dict[str, RunRecord] = {}
        for record in found:
            if of(record) is None:
                continue
            other = first.setdefault(record.dataset, record)
            if of(other) != of(record):
                one, two = (
                    (str(of(each)), f"{each.algorithm}, seed {each.seed}")
                    for each in (other, record)
                )
                raise compatibility.mixed(record.dataset, name, one, two)


def _distinct(found: Sequence[RunRecord]) -> Sequence[RunRecord]:
    """Return each record once, in an order that does not depend on how they were found."""
    if len(found) == 1:
        return found
    by_content = {digest(record.model_dump(mode="json")): record for record in found}
    return [by_content[text] for text in sorted(by_content)]


def from_rows(rows: Iterable[ScoreRow], places: Iterable[str] = ()) -> list[Run]:
    """Reduce published score rows to runs: of each seed the last evaluation counts.

    ``places`` say where each row stands, if that is known.  Raises DatumrlError where two runs
    would be taken for one, or what was measured differently would share a table.
    """
    found: dict[_Key, dict[int, _Placed]] = defaultdict(dict)
    for row, place in itertools.zip_longest(rows, places, fillvalue=""):
        assert isinstance(row, ScoreRow)  # no more places than rows
        key = (row.tier, row.algorithm, row.dataset, row.seed, row.protocol, row.source)
        other, there = found[key].setdefault(row.step or 0, (row, place))
        if other != row:
            raise _two_scores((other, there), (row, place))
    measured = [_measured(by_step) for by_step in found.values()]
    _check_alike(measured)
    return [run for run, _, _ in measured]


def _measured(by_step: Mapping[int, _Placed]) -> _Measured:
    """Return the run of one seed's rows; one of its evaluations that failed is a failed run."""
    ordered = [by_step[step] for step in sorted(by_step)]
    row, place = ordered[-1]
    if row.seed is None and len(ordered) > 1:
        raise DatumrlError(
            f"{_at(*ordered[0])} and {_at(row, place)}: steps {_told(ordered[0][0].step)} and "
            f"{_told(row.step)} without a seed, and nothing says whether they are of one run; give "
            "every run a seed, or keep the last row of each"
        )
    failed, episodes = scored_runs.check_run([each for each, _ in ordered])
    if failed:
        row = row.model_copy(update={"failed": True, "score": None, "mean_return": None})
    return (
        Run(
            row=row,
            status="failed" if failed else "complete",
            protocol=f"{row.tier}: {row.protocol or row.source}",
        ),
        episodes,
        place,
    )


def _check_alike(measured: Iterable[_Measured]) -> None:
    """Refuse other numbers of episodes in a table, and seeds with and without scores in a cell.

    Many rows do not tell their episodes, failed ones above all; they go with any.
    """
    counts: dict[tuple[str, Suite], tuple[int, str]] = {}
    scored: dict[tuple[str, str, str], tuple[bool, str]] = {}
    for run, episodes, place in measured:
        suite, title = suite_of(run.row.dataset), _at(run.row, place)
        if episodes is not None:
            other = counts.setdefault((run.protocol, suite), (episodes, title))
            if other[0] != episodes:
                one, two = ((str(count), which) for count, which in (other, (episodes, title)))
                raise compatibility.mixed(suite.title, "episodes per evaluation", one, two)
        if run.status != "complete":
            continue
        cell = (run.protocol, run.row.algorithm, run.row.dataset)
        has, there = scored.setdefault(cell, (run.row.score is not None, title))
        if has != (run.row.score is not None):
            bare, full = (title, there) if has else (there, title)
            raise DatumrlError(
                f"{bare} has a return but no score, which {full} has; fill it or drop the row"
            )


def _at(row: ScoreRow, place: str) -> str:
    return scored_runs.title_of(row) + (f", {place}" if place else "")


def _two_scores(*found: tuple[ScoreRow, str]) -> DatumrlError:
    row = found[0][0]
    values = (one.mean_return if one.score is None else one.score for one, _ in found)
    places = [place for _, place in found]
    told = " and ".join(
        ("none" if value is None else f"{value:g}") + (f" ({place})" if place else "")
        for value, place in zip(values, places, strict=True)
    )
    return DatumrlError(
        f"{row.algorithm} on {row.dataset}, seed {_told(row.seed)}, step {_told(row.step)}: two "
        f"different scores, {told}; give every run a seed of its own"
    )


def _told(number: int | None) -> str:
    return "not stated" if number is None else f"{number:,}"


def settings(record: RunRecord) -> dict[str, Any]:
    """Return what distinguishes two variants of an algorithm: configuration and budget."""
    configuration = {key: value for key, value in record.configuration.items() if key != "seed"}
    return {**configuration, **record.budget.model_dump(mode="json")}


def _from_record(record: RunRecord) -> Run:
    counted = records.COUNTED[record.protocol.checkpoint]
    points = record.evaluations[-counted:]  # a row for each of hundreds takes its time
    rows = records.score_rows(record.model_copy(update={"evaluations": points}))
    status: Status = "unfinished" if record.status == "running" else record.status
    reason = ""
    if status == "complete" and len(rows) < counted:
        # As `checkpoint_rules.last_mean` has it: a mean of fewer would go by the same name.
        status, reason = "unfinished", f"of {counted} evaluations that count it has {len(rows)}"
    if status == "complete":
        row = _checkpoint(rows, record.protocol.checkpoint)
    else:
        row = ScoreRow(
            tier="local",
            algorithm=record.algorithm,
            dataset=record.dataset,
            seed=record.seed,
            step=record.evaluations[-1].step if record.evaluations else None,
            episodes=record.protocol.episodes,
            protocol=record.protocol.digest,
            failed=status == "failed",
        )
    return Run(
        row=row,
        status=status,
        protocol=_shared_protocol(record),
        variant=digest(settings(record)),
        record=record,
        remark=_remark(record),
        reason=reason,
    )


def _remark(record: RunRecord) -> str:
    """Say that returns are of another environment than scores; of the nearest, others say it."""
    known = catalogue.known(record.dataset)
    if known is None or known.reference is None or record.protocol.nearest:
        return ""
    elsewhere = record.evaluations and records.unscored(known, record.protocol)
    return "measured elsewhere than scores are defined" if elsewhere else ""


def _shared_protocol(record: RunRecord) -> str:
    # A protocol names its dataset and environment, so its digest differs between the datasets of a
    # suite; this is the part in which they must agree.
    version = re.search(r"v\d+$", record.protocol.environment)
    shared = record.protocol.model_dump(
        mode="json", include={"engine", "episodes", "checkpoint", "online_selection"}
    )
    return digest({**shared, "environment_version": version[0] if version else ""})


def _checkpoint(rows: Sequence[ScoreRow], rule: str) -> ScoreRow:
    if rule == "best":
        return max(rows, key=lambda row: _number(row.mean_return))
    if rule == "last-10-mean":
        return rows[-1].model_copy(
            update={
                "mean_return": _mean([row.mean_return for row in rows]),
                "score": _mean([row.score for row in rows]),
            }
        )
    return rows[-1]


def _number(value: float | None) -> float:
    return -math.inf if value is None else value


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if len(known) == len(values) else None
