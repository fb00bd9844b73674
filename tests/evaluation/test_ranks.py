"""The chance of each rank is that of every draw, every tie broken in every way."""

import itertools

import numpy as np
import pytest

from datumrl.evaluation import ranks


def enumerated(runs):
    """Draw every combination of runs, and break every tie in every way."""
    count = len(runs)
    table, combinations = np.zeros((count, count)), 0
    for drawn in itertools.product(*runs):
        combinations += 1
        orders = [
            order
            for order in itertools.permutations(range(count))
            if all(drawn[a] >= drawn[b] for a, b in itertools.pairwise(order))
        ]
        for order in orders:
            for rank, algorithm in enumerate(order):
                table[algorithm, rank] += 1 / len(orders)
    return table / combinations


@pytest.mark.parametrize("decimals", [0, -1, -2])  # ever more ties
def test_ranks_are_those_of_every_draw(decimals):
    runs = [
        np.random.default_rng(k).normal(50 + 5 * k, 15.0, 3 + k % 2).round(decimals)
        for k in range(4)
    ]
    found = ranks.chances(runs)
    np.testing.assert_allclose(found, enumerated(runs), atol=1e-12)
    np.testing.assert_allclose(found.sum(axis=0), 1.0)


def test_leading_axes_are_separate_draws():
    runs = [np.random.default_rng(k).normal(size=(5, 4)).round(1) for k in range(3)]
    found = ranks.chances(runs)
    assert found.shape == (5, 3, 3)
    for place in range(5):
        np.testing.assert_allclose(found[place], ranks.chances([each[place] for each in runs]))
