"""What `datumrl submit --verify` keeps, writes and removes, while others verify too."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datumrl.datasets import files
from datumrl.evaluation.records import Evaluation, RunRecord
from datumrl.leaderboard.submission_checks import check
from datumrl.leaderboard.submission_schema import DatasetResult
from datumrl.scripts import submit_verify
from datumrl.scripts.main import main

Runs = Callable[..., list[RunRecord]]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def records(result: DatasetResult, seeds: Sequence[int], salt: int) -> list[RunRecord]:
    first = result.records()[0].model_dump()
    found = []
    for seed in seeds:
        lengths = tuple(np.random.default_rng([salt, seed]).integers(350, 450, 10).tolist())
        point = Evaluation(step=1000, returns=tuple(map(float, lengths)), lengths=lengths)
        found.append(RunRecord(**{**first, "seed": seed, "evaluations": (point,)}))
    return found


def training(monkeypatch: pytest.MonkeyPatch, then: Callable[[], object]) -> None:
    """Let training write what it keeps, and let something happen before it ends."""

    def retrained(result: DatasetResult, seeds: Sequence[int], root: Path, _: object) -> Any:
        root.mkdir(parents=True, exist_ok=True)
        (root / "checkpoint").write_text("hours of work")
        then()
        return records(result, seeds, salt=1)

    monkeypatch.setattr(submit_verify, "_retrained", retrained)


def rolling(monkeypatch: pytest.MonkeyPatch) -> None:
    def rerolled(_: object, result: DatasetResult, seeds: Sequence[int], offset: int, *__: object):  # type: ignore[no-untyped-def]
        return records(result, seeds, salt=offset)

    monkeypatch.setattr(submit_verify, "_rerolled", rerolled)


def kept() -> list[str]:
    return [path.read_text() for path in (files.home() / "verification").rglob("checkpoint")]


def verified_by(path: Path) -> str:
    name: str = json.loads(path.read_text())["verified_by"]
    return name


def test_rolling_out_removes_no_interrupted_training(
    draft: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = str(draft.write(tmp_path / "subs"))
    again = ["submit", "--verify", folder, "--verified-by", "Trainer"]

    def interrupt() -> None:
        raise KeyboardInterrupt

    training(monkeypatch, interrupt)
    rolling(monkeypatch)
    assert main(again) == 130
    assert kept() == ["hours of work"]
    assert main(["submit", "runs", "--verify", folder, "--verified-by", "Roller"]) == 0
    assert kept() == ["hours of work"]
    training(monkeypatch, lambda: None)
    assert main(again) == 0
    assert kept() == []  # its evidence is there, so it is of no more use
    assert list((files.home() / "verification").iterdir()) == []


def test_evidence_that_came_meanwhile_is_not_replaced(
    draft: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = draft.write(tmp_path / "subs")
    other = ["submit", "runs", "--verify", str(folder), "--verified-by", "Roller"]
    training(monkeypatch, lambda: main(other))
    rolling(monkeypatch)
    assert main(["submit", "--verify", str(folder), "--verified-by", "Trainer"]) == 0
    assert verified_by(folder / "evidence.json") == "Roller"
    assert verified_by(folder / "evidence-2.json") == "Trainer"
    assert check(tmp_path / "subs").errors == ()


def test_evidence_is_new_beside_what_came_meanwhile(
    draft: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = draft.write(tmp_path / "subs")
    other = ["submit", "--verify", str(folder), "--verified-by", "Quicker"]

    def at_once() -> None:
        training(monkeypatch, lambda: None)
        assert main(other) == 0

    training(monkeypatch, at_once)
    assert main(["submit", "--verify", str(folder), "--verified-by", "Slower"]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "changed meanwhile" in told
    assert "seed 10 is in evidence.json already" in told
    assert verified_by(folder / "evidence.json") == "Quicker"
    assert not (folder / "evidence-2.json").exists()


@pytest.mark.parametrize(("seeds", "warned"), [(2, True), (20, False)])
def test_too_few_seeds_are_told_before_training(
    draft: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    seeds: int, warned: bool,
) -> None:  # fmt: skip
    for run in draft.runs:  # from 400 to 580: a wide spread of seeds
        for point in run["evaluations"]:
            point["lengths"] = [length + 20 * run["seed"] for length in point["lengths"]]
            point["returns"] = [float(length) for length in point["lengths"]]
    folder = draft.write(tmp_path / "subs")
    before: list[str] = []
    training(monkeypatch, lambda: before.append(" ".join(capsys.readouterr().err.split())))
    main(["submit", "--verify", str(folder), "--verified-by", "One", "--seeds", str(seeds)])
    told = f"--seeds {seeds}, --sample 3: even seeds that are as the submitted ones would show no"
    assert (told in before[0]) == warned
