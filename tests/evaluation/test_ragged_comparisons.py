"""Comparisons of ragged scores are rliable's where runs are equal, and weigh tasks alike."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import rliable.library
import rliable.metrics
import scipy.stats

from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import influence, ragged, ragged_comparisons, ranks
from datumrl.evaluation.ragged_comparisons import Plan

RNG = np.random.default_rng(3)
X, Y, Z = (RNG.normal(at, 5, (6, 4)).round() for at in (50, 53, 48))
RAGGED = [ragged.gather_matrix(each) for each in (X, Y, Z)]
LEVELS = np.linspace(35, 65, 13)
PLAN = Plan(seed=1, resamples=20_000)


def iqm(drawn):
    return influence.IQM.value(drawn[0])


def theirs(data, statistic, reps: int, **options):
    np.random.seed(0)  # noqa: NPY002  rliable draws from numpy's global generator
    values, ends = rliable.library.get_interval_estimates(data, statistic, reps=reps, **options)
    return values, ends


def error_of_ends(found, reps: int):
    """Return 4.5 standard errors of a 2.5% quantile of nearly normal resamples."""
    spread = (found.high - found.low) / 3.92
    return 4.5 * spread * np.sqrt(0.025 * 0.975 / reps) / scipy.stats.norm.pdf(1.96)


def test_improvement_is_rliables() -> None:
    x, y, _ = RAGGED
    assert ragged_comparisons.probability_of_improvement(x, y) == pytest.approx(
        rliable.metrics.probability_of_improvement(X, Y), abs=1e-12
    )
    found = ragged_comparisons.estimate(
        [x, y], lambda drawn: ragged_comparisons.probability_of_improvement(*drawn), PLAN
    )
    reps = 300
    _, ends = theirs({"pair": [X, Y]}, rliable.metrics.probability_of_improvement, reps)
    error = error_of_ends(found, reps) + 1 / 144  # shares move in steps of 1/144
    assert found.low == pytest.approx(float(ends["pair"][0][0]), abs=float(error))
    assert found.high == pytest.approx(float(ends["pair"][1][0]), abs=float(error))


@pytest.mark.parametrize("task_level", [False, True])
def test_profiles_are_rliables(task_level: bool) -> None:
    of = ragged_comparisons.task_profile if task_level else ragged_comparisons.run_profile
    np.random.seed(0)  # noqa: NPY002  rliable draws from numpy's global generator
    values, ends = rliable.library.create_performance_profile(
        {"a": X}, LEVELS, use_score_distribution=not task_level, reps=1500
    )
    found = ragged_comparisons.estimate(RAGGED[:1], lambda drawn: of(drawn[0], LEVELS), PLAN)
    np.testing.assert_allclose(found.value, values["a"], rtol=1e-12)
    # Shares move in steps of 1/24 (or 1/4), so an end may land on the neighbouring step.
    step = 1 / 4 if task_level else 1 / 24
    assert np.abs(found.low - ends["a"][0]).max() <= step + 1e-9
    assert np.abs(found.high - ends["a"][1]).max() <= step + 1e-9
    assert np.mean(np.abs(found.low - ends["a"][0]) < 1e-9) > 0.6


@pytest.mark.parametrize("over_tasks", [False, True])
def test_intervals_are_rliables_also_over_tasks(over_tasks: bool) -> None:
    reps = 800
    _, ends = theirs({"a": X}, rliable.metrics.aggregate_iqm, reps, task_bootstrap=over_tasks)
    plan = Plan(seed=1, resamples=20_000, over_tasks=over_tasks)
    found = ragged_comparisons.estimate(RAGGED[:1], iqm, plan)
    low, high = np.ravel(ends["a"])
    assert found.low == pytest.approx(low, abs=float(error_of_ends(found, reps)))
    assert found.high == pytest.approx(high, abs=float(error_of_ends(found, reps)))


def test_curves_are_rliables() -> None:
    steps = np.linspace(10, 60, 4)[:, None, None]
    scores = steps + np.random.default_rng(0).normal(0, 10, (4, 5, 3))
    flat = scores.swapaxes(1, 2).reshape(4, -1)  # task after task
    found = ragged_comparisons.curve(flat, (5, 5, 5), influence.IQM, Plan(resamples=10_000))

    def of_steps(drawn):
        return np.array([rliable.metrics.aggregate_iqm(drawn[..., step]) for step in range(4)])

    values, ends = theirs({"a": np.moveaxis(scores, 0, -1)}, of_steps, 500)
    np.testing.assert_allclose(found.value, values["a"], rtol=1e-12)
    assert (np.abs(found.low - ends["a"][0]) < error_of_ends(found, 500)).all()
    assert (np.abs(found.high - ends["a"][1]) < error_of_ends(found, 500)).all()


@pytest.mark.parametrize("over_tasks", [False, True])
def test_curves_draw_what_their_plan_says(
    over_tasks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two tasks of two runs have so few resamples that all can be listed."""
    values = np.array([[0.0, 1.0, 10.0, 17.0], [3.0, 2.0, 40.0, 44.0]])
    tasks = itertools.product(range(2), repeat=2) if over_tasks else [(0, 1)]
    listed = [
        [2 * task + run for task, pair in zip(drawn, (runs[:2], runs[2:]), strict=True)
         for run in pair]
        for drawn in tasks
        for runs in itertools.product(range(2), repeat=4)
    ]  # fmt: skip
    every = np.array([values[:, places].mean(axis=1) for places in listed])
    low, high = np.percentile(every, (10, 90), axis=0, method="inverted_cdf")
    plan = Plan(seed=1, resamples=8_000, confidence=0.8, over_tasks=over_tasks)
    found = ragged_comparisons.curve(values, (2, 2), influence.MEAN, plan)
    np.testing.assert_allclose(found.value, values.mean(axis=1))
    np.testing.assert_allclose(found.low, low)
    np.testing.assert_allclose(found.high, high)
    monkeypatch.setattr(ragged_comparisons, "_CHUNK_BYTES", 1 << 12)
    chunked = ragged_comparisons.curve(values, (2, 2), influence.MEAN, plan)
    np.testing.assert_array_equal(chunked.low, found.low)


def test_ranks_are_means_over_tasks() -> None:
    expected = np.mean([ranks.chances(task) for task in zip(X.T, Y.T, Z.T, strict=True)], axis=0)
    found = ragged_comparisons.estimate(
        RAGGED, ragged_comparisons.rank_distribution, Plan(resamples=300)
    )
    np.testing.assert_allclose(found.value, expected, atol=1e-12)
    assert (found.low <= found.value + 1e-12).all()
    assert (found.value <= found.high + 1e-12).all()
    assert (found.low < found.high).any()


def test_tasks_are_drawn_alike_for_every_algorithm() -> None:
    scores = np.arange(3.0) * 10 + np.arange(4.0)[:, None]  # (4 runs, 3 tasks); tens tell the task
    samples = [ragged.gather_matrix(scores), ragged.gather_matrix(scores[:2])]
    seen: dict[bool, list[np.ndarray]] = {}

    def keep(over_tasks: bool):
        def statistic(drawn):
            tens = [np.stack(each.tasks, axis=-1) // 10 for each in drawn]
            seen.setdefault(over_tasks, tens)
            return drawn[0].flat.mean(axis=-1)

        return statistic

    for over_tasks in (False, True):
        plan = Plan(resamples=300, over_tasks=over_tasks)
        ragged_comparisons.estimate(samples, keep(over_tasks), plan)
    own = np.broadcast_to(np.arange(3.0), (300, 4, 3))
    np.testing.assert_array_equal(seen[False][0], own)
    first, second = seen[True]
    assert (first != own).any()
    np.testing.assert_array_equal(first[:, :1], second[:, :1])
    np.testing.assert_array_equal(first, np.repeat(first[:, :1], 4, axis=1))


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
    x, y = RNG.normal(3, 1, 8), RNG.normal(1, 3, 5)
    found = ragged_comparisons.student_difference(
        ragged.gather([x]), ragged.gather([y]), influence.MEAN, 0.9
    )
    expected = scipy.stats.ttest_ind(x, y, equal_var=False).confidence_interval(0.9)
    assert found == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_students_t_of_a_difference_is_none_where_one_side_is_blind() -> None:
    blind, sees = ragged.gather([[0.0] * 8 + [60.0, 80.0]]), ragged.gather([RNG.normal(size=10)])
    for pair in ((blind, sees), (sees, blind)):
        assert ragged_comparisons.student_difference(*pair, influence.IQM, 0.95) is None
    assert ragged_comparisons.student_difference(blind, sees, influence.MEAN, 0.95) is not None


def test_tasks_of_unequal_runs_cannot_be_resampled() -> None:
    x = ragged.gather([[1.0, 2.0], [3.0, 4.0, 5.0]])
    with pytest.raises(DatumrlError, match="--bootstrap runs"):
        ragged_comparisons.estimate([x], lambda d: ragged.iqm(d[0]), Plan(over_tasks=True))
    with pytest.raises(DatumrlError, match="--bootstrap runs"):
        ragged_comparisons.curve(x.flat[None], x.runs, influence.IQM, Plan(over_tasks=True))


@pytest.mark.parametrize(
    ("plan", "told"), [(Plan(confidence=95), "confidence 95"), (Plan(resamples=0), "0 resamples")]
)
def test_bad_plans(plan: Plan, told: str) -> None:
    with pytest.raises(DatumrlError, match=told):
        ragged_comparisons.estimate(RAGGED[:1], iqm, plan)
