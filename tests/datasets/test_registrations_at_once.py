"""Registrations that are killed half-way, or that meet another of the same name."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest
from robot_files import COLUMNS, ROWS, columns, save

import datumrl
from datumrl.datasets import registration
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.unregistration import unregister

ROBOT = "user/robot-v1"
KILLED = """
import os, sys
from pathlib import Path
from datumrl.datasets import files, registration

work = files.{function}

def die(*arguments):
    if arguments[0].name in ("robot-v1", "robot-v1.toml"):
        os._exit(9)
    return work(*arguments)

files.{function} = die
registration.register(Path(sys.argv[1]), replace=True)
"""


def kill(file: Path, function: str) -> None:
    """Register, and be killed where a function of ``files`` is about to do its work."""
    script = [sys.executable, "-c", KILLED.format(function=function), str(file)]
    assert subprocess.run(script, check=False).returncode == 9


def left(home: Path) -> list[str]:
    """The names of all that lies there, but for what holds it."""
    return sorted(
        path.name
        for folder in (home / "prepared" / "user", home / "registered")
        if folder.is_dir()
        for path in folder.iterdir()
    )


def test_what_a_killed_first_registration_left_is_removed(
    describe: Callable[..., Path], tmp_path: Path, home: Path
) -> None:
    save(tmp_path / "data.csv", columns())
    kill(describe("csv", "*.csv"), "replacing")
    (temporary,) = (home / "prepared" / "user").glob(".robot-v1.*.tmp")
    assert (temporary / "robot-v1" / "actions.npy").is_file()
    (removed,) = unregister(ROBOT)
    assert removed.name.endswith(".files")
    assert left(home) == []
    with pytest.raises(DatumrlError, match="not registered; nothing is"):
        unregister(ROBOT)


def test_a_registration_killed_while_replacing_is_gone_on_with(
    describe: Callable[..., Path], tmp_path: Path, home: Path
) -> None:
    save(tmp_path / "data.csv", columns())
    registration.register(describe("csv", "data.csv"))
    first = datumrl.load(ROBOT).observations.copy()
    file = describe("csv", "data.csv", columns={**COLUMNS, "observations": ["s1", "s0"]})
    kill(file, "put_in_place")  # between its description and its columns
    assert (datumrl.load(ROBOT).observations == first[:, ::-1]).all()
    assert registration.register(file).unchanged
    assert left(home) == ["robot-v1", "robot-v1.toml"]
    assert len(unregister(ROBOT)) == 2
    assert left(home) == []


@pytest.mark.parametrize("second", ["register", "remove"])
def test_a_second_process_waits(
    second: str, describe: Callable[..., Path], tmp_path: Path, home: Path
) -> None:
    save(tmp_path / "data.csv", columns())
    file = describe("csv", "data.csv")
    met = Event()
    others: list[Future] = []

    with ThreadPoolExecutor(1) as pool:

        def begin(*_: int) -> None:
            if others:
                return
            if second == "register":
                others.append(pool.submit(registration.register, file, waiting=met.set))
                assert met.wait(60)
            else:
                others.append(pool.submit(unregister, ROBOT))

        done = registration.register(file, progress=begin)
        result = others[0].result()
    assert done.record.rows == ROWS
    if second == "register":
        assert result.unchanged
        assert left(home) == ["robot-v1", "robot-v1.toml"]
    else:
        assert [path.name for path in result] == ["robot-v1", "robot-v1.toml"]
        assert left(home) == []
