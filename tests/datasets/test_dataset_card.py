"""Cards as data: what is written is read back, and what is none is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from datumrl.datasets import card_text, catalogue, dataset_card, measures, pictures
from datumrl.datasets.audit import audit
from datumrl.datasets.dataset_card import Card
from datumrl.datasets.dataset_statistics import stats
from datumrl.datasets.episodes import Episodes
from datumrl.datasets.errors import DatumrlError

HOPPER = catalogue.find("d4rl/hopper-medium-replay-v0")


@pytest.fixture
def card(make_episodes: Callable[..., Episodes], home: Path) -> Card:
    episodes = make_episodes("--T-O--O-", id=HOPPER.id)
    (drawn,) = pictures.pictures([episodes], [HOPPER])
    report = audit(episodes, HOPPER)
    return dataset_card.make(episodes, HOPPER, stats(episodes), drawn, report, {}, {"datumrl": "x"})


def test_a_card_is_read_back_as_it_was_written(tmp_path: Path, card: Card) -> None:
    path = dataset_card.write(card, tmp_path)
    assert path == tmp_path / "d4rl" / "hopper-medium-replay-v0" / "card.json"
    assert dataset_card.read(path) == card
    assert dataset_card.find([tmp_path]) == [path]
    first = path.read_bytes()
    dataset_card.write(card, tmp_path)
    assert path.read_bytes() == first
    content = json.loads(first)
    assert (content["format"], content["version"]) == ("datumrl-card", 1)
    assert content["statistics"]["rows"] == 9
    assert len(first.splitlines()) < 500  # lists of numbers take a line


def test_the_text_holds_the_card_s_numbers(tmp_path: Path, card: Card) -> None:
    text = dataset_card.write(card, tmp_path).with_name("CARD.md").read_text(encoding="utf-8")
    assert text == card_text.render(card)
    assert "9 transitions in 4 episodes of Hopper-v4" in text.replace("\\", "")
    for _, rows in measures.sections(card.statistics):
        for _, value in rows:
            assert f"| {value} |" in text
    for each in card.audit:
        assert f"| {each.check} |" in text
    for erratum in HOPPER.errata:
        assert erratum in text.replace("\\", "")


def test_a_collected_dataset_s_card_tells_its_mixture(
    make_episodes: Callable[..., Episodes], home: Path
) -> None:
    parts = [
        {"name": "random", "transitions": 3, "episodes": 2},
        {"name": "expert", "transitions": 6, "episodes": 1},
    ]
    recipe = {"environment": "Hopper-v4", "environment_kwargs": {}, "time_limit": 1000}
    origin = {
        "recipe": {**recipe, "engine": {}, "seed": 0},
        "command": "datumrl collect x",
        "recipe_sha256": "a",
        "content_sha256": "b",
        "software": {},
        "parts": parts,
    }
    made = [
        dataset_card.make(
            episodes, None, stats(episodes), drawn, audit(episodes, HOPPER), origin, {}
        )
        for episodes in (make_episodes("--T-O--O-"), make_episodes("--T-O"))
        for drawn in pictures.pictures([episodes], [None])
    ]
    told = "random 33.3 % (3 transitions in 2 episodes); expert 66.7 % (6 transitions in 1 episode)"
    assert made[0].recipe[0] == ("mixture", told)
    assert made[1].recipe[0] == ("mixture of the whole dataset", told)


def test_the_verdict_counts_what_fails(card: Card) -> None:
    def verdict(*kinds: tuple[str, str | None]) -> str:
        audit = [
            replace(card.audit[0], verdict=kind, known_erratum=erratum) for kind, erratum in kinds
        ]
        return replace(card, audit=tuple(audit)).verdict

    assert verdict(("pass", None)) == "sound"
    assert verdict(("warn", None), ("fail", "known")) == "sound, 1 to know, 1 known"
    assert verdict(("fail", None), ("pass", None)) == "1 failed"


def test_markup_in_text_is_inert(card: Card) -> None:
    hostile = "<b>|`x`\n# [a](b)"
    facts = replace(card.facts, licence=hostile, errata=(hostile,), bibtex="```\n<b>")
    text = card_text.render(replace(card, facts=facts))
    assert "\\<b\\>\\|\\`x\\` \\# \\[a\\](b)" in text
    assert text.count("```") == 2


def change(content: Any, place: str, value: object) -> None:
    *parents, last = place.split(".")
    for name in parents:
        content = content[name]
    content[last] = value


@pytest.mark.parametrize(
    ("place", "value", "told"),
    [
        ("version", 2, "no card of version 1"),
        ("format", "other", "no card of version 1"),
        ("extra", 1, "no card of version 1"),
        ("statistics.rows", "9", "statistics.rows"),
        ("id", "another", "is of 'another'"),
        ("statistics.returns.distribution.bin_counts", [1], "histogram of returns"),
        ("statistics.lengths.distribution.bin_edges", [], "histogram of lengths"),
        ("statistics.returns.distribution.minimum", None, "no extremes"),
        ("statistics.returns.psv", 1e200, "a number that nothing measured"),
        ("pictures.plane.counts", [[1, 2]], "no grid"),
        ("pictures.plane.counts", [], "no grid"),
        ("pictures.actions.counts", [[-1] * pictures.BINS], "no histograms"),
        ("pictures.actions.counts", [], "no histograms"),
        ("audit", [{"check": "x"}], "audit.0"),
    ],
)
def test_what_is_no_card_is_refused(
    tmp_path: Path, card: Card, place: str, value: object, told: str
) -> None:
    path = dataset_card.write(card, tmp_path)
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content, place, value)
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(DatumrlError, match=told) as problem:
        dataset_card.read(path)
    assert "write it again" in str(problem.value) or "write the card again" in str(problem.value)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": NaN}', '{"a": 1e999}'])
def test_what_is_no_json_of_ours_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "card.json").write_text(text, encoding="utf-8")
    with pytest.raises(DatumrlError):
        dataset_card.read(tmp_path / "card.json")


def test_a_huge_file_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatumrlError, match="holds no card"):
        dataset_card.find([tmp_path])
    with (tmp_path / "card.json").open("wb") as handle:
        handle.truncate(9 << 20)
    with pytest.raises(DatumrlError, match="larger than 8 MB"):
        dataset_card.read(tmp_path / "card.json")


@pytest.mark.parametrize("name", ["../x", "a//b", "/x", "a/..", "a\\b/c"])
def test_an_id_never_leaves_the_folder(tmp_path: Path, card: Card, name: str) -> None:
    with pytest.raises(DatumrlError, match="cannot name a folder"):
        dataset_card.write(replace(card, id=name), tmp_path / "in")
    assert not (tmp_path / "x").exists()
