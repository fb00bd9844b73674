"""`datumrl fetch` as typed, with a mirror on this machine and no way to any other."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from datumrl.datasets import catalogue, places
from datumrl.scripts import main

_SPEC = importlib.util.spec_from_file_location(
    "http_server", Path(__file__).parents[1] / "datasets" / "http_server.py"
)
web = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(web)

ID = "d4rl/hopper-medium-v2"
FILE = "/gym_mujoco_v2/hopper_medium-v2.hdf5"


def body() -> bytes:
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        file["observations"] = np.random.default_rng(0).random((1000, 11), np.float32)
    return memory.getvalue()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DATUMRL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("D4RL_DATASET_DIR", str(tmp_path / "d4rl"))
    return tmp_path / "home"


@pytest.fixture
def mirror(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The only source that can be reached: all others go through a proxy that refuses."""
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("DATUMRL_MIRRORS", raising=False)
    server = web.Server()
    server.bodies["/d4rl" + FILE] = body()
    yield server
    server.close()


def path() -> Path:
    return places.raw_path(catalogue.find(ID))


def test_fetch_then_verify(mirror: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["fetch", ID, "--mirror", mirror.url + "/d4rl"]) == 0
    shown = capsys.readouterr().out
    assert f"downloaded from {mirror.url}/d4rl{FILE}" in shown
    assert str(path()) in shown
    assert "unconfirmed" in shown
    assert path().read_bytes() == body()
    assert main.main(["fetch", ID]) == 0
    assert "already here, unchanged" in capsys.readouterr().out
    assert len(mirror.requests) == 1


def test_json_is_the_record_of_the_file(mirror: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["fetch", ID, "--mirror", mirror.url + "/d4rl", "--json"]) == 0
    recorded = json.loads((path().parent / f"{path().name}.json").read_text())
    assert json.loads(capsys.readouterr().out) == recorded
    assert recorded["dataset"] == ID


def test_several_at_once_and_one_that_fails(
    mirror: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATUMRL_MIRRORS", mirror.url + "/d4rl")
    other = "d4rl/hopper-expert-v2"
    mirror.bodies["/d4rl/gym_mujoco_v2/walker2d_medium-v2.hdf5"] = body()
    local = "local/inverted-pendulum-medium-v1"
    assert main.main(["fetch", ID, local, "d4rl/walker2d-medium-v2", "--json"]) == 2
    captured = capsys.readouterr()
    fetched = [recorded["dataset"] for recorded in json.loads(captured.out)]
    assert fetched == [ID, "d4rl/walker2d-medium-v2"]
    assert f"datumrl collect {local}" in captured.err
    assert other not in captured.err


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ([], "datumrl datasets"),
        (["d4rl/hoper-medium-v2", ID], "nearest"),
        ([ID, "--from", "nowhere.hdf5"], "nowhere.hdf5"),
        ([ID, "d4rl/hopper-expert-v2", "--from", "one.hdf5"], "one.hdf5"),
        ([ID, "--mirror", "file:///data"], "file:///data"),
        ([ID, "--timeout", "0"], "--timeout 0"),
        (["local/inverted-pendulum-medium-v1"], "datumrl collect"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    mirror: Any, capsys: pytest.CaptureFixture[str], arguments: list[str], shown: str
) -> None:
    assert main.main(["fetch", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert shown in line
    assert not path().exists()
    assert mirror.requests == []


def test_import_of_a_folder(
    mirror: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("hopper_medium-v2.hdf5", "hopper_expert-v2.hdf5"):
        (tmp_path / name).write_bytes(body())
    assert main.main(["fetch", ID, "d4rl/hopper-expert-v2", "--from", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count("imported from") == 2


def test_d4rls_cache_is_named(
    mirror: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cached = tmp_path / "d4rl" / "hopper_medium-v2.hdf5"
    cached.parent.mkdir()
    cached.write_bytes(body())
    assert main.main(["fetch", ID]) == 0
    assert f"D4RL's own cache, nothing downloaded: {cached}" in capsys.readouterr().out


def test_control_c_keeps_what_has_come_and_says_so(mirror: Any) -> None:
    mirror.replies = [web.stall(20_000)]
    arguments = [sys.executable, "-m", "datumrl.scripts.main", "fetch", ID]
    arguments += ["--mirror", mirror.url + "/d4rl"]
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as process:
        folder = path().parent
        while [part.stat().st_size for part in folder.glob("*.part")] != [20_000]:
            assert process.poll() is None
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGINT)
        _, shown = process.communicate()
    assert process.returncode == 130
    assert "what is done is kept" in shown
    assert f"datumrl fetch {ID} --mirror {mirror.url}/d4rl" in shown
    assert "Traceback" not in shown
    assert main.main(arguments[3:]) == 0
    assert path().read_bytes() == body()
    assert mirror.ranges == [None, "bytes=20000-"]
