"""Checkpoint rules: what they choose, and an optimism that is nought where there is no luck."""

import numpy as np
import pytest

from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import checkpoint_rules


def test_rules():
    curves = np.array([[1.0, 9.0, 4.0], [5.0, 2.0, 6.0]])
    np.testing.assert_array_equal(checkpoint_rules.last(curves), [4.0, 6.0])
    np.testing.assert_array_equal(checkpoint_rules.last_mean(curves, 2), [6.5, 4.0])
    np.testing.assert_array_equal(checkpoint_rules.best(curves), [9.0, 6.0])
    with pytest.raises(DatumrlError, match="last 10 evaluations of 3"):
        checkpoint_rules.last_mean(curves)


def test_optimism_of_equal_policies_is_all_of_it():
    # Every evaluation is of the same policy worth 50: what best has above that is luck.
    generator = np.random.default_rng(0)
    returns = generator.normal(50, 20, (400, 30, 10))
    found = checkpoint_rules.best_of_episodes(returns, generator)
    error = 4.5 * 20 / np.sqrt(10) / np.sqrt(400)
    assert found.value.mean() > 60
    assert abs(found.honest.mean() - 50) < error
    np.testing.assert_array_equal(found.value, checkpoint_rules.best(returns.mean(axis=-1)))
    by_neighbours = checkpoint_rules.best_of_evaluations(returns.mean(axis=-1))
    assert abs(by_neighbours.honest.mean() - 50) < error
    np.testing.assert_array_equal(by_neighbours.value, found.value)


def test_no_luck_no_optimism():
    curves = np.stack([np.linspace(0, 90, 20), np.linspace(90, 0, 20)])
    without_noise = np.repeat(curves[..., None], 4, axis=-1)
    found = checkpoint_rules.best_of_episodes(without_noise, np.random.default_rng(0))
    np.testing.assert_allclose(found.optimism, 0.0, atol=1e-12)
    # Neighbours of a peak are lower, so this one errs upwards, by about a step.
    assert (checkpoint_rules.best_of_evaluations(curves).optimism <= 1.6 * 90 / 19).all()


def test_a_real_peak_is_kept():
    generator = np.random.default_rng(1)
    returns = generator.normal(0, 5, (200, 15, 10))
    returns[:, 7] += 100
    found = checkpoint_rules.best_of_episodes(returns, generator)
    assert found.honest.mean() == pytest.approx(100, abs=0.6)
    np.testing.assert_allclose(found.honest, found.value, atol=1e-9)  # the halves average to all


def test_neighbours_by_hand():
    # Even places 1, 7, 3: 7 has neighbours 2 and 4.  Odd places 2, 4: 4 has neighbours 7 and 3.
    found = checkpoint_rules.best_of_evaluations([1.0, 2.0, 7.0, 4.0, 3.0])
    assert found.honest == pytest.approx((3.0 + 5.0) / 2)
    assert found.optimism == pytest.approx(3.0)


def test_same_seed_same_digits():
    returns = np.random.default_rng(0).normal(size=(3, 8, 5))
    one, again = (
        checkpoint_rules.best_of_episodes(returns, np.random.default_rng(4)) for _ in range(2)
    )
    np.testing.assert_array_equal(one.honest, again.honest)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: checkpoint_rules.best([[1.0, np.nan]]), "not finite"),
        (lambda: checkpoint_rules.last([]), r"shape \(0,\)"),
        (lambda: checkpoint_rules.best([[1.0], [1.0, 2.0]]), "different lengths"),
        (
            lambda: checkpoint_rules.best_of_episodes([[1.0], [2.0]], np.random.default_rng(0)),
            "one episode per evaluation",
        ),
        (
            lambda: checkpoint_rules.best_of_episodes([[1.0, 2.0]], np.random.default_rng(0), 0),
            "0 splits",
        ),
        (lambda: checkpoint_rules.best_of_evaluations([1.0]), "no neighbour"),
    ],
)
def test_bad_input(call, told):
    with pytest.raises(DatumrlError, match=told):
        call()
