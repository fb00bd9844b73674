"""`datumrl submit --verify`: new returns of submitted policies, or of seeds trained anew."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from datumrl.datasets import files
from datumrl.datasets.errors import DatumrlError
from datumrl.leaderboard import submission_checks, submission_evidence, submission_files
from datumrl.leaderboard import verification as verifying
from datumrl.leaderboard.agreement import Agreement
from datumrl.leaderboard.submission_files import Submission
from datumrl.leaderboard.submission_schema import EVIDENCE_FILE, METHOD_FILE, DatasetResult
from datumrl.scripts import console

if TYPE_CHECKING:
    from datumrl.evaluation.records import RunRecord

DISAGREES = 1
_OTHER_EPISODES = 10_000  # added to evaluation seeds: new episodes of the same policies


def verify(
    path: Path,
    runs: Sequence[Path],
    sample: int,
    seeds: int,
    verified_by: str | None,
    as_json: bool,
) -> int:
    """Verify the submission in a folder and write its evidence; exit code 1 unless it agrees."""
    if not verified_by:
        raise DatumrlError('--verify: say who verifies, --verified-by "Your Name"')
    submission = _sound(path)
    with console.Bars() as bars:

        def reroll(result: DatasetResult, wanted: Sequence[int]) -> list[RunRecord]:
            show = bars.bar(f"re-rolling on {result.dataset}", "episodes")
            return _rerolled(runs, result, wanted, show)

        def retrain(result: DatasetResult, wanted: Sequence[int]) -> list[RunRecord]:
            show = bars.bar(f"training on {result.dataset}", "updates")
            return _retrained(result, wanted, show)

        evidence = verifying.verify(
            submission,
            sample,
            "re-rolled" if runs else "retrained",
            reroll if runs else retrain,
            verified_by,
            seeds,
        )
    found = submission_evidence.judged(submission, evidence)
    files.write_json(path / EVIDENCE_FILE, evidence.model_dump(mode="json"))
    again = submission_files.read(path)
    if again.unreadable:  # what was written is what a checker will read
        raise DatumrlError(str(again.unreadable[0]))
    _tell(found, path / EVIDENCE_FILE, as_json)
    return 0 if found.verdict == "agrees" else DISAGREES


def _sound(path: Path) -> Submission:
    """Return the submission in a revision's folder, if it breaks no rule and has no evidence."""
    report = submission_checks.check(path)
    if len(report.submissions) != 1 or not (path / METHOD_FILE).exists():
        raise DatumrlError(f"{path}: give the folder of one revision, method/revision")
    if (path / EVIDENCE_FILE).exists():
        raise DatumrlError(f"{path / EVIDENCE_FILE} exists; remove it to verify anew")
    if report.errors:
        raise DatumrlError(f"{report.errors[0]} ({len(report.errors)} errors); mend them first")
    return report.submissions[0]


def _rerolled(
    folders: Sequence[Path], result: DatasetResult, seeds: Sequence[int], show: object
) -> list[RunRecord]:
    """Roll out the checkpoints whose records hold exactly the submitted returns."""
    from datumrl.algorithms import checkpoints, training
    from datumrl.evaluation.records import read_record

    submitted = {
        run.seed: run.evaluations[-1].returns for run in result.runs if run.status == "complete"
    }
    found: dict[int, RunRecord] = {}
    places = sorted({path.parent for each in folders for path in each.rglob(checkpoints.FILE)})
    for place in places:
        kept = [read_record(path) for path in sorted(place.glob("seed-*.json"))]
        own = {
            record.seed
            for record in kept
            if (record.algorithm, record.dataset) == (result.algorithm, result.dataset)
            and record.evaluations
            and record.evaluations[-1].returns == submitted.get(record.seed)
        }
        if own - found.keys():
            rolled = training.reroll(
                place,
                result.protocol.episodes,
                _OTHER_EPISODES,
                progress=show,  # type: ignore[arg-type]
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


def _retrained(result: DatasetResult, seeds: Sequence[int], show: object) -> list[RunRecord]:
    """Train new seeds with the submitted configuration."""
    import tempfile

    from datumrl.algorithms import registry, training
    from datumrl.algorithms.training import Progress

    if result.algorithm not in registry.ALGORITHMS:
        raise DatumrlError(
            f"{result.algorithm} is no method of ours, so it cannot be retrained; re-roll its "
            "checkpoints, or run its code and compare by hand"
        )
    settings = dict(result.configuration)
    view, precision = settings.pop("view", None), settings.pop("matmul_precision", "highest")
    settings.pop("steps", None)
    steps = result.budget.steps

    def progress(now: Progress) -> None:
        show(now.step, now.steps)  # type: ignore[operator]

    with tempfile.TemporaryDirectory() as folder:
        return training.train(
            result.algorithm,
            result.dataset,
            seeds,
            steps,
            settings,
            evaluate_every=max(1, steps),
            episodes=result.protocol.episodes,
            folder=Path(folder) / "run",
            view=view,  # type: ignore[arg-type]
            progress=progress,
            matmul_precision=precision,  # type: ignore[arg-type]
        )


def _tell(found: Agreement, path: Path, as_json: bool) -> None:
    if as_json:
        cells = [vars(cell) for cell in found.cells]
        content = {"verdict": found.verdict, "low": found.low, "high": found.high, "cells": cells}
        finite = {
            key: None if isinstance(value, float) and abs(value) == float("inf") else value
            for key, value in content.items()
        }
        console.print_json({**finite, "file": str(path)})
        return
    for cell in found.cells:
        console.output.print(
            f"{cell.dataset}: difference {cell.difference:+.2f} points (standard error "
            f"{cell.error:.2f}), p = {cell.p_value:.3f}{', differs' if cell.differs else ''}",
            markup=False,
            soft_wrap=True,
        )
    console.output.print(
        f"{found.verdict}: mean difference in [{found.low:+.2f}, {found.high:+.2f}] (90%); wrote "
        f"{path}",
        markup=False,
        soft_wrap=True,
    )
