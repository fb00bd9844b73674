"""`datumrl train` and `datumrl evaluate`, as typed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import datumrl
from datumrl.datasets import catalogue
from datumrl.datasets.scores import normalize
from datumrl.scripts import evaluate, main, train
from datumrl.scripts.train import parse_seeds

DATASET = "local/inverted-pendulum-random-v1@1k"
QUICK = ["--steps", "20", "--set", "hidden_dims=8,8", "batch_size=16", "--evaluate-every", "10",
         "--episodes", "2", "--device", "cpu", "--threads", "1"]  # fmt: skip


@pytest.fixture(scope="module")
def home(pendulum_home: Path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATUMRL_HOME", str(pendulum_home))
        yield pendulum_home


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


@pytest.mark.parametrize("more", [["--steps", "40"], ["--seeds", "4"]])
def test_what_is_refused_is_not_said_to_be_done(home, tmp_path, capsys, more):
    command = ["train", "bc", "--on", DATASET, "--seeds", "2", *QUICK, "--out", str(tmp_path / "r")]
    assert main.main(command) == 0
    capsys.readouterr()
    assert main.main([*command, *more]) == 2
    told = capsys.readouterr().err
    assert "is of another run" in told
    assert "already done" not in told


def test_restart_mends_what_is_damaged_and_spares_other_seeds(home, capsys):
    command = ["train", "bc", "--on", DATASET, *QUICK, "--seeds"]
    assert main.main([*command, "7,8"]) == 0
    (path,) = (home / "runs" / "bc").rglob("*-seeds-7-8/checkpoint.pt")
    whole = path.read_bytes()
    path.write_bytes(whole[:1000])
    assert main.main([*command, "6"]) == 0
    capsys.readouterr()
    assert main.main([*command, "6-8"]) == 2
    assert "cannot be read" in capsys.readouterr().err
    assert main.main([*command, "8,", "--restart"]) == 2
    assert "holds seed 7 too" in capsys.readouterr().err
    assert main.main([*command, "6-8", "--restart", "--json"]) == 0
    assert sorted(each["seed"] for each in json.loads(capsys.readouterr().out)) == [6, 7, 8]
    assert len(path.read_bytes()) == len(whole)


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


def test_evaluate_says_that_a_run_is_unfinished(home, tmp_path, capsys):
    def stop(progress):
        if progress.evaluated:
            raise ZeroDivisionError

    given = {"steps": 20, "evaluate_every": 10, "episodes": 1, "device": "cpu", "hidden_dims": (8,)}
    with pytest.raises(ZeroDivisionError):
        datumrl.train("bc", DATASET, [3], folder=tmp_path, progress=stop, **given)
    assert main.main(["evaluate", str(tmp_path), "--json"]) == 0
    told = capsys.readouterr()
    assert "this run is unfinished; its policies are those of step 10 of 20" in told.err
    (record,) = json.loads(told.out)
    assert (record["status"], record["budget"]["steps"]) == ("running", 20)
    assert record["evaluations"][0]["step"] == 10


def test_seeds_of_other_software_are_named(run, capsys):
    command = ["train", "td3_bc", "--on", DATASET, "--seeds", "2", *QUICK]
    path = run / "seed-001.json"
    text = path.read_text()
    record = json.loads(text)
    record["software"]["torch"] = "1.2"
    path.write_text(json.dumps(record))
    assert main.main(command) == 0
    told = capsys.readouterr().err
    assert f"td3_bc on {DATASET}: seeds of different software: 0 with datumrl" in told
    assert "1 with datumrl" in told
    assert "torch 1.2" in told
    path.write_text(text)
    assert main.main(command) == 0
    assert "different software" not in capsys.readouterr().err


def test_a_grid_trains_every_pair(home, tmp_path, capsys):
    command = ["train", "td3_bc", "td3_bc", "--on", DATASET, "--seeds", "1", *QUICK]
    assert main.main([*command, "--out", str(tmp_path)]) == 0
    assert (tmp_path / "td3_bc" / DATASET / "seed-000.json").exists()


def test_show_prints_the_configuration_and_trains_nothing(home, tmp_path, capsys):
    command = ["train", "td3_bc", "--on", DATASET, "--set", "alpha=1", "--out", str(tmp_path / "r")]
    assert main.main([*command, "--show"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert f"folder {tmp_path / 'r'}" in lines
    assert lines[lines.index("given here") + 1] == "alpha 1.0"
    (default,) = (
        n for n, line in enumerate(lines) if line.endswith("TD3_BC@8791ad7d7656:main.py)")
    )
    assert lines.index("discount 0.99") > default  # below the source, which is printed once
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
        (["td3_bc", "--on", DATASET, "--seeds", "0-999999999999"], "more than 10,000 in a row"),
        (["td3_bc", "--on", DATASET, "--seeds", "5-3,7"], "write a number of seeds"),
        (["td3_bc", "--on", DATASET, "--checkpoint-seconds", "-3"], "seconds -3: give a number"),
        (["td3_bc", "--on", DATASET, "--checkpoint-seconds", "nan"], "seconds nan: give a number"),
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
    [("5", [0, 1, 2, 3, 4]), ("3,7,9", [3, 7, 9]), ("3,", [3]), ("0-2,8", [0, 1, 2, 8]), ("0", []),
     ("7,1-2", [7, 1, 2])],
)  # fmt: skip
def test_ways_to_write_seeds(text, seeds):
    assert parse_seeds(text) == seeds


def test_show_tells_where_each_value_comes_from(home, capsys):
    command = ["train", "iql", "--on", "d4rl/hopper-medium-v2", "--preset", "corl", "--show"]
    assert main.main([*command, "--set", "log_std_min=-5", "actor_lr=1e-4", "--json"]) == 0
    (shown,) = json.loads(capsys.readouterr().out)
    config, origins = shown["config"], shown["origins"]
    assert (config["tau"], config["deterministic"], config["log_std_min"]) == (0.001, True, -5.0)
    assert config["actor_lr"] == 0.0001
    assert (shown["evaluate_every"], shown["episodes"], shown["view"]) == (5000, 10, "d4rl-legacy")
    assert origins["tau"].startswith("preset corl (corl-team/CORL@")
    assert origins["tau"].endswith("iql/hopper/medium_v2.yaml)")
    assert (origins["log_std_min"], origins["actor_lr"]) == ("given here", "given here")
    assert origins["observation_dim"] == "derived from the dataset"
    assert shown["preset"] == "corl except log_std_min, actor_lr"
    assert main.main(["train", "iql", "--on", "d4rl/hopper-medium-v2", "--show"]) == 0
    text = capsys.readouterr().out
    assert "preset none" in " ".join(text.split())
    # However narrow the terminal, a source is one line, to be copied.
    assert " default (ikostrikov/implicit_q_learning@09d700248117:learner.py)\n" in text


def test_a_preset_without_the_dataset_says_what_it_covers(home, capsys):
    assert main.main(["train", "iql", "--on", DATASET, "--preset", "corl", *QUICK]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"preset corl has no values for iql on {DATASET}; it covers d4rl/halfcheetah" in line


def test_a_grid_ends_with_a_table_over_it(home, tmp_path, capsys):
    command = ["train", "bc", "td3_bc", "--on", DATASET, "--seeds", "0-1", *QUICK]
    assert main.main([*command, "--out", str(tmp_path / "grid"), "--tensorboard"]) == 0
    told = capsys.readouterr()
    rows = [line.split() for line in told.out.splitlines()]
    (bc,) = [row for row in rows if row[0] == "bc" and "(n=2)" in row]
    assert "±" in bc
    assert any(row[0] == "td3_bc" and "(n=2)" in row for row in rows)
    events = list((tmp_path / "grid").rglob("tensorboard/seed-00*/events.out.tfevents.*"))
    assert len(events) == 4


def test_progress_tells_return_score_and_losses(home, tmp_path, capsys):
    command = ["train", "bc", "--on", DATASET, "--seeds", "1", "--steps", "5", "--episodes", "1"]
    assert (
        main.main([*command, "--out", str(tmp_path / "r"), "--set", "hidden_dims=8", "--json"]) == 0
    )
    told = capsys.readouterr()
    (record,) = json.loads(told.out)
    (mean_return,) = record["evaluations"][-1]["returns"]
    score = normalize(mean_return, catalogue.find(DATASET))
    (line,) = [each for each in told.err.splitlines() if "step 5/5" in each]
    assert f"return {mean_return:,.1f} (score {score:,.1f}), actor loss " in line


def test_a_run_that_failed_whole_says_so(home, tmp_path, capsys):
    command = ["train", "bc", "--on", DATASET, "--seeds", "1", "--steps", "5", "--episodes", "1"]
    assert main.main([*command, "--out", str(tmp_path), "--set", "actor_lr=1e30"]) == 1
    assert "step 5/5: every seed failed" in capsys.readouterr().err


def test_a_cell_says_how_many_failed():
    rows = [
        {"mean_return": 3.0, "score": None, "status": "complete"},
        {"mean_return": None, "score": None, "status": "failed"},
    ]
    assert evaluate._cell(rows) == "return 3.0 (n=1, 1 failed)"
    assert evaluate._cell(rows[1:]) == "(n=0, 1 failed)"
    scored = [
        {"mean_return": mean, "score": score, "status": "complete"}
        for mean, score in ((1.0, 10.0), (2.0, 14.0))
    ]
    assert evaluate._cell(scored) == "12.0 ± 2.8 (n=2)"


def test_evaluate_exports_every_policy(run, tmp_path, capsys):
    assert main.main(["evaluate", str(run), "--export", str(tmp_path), "--json"]) == 0
    names = sorted(Path(path).name for path in json.loads(capsys.readouterr().out))
    assert names == [f"policy-00{seed}.{kind}" for seed in (0, 1) for kind in ("npz", "pt2")]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_interruption_tells_the_command_that_goes_on(home, monkeypatch, capsys):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "_train", interrupted)
    command = ["train", "bc", "--on", DATASET, "--set", "hidden_dims=[8, 8]", "--restart"]
    assert main.main(command) == 130
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == f"  datumrl train bc --on {DATASET} --set 'hidden_dims=[8, 8]'"


def test_what_stays_on_disk_is_said_of_what_does(home, capsys):
    from datumrl.algorithms import training

    def said(*methods):
        plans = [
            training.plan(name, DATASET, (0,), 2, settings, 2, 1, "cpu")
            for name, settings in methods
        ]
        train._tell_what_stays_on_disk([(job, None) for job in plans], share=10)
        return " ".join(capsys.readouterr().err.split())

    assert said(("td3_bc", {})).endswith("transitions stay on disk, gathered by batches")
    both = said(("td3_bc", {}), ("dt", {"warmup_steps": 0}), ("bc", {"context_length": 4}))
    assert "stay on disk" in both
    assert both.endswith("in memory all the same for bc, dt")
    assert "stay on disk" not in said(("dt", {"warmup_steps": 0}))
