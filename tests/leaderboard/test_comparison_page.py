"""The comparison of two methods that the browser computes, against the statistics in Python."""

import functools
import http.server
import json
import re
import threading
import urllib.parse
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datumrl.evaluation import ragged, ragged_comparisons, report_tables
from datumrl.evaluation.ragged_comparisons import Plan
from datumrl.evaluation.records import ScoreRow
from datumrl.leaderboard import board, comparison_page, further_pages, runs, tables
from datumrl.leaderboard.tables import Table

KINDS = ("medium-expert", "medium-replay", "medium", "random")  # as ids are sorted
DATASETS = [f"d4rl/hopper-{kind}-v2" for kind in KINDS]
HOSTILE = "<img src=x onerror=alert(1)></template><script>alert(2)</script>\u202e\x07"
SEEDS = {
    "steady": (5, 5, 5, 5),
    "ragged": (6, 3, 9, 4),
    "failing": (4, 3, 0, 4),  # and a failed seed on the first and on the third
    HOSTILE: (4, 4, 0, 0),
    "away": (0, 0, 3, 3),
}


def row(method: str, dataset: str, seed: int, score: float | None, **more: Any) -> ScoreRow:
    return ScoreRow(tier="local", algorithm=method, dataset=dataset, seed=seed, score=score, **more)


def scores(method: str) -> dict[str, list[float]]:
    """Return a method's scores by dataset, with ties within and between methods."""
    found = {}
    for place, (dataset, count) in enumerate(zip(DATASETS, SEEDS[method], strict=True)):
        generator = np.random.default_rng([place, len(method)])
        values = generator.normal(40 + 12 * place + len(method), 9, count).round()
        if count:
            found[dataset] = values.tolist()
    return found


def make_board() -> list[Table]:
    rows = [
        row(method, dataset, seed, value, protocol="the same", source="x")
        for method in SEEDS
        for dataset, values in scores(method).items()
        for seed, value in enumerate(values)
    ]
    rows += [
        row("failing", dataset, 99, None, failed=True, protocol="the same", source="x")
        for dataset in (DATASETS[0], DATASETS[2])
    ]
    # Another protocol, a lone seed, and returns that nothing normalises.
    rows += [row("steady", DATASETS[0], seed, 50.0 + seed, protocol="other") for seed in range(3)]
    rows += [row("lone", DATASETS[0], 0, 42.0, protocol="other")]
    rows += [
        row(method, f"neorl/citylearn-{kind}-1000", seed, None, mean_return=level + seed)
        for method, level in (("bc", 1e4), ("cql", 2e4))
        for kind in ("low", "high")
        for seed in range(3)
    ]
    return tables.build(runs.from_rows(rows))


@pytest.fixture(scope="module")
def built() -> list[Table]:
    return make_board()


@pytest.fixture(scope="module")
def page(built: list[Table], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("compared") / "board"
    board.write(built, out)
    return out / "compare.html"


def table_with(built: list[Table], method: str, other: str) -> Table:
    for table in built:
        named = {entry.algorithm for entry in table.entries}
        if {method, other} <= named:
            return table
    raise AssertionError(f"no table of {method} and {other}")


def open_pair(browser: Any, page: Path, **query: str) -> None:
    browser.open(f"{page.as_uri()}#{urllib.parse.urlencode(query)}")


def problem(browser: Any) -> str:
    found: str = browser.run("document.querySelector('.problem')?.textContent ?? ''")
    return found


def downloaded(browser: Any) -> dict[str, Any]:
    link = browser.run("document.querySelector('a[download=\"comparison.json\"]').href")
    found: dict[str, Any] = json.loads(urllib.parse.unquote(link.partition(",")[2]))
    return found


def test_addresses_name_the_table_and_both_rows(built: list[Table]) -> None:
    table = table_with(built, "steady", "ragged")
    first, second = table.entries[:2]
    place, _, query = comparison_page.address(table, first, second).partition("#")
    found = dict(urllib.parse.parse_qsl(query))
    assert place == "compare.html"
    assert found["suite"] == table.id
    assert f"{table.id}--{found['a']}" == first.id
    assert f"{table.id}--{found['b']}" == second.id
    assert comparison_page.rival(table, first) is table.entries[1]
    assert comparison_page.rival(table, second) is table.entries[0]


def test_the_page_counts_runs_that_the_table_cuts_and_says_so(
    built: list[Table], page: Path
) -> None:
    (entry,) = (each for table in built for each in table.entries if each.algorithm == "ragged")
    runs_of = [cell.values.size for cell in entry.cells.values()]
    assert runs_of == [6, 3, 9, 4]
    assert entry.aggregate is not None
    assert entry.aggregate.runs == 3
    whole = ragged.iqm(ragged.gather([cell.values for cell in entry.cells.values()]))
    assert float(whole) != pytest.approx(entry.aggregate.iqm)  # what the page computes
    text = page.read_text(encoding="utf-8")
    assert "the table takes as many seeds of every dataset as the one with the fewest" in text


def test_the_page_holds_every_raw_score_exactly(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    match = re.search(r'<template id="scores">(.*?)</template>', text, re.DOTALL)
    assert match is not None
    assert not set("<>&") & set(match[1])
    content = json.loads(match[1])
    (table,) = [each for each in content["tables"] if "ragged" in str(each["rows"])]
    (found,) = [each for each in table["rows"] if each["name"] == "failing"]
    cells = {table["datasets"][int(place)]: cell for place, cell in found["cells"].items()}
    known = {name: cell["scores"] for name, cell in cells.items() if cell["scores"]}
    assert known == scores("failing")
    assert cells[DATASETS[0]]["failed"] == 1
    assert cells[DATASETS[2]] == {"scores": [], "failed": 1}
    assert "failed" not in cells[DATASETS[1]]
    embedded = further_pages.embedded({HOSTILE: [HOSTILE, 1.5]})
    assert not set("<>&") & set(embedded)
    assert json.loads(embedded) == {HOSTILE: [HOSTILE, 1.5]}


@pytest.mark.slow
def test_the_browser_computes_what_python_computes(
    browser: Any, page: Path, built: list[Table]
) -> None:
    table = table_with(built, "steady", "ragged")
    open_pair(browser, page, suite=table.id, a="steady", b="ragged")
    found = downloaded(browser)
    assert found["datasets"] == DATASETS
    x, y = (ragged.gather([scores(name)[d] for d in DATASETS]) for name in ("steady", "ragged"))
    iqms = [float(ragged.iqm(each)) for each in (x, y)]
    assert found["iqm"] == pytest.approx(iqms, abs=1e-9)
    assert found["difference"] == pytest.approx(iqms[0] - iqms[1], abs=1e-9)
    chance = float(ragged_comparisons.probability_of_improvement(x, y))
    assert found["improvement"] == pytest.approx(chance, abs=1e-9)
    levels = np.array(found["levels"])
    for sample, curve in zip((x, y), found["profiles"], strict=True):
        np.testing.assert_allclose(curve, ragged_comparisons.run_profile(sample, levels), atol=1e-9)
    each = [
        ragged_comparisons.probability_of_improvement(
            ragged.gather([scores("steady")[d]]), ragged.gather([scores("ragged")[d]])
        )
        for d in DATASETS
    ]
    np.testing.assert_allclose(found["perTask"], each, atol=1e-9)
    shown = browser.run("document.querySelector('#difference .value').dataset.v")
    assert float(shown) == found["difference"]
    assert not browser.complaints()
    assert {urllib.parse.urlsplit(each).scheme for each in browser.requests()} <= {"file", "about"}


@pytest.mark.slow
def test_the_browser_s_intervals_are_python_s_up_to_the_draws(
    browser: Any, page: Path, built: list[Table]
) -> None:
    table = table_with(built, "steady", "ragged")
    open_pair(browser, page, suite=table.id, a="steady", b="ragged")
    found = downloaded(browser)
    samples = [ragged.gather([scores(name)[d] for d in DATASETS]) for name in ("steady", "ragged")]
    plan = Plan(resamples=comparison_page.RESAMPLES)

    def difference(drawn: Any) -> Any:
        return ragged.iqm(drawn[0]) - ragged.iqm(drawn[1])

    def improvement(drawn: Any) -> Any:
        return ragged_comparisons.probability_of_improvement(*drawn)

    for statistic, name in ((difference, "differenceEnds"), (improvement, "improvementEnds")):
        expected = ragged_comparisons.estimate(samples, statistic, plan)
        width = float(expected.high - expected.low)
        # Four standard errors of both ends' quantiles at 10,000 draws are 0.04 widths.
        assert found[name] == pytest.approx(
            [float(expected.low), float(expected.high)], abs=0.05 * width
        )
    for place, sample in enumerate(samples):
        band = ragged_comparisons.estimate(
            [sample],
            lambda drawn: ragged_comparisons.run_profile(drawn[0], np.array(found["levels"])),
            Plan(resamples=comparison_page.BAND_RESAMPLES),
        )
        np.testing.assert_allclose(np.array(found["bands"][place])[:, 0], band.low, atol=0.06)
        np.testing.assert_allclose(np.array(found["bands"][place])[:, 1], band.high, atol=0.06)
    open_pair(browser, page, suite=table.id, a="steady", b="ragged")
    assert downloaded(browser) == found  # always the same draws
    open_pair(browser, page, suite=table.id, a="ragged", b="steady")
    assert downloaded(browser)["difference"] == pytest.approx(-found["difference"], abs=1e-9)


@pytest.mark.slow
def test_equal_runs_make_the_tables_iqm(browser: Any, page: Path, built: list[Table]) -> None:
    table = table_with(built, "steady", "ragged")
    (entry,) = [each for each in table.entries if each.algorithm == "steady"]
    open_pair(browser, page, suite=table.id, a="steady", b="ragged")
    assert entry.aggregate is not None
    assert downloaded(browser)["iqm"][0] == pytest.approx(entry.aggregate.iqm, abs=1e-9)


@pytest.mark.slow
def test_what_may_not_be_compared_is_refused_with_the_reason(
    browser: Any, page: Path, built: list[Table]
) -> None:
    table = table_with(built, "steady", "ragged")
    key = next(comparison_page.key(e) for e in table.entries if e.algorithm == HOSTILE)
    open_pair(browser, page, suite=table.id, a=key, b="away")
    assert "share no dataset" in problem(browser)
    assert "A has no finished run on" in browser.run("result.textContent")
    open_pair(browser, page, suite=table.id, a="steady", b="steady")
    assert "same row" in browser.run("result.textContent")
    open_pair(browser, page, suite=table.id, a="steady", b="cql")
    assert "not compared" in problem(browser)
    open_pair(browser, page, a="ragged", b="cql")
    assert "not compared" in problem(browser)
    open_pair(browser, page, suite=table.id, a="steady", b="nobody <b>\u202e")
    assert "“nobody <b>" in problem(browser)
    assert "is no row" in problem(browser)
    open_pair(browser, page, suite="nowhere", a="steady", b="ragged")
    assert "no suite" in problem(browser)
    other = table_with(built, "steady", "lone")
    lone = next(entry for entry in other.entries if entry.algorithm == "lone")
    open_pair(browser, page, suite=table.id, a="steady", b=lone.id)  # a row's whole id
    assert "not compared" in problem(browser)
    assert not browser.complaints()


@pytest.mark.slow
def test_few_runs_and_raw_returns_say_so(browser: Any, page: Path, built: list[Table]) -> None:
    open_pair(browser, page, a="lone", b="steady")
    told = browser.run("result.textContent")
    assert "no interval" in told
    assert "single run" in told
    open_pair(browser, page, a="bc", b="cql")
    assert "no common scale" in browser.run("result.textContent")
    assert browser.run("document.querySelector('#difference')") is None
    assert browser.run("document.querySelector('#improvement .value').dataset.v") == "0"
    assert not browser.complaints()


@pytest.mark.slow
def test_small_returns_keep_their_digits(browser: Any, tmp_path: Path) -> None:
    rows = [
        ScoreRow(tier="local", algorithm=name, dataset=DATASETS[0], seed=seed, mean_return=value)
        for name, first in (("x", 0.040), ("y", 0.010))
        for seed, value in enumerate((first, first + 0.002, first + 0.004))
    ]
    out = tmp_path / "board"
    board.write(tables.build(runs.from_rows(rows)), out)
    open_pair(browser, out / "compare.html", a="x", b="y")
    assert browser.run("document.querySelector('#difference .value').textContent") == "0.03000"
    assert "IQM of A 0.04200, of B 0.01200." in browser.run("result.textContent")
    line = browser.run("document.querySelector('#per-dataset tbody tr').textContent")
    assert "0.04200 ± 0.001630.01200 ± 0.001630.030001.003, 3" in line
    sizes = [0.0, 0.0048, 0.99, 1.0, 9.9, 99.0, 100.0, 1e6]
    decimals = [report_tables.decimals(size) for size in sizes]
    assert browser.run(f"{sizes}.map((size) => drawn.decimals([-size]))") == decimals
    assert browser.run("[drawn.short(0.005), drawn.short(0), drawn.short(12.5)]") == [
        "0.005", "0", "12.5",
    ]  # fmt: skip
    assert not browser.complaints()


@pytest.mark.slow
def test_failed_runs_leave_a_pair_undefined_but_for_the_datasets_without(
    browser: Any, page: Path, built: list[Table]
) -> None:
    table = table_with(built, "steady", "failing")
    open_pair(browser, page, suite=table.id, a="steady", b="failing")
    told = browser.run("result.textContent")
    assert "Undefined: 2 runs of B failed on these datasets." in told
    assert f"B has no finished run on {DATASETS[2]}" in told
    assert "Over 3 of the 4 datasets that both were run on, " in told
    assert browser.run("document.querySelector('#difference, #improvement, .profile')") is None
    found = downloaded(browser)
    assert (found["undefined"], found["difference"], found["improvement"]) == (
        "2 runs of B failed",
        None,
        None,
    )
    assert "iqm" not in found
    assert found["datasets"] == [DATASETS[0], DATASETS[1], DATASETS[3]]
    assert found["perTask"][0] is None
    chance = ragged_comparisons.probability_of_improvement(
        *(ragged.gather([scores(name)[DATASETS[1]]]) for name in ("steady", "failing"))
    )
    assert found["perTask"][1] == pytest.approx(float(chance), abs=1e-9)
    first = browser.run("document.querySelector('#per-dataset tbody tr').textContent")
    assert "1 failed" in first
    assert "––5, 4" in first  # neither a difference nor a chance, then the numbers of runs
    assert not browser.complaints()


@pytest.mark.slow
def test_hostile_names_stay_text_and_the_controls_work(
    browser: Any, page: Path, built: list[Table]
) -> None:
    table = table_with(built, "steady", "ragged")
    key = next(comparison_page.key(e) for e in table.entries if e.algorithm == HOSTILE)
    open_pair(browser, page, suite=table.id, a=key, b="steady")
    assert "<img" in browser.run("result.querySelector('h2').textContent")
    assert browser.run("document.querySelectorAll('img').length") == 0
    assert browser.run("document.querySelectorAll('script').length") == 1
    browser.run("swap.focus()")
    browser.press("Enter")
    browser.run("new Promise((done) => setTimeout(done, 100))")
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(browser.address).fragment)
    assert query["b"] == [key]
    assert browser.run("second.value") == key
    browser.run("first.value = second.value; first.dispatchEvent(new Event('change'))")
    browser.run("new Promise((done) => setTimeout(done, 100))")
    assert "same row" in browser.run("result.textContent")
    assert not browser.complaints()


@pytest.mark.slow
@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_window(
    browser: Any, page: Path, built: list[Table], width: int
) -> None:
    browser.show(width)
    open_pair(browser, page, suite=table_with(built, "steady", "ragged").id, a="steady", b="ragged")
    assert browser.run("document.documentElement.scrollWidth") <= width


@pytest.mark.slow
def test_it_works_below_any_path_of_a_server(browser: Any, page: Path) -> None:
    handler = functools.partial(Quiet, directory=str(page.parents[1]))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        host = f"http://127.0.0.1:{server.server_address[1]}"
        browser.open(f"{host}/{page.parent.name}/{page.name}#a=steady&b=ragged")
        assert downloaded(browser)["datasets"] == DATASETS
        server.shutdown()
    assert not browser.complaints()
    asked = [each for each in browser.requests() if not each.startswith(("about:", "data:"))]
    assert [each.partition("#")[0] for each in asked] == [f"{host}/{page.parent.name}/{page.name}"]


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files and logs nothing."""

    def log_message(self, format: str, *args: object) -> None:
        pass
