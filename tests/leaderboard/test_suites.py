"""Which datasets may share a table of the board."""

from __future__ import annotations

from datumrl.datasets import catalogue
from datumrl.datasets.suites import suite_of
from datumrl.evaluation.records import ScoreRow
from datumrl.leaderboard import runs, tables


def test_no_dataset_of_minari_is_of_a_suite_of_another_collection() -> None:
    suites = {record.id: suite_of(record.id) for record in catalogue.all_records()}
    minari = {suite for name, suite in suites.items() if name.startswith("minari/D4RL/")}
    others = {suite for name, suite in suites.items() if not name.startswith("minari/")}
    assert len(minari) > 20
    assert not minari & others


def test_minaris_d4rl_and_d4rl_have_tables_of_their_own() -> None:
    datasets = ["d4rl/pen-human-v1", "minari/D4RL/pen/human-v1"]
    rows = [
        ScoreRow(tier="local", algorithm=name, dataset=dataset, seed=seed, score=seed, source="x")
        for name in ("a", "b")
        for dataset in datasets
        for seed in range(3)
    ]
    built = tables.build(runs.from_rows(rows))
    assert sorted(table.datasets for table in built) == [(each,) for each in datasets]
