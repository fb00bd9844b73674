"""Verifying a submission: new returns of its policies, or of new seeds, as evidence beside it.

What trains or rolls out is a callable that the script supplies; the verdict is derived from the
evidence by `submission_evidence`, here and at every later check.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Literal

import pydantic

from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation.records import COUNTED, RunRecord, describe_invalid
from datumrl.leaderboard import (
    names,
    submission_comparison,
    submission_evidence,
    submission_files,
)
from datumrl.leaderboard.submission_context import is_author, says_something
from datumrl.leaderboard.submission_files import Submission
from datumrl.leaderboard.submission_schema import (
    FORMAT,
    MOST_CELLS,
    DatasetResult,
    Evidence,
)

# (submitted result, seeds) -> a record of each seed
Run = Callable[[DatasetResult, Sequence[int]], Sequence[RunRecord]]
NEW_SEEDS = 5  # trained per cell, the number that a submission needs


def sampled(submission: Submission, count: int, verified_by: str) -> list[DatasetResult]:
    """Return the results to verify, drawn by the submission's files and the verifier's name."""
    if not 1 <= count <= MOST_CELLS:
        raise DatumrlError(f"--sample {count}: verify 1 to {MOST_CELLS} datasets")
    by_dataset = {result.dataset: result for result in submission.results.values()}
    files = submission_evidence.submitted_files(submission)
    told = submission_evidence.drawn(files, verified_by, list(by_dataset), count)
    return [by_dataset[name] for name in told]


def foreseen(submission: Submission, count: int, verified_by: str, seeds: int) -> str:
    """Return why so many new seeds of ``count`` datasets can hardly agree, "" if they can.

    They are taken to have the mean and the spread of the submitted ones.
    """
    found = submission_comparison.foreseen(sampled(submission, count, verified_by), seeds)
    if found is None or found.verdict == "agrees":
        return ""
    why = (
        submission_evidence.without_notice(found)
        if found.blind
        else f"the interval of the difference would be as wide as {found.low:.1f} to "
        f"{found.high:.1f} points"
    )
    return (
        f"--seeds {seeds}, --sample {count}: even seeds that are as the submitted ones would show "
        f"no agreement ({why}); the new ones count beside those of other verifiers"
    )


def verify(
    submission: Submission,
    count: int,
    kind: Literal["re-rolled", "retrained"],
    run: Run,
    verified_by: str,
    new_seeds: int = NEW_SEEDS,
) -> Evidence:
    """Run a sample of a submission's cells anew and return the evidence, the next beside others'.

    Raises DatumrlError for a submission that is not sound, or an author who verifies himself.
    """
    if submission.method is None or submission.unreadable or not submission.results:
        raise DatumrlError(f"{submission.path} cannot be read; `datumrl submit --check` says why")
    _check_name(submission, verified_by)
    cells = []
    for result in sampled(submission, count, verified_by):
        seeds = _seeds(submission, result, kind, new_seeds)
        runs = [_as_json(record, result, kind) for record in run(result, seeds)]
        cells.append({"dataset": result.dataset, "runs": runs})
    content = {
        "schema_version": FORMAT,
        "method": submission.method.method,
        "revision": submission.method.revision,
        "kind": kind,
        "verified_by": verified_by,
        "files": submission_evidence.submitted_files(submission),
        "sampled": count,
        "cells": cells,
    }
    try:
        evidence = Evidence.model_validate_json(json.dumps(content))
    except (pydantic.ValidationError, ValueError) as problem:
        raise DatumrlError(f"evidence: {describe_invalid(problem)}") from None
    earlier, _ = submission_evidence.sorted_out(submission)
    wrong = submission_evidence.problems(submission, evidence, earlier)
    if wrong:
        raise DatumrlError(f"{submission.title}: the evidence says nothing: {'; '.join(wrong)}")
    return evidence


def _check_name(submission: Submission, verified_by: str) -> None:
    if is_author(submission, verified_by):
        raise DatumrlError(f"{verified_by!r} is an author; somebody else has to verify")
    if not says_something(verified_by):
        raise DatumrlError(f"{verified_by!r} is nobody's name; give your own")
    submission_files.strict_json(json.dumps(verified_by).encode())  # it will be read as such


def _seeds(submission: Submission, result: DatasetResult, kind: str, new_seeds: int) -> list[int]:
    if kind == "re-rolled":
        return [run.seed for run in result.runs if run.status == "complete"]
    if new_seeds < 2:
        raise DatumrlError(f"{new_seeds} new seeds say nothing of their spread; train at least 2")
    assert submission.method is not None
    used = {run.seed for run in result.runs} | set(submission.method.tuning.seeds)
    for evidence in submission.evidence.values():
        used |= {run.seed for cell in evidence.cells for run in cell.runs}
    fresh = (seed for seed in range(len(used) + new_seeds + 1) if seed not in used)
    return [next(fresh) for _ in range(new_seeds)]


def _as_json(record: RunRecord, result: DatasetResult, kind: str) -> dict[str, object]:
    content = record.model_dump(
        mode="json", include={"seed", "status", "failure", "software", "hardware"}
    )
    if record.failure is not None:
        content["failure"] = names.shown(record.failure)[:300]
    counted = 1 if kind == "re-rolled" else COUNTED[result.protocol.checkpoint]
    points = record.evaluations[-counted:]
    return {**content, "evaluations": [point.model_dump(mode="json") for point in points]}
