"""`datumrl submit --from`: what is written where, and what is said of it."""

from pathlib import Path

import pytest

from datumrl.evaluation import scored_runs
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


@pytest.mark.parametrize(
    ("scores", "told"),
    [
        ([0.91, 0.95, 0.925], "between 0.91 and 0.95: fractions, as D4RL's"),
        ([-0.01, 1.13, 0.5], "between -0.01 and 1.13: fractions"),
        ([91.0, 95.0, 0.9], ""),
        ([0.91, 0.95], ""),  # too few to ask
        ([0.0, 0.0, 0.0], ""),  # the same on both scales
        ([0.91, 0.95, float("nan")], ""),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_scores_that_look_like_fractions_are_asked_about_and_kept(
    capsys: pytest.CaptureFixture[str], scores: list[float], told: str, as_json: bool
) -> None:
    lines = [f"A,hopper-medium-v2,{seed},{score}\n" for seed, score in enumerate(scores)]
    Path("in.csv").write_text("algo,env,seed,normalized_score\n" + "".join(lines))
    assert main(["submit", "--from", "csv", "in.csv", *["--json"] * as_json]) == 0
    said = capsys.readouterr().err
    assert told in said
    assert ("fractions" in said) == bool(told)
    kept = [row.score for row in scored_runs.csv_rows(Path("scores.csv"))]
    assert kept == [None if score != score else score for score in scores]


def test_returns_between_nought_and_one_are_no_fractions(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = [f"A,antmaze-umaze-v2,{seed},0.{seed}\n" for seed in range(5)]
    Path("in.csv").write_text("algo,env,seed,return\n" + "".join(lines))
    assert main(["submit", "--from", "csv", "in.csv"]) == 0
    assert "fractions" not in capsys.readouterr().err
