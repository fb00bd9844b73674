"""Small datasets and run records that several commands are tried on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from datumrl.datasets import catalogue, places, prepared
from datumrl.datasets.episodes import Episodes
from datumrl.evaluation.records import Budget, Evaluation, Protocol, RunRecord

PENDULUM = "local/inverted-pendulum-random-v1@1k"


@pytest.fixture(scope="session")
def pendulum_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DATUMRL_HOME that holds PENDULUM."""
    from datumrl.evaluation.collector import collect

    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATUMRL_HOME", str(folder))
        collect(catalogue.find(PENDULUM))
    return folder


@pytest.fixture
def hopper_sets(
    make_episodes: Callable[..., Episodes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, str]:
    """Two datasets of random numbers under the ids of local ones, in a home of their own."""
    monkeypatch.setenv("DATUMRL_HOME", str(tmp_path / "home"))
    names = "local/hopper-medium-v1", "local/hopper-medium-replay-v1"
    for seed, name in enumerate(names):
        rng, flags = np.random.default_rng(seed), ("-" * 49 + "T") * 2 + "-" * 20
        episodes = make_episodes(
            flags,
            id=name,
            observations=rng.normal(size=(len(flags), 11)).astype(np.float32),
            actions=rng.uniform(-1, 1, (len(flags), 3)).astype(np.float32),
            rewards=rng.random(len(flags)).astype(np.float32),
            successors=np.zeros((0, 11), np.float32),
        )
        prepared.write(places.local_folder(catalogue.find(name)), episodes, {})
    return names


@pytest.fixture
def write_runs() -> Callable[..., None]:
    """Write a record per seed on d4rl/hopper-medium-v2, whose return is the level plus the seed."""
    dataset = "d4rl/hopper-medium-v2"

    def write(folder: Path, algorithm: str, level: float, seeds: int = 5) -> None:
        for seed in range(seeds):
            RunRecord(
                algorithm=algorithm,
                configuration={},
                dataset=dataset,
                dataset_sha256=None,
                protocol=Protocol(
                    dataset=dataset,
                    environment="Hopper-v4",
                    engine={"mujoco": "3.3.7"},
                    time_limit=1000,
                    episodes=1,
                ),
                budget=Budget(steps=10),
                seed=seed,
                status="complete",
                evaluations=(Evaluation(step=10, returns=(level + seed,), lengths=(300,)),),
                software={},
                hardware="test",
            ).write(folder / algorithm / f"seed-{seed:03d}.json")

    return write
