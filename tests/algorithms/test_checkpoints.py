"""Checkpoints: whatever the damage, one clear error; nothing in a file is executed."""

from __future__ import annotations

import pickle
import random

import pytest
import torch

from datumrl.algorithms import checkpoints
from datumrl.datasets.errors import DatumrlError

CPU = torch.device("cpu")


def content():
    return {
        "identity": {"algorithm": "td3_bc", "configuration": {"alpha": 2.5}},
        "step": 3,
        "stack": {"networks": {"actor": [torch.arange(6.0).reshape(2, 3)]}},
        "task": {"observation_dim": 1},
        "statistics": {"mean": torch.zeros(1)},
        "evaluations": {0: [{"step": 3, "returns": [1.5], "lengths": [2]}]},
        "failures": {1: "diverged"},
    }


def test_what_is_loaded_is_what_was_saved(tmp_path):
    checkpoints.save(tmp_path / "c.pt", content())
    loaded = checkpoints.load(tmp_path / "c.pt", CPU)
    assert loaded.pop("format") == checkpoints.FORMAT
    assert torch.equal(
        loaded["stack"]["networks"].pop("actor")[0], content()["stack"]["networks"]["actor"][0]
    )
    assert loaded["evaluations"] == content()["evaluations"]
    assert loaded["failures"] == {1: "diverged"}
    assert [path.name for path in tmp_path.iterdir()] == ["c.pt"]


def test_without_what_was_added_later_it_is_the_same_checkpoint(tmp_path):
    spans = [[0, {"torch": "2.13.0"}]]
    checkpoints.save(tmp_path / "c.pt", {**content(), "software": spans})
    assert checkpoints.load(tmp_path / "c.pt", CPU)["software"] == spans
    checkpoints.save(tmp_path / "c.pt", content())
    assert "software" not in checkpoints.load(tmp_path / "c.pt", CPU)
    torch.save({"format": checkpoints.FORMAT, **content(), "more": 1}, tmp_path / "c.pt")
    with pytest.raises(DatumrlError, match="train again with --restart"):
        checkpoints.load(tmp_path / "c.pt", CPU)


def test_cut_anywhere_it_is_one_clear_error(tmp_path):
    path = tmp_path / "c.pt"
    checkpoints.save(path, content())
    whole = path.read_bytes()
    choose = random.Random(0)
    for size in (0, 1, 4, len(whole) - 1, *(choose.randrange(len(whole)) for _ in range(20))):
        path.write_bytes(whole[:size])
        with pytest.raises(DatumrlError, match=r"c\.pt"):
            checkpoints.load(path, CPU)


class Trap:
    def __reduce__(self):
        return (exec, ("raise SystemExit('executed')",))


def test_nothing_in_a_file_is_executed(tmp_path):
    path = tmp_path / "c.pt"
    for write in (torch.save, lambda trap, to: to.write_bytes(pickle.dumps(trap))):
        write(Trap(), path)
        with pytest.raises(DatumrlError, match="cannot be read"):
            checkpoints.load(path, CPU)


@pytest.mark.parametrize("other", [[1, 2], {"weights": 1}, {"format": "datumrl-checkpoint/9"}])
def test_another_kind_of_file_is_refused(tmp_path, other):
    torch.save(other, tmp_path / "c.pt")
    with pytest.raises(DatumrlError, match="is no datumrl-checkpoint/1"):
        checkpoints.load(tmp_path / "c.pt", CPU)


def test_a_missing_file_names_the_remedy(tmp_path):
    with pytest.raises(DatumrlError, match="give the folder of a run"):
        checkpoints.load(tmp_path / "c.pt", CPU)


def test_a_failed_write_leaves_the_former_checkpoint(tmp_path):
    path = tmp_path / "c.pt"
    checkpoints.save(path, content())
    before = path.read_bytes()
    with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
        checkpoints.save(path, {**content(), "step": lambda: None})
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == ["c.pt"]


def test_every_differing_field_is_named(tmp_path):
    there = {"a": 1, "deep": {"x": [1, 2], "y": "same"}, "only_there": True}
    here = {"a": 1, "deep": {"x": [1, 3], "y": "same"}, "only_here": "z"}
    checkpoints.require_same(tmp_path, there, dict(there))
    with pytest.raises(DatumrlError) as refused:
        checkpoints.require_same(tmp_path / "c.pt", there, here)
    message = str(refused.value)
    assert "deep.x is [1, 2] there and [1, 3] here" in message
    assert "only_there is True there and missing here" in message
    assert "only_here is missing there and 'z' here" in message
    assert "deep.y" not in message


def test_runs_are_found_by_links_too(tmp_path):
    run, runs = tmp_path / "scratch" / "run", tmp_path / "runs"
    checkpoints.save(run / checkpoints.FILE, content())
    runs.mkdir()
    (runs / "link").symlink_to(run)
    (run / "up").symlink_to(runs)
    assert checkpoints.require_runs(runs) == [runs / "link"]
    assert checkpoints.runs_below([runs, tmp_path]) == [run]
