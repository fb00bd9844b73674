"""What a report's tables show: digits by the size of the returns, and marks at the numbers."""

from __future__ import annotations

import json
import math

import pytest

from datumrl.evaluation import report, report_latex, report_tables, report_text
from datumrl.evaluation.records import ScoreRow
from datumrl.evaluation.report_parts import Report


def compared(
    values: dict[str, list[float]], unit: str = "mean_return", **options: object
) -> Report:
    rows = [
        ScoreRow(tier="local", algorithm=name, dataset="mine/own-v0", seed=seed, **{unit: value})
        for name, own in values.items()
        for seed, value in enumerate(own)
    ]
    return report.compare(rows, resamples=200, **options)


def sheet(found: Report, key: str) -> report_tables.Sheet:
    return next(each for each in report_tables.sheets(found) if each.key == key)


SMALL = {"x": [0.040, 0.042, 0.044, 0.046, 0.048], "y": [0.010, 0.012, 0.014, 0.016, 0.018]}
FAILING = [0.0] * 8 + [60.0, 80.0]


def test_small_returns_keep_their_digits_in_every_output() -> None:
    found = compared(SMALL)
    shown = {
        "aggregates": ["0.04400 [0.03759, 0.05041]", "0.01400 [0.00759, 0.02041]"],
        "pairs": ["0.03000 [0.02415, 0.03585]"],
        "datasets": ["0.04400 ± 0.00316"],
    }
    plain, markdown = str(found), report_text.markdown(found, {})
    latex = report_latex.document(found, {})
    for key, texts in shown.items():
        for text in texts:
            assert text in [cell for row in sheet(found, key).rows for cell in row]
            assert key == "datasets" or text in plain
            assert report_text.escaped(text) in markdown
            assert report_latex.escaped(text) in latex


@pytest.mark.parametrize(
    ("scale", "shown"),
    [(1e-9, "5e−09"), (0.01, "0.05000"), (0.1, "0.5000"), (1.0, "5.000"), (10.0, "50.00"),
     (100.0, "500.0"), (1e6, "5000000.0"), (0.0, "0.0")],
)  # fmt: skip
def test_returns_have_four_digits_of_the_largest(scale: float, shown: str) -> None:
    found = compared({"x": [4 * scale, 5 * scale, 6 * scale], "y": [scale] * 3})
    assert sheet(found, "aggregates").rows[0][1].startswith(shown)


def test_normalised_scores_have_one_decimal_however_small() -> None:
    assert "0.0 [0.0, 0.1]" in str(compared(SMALL, "score"))


def test_digits_of_numbers() -> None:
    sizes = (0.0, 0.0048, 0.99, 1.0, 9.9, 99.0, 100.0, 1e6)
    assert [report_tables.decimals(size) for size in sizes] == [1, 6, 4, 3, 3, 2, 1, 1]
    assert report_tables.number(-0.00004, 4) == "0.0000"
    assert report_tables.number(-1.5e-9, 12) == "−1.5e−09"


def test_checkpoint_rules_have_the_digits_too() -> None:
    rows = [
        ScoreRow(tier="local", algorithm="x", dataset="mine/own-v0", seed=seed, step=step,
                 mean_return=0.04 + 0.001 * seed + 0.0001 * step)
        for seed in range(3) for step in range(2)
    ]  # fmt: skip
    found = report.compare(rows, resamples=200)
    assert sheet(found, "checkpoints").rows[0][1] == "0.04110"


def test_numbers_without_an_interval_by_t_are_marked_where_they_stand() -> None:
    values = {"b": [50.0 + seed for seed in range(10)], "d": [9.0] * 10, "c": [7.0] * 10}
    found = compared({**values, "a": FAILING}, "score")
    cells = {row[0]: row for row in sheet(found, "aggregates").rows}
    assert [cells["a"][place][-1] for place in (2, 3, 4, 5)] == ["‡", "]", "]", "]"]
    assert cells["d"][2:6] == ("9.0 ‡", "9.0 ‡", "9.0 ‡", "91.0 ‡")
    assert not any("‡" in cell for cell in cells["b"])
    pairs = sheet(found, "pairs")
    marks = {(row[0], row[1]): "‡" in row[3] for row in pairs.rows}
    assert marks == {
        ("b", "d"): False, ("b", "c"): False, ("b", "a"): True,
        ("d", "c"): True, ("d", "a"): True, ("c", "a"): True,
    }  # fmt: skip
    assert "Student's t on influence values, over runs; ‡ by the percentile" in pairs.caption
    assert "‡ without an interval" in pairs.caption
    latex = report_latex.document(found, {})
    assert "9.0 \\ddag{}" in latex
    assert "?" not in latex


def test_what_has_its_interval_is_not_marked() -> None:
    plain = compared({"x": [1.0, 2.0, 4.0], "y": [5.0, 6.0, 9.0]})
    percentile = compared({"a": FAILING, "b": list(range(10))}, "score", interval="percentile")
    alone = compared({"x": [1.0], "y": [2.0]})
    for found in (plain, percentile, alone):
        assert "‡" not in str(found)


def test_a_report_is_shown_as_its_tables_and_gives_its_numbers() -> None:
    found = compared({**SMALL, "failed": [1.0, math.nan]})
    assert repr(found) == str(found)
    assert found._repr_markdown_() == report_text.markdown(found, {})
    frame = found.frame()
    assert frame.index.tolist() == ["x", "y", "failed"]
    assert frame.columns.levels[0].tolist() == ["iqm", "mean", "median"]  # of returns no gap
    iqm = found.summaries[0].metrics["iqm"]
    assert frame.loc["x", "iqm"].tolist() == [iqm.value, iqm.low, iqm.high]
    assert frame.loc["failed"].isna().all()


def test_any_name_of_an_algorithm_leaves_the_json_whole() -> None:
    found = compared({"thresholds": [1.0, 2.0, 4.0], "run": [5.0, 6.0, 9.0]})
    profiles = json.loads(json.dumps(report_text.as_json(found)))["profiles"]
    assert profiles["thresholds"] == found.thresholds.tolist()
    assert set(profiles["algorithms"]) == {"thresholds", "run"}
    assert profiles["algorithms"]["thresholds"]["run"]["value"][0] == 1.0
