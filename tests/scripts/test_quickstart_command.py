"""The whole way in small: a published table, a dataset, four methods, a comparison, the site."""

from pathlib import Path

import pytest

from datumrl.evaluation.records import find_records
from datumrl.scripts import main, quickstart


@pytest.mark.slow
def test_quickstart_ends_with_a_page_and_goes_on_where_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATUMRL_HOME", "")  # restored afterwards; quickstart sets its own
    out = tmp_path / "quickstart"
    small = ["quickstart", "--out", str(out), "--seeds", "2", "--steps", "60"]
    small += ["--dataset", "local/inverted-pendulum-medium-v1@2k"]
    assert main.main(small) == 0
    shown = capsys.readouterr().out
    assert "452 of 452 cells are equal after rounding" in shown
    assert "runs used" in shown  # AdaStop on the published scores
    assert str(out / "board" / "index.html") in shown
    records = find_records([out / "runs"])
    runs = sorted((record.algorithm, record.seed) for record in records)
    assert runs == [(method, seed) for method in sorted(quickstart.METHODS) for seed in (0, 1)]
    assert all(record.status == "complete" for record in records)
    page = (out / "board" / "index.html").read_text(encoding="utf-8")
    assert "TD3+BC" in page
    assert (out / "report" / "report.md").exists()
    checkpoints = {path: path.stat().st_mtime_ns for path in out.rglob("checkpoint.pt")}
    assert len(checkpoints) == 4
    assert main.main(small) == 0
    assert "already collected, verified" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in out.rglob("checkpoint.pt")} == checkpoints


def test_every_step_is_a_command_and_five_seeds_are_put_to_adastop() -> None:
    steps = quickstart.Command()._steps()
    assert all(step.arguments[0] in main.COMMANDS for step in steps)
    own = next(step.arguments for step in steps if "report" in str(step.arguments))
    assert own[-5:] == ["--adastop", "--runs", "5", "--interims", "1"]
    few = quickstart.Command(seeds=4)._steps()
    assert not any("--adastop" in step.arguments and "--out" in step.arguments for step in few)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--dataset", "d4rl/hopper-medium-v2"], "cannot be generated here"),
        (["--dataset", "local/none"], "unknown dataset"),
        (["--seeds", "0"], "--seeds 0: at least 1"),
        (["--steps", "0"], "--steps 0: at least 1"),
    ],
)
def test_what_a_later_step_would_refuse_is_refused_first(
    options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["quickstart", "--out", str(tmp_path / "tour"), *options]) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert "Does a published table" not in told.out
    assert not (tmp_path / "tour").exists()
