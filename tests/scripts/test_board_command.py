"""`datumrl board`: what it reads by default, what it prints, what it refuses."""

import json
from pathlib import Path

import pytest

from datumrl.datasets.files import home
from datumrl.scripts.main import main

DATASET = "d4rl/hopper-medium-v2"


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATUMRL_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
def test_default_board_holds_published_scores_and_own_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], write_runs
) -> None:
    write_runs(home() / "runs", "TD3+BC", 1000.0, seeds=3)
    assert main(["board"]) == 0
    told = capsys.readouterr().out
    assert "D4RL locomotion v0" in told
    assert "wrote board/index.html" in told
    page = (tmp_path / "board" / "index.html").read_text(encoding="utf-8")
    summary = json.loads((tmp_path / "board" / "data" / "summary.json").read_text())
    ranked = [
        (row["algorithm"], row["tier"], table["protocol"])
        for table in summary["tables"]
        for row in table["rows"]
        if row["iqm"] is not None
    ]
    assert page.count('<svg class="iqm-mark"') == len(ranked)
    published = [protocol for _, tier, protocol in ranked if tier == "raw published"]
    assert sum("takuseno/d3rlpy-benchmarks" in protocol for protocol in published) == 8 + 1 + 1 + 1
    assert sum("polixir/NeoRL" in protocol for protocol in published) == 7
    assert [name for name, tier, _ in ranked if tier == "local"] == ["TD3+BC"]
    assert "takuseno/d3rlpy-benchmarks" in page
    assert max(path.stat().st_size for path in Path("board").rglob("*.html")) < 300_000


@pytest.mark.slow
def test_published_cells_are_those_of_the_publication(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from datumrl.leaderboard import published_tables

    assert main(["board", "--json", "--out", str(tmp_path / "out")]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content == json.loads((tmp_path / "out" / "data" / "summary.json").read_text())
    shown = {
        (row["algorithm"], cell["dataset"]): (cell["mean"], cell["spread"])
        for table in content["tables"]
        if "takuseno/d3rlpy-benchmarks" in table["protocol"]
        for row in table["rows"]
        for cell in row["cells"]
    }
    table = published_tables.find("d3rlpy-d4rl-v0")
    printed = [
        cell
        for cell in published_tables.read_cells(table)
        if (cell.checkpoint, cell.quantity) == ("final", "score")
    ]
    assert len(printed) == len(shown) == 113
    for cell in printed:
        mean, spread = shown[cell.algorithm, cell.dataset]
        assert mean == pytest.approx(float(cell.mean), abs=0.0501)
        assert spread == pytest.approx(float(cell.std), abs=0.0501)


def test_given_runs_only(tmp_path: Path, capsys: pytest.CaptureFixture[str], write_runs) -> None:
    write_runs(tmp_path / "mine", "TD3+BC", 1000.0, seeds=3)
    assert main(["board", "mine", "--out", "out", "--no-published", "--json"]) == 0
    (table,) = json.loads(capsys.readouterr().out)["tables"]
    (row,) = table["rows"]
    expected = [100 * (1000 + seed + 20.272305) / (3234.3 + 20.272305) for seed in range(3)]
    assert row["cells"][0]["values"] == pytest.approx(expected)
    assert row["iqm"] == pytest.approx(sum(expected) / 3)
    assert row["interval"][0] < row["iqm"] < row["interval"][1]
    assert row["interval_method"] == "t"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--no-published"], "no run records and no published scores"),
        (["empty"], "no run records"),
        (["nowhere/seed-0.json"], "does not exist"),
        (["mine", "--out", "mine/board"], "lies inside mine"),
        (["mine", "--out", "mine"], "choose another folder"),
    ],
)
def test_bad_input_is_one_message_and_leaves_nothing(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
    write_runs,
) -> None:
    (tmp_path / "empty").mkdir()
    write_runs(tmp_path / "mine", "TD3+BC", 1000.0, seeds=3)
    before = sorted(tmp_path.rglob("*"))
    assert main(["board", *arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    assert sorted(tmp_path.rglob("*")) == before


def test_what_the_site_offers_for_download_can_be_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], write_runs
) -> None:
    write_runs(tmp_path / "mine", "TD3+BC", 1000.0)
    write_runs(tmp_path / "mine", "=bc", 900.0)  # a formula, were it not for its apostrophe
    assert main(["board", "mine", "--no-published"]) == 0
    (scores,) = (tmp_path / "board" / "data").glob("*locomotion*.csv")
    capsys.readouterr()
    assert main(["compare", str(scores), "--only-pairs", "--json"]) == 0
    downloaded = json.loads(capsys.readouterr().out)["pairs"]
    assert main(["compare", "mine", "--only-pairs", "--json"]) == 0
    own = json.loads(capsys.readouterr().out)["pairs"]
    assert [each["difference"] for each in downloaded] == [each["difference"] for each in own]
    text = scores.read_text().replace(",complete,", ",unfinished,", 1)
    scores.write_text(text)
    assert main(["compare", str(scores)]) == 2
    assert "line 2: the run is 'unfinished'" in capsys.readouterr().err
