"""`datumrl submit --verify`: new returns of submitted policies, or of retrained seeds."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datumrl.datasets import catalogue, files, locking
from datumrl.datasets.errors import DatumrlError
from datumrl.leaderboard import (
    submission_checks,
    submission_counted,
    submission_evidence,
    submission_files,
)
from datumrl.leaderboard import verification as verifying
from datumrl.leaderboard.submission_context import canonical
from datumrl.leaderboard.submission_evidence import Judgement
from datumrl.leaderboard.submission_files import Submission
from datumrl.leaderboard.submission_schema import (
    METHOD_FILE,
    DatasetResult,
    Evidence,
    evidence_name,
    file_name,
)
from datumrl.scripts import console

if TYPE_CHECKING:
    from datumrl.evaluation.records import RunRecord

DISAGREES = 1
# Added to evaluation seeds, once for every file of evidence: new episodes of the same policies.
_OTHER_EPISODES = 10_000


def verify(
    path: Path,
    runs: Sequence[Path],
    sample: int,
    seeds: int,
    verified_by: str | None,
    as_json: bool,
) -> int:
    """Verify the submission in a folder and write its evidence; exit code 1 unless it agrees.

    Evidence of others stays, and is judged together with the new.  Training is kept under
    ``DATUMRL_HOME`` until the evidence is written, so that an interrupted one resumes.
    """
    if not verified_by:
        raise DatumrlError('--verify: say who verifies, --verified-by "Your Name"')
    submission = _sound(path)
    for result in verifying.sampled(
        submission, sample, verified_by
    ):  # before hours go into the first of them
        _require_made(result)
    kept = _training_folder(submission)
    with console.Bars() as bars:
        if runs:
            offset = (len(submission.evidence) + 1) * _OTHER_EPISODES

            def reroll(result: DatasetResult, wanted: Sequence[int]) -> list[RunRecord]:
                show = bars.bar(f"re-rolling on {result.dataset}", "episodes")
                return _rerolled(runs, result, wanted, offset, show)

            evidence = verifying.verify(submission, sample, "re-rolled", reroll, verified_by)
        else:

            def retrain(result: DatasetResult, wanted: Sequence[int]) -> list[RunRecord]:
                show = bars.bar(f"training on {result.dataset}", "updates")
                return _retrained(result, wanted, kept / _own(result.dataset), show)

            _foresee(submission, sample, verified_by, seeds)
            evidence = verifying.verify(
                submission, sample, "retrained", retrain, verified_by, seeds
            )
    found, written = _written(evidence, path, kept)
    if not runs:  # what was only rolled out ends nobody's training
        _remove_training(evidence, kept)
    _tell(found, written, as_json)
    return 0 if found.verdict == "agrees" else DISAGREES


def _foresee(submission: Submission, sample: int, verified_by: str, seeds: int) -> None:
    """Say so before hours of training where they are unlikely to show that results agree."""
    warning = verifying.foreseen(submission, sample, verified_by, seeds)
    if warning:
        console.notes.print(warning, soft_wrap=True)


def _written(evidence: Evidence, folder: Path, kept: Path) -> tuple[Judgement, Path]:
    """Write evidence beside what lies there by now; return what all of it says, and the file.

    Raises DatumrlError if others' evidence came meanwhile that this is not new beside.
    """
    with locking.locked(kept, lambda: None):  # one process at a time takes the next name
        now = submission_files.read(folder)
        earlier, _ = submission_evidence.sorted_out(now)
        wrong = submission_evidence.problems(now, evidence, earlier)
        path = folder / evidence_name(len(now.evidence) + 1)
        if wrong or os.path.lexists(path):
            why = "; ".join(wrong) or f"{path.name} is there and cannot be read"
            raise DatumrlError(f"{now.title} changed meanwhile ({why}); nothing written, try again")
        files.write_json(path, evidence.model_dump(mode="json"))
    again = submission_files.read(folder)
    if again.unreadable:  # what was written is what a checker will read
        raise DatumrlError(str(again.unreadable[0]))
    sound, _ = submission_evidence.sorted_out(again)
    return submission_evidence.judged(again, sound.values()), path


def _own(dataset: str) -> str:
    """Return the name of the folder of a dataset's training."""
    return Path(file_name(dataset)).stem


def _remove_training(evidence: Evidence, kept: Path) -> None:
    """Remove what evidence was made of, and no training of other datasets."""
    for cell in evidence.cells:
        shutil.rmtree(kept / _own(cell.dataset), ignore_errors=True)
    with contextlib.suppress(OSError):  # not empty: other training goes on
        kept.rmdir()


def _training_folder(submission: Submission) -> Path:
    """Return where retrained seeds are kept: it depends on the very files that are verified."""
    told = sorted(submission_evidence.submitted_files(submission).items())
    digest = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]
    return files.home() / "verification" / digest


def _sound(path: Path) -> Submission:
    """Return the submission in a revision's folder, if it breaks no rule of its own."""
    report = submission_checks.check(path, settled=True)
    if len(report.submissions) != 1 or not (path / METHOD_FILE).exists():
        raise DatumrlError(f"{path}: give the folder of one revision, method/revision")
    if report.errors:
        raise DatumrlError(f"{report.errors[0]} ({len(report.errors)} errors); mend them first")
    return report.submissions[0]


def _require_made(result: DatasetResult) -> None:
    """Refuse results of an environment that the one made here is not the same as."""
    record, told = catalogue.find(result.dataset), result.protocol.environment
    made, used = record.environment, record.environment_called(told)
    if made is None or used is None or (used.id != made.id and not made.equivalent):
        here = f"while policies run here in {made.id}" if made else "which is not made here"
        raise DatumrlError(
            f"{result.dataset}: measured in {told}, {here}, so new returns cannot be compared; run "
            "the method's own code there and compare by hand"
        )


def _rerolled(
    folders: Sequence[Path],
    result: DatasetResult,
    seeds: Sequence[int],
    offset: int,
    show: object,
) -> list[RunRecord]:
    """Roll out the checkpoints whose records hold exactly the submitted returns.

    ``offset`` is added to the evaluation seeds: other episodes than in training or other evidence.
    """
    from datumrl.algorithms import checkpoints, training

    found: dict[int, RunRecord] = {}
    for place in checkpoints.runs_below(folders):
        own = _submitted_seeds(place, result)
        if own - found.keys():
            rolled = training.reroll(
                place,
                result.protocol.episodes,
                offset,
                progress=show,  # type: ignore[arg-type]
                nearest=result.protocol.nearest,
            )
            found.update(
                (record.seed, record)
                for record in rolled
                if record.seed in own and record.algorithm == result.algorithm
            )
    lacking = sorted(set(seeds) - found.keys())
    if lacking:
        raise DatumrlError(
            f"{result.dataset}: no checkpoint with the submitted returns of seeds "
            f"{', '.join(map(str, lacking))}; name its run folder, or retrain (no folders)"
        )
    return [found[seed] for seed in seeds]


def _submitted_seeds(folder: Path, result: DatasetResult) -> set[int]:
    """Return the seeds whose records in a run's folder hold exactly the submitted returns."""
    from datumrl.evaluation.records import read_record

    submitted = {
        run.seed: run.evaluations[-1].returns for run in result.runs if run.status == "complete"
    }
    kept = [read_record(path) for path in sorted(folder.glob("seed-*.json"))]
    return {
        record.seed
        for record in kept
        if record.algorithm == result.algorithm
        and canonical(record.dataset) == result.dataset
        and record.evaluations
        and record.evaluations[-1].returns == submitted.get(record.seed)
    }


def _retrained(
    result: DatasetResult, seeds: Sequence[int], root: Path, show: object
) -> list[RunRecord]:
    """Train new seeds with the submitted configuration, or go on where that was interrupted."""
    from datumrl.algorithms import registry, training
    from datumrl.algorithms.training import Progress
    from datumrl.leaderboard import training_commands

    method = training_commands.method_of(result.records()[0], registry.ALGORITHMS)
    if method is None:
        raise DatumrlError(
            f"{result.algorithm} was not trained by datumrl, so it cannot be retrained; re-roll "
            "its checkpoints, or run its code and compare by hand"
        )
    settings = dict(result.configuration)
    view, precision = settings.pop("view", None), settings.pop("matmul_precision", "highest")
    settings.pop("revision", None)  # of the code, which is as it is here
    for name in ("steps", "return_target"):  # given apart; what tells a method's entries apart
        settings.pop(name, None)
    job = training.plan(
        method,
        result.dataset,
        seeds,
        result.budget.steps,
        settings,
        evaluate_every=_evaluate_every(result),
        episodes=result.protocol.episodes,
        view=view,  # type: ignore[arg-type]
        matmul_precision=precision,  # type: ignore[arg-type]
        nearest=result.protocol.nearest,
    )

    def progress(now: Progress) -> None:
        show(now.step, now.steps)  # type: ignore[operator]

    records = training.train_job(job, job.folder(root), progress)
    return [record for record in records if record.algorithm == result.algorithm]


def _evaluate_every(result: DatasetResult) -> int:
    """Return the interval at which training meets every evaluation that counts."""
    steps, wanted = result.budget.steps, submission_counted.counted_steps(result)
    if result.protocol.checkpoint == "last":
        return max(1, steps)
    first = next(run.evaluations[0].step for run in result.runs if run.status == "complete")
    if not first or not set(wanted) <= {*range(first, steps, first), steps}:
        raise DatumrlError(
            f"{result.dataset}: no interval of `datumrl train` meets the steps at which it was "
            f"evaluated ({', '.join(map(str, wanted[:4]))}, ...); retrain with its own code"
        )
    return first


def _finite(content: Any) -> Any:
    """Return JSON content with null in place of numbers that are not finite, at any depth."""
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_finite(each) for each in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def _tell(found: Judgement, path: Path, as_json: bool) -> None:
    pooled = found.pooled
    if as_json:
        content = {
            "verdict": found.verdict,
            "low": pooled.low,
            "high": pooled.high,
            "cells": [vars(cell) for cell in pooled.cells],
            "verifiers": [{"name": name, "verdict": own} for name, own in found.verifiers],
            "outvoted": list(found.outvoted),
            "rerolled": list(found.rerolled),
            "unmeasured": list(found.unmeasured),
            "blind": list(pooled.blind),
        }
        console.print_json(_finite({**content, "file": str(path)}))
        return
    for cell in pooled.cells:
        console.output.print(
            f"{cell.dataset}: difference {cell.difference:+.2f} points (standard error "
            f"{cell.error:.2f}), p = {cell.p_value:.3f}{', differs' if cell.differs else ''}",
            markup=False,
            soft_wrap=True,
        )
    console.output.print(f"{found}; wrote {path}", markup=False, soft_wrap=True)
