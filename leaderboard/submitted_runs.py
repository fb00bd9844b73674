"""Submissions and imported score rows as the board reads them, each with its tier.

Of every method the last revision counts.  A submission that breaks a rule is an error, not a row
left out: what is shown has passed the same checks as when it came.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pydantic

from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation.records import ScoreRow, describe_invalid
from datumrl.leaderboard import (
    runs,
    submission_checks,
    submission_evidence,
    submission_files,
)
from datumrl.leaderboard.runs import Run
from datumrl.leaderboard.submission_checks import Report
from datumrl.leaderboard.submission_files import Submission
from datumrl.leaderboard.submission_schema import FOLDER, Method


def load(root: Path = FOLDER) -> list[Run]:
    """Return the runs of every method's last revision below a folder of submissions."""
    return runs_of(checked(root))


def checked(root: Path = FOLDER) -> Report:
    """Check a folder of submissions; DatumrlError names the first error and how to list all."""
    report = submission_checks.check_read(submission_files.read_all(root))
    if report.errors:
        raise DatumrlError(
            f"{report.errors[0]}; `datumrl submit --check {root}` lists all "
            f"{len(report.errors)} errors"
        )
    return report


def runs_of(report: Report) -> list[Run]:
    """Return the runs of every method's last revision."""
    found = []
    for submission in latest(report.submissions):
        tier = submission_checks.tier(submission, report)
        assert submission.method is not None  # it would be an error
        for result in submission.results.values():
            for run in runs.from_records(result.records(submission.method.name)):
                told = {"tier": tier, "source": source_of(submission)}
                found.append(replace(run, row=run.row.model_copy(update=told)))
    return found


@dataclass(frozen=True)
class Submitted:
    """What a reader is told of a submission beside its runs."""

    method: Method
    flags: tuple[str, ...] = ()  # what the check found that is no error
    evidence: str = ""  # who verified it, how, and what came out


def submitted(report: Report) -> dict[str, Submitted]:
    """Return what is known of every method's last revision, by the source of its runs."""
    found = {}
    for one in latest(report.submissions):
        if one.method is not None:
            inside = f"{one.title}/"
            flags = tuple(
                f"{each.where.removeprefix(inside)}: {each.message}"
                for each in report.findings
                if each.severity == "flag" and each.where.startswith(inside)
            )
            found[source_of(one)] = Submitted(one.method, flags, _verified(one))
    return found


def _verified(submission: Submission) -> str:
    evidence = submission.evidence
    if evidence is None:
        return ""
    found = submission_evidence.judged(submission, evidence)
    return (
        f"{evidence.kind} by {evidence.verified_by} on {len(evidence.cells)} of "
        f"{len(submission.results)} datasets, drawn by the files' hashes: {found.verdict}, mean "
        f"difference between {found.low:.1f} and {found.high:.1f} points (90%)"
    )


def source_of(submission: Submission) -> str:
    """Return what the score rows of a submission name as their source."""
    return f"submission {submission.title}"


def latest(found: Sequence[Submission]) -> list[Submission]:
    """Return each method's submission with the highest revision."""
    last: dict[str, Submission] = {}
    for one in sorted(found, key=lambda each: each.number):
        last[one.folder[0]] = one
    return [last[name] for name in sorted(last)]


def score_rows(path: Path) -> list[ScoreRow]:
    """Read a CSV of score rows, as `datumrl submit --from` writes it; empty fields are missing."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            lines = list(csv.DictReader(handle))
    except (UnicodeDecodeError, csv.Error) as problem:
        raise DatumrlError(f"{path} is no CSV file in UTF-8: {problem}; save it as one") from None
    rows = []
    for number, raw in enumerate(lines, start=2):
        given = {name: value.strip() for name, value in raw.items() if name and value}
        try:
            rows.append(ScoreRow.model_validate({"tier": "local", **given}))
        except pydantic.ValidationError as problem:
            said = describe_invalid(problem)
            raise DatumrlError(f"{path}, line {number}: {said}; mend the row") from None
    if not rows:
        raise DatumrlError(f"{path} holds no scores; give at least one row below the header")
    return rows
