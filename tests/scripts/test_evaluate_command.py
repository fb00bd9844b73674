"""`datumrl evaluate` of a folder above several runs, as typed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import datumrl
from datumrl.algorithms import checkpoints, executor, training
from datumrl.datasets.errors import DatumrlError
from datumrl.scripts import evaluate, main

DATASET = "local/inverted-pendulum-random-v1@1k"
SEEDS = (2, 3, 10)


@pytest.fixture(scope="module", autouse=True)
def _home(pendulum_home: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATUMRL_HOME", str(pendulum_home))
        yield


def trained(algorithm: str, seeds: tuple[int, ...], out: Path, parts: int = 1, **fields) -> Path:
    """Train one job as `datumrl train --out` does, split as over so many cores."""
    settings = {"batch_size": 16, "hidden_dims": (8,), **fields}
    if algorithm == "dt":
        settings = {"warmup_steps": 0, "embedding_dim": 8, "layers": 1, "context_length": 2}
    job = training.plan(algorithm, DATASET, seeds, 2, settings, episodes=1, device="cpu")
    outcomes = executor.run(executor.place(job, parts, out))
    assert not any(each.error for each in outcomes)
    return out


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one job whose seeds are in two runs."""
    folder = trained("bc", SEEDS, tmp_path_factory.mktemp("job"), parts=2)
    assert sorted(each.name for each in folder.iterdir()) == ["seeds-2", "seeds-3+10"]
    return folder


def titles(text: str) -> list[str]:
    return [line for line in text.splitlines() if f" on {DATASET}" in line]


def test_all_seeds_of_a_split_job_are_told_together(job, capsys):
    assert main.main(["evaluate", str(job)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert titles("\n".join(lines)) == [f"bc on {DATASET}"]
    assert [line.split()[0] for line in lines[2:]] == ["2", "3", "10", "mean"]
    assert main.main(["evaluate", str(job), "--offset", "0", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    own = [json.loads(next(job.rglob(f"seed-{seed:03d}.json")).read_text()) for seed in SEEDS]
    assert [each["evaluations"] for each in again] == [each["evaluations"] for each in own]
    assert again[0].keys() == own[0].keys()


def test_all_seeds_of_a_split_job_are_exported_into_one_folder(job, tmp_path, capsys):
    assert main.main(["evaluate", str(job), "--export", str(tmp_path / "out"), "--json"]) == 0
    paths = sorted(map(Path, json.loads(capsys.readouterr().out)))
    expected = [f"policy-{seed:03d}.{kind}" for seed in SEEDS for kind in ("npz", "pt2")]
    assert paths == [tmp_path / "out" / name for name in expected]
    assert [datumrl.load_policy(path).origin["seed"] for path in paths[::2]] == list(SEEDS)
    arrays, _ = datumrl.export_policy(job, 10)
    assert arrays == job / "seeds-3+10" / "policy-010.npz"
    with pytest.raises(
        DatumrlError, match=r"seed 4 is in no run below .*; their seeds are 2, 3, 10"
    ):
        datumrl.export_policy(job, 4)


def test_methods_and_settings_below_a_folder_are_told_apart(tmp_path, capsys):
    trained("bc", (0,), tmp_path / "bc")
    trained("bc", (0, 1), tmp_path / "slower", actor_lr=1e-4)
    trained("td3_bc", (0,), tmp_path / "td3_bc")
    assert main.main(["evaluate", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert titles(told) == [
        f"bc (actor_lr=0.0003) on {DATASET}",
        f"bc (actor_lr=0.0001) on {DATASET}",
        f"td3_bc on {DATASET}",
    ]
    assert [line for line in told.splitlines() if "actor_lr=0.0001" in line and "(n=2)" in line]
    out = tmp_path / "out"
    assert main.main(["evaluate", str(tmp_path), "--export", str(out)]) == 0
    written = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.npz"))
    assert written == [
        "bc/policy-000.npz",
        "slower/policy-000.npz",
        "slower/policy-001.npz",
        "td3_bc/policy-000.npz",
    ]
    with pytest.raises(DatumrlError, match=r"seed 0 is in several runs below .*slower, .*; name"):
        datumrl.export_policy(tmp_path, 0)


def test_a_seed_that_two_runs_hold_is_in_no_mean_twice(job, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folders = [Path("[bold]", "one"), Path("[", "red]")]  # a path that ends markup: [/red]
    for folder in folders:
        shutil.copytree(job / "seeds-2", folder)
    assert main.main(["evaluate", "."]) == 0
    told = capsys.readouterr().out
    rows = sorted(f"bc (in {folder})" for folder in folders)
    assert sorted(titles(told)) == [f"{row} on {DATASET}" for row in rows]
    grid = [line.split("  ")[0].strip() for line in told.splitlines() if "(n=1)" in line]
    assert sorted(grid) == rows


def test_a_reason_with_brackets_is_shown_as_it_is(capsys):
    empty = {"step": None, "mean_return": None, "deviation": None, "score": None}
    row = {"algorithm": "bc", "dataset": DATASET, "seed": 0, "status": "no [/b] in [b]", **empty}
    evaluate.print_scores([row])
    assert "no [/b] in [b]" in capsys.readouterr().out


def rewrite(run: Path, step: int | None = None, **identity) -> None:
    """Change what a checkpoint says: how far it is, or of what run."""
    saved = checkpoints.load(run / checkpoints.FILE, torch.device("cpu"))
    saved["identity"] |= identity
    checkpoints.save(run / checkpoints.FILE, {**saved, "step": step or saved["step"]})


def fail(run: Path, seed: int) -> None:
    """Let a checkpoint say that a seed has failed."""
    saved = checkpoints.load(run / checkpoints.FILE, torch.device("cpu"))
    saved["failures"][seed] = "loss [1] is not finite"
    checkpoints.save(run / checkpoints.FILE, saved)


def means(text: str) -> list[str]:
    """Return the titles of the tables that end in a mean, and the steps it tells."""
    found, title = [], ""
    for line in text.splitlines():
        title = line if f" on {DATASET}" in line else title
        if line.split()[:1] == ["mean"] and line.split()[1].isdecimal():
            found.append(f"{title}: {line.split()[1]}")
    return found


def test_policies_of_other_steps_are_in_no_mean(job, tmp_path, capsys):
    folder = shutil.copytree(job, tmp_path / "job")
    rewrite(folder / "seeds-3+10", step=1)
    assert main.main(["evaluate", str(folder)]) == 0
    told = capsys.readouterr()
    unfinished = "bc (at step 1, unfinished)"
    assert titles(told.out) == [f"bc on {DATASET}", f"{unfinished} on {DATASET}"]
    assert means(told.out) == [f"{unfinished} on {DATASET}: 1"]
    assert [line for line in told.out.splitlines() if unfinished in line and "(n=2)" in line]
    assert "seeds-3+10: this run is unfinished" in told.err
    assert main.main(["evaluate", str(folder / "seeds-3+10")]) == 0
    assert titles(capsys.readouterr().out) == [f"{unfinished} on {DATASET}"]


def test_policies_of_other_data_are_in_no_mean(job, tmp_path, capsys):
    folder = shutil.copytree(job, tmp_path / "job")
    own = json.loads(next(job.rglob("seed-002.json")).read_text())["dataset_sha256"][:8]
    rewrite(folder / "seeds-3+10", dataset_sha256="0" * 64)
    assert main.main(["evaluate", str(folder)]) == 0
    told = capsys.readouterr().out
    other = f"bc (on data 00000000) on {DATASET}"
    assert titles(told) == [f"bc (on data {own}) on {DATASET}", other]
    assert means(told) == [f"{other}: 2"]


def test_policies_of_another_processor_s_data_are_in_no_mean(job, tmp_path, capsys):
    """Data of the same recipe, whose content is another; one that is not known is no other."""
    folder = shutil.copytree(job, tmp_path / "job")
    own = json.loads(next(job.rglob("seed-002.json")).read_text())["dataset_content_sha256"][:8]
    rewrite(folder / "seeds-3+10", dataset_content_sha256="0" * 64)
    assert main.main(["evaluate", str(folder)]) == 0
    other = f"bc (on data 00000000) on {DATASET}"
    assert titles(capsys.readouterr().out) == [f"bc (on data {own}) on {DATASET}", other]
    rewrite(folder / "seeds-3+10", dataset_content_sha256=None)
    assert main.main(["evaluate", str(folder)]) == 0
    assert titles(capsys.readouterr().out) == [f"bc on {DATASET}"]


def test_device_and_evaluations_set_nothing_apart(job, tmp_path, capsys):
    folder = shutil.copytree(job, tmp_path / "job")
    rewrite(folder / "seeds-3+10", device="cuda", evaluate_every=1)
    assert main.main(["evaluate", str(folder)]) == 0
    assert means(capsys.readouterr().out) == [f"bc on {DATASET}: 2"]


def test_a_run_that_cannot_be_rolled_out_does_not_stop_the_rest(job, tmp_path, capsys):
    shutil.copytree(job, tmp_path / "job")
    (tmp_path / "job" / "seeds-2" / "checkpoint.pt").write_bytes(b"cut off")
    assert main.main(["evaluate", str(tmp_path), "--json"]) == 2
    told = capsys.readouterr()
    assert [each["seed"] for each in json.loads(told.out)] == [3, 10]
    assert "seeds-2/checkpoint.pt cannot be read" in told.err
    assert main.main(["evaluate", str(tmp_path), "--offset", "-1", "--json"]) == 2
    told = capsys.readouterr()
    assert (told.out, told.err.count("must not be negative")) == ("", 1)


def test_what_cannot_be_exported_is_said_after_the_rest_is_written(job, tmp_path, capsys):
    runs, out = tmp_path / "runs", tmp_path / "out"
    shutil.copytree(job, runs / "bc")
    shutil.copytree(job / "seeds-2", runs / "cut")
    (runs / "cut" / "checkpoint.pt").write_bytes(b"cut off")
    trained("dt", (0,), runs / "dt")
    assert main.main(["evaluate", str(runs), "--export", str(out), "--json"]) == 2
    told = capsys.readouterr()
    written = [Path(path) for path in json.loads(told.out)]
    assert sorted(path.relative_to(out).as_posix() for path in written[::2]) == [
        "bc/seeds-2/policy-002.npz",
        "bc/seeds-3+10/policy-003.npz",
        "bc/seeds-3+10/policy-010.npz",
    ]
    assert sorted(path for path in out.rglob("*.*")) == sorted(written)
    assert "the policy of dt acts on what it remembers" in told.err
    assert "cut/checkpoint.pt cannot be read" in told.err


def test_exports_of_unfinished_runs_and_failed_seeds_are_told(job, tmp_path, capsys):
    folder = shutil.copytree(job, tmp_path / "job")
    rewrite(folder / "seeds-3+10", step=1)
    fail(folder / "seeds-3+10", 10)
    command = ["evaluate", str(folder), "--export", str(tmp_path / "out")]
    assert main.main(command) == 0
    told = capsys.readouterr()
    assert [Path(line).name for line in told.out.splitlines()] == [
        f"policy-{seed:03d}.{kind}" for seed in (2, 3) for kind in ("npz", "pt2")
    ]
    unfinished, failed = told.err.splitlines()
    assert "seeds-3+10: this run is unfinished; its policies are those of step 1 of 2" in unfinished
    assert "seeds-3+10: seed 10 has failed, and no policy is exported: loss [1]" in failed
    fail(folder / "seeds-2", 2)
    assert main.main(["evaluate", str(folder / "seeds-2"), *command[2:], "--json"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "seeds-2: all its seeds have failed, so there is no policy to export" in told.err


@pytest.mark.parametrize("options", [[], ["--export", "out"]])
def test_a_folder_without_runs_is_named(tmp_path, monkeypatch, capsys, options):
    monkeypatch.chdir(tmp_path)
    for folder, what in ((".", "no checkpoint.pt in it or below it"), ("no", "it does not exist")):
        assert main.main(["evaluate", folder, *options]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert f"{folder}: {what}; give the folder of a run of `datumrl train`" in line
