"""What a row adds up to: which scores count, the interval, and what a reader is told of both."""

import csv
import io
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from datumrl.evaluation import ragged
from datumrl.evaluation.records import ScoreRow
from datumrl.leaderboard import board, runs, standings, suite_pages, tables, wording
from datumrl.leaderboard.tables import Table

HOPPER = [f"d4rl/hopper-{kind}-v2" for kind in ("medium", "medium-expert", "random")]


def build(scores: Mapping[str, Sequence[float]]) -> Table:
    """Return the table of one method with these scores on each dataset, seeds from 0."""
    rows = [
        ScoreRow(tier="raw published", algorithm="X", dataset=dataset, seed=seed, score=score)
        for dataset, values in scores.items()
        for seed, score in enumerate(values)
    ]
    (table,) = tables.build(runs.from_rows(rows))
    return table


def test_the_same_scores_in_another_order_share_a_rank() -> None:
    for seed in (2, 3, 19):  # of these, sums that went by the runs' order gave two ranks
        scores = np.random.default_rng(seed).normal(50, 10, (5, 3))
        rows = [
            ScoreRow(tier="raw published", algorithm=name, dataset=dataset, seed=place, score=score)
            for name, own in (("X", scores), ("Y", scores[::-1]))
            for dataset, values in zip(HOPPER, own.T.tolist(), strict=True)
            for place, score in enumerate(values)
        ]
        (table,) = tables.build(runs.from_rows(rows))
        assert [entry.rank for entry in table.entries] == [1, 1]
        held = [ragged.gather_matrix(own) for own in (scores, scores[::-1])]
        assert standings.iqm_ranks(held).tolist() == [1, 1]


def test_small_returns_keep_their_digits_on_every_page(tmp_path: Path) -> None:
    """A table of scores of the same size has one decimal, as the field does."""
    rows = [
        ScoreRow(
            tier="local", algorithm="X", dataset=HOPPER[0], seed=seed, source=unit, **{unit: value}
        )
        for unit in ("mean_return", "score")
        for seed, value in enumerate((0.040, 0.042, 0.044))
    ]
    board.write(tables.build(runs.from_rows(rows)), tmp_path / "board")
    shown = "0.04200 <small>± 0.00163</small>"
    for folder in ("suites", "runs", "datasets"):
        pages = [path.read_text() for path in (tmp_path / "board" / folder).glob("*.html")]
        assert sum(page.count(shown) for page in pages) == 1, folder
        assert any("0.0 <small>± 0.0</small>" in page for page in pages)


def test_a_point_is_no_interval() -> None:
    equal = tables.aggregate(np.full((5, 2), 7.0))
    assert equal is not None
    assert (equal.iqm, equal.low, equal.high) == (7.0, None, None)
    failing = tables.aggregate(np.array([[0.0]] * 8 + [[60.0], [80.0]]))  # the IQM sees zeros only
    assert failing is not None
    assert failing.low is not None
    assert failing.high is not None
    assert failing.high > 10.0
    assert failing.percentile


def test_a_percentile_interval_is_marked_in_its_row() -> None:
    table = build({HOPPER[0]: [20.0] * 6 + [31.0, 35.0]})
    assert wording.warnings(table.entries[0], table) == [
        "percentile interval: the scores that count are all equal"
    ]
    spread = build({HOPPER[0]: [20.0, 22.0, 25.0, 19.0, 30.0, 31.0, 18.0, 35.0]})
    assert wording.warnings(spread.entries[0], spread) == []


def test_files_say_how_an_interval_was_made() -> None:
    kinds = {
        "percentile": [20.0] * 6 + [31.0, 35.0],
        "t": [20.0, 22.0, 25.0, 19.0, 30.0, 31.0, 18.0, 35.0],
        "": [20.0] * 5,  # no interval
    }
    for method, values in kinds.items():
        table = build({HOPPER[0]: values})
        (page,) = suite_pages.pages([table], {})
        (text,) = suite_pages.downloads(page).values()
        line, *references = csv.DictReader(io.StringIO(text))
        aggregate = table.entries[0].aggregate
        assert aggregate is not None
        assert line["interval_method"] == method
        for name in ("iqm", "low", "high", "mean", "median", "optimality_gap", "runs", "tasks"):
            value = getattr(aggregate, name)
            assert line[name] == ("" if value is None else str(value))
        assert (line["algorithm"], line["tier"], line["lacks"]) == ("X", "raw published", "")
        assert {each["tier"] for each in references} >= {"by definition"}
        (row,) = wording.summary([table], {})["tables"][0]["rows"]
        assert (row["interval_method"] or "") == method


def test_the_interval_is_tukeys_and_mclaughlins() -> None:
    scores = np.random.default_rng(7).normal(50, 10, 12)
    found = tables.aggregate(scores[:, None])
    assert found is not None
    # Trimmed by three on either side; the deviation is that of the winsorised scores.
    low, high = np.sort(scores)[[3, -4]]
    error = np.clip(scores, low, high).std(ddof=1) / (0.5 * math.sqrt(12))
    reach = stats.t.ppf(0.975, 12 - 2 * 3 - 1) * error
    assert found.iqm == pytest.approx(stats.trim_mean(scores, 0.25))
    assert (found.low, found.high) == pytest.approx((found.iqm - reach, found.iqm + reach))


def test_unequal_runs_enter_the_aggregate_by_seed_and_not_by_score() -> None:
    table = build({HOPPER[0]: [10.0, 20.0, 90.0, 80.0], HOPPER[1]: [30.0, 60.0]})
    found = table.entries[0].aggregate
    assert found is not None
    assert found.iqm == pytest.approx(statistics.fmean([20.0, 30.0]))  # of 10, 20, 30, 60
    assert "2 seeds per dataset in the aggregate" in wording.warnings(table.entries[0], table)


def test_one_run_has_no_interval_and_few_are_flagged() -> None:
    scores = [10.0, 12.0, 15.0]
    one, two, three = (build(dict.fromkeys(HOPPER, scores[:count])) for count in (1, 2, 3))
    assert one.entries[0].aggregate is not None
    assert one.entries[0].aggregate.low is None
    assert wording.warnings(one.entries[0], one) == ["only 1 run"]
    assert wording.warnings(two.entries[0], two) == ["only 2 runs"]
    assert wording.warnings(three.entries[0], three) == []
