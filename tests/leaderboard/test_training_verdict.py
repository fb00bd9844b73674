"""Verdicts from a printed mean ± deviation of n seeds: SciPy as oracle, error levels simulated."""

import math

import numpy as np
import pytest
from scipy import stats

from datumrl.leaderboard import training_verdict
from datumrl.leaderboard.training_cells import Printed
from datumrl.leaderboard.training_verdict import Pair, Sample, judge


def one(published, scores, **given):
    return judge([Pair(published, tuple(scores), **given)])[0]


def sample_of(values):
    return Sample(float(np.mean(values)), float(np.std(values, ddof=1)), len(values))


@pytest.mark.parametrize(("seeds", "new"), [(3, 5), (4, 4), (10, 3), (2, 20)])
def test_test_and_interval_are_scipys(seeds, new):
    rng = np.random.default_rng(seeds)
    published, scores = rng.normal(50, 4, seeds), rng.normal(55, 9, new)
    sample = sample_of(published)
    found = one(sample, scores)
    oracle = stats.ttest_ind_from_stats(
        scores.mean(), scores.std(ddof=1), new, sample.mean, sample.std, seeds, equal_var=False
    )
    assert found.p_value == pytest.approx(oracle.pvalue, rel=1e-10)
    ends = stats.ttest_ind(scores, published, equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((ends.low, ends.high), rel=1e-10)


@pytest.mark.parametrize("ddof", [0, 1])
def test_a_printed_deviation_becomes_the_samples(ddof):
    values = np.array([41.0, 44.0, 47.0, 60.0])
    printed = Printed("last", str(values.mean()), str(values.std(ddof=ddof)))
    assert printed.sample(4, ddof).std == pytest.approx(values.std(ddof=1))


def test_a_printed_deviation_of_zero_is_half_its_last_digit():
    assert Printed("last", "0.0", "0.0").sample(None, 0).std == pytest.approx(0.05)
    assert one(Printed("last", "3.0", "0.00").sample(4, 0), [3.0, 3.0]).verdict == "agrees"


def test_verdicts():
    sample = Sample(50.0, 1.0, 5)
    assert one(sample, [49, 50, 51, 50.5, 49.5]).verdict == "agrees"
    far = one(sample, [70, 71, 69, 70, 70])
    assert (far.verdict, far.note) == ("differs", "")
    wide = one(sample, [30, 70, 50])
    assert wide.verdict == "too few seeds to tell"
    assert "new seeds would show it" in wide.note
    # Certain, yet smaller than what matters.
    small = one(sample, [52, 52.1, 51.9, 52, 52])
    assert small.p_value < 0.05
    assert small.verdict == "agrees"


def test_what_the_published_seeds_leave_open_no_new_ones_settle():
    found = one(Sample(50.0, 12.0, 3), [50.0, 50.1, 49.9] * 10)
    assert found.verdict == "too few seeds to tell"
    assert "no number of new seeds" in found.note
    assert "standard error of 6.9" in found.note


def test_the_advised_number_of_seeds_is_enough_and_one_fewer_is_not():
    published, std = Sample(50.0, 4.0, 10), 8.0
    advised = training_verdict._enough(published, std, 5.0)

    def half_width(seeds):
        spread = np.array([-1.0, 1.0] * seeds)[:seeds]
        scores = 50.0 + (spread - spread.mean()) * std / spread.std(ddof=1)
        other = 50.0 + np.resize([-1.0, 1.0], 10) * 4.0 / np.resize([-1.0, 1.0], 10).std(ddof=1)
        ends = stats.ttest_ind(scores, other, equal_var=False).confidence_interval(0.90)
        return (ends.high - ends.low) / 2

    assert half_width(advised) < 5.0 < half_width(advised - 1)


@pytest.mark.parametrize(
    ("sample", "said"),
    [
        (Sample(50.0, None, 5), "no spread"),
        (Sample(50.0, 2.0, None), "no number of seeds"),
        (Sample(50.0, None, None), "no spread and no number of seeds"),
        (Sample(50.0, 0.0, 1), "one seed only"),
    ],
)
def test_what_was_not_published_cannot_be_told(sample, said):
    found = one(sample, [90.0, 91.0, 92.0])
    assert found.verdict == "too few seeds to tell"
    assert said in found.note
    assert found.difference == pytest.approx(41.0)
    assert found.low is None


def test_failed_seeds():
    sample = Sample(50.0, 1.0, 5)
    found = one(sample, [50, 50.5, 49.5, 50], failed=1)
    assert found.verdict == "too few seeds to tell"
    assert "1 of 5 new seeds failed" in found.note
    gone = one(sample, [], failed=3)
    assert gone.verdict == "differs"
    assert math.isnan(gone.difference)


def test_holm_shares_one_error_rate_among_the_cells():
    sample, scores = Sample(50.0, 3.0, 5), (54.0, 57.0, 55.0, 60.0, 56.0)
    alone = judge([Pair(sample, scores)])[0]
    assert 0.005 < alone.p_value < 0.05
    assert alone.verdict == "differs"
    equal = Pair(sample, (50.0, 47.0, 53.0, 51.0, 49.0))
    together = judge([Pair(sample, scores), *[equal] * 9])
    assert together[0].verdict == "too few seeds to tell"


def test_how_many_seeds_it_took():
    rng = np.random.default_rng(1)
    pair = Pair(Sample(50.0, 2.0, 10), tuple(rng.normal(30, 2, 10)))
    count = training_verdict.seeds_to_differ(pair)
    assert 2 <= count <= 4
    assert one(pair.published, pair.scores[:count]).verdict == "differs"
    if count > 2:
        assert one(pair.published, pair.scores[: count - 1]).verdict != "differs"
    equal = Pair(Sample(50.0, 2.0, 10), tuple(rng.normal(50, 2, 10)))
    assert training_verdict.seeds_to_differ(equal) is None


def rates(draw, draw_new, cells, seeds, new, margin=0.0, simulations=1_500):
    """Return the share of tables in which any cell differs, and in which the first agrees."""
    rng = np.random.default_rng(7)
    differs = agrees = 0
    for _ in range(simulations):
        pairs = [
            Pair(sample_of(draw(rng, seeds)), tuple(draw_new(rng, new)), margin)
            for _ in range(cells)
        ]
        verdicts = [found.verdict for found in judge(pairs)]
        differs += "differs" in verdicts
        agrees += verdicts[0] == "agrees"
    return differs / simulations, agrees / simulations


ERROR = 3 * math.sqrt(0.05 * 0.95 / 1_500)


@pytest.mark.parametrize(("seeds", "new", "ratio"), [(3, 5, 1.0), (4, 10, 3.0), (10, 3, 0.3)])
def test_equal_means_seldom_differ_over_a_family_of_cells(seeds, new, ratio):
    differs, _ = rates(
        lambda rng, n: rng.normal(50, 5, n),
        lambda rng, n: rng.normal(50, 5 * ratio, n),
        3,
        seeds,
        new,
    )
    assert differs <= 0.05 + ERROR


def test_skewed_scores_stay_near_the_level():
    def draw(rng, n):
        return 50 + 10 * rng.exponential(1.0, n)

    differs, _ = rates(draw, draw, 1, 5, 5)
    assert differs <= 0.06 + ERROR


@pytest.mark.parametrize("seeds", [3, 10])
def test_a_difference_at_the_margin_is_seldom_called_agreement(seeds):
    _, agrees = rates(
        lambda rng, n: rng.normal(50, 2, n), lambda rng, n: rng.normal(55, 2, n), 1, seeds, 5, 5.0
    )
    assert agrees <= 0.05 + ERROR


def test_the_chance_of_a_verdict_is_what_simulation_gives():
    std, seeds, new = 4.0, 10, 10
    foretold = training_verdict.chance_to_tell(Sample(50.0, std, seeds), new, 5.0)

    def normal(mean):
        return lambda rng, n: rng.normal(mean, std, n)

    _, equal = rates(normal(50), normal(50), 1, seeds, new, 5.0)
    apart, _ = rates(normal(50), normal(60), 1, seeds, new, 5.0)
    assert foretold == pytest.approx((equal + apart) / 2, abs=0.06)
    assert training_verdict.chance_to_tell(Sample(50.0, None, 5), 5, 5.0) == 0.0
    wide = training_verdict.chance_to_tell(Sample(50.0, 30.0, 3), 5, 5.0)
    assert wide < 0.1 < foretold
