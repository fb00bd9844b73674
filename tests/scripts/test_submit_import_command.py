"""`datumrl submit --from`: what is written where, and what is said of it."""

from pathlib import Path

import pytest

from datumrl.scripts.main import main


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATUMRL_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def test_an_import_replaces_nothing_but_an_earlier_import(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = "algo,env,seed,lr,note,normalized_score\nA,hopper-medium-v2,0,3e-4,kept,40\n"
    log = Path("logs/cql_seed3/environment.csv")
    log.parent.mkdir(parents=True)
    log.write_text("1,1000,5\n")
    for name in ("scores.csv", "in.csv"):
        Path(name).write_text(table)
    Path("link.csv").symlink_to("in.csv")
    given = ["--dataset", "hopper-medium-v2", "--algorithm", "A"]
    for words, told in (
        (["csv", "scores.csv"], "scores.csv is what is imported"),
        (["csv", "in.csv", "--out", "link.csv"], "link.csv is what is imported"),
        (["csv", "in.csv"], "scores.csv exists and holds no rows of an earlier"),
        (["csv", "in.csv", "--out", "logs"], "logs is no file"),
        (["d3rlpy", "logs", *given, "--out", "logs/environment.csv"], "lies inside logs"),
        (["d3rlpy", "logs", *given, "--out", str(log)], "lies inside logs"),
    ):
        assert main(["submit", "--from", *words]) == 2
        assert told in " ".join(capsys.readouterr().err.split())
    assert {Path(name).read_text() for name in ("scores.csv", "in.csv")} == {table}
    assert log.read_text() == "1,1000,5\n"
    Path("scores.csv").write_text("")
    for _ in range(2):  # nothing, and then the rows of the import before
        assert main(["submit", "--from", "csv", "in.csv"]) == 0
    assert main(["submit", "--from", "csv", "scores.csv"]) == 2
