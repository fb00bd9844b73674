"""What a table ranks over, and what its page, files and comparisons say over the same."""

import csv
import itertools
import json
import re
import urllib.parse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datumrl.evaluation.records import Budget, Evaluation, Protocol, RunRecord, ScoreRow
from datumrl.leaderboard import board, ranked_datasets, runs, tables, wording
from datumrl.leaderboard.tables import Entry, Table

NINE = [
    f"d4rl/{body}-{kind}-v2"
    for body in ("halfcheetah", "hopper", "walker2d")
    for kind in ("medium", "medium-expert", "medium-replay")
]
EXTRA = "d4rl/hopper-expert-v2"


def rows_of(method: str, level: float, datasets: Sequence[str], seeds: int = 4) -> list[ScoreRow]:
    """Return scores around a level, the same for every call."""
    return [
        ScoreRow(
            tier="local", algorithm=method, dataset=name, seed=seed, source="x",
            score=round(level + float(np.random.default_rng([seed, len(name)]).normal()), 3),
        )
        for name in datasets
        for seed in range(seeds)
    ]  # fmt: skip


def build(rows: list[ScoreRow]) -> Table:
    (table,) = tables.build(runs.from_rows(rows))
    return table


def entry_of(table: Table, name: str) -> Entry:
    (entry,) = (each for each in table.entries if each.algorithm == name)
    return entry


@pytest.fixture(scope="module")
def wide() -> Table:
    """Return nine datasets of four methods, one of which ran another and one of which lacks two."""
    rows = [*rows_of("A", 80, NINE), *rows_of("B", 60, NINE), *rows_of("C", 40, NINE)]
    rows += rows_of("Z", 12, NINE) + rows_of("Z", 99, [EXTRA])
    return build(rows + rows_of("narrow", 95, NINE[2:]))


def test_the_set_with_most_methods_times_datasets_is_taken() -> None:
    chosen = ranked_datasets.chosen
    assert chosen([NINE, NINE, NINE, [*NINE, EXTRA]]) == tuple(sorted(NINE))
    # In common though nobody covers just these; the larger of two; the first by name.
    assert chosen(["abx", "aby", "abz"]) == ("a", "b")
    assert chosen(["abcd", "abcd", "ab", "ab"]) == ("a", "b", "c", "d")
    assert chosen(["ab", "ab", "cd", "cd"]) == ("a", "b")
    # Somebody alone on much more has nobody to be ranked with.
    assert chosen(["abc", "abc", "abcdefghijkl"]) == ("a", "b", "c")
    assert chosen(["", "ab"]) == ("a", "b")
    assert chosen([[], []]) == chosen([]) == ()


def test_settings_of_one_method_count_once() -> None:
    chosen = ranked_datasets.chosen
    four, sweep = list("wxyz"), ["iql"] * 9
    assert chosen(["abc"] * 4 + ["a"] * 9) == ("a",)  # nine methods
    assert chosen(["abc"] * 4 + ["a"] * 9, four + sweep) == ("a", "b", "c")
    # For each set that any of its rows covers: neither their union nor the widest alone.
    assert chosen(["ab", "ab", "acde"], ["w", "iql", "iql"]) == ("a", "b")
    assert chosen(["abcd", "ab", "cd"], ["w", "iql", "iql"]) == ("a", "b")
    # Of one method alone, its settings are what is ranked.
    assert chosen(["abc", "a", "a", "a", ""], ["iql"] * 4 + ["w"]) == ("a",)


def test_a_sweep_of_one_method_un_ranks_nobody() -> None:
    three = [f"local/hopper-{kind}-v1" for kind in ("expert", "medium", "random")]

    def records(name: str, lr: float, datasets: Sequence[str]) -> list[RunRecord]:
        return [
            RunRecord(
                algorithm=name, configuration={"lr": lr}, dataset=dataset, dataset_sha256=None,
                protocol=Protocol(
                    dataset=dataset, environment="Hopper-v4", engine={}, time_limit=1000, episodes=1
                ),
                budget=Budget(steps=9), seed=seed, status="complete", software={}, hardware="",
                evaluations=(Evaluation(step=9, returns=(900.0 + seed,), lengths=(9,)),),
            )
            for dataset in datasets
            for seed in range(2)
        ]  # fmt: skip

    found = [each for name in ("bc", "td3_bc") for each in records(name, 0, three)]
    found += records("iql", 0.0, three)
    found += [each for number in range(1, 8) for each in records("iql", number, three[:1])]
    (table,) = tables.build(runs.from_records(found))
    assert len(table.entries) == 10
    assert table.ranked_over == tuple(three)
    assert sum(entry.rank is not None for entry in table.entries) == 3


def test_a_shared_dataset_more_can_change_the_set_one_methods_own_cannot() -> None:
    chosen = ranked_datasets.chosen
    partial = ["ab", "ab", "ab", "a", "a", "a"]
    assert chosen([*partial, "a"]) == ("a",)
    assert chosen([*partial, "ac"]) == ("a",)
    assert chosen([*partial, "ab"]) == ("a", "b")  # the other three are un-ranked by it


def test_no_other_set_has_more() -> None:
    generator = np.random.default_rng(0)
    for _ in range(100):
        names = "abcdef"[: generator.integers(1, 7)]
        found = [
            {name for name in names if generator.random() < 0.7}
            for _ in range(generator.integers(1, 7))
        ]
        subsets = [
            (sum(set(few) <= each for each in found), few)
            for size in range(1, len(names) + 1)
            for few in itertools.combinations(names, size)
        ]
        keyed = [(many < 2, -many * len(few), -len(few), few) for many, few in subsets if many]
        assert ranked_datasets.chosen(found) == (min(keyed)[-1] if keyed else ())


def test_many_coverages_take_no_minutes() -> None:
    generator = np.random.default_rng(0)
    names = [f"{number:02}" for number in range(30)]
    found = [
        {name for name in names if generator.random() < 0.8} | set(names[:4]) for _ in range(150)
    ]
    chosen = ranked_datasets.chosen(found)
    assert set(names[:4]) <= set(chosen)
    assert sum(set(chosen) <= each for each in found) > 1


def test_a_dataset_more_of_one_method_un_ranks_nobody(wide: Table) -> None:
    assert [(entry.algorithm, entry.rank) for entry in wide.entries] == [
        ("A", 1), ("B", 2), ("C", 3), ("Z", 4), ("narrow", None),
    ]  # fmt: skip
    assert wide.ranked_over == tuple(sorted(NINE))
    assert EXTRA in wide.datasets
    z, alone = entry_of(wide, "Z"), build(rows_of("Z", 12, NINE))
    assert z.aggregate == alone.entries[0].aggregate  # the other dataset is in no number
    assert z.cells[EXTRA].mean == pytest.approx(99, abs=2)
    assert entry_of(wide, "narrow").lacks == tuple(sorted(NINE[:2]))
    assert wording.warnings(entry_of(wide, "narrow"), wide) == [
        "not ranked: 7 of 9 datasets, without halfcheetah-medium-expert-v2, halfcheetah-medium-v2"
    ]
    assert wording.warnings(z, wide) == []


def test_a_failed_run_on_another_dataset_un_ranks_nobody() -> None:
    failed = rows_of("A", 80, [EXTRA], 1)[0].model_copy(update={"failed": True, "score": None})
    table = build([*rows_of("A", 80, NINE), *rows_of("B", 60, NINE), failed])
    assert [entry.rank for entry in table.entries] == [1, 2]
    assert table.ranked_over == tuple(sorted(NINE))
    assert wording.warnings(table.entries[0], table) == ["1 of 37 runs failed"]


def test_failed_runs_alone_rank_over_nothing() -> None:
    failed = [
        row.model_copy(update={"failed": True, "score": None}) for row in rows_of("A", 80, NINE)
    ]
    table = build(failed)
    assert (table.ranked_over, table.entries[0].rank) == ((), None)
    assert (wording.left_out(table), wording.extent(table)) == ("", "0 of 9 datasets")


def test_scores_choose_nothing() -> None:
    for level in (0.0, 99.0):
        rows = [*rows_of("A", level, NINE[:2]), *rows_of("B", 50, NINE[1:3])]
        assert build(rows).ranked_over == (NINE[1],)


def test_page_and_files_say_over_which_and_by_which_rule(wide: Table, tmp_path: Path) -> None:
    board.write([wide], tmp_path / "board")
    (page,) = tmp_path.glob("board/suites/*.html")
    text = page.read_text(encoding="utf-8")
    assert "Over 9 of 10 datasets, best IQM first. Not over hopper-expert-v2: of all" in text
    assert "one with the most methods × datasets is taken, whatever their scores." in text
    assert text.count("not in the ranking") == 1
    assert 'data-v="d4rl/hopper-expert-v2"' in text
    index = (tmp_path / "board" / "index.html").read_text(encoding="utf-8")
    assert "9 of 10 datasets" in index
    (summary,) = json.loads((tmp_path / "board/data/summary.json").read_text())["tables"]
    assert summary["ranked_over"] == list(wide.ranked_over)
    assert len(summary["datasets"]) == 10
    assert [(row["rank"], len(row["lacks"])) for row in summary["rows"]] == [
        (1, 0), (2, 0), (3, 0), (4, 0), (None, 2),
    ]  # fmt: skip
    (path,) = tmp_path.glob("board/data/aggregates/*.csv")
    with path.open(encoding="utf-8", newline="") as handle:
        lines = {line["algorithm"]: line for line in csv.DictReader(handle)}
    assert (lines["Z"]["rank"], lines["Z"]["tasks"], lines["Z"]["lacks"]) == ("4", "9", "")
    assert lines["narrow"]["lacks"].split() == sorted(NINE[:2])


def test_equal_iqms_share_the_better_rank() -> None:
    rows = rows_of("A", 50, NINE[:2]) + rows_of("low", 10, NINE[:2])
    rows += [each.model_copy(update={"algorithm": "B"}) for each in rows if each.algorithm == "A"]
    table = build(rows)
    assert [(entry.algorithm, entry.rank) for entry in table.entries] == [
        ("A", 1), ("B", 1), ("low", 3),
    ]  # fmt: skip
    for entry in table.entries:
        assert entry.rank_interval is not None
        assert entry.rank_interval[0] <= (entry.rank or 0) <= entry.rank_interval[1]


def test_a_method_of_few_runs_takes_no_letters_from_the_others(tmp_path: Path) -> None:
    rows = rows_of("high", 90, NINE, 6) + rows_of("twin", 90.01, NINE, 8)
    rows += rows_of("low", 10, NINE, 6) + rows_of("new", 50, NINE, 2) + rows_of("newer", 5, NINE, 1)
    table = build(rows)
    letters = {entry.algorithm: entry.letters for entry in table.entries}
    assert letters == {"high": "a", "twin": "a", "low": "b", "new": "", "newer": ""}
    assert [entry.rank for entry in table.entries] == [1, 2, 3, 4, 5]
    assert "6 seeds of each, the first of up to 8" in table.test
    assert table.test.endswith("not tested: new (2 runs, too few), newer (1 run, too few)")
    board.write([table], tmp_path / "board")
    (page,) = tmp_path.glob("board/suites/*.html")
    assert '<abbr title="not tested: 2 runs, too few">–</abbr>' in page.read_text(encoding="utf-8")
    few = build(rows_of("A", 90, NINE, 2) + rows_of("B", 10, NINE, 1))
    assert few.test.startswith("none, as 1 to 2 runs are too few")


# -- In a browser ---------------------------------------------------------------------------------


def tick(browser: Any, names: Sequence[str]) -> None:
    for name in names:
        browser.run(f"document.querySelector(\"input[data-name='{name}']\").click()")


def shown(browser: Any, name: str) -> dict[str, str]:
    """Return what the main table says of a method, by column."""
    script = (
        "(() => { const row = [...document.querySelectorAll('table.main tbody tr')].find((each) => "
        f"each.cells[1].dataset.v === {json.dumps(name)}); return Object.fromEntries("
        "[...document.querySelectorAll('table.main thead th')].map((head, at) => "
        "[head.dataset.col ?? `${at}`, row.cells[at].textContent.trim()])); })()"
    )
    found: dict[str, str] = browser.run(script)
    return found


@pytest.mark.slow
def test_a_choice_of_the_ranked_datasets_is_the_table_itself(
    browser: Any, wide: Table, tmp_path: Path
) -> None:
    board.write([wide], tmp_path / "board")
    (page,) = tmp_path.glob("board/suites/*.html")
    browser.open(page)
    before = {name: shown(browser, name) for name in ("A", "Z", "narrow", "Behaviour policy")}
    assert before["Z"]["runs"] == "4 × 9"
    tick(browser, NINE)
    assert {name: shown(browser, name) for name in before} == before
    tick(browser, [EXTRA])  # all ten
    z = entry_of(wide, "Z")
    expected = tables.aggregate(np.array([cell.values for cell in z.cells.values()]).T)
    assert expected is not None
    found = shown(browser, "Z")
    assert (found["0"], found["groups"], found["runs"]) == ("–", "–", "4 × 10")
    assert float(found["iqm"]) == pytest.approx(expected.iqm, abs=0.0501)
    assert shown(browser, "A")["iqm"] == re.split(r"\s", before["A"]["iqm"])[0]
    assert browser.complaints() == []


@pytest.mark.slow
def test_pairs_are_over_the_ranked_datasets_and_over_all_on_demand(
    browser: Any, tmp_path: Path
) -> None:
    rows = [row for name in "ABC" for row in rows_of(name, 40 + ord(name), NINE)]
    table = build(rows + rows_of("A", 0, [EXTRA]) + rows_of("B", 90, [EXTRA]))
    board.write([table], tmp_path / "board")
    address = (tmp_path / "board" / "compare.html").as_uri()
    browser.open(f"{address}#{urllib.parse.urlencode({'suite': table.id, 'a': 'A', 'b': 'B'})}")

    def downloaded() -> dict[str, Any]:
        link = browser.run("document.querySelector('a[download=\"comparison.json\"]').href")
        found: dict[str, Any] = json.loads(urllib.parse.unquote(link.partition(",")[2]))
        return found

    found = downloaded()
    assert found["datasets"] == list(table.ranked_over)
    for iqm, name in zip(found["iqm"], "AB", strict=True):
        aggregate = entry_of(table, name).aggregate
        assert aggregate is not None
        assert iqm == pytest.approx(aggregate.iqm, abs=1e-9)
    assert "Without d4rl/hopper-expert-v2, which both have" in browser.run("result.textContent")
    browser.run("document.getElementById('extent').click()")
    browser.run("new Promise((done) => setTimeout(done, 50))")
    assert set(downloaded()["datasets"]) == {*NINE, EXTRA}
    assert "over=all" in browser.address
    assert browser.complaints() == []
