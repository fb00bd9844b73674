"""`datumrl reproduce --train`, as typed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from datumrl.datasets import catalogue
from datumrl.evaluation.records import find_records, score_rows
from datumrl.scripts import main, reproduce

PENDULUM = "local/inverted-pendulum-medium-v1@2k"
HEAD = "algorithm,dataset,mean,std,seeds,steps,episodes,evaluate_every,set.hidden_dims\n"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory):
    from datumrl.evaluation.collector import collect

    folder = tmp_path_factory.mktemp("home")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATUMRL_HOME", str(folder))
        collect(catalogue.find(PENDULUM))
        yield folder
    torch.set_num_threads(before)


def table(folder: Path, *rows: str) -> Path:
    path = folder / "table.csv"
    path.write_text(HEAD + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    return path


def command(path: Path, *options: str) -> list[str]:
    return ["reproduce", "--published", str(path), "--train", "--device", "cpu", *options]


def test_missing_files_are_listed_first_for_all_cells_at_once(home, capsys):
    train = ["reproduce", "corl-offline", "--train", "--device", "cpu"]
    options = [
        "--algorithms",
        "BC",
        "TD3+BC",
        "--datasets",
        "hopper-medium-v2",
        "walker2d-medium-v2",
    ]
    assert main.main([*train, *options]) == 2
    told = capsys.readouterr().err
    assert "2 datasets not here; bring them first:" in told
    assert "datumrl fetch d4rl/hopper-medium-v2" in told
    assert "datumrl fetch d4rl/walker2d-medium-v2" in told
    assert not (home / "reproductions").exists()
    assert not (home / "runs").exists()


def test_a_dry_run_estimates_and_trains_nothing(home, tmp_path, capsys):
    path = table(
        tmp_path,
        f'BC,{PENDULUM},50,5,10,1000,2,500,"8,8"',
        f"XQL,{PENDULUM},50,5,10,1000,2,500,",
        'BC,local/inverted-pendulum-random-v1,50,5,10,1000,2,500,"8,8"',
    )
    assert main.main(command(path, "--seeds", "3", "--dry-run", "--json")) == 0
    told = capsys.readouterr()
    found = json.loads(told.out)
    here, absent = found["cells"]
    assert (here["algorithm"], here["dataset"], here["train"]) == ("BC", PENDULUM, True)
    assert here["hours"] > 0
    assert here["memory_bytes"] > 1e7
    assert absent["dataset"] == "local/inverted-pendulum-random-v1"
    collect = "datumrl collect local/inverted-pendulum-random-v1"
    assert found["missing"] == [{"dataset": absent["dataset"], "command": collect}]
    assert collect in told.err
    assert found["hours"] == pytest.approx(here["hours"] + absent["hours"])
    (refused,) = found["left_out"]
    assert refused == {"cell": f"XQL on {PENDULUM}", "reason": "no trainer of XQL"}
    assert "no trainer of XQL" in told.err
    assert "timed here and now" in " ".join(told.err.split())
    assert told.err.index("not here") < told.err.index("Estimates")
    assert not (home / "runs").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--seeds", "1"], "--seeds 1: one seed has no spread"),
        (["--margin", "0"], "--margin 0: give points above 0"),
        (["--budget", "-2"], "--budget -2: give a number of hours"),
        (["--algorithms", "IQL"], "no trainable cell of algorithm 'IQL'; the nearest: "),
        (["--set", "alhpa=1"], "bc has no setting 'alhpa'"),
        (["--checkpoint", "last-10-mean"], "last-10-mean needs 10 evaluations"),
        (["--raw", "raw.csv"], "--raw raw.csv with --train"),
        (["--references", "scales.csv"], "--references with --train"),
        (["--seed", "3"], "--seed: of tests on raw scores; with --train new seeds are --seeds"),
        (["--columns", "dataset=nosuch"], "--columns dataset=nosuch: no column 'nosuch' in table"),
    ],
)
def test_bad_input_is_one_line(home, tmp_path, capsys, options, said):
    path = table(tmp_path, f'BC,{PENDULUM},50,5,10,1000,2,500,"8,8"')
    assert main.main(command(path, *options)) == 2
    assert said in capsys.readouterr().err


def test_options_of_training_need_it(capsys):
    assert main.main(["reproduce", "jax-corl", "--budget", "3"]) == 2
    assert "--budget: for training; give --train too" in capsys.readouterr().err


def test_a_budget_for_nothing_is_no_success_under_strict(home, tmp_path, capsys):
    path = table(tmp_path, f'BC,{PENDULUM},50,5,10,100000,2,50000,"8,8"')
    options = ["--seeds", "3", "--budget", "0.000001", "--out", str(tmp_path / "out")]
    assert main.main(command(path, *options, "--strict")) == reproduce.DIFFERS
    assert "nothing was trained" in capsys.readouterr().out
    assert not list(tmp_path.rglob("seed-*.json"))


def test_a_table_is_trained_again_and_a_rerun_only_reads(home, tmp_path, capsys):
    path = table(tmp_path, f'BC,{PENDULUM},-900,1,10,20,2,20,"8,8"')
    out = tmp_path / "out"
    options = ["--seeds", "4,7", "--out", str(out)]
    assert main.main(command(path, *options)) == reproduce.DIFFERS
    told = capsys.readouterr()
    assert "differs (after 2 seeds)" in told.out
    runs = {path: path.stat().st_mtime_ns for path in out.rglob("seed-*.json")}
    assert len(runs) == 2
    first = json.loads((out / "reproduction.json").read_text())["trained"]
    records = find_records([out / "runs"])
    expected = {str(record.seed): score_rows(record)[-1].score for record in records}
    assert first["cells"][0]["scores"] == expected
    assert first["command"].startswith("datumrl reproduce --published")
    assert main.main(command(path, *options)) == reproduce.DIFFERS
    assert "trained already" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in out.rglob("seed-*.json")} == runs
    again = json.loads((out / "reproduction.json").read_text())["trained"]
    assert again["cells"][0]["scores"] == first["cells"][0]["scores"]


@pytest.mark.slow
def test_a_call_for_other_cells_leaves_those_of_earlier_calls(home, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DATUMRL_HOME", str(tmp_path))
    for each in home.iterdir():  # its datasets, without what is trained here
        if each.name not in ("runs", "reproductions"):
            (tmp_path / each.name).symlink_to(each)
    row = f'{PENDULUM},-900,1,10,20,2,20,"8,8"'
    path = table(tmp_path, f"BC,{row}", f"%BC,{row}")
    for algorithm in ("BC", "%BC"):
        options = ["--seeds", "2", "--workers", "1", "--algorithms", algorithm]
        assert main.main(command(path, *options)) == reproduce.DIFFERS
        told = capsys.readouterr()
        assert f"{algorithm} on {PENDULUM}, last: " in told.err
    assert "goes on with 1 cell of earlier calls" in told.err
    assert "2 cells trained again" in told.out
    (kept,) = tmp_path.glob("reproductions/*/reproduction.json")
    found = json.loads(kept.read_text())["trained"]
    assert [cell["algorithm"] for cell in found["cells"]] == ["BC", "%BC"]
    first, second = found["command"].split("; ")
    assert "--algorithms BC " in first
    assert "--algorithms %BC " in second
    table(tmp_path, f"BC,{row}".replace("-900", "-901"))
    assert main.main(command(path, *options[:-2])) == reproduce.DIFFERS
    assert len(list(tmp_path.glob("reproductions/*/reproduction.json"))) == 2


@pytest.mark.slow
def test_ones_own_table_is_reproduced_by_other_seeds_and_a_wrong_setting_is_noticed(
    home, tmp_path, capsys
):
    """The whole way: publish from seeds 0 to 9, train 100 to 109, then with too small a rate."""
    from datumrl.algorithms import executor

    settings = {"hidden_dims": "32,32", "batch_size": "64"}
    run = executor.trainer(
        tmp_path / "published", 1, steps=400, settings=settings, episodes=5, evaluate_every=400,
        device="cpu",
    )  # fmt: skip
    scores = np.array([score_rows(each)[-1].score for each in run("bc", PENDULUM, range(10))])
    path = table(
        tmp_path,
        f'BC,{PENDULUM},{scores.mean():.1f},{scores.std():.1f},10,400,5,400,"32,32"',
    )
    options = ["--seeds", "100-109", "--workers", "1", "--margin", "20"]
    options += ["--set", "batch_size=64"]
    assert main.main(command(path, *options, "actor_lr=3e-4", "--strict")) == 0
    capsys.readouterr()
    out = tmp_path / "wrong"
    assert main.main(command(path, *options, "actor_lr=1e-6", "--out", str(out))) == 1
    found = json.loads((out / "reproduction.json").read_text())["trained"]
    assert 2 <= found["cells"][0]["seeds_to_differ"] <= 10
    told = capsys.readouterr().out
    assert "trained with other settings than the table's: batch_size=64, actor_lr=1e-6" in told


@pytest.mark.slow
def test_killed_it_goes_on_to_the_same_result(home, tmp_path):
    path = table(
        tmp_path,
        f'BC,{PENDULUM},50,5,10,50,2,50,"8,8"',
        f'TD3+BC,{PENDULUM},50,5,10,3000,2,3000,"8,8"',
    )
    options = ["--workers", "1", "--seeds", "2", "--out"]
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-m", "datumrl.scripts.main", *command(path, *options, str(out))],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 200
    while not list((out / "runs").glob("td3_bc/**/checkpoint.pt")):
        if process.poll() is not None or time.monotonic() > deadline:
            break
        time.sleep(0.05)
    assert process.poll() is None, "it ended before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = json.loads((out / "reproduction.json").read_text())["trained"]["cells"]
    assert [cell["algorithm"] for cell in kept] == ["BC"]
    main.main(command(path, *options, str(out)))
    main.main(command(path, *options, str(tmp_path / "whole")))
    again, whole = (
        json.loads((folder / "reproduction.json").read_text())["trained"]["cells"]
        for folder in (out, tmp_path / "whole")
    )
    assert [cell["scores"] for cell in again] == [cell["scores"] for cell in whole]
    assert len(again) == 2
