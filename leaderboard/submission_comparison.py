"""New returns beside the submitted ones, in points: as they came out, or as they may come out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from datumrl.datasets import scores
from datumrl.leaderboard import agreement
from datumrl.leaderboard.agreement import Agreement, Group
from datumrl.leaderboard.submission_context import dataset_of
from datumrl.leaderboard.submission_counted import counted, finished
from datumrl.leaderboard.submission_files import Submission
from datumrl.leaderboard.submission_schema import DatasetResult, Evidence, SeedRun

_ANEW = "retrained"
_QUANTITY = {"last-10-mean": "the mean of the last ten evaluations", "best": "the best evaluation"}


def compared(submission: Submission, evidence: Sequence[Evidence]) -> Agreement:
    """Return how new runs of one kind, all taken together, agree with the submitted ones."""
    told: dict[str, list[SeedRun]] = defaultdict(list)
    for each in evidence:
        for cell in each.cells:
            told[cell.dataset] += cell.runs
    by_dataset = {result.dataset: result for result in submission.results.values()}
    cells: dict[str, Sequence[Group]] = {}
    failed = any(unmeasured(submission, evidence))
    for dataset, runs in told.items():
        result = by_dataset[dataset]
        living = [run for run in runs if run.status == "complete" and run.evaluations]
        pairs = _pairs(result, living, evidence[0].kind)
        failed |= len(living) < len(runs) or not pairs
        if pairs:
            cells[dataset] = _in_points(result, pairs)
    if not cells:
        return Agreement("inconclusive", -np.inf, np.inf, ())
    return agreement.compare(cells, failed)


def _pairs(result: DatasetResult, new: Sequence[SeedRun], kind: str) -> list[Group]:
    """Return submitted and new returns: of each policy's episodes, or what counts of all seeds."""
    old = finished(result.runs)
    if not old or not new:
        return []
    if kind == _ANEW:
        rule = result.protocol.checkpoint
        both = (old.values(), new)
        first, second = (np.array([counted(run, rule) for run in runs]) for runs in both)
        return [(first, second)]
    episodes: dict[int, list[float]] = defaultdict(list)
    for run in new:
        episodes[run.seed] += run.evaluations[-1].returns
    return [
        (np.array(old[seed].evaluations[-1].returns), np.array(episodes[seed]))
        for seed in sorted(episodes)
    ]


def unmeasured(submission: Submission, evidence: Sequence[Evidence]) -> Iterator[str]:
    """Yield the datasets whose score no file measures: re-rolled policies are the last ones."""
    told = [(cell.dataset, each.kind) for each in evidence for cell in each.cells]
    for result in submission.results.values():
        kinds = {kind for dataset, kind in told if dataset == result.dataset}
        rule = result.protocol.checkpoint
        if kinds and _ANEW not in kinds and rule != "last":
            yield (
                f"{result.dataset} counts {_QUANTITY[rule]}, which re-rolled last policies cannot "
                "show; retrain"
            )


def _in_points(result: DatasetResult, pairs: Sequence[Group]) -> list[Group]:
    """Return returns as scores, or as percent of the largest submitted one without references."""
    dataset = dataset_of(result.dataset)
    if dataset is not None and dataset.reference is not None:
        return [
            (scores.normalize(old, dataset), scores.normalize(new, dataset)) for old, new in pairs
        ]
    largest = max(float(np.abs(old).max()) for old, _ in pairs) or 1.0
    return [(100 * old / largest, 100 * new / largest) for old, new in pairs]


def foreseen(results: Sequence[DatasetResult], seeds: int) -> Agreement | None:
    """Return what so many new seeds of each result show if they are as the submitted ones are.

    None where seeds of one are too few to know their spread.
    """
    cells = {}
    for result in results:
        rule = result.protocol.checkpoint
        means = np.array([counted(run, rule) for run in finished(result.runs).values()])
        if len(means) < 2 or seeds < 2:
            return None
        ((points, _),) = _in_points(result, [(means, means)])
        cells[result.dataset] = points
    return agreement.foreseen(cells, seeds)
