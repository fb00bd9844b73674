"""The report: its numbers, its groups, what it leaves undefined, and that it is the same again."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import (
    group_test,
    influence,
    intervals,
    metrics,
    ragged,
    report,
    report_text,
)
from datumrl.evaluation.adastop_design import Design
from datumrl.evaluation.records import ScoreRow

TASKS = ("d4rl/hopper-medium-v2", "d4rl/walker2d-medium-v2")


def rows(means: dict[str, float], runs: int = 6, steps: int = 1, tasks=TASKS) -> list[ScoreRow]:
    rng = np.random.default_rng(0)
    return [
        ScoreRow(
            tier="local", algorithm=name, dataset=task, seed=seed, step=step,
            score=mean + float(rng.normal(0, 3)) + step,
        )
        for name, mean in means.items()
        for task in tasks
        for seed in range(runs)
        for step in range(steps)
    ]  # fmt: skip


FAST = {"resamples": 300}
THREE = {"low": 20.0, "high": 60.0, "also high": 60.5}


def test_numbers_are_those_of_the_metrics_and_intervals() -> None:
    given = rows(THREE)
    found = report.compare(given, **FAST)
    matrix = np.array(
        [[r.score for r in given if (r.algorithm, r.dataset) == ("low", t)] for t in TASKS]
    ).T
    low = next(each for each in found.summaries if each.algorithm == "low")
    assert low.metrics["iqm"].value == pytest.approx(metrics.iqm(matrix))
    assert low.metrics["optimality_gap"].value == pytest.approx(metrics.optimality_gap(matrix, 100))
    expected = intervals.interval(matrix, influence.IQM, np.random.default_rng(0), "t")
    assert low.metrics["iqm"].low == pytest.approx(expected.low)
    assert (low.runs, low.tasks) == ((6, 6), 2)
    assert found.options.method == "t"


def test_groups_pairs_and_ranks_tell_the_same_story() -> None:
    found = report.compare(rows(THREE), **FAST)
    assert [each.algorithm for each in found.summaries][-1] == "low"
    assert found.test.letters["low"] == "b"
    assert found.test.letters["high"] == found.test.letters["also high"] == "a"
    assert "closed" in found.test.method
    assert "mean over 2 tasks" in found.test.method
    against_low = [pair for pair in found.pairs if pair.second == "low"]
    assert [pair.decision for pair in against_low] == ["larger", "larger"]
    assert all(pair.improvement.value == 1.0 for pair in against_low)
    assert all(pair.difference.low > 30 for pair in against_low)
    np.testing.assert_allclose(found.ranks.value.sum(axis=0), 1.0)
    assert found.ranks.value[-1, 2] == pytest.approx(1.0)


def test_same_seed_same_digits_another_seed_others() -> None:
    texts = [
        json.dumps(report_text.as_json(report.compare(rows(THREE), seed=seed, **FAST)))
        for seed in (1, 1, 2)
    ]
    assert texts[0] == texts[1] != texts[2]


def test_an_algorithms_interval_does_not_depend_on_the_others() -> None:
    given = rows(THREE)
    alone = report.compare(given, algorithms=["low"], interval="percentile", **FAST)
    beside = report.compare(given, interval="percentile", **FAST)
    assert alone.summaries[0].metrics == beside.summaries[-1].metrics


@pytest.mark.parametrize("method", ["percentile", "basic", "bca", "studentised", "t"])
def test_every_interval_method_is_named_in_the_report(method: str) -> None:
    found = report.compare(rows(THREE), interval=method, **FAST)
    words = "Student's t" if method == "t" else f"{method} bootstrap"
    assert words in str(found)


def test_runs_and_tasks() -> None:
    runs_only = report.compare(rows(THREE), interval="percentile", **FAST)
    both = report.compare(rows({"a": 10.0, "b": 50.0}), bootstrap="runs+tasks", **FAST)
    assert "over runs and tasks" in str(both)
    assert "over runs (" in str(runs_only)
    with pytest.raises(DatumrlError, match="does not resample tasks"):
        report.compare(rows(THREE), bootstrap="runs+tasks", interval="bca")


def test_a_failed_run_leaves_its_algorithm_undefined_and_no_other() -> None:
    given = rows(THREE)
    given[0] = given[0].model_copy(update={"score": None, "failed": True})
    found = report.compare(given, **FAST)
    last = found.summaries[-1]
    assert last.algorithm == "low"
    assert "1 of 12 runs failed (seed 0 on d4rl/hopper-medium-v2" in last.undefined
    assert last.metrics == {}
    assert {name for pair in found.pairs for name in (pair.first, pair.second)} == {
        "high",
        "also high",
    }
    assert "undefined" in str(found)
    scored = report.compare(given, failed_as=-5.0, **FAST)
    assert not scored.summaries[-1].undefined
    for text in (str(scored), report_text.markdown(scored, {})):
        assert "failed runs count as -5" in text
        assert "1 of 12 runs failed and count as -5" in text.replace("\\", "")


def test_ragged_runs_keep_equal_task_weight() -> None:
    given = [r for r in rows(THREE) if not (r.dataset == TASKS[0] and (r.seed or 0) > 3)]
    found = report.compare(given, **FAST)
    tasks = [
        [r.score for r in given if r.algorithm == "low" and r.dataset == task] for task in TASKS
    ]
    last = found.summaries[-1]
    assert last.runs == (4, 6)
    assert last.metrics["mean"].value == pytest.approx(ragged.mean(ragged.gather(tasks)))
    assert "4 seeds of each, the first of up to" not in found.test.method
    assert "4 seeds of each" in found.test.method


def test_few_runs_are_flagged_and_one_run_has_no_interval() -> None:
    two = report.compare(rows(THREE, runs=2), **FAST)
    assert all(each.few_runs for each in two.summaries)
    assert "† fewer than 3 runs" in str(two)
    assert "no test: 2 runs" in two.test.reason
    one = report.compare(rows(THREE, runs=1), **FAST)
    assert one.summaries[0].metrics["iqm"].low is None
    assert one.pairs[0].improvement.low is None


def test_baseline_compares_with_it_only() -> None:
    found = report.compare(rows(THREE), baseline="low", **FAST)
    assert {pair.second for pair in found.pairs} == {"low"}
    assert found.test.letters == {}
    assert [pair.decision for pair in found.pairs] == ["larger", "larger"]
    with pytest.raises(DatumrlError, match="did you mean 'low'"):
        report.compare(rows(THREE), baseline="lov")


def test_pairs_have_adjusted_p_values() -> None:
    found = report.compare(rows(THREE), **FAST)
    low = [pair.p_adjusted for pair in found.pairs if pair.second == "low"]
    (same,) = (pair.p_adjusted for pair in found.pairs if pair.second != "low")
    assert max(low) <= 0.05 < same <= 1.0
    text = str(found)
    assert "Adjusted p: the least family-wise alpha that would separate the two." in text
    assert f"  {low[0]:.4f}" in text.split("Pairs")[1]
    told = [pair["p_adjusted"] for pair in report_text.as_json(found)["pairs"]]
    lines = [row for row in report_text.csv_rows(found) if row[0] == "adjusted p"]
    assert [float(row[5]) for row in lines] == told == [pair.p_adjusted for pair in found.pairs]
    none = report.compare(rows(THREE, runs=2), **FAST)
    assert [pair.p_adjusted for pair in none.pairs] == [None] * 3
    assert "djusted p" not in str(none)


def uneven(**runs: int) -> list[ScoreRow]:
    """Return rows of algorithms far apart, each with so many seeds."""
    levels = {name: 20.0 * place for place, name in enumerate(runs)}
    return [
        row for row in rows(levels, max(runs.values())) if (row.seed or 0) < runs[row.algorithm]
    ]


def test_an_algorithm_of_few_seeds_leaves_the_test_to_the_others() -> None:
    found = report.compare(uneven(x=8, y=8, z=2), **FAST)
    assert found.test.letters == {"x": "b", "y": "a"}
    assert found.test.untested == {"z": "2 runs, too few"}
    assert found.test.method.endswith("8 seeds of each; not tested: z (2 runs, too few)")
    assert [(pair.first, pair.second, pair.decision) for pair in found.pairs] == [
        ("z", "y", None), ("z", "x", None), ("y", "x", "larger"),
    ]  # fmt: skip
    against = report.compare(uneven(x=8, y=8, z=2), baseline="x", **FAST)
    assert "1 comparison; " in against.test.method
    assert against.test.method.endswith("not tested: z (2 runs, too few)")


@pytest.mark.parametrize(
    ("seeds", "baseline", "reason"),
    [
        ({"x": 3, "y": 3}, None, "3 runs can never reject at alpha 0.05: use at least 4 runs"),
        ({"x": 8, "y": 3, "z": 2}, None, "(z has 2 runs, y has 3 runs, x has 8 runs)"),
        ({"x": 8, "y": 8, "z": 2}, "z", "4 runs (z has 2 runs, y has 8 runs, x has 8 runs)"),
    ],
)  # fmt: skip
def test_too_few_seeds_for_any_test_are_named(seeds, baseline, reason) -> None:
    test = report.compare(uneven(**seeds), baseline=baseline, **FAST).test
    assert test.reason.endswith(reason)
    assert (test.letters, test.decisions) == ({}, ())


def test_checkpoints_and_curves_appear_with_several_evaluations() -> None:
    found = report.compare(rows(THREE, steps=12), checkpoint="best", **FAST)
    assert set(found.summaries[0].checkpoints) == {
        "last", "last-10-mean", "best", "optimism of best",
    }  # fmt: skip
    assert found.curves["low"].steps.tolist() == list(range(12))
    assert "chosen by the test return itself" in str(found)
    assert "checkpoint `best` (optimistic)" in str(found)


def test_returns_have_no_optimality_gap() -> None:
    given = [
        r.model_copy(update={"score": None, "mean_return": r.score})
        for r in rows(THREE, tasks=TASKS[:1])
    ]
    found = report.compare(given, **FAST)
    assert "optimality_gap" not in found.summaries[0].metrics
    assert "undiscounted return" in str(found)


def test_more_algorithms_than_the_closed_test_takes_use_the_step_down() -> None:
    means = {f"m{place:02d}": 20.0 * place for place in range(13)}
    found = report.compare(rows(means, tasks=TASKS[:1]), **FAST)
    assert "independent permutations" in found.test.method
    assert found.test.letters["m12"] == "a"


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({}, "test on studentised differences of means (10,000 relabellings, seed 3), family"),
        ({"statistic": "difference"}, "test on differences of means (10,000 relabellings, seed 3)"),
        ({"runs": 4}, "(all relabellings of pairs; of larger sets 10,000 relabellings, seed 3)"),
        ({"runs": 4, "algorithms": ("a", "b")}, "(all relabellings)"),
        ({"runs": 4, "algorithms": ("a", "b"), "interims": 3}, "(10,000 relabellings, seed 3)"),
        ({"procedure": "shared", "permutations": 500}, "permutations (500 relabellings, seed 3)"),
    ],
)  # fmt: skip
def test_the_test_tells_its_statistic_and_relabellings(changed: dict, told: str) -> None:
    design = Design(**{"algorithms": tuple("abc"), "runs": 8, "interims": 1, "seed": 3, **changed})
    assert told in group_test.described(design)


def test_groups_hold_their_level_under_the_null() -> None:
    """Three equal algorithms, 6 runs: any separation in at most 5% and a margin of 400 trials."""
    rng = np.random.default_rng(5)
    false = 0
    for trial in range(400):
        given = [
            ScoreRow(tier="local", algorithm=name, dataset=TASKS[0], seed=seed,
                     score=float(rng.exponential(20)))
            for name in "abc" for seed in range(6)
        ]  # fmt: skip
        table = report.score_table.build(report.gathered(given))
        test = group_test.separate(table, "abc", 0.05, trial, permutations=400)
        false += any(each.decision != "equal" for each in test.decisions)
    assert false <= 32


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"interval": "normal"}, "unknown interval 'normal'"),
        ({"bootstrap": "tasks"}, "unknown bootstrap"),
        ({"confidence": 1.0}, "confidence 1.0"),
        ({"alpha": 0.0}, "alpha 0.0"),
        ({"seed": -1}, "seed -1"),
        ({"resamples": 0}, "resamples 0"),
        ({"failed_as": float("nan")}, "--failed-as nan"),
        ({"gamma": float("inf")}, "--gamma inf"),
        ({"gamma": 1e200}, r"--gamma 1e\+200 is not finite, or beyond 1e\+100"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, said) -> None:
    with pytest.raises(DatumrlError, match=said):
        report.compare(rows(THREE), **options)


def test_what_is_no_record_is_refused() -> None:
    with pytest.raises(DatumrlError, match="dict is no record"):
        report.compare([{"score": 1}])
    with pytest.raises(DatumrlError, match="no runs to compare"):
        report.compare([])


def test_the_front_door() -> None:
    import datumrl

    assert "IQM" in str(datumrl.compare(rows(THREE), **FAST))


def failing(algorithm: str, scores: list[float], task: str = TASKS[0]) -> list[ScoreRow]:
    return [
        ScoreRow(tier="local", algorithm=algorithm, dataset=task, seed=seed, score=score)
        for seed, score in enumerate(scores)
    ]


def test_the_medians_interval_is_wide_and_the_caption_says_why() -> None:
    found = report.compare(rows(THREE), **FAST)
    assert "the median's from joint limits of the tasks' means" in str(found)
    low = found.summaries[-1].metrics
    width = {key: low[key].high - low[key].low for key in ("mean", "median")}
    assert width["median"] > width["mean"]
    percentile = report.compare(rows(THREE), interval="percentile", **FAST)
    assert "the median's hold the truth less often" in str(percentile)
    alone = report.compare(rows(THREE, tasks=TASKS[:1]), **FAST)
    assert "median's" not in str(alone)


def test_scores_that_count_all_equal_are_no_certainty() -> None:
    found = report.compare(
        [*failing("mostly failed", [0.0] * 8 + [60.0, 80.0]), *rows({"b": 50.0}, 10, 1, TASKS[:1])],
        **FAST,
    )
    failed = next(each for each in found.summaries if each.algorithm == "mostly failed")
    assert failed.metrics["iqm"].high > 10.0
    assert failed.metrics["mean"].low < 0.0  # Student's t sees these
    assert "IQM: the scores that count are all equal" in failed.notes[0]
    by_percentile = report.compare(
        [*failing("mostly failed", [0.0] * 8 + [60.0, 80.0]), *rows({"b": 50.0}, 10, 1, TASKS[:1])],
        interval="percentile",
        **FAST,
    )
    assert found.pairs[0].difference == by_percentile.pairs[0].difference


def test_runs_that_are_all_equal_have_no_interval() -> None:
    found = report.compare([*failing("a", [0.0] * 5), *failing("b", [7.0] * 5)], **FAST)
    for each in found.summaries:
        assert {measure.low for measure in each.metrics.values()} == {None}
        assert "no interval: the scores that count are all equal" in each.notes[0]
    assert found.pairs[0].difference.low is None


@pytest.mark.parametrize("interval", ["t", "percentile"])
def test_a_difference_of_no_width_is_no_interval(interval: str) -> None:
    """The one run of ``a`` that differs never reaches the middle half."""
    a = [0.0] * 20 + [5.0]
    runs = [*failing("a", a), *failing("b", [7.0] * 21)]
    found = report.compare(runs, interval=interval, **FAST)
    assert abs(found.pairs[0].difference.value) == 7.0
    assert found.pairs[0].difference.low is None


def test_a_single_run_shows_no_certainty_anywhere() -> None:
    found = report.compare(rows(THREE, runs=1, steps=3), **FAST)
    bands = [found.ranks, found.curves["low"].band, *found.profiles["low"]]
    assert {(band.low, band.high) for band in bands} == {(None, None)}
    told = report_text.as_json(found)
    assert told["ranks"]["low"] is None
    series = [row for row in report_text.csv_rows(found) if row[0] in ("rank", "iqm at step")]
    assert len(series) == 9 + 9
    assert {row[6:8] for row in series} == {("", "")}
    assert "In report.csv" not in report_text.markdown(found, {})


def test_returns_of_a_dataset_that_no_catalogue_has() -> None:
    given = [
        ScoreRow(tier="local", algorithm=name, dataset="mine/own-v0", seed=seed, mean_return=seed)
        for name in "ab"
        for seed in range(4)
    ]
    found = report.compare(given, **FAST)
    assert "mine/own-v0 is not in the catalogue, so it has no reference scores" in str(found)


def test_scores_without_seeds_cannot_be_checked_for_copies() -> None:
    given = [row.model_copy(update={"seed": None}) for row in rows(THREE)]
    assert "36 scores have no seed" in str(report.compare(given, **FAST))
    assert "no seed" not in str(report.compare(rows(THREE), **FAST))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("intervals", "intervals='bca' is no option; did you mean interval? Options are interval,"),
        ("xyz", "xyz='bca' is no option; Options are interval, bootstrap, checkpoint, baseline,"),
    ],
)
def test_an_option_that_is_none_is_refused_with_the_nearest(name: str, told: str) -> None:
    with pytest.raises(DatumrlError, match=re.escape(told)):
        report.compare(rows(THREE), **{name: "bca"})
