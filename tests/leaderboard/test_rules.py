"""What a printed number allows."""

import pytest

from datumrl.leaderboard.rules import bounds


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
