"""Aggregate metrics: equal to rliable's, over leading axes too, and loud about bad input."""

import numpy as np
import pytest
import rliable.metrics

from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import metrics

# n = runs x tasks; a quarter of it is whole only for (4, 3) and (10, 26).
SHAPES = [(1, 1), (1, 3), (2, 1), (3, 1), (4, 3), (5, 1), (5, 3), (7, 9), (10, 9), (10, 26)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_equal_to_rliable(shape, scale):
    generator = np.random.default_rng(shape)
    for _ in range(20):
        scores = scale * generator.normal(0.4, 0.5, shape)
        oracles = {
            metrics.mean: rliable.metrics.aggregate_mean,
            metrics.median: rliable.metrics.aggregate_median,
            metrics.iqm: rliable.metrics.aggregate_iqm,
        }
        for ours, theirs in oracles.items():
            np.testing.assert_allclose(ours(scores), theirs(scores), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(
            metrics.optimality_gap(scores, gamma=scale),
            rliable.metrics.aggregate_optimality_gap(scores, gamma=scale),
            rtol=1e-12,
            atol=1e-12 * scale,
        )


def test_ties_and_integers():
    scores = np.repeat([[0, 0, 50, 100, 100]], 3, axis=0)
    assert metrics.iqm(scores) == rliable.metrics.aggregate_iqm(scores)
    assert metrics.median(scores) == 50.0


@pytest.mark.parametrize(
    "metric",
    [metrics.mean, metrics.median, metrics.iqm, lambda scores: metrics.optimality_gap(scores, 1.0)],
)
def test_leading_axes_are_separate_matrices(metric):
    scores = np.random.default_rng(0).normal(size=(2, 3, 5, 4))
    together = metric(scores)
    assert together.shape == (2, 3)
    for place in np.ndindex(2, 3):
        np.testing.assert_allclose(together[place], metric(scores[place]), rtol=1e-12)


def test_the_iqm_has_the_same_digits_in_any_order():
    """Methods of the same scores tie: 64 of these 200 did not when sums went by the runs' order."""
    scores = np.random.default_rng(0).normal(size=(200, 5, 9))
    np.testing.assert_array_equal(metrics.iqm(scores), metrics.iqm(scores[:, ::-1]))
    np.testing.assert_array_equal(metrics.iqm(scores), metrics.iqm(scores[:, :, ::-1]))


def test_scores_are_left_as_they_were():
    scores = np.random.default_rng(0).normal(size=(5, 4))
    before = scores.copy()
    metrics.iqm(scores)
    metrics.median(scores)
    np.testing.assert_array_equal(scores, before)


@pytest.mark.parametrize(
    ("scores", "told"),
    [
        ([[1.0, float("nan")]], r"score nan at index \(0, 1\)"),
        ([[1.0], [float("inf")]], r"score inf at index \(1, 0\) is not finite"),
        ([[1e100, -1.2e200]], r"score -1.2e\+200 at index \(0, 1\) is beyond 1e\+100; correct it"),
        (np.empty((0, 3)), r"\(0, 3\) hold no run or no task"),
        (np.empty((3, 0)), r"\(3, 0\) hold no run or no task"),
        ([1.0, 2.0], r"shape \(2,\) have no axes"),
        ([[1.0, 2.0], [3.0]], "no rectangular array"),
        ([["high"]], "no rectangular array"),
    ],
)
@pytest.mark.parametrize("metric", [metrics.mean, metrics.median, metrics.iqm])
def test_bad_scores(metric, scores, told):
    with pytest.raises(DatumrlError, match=told):
        metric(scores)


def test_bad_gamma():
    with pytest.raises(DatumrlError, match="gamma nan"):
        metrics.optimality_gap([[1.0]], gamma=float("nan"))
