"""Normalised entropy of a policy: by hand, at its ends, and what is refused."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from datumrl.datasets import behaviour_entropy as entropies
from datumrl.datasets.behaviour_entropy import behaviour_entropy
from datumrl.datasets.errors import DatumrlError


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
    found = entropies.gaussian_entropy(means, deviations)
    assert found[0] == pytest.approx(one / 2, abs=1e-6)  # all of the other is in the first bin
    wide = entropies.gaussian_entropy(np.zeros((1, 1)), np.full((1, 1), 0.6))
    narrow = entropies.gaussian_entropy(np.zeros((1, 1)), np.full((1, 1), 1e-6))
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
    gaussian = behaviour_entropy(episodes, lambda s: (s * 0, s * 0 + 1), low=-2, high=2)
    assert gaussian.kind == "gaussian"


@pytest.mark.parametrize(
    ("output", "shown"),
    [
        (np.full((4, 1), 0.3), "at least 2 actions"),
        (np.zeros(4), "needs probabilities"),
        (np.full((4, 3), 0.5), "sum to 1.5"),
        (np.tile([1.5, -0.5], (4, 1)), "negative"),
        ((np.zeros((4, 2)), np.zeros((4, 2))), "deviations above 0"),
    ],
)
def test_what_is_no_distribution_is_refused(make_episodes, output, shown):
    with pytest.raises(DatumrlError, match=shown):
        behaviour_entropy(make_episodes("---T"), lambda _states: output)
    with pytest.raises(DatumrlError, match="has no states"):
        behaviour_entropy(make_episodes(""), lambda _states: output)
