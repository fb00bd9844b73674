"""Fixtures of the dataset tests: a home of their own, and the writer of D4RL-like files."""

from __future__ import annotations

import importlib.util
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from datumrl.datasets.episodes import Episodes, episode_starts

_SPEC = importlib.util.spec_from_file_location(
    "d4rl_files", Path(__file__).parent / "d4rl_files.py"
)
_D4RL_FILES = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_D4RL_FILES)


@pytest.fixture
def d4rl_files() -> ModuleType:
    """The independent writer of D4RL-like files."""
    return _D4RL_FILES


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty DATUMRL_HOME, and no cache of D4RL's."""
    monkeypatch.setenv("DATUMRL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("D4RL_DATASET_DIR", str(tmp_path / "no-d4rl-cache"))
    return tmp_path / "home"


@pytest.fixture
def make_episodes() -> Callable[..., Episodes]:
    """A maker of small Episodes from flags as text: ``-`` plain, T terminal, O timeout, B both.

    Observation 0 of row t is t, so that successors can be told by eye; ``stored`` maps rows to the
    first number of their stored successor.
    """

    def make(flags: str, stored: dict[int, float] | None = None, **fields: object) -> Episodes:
        rows = len(flags)
        observations = np.arange(rows * 2, dtype=np.float32).reshape(2, rows).T.copy()
        terminals = np.array([flag in "TB" for flag in flags], bool)
        timeouts = np.array([flag in "OB" for flag in flags], bool)
        stored = stored or {}
        content = {
            "id": "d4rl/hopper-medium-v2",
            "observations": observations,
            "actions": -observations[:, :1],
            "rewards": np.arange(1, rows + 1, dtype=np.float32),
            "terminals": terminals,
            "timeouts": timeouts,
            "starts": episode_starts(terminals, timeouts),
            "successor_rows": np.array(list(stored), np.int64),
            "successors": np.array([[v, 0] for v in stored.values()], np.float32).reshape(-1, 2),
            "time_limit": 1000,
            "timeouts_recorded": True,
        }
        return Episodes(**{**content, **fields})

    return make


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
