"""Other tools' results become score rows; what they lack is missing, and nothing is guessed."""

import json
import re
import shlex
from pathlib import Path

import pytest

from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import scored_runs
from datumrl.evaluation.records import ScoreRow
from datumrl.leaderboard import imported_rows, imports, runs, tables, wording
from datumrl.leaderboard.imports import Given
from datumrl.scripts import board
from datumrl.scripts.main import main

HOPPER = "d4rl/hopper-medium-v2"
GUIDE = Path(__file__).parents[3] / "docs" / "submitting.md"
CHART = '"Step","iql_seed{0} - {2}","iql_seed{0} - {2}__MIN","iql_seed{1} - {2}"\n{3}'


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_wandb_export_of_a_run_table(tmp_path: Path) -> None:
    path = write(
        tmp_path / "export.csv",
        '"Name","State","config.env","config.seed","algo","eval/normalized"\n'
        f'"run a","finished","{HOPPER}","3","IQL","61.5"\n'
        f'"run b","finished","{HOPPER}","4","IQL","NaN"\n'
        f'"run c","crashed","{HOPPER}","5","IQL",""\n',
    )
    found = imports.read("wandb", path, Given(metric="eval/normalized", quantity="score"))
    first, second = found.rows
    assert (first.algorithm, first.dataset, first.seed, first.score) == ("IQL", HOPPER, 3, 61.5)
    assert (first.step, first.episodes, first.protocol, first.mean_return) == (None,) * 4
    assert (first.tier, second.failed, second.score) == ("local", True, None)
    assert found.missing == {"step": 2, "episodes": 2, "protocol": 2}
    with pytest.raises(DatumrlError, match="--quantity return or score"):
        imports.read("wandb", path, Given(metric="eval/normalized"))
    with pytest.raises(DatumrlError, match="no column of returns or scores; name one"):
        imports.read("wandb", path, Given())


def test_wandb_export_of_a_chart(tmp_path: Path) -> None:
    path = write(
        tmp_path / "chart.csv",
        '"Step","iql-seed7 - eval/return","iql-seed7 - eval/return__MIN","x - eval/return"\n'
        '1000,"10","9","1"\n2000,"20","19","2"\n3000,"","","3"\n',
    )
    given = Given(quantity="return", algorithm="IQL", dataset=HOPPER, published="A paper")
    found = imports.read("wandb", path, given)
    told = [(row.seed, row.step, row.mean_return, row.tier) for row in found.rows]
    # Without a seed nothing keeps a curve's points together, so its last one stands for it.
    assert told == [
        (7, 1000, 10.0, "raw published"),
        (7, 2000, 20.0, "raw published"),
        (None, 3000, 3.0, "reported"),
    ]
    with pytest.raises(DatumrlError, match="--dataset"):
        imports.read("wandb", path, Given(quantity="return", algorithm="IQL"))


@pytest.mark.parametrize(
    ("kind", "export"),
    [
        (
            "wandb chart.csv",
            CHART.format(3, 4, "eval/normalized_score", '500,"40","39","41"\n1000,"60","1","61"\n'),
        ),
        (
            "wandb table.csv",
            "Name,State,config.env,algo,config.seed,eval/normalized_score\n"
            "a,finished,hopper-medium-v2,IQL,3,60\nb,finished,hopper-medium-v2,IQL,4,61\n",
        ),
    ],
)
def test_the_imports_of_the_guide_read_what_wandb_exports(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    kind: str,
    export: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (command,) = re.findall(f"^datumrl (submit --from {kind} .*)$", GUIDE.read_text(), re.MULTILINE)
    (tmp_path / kind.split()[1]).write_text(export)
    assert main(shlex.split(command)) == 0, capsys.readouterr().err
    rows = scored_runs.csv_rows(tmp_path / "scores.csv")
    assert {row.algorithm for row in rows} == {"IQL"}
    assert {row.dataset for row in rows} == {"d4rl/hopper-medium-v2"}
    assert [(row.seed, row.score) for row in rows if row.step in (None, 1000)] == [(3, 60), (4, 61)]
    capsys.readouterr()
    assert main(["compare", "scores.csv"]) == 0
    assert re.search(r"^IQL +60\.5 ", capsys.readouterr().out, re.MULTILINE)


def test_d3rlpy_logs(tmp_path: Path) -> None:
    for seed in (1, 2):
        folder = tmp_path / "d3rlpy_logs" / f"CQL_seed{seed}_20240101120000"
        write(folder / "environment.csv", f"1,1000,{seed}50.5\n2,2000,{seed}60.5\n")
        write(folder / "critic_loss.csv", "1,1000,0.1\n")
        write(folder / "params.json", json.dumps({"batch_size": 256}))
    write(tmp_path / "d3rlpy_logs" / "BCQ_20240101120000" / "environment.csv", "1,5,7\n2,9,8\n")
    found = imports.read("d3rlpy", tmp_path, Given(dataset=HOPPER, algorithm="CQL"))
    assert [(row.seed, row.step, row.mean_return) for row in found.rows] == [
        (None, 9, 8.0),
        (1, 1000, 150.5),
        (1, 2000, 160.5),
        (2, 1000, 250.5),
        (2, 2000, 260.5),
    ]
    assert all(row.score is None and row.episodes is None for row in found.rows)
    # Every seed's log is in one table; without a seed, a run stands alone, and none is lost.
    built = tables.build(runs.from_rows(found.rows))
    assert sorted([run.row.mean_return for run in table.runs] for table in built) == [
        [8.0], [160.5, 260.5],
    ]  # fmt: skip
    plain = imports.read("d3rlpy", tmp_path / "d3rlpy_logs" / "BCQ_20240101120000",
                         Given(dataset=HOPPER))  # fmt: skip
    assert plain.rows[0].algorithm == "BCQ"
    with pytest.raises(DatumrlError, match="does not say the dataset"):
        imports.read("d3rlpy", tmp_path, Given(algorithm="CQL"))
    with pytest.raises(DatumrlError, match="does not say the algorithm"):
        imports.read("d3rlpy", tmp_path, Given(dataset=HOPPER))


def test_plain_csv_goes_on_to_comparisons_and_the_board(tmp_path: Path) -> None:
    lines = [f"TD3+BC,hopper-medium-v0,{seed},{50 + seed}" for seed in range(3)]
    path = write(tmp_path / "in.csv", "Algorithm,env,seed,score\n" + "\n".join(lines) + "\n")
    given = Given(dataset=HOPPER, published="Fujimoto and Gu (2021)")
    found = imports.read("csv", path, given)
    out = tmp_path / "scores.csv"
    imported_rows.write(found, out)
    assert tuple(scored_runs.csv_rows(out)) == found.rows
    read = scored_runs.read([out])
    assert sorted(run.scores.tolist() for run in read) == [[50.0], [51.0], [52.0]]
    assert {row.tier for row in found.rows} == {"raw published"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("algorithm,dataset,seed,score\nA,d4rl/hopper-medium-v2,1.5,3\n", "no whole number"),
        ("algorithm,dataset,seed,score\nA,d4rl/hopper-medium-v2,1,high\n", "'high' is no number"),
        ("algorithm,dataset,seed,score\nA,d4rl/hoper-medium-v2,1,3\n", "the nearest are"),
        ("algorithm,dataset,score,return\nA,d4rl/hopper-medium-v2,3,4\n", "choose with --quantity"),
        ("algorithm,dataset,score\n", "holds no scores"),
        ("", "is empty; give a header"),
        ("algorithm;dataset;score\nA;d4rl/hopper-medium-v2;1,5\n", "separated by ';'"),
    ],
)
def test_what_cannot_be_read_is_said_with_the_remedy(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(DatumrlError, match=told):
        imports.read("csv", write(tmp_path / "in.csv", text), Given())


def test_two_columns_of_one_name_are_not_one_run(tmp_path: Path) -> None:
    path = write(tmp_path / "chart.csv", "Step,a - score,a - score\n1,10,20\n")
    given = Given(quantity="score", algorithm="A", dataset=HOPPER)
    with pytest.raises(DatumrlError, match="two columns 'a - score'"):
        imports.read("wandb", path, given)


def test_numbers_are_what_the_file_says(tmp_path: Path) -> None:
    large = 2**53 + 1  # no double
    path = write(tmp_path / "in.csv", f"seed,step,score\n{large},1e6,5\n2,1.0,inf\n")
    found = imports.read("csv", path, Given(algorithm="A", dataset=HOPPER))
    assert [(row.seed, row.step, row.failed) for row in found.rows] == [
        (large, 10**6, False), (2, 1, True),
    ]  # fmt: skip
    for line in ("1,1,1_0", "1e300,1,5", "-1,1,5"):
        with pytest.raises(DatumrlError, match="mend the file"):
            imports.read("csv", write(tmp_path / "in.csv", f"seed,step,score\n{line}\n"),
                         Given(algorithm="A", dataset=HOPPER))  # fmt: skip


def test_d3rlpys_configuration_names_the_method_and_its_name_is_no_pattern(tmp_path: Path) -> None:
    folder = tmp_path / "logs" / "try_seed3"
    write(folder / "environment.csv", "1,1000,5\n")
    write(folder / "params.json", json.dumps({"config": {"type": "td3_plus_bc", "params": {}}}))
    (row,) = imports.read("d3rlpy", tmp_path, Given(dataset=HOPPER)).rows
    assert (row.algorithm, row.seed) == ("td3_plus_bc", 3)
    for metric in ("*", "../try_seed3/environment", "/etc/x"):
        given = Given(dataset=HOPPER, metric=metric, quantity="return")
        with pytest.raises(DatumrlError, match=r"no .*\.csv under"):
            imports.read("d3rlpy", tmp_path, given)
    (folder / "environment.csv").write_bytes(b"1,1000,\xff\n")
    with pytest.raises(DatumrlError, match="no log of d3rlpy"):
        imports.read("d3rlpy", tmp_path, Given(dataset=HOPPER))


def test_two_runs_of_one_seed_are_no_single_run(tmp_path: Path) -> None:
    # Curves of two tasks under one dataset, evaluated at other steps, the second to its end only.
    chart = write(
        tmp_path / "chart.csv",
        "Step,hopper_iql_seed0 - m,walker_iql_seed0 - m\n990,1,\n995,,9\n1000,2,\n",
    )
    given = Given(quantity="score", algorithm="IQL", dataset=HOPPER)
    told = "hopper_iql_seed0 and chart.csv: walker_iql_seed0 are both of IQL on .*, seed 0; remove"
    with pytest.raises(DatumrlError, match=told):
        imports.read("wandb", chart, given)
    # A run that crashed, and the one that repeated it.
    for day, lines in ((1, "1,1000,5\n"), (2, "1,1000,7\n2,2000,8\n")):
        write(tmp_path / "logs" / f"cql_seed3_2024010{day}" / "environment.csv", lines)
    told = "cql_seed3_20240101/environment.csv and cql_seed3_20240102/environment.csv are both"
    with pytest.raises(DatumrlError, match=told):
        imports.read("d3rlpy", tmp_path / "logs", Given(algorithm="CQL", dataset=HOPPER))
    path = write(tmp_path / "in.csv", "seed,step,score\n0,1,5\n0,2,6\n1,1,5\n0,1,5\n0,1,7\n")
    with pytest.raises(DatumrlError, match=r"line 2 and in.csv: line 6 are both .*seed 0, step 1;"):
        imports.read("csv", path, given)


def test_two_runs_of_a_run_table_with_one_seed_are_refused_whatever_their_steps(
    tmp_path: Path,
) -> None:
    lines = [
        f"iql_lr{lr}_seed{seed},{HOPPER},IQL,{lr},{step},{score + seed}\n"
        for lr, step, score in ((1, 999000, 40), (3, 1000000, 90))
        for seed in range(3)
    ]
    head = "Name,config.env,algo,config.lr,_step,score\n"
    path = write(tmp_path / "runs.csv", head + "".join(lines))
    told = "line 2 and runs.csv: line 5 are both of IQL on .*, seed 0; remove one, .* setting apart"
    with pytest.raises(DatumrlError, match=told):
        imports.read("wandb", path, Given())
    # A run is named by its line's seed; a column of seeds goes first.
    path = write(tmp_path / "one.csv", head + "".join(lines[3:]))
    found = imports.read("wandb", path, Given()).rows
    assert [(row.seed, row.step, row.score) for row in found] == [
        (seed, 10**6, 90.0 + seed) for seed in range(3)
    ]
    path = write(tmp_path / "column.csv", f"Name,env,algo,seed,score\nx_seed3,{HOPPER},A,5,1\n")
    assert imports.read("wandb", path, Given()).rows[0].seed == 5
    # Of a plain file, the name is no seed, and lines that differ in their step are one run's.
    path = write(tmp_path / "plain.csv", "Name,seed,step,score\nx_seed3,,1,5\n")
    (row,) = imports.read("csv", path, Given(algorithm="A", dataset=HOPPER)).rows
    assert row.seed is None


def test_a_step_with_two_scores_is_refused_though_another_is_the_last(tmp_path: Path) -> None:
    def row(step: int, score: float) -> ScoreRow:
        return ScoreRow(tier="local", algorithm="A", dataset=HOPPER, seed=0, step=step, score=score)

    found = [row(990, 1.0), row(1000, 2.0), row(1000, 2.0), row(990, 3.0)]
    with pytest.raises(DatumrlError, match=r"seed 0, step 990: two different scores, 1 and 3;"):
        runs.from_rows(found)
    (run,) = runs.from_rows(found[:3])
    assert run.row.score == 2.0
    head = "algorithm,dataset,seed,step,score\n"
    path = write(tmp_path / "rows.csv", f"{head}A,{HOPPER},0,1,5\nA,{HOPPER},0,2,6\n")
    other = write(tmp_path / "more.csv", f"{head}A,{HOPPER},0,1,7\n")
    with pytest.raises(DatumrlError, match=r"5 \(.*rows.csv, line 2\) and 7 \(.*more.csv, line 2"):
        board._local_runs([path, other], tmp_path / "board")


def test_a_seed_that_ends_before_the_others_is_named() -> None:
    rows = [
        ScoreRow(
            tier="local", algorithm="A", dataset=HOPPER, seed=seed, step=step, score=1.0, source="x"
        )
        for seed, last in ((0, 1000), (1, 995), (2, 1000))
        for step in (500, last)
    ]
    (table,) = tables.build(runs.from_rows(rows))
    told = wording.warnings(table.entries[0], table)
    assert told == [f"ends before the other seeds: seed 1 on {HOPPER} (step 995 of 1,000)"]


def test_what_never_ends_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "LARGEST", 1000)
    with pytest.raises(DatumrlError, match="export fewer columns"):
        imports.read("csv", Path("/dev/zero"), Given())


def test_no_run_without_a_seed_is_lost(tmp_path: Path) -> None:
    path = write(tmp_path / "chart.csv", "Step,x - m,y - m\n1,10,20\n2,11,21\n")
    found = imports.read("wandb", path, Given(quantity="score", algorithm="A", dataset=HOPPER))
    built = tables.build(runs.from_rows(found.rows))
    assert sorted(run.row.score for table in built for run in table.runs) == [11.0, 21.0]
    path = write(tmp_path / "in.csv", "algorithm,score\nA,1\nA,2\n")
    found = imports.read("csv", path, Given(dataset=HOPPER))
    with pytest.raises(DatumrlError, match="seed not stated, step not stated: two different"):
        runs.from_rows(found.rows)


def test_score_rows_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"algorithm,dataset\n\xff,y\n")
    with pytest.raises(DatumrlError, match="no CSV file in UTF-8"):
        scored_runs.csv_rows(tmp_path / "x.csv")


def test_a_name_that_several_datasets_have_is_not_guessed() -> None:
    assert imports.dataset_id("hopper-medium-replay-v2", "x") == "d4rl/hopper-medium-replay-v2"
    with pytest.raises(DatumrlError, match=r"may be .* or .*--dataset"):
        imports.dataset_id("hopper-medium-v1", "x")
