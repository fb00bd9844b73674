"""Runs that were trained on other data under one dataset's id share no board."""

import re

import pytest

from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation.records import Budget, Evaluation, Protocol, RunRecord
from datumrl.leaderboard import runs

DATASET = "local/hopper-medium-v1"


def record(seed: int, recipe: str | None, content: str | None = None) -> RunRecord:
    return RunRecord(
        algorithm="bc",
        configuration={},
        dataset=DATASET,
        dataset_sha256=recipe,
        dataset_content_sha256=content,
        protocol=Protocol(
            dataset=DATASET, environment="Hopper-v4", engine={}, time_limit=1000, episodes=1
        ),
        budget=Budget(steps=10),
        seed=seed,
        status="complete",
        evaluations=(Evaluation(step=10, returns=(1.5,), lengths=(9,)),),
        software={},
        hardware="test",
    )


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("dataset hash", ("1" * 64, None), ("2" * 64, None)),
        ("dataset content hash", ("1" * 64, "3" * 64), ("1" * 64, "4" * 64)),
    ],
)
def test_other_data_of_one_id_is_refused(
    name: str, one: tuple[str, str | None], other: tuple[str, str | None]
) -> None:
    found = [record(0, *one), record(1, *other)]
    said = rf"{DATASET}: mixed {name}: .* \(bc, seed 0\) and .* \(bc, seed 1\);"
    with pytest.raises(DatumrlError, match=said) as refused:
        runs.from_records(found)
    assert re.search("leave one out", str(refused.value))


def test_an_unknown_hash_differs_from_none() -> None:
    found = [record(0, "1" * 64, "3" * 64), record(1, "1" * 64), record(2, None)]
    assert len(runs.from_records(found)) == 3
