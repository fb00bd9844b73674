"""Fixtures of the trainers' tests: one thread, a small dataset, a toy problem."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from datumrl.datasets import catalogue
from datumrl.datasets.episodes import Episodes, episode_starts

DATASET = "local/inverted-pendulum-mixed-v1@2k"


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that holds DATASET."""
    from datumrl.evaluation.collector import collect

    home = tmp_path_factory.mktemp("collected")
    before = os.environ.get("DATUMRL_HOME")
    os.environ["DATUMRL_HOME"] = str(home)
    try:
        collect(catalogue.find(DATASET))
    finally:
        os.environ.pop("DATUMRL_HOME")
        if before is not None:
            os.environ["DATUMRL_HOME"] = before
    return home


@pytest.fixture
def home(collected: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DATUMRL_HOME of the test's own that holds DATASET."""
    folder = tmp_path / "home"
    shutil.copytree(collected, folder)
    monkeypatch.setenv("DATUMRL_HOME", str(folder))
    return folder


def toy_optimum(observations: np.ndarray) -> np.ndarray:
    """Return the best actions (n, 2) of the toy problem for observations (n, 2)."""
    return np.stack([observations[:, 0] - observations[:, 1], observations[:, 1]], axis=1) / 2


@pytest.fixture(scope="session")
def toy() -> Episodes:
    """A problem of single decisions: reward -|a - optimum(s)|^2, behaviour optimum + noise."""
    rng = np.random.default_rng(0)
    rows = 2000
    observations = rng.uniform(-1, 1, (rows, 2)).astype(np.float32)
    best = toy_optimum(observations)
    actions = np.clip(best + rng.normal(0, 0.4, best.shape), -1, 1).astype(np.float32)
    ends = np.arange(rows) % 5 == 4
    return Episodes(
        id="toy",
        observations=observations,
        actions=actions,
        rewards=-((actions - best) ** 2).sum(axis=1).astype(np.float32),
        terminals=np.ones(rows, bool),
        timeouts=np.zeros(rows, bool),
        starts=episode_starts(np.ones(rows, bool), ends),
        successor_rows=np.empty(0, np.int64),
        successors=np.empty((0, 2), np.float32),
        time_limit=5,
        timeouts_recorded=True,
    )
