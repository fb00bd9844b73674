"""Performance profiles: equal to rliable's, with intervals within its Monte-Carlo error."""

import numpy as np
import pytest
import rliable.library

from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import profiles

SCORES = np.random.default_rng(0).normal(50, 25, (6, 5)).round()  # some lie on a threshold
THRESHOLDS = np.arange(0.0, 101.0, 5.0)


@pytest.mark.parametrize("task_level", [False, True])
def test_agree_with_rliable(task_level):
    np.random.seed(0)  # noqa: NPY002  rliable draws from numpy's global generator
    reps = 1500
    values, intervals = rliable.library.create_performance_profile(
        {"a": SCORES}, THRESHOLDS, use_score_distribution=not task_level, reps=reps
    )
    found = profiles.profile(
        SCORES, THRESHOLDS, np.random.default_rng(0), task_level, resamples=20_000
    )
    np.testing.assert_allclose(found.value, values["a"], rtol=1e-12)
    # Shares move in steps of 1/30 (or 1/5), so an end may land on the neighbouring step.
    step = 1 / 5 if task_level else 1 / 30
    assert np.abs(found.low - intervals["a"][0]).max() <= step + 1e-9
    assert np.abs(found.high - intervals["a"][1]).max() <= step + 1e-9
    assert np.mean(np.abs(found.low - intervals["a"][0]) < 1e-9) > 0.6


def test_leading_axes_are_separate_matrices():
    stacked = np.stack([SCORES, SCORES + 10])
    for of in (profiles.score_distribution, profiles.average_score_distribution):
        both = of(stacked, THRESHOLDS)
        np.testing.assert_array_equal(both[0], of(SCORES, THRESHOLDS))
        np.testing.assert_array_equal(both[1], of(SCORES + 10, THRESHOLDS))


@pytest.mark.parametrize("thresholds", [[], [[1.0]], [float("nan")], 5.0])
def test_bad_thresholds(thresholds):
    with pytest.raises(DatumrlError, match="no list of numbers"):
        profiles.score_distribution(SCORES, thresholds)
