"""Submissions of returns that other code measured in the publisher's own environment."""

import contextlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation.recorder import Recorder
from datumrl.evaluation.records import read_record, score_rows
from datumrl.leaderboard import submission_building, submission_files, submission_schema
from datumrl.leaderboard import verification as verifying
from datumrl.leaderboard.submission_checks import check
from datumrl.leaderboard.submission_files import Finding
from datumrl.scripts import submit_verify
from datumrl.scripts.main import main

GUIDE = Path(__file__).parents[3] / "docs" / "submitting.md"
ANTMAZE, PIPELINE = "d4rl/antmaze-umaze-v2", "neorl2/Pipeline"
RULE = "protocol-is-the-datasets"


def found(draft: Any, root: Path, dataset: str, **protocol: Any) -> list[Finding]:
    """Return what the rule finds of the draft's runs on a dataset under a protocol."""
    (content,) = draft.results.values()
    content["dataset"] = content["protocol"]["dataset"] = dataset
    content["protocol"].update(protocol)
    draft.results = {submission_schema.file_name(dataset): content}
    draft.write(root)
    return [each for each in check(root).findings if each.rule == RULE]


@pytest.mark.parametrize(
    ("dataset", "environment", "limit"),
    [
        (ANTMAZE, "antmaze-umaze-v2", 700),
        ("d4rl/pen-human-v1", "pen-v0", 100),
        ("d4rl/hopper-medium-v2", "Hopper-v2", 1000),
        ("d4rl/hopper-medium-v2", "Hopper-v4", 1000),
        (PIPELINE, "Pipeline", 1000),
    ],
)
def test_an_environment_of_the_scores_is_the_datasets(
    draft: Any, tmp_path: Path, dataset: str, environment: str, limit: int
) -> None:
    protocol = {"environment": environment, "time_limit": limit}
    assert found(draft.copy(), tmp_path / "as", dataset, **protocol) == []
    (wrong,) = found(draft.copy(), tmp_path / "engine", dataset, **protocol, engine={})
    assert (wrong.severity, "no engine version" in wrong.message) == ("error", True)
    wrong = found(draft, tmp_path / "limit", dataset, environment=environment, time_limit=50)[-1]
    assert (wrong.severity, f"has {limit}; evaluate" in wrong.message) == ("error", True)


@pytest.mark.parametrize(
    ("dataset", "environment", "told"),
    [
        (ANTMAZE, "my-maze-v2", "are defined in antmaze-umaze-v2: shown as returns, not as scores"),
        (ANTMAZE, "AntMaze_UMaze-v4", "is only the nearest to the environment of d4rl/antmaze"),
        (PIPELINE, "Simglucose", "scores of neorl2/Pipeline are defined in Pipeline: shown"),
        ("d4rl/hopper-medium-v2", "Hopper-v5", "defined in Hopper-v4 or Hopper-v2: shown as"),
        ("dgrl/bigfish-1M-expert", "bigfish", "defined in one that the catalogue does not name"),
    ],
)
def test_another_environment_is_flagged_with_the_reason(
    draft: Any, tmp_path: Path, dataset: str, environment: str, told: str
) -> None:
    limit = 700 if dataset == ANTMAZE else 1000
    kwargs = {"continuing_task": False} if environment.startswith("AntMaze") else {}
    protocol = {"environment": environment, "time_limit": limit, "environment_kwargs": kwargs}
    (flagged,) = found(draft, tmp_path / "subs", dataset, **protocol)
    assert flagged.severity == "flag"
    assert told in flagged.message


ELSEWHERE = pytest.mark.parametrize(
    ("dataset", "environment"),
    [(ANTMAZE, "my-maze-v2"), ("d4rl/hopper-medium-v2", "MyHopper-v1"), (PIPELINE, "Mine")],
)


def attainable(root: Path) -> list[Finding]:
    return [each for each in check(root).errors if each.rule == "attainable-returns"]


@ELSEWHERE
def test_another_environments_rewards_are_its_own(
    draft: Any, tmp_path: Path, dataset: str, environment: str
) -> None:
    for run in draft.runs:
        for point in run["evaluations"]:
            point["returns"] = [value * 1e5 - 1e7 for value in point["returns"]]
    protocol = {"environment": environment, "time_limit": 1000}
    (flagged,) = found(draft.copy(), tmp_path / "own", dataset, **protocol)
    assert flagged.severity == "flag"
    assert not attainable(tmp_path / "own")
    draft.runs[0]["evaluations"][0]["returns"][0] = 2e9
    found(draft, tmp_path / "absurd", dataset, **protocol)
    (wrong,) = attainable(tmp_path / "absurd")
    assert f"what {environment} can give is not known" in wrong.message


@ELSEWHERE
def test_another_environment_has_the_time_limit_that_is_recorded(
    draft: Any, tmp_path: Path, dataset: str, environment: str
) -> None:
    (content,) = draft.results.values()
    longest = max(max(p["lengths"]) for run in content["runs"] for p in run["evaluations"])
    protocol = {"environment": environment, "time_limit": longest}  # no dataset's of these
    (flagged,) = found(draft.copy(), tmp_path / "own", dataset, **protocol)
    assert (flagged.severity, "shown as returns" in flagged.message) == ("flag", True)
    protocol["time_limit"] = longest - 1
    found(draft, tmp_path / "longer", dataset, **protocol)
    (wrong, *_) = [each for each in check(tmp_path / "longer").errors if "longer than" in str(each)]
    assert f"the time limit {longest - 1}; cut" in str(wrong)


@pytest.mark.parametrize(
    ("dataset", "environment", "refused"),
    [
        ("d4rl/hopper-medium-v2", "Hopper-v4", ""),
        ("d4rl/hopper-medium-v2", "Hopper-v2", ""),  # the publisher's, which ours is equal to
        ("d4rl/hopper-medium-v2", "Hopper-v5", "while policies run here in Hopper-v4"),
        (ANTMAZE, "AntMaze_UMaze-v4", ""),
        (ANTMAZE, "antmaze-umaze-v2", "while policies run here in AntMaze_UMaze-v4"),
        (PIPELINE, "Pipeline", "which is not made here"),
    ],
)
def test_verified_is_what_was_measured_in_the_environment_made_here(
    draft: Any, dataset: str, environment: str, refused: str
) -> None:
    (content,) = draft.results.values()
    content["dataset"] = dataset
    content["protocol"].update(dataset=dataset, environment=environment)
    result = submission_schema.DatasetResult.model_validate_json(json.dumps(content))
    told = f"measured in {environment}, {refused}, so new returns cannot be compared"
    expected = pytest.raises(DatumrlError, match=told) if refused else contextlib.nullcontext()
    with expected:
        submit_verify._require_made(result)


def test_what_cannot_be_compared_is_refused_before_any_training(
    draft: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (first,) = draft.results.values()
    second = json.loads(json.dumps(first).replace("medium", "random"))
    second["protocol"]["environment"] = "InvertedPendulum-v5"
    for run in second["runs"]:
        for point in run["evaluations"]:
            point["returns"] = [value - 0.5 for value in point["returns"]]
    draft.results[submission_schema.file_name(second["dataset"])] = second
    del draft.method["not_run"][second["dataset"]]
    for place in range(20):  # the sample is drawn by hashes: until the first is one made here
        first["configuration"]["place"] = second["configuration"]["place"] = place
        path = draft.write(tmp_path / str(place))
        drawn = verifying.sampled(submission_files.read(path), 2, "Another")
        if drawn[0].dataset == first["dataset"]:
            break
    assert [each.dataset for each in drawn] == [first["dataset"], second["dataset"]]
    trained: list[Any] = []
    monkeypatch.setattr(submit_verify, "_retrained", lambda *given: trained.append(given) or [])
    assert main(["submit", "--verify", str(path), "--sample", "2", "--verified-by", "Another"]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert f"{second['dataset']}: measured in InvertedPendulum-v5" in told
    assert not trained


def test_the_guides_example_is_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```$", GUIDE.read_text("utf-8"), re.M | re.S)
    (code,) = [block for block in blocks if "environment=" in block]
    exec(compile(code, "submitting.md", "exec"), {})
    (path,) = Path("runs").rglob("seed-*.json")
    assert [row.score for row in score_rows(read_record(path))] == [pytest.approx(70.0)]
    assert main(["board", "runs", "--no-published", "--json"]) == 0
    (table,) = json.loads(capsys.readouterr().out)["tables"]
    assert (table["suite"], table["unit"]) == ("D4RL antmaze v2", "normalised score")
    assert table["rows"][0]["cells"][0]["values"] == [pytest.approx(70.0)]


def test_from_a_foreign_agents_log_to_a_submission_in_the_suites_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for seed in range(5):
        with Recorder(
            "mine", PIPELINE, seed, {}, 10, "runs", dataset_sha256="a" * 64,
            environment="Pipeline", engine={"neorl2": "1.0.0"},
        ) as run:  # fmt: skip
            run.log(10, [10.0 * seed + 3.7 * n for n in range(10)], [1000] * 10)
    toml = submission_building.EXAMPLE.replace('"TD3+BC"', '"Mine"').replace('"td3-bc"', '"mine"')
    toml = re.sub(r"^\[not_run\].*?(?=^\[|\Z)", "", toml, flags=re.M | re.S)
    Path("method.toml").write_text(f'{toml}\n[not_run]\n"NeoRL-2" = "no time"\n')
    assert main(["submit", "runs", "--method", "method.toml"]) == 0
    assert main(["submit", "--check", "leaderboard/submissions"]) == 0
    capsys.readouterr()
    verify = ["submit", "--verify", "leaderboard/submissions/mine/r1", "--verified-by", "Another"]
    assert main(verify) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "neorl2/Pipeline: measured in Pipeline, which is not made here" in told
    board = ["board", "--no-published", "--submissions", "leaderboard/submissions", "--json"]
    assert main(board) == 0
    (table,) = json.loads(capsys.readouterr().out)["tables"]
    assert (table["suite"], table["unit"]) == ("NeoRL-2", "normalised score")
    expected = [100 * (10 * seed + 3.7 * 4.5 + 296) / (751 + 296) for seed in range(5)]
    assert table["rows"][0]["cells"][0]["values"] == pytest.approx(expected)
    assert table["rows"][0]["tier"] == "submitted"
