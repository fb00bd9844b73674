import json
from pathlib import Path

import pytest

import datumrl
from datumrl.scripts import main

DATASET = "local/inverted-pendulum-random-v1@500"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DATUMRL_HOME", str(tmp_path))
    return tmp_path


def test_collects_once_then_verifies(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["collect", DATASET]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith(f"collected {DATASET}: 50")
    assert "mean return" in shown.out
    assert str(home / "local" / "inverted-pendulum-random-v1@500") in shown.out
    assert main.main(["collect", DATASET]) == 0
    assert capsys.readouterr().out.startswith(f"already collected, verified: {DATASET}: 50")


def test_json_tells_what_was_made(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["collect", DATASET, "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    episodes = datumrl.load(DATASET)
    assert told["made"] is True
    assert told["transitions"] == len(episodes)
    assert told["episodes"] == len(episodes.returns())
    assert told["mean_return"] == pytest.approx(episodes.returns().mean())
    assert told["sha256"] == episodes.sha256
    assert told["content_sha256"] == episodes.content_sha256 is not None
    assert told["terminals"] + told["timeouts"] == told["episodes"]


def test_a_whole_dataset_serves_its_prefixes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(datumrl.DatumrlError, match=r"datumrl collect local/inverted-pendulum"):
        datumrl.load(DATASET)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["d4rl/hopper-medium-v2"], "datumrl fetch d4rl/hopper-medium-v2"),
        (["local/inverted-pendulum-medum-v1"], "local/inverted-pendulum-medium-v1"),
        ([], "no dataset named"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(
    arguments: list[str], message: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["collect", *arguments]) == 2
    shown = capsys.readouterr().err.strip()
    assert message in shown
    assert len(shown.splitlines()) == 1
    assert not list(home.iterdir())
