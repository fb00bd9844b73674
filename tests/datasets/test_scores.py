"""Normalised scores: the two references map to 0 and 100, and a spread is never shifted."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

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
