"""Unequal runs per task: equal weight for every task, and failures that are never dropped."""

import numpy as np
import pytest

from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import metrics, ragged

UNEQUAL = [[10.0, 50.0], [20.0, 30.0, 40.0], [0.0, 60.0, 70.0, 80.0, 90.0]]


def repeated_iqm(tasks):
    """Repeat each task's runs to a common number: the same weights in a plain sample.

    The share to cut is that of the original number of scores, so cut by hand.
    """
    size = sum(len(task) for task in tasks)
    common = 60 * size  # a multiple of every number of runs, and of what is cut
    flat = np.sort(np.concatenate([np.repeat(task, common // len(task)) for task in tasks]))
    cut = round(flat.size * (size // 4) / size)
    return flat[cut : flat.size - cut].mean()


@pytest.mark.parametrize("shape", [(1, 1), (2, 1), (3, 2), (5, 3), (10, 9)])
def test_equal_to_the_plain_metrics_when_rectangular(shape):
    scores = np.random.default_rng(0).normal(60, 30, shape)
    held = ragged.gather_matrix(scores)
    assert held.equal_runs
    assert ragged.iqm(held) == pytest.approx(metrics.iqm(scores), rel=1e-13)
    assert ragged.mean(held) == pytest.approx(metrics.mean(scores), rel=1e-13)
    assert ragged.median(held) == pytest.approx(metrics.median(scores), rel=1e-13)
    assert ragged.optimality_gap(held, 70.0) == pytest.approx(
        metrics.optimality_gap(scores, 70.0), rel=1e-13
    )


@pytest.mark.parametrize("shape", [(2, 1), (3, 2), (5, 3), (10, 9)])
def test_the_weighted_way_gives_the_plain_iqm_too(shape, monkeypatch):
    scores = np.random.default_rng(0).normal(60, 30, shape)
    held = ragged.gather_matrix(scores)
    plain = ragged.trimmed_mean(held)
    monkeypatch.setattr(ragged.RaggedScores, "equal_runs", False)
    np.testing.assert_allclose(ragged.trimmed_mean(held), plain, rtol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_weighted_iqm_is_that_of_repeated_runs(seed):
    generator = np.random.default_rng(seed)
    tasks = [generator.normal(50, 30, runs).round(seed % 2) for runs in (2, 3, 5, 1)]
    assert ragged.iqm(ragged.gather(tasks)) == pytest.approx(repeated_iqm(tasks), rel=1e-12)


@pytest.mark.parametrize("runs", [(5, 5, 5), (2, 3, 5, 1)])
def test_the_iqm_has_the_same_digits_in_any_order(runs):
    for seed in range(100):
        generator = np.random.default_rng(seed)
        tasks = [generator.normal(50, 30, count).round(seed % 2) for count in runs]
        turned = [task[::-1] for task in reversed(tasks)]
        assert ragged.iqm(ragged.gather(tasks)) == ragged.iqm(ragged.gather(turned))


def test_every_task_weighs_the_same():
    held = ragged.gather(UNEQUAL)
    assert ragged.mean(held) == pytest.approx(np.mean([30.0, 30.0, 60.0]))
    assert ragged.median(held) == pytest.approx(30.0)
    assert ragged.optimality_gap(held, 50.0) == pytest.approx(np.mean([20.0, 20.0, 10.0]))
    # More of the same runs change nothing but what is cut, and that by less than a score.
    more = ragged.gather([UNEQUAL[0] * 2, UNEQUAL[1] * 3, UNEQUAL[2]])
    assert ragged.mean(more) == pytest.approx(ragged.mean(held))


def test_tasks_and_matrix():
    held = ragged.gather(UNEQUAL)
    assert [task.tolist() for task in held.tasks] == UNEQUAL
    with pytest.raises(DatumrlError, match="2 to 5 runs and make no matrix"):
        _ = held.matrix
    scores = np.arange(12.0).reshape(3, 4)
    np.testing.assert_array_equal(ragged.gather_matrix(scores).matrix, scores)


def test_resamples_stay_within_their_task_and_leading_axes_apart():
    held = ragged.gather([[1.0, 2.0], [10.0, 20.0, 30.0], [100.0]])
    drawn = held.resampled(np.random.default_rng(0), 400)
    assert drawn.flat.shape == (400, 6)
    assert set(drawn.flat[:, :2].ravel()) == {1.0, 2.0}
    assert set(drawn.flat[:, 2:5].ravel()) == {10.0, 20.0, 30.0}
    assert set(drawn.flat[:, 5]) == {100.0}
    values = ragged.iqm(drawn)
    alone = [ragged.iqm(ragged.gather([row[:2], row[2:5], row[5:]])) for row in drawn.flat[:20]]
    np.testing.assert_allclose(values[:20], alone, rtol=1e-12)


def test_failed_runs_leave_the_metric_undefined_unless_told():
    tasks = [[50.0, float("nan")], [60.0, 70.0, 80.0]]
    with pytest.raises(DatumrlError, match=r"failed runs \(1 on task 0\) leave the metric undef"):
        ragged.gather(tasks)
    held = ragged.gather([[50.0, None], tasks[1]], failed_as=0)
    assert (held.failed, held.failed_as) == (1, 0.0)
    assert held.note == "1 of 5 runs failed and count as 0"
    assert ragged.mean(held) == pytest.approx((25.0 + 70.0) / 2)
    assert ragged.gather([[1.0], [2.0]], failed_as=0).note == ""
    matrix = np.array([[1.0, np.nan], [3.0, np.nan]])
    assert ragged.gather_matrix(matrix, failed_as=-5).note == "2 of 4 runs failed and count as -5"
    assert np.isnan(matrix).sum() == 2  # the caller's scores are left as they were


@pytest.mark.parametrize(
    ("tasks", "told"),
    [
        ([], "no tasks"),
        ([[1.0], []], r"task 1: scores of shape \(0,\)"),
        ([[[1.0]]], r"task 0: scores of shape \(1, 1\)"),
        ([["high"]], "task 0: .* are no scores"),
        ([[1.0, float("inf")]], "task 0: an infinite score"),
        ([[1e100], [-1e100, 1.5e200]], r"task 1: a score of 1.5e\+200, beyond 1e\+100; correct it"),
    ],
)
def test_bad_scores(tasks, told):
    with pytest.raises(DatumrlError, match=told):
        ragged.gather(tasks)


def test_bad_settings():
    for value, shown in ((float("nan"), "nan"), (-1e200, r"-1e\+200")):
        with pytest.raises(DatumrlError, match=f"failed_as {shown}"):
            ragged.gather(UNEQUAL, failed_as=value)
    with pytest.raises(DatumrlError, match="gamma inf"):
        ragged.optimality_gap(ragged.gather(UNEQUAL), float("inf"))
    with pytest.raises(DatumrlError, match=r"\(3,\) are not \(runs, tasks\)"):
        ragged.gather_matrix([1.0, 2.0, 3.0])
