"""`datumrl compare`, as typed: finished records, published scores, and training to a decision."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from datumrl.datasets import catalogue
from datumrl.scripts.main import main

DATASET = "d4rl/hopper-medium-v2"
LOCAL = "local/inverted-pendulum-mixed-v1@1k"
PUBLISHED = ["d3rlpy-d4rl-v0", "--resamples", "200"]
TWO = ["--algorithms", "IQL", "TD3+BC", "--datasets", "d4rl/hopper-medium-v0"]
START = ["--sequential", "bc", "iql", "--on", LOCAL, "--steps", "20", "--evaluate-every", "10"]


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATUMRL_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def test_folders_of_runs_are_compared(tmp_path: Path, capsys, write_runs) -> None:
    write_runs(tmp_path / "runs", "iql", 2000.0)
    write_runs(tmp_path / "runs", "bc", 1000.0)
    assert main(["compare", "runs", "--resamples", "200"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:3] == ["algorithm", "groups", "IQM"]
    assert lines[2].split()[:2] == ["iql", "a"]
    assert lines[3].split()[:2] == ["bc", "b"]


@pytest.mark.slow
def test_published_scores_files_and_json(tmp_path: Path, capsys) -> None:
    assert main(["compare", *PUBLISHED, *TWO, "--out", "report", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [each["algorithm"] for each in told["algorithms"]] == ["TD3+BC", "IQL"]
    assert told["algorithms"][0]["runs"] == [10, 10]
    written = json.loads((tmp_path / "report" / "report.json").read_text())
    assert {**told, "figures": written["figures"]} == written


def test_published_aggregates_are_those_of_reproduce(capsys) -> None:
    """The IQM of the widest fair pool, from another path through the code."""
    from datumrl.leaderboard import beyond_table, published_tables

    case = published_tables.case(published_tables.find("d3rlpy-d4rl-v0"))
    pool = beyond_table.pools(case)[0]
    names = ["--algorithms", *(each.algorithm for each in pool.aggregates)]
    assert main(["compare", *PUBLISHED, *names, "--datasets", *pool.datasets, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    found = {each["algorithm"]: each["metrics"]["iqm"]["value"] for each in told["algorithms"]}
    assert found == pytest.approx({each.algorithm: each.iqm for each in pool.aggregates})


def test_the_widest_version_is_taken_and_said(capsys) -> None:
    assert main(["compare", *PUBLISHED, "--algorithms", "IQL", "BEAR", "--only-pairs"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("Pairs\n")
    assert "Aggregates" not in told
    assert "raw scores published by takuseno/d3rlpy-benchmarks" in told


def test_a_replay_tells_how_many_runs_were_needed(capsys) -> None:
    replay = ["--adastop", "--runs", "5", "--interims", "2"]
    assert main(["compare", *PUBLISHED, *TWO, *replay]) == 0
    told = capsys.readouterr().out
    assert "10 of 20 runs used, 10 saved" in told
    assert "IQL    smaller   TD3+BC" in told
    assert "intervals use all runs" in told


def test_adastop_decides_the_pairs_given(capsys) -> None:
    three = ["--algorithms", "IQL", "TD3+BC", "BEAR"]
    pairs = ["--pairs", "BEAR:IQL", "TD3+BC:IQL"]
    assert main(["compare", *PUBLISHED, *three, "--adastop", "--json", *pairs]) == 0
    test = json.loads(capsys.readouterr().out)["test"]
    assert [(each["first"], each["second"]) for each in test["decisions"]] == [
        ("BEAR", "IQL"),
        ("TD3+BC", "IQL"),
    ]


def test_pairs_without_a_test_say_so_and_by_dataset_is_for_families(capsys) -> None:
    three = ["--algorithms", "IQL", "TD3+BC", "BEAR", "--only-pairs", "--adastop"]
    hoppers = ["--datasets", "d4rl/hopper-medium-v0", "d4rl/hopper-medium-replay-v0"]
    pairs = ["--pairs", "BEAR:IQL", "TD3+BC:IQL"]
    assert main(["compare", *PUBLISHED, *three, *hoppers, *pairs]) == 0
    told = capsys.readouterr().out
    assert told.count("not tested") == 1
    assert "by dataset" not in told
    blocks = ["--family", "--runs", "10", "--interims", "1"]
    assert main(["compare", *PUBLISHED, *three, *hoppers, *blocks]) == 0
    assert capsys.readouterr().out.count("by dataset") == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give records to compare"),
        (["runs", "--sequential", "bc"], "not both"),
        (["--sequential", "bc", "iql"], "--sequential needs datasets"),
        (["nowhere"], "nowhere: no such file, folder or published table"),
        (["corl-offline"], "only its cells; those of d3rlpy-d4rl-v0, neorl-derived are"),
        (["neorl-derived", "--algorithms", "IQL"], "no scores of algorithm 'IQL'"),
        (["d3rlpy-d4rl"], "did you mean the published table d3rlpy-d4rl-v0"),
        (["."], "no run records"),
        (["d3rlpy-d4rl-v0", "--algorithms", "iql"], "did you mean 'IQL'"),
        (["d3rlpy-d4rl-v0", "--algorithms", "IQL", "DT"], "DT has no v0 scores"),
        ([*PUBLISHED, *TWO, "--baseline", "IQQ"], "did you mean 'IQL'"),
        ([*PUBLISHED, *TWO, "--adastop", "--runs", "3", "--interims", "1"], "at least 4 runs"),
        ([*PUBLISHED, *TWO, "--pairs", "IQL:TD3+BC"], "for --sequential and --adastop"),
        ([*PUBLISHED, *TWO, "--adastop", "--pairs", "IQL"], "with a colon between"),
        ([*PUBLISHED, *TWO, "--adastop", "--pairs", "IQL:IQQ"], "two different names"),
        ([*PUBLISHED, *TWO, "--adastop", "--pairs", "IQL:TD3+BC", "TD3+BC:IQL"], "given twice"),
        ([*PUBLISHED, "--algorithms", "IQL", "TD3+BC", "BEAR", "--adastop", "--pairs",
          "IQL:TD3+BC"], "BEAR: in no comparison"),
        ([*PUBLISHED, *TWO, "--adastop", "--pairs", "IQL:TD3+BC", "--baseline", "IQL"],
         "give one of them"),
        (["--sequential", "bc", "iq", "--on", LOCAL], "unknown algorithm 'iq'"),
        (["--sequential", "bc", "--on", LOCAL], "two or more different names"),
        (["--sequential", "bc", "iql", "--on", LOCAL, "--runs", "2", "--interims", "1"],
         "can never reject"),
        (["--sequential", "bc", "iql", "--on", LOCAL, "--adastop"], "for finished records"),
        (["--sequential", "bc", "iql", "--on", "local/inverted-pendulum-mixd-v1"], "mixed"),
        *(([*PUBLISHED, *TWO, *idle], f"{idle[0]}: for --sequential") for idle in (
            ["--on", LOCAL], ["--steps", "20"], ["--set", "tau=0.1"], ["--workers", "2"],
            ["--family"], ["--procedure", "shared"], ["--runs", "4"], ["--interims", "2"])),
        ([*PUBLISHED, *TWO, "--adastop", "--steps", "20"], "--steps: for --sequential"),
        ([*START, "--algorithms", "bc"], "--algorithms: for finished records"),
        ([*START, "--datasets", LOCAL], "--datasets: for finished records"),
        (["adastop-walker", "--gamma", "50"], "--gamma, --out: not for adastop-walker"),
        ([*START, "--confidence", "95"], "confidence 95.0 is not between 0 and 1"),
        ([*START, "--resamples", "0"], "resamples 0"),
        ([*START, "--interval", "bca", "--bootstrap", "runs+tasks"], "does not resample tasks"),
        ([*START, "--family", "--bootstrap", "runs+tasks"], "as many runs on every dataset"),
        ([*START, "--failed-as", "nan"], "--failed-as nan is not finite"),
        ([*START, "--checkpoint", "last-10-mean"], "2 evaluations are too few for last-10-mean"),
        (["--sequential", "bc", "dt", "--on", LOCAL], "dt gives 2 results for each seed"),
        (["--sequential", "bc", "iql", "--on", "d4rl/hopper-medium-v0", "d4rl/walker2d-medium-v2"],
         "versions v0 and v2 hold different data"),
    ],
)  # fmt: skip
def test_refusals_end_with_code_2_and_write_nothing(tmp_path, capsys, arguments, said) -> None:
    assert main(["compare", *arguments, "--out", "report"]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "report").exists()


def test_seeds_of_an_interim_that_is_not_needed_need_not_exist(capsys) -> None:
    replay = ["--adastop", "--runs", "9", "--interims", "2"]
    assert main(["compare", *PUBLISHED, *TWO, *replay]) == 0
    assert "18 of 36 runs used" in capsys.readouterr().out


def test_mixed_versions_are_refused(tmp_path: Path, capsys, write_runs) -> None:
    names = ["--datasets", "d4rl/hopper-medium-v0", "d4rl/hopper-medium-v2"]
    assert main(["compare", *PUBLISHED, *names]) == 2
    assert "versions v0 and v2 hold different data" in capsys.readouterr().err
    write_runs(tmp_path / "runs", "iql", 1.0)
    assert main(["compare", "runs", "d3rlpy-d4rl-v0", "--datasets", DATASET]) == 2
    assert "mixed evaluation protocols" in capsys.readouterr().err


SEQUENTIAL = ["compare", "--sequential", "bc", "td3_bc", "--on", LOCAL, "--runs", "4",
              "--interims", "2", "--steps", "20", "--set", "hidden_dims=8,8", "batch_size=16",
              "--evaluate-every", "10", "--episodes", "2", "--device", "cpu", "--resamples", "200",
              "--json"]  # fmt: skip


@pytest.mark.slow
def test_training_to_a_decision_resumes_without_retraining(tmp_path, capsys, monkeypatch) -> None:
    from datumrl.algorithms import checkpoints, loop
    from datumrl.evaluation.collector import collect

    collect(catalogue.find(LOCAL))
    assert main([*SEQUENTIAL, "--out", "whole"]) == 0
    whole = json.loads(capsys.readouterr().out)
    assert whole["test"]["sequential"]["runs_total"] <= 16
    assert all(each["decision"] != "continue" for each in whole["test"]["decisions"])

    # Killed on the way: the third job (the second interim's first) is not done.
    jobs = []
    real = loop.run

    def until_third(job, *arguments):
        jobs.append(job)
        if len(jobs) == 3:
            raise KeyboardInterrupt
        return real(job, *arguments)

    monkeypatch.setattr(loop, "run", until_third)
    assert main([*SEQUENTIAL, "--out", "killed"]) == 130
    killed = tmp_path / "killed"
    assert len(list(killed.rglob("seed-*.json"))) == 8
    # A checkpoint is written by training only.
    written = {path: path.stat().st_mtime_ns for path in killed.rglob(checkpoints.FILE)}
    assert len(written) == 2
    monkeypatch.setattr(loop, "run", real)
    capsys.readouterr()
    assert main([*SEQUENTIAL, "--out", "killed"]) == 0
    assert json.loads(capsys.readouterr().out) == whole
    assert all(path.stat().st_mtime_ns == when for path, when in written.items())
    states = [(tmp_path / name / "state.json").read_text() for name in ("whole", "killed")]
    assert states[0] == states[1]
    assert (tmp_path / "killed" / "report" / "report.tex").exists()


@pytest.mark.slow
def test_a_process_shot_on_its_way_goes_on_to_the_same_state(tmp_path, capsys) -> None:
    from datumrl.evaluation.collector import collect

    collect(catalogue.find(LOCAL))
    command = [sys.executable, "-m", "datumrl.scripts.main", *SEQUENTIAL, "--out", "shot"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not list((tmp_path / "shot").rglob("seed-003.json")):
            assert time.monotonic() < deadline
            assert process.poll() is None, "it ended before it could be shot"
            time.sleep(0.01)
        process.kill()
    assert not (tmp_path / "shot" / "report").exists()
    for name in ("shot", "whole"):
        assert main([*SEQUENTIAL, "--out", name]) == 0
    told = capsys.readouterr().out
    assert told[: len(told) // 2] == told[len(told) // 2 :]
    states = [(tmp_path / name / "state.json").read_text() for name in ("shot", "whole")]
    assert states[0] == states[1]


def test_adastops_published_example_shows_both_decisions(capsys):
    assert main(["compare", "adastop-walker"]) == 0
    shown = capsys.readouterr().out
    assert "DDPG" in shown
    assert "released" in shown.lower()
    assert "smaller" in shown
