"""Interval methods against scipy's, and against each other where they must agree."""

import numpy as np
import pytest
import scipy.stats

from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import bootstrap, influence, intervals, ragged

SKEWED = np.random.default_rng(4).lognormal(3.0, 0.8, (12, 1))
UNEQUAL = ragged.gather(
    [np.random.default_rng(k).normal(40 + 9 * k, 12, 3 + 2 * k) for k in range(4)]
)
METRICS = [influence.IQM, influence.MEAN, influence.MEDIAN, influence.optimality_gap(60.0)]


@pytest.mark.parametrize("method", ["percentile", "basic", "bca"])
def test_one_task_as_scipy(method):
    found = intervals.interval(
        SKEWED, influence.MEAN, np.random.default_rng(0), method, resamples=40_000
    )
    theirs = scipy.stats.bootstrap(
        (SKEWED[:, 0],), np.mean, method=method, n_resamples=40_000, rng=np.random.default_rng(1)
    ).confidence_interval
    assert found.low == pytest.approx(theirs.low, abs=0.1 * SKEWED.std() / np.sqrt(12))
    assert found.high == pytest.approx(theirs.high, abs=0.1 * SKEWED.std() / np.sqrt(12))


def test_t_of_one_task_is_students():
    found = intervals.interval(SKEWED, influence.MEAN, np.random.default_rng(0), "t")
    theirs = scipy.stats.ttest_1samp(SKEWED[:, 0], 0.0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), rel=1e-10)


def test_t_of_two_tasks_is_welchs():
    x, y = SKEWED[:5, 0], -SKEWED[5:, 0]
    found = intervals.interval(
        ragged.gather([x, -y]), influence.MEAN, np.random.default_rng(0), "t", confidence=0.9
    )
    theirs = scipy.stats.ttest_ind(x, y, equal_var=False).confidence_interval(0.9)
    assert (found.low, found.high) == pytest.approx((theirs.low / 2, theirs.high / 2), rel=1e-10)


@pytest.mark.parametrize("degrees", [1.0, 1.7, 4.0, 29.5, 1000.0])
@pytest.mark.parametrize("share", [0.5, 0.6, 0.975, 0.995])
def test_quantiles_of_students_t(share, degrees):
    expected = scipy.stats.t.ppf(share, degrees)
    found = intervals.student_quantile(share, degrees)
    assert found == pytest.approx(expected, rel=1e-10, abs=1e-12)


def test_standard_error_of_the_iqm_is_the_winsorised_one():
    # 12 scores of one task: three are cut at each end, the same quarter as scipy's.
    expected = scipy.stats.mstats.trimmed_stde(SKEWED[:, 0], limits=(0.25, 0.25))
    held = ragged.gather_matrix(SKEWED)
    assert influence.standard_error(held, influence.IQM) == pytest.approx(float(expected))


def test_acceleration_of_a_mean_is_its_skewness():
    held = ragged.gather_matrix(SKEWED)
    expected = scipy.stats.skew(SKEWED[:, 0]) / (6 * np.sqrt(len(SKEWED)))
    assert influence.acceleration(held, influence.MEAN) == pytest.approx(expected)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_influence_is_the_rate_of_change(metric):
    # Add one run in many: the metric moves by that run's influence times its new share.
    tasks = [np.random.default_rng(k).normal(40 + 9 * k, 12, 801 + 100 * k) for k in range(3)]
    held = ragged.gather(tasks)
    values = metric.influence(held)
    np.testing.assert_allclose(held.task_sums(values), 0.0, atol=1e-8)
    for task in range(3):
        for run in (3, 50):
            doubled = [*tasks]
            doubled[task] = np.append(tasks[task], [tasks[task][run]] * 5)
            moved = metric.value(ragged.gather(doubled)) - metric.value(held)
            expected = values[held.starts[task] + run] * 5 / doubled[task].size
            assert moved == pytest.approx(expected, abs=0.004)


@pytest.mark.parametrize("metric", METRICS[:2], ids=lambda metric: metric.name)
def test_standard_error_is_the_spread_of_resamples(metric):
    tasks = [np.random.default_rng(k).normal(40 + 9 * k, 12, 40 + 5 * k) for k in range(4)]
    held = ragged.gather(tasks)
    spread = metric.value(held.resampled(np.random.default_rng(0), 4000)).std()
    assert influence.standard_error(held, metric) == pytest.approx(spread, rel=0.08)


@pytest.mark.parametrize(
    "metric",
    [metric for metric in METRICS if metric is not influence.MEDIAN],  # its t is wider by design
    ids=lambda metric: metric.name,
)
def test_all_methods_agree_on_many_runs(metric):
    tasks = [np.random.default_rng(k).normal(40 + 20 * k, 12, 150 + 5 * k) for k in range(3)]
    found = intervals.intervals(
        ragged.gather(tasks), metric, np.random.default_rng(0), resamples=4000
    )
    ends = np.array([(one.low, one.high) for one in found.values()])
    width = ends[0, 1] - ends[0, 0]
    np.testing.assert_allclose(ends, ends[[0] * len(ends)], atol=0.12 * width)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_equal_runs_take_the_fast_bootstrap_and_it_agrees_with_the_slow(metric):
    scores = np.random.default_rng(0).normal(60, 20, (5, 4))

    def percentile(given, confidence):
        generator = np.random.default_rng(0)
        return intervals.interval(given, metric, generator, "percentile", 40_000, confidence)

    drawn = bootstrap.distribution(scores, metric.of_matrix, np.random.default_rng(0), 40_000)
    for confidence, shares in ((0.95, (2.5, 97.5)), (0.5, (25, 75))):
        found = percentile(scores, confidence)
        assert (found.low, found.high) == pytest.approx(tuple(np.percentile(drawn, shares)))
    slow = ragged.gather_matrix(scores).resampled(np.random.default_rng(1), 40_000)
    ends = np.percentile(metric.value(slow), (25, 75))
    assert (found.low, found.high) == pytest.approx(tuple(ends), abs=0.3)


def test_bca_counts_ties_as_half_whatever_the_rounding():
    # Successes of 0 or 100 tie in most resamples: scipy's BCa counts them as half, too.
    scores = np.array([0.0, 100, 100, 0, 100, 100, 0, 100, 100, 100])[:, None] + 0.1
    found = intervals.interval(scores, influence.MEAN, np.random.default_rng(0), "bca", 40_000)
    theirs = scipy.stats.bootstrap(
        (scores[:, 0],), np.mean, method="BCa", n_resamples=40_000, rng=np.random.default_rng(1)
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=1e-6)


def test_same_seed_same_digits_whatever_the_pieces(monkeypatch):
    def run():
        return intervals.intervals(UNEQUAL, influence.IQM, np.random.default_rng(3), resamples=200)

    whole = run()
    assert run() == whole
    monkeypatch.setattr(intervals, "_CHUNK_BYTES", 8 * UNEQUAL.flat.size * 17)
    assert run() == whole


def test_scores_without_spread_give_a_point():
    found = intervals.intervals(
        np.full((3, 2), 50.0), influence.IQM, np.random.default_rng(0), resamples=100
    )
    assert {(one.low, one.high) for one in found.values()} == {(50.0, 50.0)}


MOSTLY_FAILED = np.array([0.0] * 8 + [60.0, 80.0])[:, None]


@pytest.mark.parametrize("metric", [influence.IQM, influence.optimality_gap(-1.0)])
def test_where_t_is_blind_the_interval_is_the_percentile_one(metric):
    assert intervals.t_is_blind(ragged.gather_matrix(MOSTLY_FAILED), metric)
    found, percentile = (
        intervals.interval(MOSTLY_FAILED, metric, np.random.default_rng(0), method)
        for method in ("t", "percentile")
    )
    assert found == percentile
    if metric is influence.IQM:
        assert found.low == pytest.approx(0.0, abs=1e-12)
        assert found.high > 20.0
    for sees in (influence.MEAN, influence.MEDIAN):
        assert not intervals.t_is_blind(ragged.gather_matrix(MOSTLY_FAILED), sees)


def test_t_covers_successes_far_more_often_for_not_being_blind():
    """Five runs of 0 or 100, 0.3 of them 100: in truth 10; a point at 0 would hold in 0.46."""
    rng, held = np.random.default_rng(0), 0
    for _ in range(300):
        scores = 100.0 * (rng.random((5, 1)) < 0.3)
        found = intervals.interval(scores, influence.IQM, rng, resamples=200)
        held += found.low <= 10.0 <= found.high
    assert held / 300 == pytest.approx(0.80, abs=0.07)


def test_the_medians_limits_of_one_task_are_students():
    found, mean = (
        intervals.interval(SKEWED, metric, np.random.default_rng(0), "t")
        for metric in (influence.MEDIAN, influence.MEAN)
    )
    assert (found.low, found.high) == pytest.approx((mean.low, mean.high), rel=1e-10)


@pytest.mark.parametrize("tasks", [2, 5, 8])
@pytest.mark.parametrize("apart", [0.0, 6.0, 100.0])
def test_the_medians_limits_hold_wherever_the_tasks_lie(tasks, apart):
    """Equal tasks, close ones that change places, distant ones; spreads differ by up to four."""
    truth = np.arange(tasks) * apart
    spread = np.geomspace(5.0, 20.0, tasks)[np.random.default_rng(tasks).permutation(tasks)]
    rng, held, trials = np.random.default_rng(7), 0, 300
    for _ in range(trials):
        scores = truth + spread * rng.standard_normal((5, tasks))
        found = intervals.interval(scores, influence.MEDIAN, rng)
        held += found.low <= np.median(truth) <= found.high
    assert held >= 0.95 * trials - 3.1 * np.sqrt(0.95 * 0.05 * trials)


def test_few_runs_are_refused_or_flagged():
    two = ragged.gather([[1.0, 2.0], [3.0, 4.0, 5.0]])
    generator = np.random.default_rng(0)
    assert intervals.interval(two, influence.IQM, generator, "t").few_runs
    assert not intervals.interval(UNEQUAL, influence.IQM, generator, "t").few_runs
    with pytest.raises(DatumrlError, match="task 0 has two runs; studentised"):
        intervals.interval(two, influence.IQM, generator, "studentised")
    with pytest.raises(DatumrlError, match="task 1 has one run"):
        intervals.interval(ragged.gather([[1.0, 2.0], [3.0]]), influence.IQM, generator)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"method": "magic"}, "unknown interval method 'magic'"),
        ({"confidence": 0.0}, "confidence 0.0"),
        ({"resamples": 0}, "0 resamples"),
        ({"scores": np.full((3, 2), np.nan)}, "failed runs"),
    ],
)
def test_bad_input(change, told):
    given = {
        "scores": UNEQUAL,
        "metric": influence.IQM,
        "generator": np.random.default_rng(0),
    }
    with pytest.raises(DatumrlError, match=told):
        intervals.interval(**{**given, **change})
