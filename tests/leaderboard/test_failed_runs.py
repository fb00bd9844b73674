"""A failed run: counted and shown, never a zero, and its method is not ranked by what finished."""

import csv
import json
import math
import re
import urllib.parse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from datumrl.evaluation.recorder import Recorder
from datumrl.evaluation.records import RunRecord, ScoreRow
from datumrl.leaderboard import board, drawing, runs, suite_pages, tables, wording
from datumrl.leaderboard.tables import Entry, Table

HOPPER = [f"d4rl/hopper-{kind}-v2" for kind in ("medium-expert", "medium", "random")]  # sorted
EXTRA = "d4rl/hopper-expert-v2"


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATUMRL_HOME", str(tmp_path / "home"))


def rows_of(
    method: str, level: float, datasets: Sequence[str] = HOPPER, failed: int = 0
) -> list[ScoreRow]:
    """Return six seeds on each dataset, of which the last have failed."""
    return [
        ScoreRow(
            tier="local", algorithm=method, dataset=dataset, seed=seed, source="x",
            failed=seed >= 6 - failed,
            score=None if seed >= 6 - failed else level + 2.0 * place + seed,
        )
        for place, dataset in enumerate(datasets)
        for seed in range(6)
    ]  # fmt: skip


def build(*rows: list[ScoreRow]) -> Table:
    (table,) = tables.build(runs.from_rows([row for each in rows for row in each]))
    return table


def entry_of(table: Table, name: str) -> Entry:
    (entry,) = (each for each in table.entries if each.algorithm == name)
    return entry


@pytest.fixture(scope="module")
def half() -> Table:
    """Return two methods that finish, and one far better of which half the seeds fail once."""
    good = rows_of("half", 90, HOPPER[:2]) + rows_of("half", 94, HOPPER[2:], failed=3)
    return build(rows_of("A", 50), rows_of("B", 20), good)


def test_a_method_is_not_ranked_by_its_good_half(half: Table) -> None:
    assert [(entry.algorithm, entry.rank) for entry in half.entries] == [
        ("A", 1),
        ("B", 2),
        ("half", None),
    ]
    entry = half.entries[-1]
    assert (entry.aggregate, entry.rank_interval, entry.letters) == (None, None, "")
    assert (entry.failing, entry.lacks, entry.complete) == ((HOPPER[2],), (), False)
    assert wording.warnings(entry, half) == ["not ranked: 3 of 18 runs failed"]
    assert [each.letters for each in half.entries[:2]] == ["a", "b"]
    assert "half" not in half.test
    # The others have what they would have without it, over the same datasets.
    alone = build(rows_of("A", 50), rows_of("B", 20))
    assert half.ranked_over == alone.ranked_over == tuple(HOPPER)
    assert [each.aggregate for each in half.entries[:2]] == [e.aggregate for e in alone.entries]
    assert [each.letters for each in alone.entries] == ["a", "b"]


def test_failed_seeds_are_counted_shown_and_never_zero(half: Table) -> None:
    cell = half.entries[-1].cells[HOPPER[2]]
    assert (cell.count("failed"), len(cell.runs)) == (3, 6)
    assert (cell.values.tolist(), cell.mean) == ([94.0, 95.0, 96.0], 95.0)
    assert 'class="crosses"' in drawing.strip(cell, drawing.axis(cell.values.tolist()))


def test_failed_and_unfinished_runs_are_told_apart() -> None:
    found = runs.from_rows(rows_of("A", 50, HOPPER[:1]))
    found[0] = runs.Run(found[0].row.model_copy(update={"score": None}), "unfinished", "local: x")
    (table,) = tables.build(found)
    (entry,) = table.entries
    assert (entry.rank, entry.failing, entry.complete) == (1, (), True)
    assert entry.aggregate is not None
    assert entry.aggregate.runs == 5
    assert wording.warnings(entry, table) == ["1 of 6 runs unfinished"]


def test_the_page_says_why_and_bolds_no_mean_of_survivors(half: Table, tmp_path: Path) -> None:
    board.write([half], tmp_path / "board")
    (page,) = tmp_path.glob("board/suites/*.html")
    text = page.read_text(encoding="utf-8")
    own = half.entries[-1].id
    (row,) = re.findall(rf'<tr id="{own}" class="partial".*?</tr>', text, re.DOTALL)
    assert "not ranked: 3 of 18 runs failed" in row
    assert "undefined, as runs failed" in row
    assert "<svg" not in row
    assert 'class="best">95.0' not in text
    view = suite_pages.TableView(half, {})
    assert view.best(HOPPER[2]) == entry_of(half, "A").cells[HOPPER[2]].mean
    assert view.best(HOPPER[0]) == half.entries[-1].cells[HOPPER[0]].mean
    assert "95.0 <small>± 0.8</small>" in text  # of those that finished
    assert "3 of 6 failed" in text
    index = (tmp_path / "board/index.html").read_text(encoding="utf-8")
    assert "undefined, as runs failed" in index
    detail = (tmp_path / f"board/runs/{own}.html").read_text(encoding="utf-8")
    assert "undefined</a>: 3 of 18 runs failed" in detail


def test_files_have_no_number_and_the_reason(half: Table, tmp_path: Path) -> None:
    board.write([half], tmp_path / "board")
    (summary,) = json.loads((tmp_path / "board/data/summary.json").read_text())["tables"]
    told = summary["rows"][-1]
    assert told["undefined"] == "3 of 18 runs failed"
    names = ("rank", "rank_interval", "iqm", "interval", "mean", "median", "optimality_gap")
    assert {told[name] for name in names} == {None}
    assert [row["undefined"] for row in summary["rows"][:-1]] == ["", ""]
    assert told["cells"][-1]["values"] + [told["cells"][-1]["failed"]] == [94.0, 95.0, 96.0, 3]
    (path,) = tmp_path.glob("board/data/aggregates/*.csv")
    with path.open(encoding="utf-8", newline="") as handle:
        lines = {line["algorithm"]: line for line in csv.DictReader(handle)}
    assert (lines["half"]["iqm"], lines["half"]["rank"]) == ("", "")
    assert (lines["half"]["undefined"], lines["A"]["undefined"]) == ("3 of 18 runs failed", "")
    assert lines["A"]["iqm"]


def test_a_dataset_where_all_seeds_fail_is_not_taken_from_the_others() -> None:
    broken = [
        [*rows_of(name, 90, HOPPER[:2]), *rows_of(name, 90, HOPPER[2:], failed=6)]
        for name in ("X", "Y", "Z")
    ]
    table = build(rows_of("A", 50), rows_of("B", 20), *broken)
    assert table.ranked_over == tuple(HOPPER)
    assert [entry.rank for entry in table.entries] == [1, 2, None, None, None]
    assert wording.warnings(entry_of(table, "X"), table) == [
        "not ranked: 6 of 18 runs failed",
        "2 of 3 datasets, without hopper-random-v2",
    ]


def test_a_method_that_never_finished_has_no_say_in_what_is_ranked_over() -> None:
    table = build(rows_of("A", 50), rows_of("crash", 0, HOPPER[:1], failed=6))
    assert table.ranked_over == tuple(HOPPER)
    crash = entry_of(table, "crash")
    assert wording.nothing(crash) == "no finished run"
    assert wording.warnings(crash, table)[0] == "not ranked: 6 of 6 runs failed"


def test_failures_elsewhere_are_flagged_only() -> None:
    elsewhere = rows_of("A", 50, [EXTRA], failed=2)
    table = build(rows_of("A", 50), rows_of("B", 20), elsewhere)
    assert [entry.rank for entry in table.entries] == [1, 2]
    assert wording.warnings(table.entries[0], table) == ["2 of 24 runs failed"]
    both = build(rows_of("A", 50, failed=1), rows_of("B", 20), elsewhere)
    assert wording.warnings(entry_of(both, "A"), both) == [
        "not ranked: 3 of 18 runs failed",
        "2 of 6 runs failed on other datasets",
    ]


def test_a_table_that_ranks_nothing_gives_no_number_either() -> None:
    rows = [*rows_of("A", 50), *rows_of("B", 60, failed=1)]
    table = build([row.model_copy(update={"tier": "reported"}) for row in rows])
    assert table.unranked
    assert [entry.aggregate is None for entry in table.entries] == [False, True]
    assert wording.warnings(table.entries[1], table) == ["3 of 18 runs failed"]
    assert wording.nothing(table.entries[1]) == "undefined, as runs failed"


def test_a_score_that_is_no_number_is_a_failure() -> None:
    rows = rows_of("X", 10, HOPPER[:1])
    rows[1] = rows[1].model_copy(update={"score": math.nan})
    table = build(rows)
    (entry,) = table.entries
    assert entry.cells[HOPPER[0]].values.tolist() == [10.0, 12.0, 13.0, 14.0, 15.0]
    assert (entry.count("failed"), entry.aggregate, entry.rank) == (1, None, None)


def test_raw_returns_have_neither_rank_nor_reason() -> None:
    rows = [
        ScoreRow(
            tier="local", algorithm="A", dataset="neorl/citylearn-low-1000", seed=seed, source="x",
            mean_return=None if seed == 2 else 1000.0 + seed, failed=seed == 2,
        )
        for seed in range(4)
    ]  # fmt: skip
    table = build(rows)
    (entry,) = table.entries
    assert (table.normalised, entry.failing, entry.complete) == (False, (), True)
    assert wording.warnings(entry, table) == ["1 of 4 runs failed"]
    assert wording.undefined(entry, table) == ""


# -- Beside raw returns ---------------------------------------------------------------------------

ANTMAZE = ["d4rl/antmaze-umaze-v2", "d4rl/antmaze-umaze-diverse-v2"]
OTHER = "antmaze-umaze-diverse-v2"  # no environment of the first dataset's scores


def measured(
    method: str, dataset: str, environment: str, seeds: int, failed: Sequence[int] = ()
) -> list[RunRecord]:
    """Return a method's records of returns that other code measured, some of them failed."""
    engine = {"gym": "0.23.1", "mujoco-py": "2.1.2.14"}
    found = []
    for seed in range(seeds):
        recorder = Recorder(
            method, dataset, seed, {}, 10, engine=engine, environment=environment,
            time_limit=700, episodes=2,
        )  # fmt: skip
        if seed in failed:
            with pytest.raises(ZeroDivisionError), recorder:
                raise ZeroDivisionError
        else:
            with recorder as run:
                run.log(10, [0.0, 1.0 - 0.01 * seed], [50, 60])
        found.append(recorder.record)
    return found


def scored_table(found: Sequence[RunRecord]) -> Table:
    """Return the only table of normalised scores."""
    (table,) = (each for each in tables.build(runs.from_records(found)) if each.normalised)
    return table


def test_raw_returns_of_others_take_no_failed_run_out_of_its_methods_table() -> None:
    half = measured("A", ANTMAZE[0], "antmaze-umaze-v2", 5, failed=(3, 4))
    alone = scored_table(half)
    table = scored_table(half + measured("B", ANTMAZE[0], OTHER, 2))
    for each in (alone, table):
        entry = entry_of(each, "A")
        assert (entry.rank, entry.count("failed"), entry.aggregate) == (None, 2, None)
        assert wording.warnings(entry, each) == ["not ranked: 2 of 5 runs failed"]
    assert len(table.entries) == 1


def test_failed_runs_of_raw_returns_are_with_these() -> None:
    whole = measured("A", ANTMAZE[0], "antmaze-umaze-v2", 5)
    for failed in ((0,), (0, 1, 2)):  # of three: also where none of the protocol finished
        built = tables.build(runs.from_records(whole + measured("B", ANTMAZE[0], OTHER, 3, failed)))
        counts = {table.normalised: (len(table.runs), table.entries[0].rank) for table in built}
        assert counts == {True: (5, 1), False: (3, None)}


def test_many_raw_returns_take_no_dataset_out_of_the_scores_table() -> None:
    own = [
        *measured("A", ANTMAZE[0], "antmaze-umaze-v2", 4, failed=(3,)),
        *measured("A", ANTMAZE[1], "antmaze-umaze-diverse-v2", 4),
    ]
    table = scored_table(own + measured("B", ANTMAZE[0], OTHER, 6))
    assert table.datasets == tuple(sorted(ANTMAZE))
    assert wording.warnings(entry_of(table, "A"), table) == ["not ranked: 1 of 8 runs failed"]


def test_a_failed_row_is_with_the_finished_rows_of_its_method() -> None:
    rows = [*rows_of("A", 50, failed=2), *rows_of("B", 0, failed=1)]
    found = [
        row.model_copy(update={"score": None, "mean_return": row.score})
        if row.algorithm == "B"
        else row
        for row in rows
    ]
    scored, raw = sorted(tables.build(runs.from_rows(found)), key=lambda each: not each.normalised)
    assert [(entry.algorithm, entry.rank) for entry in scored.entries] == [("A", None)]
    assert wording.warnings(scored.entries[0], scored) == ["not ranked: 6 of 18 runs failed"]
    assert [(entry.algorithm, entry.count("failed")) for entry in raw.entries] == [("B", 3)]


# -- In a browser ---------------------------------------------------------------------------------


def numbers(browser: Any, table: Table, name: str) -> tuple[str, str, str]:
    """Return what the main table says of a method: interval, IQM, runs."""
    script = (
        f"['interval', 'iqm', 'runs'].map((name) => document.getElementById('"
        f"{entry_of(table, name).id}').cells[[...document.querySelectorAll('table.main thead th')]"
        ".findIndex((head) => head.dataset.col === name)].textContent.trim())"
    )
    interval, iqm, count = browser.run(script)
    return interval, iqm, count


@pytest.mark.slow
def test_chosen_datasets_give_no_number_where_runs_failed(
    browser: Any, half: Table, tmp_path: Path
) -> None:
    board.write([half], tmp_path / "board")
    (page,) = tmp_path.glob("board/suites/*.html")
    browser.open(page)
    usual = ("undefined, as runs failed", "–", "–")
    assert numbers(browser, half, "half") == usual

    def tick(name: str) -> None:
        browser.run(f"document.querySelector(\"input[data-name='{name}']\").click()")

    tick(HOPPER[2])
    assert numbers(browser, half, "half") == usual
    assert numbers(browser, half, "A")[1:] == ("56.5", "6 × 1")
    tick(HOPPER[0])
    assert numbers(browser, half, "half") == usual
    tick(HOPPER[2])  # the first alone: no run failed there
    assert numbers(browser, half, "half")[1:] == ("92.5", "6 × 1")
    assert browser.complaints() == []


@pytest.mark.slow
def test_a_pair_is_undefined_only_over_the_datasets_with_failures(
    browser: Any, tmp_path: Path
) -> None:
    own = [rows_of(name, level) for name, level in (("A", 50), ("B", 20), ("C", 30))]
    table = build(*own, rows_of("A", 50, [EXTRA], failed=2), rows_of("B", 20, [EXTRA]))
    assert table.ranked_over == tuple(HOPPER)
    board.write([table], tmp_path / "board")
    pair = {"suite": table.id, "a": "A", "b": "B"}

    def told(**more: str) -> str:
        page = (tmp_path / "board/compare.html").as_uri()
        browser.open(f"{page}#{urllib.parse.urlencode({**pair, **more})}")
        found: str = browser.run("result.textContent")
        return found

    usual = told()
    assert "2 runs of A failed on datasets that are not compared here." in usual
    assert "IQM of A" in usual
    every = told(over="all")
    assert "Undefined: 2 runs of A failed on these datasets." in every
    assert "IQM of A" not in every
    assert "Over the table's 3 datasets only" in every
    assert browser.complaints() == []
