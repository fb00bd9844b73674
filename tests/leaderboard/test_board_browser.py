"""The board in a real browser: sorting, filtering, the address, keyboard, phone, dark, print."""

import csv
import importlib.util
import json
import urllib.parse
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datumrl.evaluation.records import ScoreRow
from datumrl.leaderboard import (
    board,
    published_tables,
    registered,
    reported_means,
    runs,
    tables,
)

pytestmark = pytest.mark.slow

HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>\u202e"
KINDS = ("medium", "medium-expert", "medium-replay", "random")
LEVELS = {"TD3+BC": 70.0, "CQL": 50.0, "BC": 30.0, HOSTILE: 10.0}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a board of four methods in two tiers; the hostile one has but one dataset."""
    generator = np.random.default_rng(0)
    rows = [
        ScoreRow(
            tier="raw published" if name == "CQL" else "local",
            algorithm=name,
            dataset=f"d4rl/hopper-{kind}-v2",
            seed=seed,
            step=1_000_000,
            score=float(generator.normal(level, 3)),
            source="somebody",
            protocol="the same",
        )
        for name, level in LEVELS.items()
        for kind in (KINDS[:1] if name == HOSTILE else KINDS)
        for seed in range(5)
    ]
    out = tmp_path_factory.mktemp("board") / "board"
    found = runs.from_rows(rows)
    # The key of a protocol keeps tiers of score rows apart; here they are to share a table.
    found = [runs.Run(row=run.row, status=run.status, protocol="p") for run in found]
    tables_of_others = [registered.find("neorl2").run(0, published_tables.FOLDER, None)]
    board.write(
        tables.build(found), out, reproductions=tables_of_others, reported=reported_means.rows()
    )
    return out


@pytest.fixture
def suite(site: Path) -> Path:
    (found,) = site.glob("suites/d4rl-locomotion-v2-*.html")
    return found


def names(browser: Any, table: str = "main") -> list[str]:
    """Return the methods that a table shows, in order."""
    found: list[str] = browser.run(
        f"[...document.querySelectorAll('table.{table} tbody tr')].filter((row) => !row.hidden)"
        ".map((row) => row.querySelector('th').dataset.v)"
    )
    return found


def click(browser: Any, selector: str, text: str = "") -> None:
    browser.run(
        f"[...document.querySelectorAll({json.dumps(selector)})].find((each) => "
        f"each.textContent.trim().startsWith({json.dumps(text)})).click()"
    )


def status(browser: Any) -> str:
    found: str = browser.run("document.querySelector('[role=status]').textContent")
    return found


def query(browser: Any) -> dict[str, list[str]]:
    return urllib.parse.parse_qs(urllib.parse.urlsplit(browser.address).query)


def test_headers_sort_and_say_so(browser: Any, suite: Path) -> None:
    browser.open(suite)
    first = names(browser)
    assert first[:3] == ["TD3+BC", "CQL", "BC"]
    click(browser, "table.main th button", "Mean")
    assert names(browser)[:2] == ["Reference expert", "TD3+BC"]
    head = "document.querySelector('table.main th[aria-sort]')"
    assert browser.run(f"{head}.textContent + {head}.ariaSort") == "Meandescending"
    assert status(browser).endswith("Sorted by Mean, descending.")
    assert query(browser) == {"sort": ["0.mean.down"]}
    # From the keyboard: the button is focused, Enter turns the order.
    browser.run("document.querySelector('th[aria-sort] button').focus()")
    browser.press("Enter")
    assert names(browser)[0] == "Random policy"
    assert names(browser)[-1] == "Behaviour policy"  # without a number: last, whichever way
    assert browser.run(f"{head}.ariaSort") == "ascending"
    browser.back()
    assert browser.run(f"{head}.ariaSort") == "descending"
    browser.back()
    assert names(browser) == first
    assert browser.run(head) is None


def test_search_tier_dataset_and_columns_filter_every_table(browser: Any, suite: Path) -> None:
    browser.open(suite)
    total = browser.run("document.querySelectorAll('tr[data-name]').length")
    assert status(browser) == f"{total} of {total} rows shown."
    browser.run(
        "(() => { const box = document.querySelector('[name=q]'); box.value = 'td3'; "
        "box.dispatchEvent(new Event('input', {bubbles: true})); })()"
    )
    assert names(browser) == ["TD3+BC"]
    assert set(names(browser, "reported")) == {
        "TD3+BC", "ReBRAC", "d3rlpy/td3_plus_bc, AW", "d3rlpy/td3_plus_bc, Top-10%",
        "d3rlpy/td3_plus_bc, Uniform",
    } - {"ReBRAC"}  # fmt: skip
    shown = browser.run(
        "[...document.querySelectorAll('table.cells thead th')].filter((th) => !th.hidden).length"
    )
    assert shown == 2  # the dataset and one method
    click(browser, "button[type=reset]")
    assert query(browser) == {}
    click(browser, "input[value='raw published']")
    assert names(browser) == ["CQL"]
    assert names(browser, "reported") == []
    assert query(browser) == {"tier": ["raw published"]}
    browser.back()
    click(browser, "input[data-name='d4rl/hopper-random-v2']")
    assert HOSTILE not in names(browser)
    assert names(browser, "cells") == ["d4rl/hopper-random-v2"]
    click(browser, "input[name=col][value=median]")
    assert not browser.run("document.querySelector('th[data-col=median]').checkVisibility()")
    assert query(browser) == {"data": ["d4rl/hopper-random-v2"], "hide": ["median"]}
    expected = names(browser)
    browser.open(browser.address)  # as somebody else would open the link
    assert names(browser) == expected
    assert not browser.run("document.querySelector('th[data-col=median]').checkVisibility()")
    assert browser.run("document.querySelector('summary span').textContent").startswith(" 1 of ")


def numbers(browser: Any, method: str) -> dict[str, str]:
    """Return what the main table says of a method, by column."""
    found: dict[str, str] = browser.run(
        "(() => { const heads = [...document.querySelectorAll('table.main thead th')]; const row = "
        f"[...document.querySelectorAll('table.main tbody tr')].find((row) => row.cells[1]"
        f".dataset.v === {json.dumps(method)}); return Object.fromEntries(heads.map((head, at) => "
        "[head.dataset.col ?? `${at}`, row.cells[at].textContent.trim()])); })()"
    )
    return found


def test_numbers_are_computed_over_the_chosen_datasets(
    browser: Any, site: Path, suite: Path
) -> None:
    browser.open(suite)
    whole = {name: numbers(browser, name) for name in ("CQL", "Random policy")}
    chosen = [f"d4rl/hopper-{kind}-v2" for kind in KINDS[1:3]]
    for name in chosen:
        click(browser, f"input[data-name='{name}']")
    (path,) = site.glob("data/*.csv")
    with path.open(encoding="utf-8", newline="") as handle:
        rows = [row for row in csv.DictReader(handle) if row["algorithm"] == "CQL"]
    scores = np.array(
        [[float(row["score"]) for row in rows if row["dataset"] == name] for name in chosen]
    ).T
    expected = tables.aggregate(scores)
    assert expected is not None
    found = numbers(browser, "CQL")
    assert (found["0"], found["interval"], found["groups"]) == ("–", "–", "–")
    assert found["runs"] == "5 × 2"
    for name in ("iqm", "mean", "median"):
        assert float(found[name]) == pytest.approx(getattr(expected, name), abs=0.0501)
    assert float(found["gap"]) == pytest.approx(expected.optimality_gap, abs=0.0501)
    assert numbers(browser, "Random policy")["iqm"] == "0.0"
    assert numbers(browser, HOSTILE.replace("\u202e", "\\u202e"))["iqm"] == "–"
    caption = browser.run("document.querySelector('table.main caption').innerText")
    assert caption.startswith("Over 2 of 4 datasets, computed in this page")
    click(browser, "table.main th button", "IQM")
    assert names(browser)[:4] == ["Reference expert", "TD3+BC", "CQL", "BC"]
    click(browser, "button[type=reset]")
    assert {name: numbers(browser, name) for name in whole} == whole
    assert browser.complaints() == []


def test_panels_open_and_close_from_the_keyboard(browser: Any, suite: Path) -> None:
    browser.open(suite)
    panel = "document.querySelector('.controls details')"
    browser.run(f"{panel}.querySelector('summary').focus()")
    browser.press("Enter")
    assert browser.run(f"{panel}.open") is True
    browser.press("Tab")
    browser.press(" ")
    assert query(browser) == {"data": ["d4rl/halfcheetah-expert-v2"]}
    browser.press("Escape")
    assert browser.run(f"{panel}.open") is False
    assert browser.run("document.activeElement.tagName") == "SUMMARY"


def test_anchors_and_the_state_of_the_page_live_together(browser: Any, suite: Path) -> None:
    browser.open(f"{suite.as_uri()}?q=cql#tiers")
    assert names(browser) == ["CQL"]
    click(browser, "h2 a", "Reported means")
    assert query(browser) == {"q": ["cql"]}
    assert browser.address.endswith("#reported")
    browser.back()
    assert browser.address.endswith("?q=cql#tiers")
    assert names(browser) == ["CQL"]


def test_an_address_of_ill_will_does_nothing(browser: Any, suite: Path) -> None:
    state = urllib.parse.urlencode(
        [
            ("q", HOSTILE[:-1]),
            ("sort", "0.__proto__.down"),
            ("sort", "x"),
            ("sort", "0.9999.up"),
            ("tier", HOSTILE),
            ("data", HOSTILE),
            ("hide", HOSTILE),
        ]
    )
    browser.open(f"{suite.as_uri()}?{state}")
    assert len(names(browser)) == 1
    assert names(browser)[0].startswith("<img src=x")
    assert browser.run("document.querySelectorAll('main img, main script').length") == 0
    assert browser.complaints() == []


def test_pages_ask_nothing_and_complain_of_nothing(browser: Any, site: Path) -> None:
    for page in (*site.glob("*.html"), *site.glob("suites/*.html"), *site.glob("runs/*.html")):
        browser.open(page)
        assert browser.run("document.querySelectorAll('img, iframe, object').length") == 0
    assert browser.complaints() == []
    assert all(url.startswith(("file:", "data:")) for url in browser.requests())


def test_without_javascript_all_is_there(browser: Any, suite: Path) -> None:
    browser.open(suite)
    every = names(browser)
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    browser.open(suite)
    assert names(browser) == every
    assert browser.run("document.querySelector('form.controls').checkVisibility()") is False


def test_a_phone_does_not_scroll_sideways_and_paper_has_no_buttons(
    browser: Any, site: Path, suite: Path
) -> None:
    browser.show(360)
    for page in (site / "index.html", suite):
        browser.open(page)
        browser.run("document.querySelectorAll('.controls details').forEach((d) => d.open = true)")
        assert browser.run("document.documentElement.scrollWidth") <= 360, page
    browser.show(800, media="print")
    assert not browser.run("document.querySelector('form.controls').checkVisibility()")
    assert browser.run("getComputedStyle(document.querySelector('.scroll')).overflowX") == "visible"


def test_pages_are_drawn(browser: Any, site: Path, suite: Path, tmp_path: Path) -> None:
    import matplotlib.image

    browser.open(suite)
    drawn = browser.run("document.querySelectorAll('tr[data-tier=local] svg.iqm-cell').length")
    assert drawn == 3
    for accent, dark in (((0x0B, 0x5F, 0xAE), False), ((0x6D, 0xB3, 0xF8), True)):
        browser.show(1280, dark=dark)
        for page in (site / "index.html", suite):
            browser.open(page)
            browser.picture(tmp_path / "page.png")
            pixels = matplotlib.image.imread(tmp_path / "page.png")[..., :3]
            near = np.abs(pixels - np.array(accent) / 255).max(axis=-1) < 0.02
            assert near.sum() > 100  # dots and links


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False)])
def test_axe_finds_no_barrier(
    browser: Any, site: Path, suite: Path, width: int, dark: bool
) -> None:
    found = importlib.util.find_spec("axe_core_python")
    if found is None or found.origin is None:
        pytest.skip("axe-core is not installed")
    axe = (Path(found.origin).parent / "axe.min.js").read_text(encoding="utf-8")
    browser.show(width, dark=dark)
    for page in (site / "index.html", suite, *site.glob("tables/*.html")):
        browser.open(page)
        browser.run("document.querySelectorAll('details').forEach((each) => each.open = true)")
        browser.run(f"{axe}; 0")
        violations = browser.run(
            "axe.run().then((found) => found.violations.map((each) => "
            "`${each.id}: ${each.nodes.slice(0, 3).map((node) => node.html.slice(0, 150) + "
            "node.failureSummary).join(' | ')}`))"
        )
        assert violations == [], page
