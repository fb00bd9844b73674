"""Reference results are trained as they are asked for; others do not count."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from datumrl.evaluation.records import parse_record, read_record
from datumrl.leaderboard import baseline_runs
from datumrl.scripts import train_baselines
from datumrl.scripts.train_baselines import Batch, Command

DATASET = "local/inverted-pendulum-random-v1@1k"
BATCH = Batch(DATASET, ("bc",), 4, 2, ("hidden_dims=8", "batch_size=16"), 4)


@pytest.fixture
def kept(pendulum_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a batch's records, in a home that holds its dataset."""
    shutil.copytree(pendulum_home, tmp_path / "home")
    monkeypatch.setenv("DATUMRL_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(baseline_runs, "FOLDER", tmp_path / "kept")
    monkeypatch.setattr(train_baselines, "EPISODES", 2)
    train_baselines._job.cache_clear()
    return tmp_path / "kept" / DATASET.partition("/")[2]


def test_a_record_of_other_settings_is_named_and_trained_anew(kept, monkeypatch, capsys):
    def run(batch: Batch, only_list: bool = False) -> str:
        monkeypatch.setattr(train_baselines, "BATCHES", (batch,))
        assert Command(workers=1, list=only_list).run() == 0
        told = capsys.readouterr()
        return told.out + told.err

    assert "0 of 2 runs" in run(BATCH, only_list=True)
    assert "complete" in run(BATCH)
    paths = [kept / "bc" / f"seed-{seed}.json" for seed in (0, 1)]
    first = [path.read_text() for path in paths]
    wider = replace(BATCH, settings=("hidden_dims=9", "batch_size=16"))
    told = run(wider, only_list=True)
    assert "0 of 2 runs" in told
    assert told.count("seed-0.json: stale, hidden_dims is [8] and not [9]") == 1
    told = run(wider)
    assert "complete" in told
    assert "trained again, hidden_dims is [8] and not [9]" in told
    assert [read_record(path).configuration["hidden_dims"] for path in paths] == [[9], [9]]
    # Records that are as asked for count, whatever has been trained beside them.
    for path, text in zip(paths, first, strict=True):
        path.write_text(text)
    assert "complete" in run(BATCH)
    assert [path.read_text() for path in paths] == first


def test_a_dataset_that_is_not_there_is_collected(kept, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DATUMRL_HOME", str(tmp_path / "empty"))
    monkeypatch.setattr(train_baselines, "BATCHES", (BATCH,))
    assert Command(workers=1).run() == 0
    told = capsys.readouterr().out
    assert f"collected {DATASET}: 1,001 transitions" in told  # whole episodes
    assert "complete" in told


def test_what_differs_is_named(kept):
    train_baselines.command(BATCH, 1).run()
    (path,) = (kept.parents[1] / "home" / "baselines").rglob("seed-000.json")
    made = path.read_text()

    def found(**changes: object) -> list[str]:
        content = json.loads(made)
        for place, value in changes.items():
            part, _, field = place.partition("__")
            if field:
                content[part][field] = value
            else:
                content[part] = value
        record = parse_record(content, "changed")
        return train_baselines.differences(BATCH, "bc", record)

    assert found() == []
    assert found(algorithm="iql") == ["algorithm is 'iql' and not ['bc']"]
    assert found(budget__steps=5) == ["budget is 5 and not 4"]
    assert found(budget__preset="corl") == ["preset is 'corl' and not 'none'"]
    assert found(configuration__view="d4rl-legacy") == ["view is 'd4rl-legacy' and not 'correct'"]
    assert found(configuration__actor_lr=0.5) == ["actor_lr is 0.5 and not 0.0003"]
    assert found(configuration__revision="2") == ["revision is '2' and not None"]
    elsewhere = train_baselines.differences(
        replace(BATCH, dataset="local/hopper-medium-v1"), "bc", read_record(path)
    )
    assert elsewhere == [f"dataset is {DATASET!r} and not 'local/hopper-medium-v1'"]
    older = json.loads(made)
    older["configuration"].pop("dropout")  # made before there was this setting
    assert train_baselines.differences(BATCH, "bc", parse_record(older, "older")) == []
