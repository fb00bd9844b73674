"""Comparisons of ragged scores equal those of matrices where both apply, and weigh tasks alike."""

from __future__ import annotations

import numpy as np
import pytest

from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import comparisons, influence, profiles, ragged, ragged_comparisons
from datumrl.evaluation.ragged_comparisons import Plan
from datumrl.evaluation.resampling import estimate

RNG = np.random.default_rng(3)
X, Y, Z = (RNG.normal(at, 5, (6, 4)).round() for at in (50, 53, 48))
RAGGED = [ragged.gather_matrix(each) for each in (X, Y, Z)]
LEVELS = np.linspace(35, 65, 13)


def test_values_equal_their_namesakes_on_matrices() -> None:
    x, y, _ = RAGGED
    assert ragged_comparisons.probability_of_improvement(x, y) == pytest.approx(
        comparisons.probability_of_improvement(X, Y), abs=1e-12
    )
    np.testing.assert_allclose(
        ragged_comparisons.rank_distribution(RAGGED),
        comparisons.rank_distribution([X, Y, Z]),
        atol=1e-12,
    )
    np.testing.assert_allclose(
        ragged_comparisons.run_profile(x, LEVELS), profiles.score_distribution(X, LEVELS)
    )
    np.testing.assert_allclose(
        ragged_comparisons.task_profile(x, LEVELS), profiles.average_score_distribution(X, LEVELS)
    )


@pytest.mark.parametrize("over_tasks", [False, True])
def test_intervals_equal_those_of_matrices_within_monte_carlo_error(over_tasks: bool) -> None:
    plan = Plan(seed=1, resamples=20_000, over_tasks=over_tasks)
    found = ragged_comparisons.estimate(
        RAGGED[:2], lambda drawn: ragged_comparisons.probability_of_improvement(*drawn), plan
    )
    expected = estimate(
        [X, Y],
        comparisons.probability_of_improvement,
        np.random.default_rng(2),
        20_000,
        over_tasks=over_tasks,
    )
    assert found.low == pytest.approx(expected.low, abs=0.012)
    assert found.high == pytest.approx(expected.high, abs=0.012)


def test_a_task_with_more_runs_weighs_no_more() -> None:
    x = ragged.gather([[1.0] * 9, [0.0]])
    y = ragged.gather([[0.0], [1.0, 1.0]])
    assert ragged_comparisons.probability_of_improvement(x, y) == 0.5
    np.testing.assert_allclose(ragged_comparisons.rank_distribution([x, y]), 0.5)
    np.testing.assert_allclose(ragged_comparisons.run_profile(x, np.array([0.5])), [0.5])


def test_same_seed_same_digits_and_chunks_change_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def interval() -> tuple[float, float]:
        found = ragged_comparisons.estimate(
            RAGGED, lambda d: influence.IQM.value(d[0]) - influence.IQM.value(d[2]), Plan(seed=5)
        )
        return float(found.low), float(found.high)

    whole = interval()
    monkeypatch.setattr(ragged_comparisons, "_CHUNK_BYTES", 1 << 14)
    assert interval() == whole


def test_curves_move_whole_runs() -> None:
    """Where every run climbs by 1, the difference of two steps is exactly 1 in every resample."""
    start = RNG.normal(size=12)
    values = np.stack([start, start + 1.0])
    found = ragged_comparisons.curve(values, (6, 6), influence.IQM, Plan(resamples=500))
    for ends in (found.value, found.low, found.high):
        assert ends[1] - ends[0] == pytest.approx(1.0)


def test_students_t_of_a_difference_is_welchs_on_one_task() -> None:
    from scipy import stats

    x, y = RNG.normal(3, 1, 8), RNG.normal(1, 3, 5)
    low, high = ragged_comparisons.student_difference(
        ragged.gather([x]), ragged.gather([y]), influence.MEAN, 0.9
    )
    expected = stats.ttest_ind(x, y, equal_var=False).confidence_interval(0.9)
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_tasks_of_unequal_runs_cannot_be_resampled() -> None:
    x = ragged.gather([[1.0, 2.0], [3.0, 4.0, 5.0]])
    with pytest.raises(DatumrlError, match="--bootstrap runs"):
        ragged_comparisons.estimate([x], lambda d: ragged.iqm(d[0]), Plan(over_tasks=True))
