"""The sentences about a table."""

import numpy as np
import pytest

from datumrl.leaderboard import outcome, outcome_files, outcome_reading, outcome_sheets
from datumrl.leaderboard.outcome import About
from datumrl.leaderboard.rules import RawRun, Recomputer, Units
from datumrl.leaderboard.table_case import Case, PrintedCell

RUNS = {
    "good": [RawRun("0", np.array([60.0])), RawRun("1", np.array([64.0]))],
    "failed": [RawRun("0", np.array([60.0])), RawRun("1", np.array([64.0]), failed=True)],
}


def counted(*printed, folder=None):
    """What is told of the numbers of cells printed as (dataset, mean, std)."""
    cells = tuple(PrintedCell("A", name, "last", "", *text) for name, *text in printed)
    raw = {("A", name): RUNS[name] for name in RUNS}
    found = outcome.of_case(Case(cells, Recomputer(raw, Units())), About("t", "t"))
    (line,) = (each for each in outcome_sheets.summary(found) if "equal after" in each)
    if folder is not None:
        again = outcome_reading.read(outcome_files.write(found, folder)[2])
        assert outcome_sheets.summary(again) == outcome_sheets.summary(found)
    return line


@pytest.mark.parametrize(
    ("printed", "told"),
    [
        ([("failed", "71.3", "9.1")], "0 of 1 cells are equal after rounding (0 of 2 numbers)"),
        (
            [("failed", "71.3", "9.1"), ("good", "62.0", "2.0")],
            "1 of 2 cells are equal after rounding (2 of 4 numbers)",
        ),
        (
            [("good", "62.0", "7.7"), ("failed", "71.3", None)],
            "0 of 2 cells are equal after rounding (1 of 3 numbers)",
        ),
    ],
)
def test_wrong_numbers_are_counted_not_commas(printed, told, tmp_path):
    assert counted(*printed, folder=tmp_path) == told
