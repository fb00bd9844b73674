"""What may share a table, what is missing or failed, and which evaluation counts."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import report, score_table, scored_runs
from datumrl.evaluation.records import ScoreRow
from datumrl.scripts.main import main

WALKER = "d4rl/walker2d-medium-v2"


def table(records, **options):
    return score_table.build(report.gathered(records), **options)


def row(algorithm="a", dataset="d4rl/hopper-medium-v2", seed=0, score=1.0, **more) -> ScoreRow:
    return ScoreRow(
        tier="local", algorithm=algorithm, dataset=dataset, seed=seed, score=score, **more
    )


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"engine": {"mujoco": "3.2.0"}}, "mixed mujoco version: 3.3.7 .* and 3.2.0"),
        ({"episodes": 5}, "mixed episodes per evaluation: 2 .* and 5"),
        ({"environment": "Hopper-v5"}, "mixed environment: Hopper-v4"),
        ({"sha256": "b" * 64}, "mixed dataset hash"),
        ({"content_sha256": "d" * 64}, "mixed dataset content hash: c+… .* and d+…"),
        ({"checkpoint": "best"}, "mixed checkpoint rule: last"),
        ({"dataset": "d4rl/hopper-medium-v0"}, "v0 .*v2 hold different data"),
    ],
)
def test_what_was_measured_differently_is_refused(make_record, changed, said) -> None:
    data = {"sha256": "a" * 64, "content_sha256": "c" * 64}
    first = make_record(**data)
    second = make_record("td3_bc", **{**data, **changed})
    with pytest.raises(DatumrlError, match=said):
        table([first, second])


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        ("d4rl/hopper-medium-v2", "d4rl/walker2d-medium-v0", False),  # one family
        ("d4rl/hopper-medium-v2", "d4rl/antmaze-umaze-v0", True),
        ("d4rl/pen-human-v1", "d4rl/door-human-v0", False),
        ("minari/mujoco/hopper/expert-v0", "minari/mujoco/hopper/expert-v1", False),
        ("minari/mujoco/hopper/expert-v0", "minari/D4RL/pen/human-v2", True),
        ("mine/grasping-v1@10k", "mine/grasping-v2@10k", False),
    ],
)
def test_versions_never_mix_within_a_family(first: str, second: str, together: bool) -> None:
    rows = [row(name, dataset) for name in "ab" for dataset in (first, second)]
    if together:
        assert table(rows).common == tuple(sorted((first, second)))
        return
    with pytest.raises(DatumrlError, match=r"v\d and v\d hold different data"):
        table(rows)


MINARI = "minari/D4RL/pen/human-v2"


@pytest.mark.parametrize("order", [1, -1])
def test_minaris_d4rl_is_never_in_a_table_with_d4rl(make_record, order) -> None:
    records = [make_record(), make_record("td3_bc", dataset=MINARI, environment="AdroitHandPen-v1")]
    rows = [row(), row("b", dataset=MINARI)]
    for both in (records, rows):
        with pytest.raises(DatumrlError, match=f"{MINARI} and d4rl/hopper-medium-v2: .* another"):
            table(both[::order])
        table(both[:1])
        table(both[1:])


def test_choosing_one_of_the_two_benchmarks_is_enough(tmp_path: Path, capsys) -> None:
    path = tmp_path / "scores.csv"
    lines = [
        f"{name},{dataset},{seed},{seed}"
        for name in ("a", "b")
        for dataset in (MINARI, WALKER)
        for seed in range(3)
    ]
    path.write_text("\n".join(["algorithm,dataset,seed,score", *lines]))
    assert main(["compare", str(path), "--resamples", "50"]) == 2
    assert "Minari's D4RL is another benchmark" in capsys.readouterr().err
    assert main(["compare", str(path), "--resamples", "50", "--datasets", MINARI]) == 0


def test_a_seed_that_is_there_twice_is_refused(make_record) -> None:
    with pytest.raises(DatumrlError, match=r"iql on .*, seed 3 is there twice"):
        table([make_record(seed=3), make_record(seed=3, points=(900.0,))])


def test_scores_with_and_without_a_protocol_do_not_mix(make_record) -> None:
    with pytest.raises(DatumrlError, match="mixed evaluation protocols"):
        table([make_record(), row("b")])


def test_scores_and_returns_do_not_mix_and_returns_not_over_datasets() -> None:
    returns = row("b", score=None, mean_return=5.0)
    with pytest.raises(DatumrlError, match="no common scale"):
        table([row(), returns])
    with pytest.raises(DatumrlError, match="one dataset at a time"):
        table([returns, row("b", WALKER, score=None, mean_return=5.0)])
    assert table([returns]).unit == "return"


@pytest.mark.parametrize("d4rl", ["d4rl/pen-human-v1", "d4rl/kitchen-mixed-v0"])
def test_minaris_d4rl_never_shares_a_table_with_d4rl(d4rl) -> None:
    minari = "minari/D4RL/pen/human-v1"
    rows = [row(name, dataset) for name in "ab" for dataset in (minari, d4rl)]
    for one in (rows, rows[::-1]):
        with pytest.raises(DatumrlError, match=f"{minari} and {d4rl}: .* another benchmark"):
            table(one)
    assert table(rows, datasets=[minari]).common == (minari,)


def test_runs_without_evaluations_are_named(make_record) -> None:
    silent = make_record("td3_bc").model_copy(update={"evaluations": ()})
    with pytest.raises(DatumrlError, match=r"td3_bc on .*, seed 0 holds no evaluations"):
        table([make_record(), silent])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"algorithms": ["iqll"]}, "algorithm 'iqll'; did you mean 'iql'"),
        ({"algorithms": ["IQL"]}, "did you mean 'iql'"),
        ({"datasets": ["d4rl/hoper-medium-v2"]}, "did you mean 'd4rl/hopper-medium-v2'"),
        ({"rule": "first"}, "unknown checkpoint rule 'first'"),
        ({"failed_as": float("nan")}, "finite score"),
        ({"rule": "last-10-mean"}, "1 evaluations are too few"),
    ],
)
def test_choices_that_are_not_there_are_refused(make_record, options, said) -> None:
    with pytest.raises(DatumrlError, match=said):
        table([make_record()], **options).scores("iql")


def test_a_missing_cell_is_missing_and_left_out_of_every_aggregate() -> None:
    found = table([row("a"), row("b"), row("a", WALKER, score=80.0)])
    assert found.missing == [("b", WALKER)]
    assert found.common == ("d4rl/hopper-medium-v2",)
    assert found.scores("a").flat.tolist() == [1.0]
    with pytest.raises(DatumrlError, match="no dataset was run by every algorithm"):
        table([row("a"), row("b", WALKER)])


def test_failed_runs_are_undefined_until_they_have_a_score(make_record) -> None:
    runs = [make_record(seed=0), make_record(seed=1, status="failed", points=())]
    assert "1 of 2 runs failed (seed 1" in table(runs).undefined("iql")
    assert "critic diverged" in table(runs).undefined("iql")
    scored = table(runs, failed_as=0.0)
    assert scored.undefined("iql") == ""
    assert scored.scores("iql").flat[1] == 0.0
    assert scored.scores("iql").failed == 1
    running = [make_record(seed=0), make_record(seed=1, status="running", points=())]
    assert "unfinished" in table(running, failed_as=0.0).undefined("iql")


def test_a_nan_in_a_csv_file_is_a_failed_run(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text("algorithm,dataset,seed,score\na,d,0,12.5\na,d,1,nan\nb,d,0,\n")
    runs = scored_runs.read([path])
    assert [run.status for run in runs] == ["complete", "failed", "failed"]
    assert runs[0].values("score").tolist() == [12.5]


def test_an_evaluation_of_other_episodes_within_a_run_is_refused() -> None:
    rows = [row(step=step, episodes=episodes) for step, episodes in ((5, 10), (10, 10), (20, 100))]
    for given in (rows, rows[::-1]):
        with pytest.raises(DatumrlError, match=r"a on d4rl/hop.*, seed 0: mixed .* 10 .* and 100"):
            table(given)
    unknown = row(step=20)
    (run,) = scored_runs.from_rows([unknown, *rows[:2]])
    assert run.shared["episodes per evaluation"] == "10"
    with pytest.raises(DatumrlError, match=r"mixed episodes per evaluation: 10 .* and 5"):
        table([*rows[:2], unknown, row("b", episodes=5)])


@pytest.mark.parametrize("failed_as", [None, 0.0])
def test_an_evaluation_without_the_score_that_others_have_is_no_failure(failed_as) -> None:
    bare = row(step=1, score=None, mean_return=900.0)
    rows = [bare, row(step=2, score=40.0, mean_return=1300.0)]
    with pytest.raises(DatumrlError, match=r"seed 0: step 1 has a return but no .*fill it"):
        table(rows, failed_as=failed_as)
    with pytest.raises(DatumrlError, match="a row without a step has a return but no score"):
        table([bare.model_copy(update={"step": None}), rows[1]], failed_as=failed_as)
    assert scored_runs.from_rows([bare])[0].unit == "return"
    assert scored_runs.from_rows([row(step=1), rows[1]])[0].status == "complete"


@pytest.mark.parametrize(
    "last",
    [
        {"score": None},
        {"score": float("nan")},
        {"score": float("nan"), "mean_return": 5.0},
        {"score": None, "mean_return": float("nan")},
        {"score": None, "mean_return": 5.0, "failed": True},
    ],
)
def test_what_says_that_a_run_failed(last: dict) -> None:
    (run,) = scored_runs.from_rows([row(step=1, score=40.0), row(step=2, **last)])
    assert run.status == "failed"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("algorithm,dataset,reward\n", "scores.csv: unknown columns: 'reward' (rename or remove"),
        ("algorithm,score\n", "scores.csv: missing columns: 'dataset' (add them); known"),
        ("algorithm;dataset;score\n", "scores.csv: columns are separated by ';'; save it"),
        ("algo,score\n", "'algorithm', 'dataset' (add them); unknown columns: 'algo' (rename"),
        ("algorithm,dataset\n", "holds no scores"),
        ("", "scores.csv is empty; give a header"),
        ("algorithm,dataset,score\na,d,much\n", "line 2: score"),
        ("algorithm,dataset,seed,step,score\na,d,0,5,1\na,d,0,5,2\n", "several scores of the same"),
    ],
)
def test_csv_files_that_are_no_scores_are_refused(tmp_path: Path, text, said) -> None:
    path = tmp_path / "scores.csv"
    path.write_text(text)
    with pytest.raises(DatumrlError, match=re.escape(said)):
        scored_runs.read([path])


def test_the_guide_tells_every_column() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "statistics.md").read_text()
    section = guide.split("### Scores from a CSV file")[1].split("\n## ")[0]
    told = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    assert sorted(re.findall("`(.*?)`", " ".join(told))) == sorted(ScoreRow.model_fields)


def test_the_import_that_an_unknown_header_is_sent_to_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [f"{method},hopper-medium-v2,{seed},{seed}\n" for method in "ab" for seed in range(2)]
    Path("my scores.csv").write_text("method,env,seed,return\n" + "".join(lines))
    with pytest.raises(DatumrlError) as refused:
        scored_runs.read([Path("my scores.csv")])
    (command,) = re.findall("`datumrl (.*)`", str(refused.value))
    assert main(shlex.split(command)) == 0
    assert "scores.csv" in capsys.readouterr().out
    assert len(scored_runs.read([Path("scores.csv")])) == 4


@pytest.mark.parametrize("content", [b"algorithm,dataset\n\xff\xfe,x\n", b"a" * 200_000])
def test_bytes_that_are_no_csv_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "scores.csv"
    path.write_bytes(content)
    with pytest.raises(DatumrlError, match=r"scores.csv is no CSV file in UTF-8: .*; save it"):
        scored_runs.read([path])


def test_a_file_given_in_two_ways_counts_once(tmp_path: Path, make_record) -> None:
    path = tmp_path / "run" / "seed-000.json"
    make_record().write(path)
    assert len(scored_runs.read([path, tmp_path, path.parent])) == 1


def test_a_csv_without_seeds_given_twice_counts_once(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "x.csv"
    path.write_text("algorithm,dataset,score\n" + f"a,{WALKER},1\n" * 5)
    monkeypatch.chdir(tmp_path)
    assert len(scored_runs.read([path, Path("x.csv"), tmp_path / "." / "x.csv"])) == 5


def test_checkpoint_rules_on_curves() -> None:
    scores = [5.0, 40.0, *np.linspace(10, 20, 10)]
    rows = [row(step=step, score=value) for step, value in enumerate(scores)]
    of = {
        rule: float(table(rows, rule=rule).scores("a").flat[0]) for rule in score_table.CHECKPOINTS
    }
    assert of == {"last": 20.0, "last-10-mean": pytest.approx(15.0), "best": 40.0}
    best, how = table(rows).best("a")
    assert how == "neighbouring evaluations"
    assert best.optimism[0] > 20.0


def test_the_protocols_own_rule_counts_unless_another_is_asked_for(make_record) -> None:
    runs = [make_record(points=(2000.0, 1000.0), checkpoint="best")]
    assert table(runs).rule == "best"
    assert table(runs).scores("iql").flat > table(runs, rule="last").scores("iql").flat


def test_optimism_of_best_uses_episodes_where_they_are_known(make_record) -> None:
    best, how = table([make_record(points=(1000.0, 3000.0))]).best("iql")
    assert how == "split episodes"
    assert best.optimism[0] == pytest.approx(0.0)  # both episodes of a point have the same return


def test_an_exact_name_goes_before_those_that_only_begin_with_it() -> None:
    rows = [row(name) for name in ("TD3", "TD3 (ours)", "TD3 (theirs)", "CQL (a)", "CQL (b)")]
    assert table(rows, algorithms=["TD3"]).algorithms == ("TD3",)
    chosen = table(rows, algorithms=["TD3 (ours)", "TD3"])
    assert chosen.algorithms == ("TD3 (ours)", "TD3")
    assert table(rows, algorithms=["CQL", "TD3"]).algorithms == ("CQL (a)", "CQL (b)", "TD3")


def test_one_algorithm_in_two_settings_is_two_entries(make_record) -> None:
    runs = [
        make_record(configuration={"tau": tau, "seed": seed}, seed=seed)
        for tau in (0.7, 0.9)
        for seed in range(2)
    ]
    assert table(runs).algorithms == ("iql (tau=0.7)", "iql (tau=0.9)")
    assert table(runs, algorithms=["iql"]).algorithms == ("iql (tau=0.7)", "iql (tau=0.9)")
    assert table(runs, algorithms=["iql (tau=0.9)"]).algorithms == ("iql (tau=0.9)",)
    tuned = [
        make_record(configuration={"tau": 0.7}),
        make_record(configuration={"tau": 0.9}, dataset=WALKER),
    ]
    assert table(tuned).algorithms == ("iql",)


def test_scores_that_overflow_are_refused_wherever_they_stand() -> None:
    """Within a curve, and on a dataset that not every algorithm has: in no aggregate."""
    early = [row(seed=0, step=1, score=1e200), row(seed=0, step=2), row(seed=1, score=-1e100)]
    elsewhere = [row(seed=0), row("b", seed=0), row("b", WALKER, seed=3, score=-1e200)]
    told = r"a on d4rl/hopper-medium-v2, seed 0: a score of 1e\+200, beyond 1e\+100; correct it, or"
    with pytest.raises(DatumrlError, match=told):
        table(early)
    with pytest.raises(DatumrlError, match=r"b on d4rl/walker2d-medium-v2, seed 3: .* -1e\+200"):
        table(elsewhere)


def test_suite_scores_are_means_over_datasets_of_the_seeds_that_all_have() -> None:
    rows = [row(seed=s, score=s) for s in range(4)]
    rows += [row(dataset=WALKER, seed=s, score=10.0 * s) for s in range(3)]
    np.testing.assert_allclose(table(rows).suite_scores("a"), [0.0, 5.5, 11.0])
