"""Normalised scores: the two references map to 0 and 100, and a spread is never shifted."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import datumrl
from datumrl.datasets import catalogue, scores
from datumrl.datasets.errors import DatumrlError

CHEETAH = catalogue.find("d4rl/halfcheetah-medium-v2")


def test_references_map_to_0_and_100():
    reference = CHEETAH.reference
    assert scores.normalize(reference.minimum, CHEETAH) == 0
    assert scores.normalize(reference.maximum, CHEETAH) == 100
    # D4RL: (return - -280.178953) / (12135.0 - -280.178953), as a fraction; ours is 0 to 100.
    np.testing.assert_allclose(
        scores.normalize(np.array([0.0, 5000.0]), CHEETAH), [2.2567452, 42.5300279], rtol=1e-6
    )


def test_a_spread_is_scaled_and_never_shifted():
    returns = np.array([1000.0, 3000.0, 4500.0])
    expected = scores.normalize(returns, CHEETAH).std()
    assert scores.normalize_spread(returns.std(), CHEETAH) == pytest.approx(expected)
    assert scores.normalize_spread(0.0, CHEETAH) == 0


def test_without_references_there_is_no_score():
    record = dataclasses.replace(CHEETAH, reference=None)
    for function in (scores.normalize, scores.normalize_spread):
        with pytest.raises(DatumrlError, match="no reference scores"):
            function(1.0, record)


def test_score_is_d4rls_times_100_of_numbers_and_arrays():
    assert datumrl.score(5000, CHEETAH.id) == pytest.approx(42.5300279)
    assert isinstance(datumrl.score(np.float32(5000), CHEETAH.id), float)
    found = datumrl.score([[0.0, 5000.0]], CHEETAH.id)
    np.testing.assert_allclose(found, [[2.2567452, 42.5300279]], rtol=1e-6)
    single = datumrl.score(np.float32([0.1]), CHEETAH.id)
    assert (single.shape, single.dtype) == ((1,), np.float64)


@pytest.mark.parametrize(
    ("returns", "dataset_id", "told"),
    [
        (1.0, "healthgym/sepsis", "healthgym/sepsis has no reference scores"),
        ("high", CHEETAH.id, "'high': returns are numbers"),
        (1.0, "halfcheetah-medium-v2", "did you mean 'd4rl/halfcheetah-medium-v2'"),
        (1.0, 3, "3: a dataset is named by its id"),
    ],
)
def test_what_has_no_score_is_refused(returns, dataset_id, told):
    with pytest.raises(DatumrlError, match=told):
        datumrl.score(returns, dataset_id)
