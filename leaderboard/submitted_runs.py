"""Submissions as the board reads them, each with its tier.

Of every method the last revision counts.  What was accepted once stays when the catalogue grows or
a neighbour comes; a submission that is broken is left out, and it is said which and why.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from datumrl.leaderboard import (
    names,
    runs,
    submission_checks,
    submission_evidence,
    submission_files,
)
from datumrl.leaderboard.runs import Run
from datumrl.leaderboard.submission_checks import Report
from datumrl.leaderboard.submission_files import Finding, Submission
from datumrl.leaderboard.submission_schema import FOLDER, METHOD_FILE, Method


def load(root: Path = FOLDER) -> list[Run]:
    """Return the runs of every method's last revision below a folder of submissions."""
    return runs_of(checked(root))


# What a row cannot be made of: a dataset that nobody knows, returns that no table holds.
_NOT_SHOWN = {"ids-known", "attainable-returns"}


def checked(root: Path = FOLDER) -> Report:
    """Check a folder of submissions that are there to be shown.

    Returned are those that can be; of every other method, its last revision and the first of its
    errors are in ``left_out``.
    """
    report = submission_checks.check_read(submission_files.read_all(root), settled=True)
    left_out = []
    for one in latest(report.submissions):
        reasons = _why_not_shown(one, report)
        if reasons:
            more = f"; {len(reasons)} errors in all" if len(reasons) > 1 else ""
            left_out.append(replace(reasons[0], message=f"{reasons[0].message}{more}"))
    broken = {each.where.partition("/")[0] for each in left_out}
    kept = tuple(one for one in report.submissions if one.folder[0] not in broken)
    return replace(report, submissions=kept, left_out=tuple(left_out))


def _why_not_shown(submission: Submission, report: Report) -> list[Finding]:
    inside = f"{submission.title}/"
    flags = [
        each
        for each in report.findings
        if each.severity == "flag"
        and each.rule in _NOT_SHOWN
        and each.where.startswith(inside)
        and each.where != inside + METHOD_FILE
    ]
    return [*report.of(submission), *flags]


def shown(report: Report) -> list[tuple[Submission, Method]]:
    """Return every method's last revision, under a name that no other of them has."""
    last = [(one, one.method) for one in latest(report.submissions) if one.method is not None]
    taken = Counter(names.shown_as(method.name) for _, method in last)
    found = []
    for one, method in last:
        name = method.name
        while taken[names.shown_as(name)] > (name == method.name):  # one of them is its own
            name = f"{name} [{method.method}]"
        found.append((one, method.model_copy(update={"name": name})))
    return found


def runs_of(report: Report) -> list[Run]:
    """Return the runs of every method's last revision."""
    found = []
    for submission, method in shown(report):
        tier = submission_checks.tier(submission, report)
        for result in submission.results.values():
            for run in runs.from_records(result.records(method.name)):
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
    for one, method in shown(report):
        inside = f"{one.title}/"
        flags = tuple(
            f"{each.where.removeprefix(inside)}: {each.message}"
            for each in report.findings
            if each.severity == "flag" and each.where.startswith(inside)
        )
        found[source_of(one)] = Submitted(method, flags, _verified(one))
    return found


def _verified(submission: Submission) -> str:
    sound, _ = submission_evidence.sorted_out(submission)
    if not sound:
        return ""
    told = ", and ".join(
        f"{each.kind} by {each.verified_by} on {len(each.cells)} of {len(submission.results)} "
        "datasets"
        for each in sound.values()
    )
    found = submission_evidence.judged(submission, sound.values())
    return f"{told}, drawn by the files' hashes and the verifier's name: {found}"


def source_of(submission: Submission) -> str:
    """Return what the score rows of a submission name as their source."""
    return f"submission {submission.title}"


def latest(found: Sequence[Submission]) -> list[Submission]:
    """Return each method's submission with the highest revision."""
    last: dict[str, Submission] = {}
    for one in sorted(found, key=lambda each: each.number):
        last[one.folder[0]] = one
    return [last[name] for name in sorted(last)]
