"""Published tables: every printed number follows from its raw scores, and a change is noticed."""

import copy
import dataclasses
import json
import re
import shutil

import numpy as np
import pytest

from datumrl.datasets import catalogue
from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import bootstrap, metrics
from datumrl.leaderboard import published_tables, reproduce
from datumrl.leaderboard.published_tables import Curves, PrintedCell, Rule
from datumrl.scripts.main import main

D3RLPY = "d3rlpy-d4rl-v0"


@pytest.fixture(scope="module")
def table():
    return published_tables.find(D3RLPY)


@pytest.fixture(scope="module")
def raw(table):
    return published_tables.read_raw(table)


@pytest.fixture(scope="module")
def cells(table):
    return published_tables.read_cells(table)


@pytest.fixture(scope="module")
def references(table):
    return published_tables.read_references(table)


@pytest.fixture(scope="module")
def reproduction():
    return reproduce.reproduce(D3RLPY, resamples=2000)


def failing(verdicts):
    return {
        (v.printed.algorithm, v.printed.dataset, v.printed.checkpoint, v.printed.quantity)
        for v in verdicts
        if not v.equal
    }


def test_every_printed_number_follows(reproduction):
    assert reproduction.runs == 1130
    assert reproduction.evaluations == 589_000
    assert len(reproduction.verdicts) == 113 * 2 * 2
    assert failing(reproduction.verdicts) == set()
    differences = [
        abs(difference)
        for v in reproduction.verdicts
        for difference in (v.mean_difference, v.std_difference)
    ]
    assert max(differences) <= 0.05 + 1e-9


def test_cells_by_hand(raw, cells):
    """Two cells computed without the module's own aggregation."""
    printed = {(c.algorithm, c.dataset, c.checkpoint, c.quantity): c for c in cells}
    cql = raw["CQL", "d4rl/halfcheetah-medium-expert-v0"]
    cell = printed["CQL", "d4rl/halfcheetah-medium-expert-v0", "best", "return"]
    assert cell.mean == "1828.9" == f"{cql.returns[:, 1:].max(axis=1).mean():.1f}"
    plas = raw["PLAS", "d4rl/hopper-medium-expert-v0"]
    assert plas.returns.shape == (10, 1000)
    score = 100 * (plas.returns[:, -1] + 20.272305) / (3234.3 + 20.272305)
    cell = printed["PLAS", "d4rl/hopper-medium-expert-v0", "final", "score"]
    assert (cell.mean, cell.std) == (f"{score.mean():.1f}", f"{score.std():.1f}")


def test_which_rules_the_table_rests_on(table, raw, cells, references, reproduction):
    pairs = []
    for (_, rule), (_, failed) in zip(table.departures, reproduction.departures, strict=True):
        wrong = failing(reproduce.check(cells, raw, references, rule))
        assert len(wrong) == failed
        pairs.append({(algorithm, dataset) for algorithm, dataset, *_ in wrong})
        if rule.ddof == table.rule.ddof:
            assert {checkpoint for *_, checkpoint, _ in wrong} == {"best"}
    sample_deviation, first_evaluation, warm_up = pairs
    assert len(sample_deviation) > 100
    assert len(first_evaluation) == 6
    assert len(warm_up) == 6
    assert {algorithm for algorithm, _ in warm_up} == {"PLAS"}


@pytest.mark.parametrize(
    ("evaluation", "change", "checkpoints"),
    [(-1, -500.0, {"final"}), (200, 1e5, {"best"}), (-1, 1e5, {"final", "best"}), (0, 1e5, set())],
)
def test_a_tampered_value_flips_exactly_its_verdicts(
    table, raw, cells, references, evaluation, change, checkpoints
):
    place = ("IQL", "d4rl/walker2d-medium-v0")
    tampered = {**raw, place: copy.deepcopy(raw[place])}
    returns = tampered[place].returns.copy()
    returns[3, evaluation] += change
    tampered[place] = dataclasses.replace(tampered[place], returns=returns)
    wrong = failing(reproduce.check(cells, tampered, references, table.rule))
    expected = {(*place, checkpoint, q) for checkpoint in checkpoints for q in ("return", "score")}
    assert wrong == expected


def test_a_tampered_printed_number_flips_exactly_its_verdict(table, raw, cells, references):
    changed = list(cells)
    changed[7] = dataclasses.replace(cells[7], std=f"{float(cells[7].std) + 0.1:.1f}")
    verdicts = reproduce.check(changed, raw, references, table.rule)
    assert [i for i, v in enumerate(verdicts) if not v.equal] == [7]
    assert verdicts[7].mean_equal


@pytest.mark.parametrize("kind", ["raw", "cells", "references"])
def test_a_changed_file_is_noticed(table, tmp_path, kind):
    folder = tmp_path / "published"
    shutil.copytree(published_tables.FOLDER, folder)
    path = folder / getattr(table, kind).name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DatumrlError, match=f"{path.name} has been changed: its sha256 is"):
        reproduce.reproduce(D3RLPY, resamples=10, folder=folder)
    path.unlink()
    with pytest.raises(DatumrlError, match=f"{path.name} is missing"):
        reproduce.reproduce(D3RLPY, resamples=10, folder=folder)


@pytest.mark.parametrize(
    ("value", "printed", "follows"),
    [
        (2.25, "2.2", True),  # half to even
        (2.25, "2.3", True),  # half up
        (0.15, "0.1", True),  # the float lies below the tie
        (2.2500001, "2.2", False),
        (2.2500001, "2.3", True),
        (-2.25, "-2.2", True),
        (-2.25, "-2.3", True),
        (-0.04, "-0.0", True),
        (72.4, "72", True),
        (72.51, "72", False),
        (72.5, "73", True),
        (0.12345, "0.123", True),
        (0.1236, "0.123", False),
        (float("nan"), "0.1", False),
    ],
)
def test_rounding(value, printed, follows):
    assert reproduce.rounds_to(value, printed) is follows


def test_windows():
    curves = Curves(np.arange(2), np.arange(4), np.array([[9.0, 1, 2, 3], [0, 7, 1, 5]]))
    rule = Rule(ddof=0, skipped=1, windows=(("X", 2),))
    assert reproduce.choose(curves, "X", "final", rule).tolist() == [3, 5]
    assert reproduce.choose(curves, "X", "best", rule).tolist() == [3, 5]
    assert reproduce.choose(curves, "Y", "best", rule).tolist() == [3, 7]
    assert reproduce.choose(curves, "Y", "best", Rule(ddof=0)).tolist() == [9, 7]


def test_pools_compare_only_like_with_like(raw, references, reproduction):
    first, *others = reproduction.pools
    assert len(first.datasets) == 12
    assert {name.rpartition("-")[2] for name in first.datasets} == {"v0"}
    assert not any("ant" in name for name in first.datasets)
    compared = [aggregate.algorithm for aggregate in first.aggregates]
    assert sorted(compared) == ["BCQ", "BEAR", "CQL", "IQL", "PLAS", "SAC", "TD3", "TD3+BC"]
    assert [[a.algorithm for a in pool.aggregates] for pool in others] == [["DT"], ["BCQ"], ["BCQ"]]
    pooled = [
        (a.algorithm, dataset)
        for pool in reproduction.pools
        for a in pool.aggregates
        for dataset in pool.datasets
    ]
    assert sorted(pooled) == sorted(raw)
    best = first.aggregates[0]
    scores = np.stack(
        [
            published_tables.normalized(raw[best.algorithm, name].returns[:, -1], name, references)
            for name in first.datasets
        ],
        axis=1,
    )
    assert best.iqm == metrics.iqm(scores)
    assert best.interval.low < best.iqm < best.interval.high
    own = bootstrap.interval(scores, metrics.iqm, np.random.default_rng(9), 2000)
    assert own.low == pytest.approx(best.interval.low, abs=0.3)


def test_an_incomplete_algorithm_is_not_pooled_with_the_rest(references):
    def curves(runs):
        return Curves(np.arange(runs), np.arange(1), np.ones((runs, 1)))

    hopper, walker = "d4rl/hopper-medium-v0", "d4rl/walker2d-medium-v0"
    found = reproduce.pools(
        {
            ("A", hopper): curves(3),
            ("B", hopper): curves(3),
            ("C", hopper): curves(5),
            ("A", walker): curves(3),
            ("B", walker): curves(3),
            ("D", "d4rl/walker2d-medium-v2"): curves(3),
        },
        references,
        0,
        resamples=10,
    )
    shapes = [(pool.datasets, [a.algorithm for a in pool.aggregates], pool.runs) for pool in found]
    assert shapes == [
        ((hopper, walker), ["A", "B"], 3),
        ((hopper,), ["C"], 5),
        (("d4rl/walker2d-medium-v2",), ["D"], 3),
    ]


def test_raw_scores_hold_every_evaluation(raw):
    assert len(raw) == 113
    for (algorithm, _), curves in raw.items():
        evaluations = {"DT": 100, "PLAS": 1000}.get(algorithm, 500)
        assert curves.returns.shape == (10, evaluations)
        assert curves.seeds.tolist() == list(range(1, 11))
        np.testing.assert_array_equal(curves.steps, 1000 * np.arange(1, evaluations + 1))
    # The first line of the source, digit by digit.
    assert raw["BCQ", "d4rl/ant-medium-expert-v0"].returns[0, 0] == 884.4688633718126


def test_source_references_are_the_catalogue_s(raw, references):
    for _, dataset in raw:
        known = catalogue.find(dataset).reference
        environment = dataset.partition("/")[2].partition("-")[0]
        assert references[environment] == (known.minimum, known.maximum)


def test_score_rows(raw):
    rows = published_tables.score_rows(D3RLPY)
    assert len(rows) == 1130
    assert len({(row.algorithm, row.dataset, row.seed) for row in rows}) == 1130
    row = next(
        r for r in rows if (r.algorithm, r.seed) == ("DT", 4) and "hopper-medium-v2" in r.dataset
    )
    assert (row.tier, row.dataset, row.step) == ("raw published", "d4rl/hopper-medium-v2", 100_000)
    assert row.mean_return == raw["DT", "d4rl/hopper-medium-v2"].returns[3, -1]
    assert row.score == pytest.approx(100 * (row.mean_return + 20.272305) / 3254.572305, rel=1e-12)
    assert row.episodes is None
    assert row.source.startswith("takuseno/d3rlpy-benchmarks@1771c9b")


def test_unknown_table():
    for call in (reproduce.reproduce, published_tables.score_rows):
        with pytest.raises(
            DatumrlError, match="unknown table 'd3rlpy-d4rl'; the nearest: d3rlpy-d"
        ):
            call("d3rlpy-d4rl")


def test_command_prints_a_verdict_per_cell(capsys):
    assert main(["reproduce", D3RLPY, "--resamples", "200"]) == 0
    printed = capsys.readouterr().out
    lines = [line for line in printed.splitlines() if re.match(r" d4rl/\S+ +(final|best) ", line)]
    assert len(lines) == 226
    assert sum(line.count("equal") for line in lines) == 452
    assert "452 of 452 cells are equal after rounding (904 of 904 numbers)" in printed
    assert "'best' of PLAS looks at its warm-up too" in printed
    assert re.search(r"TD3\+BC +49\.\d  \[ *\d+\.\d, +\d+\.\d\]", printed)


def test_command_as_json_is_the_same_for_the_same_seed(capsys):
    outputs = []
    for seed in ("3", "3", "4"):
        assert main(["reproduce", D3RLPY, "--seed", seed, "--resamples", "200", "--json"]) == 0
        outputs.append(json.loads(capsys.readouterr().out))
    assert outputs[0] == outputs[1]
    assert outputs[0]["iqm"] != outputs[2]["iqm"]
    assert outputs[0]["summary"]["numbers_equal"] == 904
    assert len(outputs[0]["cells"]) == 452


def test_command_says_what_differs(capsys, monkeypatch, table):
    skewed = dataclasses.replace(table, rule=Rule(ddof=0, skipped=0, windows=table.rule.windows))
    monkeypatch.setattr(published_tables, "_TABLES", (skewed,))
    assert main(["reproduce", D3RLPY, "--resamples", "50"]) == 1
    printed = capsys.readouterr().out
    assert "442 of 452 cells" in printed
    assert re.search(r"1828\.9±\S+ differs by mean \+800\.\d\d", printed)


def test_command_lists_tables_and_refuses_unknown_ones(capsys):
    assert main(["reproduce"]) == 0
    assert D3RLPY in capsys.readouterr().out
    assert main(["reproduce", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["id"] == D3RLPY
    assert main(["reproduce", "d3rlpy-d4rl-v2"]) == 2
    assert "the nearest: d3rlpy-d4rl-v0" in capsys.readouterr().err
    assert main(["reproduce", D3RLPY, "--seed", "-1"]) == 2
    assert "seed -1 is negative" in capsys.readouterr().err


def test_printed_cell_needs_no_particular_precision(references):
    curves = Curves(np.arange(2), np.arange(1), np.array([[1.0], [2.0]]))
    cell = PrintedCell("A", "d4rl/hopper-medium-v0", "final", "return", "1.50", "0.5")
    raw = {("A", "d4rl/hopper-medium-v0"): curves}
    (verdict,) = reproduce.check([cell], raw, references, Rule(ddof=0))
    assert verdict.equal
    (verdict,) = reproduce.check([cell], raw, references, Rule(ddof=1))
    assert verdict.mean_equal
    assert not verdict.std_equal
