"""Which files the path of a description names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from robot_files import ROWS, columns, save

import datumrl
from datumrl.datasets import registration
from datumrl.datasets.errors import DatumrlError


def test_a_path_below_a_user_that_does_not_exist(describe: Callable[..., Path]) -> None:
    file = describe("csv", "~nobody-of-that-name/x.csv")
    with pytest.raises(DatumrlError, match=r"path = ~nobody-of-that-name/x\.csv: no such user"):
        registration.register(file)


@pytest.mark.parametrize("name", ["data[1].csv", "what?.csv", "all*.csv"])
def test_a_file_of_the_very_name_is_that_file(
    name: str, describe: Callable[..., Path], tmp_path: Path
) -> None:
    for other in ("data1.csv", "whats.csv", "all-of-them.csv"):
        (tmp_path / other).write_text("not meant")
    save(tmp_path / name, columns())
    file = describe("csv", name)
    assert registration.register(file).record.option["path"] == str(tmp_path / name)
    assert len(datumrl.load("user/robot-v1")) == ROWS
    assert registration.register(file).unchanged
    (tmp_path / name).rename(tmp_path / "elsewhere")
    with pytest.raises(DatumrlError, match="is gone"):  # and is not taken for a pattern now
        datumrl.load("user/robot-v1")


def test_a_pattern_in_a_folder_with_brackets(describe: Callable[..., Path], tmp_path: Path) -> None:
    folder = tmp_path / "runs [2]"
    folder.mkdir()
    for name in ("a", "b"):
        save(folder / f"{name}.csv", columns())
    file = describe("csv", "[ab].csv").rename(folder / "robot.toml")
    registration.register(file)
    assert len(datumrl.load("user/robot-v1")) == 2 * ROWS


def test_a_pattern_may_go_up_or_be_absolute(describe: Callable[..., Path], tmp_path: Path) -> None:
    save(tmp_path / "a.csv", columns())
    (tmp_path / "told").mkdir()
    for path in ("../?.csv", f"{tmp_path}/?.csv"):
        file = describe("csv", path).rename(tmp_path / "told" / "robot.toml")
        assert registration.register(file, replace=True).record.rows == ROWS


def test_a_registration_before_that_was_recorded_is_read_as_it_was(
    describe: Callable[..., Path], tmp_path: Path
) -> None:
    save(tmp_path / "a.csv", columns())
    done = registration.register(describe("csv", "?.csv"))
    old = done.path.read_text().replace("single = false\n", "")
    assert old != done.path.read_text()
    done.path.write_text(old)
    assert registration.record(done.path) == done.record
