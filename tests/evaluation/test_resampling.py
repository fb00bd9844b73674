"""Stratified resampling of anything: right spread, paired tasks, whole curves, fixed digits."""

import numpy as np
import pytest
import rliable.library
import rliable.metrics

from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import bootstrap, metrics, resampling


def matrix(runs, tasks, seed=0):
    generator = np.random.default_rng(seed)
    return generator.normal(generator.uniform(20, 80, tasks), 15.0, (runs, tasks))


def test_agrees_with_the_fast_bootstrap():
    scores = matrix(6, 5)
    ours = resampling.estimate([scores], metrics.iqm, np.random.default_rng(0), 20_000)
    drawn = bootstrap.distribution(scores, metrics.iqm, np.random.default_rng(1), 100_000)
    error = 4.5 * np.sqrt(0.025 * 0.975 / 20_000)
    assert abs((drawn < ours.low).mean() - 0.025) < error
    assert abs((drawn < ours.high).mean() - 0.975) < error
    assert ours.value == metrics.iqm(scores)


def test_curves_are_drawn_whole():
    # Every step of a run is the same number: were steps drawn apart, they would differ.
    scores = np.repeat(matrix(5, 3)[None], 4, axis=0)
    seen = []

    def keep(drawn):
        seen.append(drawn)
        return metrics.mean(drawn)

    found = resampling.estimate([scores], keep, np.random.default_rng(0), 500)
    assert seen[0].shape == (500, 4, 5, 3)
    np.testing.assert_array_equal(seen[0], np.repeat(seen[0][:, :1], 4, axis=1))
    assert found.low.shape == (4,)
    assert len(np.unique(found.low)) == 1


def test_draws_stay_within_their_task_unless_tasks_are_drawn_too():
    scores = np.arange(3.0) * 10 + np.arange(4.0)[:, None]  # (4 runs, 3 tasks); tens tell the task
    seen = {}

    def keep(name):
        def statistic(x, y):
            seen.setdefault(name, (x // 10, y // 10))
            return x.mean(axis=(-2, -1)) - y.mean(axis=(-2, -1))

        return statistic

    for over_tasks in (False, True):
        resampling.estimate(
            [scores, scores[:2]],
            keep(over_tasks),
            np.random.default_rng(0),
            300,
            over_tasks=over_tasks,
        )
    own = np.broadcast_to(np.arange(3.0), (300, 4, 3))
    np.testing.assert_array_equal(seen[False][0], own)
    first, second = seen[True]
    assert (first != own).any()
    np.testing.assert_array_equal(first[:, :1], second[:, :1])  # the same tasks for both samples
    np.testing.assert_array_equal(first, np.repeat(first[:, :1], 4, axis=1))


def test_drawing_tasks_too_agrees_with_rliable():
    scores, reps = matrix(5, 6), 800
    np.random.seed(0)  # noqa: NPY002  rliable draws from numpy's global generator
    _, theirs = rliable.library.get_interval_estimates(
        {"a": scores}, rliable.metrics.aggregate_iqm, task_bootstrap=True, reps=reps
    )
    drawn = []

    def keep(sample):
        drawn.append(metrics.iqm(sample))
        return drawn[-1]

    resampling.estimate([scores], keep, np.random.default_rng(0), 20_000, over_tasks=True)
    values = np.concatenate(drawn[:-1])
    error = 4.5 * np.sqrt(0.025 * 0.975 / reps)
    low, high = np.ravel(theirs["a"])
    assert abs((values < low).mean() - 0.025) < error
    assert abs((values < high).mean() - 0.975) < error


def test_pieces_change_no_digit(monkeypatch):
    scores = matrix(5, 4)
    whole = resampling.estimate([scores], metrics.iqm, np.random.default_rng(7), 300)
    monkeypatch.setattr(resampling, "_CHUNK_BYTES", 8 * scores.size * 37)
    pieces = resampling.estimate([scores], metrics.iqm, np.random.default_rng(7), 300)
    assert pieces == whole


def test_few_runs_are_flagged():
    two = resampling.estimate([matrix(2, 3)], metrics.mean, np.random.default_rng(0), 50)
    three = resampling.estimate([matrix(3, 3)], metrics.mean, np.random.default_rng(0), 50)
    assert two.few_runs
    assert not three.few_runs


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"confidence": 95}, "confidence 95"),
        ({"resamples": 0}, "0 resamples"),
        ({"samples": [matrix(1, 3)]}, "1 run per task has no interval"),
        ({"samples": [matrix(3, 3), matrix(3, 2)]}, "samples of 3, 2 tasks"),
        ({"samples": [np.full((3, 2), np.nan)]}, "score nan"),
    ],
)
def test_bad_input(change, told):
    given = {
        "samples": [matrix(3, 2)],
        "statistic": metrics.mean,
        "generator": np.random.default_rng(0),
    }
    with pytest.raises(DatumrlError, match=told):
        resampling.estimate(**{**given, **change})
