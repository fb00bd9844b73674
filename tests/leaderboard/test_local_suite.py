"""The local suite's tables: made from what ships, and what the documentation shows of them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from datumrl.datasets import audit_continuity, catalogue, local_catalogue, scores
from datumrl.datasets.errors import DatumrlError
from datumrl.leaderboard import known_quality, local_suite
from datumrl.scripts import write_local_tables

DOCUMENT = Path(__file__).parents[2] / write_local_tables.DOCUMENT


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_page_shows_the_tables_of_what_ships() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert local_suite.within(text) == text, "run `make cards`, or write_local_tables alone"
    for record in local_catalogue.records():
        assert f"| `{record.id.removeprefix('local/')}` |" in text


def test_the_map_on_the_page_holds_every_dataset_that_ships() -> None:
    """A dataset of a usual environment is a letter; of the rest the tests of figures tell."""
    picture = DOCUMENT.parents[2] / write_local_tables.MAP
    drawn = picture.read_text(encoding="utf-8")
    marks = [point.mark for point in known_quality.points() if point.environment]
    for mark in set(marks):
        assert drawn.count(f">{mark}</text>") == marks.count(mark), "run `make cards`"
    assert f"../figures/{picture.name}" in DOCUMENT.read_text(encoding="utf-8")


def test_a_row_holds_the_card_s_numbers_beside_d4rl_s() -> None:
    cards = {card.id: card for card in known_quality.own_cards()}
    published = {row.dataset: row for row in known_quality.published_rows()}
    card, d4rl = cards["local/walker2d-random-v1"], published["d4rl/walker2d-random-v0"]
    assert -0.05 < 100 * d4rl.tq < 0  # rounds to -0
    row = cells(local_suite.dataset_table([card], published).splitlines()[2])
    assert row[0] == "`walker2d-random-v1`"
    assert row[1] == f"{card.statistics.rows:,}"
    assert float(row[4]) == pytest.approx(card.statistics.returns.distribution.mean, rel=1e-3)
    assert row[-2:] == ["0.0", f"{d4rl.saco:.3f}"]
    alone = replace(card, id="local/pointmaze-umaze-v1")
    assert cells(local_suite.dataset_table([alone], published).splitlines()[2])[-2:] == ["-", "-"]


@pytest.mark.parametrize("environment", local_suite.ENVIRONMENTS)
def test_policies_have_the_names_that_their_scores_allow(environment: str) -> None:
    policies = local_suite.policy_card(environment)["policies"]
    record = catalogue.find(f"local/{environment}-expert-v1")
    for said in policies.values():
        found = scores.normalize(said["mean_return"], record)
        assert found == pytest.approx(said["normalised_score"])
        assert said["episodes"] == 100
    assert ("expert" in policies) == (policies.get("expert", {}).get("normalised_score", 0) >= 60)
    shown = local_suite.policy_table({})
    assert f"| {environment} | expert |" in shown


def test_a_page_without_marks_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(DatumrlError, match="the document lacks"):
        local_suite.within("text")
    monkeypatch.chdir(tmp_path)
    assert write_local_tables.main() == 2
    assert "run this in the repository" in capsys.readouterr().err
    page = tmp_path / write_local_tables.DOCUMENT
    page.parent.mkdir(parents=True)
    page.write_text(f"before\n{local_suite.BEGIN}\nold\n{local_suite.END}\nafter\n")
    assert write_local_tables.main() == 0
    text = page.read_text()
    assert "old" not in text
    assert text.startswith("before\n")
    assert text.endswith(f"{local_suite.END}\nafter\n")
    assert text.count("| `hopper-medium-v1` |") == 1


def test_what_the_audit_says_of_its_power_is_what_the_cards_show() -> None:
    """Shares of the known resets that its check for continuity would see, by environment."""
    shares: dict[str, list[int]] = {}
    for card in known_quality.own_cards():
        (told,) = (each.summary for each in card.audit if each.check == "continuity")
        (share,) = re.findall(r"\((\d+) % of the [\d,]+ known resets would be seen\)", told)
        name = card.id.removeprefix("local/").split("-")[0]
        shares.setdefault(name, []).append(int(share))
    bounds = {name: (min(each), max(each)) for name, each in shares.items()}
    assert bounds.pop("halfcheetah") == (0, 0)
    assert bounds.pop("walker2d") == (13, 78)
    assert set(bounds) == {"inverted", "pointmaze", "hopper"}
    assert min(low for low, _ in bounds.values()) == 90
    guide = " ".join((DOCUMENT.parents[1] / "audit.md").read_text(encoding="utf-8").split())
    for said in (guide, " ".join(str(audit_continuity.__doc__).split())):
        assert "nearly all (90 to 100 %) for pendulums, mazes and Hopper, 13 to 78 %" in said
