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


def test_what_is_left_out_is_told_by_the_command_and_on_the_page(
    theirs: Path, capsys: pytest.CaptureFixture[str], make: Any
) -> None:
    broken = make("your-bc", level=600)
    broken.runs[0]["evaluations"][1]["returns"][0] = 1e14  # more than a table can hold
    broken.write(theirs)
    (theirs / "<b>stray").write_text("x")
    assert main(["board", "--no-published", "--submissions", "theirs"]) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "left out: your-bc/r1" in told
    page = Path("board/index.html").read_text(encoding="utf-8")
    assert "Submissions left out" in page
    assert "<li>your-bc/r1" in page
    assert "&lt;b&gt;stray" in page
    assert "<b>stray" not in page
