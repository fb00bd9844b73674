"""Improvement, differences and ranks: equal to rliable's or to plain enumeration."""

import itertools

import numpy as np
import pytest
import rliable.library
import rliable.metrics
import scipy.stats

from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import comparisons, metrics


def matrix(runs, tasks, mean=50.0, seed=0):
    return np.random.default_rng(seed).normal(mean, 15.0, (runs, tasks))


@pytest.mark.parametrize("rounded", [False, True])
def test_improvement_is_rliables(rounded):
    x, y = matrix(6, 5), matrix(4, 5, 55, seed=1)
    if rounded:  # ties
        x, y = x.round(-1), y.round(-1)
    np.testing.assert_allclose(
        comparisons.probability_of_improvement(x, y),
        rliable.metrics.probability_of_improvement(x, y),
        rtol=1e-12,
    )
    both = comparisons.probability_of_improvement(x, y) + comparisons.probability_of_improvement(
        y, x
    )
    assert both == pytest.approx(1.0)
    assert comparisons.probability_of_improvement(x, x) == pytest.approx(0.5)


def test_interval_of_improvement_is_rliables():
    x, y = matrix(6, 5), matrix(4, 5, 55, seed=1)
    np.random.seed(0)  # noqa: NPY002  rliable draws from numpy's global generator
    reps = 300
    _, intervals = rliable.library.get_interval_estimates(
        {"pair": [x, y]}, rliable.metrics.probability_of_improvement, reps=reps
    )
    low, high = np.ravel(intervals["pair"])
    found = comparisons.improvement(x, y, np.random.default_rng(0), 20_000)
    # 4.5 standard errors of a 2.5% quantile of nearly normal resamples with this spread.
    spread = (found.high - found.low) / 3.92
    error = 4.5 * spread * np.sqrt(0.025 * 0.975 / reps) / scipy.stats.norm.pdf(1.96) + 1 / 120
    assert abs(found.low - low) < error
    assert abs(found.high - high) < error


def test_difference():
    x, y = matrix(6, 5), matrix(4, 5, 55, seed=1)
    assert comparisons.score_difference(x, y) == metrics.iqm(x) - metrics.iqm(y)
    found = comparisons.difference(x, y, np.random.default_rng(0), metrics.mean, 20_000)
    variance = sum((sample.var(axis=0) / len(sample)).sum() / 25 for sample in (x, y))
    assert (found.high - found.low) / 3.92 == pytest.approx(np.sqrt(variance), rel=0.05)
    assert found.low < found.value < found.high


def enumerated_ranks(samples):
    """Draw every combination of runs, and break every tie in every way."""
    count, tasks = len(samples), samples[0].shape[1]
    total = np.zeros((count, count))
    for task in range(tasks):
        table, combinations = np.zeros((count, count)), 0
        for drawn in itertools.product(*(sample[:, task] for sample in samples)):
            combinations += 1
            orders = [
                order
                for order in itertools.permutations(range(count))
                if all(drawn[a] >= drawn[b] for a, b in itertools.pairwise(order))
            ]
            for order in orders:
                for rank, algorithm in enumerate(order):
                    table[algorithm, rank] += 1 / len(orders)
        total += table / combinations
    return total / tasks


@pytest.mark.parametrize("decimals", [0, -1, -2])  # ever more ties
def test_ranks_are_those_of_every_draw(decimals):
    samples = [matrix(3 + k % 2, 2, 50 + 5 * k, seed=k).round(decimals) for k in range(4)]
    found = comparisons.rank_distribution(samples)
    np.testing.assert_allclose(found, enumerated_ranks(samples), atol=1e-12)
    np.testing.assert_allclose(found.sum(axis=0), 1.0)


def test_intervals_of_ranks():
    samples = [matrix(4, 3, mean, seed=mean) for mean in (40, 60, 80)]
    found = comparisons.ranks(samples, np.random.default_rng(0), 300)
    assert found.value.shape == found.low.shape == (3, 3)
    np.testing.assert_array_equal(found.value, comparisons.rank_distribution(samples))
    assert (found.low <= found.value + 1e-12).all()
    assert (found.value <= found.high + 1e-12).all()
    assert (found.low < found.high).any()


def test_bad_input():
    with pytest.raises(DatumrlError, match="samples of 3, 2 tasks"):
        comparisons.probability_of_improvement(matrix(3, 3), matrix(3, 2))
    with pytest.raises(DatumrlError, match="1 algorithm has no rank"):
        comparisons.rank_distribution([matrix(3, 3)])
