"""Bold-face claims: tested on the runs behind them."""

import numpy as np

from datumrl.leaderboard import bold_claims
from datumrl.leaderboard.rules import RawRun, Recomputer, Units
from datumrl.leaderboard.table_case import Case, PrintedCell

GENERATOR = np.random.default_rng(5)


def case(rows, runs=8):
    """A table from (dataset, {algorithm: true mean}, bold algorithms)."""
    raw, cells = {}, []
    for dataset, means, bold in rows:
        for algorithm, mean in means.items():
            values = GENERATOR.normal(mean, 1.0, runs)
            raw[algorithm, dataset] = [RawRun(str(k), np.array([v])) for k, v in enumerate(values)]
            printed = (f"{values.mean():.2f}", f"{values.std():.2f}")
            cells.append(PrintedCell(algorithm, dataset, "last", "", *printed, algorithm in bold))
    return Case(tuple(cells), Recomputer(raw, Units()))


FAR = {"A": 50.0, "B": 20.0, "C": 10.0}
CLOSE = {"A": 50.0, "B": 50.0, "C": 10.0}


def test_claims_survive_contradict_or_fail():
    found = bold_claims.check(
        case([("far", FAR, "A"), ("close", CLOSE, "A"), ("tie", CLOSE, "AB"), ("wrong", FAR, "B")])
    )
    assert found.marked
    by_dataset = {claim.dataset: claim for claim in found.rows}
    assert by_dataset["far"].survives
    assert not by_dataset["close"].survives
    assert by_dataset["close"].beaten == ("C",)
    assert by_dataset["tie"].survives, "two are bold, and both beat the third"
    assert by_dataset["tie"].bold == ("A", "B")
    assert not by_dataset["wrong"].survives
    assert by_dataset["wrong"].contradicted
    assert found.surviving == 2


def test_the_largest_mean_claims_where_nothing_is_bold():
    found = bold_claims.check(case([("far", FAR, ""), ("close", CLOSE, "")]))
    assert not found.marked
    assert [claim.survives for claim in found.rows] == [True, False]
    assert found.rows[0].bold == ("A",)


def test_rows_without_bold_claim_nothing_where_others_have_it():
    found = bold_claims.check(case([("far", FAR, "A"), ("none", FAR, ""), ("all", FAR, "ABC")]))
    assert [claim.dataset for claim in found.rows] == ["far"]


def test_three_seeds_cannot_support_a_claim():
    found = bold_claims.check(case([("far", {"A": 50.0, "B": 20.0}, "A")], runs=3))
    assert not found.rows[0].survives
    assert found.rows[0].runs == 3


def test_failed_runs_leave_a_claim_untested():
    own = case([("far", FAR, "A")])
    own.raw.raw["B", "far"][0] = RawRun("0", np.array([np.nan]))
    (claim,) = bold_claims.check(own).rows
    assert claim.note == "failed runs: B"
    assert not claim.survives
