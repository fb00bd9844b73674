"""Killed and run again, the commands give what they give uninterrupted; and the test would tell."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch

PATH = Path(__file__).parents[2] / "benchmarks" / "kill_test.py"


@pytest.fixture(scope="module")
def kill_test(benchmark: Callable[[str], ModuleType]) -> ModuleType:
    return benchmark("kill_test")


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("command", "kills"),
    [("collect", 3), ("train", 3), ("train-workers", 2), ("board", 3), ("submit", 3)],
)
def test_killed_and_run_again(command: str, kills: int, tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    study = [sys.executable, str(PATH), "--kills", str(kills), "--commands", command]
    study += ["--results", str(results), "--seed", "3", "--work", str(tmp_path / "work")]
    done = subprocess.run(study, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (case,) = json.loads(results.read_text())["commands"].values()
    assert all(each["problems"] == [] for each in case["kills"])
    assert sum(each["running"] for each in case["kills"]) == kills


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_quickstart_killed_and_run_again(tmp_path: Path) -> None:
    test_killed_and_run_again("quickstart", 2, tmp_path)


def test_differences_are_found(kill_test: ModuleType, tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        (folder / "empty").mkdir(parents=True)
        (folder / "same").write_text("same")
    torch.save({"a": [torch.zeros(2), "text"]}, one / "checkpoint.pt")
    torch.save({"a": [torch.zeros(2), "text"]}, other / "checkpoint.pt")
    assert list(kill_test.differences(one, other)) == []
    torch.save({"a": [torch.ones(2), "text"]}, other / "checkpoint.pt")
    (other / "same").write_text("other")
    (other / ".record.json.half.tmp").touch()
    (other / "empty").rmdir()
    assert list(kill_test.differences(one, other)) == [
        ".record.json.half.tmp: is too much",
        "empty: is missing",
        "checkpoint.pt: differs",
        "same: differs",
    ]
    (other / "checkpoint.pt").write_bytes(b"half")
    assert "checkpoint.pt: differs" in kill_test.differences(one, other)


def test_moments_depend_on_the_kill_alone(kill_test: ModuleType) -> None:
    first = [kill_test.moment(0, "train", number) for number in range(3)]
    assert first == [kill_test.moment(0, "train", number) for number in range(3)]
    assert len({*first, kill_test.moment(1, "train", 0), kill_test.moment(0, "board", 0)}) == 5
    assert all(0 <= each < 1 for each in first)
