"""`datumrl stats --plot` and `--card`, and the board that shows the cards."""

import inspect
import json
from pathlib import Path
from typing import Any

import pytest

from datumrl.datasets import dataset_card
from datumrl.datasets.findings import Report
from datumrl.evaluation import auditing
from datumrl.leaderboard import known_quality
from datumrl.scripts import write_local_cards
from datumrl.scripts.main import main

MEDIUM, REPLAY = "local/hopper-medium-v1", "local/hopper-medium-replay-v1"


@pytest.fixture(autouse=True)
def _in_a_folder(
    hopper_sets: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)


def test_plot_and_card_in_one_go(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stats", MEDIUM, REPLAY, "--json", "--plot", "a.svg", "--card", "cards"]) == 0
    told = capsys.readouterr()
    measured = json.loads(told.out)
    assert "wrote a.svg" in told.err
    drawn = (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert all(name in drawn for name in (MEDIUM, REPLAY, "published, D4RL v0"))
    cards = [dataset_card.read(path) for path in dataset_card.find([tmp_path / "cards"])]
    assert [card.id for card in cards] == [REPLAY, MEDIUM]
    by_id = {card.id: json.loads(json.dumps(card.statistics.to_json())) for card in cards}
    assert by_id == {each["id"]: each for each in measured}
    assert {each.check for each in cards[0].audit} >= {"boundaries", "replay"}
    assert cards[0].versions.keys() >= {"datumrl", "numpy"}

    assert main(["board", "--no-published", "--cards", "cards", "--out", "site"]) == 0
    index = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    for card in cards:
        (page,) = (tmp_path / "site" / "datasets").glob(f"{card.id.replace('/', '-')}-*.html")
        assert f'href="datasets/{page.name}"' in index


def test_cards_beside_runs_are_found_and_differing_ones_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    beside = tmp_path / "home" / "runs" / "cards"
    assert main(["stats", MEDIUM, "--card", str(beside)]) == 0
    assert main(["board", "--no-published", "--out", "site"]) == 0
    assert len(list((tmp_path / "site" / "datasets").iterdir())) == 1
    assert main(["stats", MEDIUM, "--seed", "5", "--card", "other"]) == 0
    assert main(["board", "--no-published", "--cards", "other", "--out", "site"]) == 2
    assert f"{MEDIUM}: two cards of it differ" in capsys.readouterr().err


def test_a_cards_audit_is_that_of_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--seed` is of the measures; the rows that a card's audit replays are always the same."""
    real = auditing.audit_dataset
    asked = []

    def audit(*given: Any, **options: Any) -> Report:
        bound = inspect.signature(real).bind(*given, **options)
        bound.apply_defaults()
        asked.append(bound.arguments)
        return real(*given, **options)

    monkeypatch.setattr(auditing, "audit_dataset", audit)
    assert main(["stats", MEDIUM, "--seed", "5", "--card", "cards"]) == 0
    (defaults,) = asked
    assert (defaults["seed"], defaults["replay_rows"]) == (0, auditing.REPLAY_ROWS)
    assert not defaults["against"]
    (path,) = dataset_card.find([Path("cards")])
    assert "replay" in {each.check for each in dataset_card.read(path).audit}


def test_all_local_datasets_get_their_cards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(known_quality, "CARDS", tmp_path / "own")
    assert write_local_cards.main() == 0
    assert [card.id for card in known_quality.own_cards()] == [REPLAY, MEDIUM]
    placed = {point.id: point for point in known_quality.points()}
    assert len(placed) == 14
    assert (placed[MEDIUM].origin, placed["d4rl/hopper-expert-v0"].origin) == (
        "measured",
        "published",
    )
    monkeypatch.setenv("DATUMRL_HOME", str(tmp_path / "empty"))
    assert write_local_cards.main() == 2
    assert "holds no local dataset" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["stats", MEDIUM, "--plot", "x.pdf"], "a plot is a .png, .svg or .html"),
        (["stats", MEDIUM, "--audit", "--plot", "x.png"], "leave --audit out"),
        (["stats", MEDIUM, "--audit", "--card", "x"], "leave --audit out"),
        (["board", "--cards", "nowhere"], "nowhere does not exist"),
        (["board", "--no-published"], "no run records"),
    ],
)
def test_what_cannot_be_done_is_told(
    capsys: pytest.CaptureFixture[str], arguments: list[str], shown: str
) -> None:
    assert main(arguments) == 2
    assert shown in capsys.readouterr().err
