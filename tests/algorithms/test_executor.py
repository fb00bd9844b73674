"""Jobs over processes: the same records, each failing by itself; stacks split and found again."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from datumrl.algorithms import checkpoints, executor, training, worker
from datumrl.algorithms.training import Job
from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation.records import read_record

DATASET = "local/inverted-pendulum-mixed-v1@2k"
SMALL = {"hidden_dims": (16, 16), "batch_size": 32}


def plan(algorithm="td3_bc", seeds=(0, 1), steps=60, **changes):
    given = {"settings": SMALL, "evaluate_every": 25, "episodes": 2, "device": "cpu", **changes}
    return training.plan(algorithm, DATASET, seeds, steps, **given)


def test_a_job_is_json():
    job = plan("iql", seeds=(3, 1))
    assert Job.from_json(json.loads(json.dumps(job.as_json()))) == job


@pytest.mark.slow
def test_workers_give_the_same_records_as_this_process(home, tmp_path):
    jobs = [plan(), plan("bc", seeds=(2,))]
    reports = []
    there = executor.run(
        [executor.Placed(job, tmp_path / f"there-{at}") for at, job in enumerate(jobs)],
        workers=2,
        progress=lambda placed, progress: reports.append((placed.folder.name, progress)),
    )
    here = executor.run(
        [executor.Placed(job, tmp_path / f"here-{at}") for at, job in enumerate(jobs)]
    )
    for one, other in zip(there, here, strict=True):
        assert one.error is None
        assert one.records == other.records
        assert [record.status for record in one.records] == ["complete"] * len(one.records)
        for record in one.records:
            name = f"seed-{record.seed:03d}.json"
            mine, its = (each.placed.folder / name for each in (one, other))
            assert mine.read_bytes() == its.read_bytes()
    assert {name for name, _ in reports} == {"there-0", "there-1"}
    last = [progress for name, progress in reports if name == "there-0"][-1]
    assert (last.step, last.evaluated, set(last.losses)) == (60, True, {"actor", "critic"})


@pytest.mark.slow
def test_a_job_that_fails_or_dies_leaves_the_others_alone(home, tmp_path):
    executor.run([executor.Placed(plan(seeds=(7,)), tmp_path / "taken")])
    dying = dataclasses.replace(plan("bc"), evaluate_every=0)  # which `plan` would refuse
    placed = [
        executor.Placed(plan(), tmp_path / "taken"),
        executor.Placed(dying, tmp_path / "dying"),
        executor.Placed(plan("bc", seeds=(2,)), tmp_path / "fine"),
    ]
    refused, died, fine = executor.run(placed, workers=2)
    assert "is of another run: seeds is [7] there and [0, 1] here" in refused.error
    assert "bc on local/" in died.error
    assert "exit code 1" in died.error
    assert "ZeroDivisionError" in died.error
    assert fine.error is None
    assert fine.records[0].status == "complete"
    assert (refused.records, died.records) == ([], [])
    with pytest.raises(DatumrlError, match="another run"):
        executor.records_of([refused, fine], [2])


@pytest.mark.slow
def test_ctrl_c_stops_every_worker_and_all_go_on_later(home, tmp_path):
    jobs = [plan(seeds=(seed,), steps=2000, evaluate_every=1000) for seed in (0, 1)]
    placed = [executor.Placed(job, tmp_path / f"run-{job.seeds[0]}") for job in jobs]
    begun = set()

    def interrupt(which, progress):
        begun.add(which.folder)
        if len(begun) == 2 and progress.step < 2000:
            begun.add(None)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        executor.run(placed, workers=2, progress=interrupt)
    steps = [step_of(each.folder) for each in placed]
    assert all(0 < step < 2000 for step in steps)
    after = executor.run(placed)
    straight = executor.run(
        [executor.Placed(job, tmp_path / f"straight-{job.seeds[0]}") for job in jobs]
    )
    assert [each.records for each in after] == [each.records for each in straight]


def step_of(folder):
    return checkpoints.load(folder / checkpoints.FILE, torch.device("cpu"))["step"]


@pytest.mark.slow
def test_a_worker_whose_parent_is_gone_ends(home, tmp_path):
    job = plan(seeds=(0,), steps=10_000_000, evaluate_every=10_000_000)
    task = {"job": job.as_json(), "folder": str(tmp_path / "run"), "settings": {}}
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "datumrl.algorithms.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    process.stdin.write(json.dumps(task))
    process.stdin.close()
    assert "progress" in json.loads(process.stdout.readline())
    process.stdout.close()
    assert process.wait(timeout=30) != 0


@pytest.mark.slow
def test_a_killed_worker_is_an_unfinished_job(home, tmp_path):
    job = plan(seeds=(0,), steps=10_000_000, evaluate_every=10_000_000)

    def kill(place, progress):
        children = subprocess.check_output(["ps", "-o", "pid=", "--ppid", str(os.getpid())])
        for pid in children.split():
            if b"datumrl.algorithms.worker" in command_of(pid):
                os.kill(int(pid), signal.SIGKILL)

    found = worker.run_all([(job, tmp_path / "run")], 1, worker.Settings(), kill)
    assert "exit code -9" in found[0]
    assert read_record(tmp_path / "run" / "seed-000.json").status == "running"


def command_of(pid):
    try:
        return Path(f"/proc/{int(pid)}/cmdline").read_bytes()
    except OSError:
        return b""


def test_the_layout_follows_the_rule(monkeypatch):
    monkeypatch.setattr(executor, "usable_cores", lambda: 4)
    long = plan(seeds=range(10), steps=1_000_000)
    assert executor.choose([long]).workers == 4
    assert "4 single-threaded processes" in executor.choose([long]).reason
    assert executor.choose([plan(seeds=(1,), steps=1_000_000)]).workers == 0
    assert executor.choose([plan(seeds=range(3), steps=1_000_000)]).workers == 3
    assert executor.choose([plan(steps=100)]).workers == 0
    assert executor.choose([plan(steps=100)], workers=2).workers == 2
    assert executor.choose([long], workers=1).workers == 0
    assert executor.choose([dataclasses.replace(long, device="cuda")]).workers == 0
    with pytest.raises(DatumrlError, match="workers=0"):
        executor.choose([long], workers=0)


def test_seeds_are_split_evenly_and_in_order(home):
    placed = executor.place(plan(seeds=range(5)), parts=2)
    assert [each.job.seeds for each in placed] == [(0, 1), (2, 3, 4)]
    assert [each.folder.name.partition("-")[2] for each in placed] == ["seeds-0-1", "seeds-2-4"]
    assert len(executor.place(plan(seeds=range(2)), parts=5)) == 2


def test_what_was_trained_in_another_split_is_not_trained_again(home, tmp_path):
    run = executor.trainer(tmp_path / "runs", workers=1, steps=20, settings=SMALL, episodes=1,
                           evaluate_every=10, device="cpu")  # fmt: skip
    first = run("td3_bc", DATASET, [0, 1])
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.pt")}
    more = run("td3_bc", DATASET, [2, 1, 0])
    assert [record.seed for record in more] == [2, 1, 0]
    assert [more[2], more[1]] == first
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    assert len(list(tmp_path.rglob("*.pt"))) == 2
    other = executor.trainer(tmp_path / "runs", steps=21, settings=SMALL, episodes=1,
                             evaluate_every=10, device="cpu")  # fmt: skip
    assert other("td3_bc", DATASET, [1])[0].budget.steps == 21


def test_an_unfinished_split_goes_on_whatever_the_number_of_workers(home, tmp_path):
    wanted = plan(seeds=range(4))
    half = executor.place(wanted, parts=2, out=tmp_path)[:1]
    executor.run(half)
    (tmp_path / "seeds-0-1" / "seed-000.json").unlink()
    placed = executor.place(wanted, parts=3, out=tmp_path)
    assert [(each.job.seeds, each.finished) for each in placed] == [
        ((0, 1), False),
        ((2,), False),
        ((3,), False),
    ]
    records = executor.records_of(executor.run(placed), wanted.seeds)
    assert [record.seed for record in records] == [0, 1, 2, 3]
    assert all(each.finished for each in executor.place(wanted, out=tmp_path))


def test_rounded_products_are_recorded_and_another_run(home, tmp_path):
    if not torch.cpu._is_avx512_bf16_supported():
        with pytest.raises(DatumrlError, match="avx512_bf16"):
            plan(matmul_precision="medium")
        return
    exact, rounded = plan(), plan(matmul_precision="medium")
    assert exact.folder() != rounded.folder()
    placed = [executor.Placed(exact, tmp_path / "exact"), executor.Placed(rounded, tmp_path / "m")]
    one, other = executor.run(placed)
    actors = [
        checkpoints.load(each.folder / checkpoints.FILE, torch.device("cpu"))["stack"]["networks"]
        for each in placed
    ]
    assert not torch.equal(actors[0]["actor"][0], actors[1]["actor"][0])
    torch.testing.assert_close(actors[0]["actor"][0], actors[1]["actor"][0], rtol=0, atol=0.03)
    assert "matmul_precision" not in one.records[0].configuration
    assert other.records[0].configuration["matmul_precision"] == "medium"
    assert training.reroll(tmp_path / "m")[0].configuration == other.records[0].configuration
    with pytest.raises(DatumrlError, match="matmul_precision is 'medium' there and missing here"):
        training.train_job(exact, tmp_path / "m")
    with pytest.raises(DatumrlError, match="choose highest or medium"):
        plan(matmul_precision="high")


def test_a_damaged_run_blocks_no_other_seeds_and_a_restart_mends_it(home, tmp_path):
    quick = {"steps": 4, "evaluate_every": 4, "episodes": 1}
    for seeds in ((0, 1), (2,)):
        executor.run(executor.place(plan(seeds=seeds, **quick), root=tmp_path))
    path, other = sorted(tmp_path.rglob("*-seeds-*/checkpoint.pt"))
    path.write_bytes(b"damaged")
    assert [each.finished for each in executor.place(plan(seeds=(2,), **quick), root=tmp_path)] == [
        True
    ]
    whole = plan(seeds=(0, 1, 2), **quick)
    broken, fine = sorted(executor.place(whole, root=tmp_path), key=lambda each: each.finished)
    assert (broken.folder, fine.folder) == (path.parent, other.parent)
    refused, taken = executor.run([broken, fine])
    assert "cannot be read" in refused.error
    assert "--restart" in refused.error
    assert [record.seed for record in taken.records] == [2]
    anew = executor.place(plan(seeds=(0, 1), **quick), root=tmp_path, restart=True)
    assert [(each.folder, each.finished) for each in anew] == [(path.parent, False)]
    (mended,) = executor.run(anew, restart=True)
    assert [record.status for record in mended.records] == ["complete", "complete"]
    assert all(each.finished for each in executor.place(whole, root=tmp_path))


def test_a_restart_of_some_seeds_of_a_run_names_the_others(home, tmp_path):
    quick = {"steps": 4, "evaluate_every": 4, "episodes": 1}
    whole, some = plan(seeds=(0, 1, 2), **quick), plan(seeds=(1, 5), **quick)
    for place in ({"root": tmp_path}, {"out": tmp_path / "one stack"}):
        executor.run(executor.place(whole, **place))
        with pytest.raises(DatumrlError, match=r"seeds 0, 2 too.*--seeds 0,1,2,5, choose"):
            executor.place(some, restart=True, **place)
        (anew,) = executor.place(whole, restart=True, **place)
        assert not anew.finished
        more = executor.place(plan(seeds=(3, 4), **quick), root=tmp_path, restart=True)
        assert [each.job.seeds for each in more] == [(3, 4)]


def test_seeds_that_two_runs_have_are_counted_once_and_both_are_done_anew(home, tmp_path):
    quick = {"steps": 4, "evaluate_every": 4, "episodes": 1}
    for name, seeds in (("seeds-0-2", range(3)), ("seeds-2-3", (2, 3))):
        executor.run([executor.Placed(plan(seeds=seeds, **quick), tmp_path / name)])
    whole = plan(seeds=range(4), **quick)
    placed = executor.place(whole, out=tmp_path)
    assert [each.job.seeds for each in placed] == [(0, 1, 2), (2, 3)]
    for workers in (0, 2):  # finished ones are read here whatever the number
        outcomes = executor.run(placed, workers)
        found = [record.seed for outcome in outcomes for record in outcome.records]
        assert sorted(found) == [0, 1, 2, 3]
        assert [each.seed for each in executor.records_of(outcomes, [3, 2])] == [3, 2]
    anew = executor.place(whole, out=tmp_path, restart=True)
    assert [(each.job.seeds, each.wanted) for each in anew] == [
        ((0, 1, 2), (0, 1, 2)),
        ((2, 3), (3,)),
    ]
    found = [
        record.seed for outcome in executor.run(anew, restart=True) for record in outcome.records
    ]
    assert sorted(found) == [0, 1, 2, 3]


def test_a_job_that_breaks_off_here_leaves_the_others_alone(home, tmp_path):
    dying = dataclasses.replace(plan("bc"), evaluate_every=0)  # which `plan` would refuse
    quick = plan("bc", seeds=(2,), steps=4)
    died, fine = executor.run(
        [executor.Placed(dying, tmp_path / "dying"), executor.Placed(quick, tmp_path / "fine")]
    )
    assert died.error.startswith(f"bc on {DATASET}, seeds-0-1: it broke off before it was done")
    assert "ZeroDivisionError" in died.error.splitlines()[-1]
    assert (died.records, fine.error) == ([], None)
    assert [record.status for record in fine.records] == ["complete"]
