"""Figures of datasets: what is drawn is told, and equal input gives equal bytes."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import matplotlib.image as image
import numpy as np
import pytest

from datumrl.datasets import catalogue, figures, pictures, quality_map
from datumrl.datasets.dataset_statistics import stats
from datumrl.datasets.episodes import Episodes
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.quality_map import MapPoint

HOPPER = catalogue.find("d4rl/hopper-medium-v2")
KNOWN = [MapPoint("d4rl/hopper-medium-replay-v0", 0.15, 1.0, True, "published")]


@pytest.fixture
def subject(make_episodes: Callable[..., Episodes], home: Path) -> figures.Subject:
    episodes = make_episodes("--T-O--O-")
    (drawn,) = pictures.pictures([episodes], [HOPPER])
    return figures.Subject(stats(episodes), HOPPER, drawn)


@pytest.mark.parametrize("ending", figures.ENDINGS)
@pytest.mark.parametrize("number", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_equal_input_gives_equal_bytes(
    tmp_path: Path, subject: figures.Subject, ending: str, number: int
) -> None:
    paths = [tmp_path / f"{name}.{ending}" for name in "ab"]
    for path in paths:
        figures.write(path, [subject] * number, KNOWN, "datumrl x")
    first, second = (path.read_bytes() for path in paths)
    assert first == second
    assert b"dc:date" not in first


def test_a_drawing_names_what_it_shows(tmp_path: Path, subject: figures.Subject) -> None:
    figures.write(tmp_path / "one.svg", [subject], KNOWN, "datumrl x, numpy y")
    text = (tmp_path / "one.svg").read_text(encoding="utf-8")
    for words in (
        "return of an episode, reward units",
        "length of an episode, steps",
        "score 100 at 3,234 →",
        "component 1, deviations",
        "sampled rows a cell",
        "TQ: mean return, 0 random to 1 expert (no unit)",
        "9 rows, 3 completed episodes",
        "drawn with seed 0",
        "mr medium-replay",
        "Measured with datumrl x, numpy y.",
    ):
        assert words in text, words
    assert "mathdefault" not in text


@pytest.mark.parametrize("name", ["local/inverted-pendulum-medium-v1@5k", "user/" + "x" * 60])
def test_a_long_name_stays_inside_the_drawing(
    tmp_path: Path, subject: figures.Subject, name: str
) -> None:
    # In a raster, what leaves the sheet is lost; its outermost columns must stay white.
    named = replace(subject, statistics=replace(subject.statistics, id=name))
    figures.write(tmp_path / "one.png", [named], KNOWN, "datumrl x")
    pixels = image.imread(tmp_path / "one.png")
    assert (pixels[100:, -4:, :3] == 1.0).all()


def test_a_page_needs_nothing_else(tmp_path: Path, subject: figures.Subject) -> None:
    hostile = replace(subject, statistics=replace(subject.statistics, id="a/<script>x</script>"))
    figures.write(tmp_path / "page.html", [hostile], KNOWN, "datumrl x")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert "<script" not in text
    assert re.findall(r"(?:src|href)=\"(?!#|data:)[^\"]*\"", text) == []
    assert "9 rows, 3 completed episodes" in text


def test_a_png_is_wide_enough_to_read(tmp_path: Path, subject: figures.Subject) -> None:
    figures.write(tmp_path / "x.png", [subject], [], "datumrl x")
    width, height = struct.unpack(">II", (tmp_path / "x.png").read_bytes()[16:24])
    assert width == 1800
    assert 0.5 < height / width < 0.75


def test_what_cannot_be_drawn_is_told(
    tmp_path: Path, make_episodes: Callable[..., Episodes], home: Path
) -> None:
    rows = 6
    episodes = replace(
        make_episodes("-" * rows, id="mine/pixels-v0"),
        observations=np.zeros((rows, 4, 4), np.uint8),
        successors=np.zeros((0, 4, 4), np.uint8),
        actions=np.arange(rows),
    )
    (drawn,) = pictures.pictures([episodes], [None])
    subject = figures.Subject(stats(episodes), None, drawn)
    figures.write(tmp_path / "x.svg", [subject], [], "datumrl x")
    text = (tmp_path / "x.svg").read_text(encoding="utf-8")
    assert text.count("no completed episode") == 2
    assert "not drawn: see below" in text
    assert "mine/pixels-v0: no plane of coverage: observations are uint8 (4, 4)" in text
    assert "is not on the map: no TQ: this dataset is not in the catalogue" in text


@pytest.mark.parametrize(
    ("name", "number", "told"),
    [("x.pdf", 1, r"is a \.png, \.svg or \.html"), ("x.png", 0, "give 1 to 8"),
     ("x.png", 9, "9 datasets in one figure")],
)  # fmt: skip
def test_bad_targets(tmp_path: Path, name: str, number: int, told: str) -> None:
    with pytest.raises(DatumrlError, match=told):
        figures.check(tmp_path / name, number)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(DatumrlError, match="is a folder"):
        figures.check(tmp_path / "folder.png", 1)


def test_places_on_the_map(subject: figures.Subject) -> None:
    found = subject.statistics
    point = quality_map.place(found)
    assert isinstance(point, MapPoint)
    mean = np.mean([6, 9, 21])
    assert point.tq == pytest.approx((mean + 20.272305) / (3234.3 + 20.272305))
    assert (point.saco, point.own_reference) == (1.0, True)
    assert (point.environment, point.mark) == ("hopper", "m")
    other = replace(found, coverage=replace(found.coverage, preset="paper"))
    assert "not comparable" in quality_map.place(other)
    fewer = replace(found, coverage=replace(found.coverage, rows=5))
    assert "over 5 rows" in quality_map.place(fewer)
    merged = quality_map.merge(KNOWN, [replace(KNOWN[0], tq=0.5)])
    assert [each.tq for each in merged] == [0.5]
    assert "mr medium-replay; hollow" in quality_map.legend(merged)
