"""Fixtures of the dataset tests: a home of their own, servers, and writers of files."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

# The modules beside this one, which tests import by name; --import-mode=importlib adds no path.
sys.path.insert(0, str(Path(__file__).parent))

import d4rl_files as _d4rl_files
from robot_files import describe

pytest.register_assert_rewrite("fetch_checks")
from fetch_checks import make_server, record, server  # noqa: E402

__all__ = [
    "d4rl_files",
    "describe",
    "home",
    "make_server",
    "minari_root",
    "record",
    "server",
    "small_disk",
]


@pytest.fixture
def d4rl_files() -> ModuleType:
    """The independent writer of D4RL-like files."""
    return _d4rl_files


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty DATUMRL_HOME, and no cache of D4RL's."""
    monkeypatch.setenv("DATUMRL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("D4RL_DATASET_DIR", str(tmp_path / "no-d4rl-cache"))
    return tmp_path / "home"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB; skips where the test may not mount one."""
    folder = tmp_path / "small-disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def minari_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which minari looks for datasets, empty."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    return tmp_path / "minari"
