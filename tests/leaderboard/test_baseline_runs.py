"""Reference results that come with the project."""

from __future__ import annotations

from pathlib import Path

from datumrl.datasets import catalogue
from datumrl.evaluation.records import read_record
from datumrl.leaderboard import baseline_runs, tables
from datumrl.scripts import train_baselines


def test_what_is_shipped_is_what_the_command_makes() -> None:
    batches = {
        (batch.dataset, algorithm): batch
        for batch in train_baselines.BATCHES
        for algorithm in batch.algorithms
    }
    for path in baseline_runs.FOLDER.rglob("seed-*.json"):
        record = read_record(path)
        batch = batches[record.dataset, record.algorithm.partition("-target")[0]]
        assert path.parent.name == record.algorithm
        assert path.parent.parent.name == catalogue.find(record.dataset).id.partition("/")[2]
        assert path.name == f"seed-{record.seed}.json"
        assert record.budget.steps == batch.steps
        assert record.protocol.episodes == train_baselines.EPISODES
        assert record.protocol.checkpoint == "last"
        method = record.algorithm.partition("-target")[0]
        assert train_baselines.differences(batch, method, record) == []


def test_every_batch_trains_its_methods_and_none_only_prepares() -> None:
    settings = {}
    for batch in train_baselines.BATCHES:
        for (job, _), name in zip(
            train_baselines.command(batch)._jobs(), batch.algorithms, strict=True
        ):
            assert (job.algorithm, job.dataset) == (name, batch.dataset)
            assert (job.config.steps, len(job.seeds)) == (batch.steps, batch.seeds)
            settings[name] = job.config
    assert settings["cql"].bc_steps == 0
    assert settings["dt"].warmup_steps * 10 == settings["dt"].steps
    labels = [path.parent.name for path in train_baselines._paths(batch, "dt", [0])]
    assert labels == ["dt-target-1", "dt-target-2"]


def test_short_budgets_share_no_table_with_full_ones(tmp_path: Path) -> None:
    one = next(iter(sorted(baseline_runs.FOLDER.rglob("bc/seed-0.json"))))
    record = read_record(one)
    short = record.model_copy(
        update={"algorithm": "cql", "budget": record.budget.model_copy(update={"steps": 20_000})}
    )
    for each in (record, short):
        target = tmp_path / each.algorithm / "seed-0.json"
        target.parent.mkdir()
        target.write_text(each.model_dump_json())
    found = baseline_runs.load(tmp_path)
    assert {run.row.tier for run in found} == {"reproduced"}
    full, other = sorted(found, key=lambda run: run.remark)
    assert (full.remark, other.remark) == ("", "short budget: 20,000 updates")
    built = tables.build(found)
    assert sorted(len(table.entries) for table in built) == [1, 1]
