"""TensorBoard's and Weights & Biases' own files hold every step once, resumed or not."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

import datumrl
from datumrl.algorithms import executor, trackers
from datumrl.algorithms.training import Progress
from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation.records import read_record

DATASET = "local/inverted-pendulum-mixed-v1@2k"


def train(folder, **changes):
    given = {
        "seeds": (4, 1),
        "steps": 60,
        "evaluate_every": 20,
        "episodes": 2,
        "device": "cpu",
        "hidden_dims": (8, 8),
        "batch_size": 16,
        **changes,
    }
    return datumrl.train("td3_bc", DATASET, folder=folder, **given)


def tensorboard_scalars(folder):
    """Return tag -> [(step, value)] of all event files of a folder, raw: nothing is purged."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
    from tensorboard.util import tensor_util

    found: dict[str, list] = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                number = float(tensor_util.make_ndarray(value.tensor))
                found.setdefault(value.tag, []).append((event.step, number))
    return found


def wandb_records(path):
    """Return the records of an offline run's file: LevelDB's log format of protocol buffers."""
    from wandb.proto import wandb_internal_pb2

    content, at, whole, pieces = path.read_bytes(), 7, [], b""
    assert content[:4] == b":W&B"
    while at + 7 <= len(content):
        block_left = 32768 - at % 32768
        if block_left < 7:
            at += block_left
            continue
        _, length, kind = struct.unpack("<IHB", content[at : at + 7])
        pieces += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or last
            whole.append(wandb_internal_pb2.Record.FromString(pieces))
            pieces = b""
    return whole


def wandb_scalars(folder):
    """Return run id -> tag -> [(step, value)] of all offline runs under a folder."""
    found: dict[str, dict[str, list]] = {}
    for path in folder.glob("wandb/offline-run-*/run-*.wandb"):
        tags = found.setdefault(path.stem.removeprefix("run-"), {})
        for record in finished_wandb_records(path):
            if record.WhichOneof("record_type") != "history":
                continue
            items = {
                item.key or "/".join(item.nested_key): json.loads(item.value_json)
                for item in record.history.item
            }
            step = items.get("_step", record.history.step.num)
            for name, value in items.items():
                if not name.startswith("_"):
                    tags.setdefault(name, []).append((step, value))
    return {run: {tag: sorted(tags[tag]) for tag in tags} for run, tags in found.items()}


def finished_wandb_records(path):
    """Return the records of a file once its writer, a process of its own, is done with it."""
    for _ in range(100):
        records = wandb_records(path)
        if records and records[-1].WhichOneof("record_type") == "exit":
            break
        time.sleep(0.1)
    return records


def expected(folder, seed):
    points = read_record(folder / f"seed-{seed:03d}.json").evaluations
    return [(point.step, sum(point.returns) / len(point.returns)) for point in points]


def assert_scalars(scalars, folder, seed, exact):
    returns = scalars["evaluation/return"]
    assert [step for step, _ in returns] == [20, 40, 60]
    wanted = [value for _, value in expected(folder, seed)]
    assert [value for _, value in returns] == pytest.approx(wanted, rel=0 if exact else 1e-6)
    assert [step for step, _ in scalars["evaluation/score"]] == [20, 40, 60]
    for tag, points in scalars.items():
        steps = [step for step, _ in points]
        assert steps == sorted(set(steps)), tag
    assert {step for step, _ in scalars["loss/critic"]} >= {20, 40, 60}
    assert {"loss/actor", "evaluation/length"} <= scalars.keys()


class Interrupted(Exception):
    pass


def interrupt_at(step):
    def progress(now):
        if now.step >= step and now.evaluated:
            raise Interrupted

    return progress


def test_tensorboard_of_a_resumed_run_has_every_step_once(home, tmp_path):
    with pytest.raises(Interrupted):
        train(tmp_path, tensorboard=True, progress=interrupt_at(40))
    train(tmp_path, tensorboard=True)
    train(tmp_path, tensorboard=True)  # nothing is left to do
    for seed in (4, 1):
        scalars = tensorboard_scalars(tmp_path / "tensorboard" / f"seed-{seed:03d}")
        assert_scalars(scalars, tmp_path, seed, exact=False)


def test_seeds_have_losses_of_their_own(home, tmp_path):
    train(tmp_path / "run", tensorboard=tmp_path / "board")
    folders = sorted((tmp_path / "board").rglob("seed-*"))
    assert [folder.name for folder in folders] == ["seed-001", "seed-004"]
    assert "td3_bc" in folders[0].parts
    one, four = (tensorboard_scalars(folder)["loss/critic"] for folder in folders)
    assert one[-1][0] == four[-1][0] == 60
    assert one[-1][1] != four[-1][1]


def test_restart_begins_the_logs_anew(home, tmp_path):
    train(tmp_path, tensorboard=True)
    train(tmp_path, tensorboard=True, restart=True)
    scalars = tensorboard_scalars(tmp_path / "tensorboard" / "seed-004")
    assert_scalars(scalars, tmp_path, 4, exact=False)


def test_what_was_evaluated_but_not_logged_is_logged_after_resuming(home, tmp_path):
    with pytest.raises(Interrupted):
        train(tmp_path, progress=interrupt_at(40))  # without a tracker
    train(tmp_path, tensorboard=True)
    scalars = tensorboard_scalars(tmp_path / "tensorboard" / "seed-001")
    assert [step for step, _ in scalars["evaluation/return"]] == [20, 40, 60]


@pytest.mark.slow
def test_weights_and_biases_offline_holds_every_step_once(home, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    with pytest.raises(Interrupted):
        train(tmp_path, wandb="tried", progress=interrupt_at(40))
    train(tmp_path, wandb="tried")
    runs = wandb_scalars(tmp_path)
    state = json.loads((tmp_path / "trackers.json").read_text())["wandb tried"]
    assert runs.keys() == {state[seed]["id"] for seed in ("1", "4")}  # resumed, not new
    for seed in (4, 1):
        assert_scalars(runs[state[str(seed)]["id"]], tmp_path, seed, exact=True)


def test_a_tracker_that_is_not_installed_names_the_extra(tmp_path):
    code = (
        "import sys; sys.modules['tensorboard'] = None; sys.modules['wandb'] = None\n"
        "import datumrl\n"
        "from datumrl.algorithms.trackers import Trackers\n"
        "for wanted in ({'tensorboard': True}, {'wandb': 'x'}):\n"
        "    try: Trackers(**wanted)\n"
        "    except datumrl.DatumrlError as problem: print(problem)\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second = told.stdout.splitlines()
    assert first.startswith("--tensorboard: tensorboard is not installed")
    assert second.startswith("--wandb: wandb is not installed")
    assert "pip install -e '.[tracking]'" in first


def test_without_trackers_nothing_is_imported_or_written(tmp_path):
    with trackers.Trackers() as none:
        none.update(None, tmp_path, Progress(1, 2, {}, None))  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
    with pytest.raises(DatumrlError, match="unknown dataset"):
        datumrl.train("td3_bc", "local/nothing-of-this-name", wandb="x")


def test_the_folder_of_a_job_is_a_path():
    assert isinstance(trackers.Trackers(tensorboard="here")._tensorboard, Path)


def test_a_finished_run_is_logged_once_when_it_is_asked_for(home, tmp_path):
    train(tmp_path / "run")
    for _ in range(2):
        train(tmp_path / "run", tensorboard=tmp_path / "logs")
    (folder,) = (tmp_path / "logs").rglob("seed-004")
    assert [step for step, _ in tensorboard_scalars(folder)["evaluation/return"]] == [20, 40, 60]
    assert len(list(folder.glob("events.out.tfevents.*"))) == 1


def test_an_executors_trainer_tells_trackers(home, tmp_path):
    settings = {"hidden_dims": (8, 8), "batch_size": 16}
    run = executor.trainer(
        tmp_path, tensorboard=True, steps=10, episodes=1, settings=settings, evaluate_every=5
    )
    run("bc", DATASET, [3])
    (folder,) = tmp_path.rglob("seed-003")
    assert [step for step, _ in tensorboard_scalars(folder)["evaluation/score"]] == [5, 10]
