"""The loop: records, exact resumption whatever the moment, divergence, refused input."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import datumrl
from datumrl.algorithms import checkpoints, finished_runs, run_lock, tasks, td3_bc, training
from datumrl.datasets import catalogue
from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import provenance
from datumrl.evaluation.records import read_record

DATASET = "local/inverted-pendulum-mixed-v1@2k"
SMALL = {"hidden_dims": (16, 16), "batch_size": 32}
CPU = torch.device("cpu")


def train(folder, **changes):
    given = {
        "seeds": (4, 1),
        "steps": 60,
        "settings": SMALL,
        "evaluate_every": 25,
        "episodes": 2,
        "device": "cpu",
        **changes,
    }
    return datumrl.train("td3_bc", DATASET, folder=folder, **given)


def content(folder):
    """Return everything a run left behind: records as text, the checkpoint."""
    records = {path.name: path.read_text() for path in folder.glob("seed-*.json")}
    return records, checkpoints.load(folder / checkpoints.FILE, CPU)


def assert_equal(one, other):
    """Compare nested containers, tensors bit for bit."""
    assert type(one) is type(other)
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_equal(one[key], other[key])
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for left, right in zip(one, other, strict=True):
            assert_equal(left, right)
    else:
        assert one == other


class Stopped(BaseException):
    """What an abrupt end looks like from inside."""


def test_records_hold_every_episode_of_every_point(home, tmp_path):
    reports = []
    records = train(tmp_path / "run", progress=reports.append)
    assert [record.seed for record in records] == [4, 1]
    for record in records:
        assert record.status == "complete"
        assert [point.step for point in record.evaluations] == [25, 50, 60]
        assert all(len(point.returns) == 2 for point in record.evaluations)
        assert record.configuration["hidden_dims"] == [16, 16]
        assert record.configuration["view"] == "correct"
        assert record.budget.steps == 60
        assert len(record.dataset_sha256) == 64
        assert read_record(tmp_path / "run" / f"seed-{record.seed:03d}.json") == record
    assert (reports[-1].step, reports[-1].evaluated) == (60, True)
    last = [np.mean(record.evaluations[-1].returns) for record in records]
    assert reports[-1].mean_return == pytest.approx(np.mean(last))
    assert {None, 4} <= {report.episodes for report in reports} <= {None, 1, 2, 3, 4}


def test_a_seed_has_the_same_record_alone_and_in_a_stack(home, tmp_path):
    together = train(tmp_path / "both")
    (alone,) = train(tmp_path / "alone", seeds=[1])
    assert alone == together[1]


def test_a_finished_run_is_not_done_again(home, tmp_path):
    records = train(tmp_path / "run")
    path = tmp_path / "run" / "seed-001.json"
    elsewhere = json.loads(path.read_text())
    elsewhere["hardware"] = "of another machine"
    path.write_text(json.dumps(elsewhere))
    before = {each: each.stat().st_mtime_ns for each in (tmp_path / "run").iterdir()}
    reports = []
    again = train(tmp_path / "run", progress=reports.append)
    assert again[0] == records[0]
    assert again[1] == read_record(path)
    assert again[1].hardware == "of another machine"  # where it was trained, not read
    assert {each: each.stat().st_mtime_ns for each in (tmp_path / "run").iterdir()} == before
    assert reports == []
    path.unlink()
    assert train(tmp_path / "run")[1].evaluations == records[1].evaluations
    assert path.exists()


@pytest.mark.parametrize("calls", [1, 2, 4, 5, 6])
def test_stopped_in_any_phase_it_goes_on_to_the_same_end(home, tmp_path, calls):
    train(tmp_path / "straight")
    left = calls

    def stop(_):
        nonlocal left
        left -= 1
        if left == 0:
            raise Stopped

    with pytest.raises(Stopped):
        train(tmp_path / "broken", progress=stop, checkpoint_seconds=0)
    running = read_record(tmp_path / "broken" / "seed-004.json")
    assert running.status == "running" or running.evaluations[-1].step == 60
    train(tmp_path / "broken")
    assert_equal(content(tmp_path / "straight"), content(tmp_path / "broken"))


@pytest.mark.slow
def test_killed_at_random_moments_it_goes_on_to_the_same_end(home, tmp_path):
    command = [
        *(sys.executable, "-m", "datumrl.scripts.main", "train", "td3_bc", "--on", DATASET),
        *("--seeds", "4,1", "--steps", "700", "--set", "hidden_dims=16,16", "batch_size=32"),
        *("--evaluate-every", "100", "--episodes", "1", "--checkpoint-seconds", "0.02"),
        *("--device", "cpu", "--threads", "1", "--out"),
    ]
    subprocess.run([*command, str(tmp_path / "straight")], check=True, capture_output=True)
    folder, moments, kills = tmp_path / "killed", random.Random(1), 0
    while True:
        process = subprocess.Popen(
            [*command, str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        if kills < 4:
            known = _stamp(folder)
            while _stamp(folder) == known and process.poll() is None:
                time.sleep(0.005)
            time.sleep(moments.uniform(0, 0.6))
            process.kill()
            kills += 1
        if process.wait() == 0:
            break
    assert kills >= 3
    assert not list(folder.glob(".*.tmp"))
    assert_equal(content(tmp_path / "straight"), content(folder))


def _stamp(folder: Path) -> int:
    path = folder / checkpoints.FILE
    return path.stat().st_mtime_ns if path.exists() else 0


def test_ctrl_c_saves_what_was_done(home, tmp_path):
    sent = []

    def interrupt(progress):
        if progress.evaluated and not sent:
            sent.append(progress.step)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", progress=interrupt)
    assert content(tmp_path / "run")[1]["step"] == sent[0] + 1
    train(tmp_path / "run")
    train(tmp_path / "straight")
    assert_equal(content(tmp_path / "straight"), content(tmp_path / "run"))


def test_training_in_another_thread_needs_no_signals(home, tmp_path):
    records = []
    thread = threading.Thread(target=lambda: records.extend(train(tmp_path / "run", steps=5)))
    thread.start()
    thread.join()
    assert [record.status for record in records] == ["complete", "complete"]


def test_a_diverged_seed_is_marked_failed_and_the_others_go_on(home, tmp_path):
    straight = train(tmp_path / "straight")
    with pytest.raises(Stopped):
        train(tmp_path / "run", progress=_stop_at(25))
    path = tmp_path / "run" / checkpoints.FILE
    saved = checkpoints.load(path, CPU)
    saved["stack"]["networks"]["critic"][0][1] = torch.inf
    saved.pop("format")
    checkpoints.save(path, saved)
    well, ill = train(tmp_path / "run")
    assert well == straight[0]
    assert (ill.seed, ill.status) == (1, "failed")
    assert "not finite" in ill.failure
    assert "step 50" in ill.failure
    assert ill.evaluations == straight[1].evaluations[:1]
    rerolled = training.reroll(tmp_path / "run", offset=0)
    assert [record.status for record in rerolled] == ["complete", "failed"]
    assert rerolled[0].evaluations[0] == well.evaluations[-1]


def saved(folder, **changes):
    """Change the content of a run's checkpoint; None takes a part out."""
    path = folder / checkpoints.FILE
    content = {**checkpoints.load(path, CPU), **changes}
    content.pop("format")
    checkpoints.save(path, {key: part for key, part in content.items() if part is not None})


def test_going_on_with_other_software_is_told_and_recorded(home, tmp_path, monkeypatch):
    with pytest.raises(Stopped):
        train(tmp_path / "run", progress=_stop_at(25))
    first = read_record(tmp_path / "run" / "seed-004.json").software
    monkeypatch.setattr(
        provenance, "software_versions", lambda *_: {**first, "torch": "9.0", "datumrl": "9.1"}
    )
    reports = []
    records = train(tmp_path / "run", progress=reports.append)
    (note,) = [note for report in reports for note in report.notes]
    assert note == (
        f"goes on from step 25 with other software: datumrl 9.1 (before: {first['datumrl']}), "
        f"torch 9.0 (before: {first['torch']})"
    )
    assert records[0].software["torch"] == f"9.0 ({first['torch']} until step 25)"
    assert records[0].software["numpy"] == first["numpy"]
    monkeypatch.undo()
    monkeypatch.setenv("DATUMRL_HOME", str(home))
    (tmp_path / "run" / "seed-001.json").unlink()
    assert train(tmp_path / "run")[1].software == records[1].software  # nothing left to train
    with pytest.raises(Stopped):
        train(tmp_path / "older", progress=_stop_at(25))
    saved(tmp_path / "older", software=None)
    reports.clear()
    assert train(tmp_path / "older", progress=reports.append)[0].software == first
    assert not any(report.notes for report in reports)
    older, straight = content(tmp_path / "older")[1], content(tmp_path / "run")[1]
    assert_equal(older["stack"], straight["stack"])
    assert older["software"] == [[0, first]]  # as its records tell
    with pytest.raises(Stopped):
        train(tmp_path / "bare", progress=_stop_at(25))
    saved(tmp_path / "bare", software=None)
    for path in (tmp_path / "bare").glob("seed-*.json"):
        path.unlink()
    told = train(tmp_path / "bare")[0].software["torch"]
    assert told == f"{first['torch']} (unknown until step 25)"


def test_a_revision_of_a_methods_code_is_another_run(home, tmp_path, monkeypatch):
    folder = training.plan("td3_bc", DATASET).folder()
    train(tmp_path / "run", steps=4)
    monkeypatch.setattr(td3_bc, "REVISION", 1, raising=False)
    assert training.plan("td3_bc", DATASET).folder() == folder
    assert train(tmp_path / "run", steps=4)[0].software.get("revision") is None
    monkeypatch.setattr(td3_bc, "REVISION", 2)
    assert training.plan("td3_bc", DATASET).folder() != folder
    with pytest.raises(DatumrlError, match="revision is missing there and '2' here"):
        train(tmp_path / "run", steps=4)
    (record, _) = train(tmp_path / "anew", steps=4)
    assert record.configuration["revision"] == "2"
    assert training.reroll(tmp_path / "anew", 1)[0].configuration["revision"] == "2"


def test_the_same_run_as_ever():
    """Folders and identities of runs that are kept; whoever changes them loses those runs."""
    job = training.plan("td3_bc", "local/hopper-medium-v1", (0, 1), 50_000, device="cpu")
    assert job.folder(Path()).name == "2ee5568e-seeds-0-1"
    dataset = catalogue.find(job.dataset)
    identity = finished_runs.identity(job, tasks.protocol(job, dataset), "0" * 64)
    assert set(identity) == {
        *("algorithm", "configuration", "dataset", "dataset_sha256", "view", "seeds"),
        *("evaluate_every", "protocol", "device"),
    }


def test_without_locks_of_the_file_system_training_goes_on(home, tmp_path, monkeypatch):
    def refuse(number):
        def flock(*_):
            raise OSError(number, os.strerror(number))

        return flock

    for number in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
        monkeypatch.setattr(run_lock.fcntl, "flock", refuse(number))
        assert train(tmp_path / str(number), steps=2)[0].status == "complete"
    monkeypatch.setattr(run_lock.fcntl, "flock", refuse(errno.EIO))
    with pytest.raises(OSError, match="Input/output"):
        train(tmp_path / "run", steps=2)


def test_reroll_of_an_unfinished_run_is_no_result(home, tmp_path):
    for step in (0, 25):
        with pytest.raises(Stopped):
            train(tmp_path / str(step), progress=_stop_at(step or None), checkpoint_seconds=1e9)
        records = training.reroll(tmp_path / str(step), 1)
        assert [each.status for each in records] == ["running", "running"]
        assert [each.evaluations[-1].step for each in records] == [step, step]
        assert [each.budget.steps for each in records] == [60, 60]


def _stop_at(step):
    def stop(progress):
        if step is None or (progress.evaluated and progress.step == step):
            raise Stopped

    return stop


def test_when_every_seed_diverges_training_ends(home, tmp_path):
    settings = {**SMALL, "actor_lr": 1e38, "critic_lr": 1e38}
    reports = []
    records = train(tmp_path / "run", settings=settings, steps=500, progress=reports.append)
    assert [record.status for record in records] == ["failed", "failed"]
    assert reports[-1].step == 25
    assert train(tmp_path / "run", settings=settings, steps=500) == records


def test_reroll_repeats_the_last_point_or_meets_other_episodes(home, tmp_path):
    records = train(tmp_path / "run")
    counted = []
    again = training.reroll(tmp_path / "run", offset=0, progress=lambda *done: counted.append(done))
    for record, other in zip(records, again, strict=True):
        assert other.evaluations == record.evaluations[-1:]
    assert counted[-1] == (4, 4)
    others = training.reroll(tmp_path / "run", episodes=5)
    assert [len(record.evaluations[0].returns) for record in others] == [5, 5]
    shorter = training.reroll(tmp_path / "run", offset=7, episodes=3)
    assert shorter[0].seed == 4
    assert all(record.protocol.episodes == 3 for record in shorter)


def test_a_checkpoint_of_another_run_names_what_differs(home, tmp_path):
    records = train(tmp_path / "run")
    with pytest.raises(DatumrlError) as refused:
        train(tmp_path / "run", settings={**SMALL, "alpha": 1.0}, seeds=(4, 2), episodes=3)
    message = str(refused.value)
    assert "configuration.alpha is 2.5 there and 1.0 here" in message
    assert "seeds is [4, 1] there and [4, 2] here" in message
    assert "protocol.episodes is 2 there and 3 here" in message
    assert "batch_size" not in message
    assert "--out" in message
    assert "--restart" in message
    assert train(tmp_path / "run") == records
    anew = train(tmp_path / "run", seeds=(4, 2), restart=True)
    assert anew[0] == records[0]
    assert sorted(path.name for path in (tmp_path / "run").glob("seed-*")) == [
        "seed-002.json",
        "seed-004.json",
    ]


def test_a_damaged_checkpoint_is_refused_and_left_alone(home, tmp_path):
    train(tmp_path / "run")
    path = tmp_path / "run" / checkpoints.FILE
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DatumrlError, match=r"checkpoint\.pt cannot be read.*--restart"):
        train(tmp_path / "run")
    assert len(path.read_bytes()) == 5000
    assert train(tmp_path / "run", restart=True)[0].status == "complete"


def test_records_without_a_checkpoint_are_not_overwritten(home, tmp_path):
    train(tmp_path / "run")
    (tmp_path / "run" / checkpoints.FILE).unlink()
    with pytest.raises(DatumrlError, match=r"records but no checkpoint\.pt"):
        train(tmp_path / "run")


@pytest.mark.slow
def test_two_processes_do_not_share_a_folder(home, tmp_path):
    refused = []

    def second(_):
        if not refused:
            with pytest.raises(DatumrlError, match="another process") as problem:
                train(tmp_path / "run")
            refused.append(problem)

    assert train(tmp_path / "run", progress=second)[0].status == "complete"
    assert refused


def test_the_default_folder_tells_jobs_apart(home):
    def folder(**changes):
        return training.plan("td3_bc", DATASET, **changes).folder()

    assert folder() == folder()
    assert folder().is_relative_to(home / "runs" / "td3_bc" / "local")
    assert folder().name.endswith("-seeds-0-4")
    assert folder(seeds=[3, 7, 9]).name.endswith("-seeds-3+7+9")
    others = [folder(steps=7), folder(episodes=3), folder(view="d4rl-legacy"), folder(seeds=[1])]
    assert len({folder(), *others}) == 5


def test_without_torch_the_extra_to_install_is_named(tmp_path):
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import datumrl\n"
        "try:\n"
        "    datumrl.train('td3_bc', 'local/inverted-pendulum-mixed-v1')\n"
        "except datumrl.DatumrlError as problem:\n"
        "    print(problem)\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install -e '.[train]'" in told.stdout


def test_records_are_strict_json(home, tmp_path):
    train(tmp_path / "run", steps=3)
    parsed = json.loads((tmp_path / "run" / "seed-004.json").read_text())
    assert parsed["schema_version"] == "datumrl-run/1"
    assert parsed["configuration"]["steps"] == 3


def test_records_say_how_rewards_were_transformed(home, tmp_path):
    given = {"seeds": [0], "steps": 4, "episodes": 1, "device": "cpu"}
    for algorithm, settings, expected in (
        ("iql", SMALL, "return-range"),
        ("iql", {**SMALL, "reward_transform": "minus-one"}, "minus-one"),
        ("bc", SMALL, "none"),
    ):
        folder = tmp_path / f"{algorithm}-{expected}"
        (record,) = datumrl.train(algorithm, DATASET, settings=settings, folder=folder, **given)
        (again,) = training.reroll(folder, 1, offset=0)
        assert record.budget.reward_transform == again.budget.reward_transform == expected
        assert again.evaluations[-1].returns == record.evaluations[-1].returns
