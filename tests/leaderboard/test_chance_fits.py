"""Rules that fit coarse cells by chance are not believed."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

from datumrl.leaderboard import chance_fits, outcome
from datumrl.leaderboard.outcome import About
from datumrl.leaderboard.rules import RawRun, Recomputer, Rule, Units
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


def runs_of(*values):
    return [RawRun(str(seed), np.array([value])) for seed, value in enumerate(values)]


def one_cell(mean, std=None):
    """Runs of 10, 20 and 30, of which something is printed: 20.0 ± 8.2 follow."""
    cell = PrintedCell("A", "x", "last", "", mean, std)
    return Case((cell,), Recomputer({("A", "x"): runs_of(10.0, 20.0, 30.0)}, Units()))


def share(low, high, width):
    """How often a normal error of at least half a digit has a mean of 20 printed in between."""
    error = stats.norm(20.0, width)
    return (error.cdf(high) - error.cdf(low)) / (1.0 - error.cdf(20.05) + error.cdf(19.95))


def test_the_chance_is_how_often_an_error_of_that_width_hits_what_a_rule_offers():
    best, missing = Rule(runs="best 1"), Rule(runs="one missing")
    chance = chance_fits.of_cells(one_cell("30.0"), Rule(), best, [0])
    assert chance == pytest.approx(share(29.95, 30.05, 10.0), rel=1e-6)
    # 15, 20 and 25 are offered; 20 would be no error.
    chance = chance_fits.of_cells(one_cell("25.0"), Rule(), missing, [0])
    assert chance == pytest.approx(2.0 * share(24.95, 25.05, 5.0), rel=1e-6)
    assert chance_fits.of_cells(one_cell("26.0"), Rule(), missing, [0]) == 1.0
    assert chance_fits.of_cells(one_cell("20.0"), Rule(), missing, [0]) == 1.0


def test_the_chance_counts_the_numbers_that_are_missed_only():
    # Of the two ways, one leaves the deviation as it is printed.
    raw = Recomputer({("A", "x"): runs_of(10.0, 20.0, 24.0, 30.0)}, Units())
    cell = PrintedCell("A", "x", "last", "", "21.3", "7.4")  # by all 21.0 and 7.4
    rule = Rule(runs="one missing")  # 24.7 (4.1), 21.3 (8.4), 20.0 (8.2), 18.0 (5.9)
    assert chance_fits.of_cells(Case((cell,), raw), Rule(), rule, [0]) == 1.0
    other = dataclasses.replace(cell, std="8.4")
    both = chance_fits.of_cells(Case((other,), raw), Rule(), rule, [0])
    mean = chance_fits.of_cells(
        Case((dataclasses.replace(cell, std=None),), raw), Rule(), rule, [0]
    )
    assert 0.0 < both < mean / 5.0


# -- Tables that are slightly wrong, and tables of a rule -----------------------------------------


def of_runs(seed, runs, cells, printed, spread=True):
    """A table with one decimal whose cells are printed by (generator, runs) -> (mean, std)."""
    generator = np.random.default_rng(seed)
    raw, made = {}, []
    for number in range(cells):
        values = generator.normal(60.0, 3.0, runs)
        raw["A", f"x{number}"] = runs_of(*values)
        mean, std = printed(generator, values)
        shown = f"{std:.1f}" if spread else None
        made.append(PrintedCell("A", f"x{number}", "last", "", f"{mean:.1f}", shown))
    return Case(tuple(made), Recomputer(raw, Units()))


@pytest.mark.parametrize(
    ("runs", "cells", "off", "spread"),
    [(10, 6, 0.15, False), (5, 6, 0.3, False), (5, 3, 0.1, True)],
)
def test_slightly_wrong_tables_are_not_explained(runs, cells, off, spread):
    def printed(generator, values):
        return np.array([values.mean(), values.std()]) + generator.normal(0.0, off, 2)

    for seed in range(3):
        found = judged(of_runs(seed, runs, cells, printed, spread))
        assert found.diagnosis.explanations == ()
        assert found.counts["differs"] >= cells / 2


@pytest.mark.parametrize(
    ("label", "printed"),
    [
        (
            "one run missing, not the same in every cell",
            lambda generator, v: np.delete(v, generator.integers(5)),
        ),
        (
            "one run counted twice, not the same in every cell",
            lambda generator, v: np.r_[v, v[generator.integers(5)]],
        ),
        ("without seed 2", lambda generator, v: np.delete(v, 2)),
    ],
)
def test_tables_of_other_runs_are_explained(label, printed):
    def both(generator, values):
        counted = printed(generator, values)
        return counted.mean(), counted.std()

    for seed in range(3):
        found = judged(of_runs(seed, 5, 6, both))
        assert found.reproduces
        assert {verdict.rule for verdict in found.verdicts} - {""} == {label}


def test_the_other_ddof_is_believed_of_a_whole_table_however_small_the_gap():
    both = of_runs(0, 10, 1, lambda generator, v: (v.mean(), v.std(ddof=1)))
    assert judged(both).counts == {"only under": 1}


@pytest.mark.parametrize("seed", [0, 1])
def test_a_second_departure_has_to_do_better_than_chance_beside_the_first(seed):
    # Far from the last evaluations, and near to, but not, the best ones.
    generator = np.random.default_rng(seed)
    raw, cells = {}, []
    for number in range(4):
        curves = generator.normal(60.0, 3.0, (10, 1)) + generator.normal(0.0, 3.0, (10, 3))
        raw["A", f"x{number}"] = [RawRun(str(k), curve) for k, curve in enumerate(curves)]
        mean = curves.max(axis=1).mean() + generator.normal(0.0, 0.1)
        cells.append(PrintedCell("A", f"x{number}", "last", "", f"{mean:.1f}", None))
    found = judged(Case(tuple(cells), Recomputer(raw, Units())))
    assert all("one run" not in each.candidate.label for each in found.diagnosis.explanations)
