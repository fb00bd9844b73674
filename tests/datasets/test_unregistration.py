"""What is removed from the catalogue leaves nothing of ours and all of the user's."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from robot_files import columns, save

import datumrl
from datumrl.datasets import catalogue, registration
from datumrl.datasets.errors import DatumrlError
from datumrl.scripts.main import main

ROBOT = "user/robot-v1"


def below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


def test_what_was_made_goes_and_the_users_files_stay(
    describe: Callable[..., Path], tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = columns()
    for name in ("a", "b"):
        save(tmp_path / f"data-{name}.csv", content)
    save(tmp_path / "other.csv", content)
    assert main(["register", str(describe("csv", "other.csv", id="user/robot-v1.b"))]) == 0
    # A dataset may be named as what a `path=` of another is prepared under.
    odd = "user/from-0123456789ab.robot-v1"
    assert main(["register", str(describe("csv", "other.csv", id=odd))]) == 0
    stays = below(home)
    file = describe("csv", "data-*.csv")
    assert main(["register", str(file)]) == 0
    (links,) = (home / "registered").glob("robot-v1.*.files")
    datumrl.load(ROBOT, path=shutil.copytree(links, tmp_path / "copy"))
    mine = below(tmp_path) - {f"home/{name}" for name in below(home)}
    capsys.readouterr()
    assert main(["register", "--remove", ROBOT]) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"{ROBOT} is no longer registered; removed:\n")
    assert len(told.splitlines()) == 5  # columns, those of the path, links, description
    assert below(home) == stays
    assert below(tmp_path) - {f"home/{name}" for name in stays} == mine
    for left in ("user/robot-v1.b", odd):
        assert len(datumrl.load(left)) == 12
    with pytest.raises(DatumrlError, match="unknown dataset"):
        catalogue.find(ROBOT)
    assert main(["register", str(file)]) == 0  # and can be registered again
    assert len(datumrl.load(ROBOT)) == 24


def test_a_damaged_registration_can_be_removed(
    describe: Callable[..., Path], tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "data.csv", columns())
    assert main(["register", str(describe("csv", "data.csv"))]) == 0
    path = registration.registered_path(ROBOT)
    assert path is not None
    path.write_text("no TOML")
    capsys.readouterr()
    assert main(["register", "--remove", ROBOT, "--json"]) == 0
    removed = json.loads(capsys.readouterr().out)["removed"]
    assert removed == [str(home / "prepared" / ROBOT), str(path)]
    assert below(home) == set()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--remove", "user/robot-v2"],
            "user/robot-v2 is not registered; registered are user/robot",
        ),
        (["--remove", "robot-v1"], "robot-v1 is not registered; registered are user/robot-v1"),
        (["--remove", "user/../robot-v1"], "is not registered"),
        (["--remove", "local/hopper-medium-v1"], "local/hopper-medium-v1 is not registered"),
        (["--remove", ROBOT, "--replace"], "--replace: for a FILE.toml"),
        (["--remove", ROBOT, "--example", "csv"], "name one FILE.toml, or"),
    ],
)
def test_what_is_not_registered_is_not_removed(
    arguments: list[str],
    said: str,
    describe: Callable[..., Path],
    tmp_path: Path,
    home: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    save(tmp_path / "data.csv", columns())
    assert main(["register", str(describe("csv", "data.csv"))]) == 0
    before = below(home)
    assert main(["register", *arguments]) == 2
    assert said in capsys.readouterr().err
    assert below(home) == before


def test_where_nothing_is_registered_that_is_the_answer(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["register", "--remove", ROBOT]) == 2
    assert "user/robot-v1 is not registered; nothing is" in capsys.readouterr().err
