"""Run records as tests of comparisons need them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from datumrl.evaluation.records import Budget, Evaluation, Protocol, RunRecord

HOPPER = "d4rl/hopper-medium-v2"


@pytest.fixture
def make_record() -> Callable[..., RunRecord]:
    """Return a function that makes a record; ``points`` are the mean returns of its evaluations."""

    def make(
        algorithm: str = "iql",
        dataset: str = HOPPER,
        seed: int = 0,
        points: Sequence[float] = (1000.0,),
        status: str = "complete",
        episodes: int = 2,
        engine: dict[str, str] | None = None,
        environment: str | None = None,
        sha256: str | None = None,
        content_sha256: str | None = None,
        configuration: dict | None = None,
        checkpoint: str = "last",
    ) -> RunRecord:
        family = dataset.partition("/")[2].partition("-")[0]
        names = {"hopper": "Hopper-v4", "walker2d": "Walker2d-v4", "halfcheetah": "HalfCheetah-v4"}
        return RunRecord(
            algorithm=algorithm,
            configuration=configuration or {},
            dataset=dataset,
            dataset_sha256=sha256,
            dataset_content_sha256=content_sha256,
            protocol=Protocol(
                dataset=dataset,
                environment=environment or names[family],
                engine=engine or {"mujoco": "3.3.7"},
                time_limit=1000,
                episodes=episodes,
                checkpoint=checkpoint,
            ),
            budget=Budget(steps=1000),
            seed=seed,
            status=status,
            failure="the critic diverged" if status == "failed" else None,
            evaluations=tuple(
                Evaluation(step=10 * place, returns=(value,) * episodes, lengths=(300,) * episodes)
                for place, value in enumerate(points, start=1)
            ),
            software={},
            hardware="test",
        )

    return make
