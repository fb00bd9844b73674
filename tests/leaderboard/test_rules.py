"""What a printed number allows, and what becomes of failed runs."""

import dataclasses

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


CURVES = [np.arange(30.0), np.arange(30.0)[::-1] + 5.0]
SHORT = np.array([7.0, 9.0])


@pytest.mark.parametrize(
    ("odd", "rule", "configuration"),
    [
        ({"repeated": True}, Rule(), ""),
        ({"failed": True}, Rule(failed="dropped"), ""),
        ({"configuration": "small"}, Rule(), "large"),
        ({"configuration": "small"}, Rule(configuration="only large"), ""),
        ({"seed": "2"}, Rule(runs="without 2"), ""),
    ],
)
@pytest.mark.parametrize(
    ("checkpoint", "changes", "expected"),
    [
        ("last-10-mean", {}, [24.5, 9.5]),
        ("last-10-mean", {"spread": "evaluations"}, [24.5, 9.5]),
        ("best-step", {}, [0.0, 34.0]),
        ("last", {"shortest": True}, [29.0, 5.0]),
    ],
)
def test_runs_that_do_not_count_shorten_none_that_do(
    odd, rule, configuration, checkpoint, changes, expected
):
    runs = [RawRun(str(seed), own, configuration="large") for seed, own in enumerate(CURVES)]
    runs.append(RawRun(**{"seed": "0", "configuration": "large", **odd}, values=SHORT))
    raw = Recomputer({("A", "x"): runs}, Units())
    place = Place("A", "x", checkpoint, configuration=configuration)
    found = raw.scores(place, dataclasses.replace(rule, **changes))
    np.testing.assert_allclose(found, expected)


def test_a_failed_run_that_counts_as_zero_shortens_no_other():
    runs = [*map(RawRun, "01", CURVES), RawRun("2", SHORT, failed=True)]
    raw = Recomputer({("A", "x"): runs}, Units())
    found = raw.scores(Place("A", "x", "best-step"), Rule(failed="zero"))
    np.testing.assert_array_equal(found, [0.0, 34.0, 0.0])


def test_the_last_evaluations_of_a_run_are_as_many_as_it_has():
    raw = Recomputer({("A", "x"): [*map(RawRun, "012", [*CURVES, SHORT])]}, Units())
    found = raw.scores(Place("A", "x", "last-10-mean"), Rule())
    np.testing.assert_array_equal(found, [24.5, 9.5, 8.0])
