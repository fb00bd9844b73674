"""Adjusted p-values decide as the closed test does, at every alpha."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats

from datumrl.evaluation import adastop, adjusted_p_values
from datumrl.evaluation.adastop_design import Design


def played(design: Design, scores: np.ndarray) -> adastop.State:
    block = dict(zip(design.algorithms, scores.tolist(), strict=True))
    return adastop.update(adastop.start(design), block)


@pytest.mark.parametrize("comparisons", ["all-pairs", "against-first", (("b", "c"), ("d", "a"))])
@pytest.mark.parametrize("statistic", ["studentized", "difference"])
def test_they_are_at_most_alpha_exactly_where_the_test_decides(comparisons, statistic) -> None:
    generator = np.random.default_rng(7)
    decided = set()
    for trial in range(12):
        scores = generator.normal(size=(4, 5)) + np.linspace(0, 2.5, 4)[:, None]
        scores = scores.round() if trial % 3 == 0 else scores  # with ties
        at = [
            Design(tuple("abcd"), 5, 1, alpha, comparisons, 600, statistic=statistic, seed=trial)
            for alpha in (0.03, 0.05, 0.1, 0.3, 0.6, 0.9)
        ]
        states = [played(design, scores) for design in at]
        values = adjusted_p_values.of_pairs(states[0])
        for design, state in zip(at, states, strict=True):
            assert adjusted_p_values.of_pairs(state) == pytest.approx(values)
            for each in state.comparisons:
                separated = each.decision != "equal"
                assert (values[each.first, each.second] <= design.alpha) == separated
                decided.add(separated)
    assert decided == {True, False}


def test_two_algorithms_have_the_plain_permutation_p_value() -> None:
    generator = np.random.default_rng(1)
    scores = generator.normal(size=(2, 6)) + np.array([[0.0], [1.0]])
    design = Design(("a", "b"), 6, 1, statistic="difference")  # 924 relabellings, all listed
    expected = scipy.stats.permutation_test(
        tuple(scores), lambda x, y: abs(x.mean() - y.mean()), n_resamples=10_000,
        alternative="greater",
    )  # fmt: skip
    (value,) = adjusted_p_values.of_pairs(played(design, scores)).values()
    assert value == pytest.approx(expected.pvalue)


def test_three_algorithms_by_hand() -> None:
    """Of three every set is tested at alpha itself; every relabelling is listed."""
    scores = np.array([[0.0, 1.0, 2.0], [5.0, 6.0, 8.0], [1.5, 5.5, 7.0]])
    design = Design(("a", "b", "c"), 3, 1, alpha=0.5, statistic="difference")
    pool = scores.ravel()

    def largest(groups) -> float:
        return max(abs(x.mean() - y.mean()) for x, y in itertools.combinations(groups, 2))

    def share(members) -> float:
        runs = pool.reshape(3, 3)[list(members)].ravel()
        observed = largest(np.split(runs, len(members)))
        orders = itertools.permutations(range(runs.size)) if len(members) == 2 else splits()
        found = [largest(np.split(runs[list(order)], len(members))) for order in orders]
        return float(np.mean([value >= observed - 1e-9 for value in found]))

    def splits():
        for first in itertools.combinations(range(9), 3):
            left = [place for place in range(9) if place not in first]
            for second in itertools.combinations(left, 3):
                yield [*first, *second, *(place for place in left if place not in second)]

    every = share((0, 1, 2))
    expected = {
        ("abc"[i], "abc"[j]): max(every, share((i, j)))
        for i, j in itertools.combinations(range(3), 2)
    }
    assert adjusted_p_values.of_pairs(played(design, scores)) == pytest.approx(expected)


def test_there_are_none_of_other_tests() -> None:
    scores = np.random.default_rng(0).normal(size=(2, 6))
    closed = Design(("a", "b"), 6, 1)
    assert len(adjusted_p_values.of_pairs(played(closed, scores))) == 1
    for changed in ({"interims": 2}, {"procedure": "shared"}):
        assert adjusted_p_values.of_pairs(played(replace(closed, **changed), scores)) == {}
