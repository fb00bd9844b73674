"""How sure a table's order is: each method's rank with an interval, and letters of groups.

Scores are ``(runs, tasks)``, one array per method.  Ranks are those of the IQM.  Letters come from
a test that is planned before it sees the scores: methods that share one were not separated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from datumrl.evaluation import group_test, ragged, ragged_comparisons
from datumrl.evaluation.group_test import GroupTest
from datumrl.evaluation.ragged import RaggedScores
from datumrl.evaluation.ragged_comparisons import Plan
from datumrl.evaluation.score_table import ScoreTable
from datumrl.evaluation.scored_runs import ScoredRun

ALPHA = 0.05  # family-wise level of the letters
RESAMPLES = 2_000  # of the rank intervals


@dataclass(frozen=True)
class Standings:
    """Rank intervals and letters by method; ``test`` says how the letters came, or why not.

    ``untested`` are methods with too few runs for the test of the others, with the reason.
    """

    ranks: dict[str, tuple[int, int]]
    letters: dict[str, str]
    test: str
    untested: Mapping[str, str] = field(default_factory=dict)


def of(scores: Mapping[str, np.ndarray], confidence: float) -> Standings:
    """Return the standings of methods, best first, on the same tasks.

    Fewer than two methods have neither ranks nor groups.
    """
    if len(scores) < 2:
        return Standings({}, {}, "")
    counts = {name: len(array) for name, array in scores.items()}

    def test(names: Sequence[str]) -> GroupTest:
        return group_test.separate(
            _score_table({name: scores[name] for name in names}), names, ALPHA, seed=0
        )

    tested = group_test.with_enough_runs(counts, test)
    told = tested.method or _too_few(scores)
    return Standings(rank_intervals(scores, confidence), tested.letters, told, tested.untested)


def _too_few(scores: Mapping[str, np.ndarray]) -> str:
    counts = sorted({len(array) for array in scores.values()})
    many = (
        f"{group_test.plural_runs(counts[-1])} of each are"
        if counts[-1] > 1
        else "a single run of each is"
    )
    if len(counts) > 1:
        many = f"{counts[0]} to {group_test.plural_runs(counts[-1])} are"
    return f"none, as {many} too few to separate any at family-wise alpha {ALPHA:g}"


def rank_intervals(
    scores: Mapping[str, np.ndarray], confidence: float, resamples: int = RESAMPLES
) -> dict[str, tuple[int, int]]:
    """Return the interval of each method's rank by IQM, from runs redrawn within every task.

    A method of one run shows no uncertainty: it keeps its score and gets no interval.
    """
    samples = [ragged.gather_matrix(array) for array in scores.values()]
    found = ragged_comparisons.estimate(
        samples, iqm_ranks, Plan(resamples=resamples, confidence=confidence)
    )
    ends = zip(scores, samples, found.low, found.high, strict=True)
    return {
        name: (math.floor(low), math.ceil(high))
        for name, sample, low, high in ends
        if min(sample.runs) > 1
    }


def iqm_ranks(drawn: Sequence[RaggedScores]) -> np.ndarray:
    """Return every method's rank by IQM, 1 the highest, ties the better rank: ``(..., methods)``.

    Each of the samples holds ``(..., scores)``.
    """
    values = np.stack([ragged.iqm(sample) for sample in drawn], axis=-1)
    return 1 + (values[..., None, :] > values[..., :, None]).sum(axis=-1)


def _score_table(scores: Mapping[str, np.ndarray]) -> ScoreTable:
    tasks = next(iter(scores.values())).shape[1]
    nothing = np.array([np.nan])
    cells = {
        (name, str(task)): tuple(
            ScoredRun(name, str(task), seed, np.zeros(1, np.int64), nothing, np.array([value]))
            for seed, value in enumerate(array[:, task].tolist())
        )
        for name, array in scores.items()
        for task in range(tasks)
    }
    datasets = tuple(str(task) for task in range(tasks))
    return ScoreTable(cells, tuple(scores), datasets, "score", "last", None)
