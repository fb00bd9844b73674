"""Bootstrap resamples: the right distribution, digits that a seed fixes, honest refusals."""

import itertools

import numpy as np
import pytest
import rliable.library
import rliable.metrics

from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import bootstrap, metrics


def matrix(runs, tasks, seed=0):
    generator = np.random.default_rng(seed)
    return generator.normal(generator.uniform(20, 80, tasks), 15.0, (runs, tasks))


def slow_iqm(scores):
    """The IQM as another function, so that the resampled scores themselves are aggregated."""
    return metrics.iqm(scores)


def test_all_resamples_are_equally_likely():
    # 3 runs x 1 task have 27 equally likely resamples: the exact distribution of the mean.
    scores = np.array([[0.0], [1.0], [10.0]])
    exact = [np.mean(draw) for draw in itertools.product(scores[:, 0], repeat=3)]
    values, weights = np.unique(np.round(exact, 9), return_counts=True)
    drawn = bootstrap.distribution(scores, metrics.mean, np.random.default_rng(3), 270_000)
    found, counts = np.unique(np.round(drawn, 9), return_counts=True)
    np.testing.assert_array_equal(found, values)
    expected = weights * 10_000
    chi_squared = ((counts - expected) ** 2 / expected).sum()
    assert chi_squared < 29.6  # 9 degrees of freedom: exceeded once in 2,000 seeds


@pytest.mark.parametrize("runs", [2, 3, 5, 10, 16, 17, 41, 100, 300])
def test_every_run_is_drawn_equally_often_in_every_place(runs):
    stream = bootstrap._Stream(np.random.default_rng(runs), runs)
    resamples = 200_000 // runs
    draws = stream.digits()[stream.take(resamples, tasks=2)].reshape(resamples, 2, -1)[..., :runs]
    expected = draws.size / runs
    counts = np.bincount(draws.ravel(), minlength=runs)
    assert len(counts) == runs
    chi_squared = ((counts - expected) ** 2 / expected).sum()
    assert abs(chi_squared - (runs - 1)) < 4.5 * np.sqrt(2 * (runs - 1))
    by_place = draws.mean(axis=0)
    error = np.sqrt((runs**2 - 1) / 12 / resamples)
    assert np.abs(by_place - (runs - 1) / 2).max() < 5.5 * error


def test_tasks_are_resampled_independently():
    # Were all tasks given the same runs, the two would cancel and the spread would be nil.
    column = np.arange(10.0)
    scores = np.stack([column, -column], axis=1)
    drawn = bootstrap.distribution(scores, metrics.mean, np.random.default_rng(0), 20_000)
    np.testing.assert_allclose(drawn.std(), np.sqrt(column.var() / 10 / 2), rtol=0.03)


@pytest.mark.parametrize(
    "shape", [(2, 1), (2, 2), (3, 4), (5, 9), (10, 9), (10, 26), (23, 8), (90, 3)]
)
def test_iqm_from_counts_is_the_iqm_of_the_same_resamples(shape):
    scores = matrix(*shape)
    scores[0] = scores[-1]  # ties within tasks
    scores[:, -1] = scores[:, 0]  # and between them
    counted = bootstrap.distribution(scores, metrics.iqm, np.random.default_rng(5), 700)
    sorted_out = bootstrap.distribution(scores, slow_iqm, np.random.default_rng(5), 700)
    np.testing.assert_allclose(counted, sorted_out, rtol=1e-11)


@pytest.mark.parametrize("metric", [metrics.iqm, metrics.median, metrics.mean])
@pytest.mark.parametrize("shape", [(5, 9), (10, 26), (150, 2)])
@pytest.mark.parametrize("length", [1, 37])
def test_working_in_pieces_changes_no_digit(monkeypatch, metric, shape, length):
    scores = matrix(*shape)
    generator = np.random.default_rng(7)
    whole = bootstrap.distribution(scores, metric, generator, 300)
    state_after = generator.bit_generator.state
    monkeypatch.setattr(bootstrap, "_CHUNK_BYTES", 8 * scores.size * length)
    generator = np.random.default_rng(7)
    pieces = bootstrap.distribution(scores, metric, generator, 300)
    np.testing.assert_array_equal(pieces, whole)
    assert generator.bit_generator.state == state_after


def test_same_seed_same_digits_and_other_seed_other_ones():
    scores = matrix(10, 9)

    def drawn(generator):
        return bootstrap.distribution(scores, metrics.iqm, generator, 300)

    first, again, other = (drawn(np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    generator = np.random.default_rng(1)
    drawn(generator)
    assert (drawn(generator) != first).any()


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (metrics.iqm, rliable.metrics.aggregate_iqm),
        (metrics.mean, rliable.metrics.aggregate_mean),
        (metrics.median, rliable.metrics.aggregate_median),
        (
            lambda scores: metrics.optimality_gap(scores, gamma=60.0),
            lambda scores: rliable.metrics.aggregate_optimality_gap(scores, gamma=60.0),
        ),
    ],
)
def test_ends_agree_with_rliable(ours, theirs):
    scores = matrix(6, 5)
    np.random.seed(0)  # noqa: NPY002  rliable draws from numpy's global generator, whatever it is given
    reps = 4000
    _, intervals = rliable.library.get_interval_estimates({"a": scores}, theirs, reps=reps)
    low, high = np.ravel(intervals["a"])
    drawn = bootstrap.distribution(scores, ours, np.random.default_rng(0), 200_000)
    # The shares of resamples below rliable's ends are 2.5% and 97.5%, up to its Monte-Carlo error.
    error = 4.5 * np.sqrt(0.025 * 0.975 / reps)
    assert abs((drawn < low).mean() - 0.025) < error
    assert abs((drawn < high).mean() - 0.975) < error


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"resamples": 0}, "0 resamples"),
        ({"scores": np.zeros((1, 9))}, "one run per task has no interval"),
        ({"scores": np.full((3, 2), np.nan)}, "score nan"),
        ({"scores": np.zeros((2, 3, 4))}, r"\(2, 3, 4\) are not \(runs, tasks\)"),
        ({"scores": np.zeros((70_000, 1))}, "70000 runs"),
    ],
)
def test_bad_input(change, told):
    given = {
        "scores": matrix(3, 2),
        "metric": metrics.iqm,
        "generator": np.random.default_rng(0),
        "resamples": 10,
    }
    with pytest.raises(DatumrlError, match=told):
        bootstrap.distribution(**{**given, **change})
