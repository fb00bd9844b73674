"""Runs that were last evaluated elsewhere than at the end of their training."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import report
from datumrl.evaluation.records import Evaluation, RunRecord, ScoreRow

HOPPER = "d4rl/hopper-medium-v2"
FAST = {"resamples": 50}


@pytest.fixture
def ending(make_record):
    """Return records of one algorithm, each evaluated at the given steps; the budget is 1,000."""

    def make(algorithm: str, *ends: Sequence[int]) -> list[RunRecord]:
        made = []
        for seed, steps in enumerate(ends):
            points = tuple(
                Evaluation(step=step, returns=(900.0 + step, 800.0 + seed), lengths=(300, 300))
                for step in steps
            )
            record = make_record(algorithm, seed=seed)
            made.append(record.model_copy(update={"evaluations": points}))
        return made

    return make


@pytest.mark.parametrize("rule", [None, "last", "last-10-mean"])
def test_recorded_runs_of_other_lengths_are_not_averaged(ending, rule) -> None:
    long = [*range(91, 100), 500], [*range(91, 100), 500], [*range(991, 1001)]
    said = rf"iql on {HOPPER}: .* step 500 \(seeds 0, 1\) and step 1,000 \(seed 2\) of 1,000 steps"
    with pytest.raises(DatumrlError, match=said):
        report.compare(ending("iql", *long), checkpoint=rule, **FAST)
    found = report.compare(ending("iql", *long), checkpoint="best", **FAST)
    assert f"iql on {HOPPER}, seeds 0, 1 (step 500 of 1,000)" in str(found)


def test_a_last_evaluation_before_the_end_is_noted(ending) -> None:
    early = ending("early", [100, 500], [500], [100, 500])
    whole = ending("whole", [1000], [500, 1000])
    told = str(report.compare([*early, *whole], **FAST))
    note = "note: last evaluation not at the end of training: "
    assert f"{note}early on {HOPPER}, seeds 0, 1, 2 (step 500 of 1,000)" in told.splitlines()
    assert "not at the end" not in str(report.compare(whole, **FAST))


def test_a_run_that_failed_early_is_no_matter(ending, make_record) -> None:
    runs = [*ending("iql", [1000]), make_record(seed=1, status="failed", points=(5.0,))]
    assert "last evaluation" not in str(report.compare(runs, failed_as=0.0, **FAST))


def rows(*steps: int | None, **more) -> list[ScoreRow]:
    common = {"tier": "local", "algorithm": "a", "dataset": HOPPER}
    return [
        ScoreRow(**{**common, "seed": seed, "step": step, "score": float(seed), **more})
        for seed, step in enumerate(steps)
    ]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (rows(500, 1000, 500, 1000), f"a on {HOPPER}, seeds 0, 2 (step 500 of 1,000)"),
        (rows(500, 500, 1000, seed=None), f"a on {HOPPER}, 2 of its runs (step 500 of 1,000)"),
        (rows(*range(9), 10), "(step 2 of 10); a on d4rl/hopper-medium-v2, seed 3 (step 3 of 10)"),
        (rows(*range(9), 10), "(step 3 of 10) and 5 more"),
        (rows(*[1] * 8, 2), "seeds 0, 1, 2, 3, 4, 5 and 2 more (step 1 of 2)"),
    ],
)
def test_score_rows_that_end_before_others_are_noted(given, told: str) -> None:
    (note,) = (each for each in report.compare(given, **FAST).notes if "last evaluation" in each)
    assert note.startswith("last evaluation before that of the other seeds: ")
    assert told in note


@pytest.mark.parametrize("steps", [(None,) * 3, (500, 500), (None, 500)])
def test_rows_of_one_length_or_of_none_are_not(steps) -> None:
    assert "last evaluation" not in str(report.compare(rows(*steps), **FAST))
