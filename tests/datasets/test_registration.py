"""What is registered keeps its meaning: it is replaced, moved, damaged and used by commands."""

from __future__ import annotations

import os
import re
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from robot_files import COLUMNS, ROWS, columns, save

import datumrl
from datumrl.datasets import (
    catalogue,
    identity,
    places,
    prepared,
    registration,
    registration_examples,
    registration_schema,
    user_catalogue,
)
from datumrl.datasets.errors import DatumrlError
from datumrl.scripts.main import main


def test_an_id_keeps_its_meaning(
    describe: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "data.csv", columns())
    file = describe("csv", "data.csv")
    assert main(["register", str(file)]) == 0
    assert "registered: 12 transitions" in capsys.readouterr().out
    assert main(["register", str(file)]) == 0
    assert "registered already" in capsys.readouterr().out
    first = datumrl.load("user/robot-v1")
    describe("csv", "data.csv", columns={**COLUMNS, "observations": ["s1", "s0"]})
    assert main(["register", str(file)]) == 2
    told = capsys.readouterr().err
    assert "columns was" in told
    assert "--replace" in told
    np.testing.assert_array_equal(datumrl.load("user/robot-v1").observations, first.observations)
    assert main(["register", str(file), "--replace"]) == 0
    assert "replaced: columns was" in capsys.readouterr().out
    second = datumrl.load("user/robot-v1")
    np.testing.assert_array_equal(second.observations[:, 0], first.observations[:, 1])
    content = columns()
    save(tmp_path / "data.csv", {**content, "reward": content["reward"] + 1})
    with pytest.raises(DatumrlError, match="expected sha256"):
        datumrl.load("user/robot-v1")
    assert main(["register", str(file)]) == 2
    assert "its data had sha256" in capsys.readouterr().err


def test_the_catalogue_and_other_commands_know_it(
    describe: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "data.parquet", columns())
    reference = {"minimum": 0.0, "maximum": 2.5, "origin": "a test"}
    environment = {"id": "Pendulum-v1", "time_limit": 200, "kwargs": {"g": 9.0}}
    registration.register(
        describe(
            "parquet", "data.parquet", reference=reference, environment=environment, licence="MIT"
        )
    )
    record = catalogue.find("user/robot-v1")
    assert record.environment.kwargs == (("g", 9.0),)
    assert (record.reference.maximum, record.licence) == (2.5, "MIT")
    assert main(["datasets", "--collection", "user"]) == 0
    assert "user/robot-v1" in capsys.readouterr().out
    assert main(["datasets", "user/robot-v1"]) == 0
    assert main(["fetch", "user/robot-v1"]) == 2
    assert main(["stats", "user/robot-v1"]) == 0
    assert main(["stats", "user/robot-v1", "--audit"]) in (0, 1)
    out = tmp_path / "out.hdf5"
    assert main(["convert", "user/robot-v1", "--to", "d4rl", "--out", str(out)]) == 0
    assert main(["convert", "user/robot-v1", "--to", "minari", "--out", str(tmp_path / "m")]) == 0


@pytest.mark.parametrize("format_name", registration_schema.FORMATS)
def test_examples_are_descriptions(format_name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["register", "--example", format_name]) == 0
    text = capsys.readouterr().out
    assert text == registration_examples.example(format_name)
    registration_schema.parse(text, Path("example.toml"))
    # With every comment that is a field turned into one, it still says what may be said.
    whole = "\n".join(
        line.removeprefix("# ")
        for line in text.splitlines()
        if " = " in line or line.removeprefix("# ").startswith("[")
        if "rule" not in line and "values" not in line and "length" not in line
    )
    whole = "\n".join(line for line in whole.splitlines() if not line.startswith("column ="))
    content = tomllib.loads(whole)
    assert {"environment", "reference"} <= set(content)


def test_training_without_an_environment(describe: Callable[..., Path], tmp_path: Path) -> None:
    pytest.importorskip("torch")
    save(tmp_path / "data.npz", columns())
    registration.register(describe("npz", "data.npz"))
    records = datumrl.train("bc", "user/robot-v1", seeds=[0, 1], steps=3, device="cpu")
    for record in records:
        assert record.status == "complete"
        assert record.protocol.environment == "none"
        assert record.evaluations == ()
    folder = next((tmp_path / "home" / "runs").rglob("seed-000.json")).parent
    assert [*folder.glob("*.pt")]
    with pytest.raises(DatumrlError, match="has no environment"):
        datumrl.evaluate(lambda observations: observations[:, :1], "user/robot-v1", seed=0)


def test_finished_runs_without_an_environment_can_be_shown_and_are_not_compared(
    describe: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "data.npz", columns())
    registration.register(describe("npz", "data.npz"))
    options = "--seeds 2 --steps 2 --set hidden_dims=4 --device cpu --workers 1 --out run"
    assert main(["train", "bc", "iql", "--on", "user/robot-v1", *options.split()]) == 0
    told = capsys.readouterr().out
    assert told.count("complete, not evaluated") == 4
    assert "failed" not in told
    assert main(["compare", "run"]) == 2
    assert "holds no evaluations" in capsys.readouterr().err
    sequential = ["--sequential", "bc", "iql", "--on", "user/robot-v1"]
    assert main(["compare", *sequential]) == 2
    assert "user/robot-v1 has no environment" in capsys.readouterr().err
    board = ["board", "run", "--out", "page", "--no-published"]
    assert main(board) == 2
    assert "no run records and no published scores" in capsys.readouterr().err


@pytest.mark.parametrize("path", ["logs/*.csv", "logs/a.csv"])
def test_files_that_are_gone_are_named(
    path: str, describe: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "logs").mkdir()
    file = save(tmp_path / "logs" / "a.csv", columns())
    registration.register(describe("csv", path))
    file.rename(tmp_path / "elsewhere.csv")
    with pytest.raises(DatumrlError, match=f"^{re.escape(str(file))} is gone; restore"):
        datumrl.load("user/robot-v1")


def test_names_beyond_json_escapes_are_kept_as_they_are(
    describe: Callable[..., Path], tmp_path: Path
) -> None:
    folder = tmp_path / '\U0001f916 \x7f \\ " é\n'
    folder.mkdir()
    save(folder / "data.npz", columns())
    file = describe("npz", "data.npz").rename(folder / "robot.toml")
    done = registration.register(file)
    assert registration.description("user/robot-v1")["registered"]["members"] == [
        str(folder / "data.npz")
    ]
    assert len(datumrl.load("user/robot-v1")) == ROWS
    assert registration.register(file).unchanged
    assert done.record.id in {record.id for record in user_catalogue.local_records({})}


@pytest.mark.parametrize(
    "damage", ["id = 'user/x", "", 'id = "user/robot-v1"\n[registered]\nsha256 = 3\n']
)
def test_an_unreadable_description_can_be_replaced(
    damage: str, describe: Callable[..., Path], tmp_path: Path
) -> None:
    save(tmp_path / "data.npz", columns())
    file = describe("npz", "data.npz")
    target = registration.register(file).path
    target.write_text(damage)
    with pytest.raises(DatumrlError, match=r"cannot be read.*or --replace it"):
        registration.register(file)
    with pytest.raises(DatumrlError, match=re.escape(str(target))):
        datumrl.load("user/robot-v1")
    assert len(registration.register(file, replace=True).changes) == 1
    assert len(datumrl.load("user/robot-v1")) == ROWS


def test_columns_of_a_path_are_of_the_description_there_is(
    describe: Callable[..., Path], tmp_path: Path
) -> None:
    save(tmp_path / "data.npz", columns())
    copy = shutil.copy(tmp_path / "data.npz", tmp_path / "copy.npz")
    registration.register(describe("npz", "data.npz"))
    first = datumrl.load("user/robot-v1", path=copy)
    swapped = {**COLUMNS, "observations": ["s1", "s0"]}
    file = describe("npz", "data.npz", columns=swapped)
    registration.register(file, replace=True)
    second = datumrl.load("user/robot-v1", path=copy)
    np.testing.assert_array_equal(second.observations, first.observations[:, ::-1])
    registration.register(describe("npz", "data.npz", columns=swapped, licence="MIT"), replace=True)
    calls: list[int] = []
    datumrl.load("user/robot-v1", path=copy, progress=lambda *_: calls.append(1))
    assert not calls  # a licence is not what columns depend on
    content = columns()
    save(tmp_path / "data.npz", {**content, "reward": content["reward"] + 1})
    registration.register(describe("npz", "data.npz", columns=swapped), replace=True)
    with pytest.raises(DatumrlError, match="expected sha256"):
        datumrl.load("user/robot-v1", path=copy)


def test_what_is_registered_survives_a_refused_replacement(
    describe: Callable[..., Path], tmp_path: Path
) -> None:
    """The links that stand for a pattern's files are those of the old description too."""
    (tmp_path / "logs").mkdir()
    save(tmp_path / "logs" / "a.npz", columns())
    done = registration.register(describe("npz", "logs/*.npz"))
    bad = {"rule": "fixed-length", "length": len(columns()["reward"]) - 1}
    with pytest.raises(DatumrlError):
        registration.register(describe("npz", "logs/*.npz", boundaries=bad), replace=True)
    assert len(datumrl.load("user/robot-v1")) == len(columns()["reward"])
    shutil.rmtree(next(done.path.parent.glob("*.files")))
    with pytest.raises(DatumrlError, match="is gone"):
        datumrl.load("user/robot-v1")
    assert registration.register(describe("npz", "logs/*.npz")).unchanged
    assert len(datumrl.load("user/robot-v1")) == len(columns()["reward"])


def test_columns_of_an_earlier_reader_are_made_anew(
    describe: Callable[..., Path], tmp_path: Path
) -> None:
    save(tmp_path / "data.npz", columns())
    done = registration.register(describe("npz", "data.npz"))
    folder = places.prepared_folder(done.record)
    known = prepared.provenance(folder)
    del known["source"]["meaning"]
    prepared.amend_provenance(folder, known)
    calls: list[int] = []
    for _ in range(2):
        datumrl.load("user/robot-v1", progress=lambda *_: calls.append(1))
    assert len(calls) == 1


def test_a_member_in_anothers_place_is_seen(describe: Callable[..., Path], tmp_path: Path) -> None:
    """Of the same sizes, and none newer than the newest was."""
    logs = tmp_path / "logs"
    logs.mkdir()
    for number, name in enumerate("ab"):
        content = columns()
        save(logs / f"{name}.npz", {**content, "reward": content["reward"] + number})
        os.utime(logs / f"{name}.npz", (1000 + number, 1000 + number))
    registration.register(describe("npz", "logs/*.npz"))
    datumrl.load("user/robot-v1")
    for source, target in (("a", "c"), ("b", "a"), ("c", "b")):
        (logs / f"{source}.npz").rename(logs / f"{target}.npz")
    with pytest.raises(DatumrlError, match="expected sha256"):
        datumrl.load("user/robot-v1")


def test_a_folder_known_by_its_newest_file_is_hashed_once(
    describe: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As columns made by an earlier datumrl have it."""
    save(tmp_path / "a.npz", columns())
    done = registration.register(describe("npz", "*.npz"))
    folder = places.prepared_folder(done.record)
    known = prepared.provenance(folder)
    del known["source"]["stamp"]
    known["source"]["mtime_ns"] = (tmp_path / "a.npz").stat().st_mtime_ns
    prepared.amend_provenance(folder, known)
    calls: list[int] = []
    datumrl.load("user/robot-v1", progress=lambda *_: calls.append(1))
    monkeypatch.setattr(identity, "sha256", None)  # a second hash would fail
    datumrl.load("user/robot-v1", progress=lambda *_: calls.append(1))
    assert not calls
