"""What a printed number allows, and what becomes of failed runs."""

import numpy as np
import pytest

from datumrl.leaderboard.rules import Place, RawRun, Recomputer, Rule, Units, bounds


@pytest.mark.parametrize(
    ("value", "printed", "follows"),
    [
        (2.29, "2.2", True),
        (2.31, "2.2", False),
        (2.19, "2.2", False),
        (-2.29, "-2.2", True),
        (-2.19, "-2.2", False),
        (0.09, "0.0", True),
        (-0.09, "0.0", True),
    ],
)
def test_cutting_digits_off(value, printed, follows):
    low, high = bounds(printed, cut=True)
    assert (low <= value <= high) is follows


@pytest.mark.parametrize(
    ("failed", "expected"),
    [
        ("counted", [90.0, np.nan]),
        ("dropped", [90.0]),
        ("zero", [90.0, 0.0]),
        ("carried", [90, 10]),
    ],
)
def test_a_failed_run_counts_only_by_a_rule_that_says_how(failed, expected):
    runs = [RawRun("0", np.array([90.0])), RawRun("1", np.array([10.0]), failed=True)]
    raw = Recomputer({("IQL", "x"): runs}, Units())
    found = raw.scores(Place("IQL", "x", "last"), Rule(failed=failed))
    np.testing.assert_array_equal(found, expected)
