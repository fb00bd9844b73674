"""Tables of one's own: formats, mapped columns, and bad input named."""

import hashlib
import json

import numpy as np
import pytest

from datumrl.scripts.main import main

DATASETS = ("hopper-medium-v2", "walker2d-medium-v2")
ALGORITHMS = ("IQL", "TD3+BC")
GENERATOR = np.random.default_rng(3)
VALUES = {(a, d): GENERATOR.normal(50, 9, (5, 4)) for a in ALGORITHMS for d in DATASETS}


def raw_lines(head="algorithm,dataset,seed,step,score"):
    return [
        head,
        *(
            f"{a},{d},{seed},{1000 * (step + 1)},{value!r}"
            for (a, d), values in VALUES.items()
            for seed, row in enumerate(values.tolist())
            for step, value in enumerate(row)
        ),
    ]


def printed(place, ddof=0):
    last = VALUES[place][:, -1]
    return f"{last.mean():.1f} ± {last.std(ddof=ddof):.1f}"


def long_lines(**changed):
    rows = [f"{a},{d},{changed.get(a, printed((a, d)))}" for a, d in VALUES]
    return ["algorithm,dataset,cell", *rows]


@pytest.fixture
def pair(tmp_path, monkeypatch):
    """Writes both files into the working folder, and returns what the command needs."""
    monkeypatch.chdir(tmp_path)

    def write(published, raw, encoding="utf-8"):
        (tmp_path / "table.csv").write_bytes("\n".join(published).encode(encoding))
        (tmp_path / "raw.csv").write_text("\n".join(raw), encoding="utf-8")
        return ["reproduce", "--published", "table.csv", "--raw", "raw.csv"]

    return write


WIDE = [
    "dataset,IQL,TD3+BC",
    *(f"{d},{printed(('IQL', d))},**{printed(('TD3+BC', d))}**" for d in DATASETS),
]
TRANSPOSED = [
    "algorithm," + ",".join(DATASETS),
    *(f"{a}," + ",".join(printed((a, d)) for d in DATASETS) for a in ALGORITHMS),
]
SEPARATE = [
    "method;task;mean;std",
    *(f"{a};{d};" + printed((a, d)).replace(" ± ", ";") for a, d in VALUES),
]
MARKDOWN = [
    "| dataset | IQL | TD3+BC |",
    "|:--|--:|--:|",
    *(f"| {d} | {printed(('IQL', d))} | {printed(('TD3+BC', d))} |" for d in DATASETS),
]


@pytest.mark.parametrize("published", [long_lines(), WIDE, TRANSPOSED, SEPARATE, MARKDOWN])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "latin-1"])
def test_formats_and_encodings(pair, capsys, published, encoding):
    assert main(pair(published, raw_lines(), encoding)) == 0
    shown = capsys.readouterr().out
    assert "4 of 4 cells are equal after rounding (8 of 8 numbers)" in shown
    assert "4 cells: 4 reproduced" in shown
    assert ("not UTF-8" in shown) == (encoding == "latin-1" and "±" in "".join(published))


def test_mapped_columns_names_and_files(pair, capsys, tmp_path):
    lines = [line.replace("TD3+BC", "TD3-BC") for line in long_lines()]
    lines[0] = "who,where,cell"
    raw = raw_lines("who,where,number,at,reward")
    columns = ["algorithm=who", "dataset=where", "seed=number", "step=at", "score=reward"]
    command = [*pair(lines, raw), "--columns", *columns, "--names", "TD3-BC=TD3+BC"]
    assert main([*command, "--out", "told", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["summary"] == {"cells": 4, "reproduced": 4}
    assert found["claims"]["claims"] == 2
    assert json.loads((tmp_path / "told" / "reproduction.json").read_text()) == found
    text = (tmp_path / "told" / "reproduction.md").read_text(encoding="utf-8")
    assert "| TD3+BC |" in text
    tex = (tmp_path / "told" / "reproduction.tex").read_text(encoding="utf-8")
    assert tex.startswith("\\documentclass")
    assert tex.count("\\begin{tabular}") == tex.count("\\end{tabular}") >= 3


def test_exit_codes(pair, capsys):
    sample = ["algorithm,dataset,cell", *(f"{a},{d},{printed((a, d), 1)}" for a, d in VALUES)]
    command = pair(sample, raw_lines())
    assert main(command) == 0
    assert "rule 1: standard deviation with ddof = 1 (4 cells only under it)" in (
        capsys.readouterr().out
    )
    assert main([*command, "--strict"]) == 1
    assert main([*command, "--strict", "--ddof", "1"]) == 0
    assert main(pair(long_lines(IQL="99.9 ± 0.1"), raw_lines())) == 1
    assert "differs by mean" in capsys.readouterr().out


def test_references_and_those_of_another_version(pair, capsys, tmp_path):
    scales = {"hopper-medium-v2": (-20.0, 300.0), "walker2d-medium-v2": (2.0, 460.0)}
    older = {"hopper-medium-v0": (-10.0, 320.0), "walker2d-medium-v0": (3.0, 500.0)}
    rows = [f"{name},{low},{high}" for name, (low, high) in {**scales, **older}.items()]
    (tmp_path / "scales.csv").write_text("\n".join(["dataset,minimum,maximum", *rows]))
    for used, words in ((scales, "4 reproduced"), (older, "reference scores of another version")):
        table = ["algorithm,dataset,cell"]
        for (algorithm, dataset), values in VALUES.items():
            low, high = used.get(dataset) or used[dataset.replace("v2", "v0")]
            last = 100 * (values[:, -1] - low) / (high - low)
            table.append(f"{algorithm},{dataset},{last.mean():.2f} ± {last.std():.2f}")
        assert main([*pair(table, raw_lines()), "--references", "scales.csv"]) == 0
        assert words in capsys.readouterr().out


def test_what_is_missing_or_twice_is_named(pair, capsys):
    table = [
        *long_lines(),
        "CQL,hopper-medium-v2,1.0 ± 2.0",
        "IQL,ant-medium-v2,–",
        "IQL,kitchen,3",
    ]
    raw = [*raw_lines(), "BC,hopper-medium-v2,0,1000,3.0", "IQL,hopper-medium-v2,2,4000,77.0"]
    assert main(pair(table, raw)) == 0
    shown = capsys.readouterr().out
    assert "7 cells: 4 reproduced, 2 without raw data, 1 with nothing printed" in shown
    assert "note: algorithm 'CQL' has no raw scores" in shown
    assert "note: no raw scores of IQL on ant-medium-v2; IQL on kitchen" in shown
    assert "note: raw scores without a printed cell: BC on hopper-medium-v2" in shown
    assert "repeated seeds, counted once: IQL on hopper-medium-v2, seed 2 (other values)" in shown
    assert "nothing printed for IQL on ant-medium-v2" in shown


def test_names_of_datasets_are_mapped_too(pair, capsys):
    table = [line.replace("hopper-medium-v2", "Hopper M") for line in long_lines()]
    command = pair(table, raw_lines())
    assert main([*command, "--names", "Hopper M=hopper-medium-v2"]) == 0
    assert "4 of 4 cells" in capsys.readouterr().out


def test_seeds_and_evaluations_that_are_not_there_are_named(pair, capsys):
    raw = [line for line in raw_lines() if not line.startswith("IQL,hopper-medium-v2,3,")]
    raw.remove(next(line for line in raw if line.startswith("TD3+BC,walker2d-medium-v2,1,4000")))
    main(pair(long_lines(), raw))
    shown = capsys.readouterr().out
    assert "other than 5 seeds, as most have: IQL on hopper-medium-v2 (4, without seed 3)" in shown
    assert "runs of the cell: TD3+BC on walker2d-medium-v2, seed 1 (3 of 4)" in shown


def test_a_configuration_without_raw_scores_is_no_mistake_of_the_table(pair, capsys):
    table = ["algorithm,dataset,cell,configuration"]
    table += [f"{a},{d},{printed((a, d))},{'small' if a == 'IQL' else 'huge'}" for a, d in VALUES]
    head, *rows = raw_lines()
    raw = [f"{head},configuration", *(f"{row},small" for row in rows)]
    assert main(pair(table, raw)) == 0
    shown = capsys.readouterr().out
    assert "4 cells: 2 reproduced, 2 without raw data" in shown
    assert "note: no raw scores of TD3+BC on hopper-medium-v2 (huge)" in shown


def test_columns_without_a_name_or_a_cell_are_passed_over(pair, capsys):
    assert main(pair([f"{line},," for line in long_lines()], raw_lines())) == 0
    assert "4 cells: 4 reproduced" in capsys.readouterr().out


def test_both_files_are_known_by_their_hash(pair, capsys, tmp_path):
    main(pair(long_lines(), raw_lines()))
    shown = capsys.readouterr().out
    for name in ("table.csv", "raw.csv"):
        digest = hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
        assert f"note: sha256 of {name}: {digest}" in shown


def test_failed_runs_are_named_and_undefine_the_cell(pair, capsys):
    raw = raw_lines()
    raw[4] = raw[4].rpartition(",")[0] + ",diverged"  # last evaluation of IQL on hopper, seed 0
    dropped = VALUES["IQL", "hopper-medium-v2"][1:, -1]
    table = long_lines()
    table[1] = f"IQL,hopper-medium-v2,{dropped.mean():.1f} ± {dropped.std():.1f}"
    assert main(pair(table, raw)) == 0
    shown = capsys.readouterr().out
    assert "failed runs or missing values: IQL on hopper-medium-v2, seed 0" in shown
    assert "without seed 0" in shown or "failed runs dropped" in shown
    assert main(pair(long_lines(), raw)) == 1
    assert "which failed runs leave undefined" in capsys.readouterr().out


def test_a_run_said_to_have_failed_undefines_its_cell_whatever_it_scored(pair, capsys):
    raw = ["algorithm,dataset,seed,score,status", "IQL,x,0,90,", "IQL,x,1,10,failed"]
    command = pair(["algorithm,dataset,cell", "IQL,x,50.0 ± 40.0"], raw)
    assert main([*command, "--strict"]) == 1
    told = capsys.readouterr().out
    assert "reproduced only under" in told
    assert "failed runs count with their last value" in told
    raw[2] = "IQL,x,1,10,diverged"
    assert main(pair(["algorithm,dataset,cell", "IQL,x,49.0 ± 40.0"], raw)) == 1
    assert "which failed runs leave undefined" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("published", "raw", "options", "said"),
    [
        (["algorithm,dataset,cell", "IQL,x,9,5"], raw_lines(), [], "line 2: 4 cells under 3"),
        (
            ["algorithm;dataset;cell", "IQL;hopper-medium-v2;95,6"],
            raw_lines(),
            [],
            "table.csv, line 2, column 'cell' (IQL on hopper-medium-v2): '95,6' has a comma",
        ),
        (["algorithm,dataset,cell", "IQL,nowhere,9"], raw_lines(), [], "no cell of table.csv"),
        ([*long_lines(), long_lines()[1]], raw_lines(), [], "stands in line 2 already"),
        (["algorithm,dataset,cell"], raw_lines(), [], "has no rows"),
        (["dataset", "hopper-medium-v2"], raw_lines(), [], "table.csv has no cell; give a column"),
        (["a,a", "1,2"], raw_lines(), [], "column 'a' occurs twice"),
        (long_lines(), ["algorithm,dataset,seed", "IQL,x,1"], [], "no column 'score'"),
        (long_lines(), ["algorithm,dataset,step,score", "IQL,x,1,2"], [], "no column 'seed'"),
        (
            long_lines(),
            ["algorithm,dataset,seed,score", "IQL,hopper-medium-v2,1,much"],
            [],
            "raw.csv, line 2, column 'score' (IQL on hopper-medium-v2, seed 1): cannot read 'much'",
        ),
        (
            long_lines(),
            ["algorithm,dataset,seed,score", "IQL,hopper-medium-v2,,5"],
            [],
            "raw.csv, line 2, column 'seed': is empty",
        ),
        (
            long_lines(),
            ["algorithm,dataset,seed,step,score", "IQL,hopper-medium-v2,1,inf,5"],
            [],
            "raw.csv, line 2, column 'step': 'inf' is no step",
        ),
        (
            ["dataset,checkpoint,IQL", "hopper-medium-v2,middle,9"],
            raw_lines(),
            [],
            "table.csv, line 2, column 'checkpoint': 'middle' is no checkpoint rule",
        ),
        (
            ["algorithm,dataset,configuration,cell", "IQL,hopper-medium-v2,large,9"],
            raw_lines(),
            [],
            "'IQL' on 'hopper-medium-v2' of configuration 'large', the raw scores",
        ),
        (
            long_lines(),
            raw_lines(),
            ["--columns", "score=rewards"],
            "no column 'rewards' in table.csv and raw.csv; the nearest: ",
        ),
        (
            long_lines(),
            raw_lines(),
            ["--names", "TD3-BC=TD3+BC"],
            "table.csv has no algorithm or dataset 'TD3-BC'; the nearest: TD3+BC",
        ),
        (long_lines(), raw_lines(), ["--columns", "algoritm=who"], "known: algorithm"),
        (long_lines(), raw_lines(), ["--columns", "score"], "write NAME=COLUMN"),
        (long_lines(), raw_lines(), ["--names", "foo"], "--names 'foo': write PRINTED=RAW, for"),
        (long_lines(), raw_lines(), ["--checkpoint", "latest"], "checkpoint 'latest'"),
        (long_lines(), raw_lines(), ["--ddof", "2"], "--ddof 2: use 0 or 1"),
        (long_lines(), raw_lines(), ["--references", "none.csv"], "none.csv: cannot be read"),
        (long_lines(), raw_lines(), ["--out", "raw.csv"], "--out raw.csv is a file"),
    ],
)  # fmt: skip
def test_refusals(pair, capsys, published, raw, options, said):
    assert main([*pair(published, raw), *options]) == 2
    assert said in capsys.readouterr().err


def test_half_a_pair_is_refused(pair, capsys):
    command = pair(long_lines(), raw_lines())
    assert main(command[:3]) == 2
    assert "--published alone: give --raw too" in capsys.readouterr().err
    assert main([*command, "d3rlpy-d4rl-v0"]) == 2
    assert "give one or the other" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options",
    [
        ["--ddof", "1"],
        ["--checkpoint", "best"],
        ["--columns", "score=return"],
        ["--names", "TD3-BC=TD3+BC"],
        ["--references", "scales.csv"],
    ],
)
@pytest.mark.parametrize("train", [[], ["--train"]])
def test_options_of_ones_own_files_are_refused_where_they_would_do_nothing(capsys, options, train):
    assert main(["reproduce", "d3rlpy-d4rl-v0", *options, *train]) == 2
    said = f"{options[0]} with d3rlpy-d4rl-v0: for a table of your own (--published)"
    assert said in capsys.readouterr().err
    assert main(["reproduce", *options, *train]) == 2
    assert "--published" in capsys.readouterr().err
