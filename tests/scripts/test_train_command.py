"""`datumrl train` and `datumrl evaluate`, as typed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from datumrl.datasets import catalogue
from datumrl.scripts import main
from datumrl.scripts.train import parse_seeds

DATASET = "local/inverted-pendulum-random-v1@1k"
QUICK = ["--steps", "20", "--set", "hidden_dims=8,8", "batch_size=16", "--evaluate-every", "10",
         "--episodes", "2", "--device", "cpu", "--threads", "1"]  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory):
    from datumrl.evaluation.collector import collect

    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATUMRL_HOME", str(folder))
        collect(catalogue.find(DATASET))
        yield folder


@pytest.fixture(scope="module")
def run(home: Path) -> Path:
    """A finished run of two seeds."""
    assert main.main(["train", "td3_bc", "--on", DATASET, "--seeds", "2", *QUICK]) == 0
    (folder,) = (home / "runs").rglob("*-seeds-0-1")
    return folder


def test_a_table_and_the_folder_end_the_training(home, run, tmp_path, capsys):
    command = ["train", "td3_bc", "--on", DATASET, "--seeds", "2", *QUICK]
    assert main.main([*command, "--out", str(tmp_path / "run")]) == 0
    told = capsys.readouterr()
    lines = told.out.splitlines()
    assert lines[0] == f"td3_bc on {DATASET}"
    assert lines[1].split() == ["seed", "step", "return", "±", "episodes", "score", "status"]
    assert lines[2].split()[:2] == ["0", "20"]
    assert lines[4].split()[0] == "mean"
    assert str(tmp_path / "run") in told.out
    assert "step 20/20" in told.err
    assert "seed-updates/s" in told.err
    for name in ("seed-000.json", "seed-001.json"):
        assert (tmp_path / "run" / name).read_text() == (run / name).read_text()


def test_what_is_done_is_said_to_be_done(run, capsys):
    assert main.main(["train", "td3_bc", "--on", DATASET, "--seeds", "2", *QUICK]) == 0
    assert "already done" in capsys.readouterr().err


def test_json_is_the_records(run, capsys):
    command = ["train", "td3_bc", "--on", DATASET, "--seeds", "2", *QUICK, "--json"]
    assert main.main(command) == 0
    records = json.loads(capsys.readouterr().out)
    assert records == [json.loads((run / f"seed-00{seed}.json").read_text()) for seed in (0, 1)]


def test_evaluate_rerolls_the_policies(run, capsys):
    assert main.main(["evaluate", str(run), "--offset", "0", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    for seed in (0, 1):
        own = json.loads((run / f"seed-00{seed}.json").read_text())
        assert again[seed]["evaluations"] == own["evaluations"][-1:]
    assert main.main(["evaluate", str(run), "--episodes", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"td3_bc on {DATASET}"
    assert [line.split()[0] for line in lines[2:]] == ["0", "1", "mean"]


def test_a_grid_trains_every_pair(home, tmp_path, capsys):
    command = ["train", "td3_bc", "td3_bc", "--on", DATASET, "--seeds", "1", *QUICK]
    assert main.main([*command, "--out", str(tmp_path)]) == 0
    assert (tmp_path / "td3_bc" / DATASET / "seed-000.json").exists()


def test_show_prints_the_configuration_and_trains_nothing(home, tmp_path, capsys):
    command = ["train", "td3_bc", "--on", DATASET, "--set", "alpha=1", "--out", str(tmp_path / "r")]
    assert main.main([*command, "--show"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["alpha", "1.0", "given", "here"] in lines
    assert ["discount", "0.99", "default"] in lines
    assert main.main([*command, "--show", "--json"]) == 0
    (shown,) = json.loads(capsys.readouterr().out)
    assert shown["config"]["alpha"] == 1.0
    assert shown["seeds"] == [0, 1, 2, 3, 4]
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["td3bc", "--on", DATASET], "did you mean 'td3_bc'?"),
        (["--on", DATASET], "no algorithm named"),
        (["td3_bc", "--on", "local/inverted-pendulum-rando-v1"], "inverted-pendulum-random-v1"),
        (["td3_bc", "--on", DATASET, "--set", "alhpa=1"], "did you mean 'alpha'?"),
        (["td3_bc", "--on", DATASET, "--seeds", "0"], "no seeds"),
        (["td3_bc", "--on", DATASET, "--seeds", "3,3"], "seed 3 is given twice"),
        (["td3_bc", "--on", DATASET, "--seeds", "many"], "write a number of seeds"),
        (["td3_bc", "--on", DATASET, "--steps", "-5"], "steps=-5: must be at least 1"),
        (["td3_bc", "--on", DATASET, "--threads", "0"], "threads=0"),
        (["td3_bc", "--on", "local/inverted-pendulum-expert-v1"], "run `datumrl collect"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_exit_code_2(home, tmp_path, arguments, message, capsys):
    assert main.main(["train", *arguments, "--out", str(tmp_path / "run")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not (tmp_path / "run").exists()


def test_evaluate_names_what_is_wrong_with_a_folder(home, tmp_path, capsys):
    assert main.main(["evaluate", str(tmp_path)]) == 2
    assert "give the folder of a run" in capsys.readouterr().err
    (tmp_path / "checkpoint.pt").write_bytes(os.urandom(100))
    assert main.main(["evaluate", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "cannot be read" in line


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("5", [0, 1, 2, 3, 4]), ("3,7,9", [3, 7, 9]), ("3,", [3]), ("0-2,8", [0, 1, 2, 8]), ("0", [])],
)  # fmt: skip
def test_ways_to_write_seeds(text, seeds):
    assert parse_seeds(text) == seeds
