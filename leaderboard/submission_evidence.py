"""What evidence of a verification is worth: derived from its raw returns, whatever it claims.

The verified cells are drawn by the hash of the submission's files, so that neither side picks them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

import numpy as np

from datumrl.datasets import scores
from datumrl.leaderboard import agreement
from datumrl.leaderboard.agreement import Agreement, Group
from datumrl.leaderboard.submission_context import dataset_of, telling
from datumrl.leaderboard.submission_files import Submission
from datumrl.leaderboard.submission_schema import (
    EVIDENCE_FILE,
    DatasetResult,
    Evidence,
    SeedRun,
)


def submitted_files(submission: Submission) -> dict[str, str]:
    """Return the sha256 of every file that evidence is about."""
    return {name: each for name, each in submission.hashes.items() if name != EVIDENCE_FILE}


def drawn(files: Mapping[str, str], datasets: Sequence[str], count: int) -> list[str]:
    """Return the datasets to verify: ``count`` of them, drawn by the hashes of the files."""
    seed = hashlib.sha256(json.dumps(sorted(files.items())).encode()).digest()
    order = sorted(datasets, key=lambda name: hashlib.sha256(seed + name.encode()).digest())
    return sorted(order[:count])


def problems(submission: Submission, evidence: Evidence) -> list[str]:
    """Return why evidence says nothing of a submission; empty if it does."""
    found = []
    if (evidence.method, evidence.revision) != submission.folder:
        found.append("it is of another submission")
    if evidence.files != submitted_files(submission):
        found.append("it is of other files (their sha256 differ)")
    by_dataset = {result.dataset: result for result in submission.results.values()}
    cells = [cell.dataset for cell in evidence.cells]
    if sorted(cells) != drawn(evidence.files, sorted(by_dataset), evidence.sampled):
        found.append(f"its cells are not the {evidence.sampled} that the files' hashes draw")
        return found
    for cell in evidence.cells:
        found += _of_cell(by_dataset[cell.dataset], cell.runs, evidence.kind == "re-rolled")
    return found


def _of_cell(result: DatasetResult, runs: Sequence[SeedRun], rolled: bool) -> list[str]:
    name, found = result.dataset, []
    submitted = {run.seed: run for run in result.runs}
    seeds = [run.seed for run in runs]
    living = set(_finished(result.runs))
    if len(set(seeds)) < len(seeds):
        found.append(f"{name}: a seed is there twice")
    if rolled and set(seeds) != living:
        found.append(f"{name}: it has to re-roll every seed that did not fail, no other")
    if not rolled and (set(seeds) & set(submitted) or len(seeds) < 2):
        found.append(f"{name}: at least two new seeds are needed, none of the submitted ones")
    old = {telling(point.returns) for run in result.runs for point in run.evaluations} - {None}
    for run in runs:
        if run.status == "complete" and not run.evaluations:
            found.append(f"{name}, seed {run.seed}: no returns")
        for point in run.evaluations:
            if len(point.returns) != len(point.lengths):
                found.append(f"{name}, seed {run.seed}: returns and lengths differ in number")
            if telling(point.returns) in old:
                found.append(f"{name}, seed {run.seed}: returns copied from the submission")
    return found


def judged(submission: Submission, evidence: Evidence) -> Agreement:
    """Return how well new returns agree with the submitted ones; call `problems` before."""
    by_dataset = {result.dataset: result for result in submission.results.values()}
    cells: dict[str, Sequence[Group]] = {}
    failed = False
    for cell in evidence.cells:
        result = by_dataset[cell.dataset]
        new, old = _finished(cell.runs), _finished(result.runs)
        failed |= len(new) < len(cell.runs) or not old or not new
        if not old or not new:
            continue
        if evidence.kind == "re-rolled":
            pairs = [(_last(old[seed]), _last(new[seed])) for seed in sorted(new)]
        else:
            pairs = [(_means(old), _means(new))]
        cells[cell.dataset] = _in_points(result, pairs)
    if not cells:
        return Agreement("inconclusive", -np.inf, np.inf, ())
    return agreement.compare(cells, failed)


def _finished(runs: Sequence[SeedRun]) -> dict[int, SeedRun]:
    return {run.seed: run for run in runs if run.status == "complete" and run.evaluations}


def _last(run: SeedRun) -> np.ndarray:
    """Return the returns that count: those of the last evaluation."""
    return np.array(run.evaluations[-1].returns, dtype=np.float64)


def _means(runs: Mapping[int, SeedRun]) -> np.ndarray:
    return np.array([_last(run).mean() for run in runs.values()])


def _in_points(result: DatasetResult, pairs: Sequence[Group]) -> list[Group]:
    """Return returns as scores, or as percent of the largest submitted one without references."""
    dataset = dataset_of(result.dataset)
    if dataset is not None and dataset.reference is not None:
        return [
            (scores.normalize(old, dataset), scores.normalize(new, dataset)) for old, new in pairs
        ]
    largest = max(float(np.abs(old).max()) for old, _ in pairs) or 1.0
    return [(100 * old / largest, 100 * new / largest) for old, new in pairs]
