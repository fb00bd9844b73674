"""Submissions on the board: each folder once, each name one method's."""

import json
from pathlib import Path
from typing import Any

import pytest

from datumrl.leaderboard import submission_schema
from datumrl.scripts import board
from datumrl.scripts.main import main


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Any) -> Path:
    """Return the folder that stands for the one of datumrl, with a submission."""
    folder = tmp_path / "theirs"
    make("my-bc").write(folder)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(submission_schema, "FOLDER", folder)
    return folder


def test_the_folder_that_comes_along_may_be_named_too(
    theirs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (report,) = board._checked([Path("theirs")], published=True)
    assert [one.title for one in report.submissions] == ["my-bc/r1"]
    command = ["board", "--no-published", "--submissions", "theirs", "./theirs/../theirs", "--json"]
    assert main(command) == 0
    rows = [row for table in json.loads(capsys.readouterr().out)["tables"] for row in table["rows"]]
    assert [row["algorithm"] for row in rows if row["tier"] == "submitted"] == ["MY-BC"]


@pytest.mark.parametrize(("folder", "name"), [("their-bc", "my-\uff22c"), ("my-bc", "Another")])
def test_one_name_in_two_folders_is_refused(
    theirs: Path, capsys: pytest.CaptureFixture[str], make: Any, folder: str, name: str
) -> None:
    draft = make(folder, level=600)
    draft.method["name"] = name
    draft.write(theirs.parent / "other")
    command = ["board", "--no-published", "--submissions", "theirs", "other"]
    assert main(command) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert f"my-bc/r1 in theirs and {folder}/r1 in other would be shown as one method" in told
    assert not (theirs.parent / "board").exists()
