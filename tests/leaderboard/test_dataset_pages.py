"""Pages of datasets: the card's numbers, drawn and told; a stranger's text stays text."""

from __future__ import annotations

import html
import json
import math
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from datumrl.datasets import catalogue, dataset_card, measures, pictures
from datumrl.datasets.audit import audit
from datumrl.datasets.dataset_card import Card
from datumrl.datasets.dataset_statistics import stats
from datumrl.datasets.episodes import Episodes
from datumrl.datasets.errors import DatumrlError
from datumrl.leaderboard import board, dataset_drawing, dataset_pages, known_quality

HOPPER = catalogue.find("d4rl/hopper-medium-v0")
HOSTILE = '<script>alert("1")</script>\u202e../../etc/passwd\x07&amp;\'"><img src=x>'


@pytest.fixture
def card(
    make_episodes: Callable[..., Episodes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Card:
    monkeypatch.setenv("DATUMRL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("D4RL_DATASET_DIR", str(tmp_path / "none"))
    rng, rows = np.random.default_rng(0), 300
    episodes = make_episodes(
        ("-" * 29 + "T") * 10,
        id=HOPPER.id,
        observations=rng.normal(size=(rows, 11)).astype(np.float32),
        actions=rng.uniform(-1, 1, (rows, 3)).astype(np.float32),
        rewards=(40 * rng.random(rows)).astype(np.float32),
        successors=np.zeros((0, 11), np.float32),
    )
    (drawn,) = pictures.pictures([episodes], [HOPPER])
    report = audit(episodes, HOPPER)
    found = stats(episodes)
    return dataset_card.make(episodes, HOPPER, found, drawn, report, {}, {"datumrl": "x"})


def hostile(card: Card) -> Card:
    """A card whose every text is hostile, as it would come from a stranger's file."""
    facts = replace(
        card.facts,
        environment=HOSTILE,
        errata=(HOSTILE,),
        licence=HOSTILE,
        citation=HOSTILE,
        bibtex=HOSTILE + "\n" + HOSTILE,
        source=HOSTILE,
    )
    plane = replace(card.pictures.plane, labels=(HOSTILE, HOSTILE))
    drawn = replace(
        card.pictures,
        plane=plane,
        actions=replace(card.pictures.actions, label=HOSTILE),
        notes=(HOSTILE,),
    )
    checks = tuple(replace(each, check=HOSTILE, summary=HOSTILE) for each in card.audit)
    return replace(
        card,
        id=HOSTILE,
        facts=facts,
        statistics=replace(card.statistics, id=HOSTILE, notes=(HOSTILE,)),
        pictures=drawn,
        audit=checks,
        recipe=((HOSTILE, HOSTILE),),
        versions={HOSTILE: HOSTILE},
    )


def text_of(page: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", "", page))


def test_the_page_tells_the_card(tmp_path: Path, card: Card) -> None:
    board.write([], tmp_path / "site", cards=[card])
    (page,) = (tmp_path / "site" / "datasets").iterdir()
    told = page.read_text(encoding="utf-8")
    shown = text_of(told)
    for title, rows in measures.sections(card.statistics):
        assert (title or "size") in shown
        assert all(value in shown for _, value in rows)
    for each in card.audit:
        assert each.check in shown
        assert each.summary in shown
    for each in card.facts.errata:
        assert each in shown
    assert told.count('<svg class="plot"') == 5
    (data,) = (tmp_path / "site" / "data" / "cards").iterdir()
    assert f'href="../data/cards/{data.name}"' in told
    content = json.loads(data.read_text(encoding="utf-8"))
    assert content == json.loads(json.dumps(card.to_json()))
    index = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert f'href="datasets/{page.name}"' in index
    assert index.count('class="point published') == 11  # one of the twelve has a card
    assert index.count('class="point ours') == 1


def test_the_same_cards_give_the_same_bytes(tmp_path: Path, card: Card) -> None:
    other = replace(card, id="a/b", statistics=replace(card.statistics, id="a/b"))
    board.write([], tmp_path / "one", cards=[card, other])
    board.write([], tmp_path / "two", cards=[other, card, card])
    assert (tmp_path / "one" / "board.json").read_bytes() == (
        tmp_path / "two" / "board.json"
    ).read_bytes()
    board.write([], tmp_path / "one", cards=[card])  # replaces it as a whole
    assert len(list((tmp_path / "one" / "datasets").iterdir())) == 1


def test_hostile_text_stays_text(tmp_path: Path, card: Card) -> None:
    board.write([], tmp_path / "site", cards=[hostile(card)])
    (page,) = (tmp_path / "site" / "datasets").iterdir()
    assert re.fullmatch(r"[a-z0-9-]+\.html", page.name)
    for path in (page, tmp_path / "site" / "index.html"):
        told = path.read_text(encoding="utf-8")
        assert told.count("<script") == 1  # the page's own
        assert "<img" not in told
        assert "\u202e" not in told
        assert "\x07" not in told
        assert 'alert("1")' in text_of(told)


def test_two_cards_of_one_dataset_must_agree(card: Card) -> None:
    assert len(dataset_pages.pages([card, card])) == 1
    with pytest.raises(DatumrlError, match="two cards of it differ"):
        dataset_pages.pages([card, replace(card, versions={})])


def test_a_histogram_s_bars_are_as_high_as_their_counts(card: Card) -> None:
    found = card.statistics.returns.distribution
    marks = [("score 0", found.minimum - 20), ("far", 1e9)]
    drawn = dataset_drawing.histogram(found, "return", marks)
    heights = [float(h) for h in re.findall(r'class="bin".*?height="([\d.]+)"', drawn)]
    counts = [count for count in found.bin_counts if count]
    np.testing.assert_allclose(
        np.divide(heights, max(heights)), np.divide(counts, max(counts)), atol=0.01
    )
    assert ">score 0<" in drawn
    assert ">far<" not in drawn


def test_a_plane_has_a_cell_for_every_count(card: Card) -> None:
    plane = card.pictures.plane
    drawn = dataset_drawing.plane(plane)
    covered = "".join(re.findall(r'class="covered"[^>]* d="([^"]*)"', drawn))
    assert covered.count("M") == sum(count > 0 for row in plane.counts for count in row)
    levels = re.findall(r'opacity="([\d.]+)"', drawn)
    assert levels == sorted(levels)
    square = dataset_drawing.plane(replace(plane, square=True, x_edges=plane.y_edges))
    width, height = map(float, re.search(r"h([\d.]+)v([\d.]+)h", square).groups())
    assert math.isclose(width, height, abs_tol=0.01)


def test_the_map_places_every_point_once(card: Card) -> None:
    known = known_quality.published_points()
    drawn = dataset_drawing.quality_map(known, [known[0].id])
    assert drawn.count("<title>") == len(known) == 12
    assert drawn.count('class="point ours') == 1
    assert drawn.count("hollow") == 3
    assert "no dataset" in dataset_drawing.quality_map([])


def test_marks_on_the_map_do_not_cover_each_other() -> None:
    base = known_quality.published_points()[0]
    near = [
        replace(base, id=f"local/hopper-{kind}-v1", tq=tq, saco=1.0, own_reference=own)
        for kind, tq, own in (
            ("medium-replay", 0.10, True),
            ("medium", 0.11, False),
            ("expert", 0.9, False),
        )
    ]
    assert "mr</text>" in dataset_drawing.quality_map(near[:1])
    both = dataset_drawing.quality_map(near)
    assert (both.count(">m</text>"), both.count(">mr</text>"), both.count(">e</text>")) == (1, 0, 1)
    shown = dataset_drawing.quality_map(near, ["local/hopper-medium-replay-v1"])
    assert (shown.count(">m</text>"), shown.count(">mr</text>")) == (0, 1)


def test_every_card_that_comes_along_is_sound_and_placed() -> None:
    cards = known_quality.own_cards()
    for card in cards:
        assert card.failures == [], card.id
        assert catalogue.find(card.id).reader == "local"
        assert card.statistics.rows >= catalogue.find(card.id).rows
    assert len(known_quality.card_points(cards)) == len(cards)


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1300])
def test_a_browser_draws_the_page_without_complaint(tmp_path: Path, card: Card, width: int) -> None:
    found = filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome")))
    browser = next(found, None)
    if browser is None:
        pytest.skip("no chromium on the path")
    board.write([], tmp_path / "site", cards=[hostile(card)])
    (page,) = (tmp_path / "site" / "datasets").iterdir()
    # What lies beside the page's own width would be scrolled to sideways.
    probe = "<script>document.title = document.documentElement.scrollWidth</script></body>"
    told = re.sub(r"<meta http-equiv=[^>]*>", "", page.read_text(encoding="utf-8"))
    (tmp_path / "probe.html").write_text(told.replace("</body>", probe), encoding="utf-8")
    quiet = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --hide-scrollbars "
        "--disable-background-networking --disable-component-update --disable-sync --dump-dom"
    )
    command = [browser, *quiet.split(), "--enable-logging=stderr", f"--window-size={width},900"]
    for number, path in enumerate((page, tmp_path / "probe.html")):
        profile = f"--user-data-dir={tmp_path / f'profile-{number}'}"
        shown = subprocess.run(
            [*command, profile, path.as_uri()],
            capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
        assert "CONSOLE" not in shown.stderr
        assert shown.stdout.count('<svg class="plot"') == 5
    title = re.search(r"<title>(\d+)</title>", shown.stdout)
    assert title is not None
    # Headless windows are no narrower than 500 pixels.
    assert int(title[1]) <= max(width, 500)
