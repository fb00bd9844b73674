"""Claims and IQMs are taken from scores that give what is printed, or are said not to be."""

import numpy as np
import pytest

from datumrl.leaderboard import diagnosis, outcome, outcome_files, outcome_reading, scored_rule
from datumrl.leaderboard.outcome import About
from datumrl.leaderboard.rules import RawRun, Recomputer, Rule, Units
from datumrl.leaderboard.table_case import Case, PrintedCell

DATASETS = ("hopper", "walker2d", "ant")


def table(printed, runs=8, pooled=False):
    """Two methods, of which one ends well and the other has the best evaluations.

    Cells are printed by (algorithm, dataset, curves) -> (mean, std).
    """
    generator = np.random.default_rng(1)
    raw, cells = {}, []
    for dataset in DATASETS:
        for algorithm, peak, end in (("Mine", 90.0, 50.0), ("Theirs", 75.0, 70.0)):
            curves = generator.normal(40.0, 1.0, (runs, 6))
            curves[:, 3] = generator.normal(peak, 1.0, runs)
            curves[:, -1] = generator.normal(end, 1.0, runs)
            raw[algorithm, dataset] = [RawRun(str(k), curve) for k, curve in enumerate(curves)]
            mean, std = printed(algorithm, dataset, curves)
            text = (f"{mean:.2f}", f"{std:.2f}")
            cells.append(
                PrintedCell(algorithm, dataset, "last", "", *text, bold=algorithm == "Mine")
            )
    return Case(tuple(cells), Recomputer(raw, Units()), pooled_datasets=pooled)


def best(algorithm, dataset, curves):
    return curves.max(axis=1).mean(), curves.max(axis=1).std()


def last(algorithm, dataset, curves):
    return curves[:, -1].mean(), curves[:, -1].std()


def judged(case):
    return outcome.of_case(case, About("t", "t"))


def test_claims_and_iqms_follow_the_rule_that_explains_the_table(tmp_path):
    found = judged(table(best, pooled=True))
    assert found.counts == {"only under": 6}
    assert found.claims.surviving == 3
    assert [each.algorithm for each in found.pools[0].aggregates] == ["Mine", "Theirs"]
    assert found.pools[0].aggregates[0].iqm == pytest.approx(90.0, abs=1.0)
    words = "Runs are scored by the rule found: 'last' is the best evaluation of each run."
    assert found.scored == words
    # In the captions of both.
    assert " ".join(outcome_files.plain(found, []).split()).count(words) == 2
    path = outcome_files.write(found, tmp_path)[2]
    assert outcome_reading.read(path).scored == words


def test_a_table_as_stated_needs_no_words():
    found = judged(table(last))
    assert found.claims.surviving == 0
    assert all(claim.contradicted for claim in found.claims.rows)
    assert found.scored == ""


def test_rows_that_the_scores_do_not_give_are_not_testable():
    def printed(algorithm, dataset, curves):
        mean, std = last(algorithm, dataset, curves)
        return (95.37, std) if (algorithm, dataset) == ("Mine", "ant") else (mean, std)

    found = judged(table(printed))
    notes = {claim.dataset: claim.note for claim in found.claims.rows}
    assert notes == {"hopper": "", "walker2d": "", "ant": "not what these scores give: Mine"}
    assert found.claims.surviving == 0
    assert found.scored == (
        "Runs are scored as stated; 1 of 6 printed means do not follow from that."
    )


def test_the_rule_of_most_cells_is_taken_and_the_other_rows_are_not_testable():
    case = table(lambda *cell: best(*cell) if cell[1] == "ant" else last(*cell))
    found = judged(case)
    assert found.reproduces
    notes = {claim.dataset: claim.note for claim in found.claims.rows}
    assert notes == {
        "hopper": "",
        "walker2d": "",
        "ant": "not what these scores give: Mine, Theirs",
    }


def test_another_deviation_leaves_the_scores_as_stated():
    case = table(lambda a, d, curves: (curves[:, -1].mean(), curves[:, -1].std(ddof=1)))
    found = judged(case)
    assert found.counts == {"only under": 6}
    assert found.scored == ""
    assert all(claim.contradicted for claim in found.claims.rows)


def test_of_the_runs_that_may_be_missing_those_that_give_the_cell_are_taken():
    case = table(lambda a, d, curves: last(a, d, np.delete(curves, 5, axis=0)), runs=6)
    rule = Rule(runs="one missing")
    curves = np.array([run.values for run in case.raw.raw["Mine", "hopper"]])
    taken = scored_rule.scores(case, 0, rule)
    np.testing.assert_array_equal(taken, np.delete(curves[:, -1], 5))


def test_a_run_that_counts_twice_is_not_tested_as_two():
    case = table(lambda a, d, curves: last(a, d, np.concatenate([curves, curves[2:3]])))
    found = diagnosis.diagnose(case)
    assert found.explanations[0].candidate.label == "seed 2 counted twice"
    scoring = scored_rule.of_case(case, found)
    assert (scoring.rule, len(scoring.off)) == (case.stated, 6)
    assert {claim.note for claim in judged(case).claims.rows} == {
        "not what these scores give: Mine, Theirs"
    }
