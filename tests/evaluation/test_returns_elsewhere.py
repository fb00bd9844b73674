"""Returns that other code measured, in environments that are not made here, up to their scores."""

from __future__ import annotations

import json
import math

import pytest

from datumrl.datasets import catalogue
from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation.recorder import Recorder
from datumrl.evaluation.records import parse_record, read_record, score_rows
from datumrl.scripts import main

ENGINE = {"gym": "0.23.1", "mujoco-py": "2.1.2.14"}
ANTMAZE, PEN, PIPELINE = "d4rl/antmaze-umaze-v2", "d4rl/pen-human-v1", "neorl2/Pipeline"
# dataset, environment, time limit, and the reference returns that its publisher prints
PUBLISHED = [
    (ANTMAZE, "antmaze-umaze-v2", 700, 0.0, 1.0),
    (PEN, "pen-v0", 100, 96.262799, 3076.8331017826877),
    ("d4rl/door-cloned-v1", "door-v0", 200, -56.512833, 2880.5693087298737),
    ("d4rl/kitchen-complete-v0", "kitchen-complete-v0", 280, 0.0, 4.0),
    ("d4rl/maze2d-umaze-v1", "maze2d-umaze-v1", 300, 23.85, 161.86),
    ("d4rl/hopper-medium-v2", "Hopper-v2", 1000, -20.272305, 3234.3),
    (PIPELINE, "Pipeline", 1000, -296.0, 751.0),
]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("DATUMRL_HOME", str(tmp_path / "home"))


def recorder(dataset, environment=None, folder=None, **changes):
    fields = {"episodes": 2, "engine": ENGINE, "environment": environment, "folder": folder}
    return Recorder("mine", dataset, 0, {"lr": 0.1}, 10, **{**fields, **changes})


def logged(dataset, environment=None, returns=(0.0, 1.0), **changes):
    with recorder(dataset, environment, **changes) as run:
        run.log(10, returns, [50, 60])
    return run.record


@pytest.mark.parametrize(("dataset", "environment", "limit", "low", "high"), PUBLISHED)
def test_returns_of_the_publishers_environment_are_scores(
    dataset, environment, limit, low, high, tmp_path
):
    returns = (low + 0.1 * (high - low), low + 0.4 * (high - low))
    record = logged(dataset, environment, returns, folder=tmp_path)
    told = record.protocol
    assert (told.environment, told.time_limit, told.engine) == (environment, limit, ENGINE)
    assert (told.nearest, told.environment_kwargs) == (False, {})
    assert read_record(tmp_path / "seed-000.json") == record
    (row,) = score_rows(record)
    assert row.score == pytest.approx(100 * (math.fsum(returns) / 2 - low) / (high - low))
    assert row.score == pytest.approx(25)
    assert logged(dataset, environment, returns, time_limit=limit) == record


@pytest.mark.parametrize(("dataset", "environment"), [(PEN, "pen-v0"), (ANTMAZE, ANTMAZE[5:])])
def test_the_datasets_name_is_d4rls_other_name_of_the_environment(dataset, environment):
    assert logged(dataset, dataset.partition("/")[2]).protocol.environment == environment


@pytest.mark.parametrize("dataset", [ANTMAZE, PIPELINE, "dgrl/bigfish-1M-expert", "ogbench/x"])
def test_another_environment_is_recorded_as_it_is_and_has_no_score(dataset):
    if dataset == "ogbench/x":
        dataset = next(r.id for r in catalogue.all_records() if r.collection == "ogbench")
    record = logged(dataset, "my-maze-v2", time_limit=123)
    assert (record.protocol.environment, record.protocol.time_limit) == ("my-maze-v2", 123)
    assert not record.protocol.nearest
    (row,) = score_rows(record)
    assert (row.score, row.mean_return) == (None, 0.5)


def test_another_time_limit_is_another_measurement():
    content = logged(ANTMAZE, "antmaze-umaze-v2").model_dump(mode="json")
    content["protocol"]["time_limit"] = 1000
    assert score_rows(parse_record(content, "a file"))[0].score is None


def test_records_made_before_this_are_read_and_scored_as_they_were():
    content = logged(ANTMAZE, "AntMaze_UMaze-v4").model_dump(mode="json")
    assert content["protocol"].pop("nearest") is True  # named by its own id, so it is said
    old = parse_record(content, "a file of returns said to be of AntMaze_UMaze-v4")
    assert json.loads(old.model_dump_json()) == content
    assert score_rows(old)[0].score is None
    hopper = logged("d4rl/hopper-medium-v2")
    assert hopper.protocol.environment == "Hopper-v4"
    assert score_rows(hopper)[0].score is not None


@pytest.mark.parametrize(
    ("dataset", "environment", "told"),
    [
        (PIPELINE, "Pipeline", "Pipeline, which this run's returns are of, is not made here for"),
        (ANTMAZE, "antmaze-umaze-v2", "AntMaze_UMaze-v4 is, for a Recorder without environment="),
        ("d4rl/hopper-medium-v2", "Hopper-v2", "Hopper-v4 is, for a Recorder without environment="),
    ],
)
def test_nothing_is_rolled_out_for_a_record_of_another_environment(dataset, environment, told):
    run = recorder(dataset, environment)
    with pytest.raises(DatumrlError, match=told):
        run.evaluate(lambda observations: observations, 10)
    assert run.record.evaluations == ()


@pytest.mark.parametrize(
    ("dataset", "changes", "told"),
    [
        (ANTMAZE, {"environment": "antmaze-umaze-v2", "engine": None}, "name its packages"),
        (ANTMAZE, {"environment": "antmaze-umaze-v2", "time_limit": 1000}, "off after 700 steps"),
        (ANTMAZE, {"environment": "antmaze-v9"}, r"add time_limit=.* for AntMaze_UMaze-v4, antma"),
        ("dgrl/bigfish-1M-expert", {"environment": "bigfish"}, "add time_limit="),
        ("d4rl/hopper-medium-v2", {"time_limit": 500}, "Hopper-v4 cuts .* off after 1000"),
        (ANTMAZE, {"environment": "antmaze-v9", "time_limit": -1}, "time_limit"),
    ],
)
def test_what_is_not_known_of_an_environment_has_to_be_said(dataset, changes, told):
    with pytest.raises(DatumrlError, match=told):
        recorder(dataset, **changes)


@pytest.mark.parametrize(
    "dataset",
    [
        ANTMAZE,
        PEN,
        PIPELINE,
        "d4rl/minigrid-fourrooms-v0",
        "d4rl/maze2d-eval-umaze-v1",
        "neorl/ib-low-100",
        "vd4rl/main/walker_walk/expert/64px",
        "dgrl/bigfish-1M-expert",
    ],
)
def test_the_call_that_an_error_advises_works_as_it_stands(dataset):
    with pytest.raises(DatumrlError) as refused:
        recorder(dataset)
    advice = str(refused.value).partition("datumrl.Recorder(..., ")[2]
    call, _, method = advice.rpartition(").")
    assert method == "log"
    changes = eval(f"dict({call})", {"STEPS": 50})
    with recorder(dataset, **changes) as run:
        run.log(10, [0.0, 1.0], [4, 5])
    assert run.record.status == "complete"
    assert run.record.protocol.environment == changes["environment"]


def with_seeds(folder, algorithm, dataset, environment, **changes):
    """Write four seeds of the returns 10 s and 10 s + 2, and return the lot."""
    found = [(10.0 * seed, 10.0 * seed + 2) for seed in range(4)]
    for seed, returns in enumerate(found):
        fields = {"episodes": 2, "engine": ENGINE, "environment": environment, **changes}
        run = Recorder(algorithm, dataset, seed, {}, 10, folder / algorithm / dataset, **fields)
        with run:
            run.log(10, returns, [50, 60])
    return found


def test_the_board_shows_them_as_scores_of_their_suite_and_others_as_returns(tmp_path):
    runs, page = tmp_path / "runs", tmp_path / "page"
    for dataset, environment, _, _, _ in PUBLISHED:
        found = with_seeds(runs, "elsewhere", dataset, environment)
    with_seeds(runs, "wrong", ANTMAZE, "my-maze-v2", time_limit=700)
    with_seeds(runs, "near", ANTMAZE, "AntMaze_UMaze-v4")
    assert main.main(["board", str(runs), "--no-published", "--out", str(page)]) == 0
    tables = json.loads((page / "data" / "summary.json").read_text())["tables"]
    scored = {table["suite"]: table for table in tables if table["unit"] == "normalised score"}
    assert set(scored) == {
        "D4RL adroit v1", "D4RL antmaze v2", "D4RL kitchen v0", "D4RL locomotion v2",
        "D4RL maze2d v1", "NeoRL-2",
    }  # fmt: skip
    shown = {}
    for table in scored.values():
        assert [row["algorithm"] for row in table["rows"]] == ["elsewhere"]
        assert table["rows"][0]["iqm"] is not None
        shown |= {cell["dataset"]: cell["values"] for cell in table["rows"][0]["cells"]}
    for dataset, _, _, low, high in PUBLISHED:
        expected = [100 * (sum(each) / 2 - low) / (high - low) for each in found]
        assert shown[dataset] == pytest.approx(expected)
    assert "antmaze-umaze-v2 (gym 0.23.1, mujoco-py" in scored["D4RL antmaze v2"]["protocol"]
    raw = [table for table in tables if table["unit"] != "normalised score"]
    assert sorted(table["rows"][0]["algorithm"] for table in raw) == ["near", "wrong"]
    assert all(len(table["rows"]) == 1 and table["rows"][0]["iqm"] is None for table in raw)
    text = (page / "index.html").read_text()
    assert "own runs, measured elsewhere than scores are defined" in text
    assert "only the nearest" in text


def test_compare_tells_why_there_are_no_scores_and_mixes_nothing(tmp_path, capsys):
    runs = tmp_path / "runs"
    with_seeds(runs, "mine", ANTMAZE, "my-maze-v2", time_limit=700)
    with_seeds(runs, "mine", PIPELINE, "my-pipe", time_limit=700)
    reason = "measured in my-maze-v2, while scores of d4rl/antmaze-umaze-v2 are defined in antmaze"
    compare = ["compare", str(runs / "mine" / ANTMAZE)]
    assert main.main(compare) == 0
    assert f"{reason}-umaze-v2: numbers are" in " ".join(capsys.readouterr().out.split())
    assert main.main(["compare", str(runs)]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert f"have no normalised scores ({reason}-umaze-v2)" in told
    with_seeds(runs, "other", ANTMAZE, "antmaze-umaze-v2")
    assert main.main([*compare, str(runs / "other")]) == 2
    assert "mixed environment: my-maze-v2" in " ".join(capsys.readouterr().err.split())
    assert main.main(["compare", str(runs / "other")]) == 0
    assert "numbers are undiscounted returns" not in " ".join(capsys.readouterr().out.split())
