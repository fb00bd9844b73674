"""Normalised entropy of a policy: by hand, at its ends, and what is refused."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from datumrl.datasets import behaviour_entropy as entropies
from datumrl.datasets.behaviour_entropy import behaviour_entropy
from datumrl.datasets.dataset_statistics import stats
from datumrl.datasets.errors import DatumrlError

ONE = (np.array([-1.0]), np.array([1.0]))


def test_discrete_by_hand():
    table = np.array([[0.5, 0.25, 0.25, 0.0], [0.25] * 4, [1.0, 0.0, 0.0, 0.0]])
    least = 1e-5 * math.log(1e-5)
    first = -(0.5 * math.log(0.5) + 0.5 * math.log(0.25) + least) / math.log(4)
    found = entropies.normalised_entropy(table)
    assert found.tolist() == pytest.approx([first, 1.0, -3 * least / math.log(4)])


def test_gaussians_are_discretised():
    means, deviations = np.array([[0.2, -3.0]]), np.array([[0.5, 0.1]])
    cuts = np.linspace(-1, 1, 101)[1:-1]
    masses = np.diff([0, *norm.cdf(cuts, 0.2, 0.5), 1])
    one = -sum(m * math.log(m) for m in masses) / math.log(100)
    found = entropies.gaussian_entropy(means, deviations, -np.ones(2), np.ones(2))
    assert found[0] == pytest.approx(one / 2, abs=1e-6)  # all of the other is in the first bin
    wide = entropies.gaussian_entropy(np.zeros((1, 1)), np.full((1, 1), 0.6), *ONE)
    narrow = entropies.gaussian_entropy(np.zeros((1, 1)), np.full((1, 1), 1e-6), *ONE)
    assert narrow[0] < 0.2 < wide[0] <= 1


def test_a_policy_is_asked_about_seeded_states(make_episodes):
    episodes = make_episodes("-" * 499 + "T")
    asked = []

    def policy(states):
        asked.append(states)
        chance = (states[:, :1] % 100) / 100
        return np.concatenate([chance, 1 - chance], axis=1)

    found = behaviour_entropy(episodes, policy, rows=300, seed=1)
    assert found == behaviour_entropy(episodes, policy, rows=300, seed=1)
    assert (found.states, found.kind) == (300, "discrete")
    everything = behaviour_entropy(episodes, policy)
    assert everything.states == 500
    assert found.value == pytest.approx(everything.value, abs=4 * found.standard_error)
    assert asked[0].dtype == np.float32
    bounds = (np.full(2, -2.0), np.full(2, 2.0))
    gaussian = behaviour_entropy(episodes, lambda s: (s * 0, s * 0 + 1), action_bounds=bounds)
    assert gaussian.kind == "gaussian"


def test_a_gaussian_is_judged_between_the_bounds_of_its_actions(make_episodes):
    """InvertedPendulum's actions are within 3 of 0: one of mean 2 is no near-constant clipped."""
    low, high = np.array([-3.0]), np.array([3.0])
    masses = np.diff([0, *norm.cdf(np.linspace(-3, 3, 101)[1:-1], 2.0, 0.5), 1])
    expected = -sum(m * math.log(m) for m in masses if m > 0) / math.log(100)
    assert expected == pytest.approx(0.754, abs=1e-3)

    def policy(states):
        return np.full((len(states), 1), 2.0), np.full((len(states), 1), 0.5)

    episodes = make_episodes("-" * 9 + "T")
    assert behaviour_entropy(episodes, policy, action_bounds=(low, high)).value == pytest.approx(
        expected
    )
    found = stats(episodes, policy=policy, action_bounds=(low, high)).entropy
    assert found.value == pytest.approx(expected)
    with pytest.raises(DatumrlError, match=r"bounds of its actions are not given.*action_bounds="):
        stats(episodes, policy=policy)
    for bounds in ((low, high * np.inf), (high, low), (np.zeros(2), np.ones(2)), (low, low)):
        with pytest.raises(DatumrlError, match="a finite low and high of each action dimension"):
            behaviour_entropy(episodes, policy, action_bounds=bounds)


def test_a_deterministic_gaussian_has_no_entropy_and_no_sign(make_episodes):
    constant = entropies.gaussian_entropy(np.full((1, 1), 9.0), np.full((1, 1), 1e-3), *ONE)
    assert constant.tolist() == [0.0]
    assert not np.signbit(constant[0])


@pytest.mark.parametrize(
    ("output", "shown"),
    [
        (np.full((4, 1), 0.3), "at least 2 actions"),
        (np.zeros(4), "needs probabilities"),
        (np.full((4, 3), 0.5), "sum to 1.5"),
        (np.tile([1.5, -0.5], (4, 1)), "negative"),
        ((np.zeros((4, 1)), np.zeros((4, 1))), "deviations above 0"),
        ((np.full((4, 1), np.nan), np.ones((4, 1))), "not finite"),
        ((np.full((4, 1), np.inf), np.ones((4, 1))), "not finite"),
        ((np.zeros((4, 1)), np.full((4, 1), np.inf)), "not finite"),
        ((np.zeros(4), np.ones(4)), "a finite low and high"),
    ],
)
def test_what_is_no_distribution_is_refused(make_episodes, output, shown):
    with pytest.raises(DatumrlError, match=shown):
        behaviour_entropy(make_episodes("---T"), lambda _states: output, action_bounds=ONE)
    with pytest.raises(DatumrlError, match="has no states"):
        behaviour_entropy(make_episodes(""), lambda _states: output)
