"""Rules that fit coarse cells by chance are not believed."""

import numpy as np
import pytest

from datumrl.leaderboard import chance_fits, outcome
from datumrl.leaderboard.outcome import About
from datumrl.leaderboard.rules import RawRun, Recomputer, Units
from datumrl.leaderboard.table_case import Case, PrintedCell

GENERATOR = np.random.default_rng(4)
RAW = {
    (algorithm, dataset): 50 + GENERATOR.normal(0, 8, (5, 3))
    for algorithm in "AB"
    for dataset in "wxyz"
}


def case(decimals, change):
    """A table of (mean, deviation) of the last evaluations, each changed."""
    cells = []
    for place, values in RAW.items():
        mean, std = change(values[:, -1])
        cells.append(PrintedCell(*place, "last", "", f"{mean:.{decimals}f}", f"{std:.{decimals}f}"))
    runs = {
        place: [RawRun(str(k), row) for k, row in enumerate(found)] for place, found in RAW.items()
    }
    return Case(tuple(cells), Recomputer(runs, Units()))


def judged(own):
    return outcome.of_case(own, About("t", "t"), with_claims=False)


def test_integers_at_random_are_not_explained():
    own = case(0, lambda v: (v.mean() + GENERATOR.choice([-6, 5]), v.std() + GENERATOR.choice([3])))
    found = judged(own)
    assert found.counts == {"differs": 8}
    assert any(each.fits for each in found.diagnosis.tried), "some fit, and are told"


def test_integers_by_another_rule_are():
    found = judged(case(0, lambda v: (v.mean(), v.std(ddof=1) / np.sqrt(5))))
    assert found.reproduces
    assert {verdict.rule for verdict in found.verdicts} - {""} == {
        "standard error instead of the standard deviation (ddof = 1)"
    }


def test_one_cell_with_the_likeliest_error_is_explained():
    own = case(1, lambda v: (v.mean(), v.std(ddof=1)))
    alone = Case(own.cells[:1], own.raw)
    assert judged(alone).verdicts[0].rule == "standard deviation with ddof = 1"


def test_the_chance_counts_the_numbers_that_are_missed_only():
    own = case(1, lambda v: (v.mean(), v.std() + 1))
    both = case(1, lambda v: (v.mean() + 1, v.std() + 1))
    spread = float(np.std(RAW["A", "w"][:, -1]))
    # The printed digit allows 0.1, rules move a number by about its spread up or down.
    assert chance_fits.of_cells(own, [0], 1) == pytest.approx(0.1 / (2 * spread), rel=1e-4)
    assert chance_fits.of_cells(both, [0], 1) == pytest.approx((0.1 / (2 * spread)) ** 2, rel=1e-4)
    assert chance_fits.of_cells(own, [0, 1], 0) == 1.0
