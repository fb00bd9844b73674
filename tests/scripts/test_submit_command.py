"""`datumrl submit`: its exit codes, and the whole way from training to the board."""

import builtins
import json
import re
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation.records import Budget, Evaluation, Protocol, RunRecord, read_record
from datumrl.leaderboard import submission_building
from datumrl.leaderboard.submission_building import EXAMPLE
from datumrl.leaderboard.submission_schema import DatasetResult
from datumrl.scripts import console, submit_verify
from datumrl.scripts.main import main

ROOT = Path(__file__).parents[2]
DATASET = "local/inverted-pendulum-medium-v1"
OTHERS = [f"local/inverted-pendulum-{kind}-v1" for kind in ("random", "expert", "mixed")]


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATUMRL_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def write_runs(folder: Path, seeds: int = 5, **changes: Any) -> None:
    for seed in range(seeds):
        lengths = tuple(100 + 37 * seed + 3 * n * n for n in range(10))
        values: dict[str, Any] = {
            "algorithm": "mine",
            "configuration": {"lr": 0.1, "seed": seed},
            "dataset": DATASET,
            "dataset_sha256": "a" * 64,
            "protocol": Protocol(
                dataset=DATASET,
                environment="InvertedPendulum-v4",
                engine={"mujoco": "3.3.7"},
                time_limit=1000,
                episodes=10,
            ),
            "budget": Budget(steps=10),
            "status": "complete",
            "evaluations": (Evaluation(step=10, returns=tuple(map(float, lengths)),
                                       lengths=lengths),),
            "software": {},
            "hardware": "test",
        }  # fmt: skip
        record = RunRecord(**{**values, **changes, "seed": seed})
        record.write(folder / f"seed-{seed:03d}.json")


def method_toml(path: Path, name: str = "mine", suffix: str = "", **changes: str) -> Path:
    text = EXAMPLE.replace('"TD3+BC"', f'"{name}"').replace('"td3-bc"', f'"{name}"')
    for old, new in changes.items():
        text = text.replace(old, new)
    reasons = "".join(f'"{each}{suffix}" = "no time"\n' for each in OTHERS)
    path.write_text(text + reasons)
    return path


def test_build_check_and_next_revision(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_runs(tmp_path / "runs")
    toml = str(method_toml(tmp_path / "m.toml"))
    assert main(["submit", "runs", "--method", toml]) == 0
    assert "wrote leaderboard/submissions/mine/r1" in capsys.readouterr().out
    folder = tmp_path / "leaderboard" / "submissions" / "mine" / "r1"
    content = json.loads((folder / f"{DATASET.replace('/', '__')}.json").read_text())
    assert content["configuration"] == {"lr": 0.1}
    assert [run["seed"] for run in content["runs"]] == [0, 1, 2, 3, 4]
    assert content["runs"][1]["evaluations"][0]["returns"][0] == 137.0
    assert main(["submit", "--check", str(folder)]) == 0
    assert main(["submit", "--check", "leaderboard/submissions", "--json"]) == 0
    told = json.loads(capsys.readouterr().out.partition("\n{")[2].join(["{", ""]))
    assert told["submissions"] == [{"submission": "mine/r1", "sound": True, "tier": "submitted"}]
    assert told["unconfirmed"][0]["sha256"] == "a" * 64
    assert main(["submit", "runs", "--method", toml]) == 0
    assert "holds exactly this already; nothing written" in capsys.readouterr().out
    assert sorted(path.name for path in folder.parent.iterdir()) == ["r1"]
    write_runs(tmp_path / "runs", seeds=6)
    assert main(["submit", "runs", "--method", toml]) == 0
    second = json.loads((folder.parent / "r2" / "method.json").read_text())
    assert (second["revision"], second["supersedes"]) == ("r2", "r1")
    assert main(["submit", "--check", "leaderboard/submissions"]) == 0


def test_nobody_supersedes_a_strangers_method(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_runs(tmp_path / "runs")
    assert main(["submit", "runs", "--method", str(method_toml(tmp_path / "m.toml"))]) == 0
    write_runs(tmp_path / "runs", seeds=6)
    stranger = {"Ada Example": "Mallory", "github.com/example": "github.com/mallory"}
    toml = str(method_toml(tmp_path / "s.toml", **stranger))
    assert main(["submit", "runs", "--method", toml]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "mine/r1 is by Ada Example (code of github.com/example)" in told
    assert "choose another method (the folder's name)" in told
    assert sorted(path.name for path in Path("leaderboard/submissions/mine").iterdir()) == ["r1"]


def test_what_is_published_has_its_name_too(tmp_path: Path) -> None:
    write_runs(tmp_path / "runs")
    assert main(["submit", "runs", "--method", str(method_toml(tmp_path / "m.toml"))]) == 0
    published = tmp_path / "leaderboard" / "submissions"
    given = submission_building.read_toml(tmp_path / "m.toml")
    found = submission_building.method_of(given, tmp_path / "elsewhere", published)
    assert (found.revision, found.supersedes) == ("r2", "r1")
    stranger = {**given, "authors": ["Mallory"], "code": {**given["code"], "url": "https://x.org"}}
    with pytest.raises(DatumrlError, match="would take its place"):
        submission_building.method_of(stranger, tmp_path / "elsewhere", published)


def test_what_was_tuned_is_told_of_every_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tuned = f"configurations = 400\nseeds = [90, 91, 92]\ndatasets = ['{DATASET}']"
    spent = {"configurations = 1 ": f"{tuned} #", "seeds = []": "", "datasets = []": ""}
    toml = str(method_toml(tmp_path / "m.toml", **spent))
    write_runs(tmp_path / "runs", budget=Budget(steps=10, tuning="4 configurations x 3 seeds"))
    assert main(["submit", "runs", "--method", toml]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "the records tell of tuning '4 configurations x 3 seeds'" in told
    for words in ("none", "400 configurations of a random search"):
        write_runs(tmp_path / "runs", budget=Budget(steps=10, tuning=words))
        assert main(["submit", "runs", "--method", toml, "--out", "subs"]) == 0
        (written,) = Path("subs/mine/r1").glob("local__*.json")
        budget = json.loads(written.read_text())["budget"]
        assert budget["tuning"] == "400 configurations x 3 seeds x 1 dataset"
        assert main(["submit", "--check", "subs"]) == 0


def test_one_dataset_has_one_id(tmp_path: Path) -> None:
    for size, seeds in (("20000", 3), ("20k", 6)):
        name = f"{DATASET}@{size}"
        protocol = Protocol(
            dataset=name, environment="InvertedPendulum-v4", engine={"mujoco": "3.3.7"},
            time_limit=1000, episodes=10,
        )  # fmt: skip
        write_runs(tmp_path / "runs" / size, seeds, dataset=name, protocol=protocol)
    for seed in range(3):
        (tmp_path / "runs" / "20k" / f"seed-{seed:03d}.json").unlink()
    toml = str(method_toml(tmp_path / "m.toml", suffix="@20k"))
    assert main(["submit", "runs", "--method", toml]) == 0
    (written,) = Path("leaderboard/submissions/mine/r1").glob("local__*.json")
    assert written.name == "local__inverted-pendulum-medium-v1@20k.json"
    content = json.loads(written.read_text())
    assert (content["dataset"], content["protocol"]["dataset"]) == (f"{DATASET}@20k",) * 2
    assert len(content["runs"]) == 6


def test_a_broken_submission_is_not_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_runs(tmp_path / "runs", seeds=3)
    toml = str(method_toml(tmp_path / "m.toml"))
    assert main(["submit", "runs", "--method", toml]) == 1
    assert "train more seeds" in capsys.readouterr().out
    assert not (tmp_path / "leaderboard").exists()


def test_all_that_is_missing_is_listed_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_runs(tmp_path / "runs")
    (tmp_path / "m.toml").write_text('name = "X"\n[tuning]\nconfigurations = 4\n')
    assert main(["submit", "runs", "--method", "m.toml"]) == 2
    told = capsys.readouterr().err
    assert "lacks 11 entries" in told
    for key in (
        "authors",
        "licence",
        "code.url",
        "code.commit",
        "online_returns_chose",
        "method",
        "tuning.seeds",
        "tuning.datasets",
        *(f"not_run.{each}" for each in OTHERS),
    ):
        assert f"\n  {key}: " in told  # fmt: skip


def test_on_a_terminal_the_missing_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_runs(tmp_path / "runs")
    answers = iter(
        ["Mine", "", "mine", "A, B", "CC0", "nothing", "https://a.b/c", "f" * 40, "2", "7,8",
         DATASET, "x", "y", "z"]
    )  # fmt: skip
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr(builtins, "input", lambda *_: next(answers))
    assert main(["submit", "runs"]) == 0
    method = json.loads(Path("leaderboard/submissions/mine/r1/method.json").read_text())
    assert method["authors"] == ["A", "B"]
    assert method["tuning"] == {"configurations": 2, "seeds": [7, 8], "datasets": [DATASET]}
    assert sorted(method["not_run"].values()) == ["x", "y", "z"]


def test_a_verdict_without_an_interval_is_strict_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_runs(tmp_path / "runs")
    assert main(["submit", "runs", "--method", str(method_toml(tmp_path / "m.toml"))]) == 0

    def half_failed(result: DatasetResult, seeds: Sequence[int], *_: object) -> list[RunRecord]:
        """Train two seeds, of which one fails: a single value has no spread."""
        write_runs(tmp_path / "new", seeds=7, evaluations=(
            Evaluation(step=10, returns=tuple(map(float, range(50, 60))),
                       lengths=tuple(range(50, 60))),
        ))  # fmt: skip
        told = [read_record(tmp_path / "new" / f"seed-{seed:03d}.json") for seed in seeds]
        failed = {"status": "failed", "failure": "diverged", "evaluations": ()}
        return [told[0], told[1].model_copy(update=failed)]

    monkeypatch.setattr(submit_verify, "_retrained", half_failed)
    capsys.readouterr()
    folder = "leaderboard/submissions/mine/r1"
    words = ("--verify", folder, "--verified-by", "Somebody", "--seeds", "2", "--json")
    assert main(["submit", *words]) == submit_verify.DISAGREES
    told = json.loads(capsys.readouterr().out)
    assert (told["verdict"], told["low"], told["high"]) == ("inconclusive", None, None)
    (cell,) = told["cells"]
    assert cell["error"] is None
    assert cell["difference"] < 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["runs", "--base", "x", "--sample", "2"], "--base: only with --check"),
        (["runs", "--sample", "2"], "--sample: only with --verify"),
        (["--check", "x", "--dataset", DATASET], "--dataset: only with --from"),
        (["--check", "x", "--out", "y"], "--out: only with RUNS or --from"),
        (["--verify", "x", "--method", "y"], "--method: only with RUNS"),
    ],
)
def test_options_that_would_change_nothing_are_refused(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["submit", *arguments]) == 2
    assert told in capsys.readouterr().err


def test_one_reason_does_for_all_other_datasets_of_a_suite(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_runs(tmp_path / "runs")
    example = EXAMPLE.replace('"TD3+BC"', '"mine"').replace('"td3-bc"', '"mine"')
    reasons = f'"Local inverted pendulum v1" = "no time"\n"{OTHERS[0]}" = "too easy"\n'
    (tmp_path / "m.toml").write_text(example + reasons)
    assert main(["submit", "runs", "--method", "m.toml"]) == 0
    method = json.loads(Path("leaderboard/submissions/mine/r1/method.json").read_text())
    assert method["not_run"] == {
        OTHERS[0]: "too easy", OTHERS[1]: "no time", OTHERS[2]: "no time",
    }  # fmt: skip


def test_of_many_datasets_one_reason_is_asked_for() -> None:
    one = RunRecord.model_construct(dataset="local/hopper-medium-v1")
    asked = submission_building.questions({}, [one])[-1]
    assert asked.key == "not_run.Local locomotion v1"
    assert "and 11 more datasets" in asked.text
    given = submission_building.answered({}, asked, "no time")
    named = submission_building.with_suites_spelled_out(given, [one])["not_run"]
    assert len(named) == 14
    assert set(named.values()) == {"no time"}
    assert "local/hopper-medium-v1" not in named


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"status": "running"}, "still running or cut off"),
        ({"dataset_sha256": None}, "lack the dataset's hash"),
    ],
)
def test_records_that_cannot_be_submitted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], told: str
) -> None:
    write_runs(tmp_path / "runs", **changes)
    toml = str(method_toml(tmp_path / "m.toml"))
    assert main(["submit", "runs", "--method", toml]) == 2
    assert told in capsys.readouterr().err


def test_runs_on_other_data_of_one_recipe_do_not_mix(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toml = str(method_toml(tmp_path / "m.toml"))
    write_runs(tmp_path / "runs", dataset_content_sha256="b" * 64)
    path = tmp_path / "runs" / "seed-002.json"
    made = read_record(path).model_copy(update={"dataset_content_sha256": "c" * 64})
    made.write(path)
    assert main(["submit", "runs", "--method", toml]) == 2
    assert "trained on other data under one id" in capsys.readouterr().err
    made.model_copy(update={"dataset_content_sha256": None}).write(path)
    assert main(["submit", "runs", "--method", toml]) == 0


def test_runs_of_different_settings_or_algorithms_do_not_mix(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toml = str(method_toml(tmp_path / "m.toml"))
    write_runs(tmp_path / "runs" / "a")
    write_runs(tmp_path / "runs" / "b", configuration={"lr": 0.2})
    assert main(["submit", "runs", "--method", toml]) == 2
    assert "configuration of seed 0 differ" in capsys.readouterr().err
    write_runs(tmp_path / "runs" / "b", algorithm="other")
    assert main(["submit", "runs", "--method", toml]) == 2
    assert "choose one with --algorithm" in capsys.readouterr().err
    assert main(["submit", "runs", "--method", toml, "--algorithm", "other"]) == 0


def test_only_the_chosen_algorithms_runs_say_what_was_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def on(dataset: str, environment: str = "InvertedPendulum-v4") -> dict[str, Any]:
        protocol = Protocol(
            dataset=dataset, environment=environment, engine={}, time_limit=1000, episodes=10
        )
        return {"dataset": dataset, "protocol": protocol}

    write_runs(tmp_path / "runs" / "a")
    write_runs(tmp_path / "runs" / "b", algorithm="other", **on(OTHERS[0]))
    write_runs(tmp_path / "runs" / "c", algorithm="other", **on("local/hopper-medium-v1", "x"))
    # A reason for the suite's other datasets holds for the one that only "other" was run on, and
    # nothing is asked of the suite that it alone was run on.
    example = EXAMPLE.replace('"TD3+BC"', '"mine"').replace('"td3-bc"', '"mine"')
    (tmp_path / "m.toml").write_text(f'{example}"Local inverted pendulum v1" = "no time"\n')
    words = ["submit", "runs", "--method", "m.toml", "--algorithm"]
    assert main([*words, "mine"]) == 0, capsys.readouterr()
    method = json.loads(Path("leaderboard/submissions/mine/r1/method.json").read_text())
    assert method["not_run"] == dict.fromkeys(OTHERS, "no time")
    assert main([*words, "absent"]) == 2
    assert "no records of 'absent'; there are mine, other" in capsys.readouterr().err
    assert main(["submit", "runs"]) == 2  # before any question is asked
    assert "choose one with --algorithm" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "nothing to submit"),
        (["--check", "absent"], "is no folder"),
        (["--check", ".", "--example"], "one at a time"),
        (["--verify", "x"], "--verified-by"),
        (["runs", "--method", "absent.toml"], "--example > absent.toml"),
        (["--from", "csv", "absent.csv"], "does not exist"),
    ],
)
def test_bad_input_is_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    write_runs(tmp_path / "runs")
    assert main(["submit", *arguments]) == 2
    assert told in capsys.readouterr().err


def test_the_example_is_a_method_that_can_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["submit", "--example"]) == 0
    assert tomllib.loads(capsys.readouterr().out)["code"]["commit"] == "0123456789abcdef" * 2 + (
        "01234567"
    )


def test_imported_rows_are_listed_with_what_they_lack_and_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"A,d4rl/hopper-medium-v2,{seed},{40 + seed}\n" for seed in range(3)]
    (tmp_path / "in.csv").write_text("algorithm,dataset,seed,score\n" + "".join(rows))
    assert main(["submit", "--from", "csv", "in.csv", "--published", "P (2020)"]) == 0
    told = capsys.readouterr().out
    assert "wrote 3 rows to scores.csv" in told
    assert "missing: step in 3 of 3 rows" in told
    assert main(["board", "scores.csv", "--no-published", "--json"]) == 0
    board = json.loads(capsys.readouterr().out)
    assert board["tables"][0]["rows"][0]["tier"] == "raw published"


@pytest.mark.slow
def test_from_training_and_a_foreign_agent_to_a_reproduced_row_on_the_board(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = f"{DATASET}@20k"
    run: Callable[..., int] = lambda *words: main([str(word) for word in words])  # noqa: E731
    assert run("collect", small) == 0
    assert run("train", "td3_bc", "--on", small, "--seeds", "5-9", "--steps", 40,
               "--set", "batch_size=32", "--out", "runs/td3") == 0  # fmt: skip
    # The tutorial's foreign agent, as the tutorial has it.
    text = (ROOT / "docs" / "submitting.md").read_text(encoding="utf-8")
    code, _ = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    exec(compile(code, "submitting.md", "exec"), {})
    for name, runs in (("td3", "runs/td3"), ("linear", "runs/linear-bc")):
        toml = method_toml(
            tmp_path / f"{name}.toml", name, "@20k",
            **{"Ada Example": f"Maker of {name}", "example/td3-bc": f"{name}/code"},
        )  # fmt: skip
        assert run("submit", runs, "--method", toml) == 0
    subs = Path("leaderboard/submissions")
    capsys.readouterr()
    assert run("submit", "--check", subs) == 0
    assert "unconfirmed hash" not in capsys.readouterr().out  # two submitters, one hash
    first = subs / "td3" / "r1"
    verdict = run("submit", "runs/td3", "--verify", first, "--verified-by", "Somebody", "--json")
    told = json.loads(capsys.readouterr().out)
    assert (verdict == 0) == (told["verdict"] == "agrees")
    assert run("submit", "--check", subs) == 0
    capsys.readouterr()
    verdict = run("submit", "--verify", first, "--verified-by", "Another", "--seeds", 2, "--json")
    retrained = json.loads(capsys.readouterr().out)
    assert (verdict == 0) == (retrained["verdict"] == "agrees")
    assert Path(retrained["file"]).name == "evidence-2.json"
    assert len(retrained["cells"]) == 1  # trained anew, which decides alone
    assert retrained["rerolled"] == ["Somebody"]
    assert run("submit", "--check", subs) == 0
    capsys.readouterr()
    assert run("board", "--no-published", "--submissions", subs, "--json", "--out", "board") == 0
    rows = json.loads(capsys.readouterr().out)["tables"][0]["rows"]
    tier = "reproduced" if retrained["verdict"] == "agrees" else "submitted"
    assert {(row["algorithm"], row["tier"]) for row in rows} >= {("td3", tier)}
    assert "linear" in {row["algorithm"] for row in rows}
    foreign = subs / "linear" / "r1"
    assert run("submit", "--verify", foreign, "--verified-by", "Somebody") == 2
    assert "was not trained by datumrl" in capsys.readouterr().err


@pytest.mark.slow
def test_retraining_that_was_interrupted_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = f"{DATASET}@2k"
    run: Callable[..., int] = lambda *words: main([str(word) for word in words])  # noqa: E731
    assert run("collect", small) == 0
    # Decision Transformer: every return target is an entry of its own.
    settings = ("batch_size=4", "layers=1", "embedding_dim=16", "warmup_steps=0",
                "return_targets=200,100")  # fmt: skip
    assert run("train", "dt", "--on", small, "--seeds", 5, "--steps", 2, "--out", "runs",
               "--set", *settings) == 0  # fmt: skip
    toml = method_toml(tmp_path / "m.toml", suffix="@2k")
    assert run("submit", "runs", "--method", toml, "--algorithm", "dt-target-2") == 0
    folder = Path("leaderboard/submissions/mine/r1")
    again = ("submit", "--verify", folder, "--verified-by", "Somebody", "--seeds", 2)

    kept = tmp_path / "home" / "verification"

    def stop(*_: object) -> None:
        if any(read_record(path).status == "complete" for path in kept.rglob("seed-*.json")):
            raise KeyboardInterrupt

    with monkeypatch.context() as interrupting:
        interrupting.setattr(console.Bars, "bar", lambda *_: stop)
        assert run(*again) == 130
    trained = [read_record(path) for path in sorted(kept.rglob("seed-*-target-2.json"))]
    assert [record.seed for record in trained] == [5, 6]
    assert not (folder / "evidence.json").exists()
    assert run(*again) in (0, 1)
    (cell,) = json.loads((folder / "evidence.json").read_text())["cells"]
    for record, verified in zip(trained, cell["runs"], strict=True):
        (point,) = verified["evaluations"]
        assert tuple(point["returns"]) == record.evaluations[-1].returns
    assert list(kept.iterdir()) == []  # it is of no more use
    # Further evidence is of other seeds.
    assert run(*again) in (0, 1)
    (cell,) = json.loads((folder / "evidence-2.json").read_text())["cells"]
    assert [each["seed"] for each in cell["runs"]] == [7, 8]
    assert run("submit", "--check", folder.parents[1]) == 0
