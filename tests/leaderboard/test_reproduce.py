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
from datumrl.evaluation import metrics
from datumrl.leaderboard import beyond_table, published_tables, registered, reproduce
from datumrl.leaderboard.published_tables import Curves, PrintedCell
from datumrl.leaderboard.rules import Place, Rule, rounds_to
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
def case(table):
    return published_tables.case(table)


@pytest.fixture(scope="module")
def outcome():
    return registered.find(D3RLPY).run(0, published_tables.FOLDER, None)


def failing(case, rule):
    every = sorted(case.testable)
    fits = case.fits(rule, every)
    return {case.cells[n] for n, fitting in zip(every, fits, strict=True) if not fitting}


def places(cells):
    return {(cell.algorithm, cell.dataset, cell.checkpoint, cell.quantity) for cell in cells}


def test_every_printed_number_follows(outcome):
    assert outcome.facts == ("raw scores: 589,000 evaluations of 1,130 runs",)
    assert len(outcome.verdicts) == 113 * 2 * 2
    assert outcome.reproduces
    assert not outcome.strictly
    assert outcome.counts == {"reproduced": 430, "only under": 22}
    for verdict in outcome.verdicts:
        assert abs(verdict.mean - float(verdict.cell.mean)) <= 0.05 + 1e-9
        assert abs(verdict.std - float(verdict.cell.std)) <= 0.05 + 1e-9


def test_hidden_rules_are_told_with_the_cells_that_need_them(outcome):
    needed = {}
    for verdict in outcome.verdicts:
        if verdict.status == "only under":
            assert verdict.cell.checkpoint == "best"
            needed.setdefault(verdict.rule, set()).add(verdict.cell.algorithm)
    assert needed["'best' of PLAS sees its last 500 evaluations only"] == {"PLAS"}
    assert len(needed["'best' does not see the first evaluation of a run"]) > 1
    assert len(needed) == 2


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


def test_which_rules_the_table_rests_on(table, case, outcome):
    pairs = []
    for (_, rule), (_, failed) in zip(table.departures, outcome.departures, strict=True):
        wrong = failing(case, rule)
        assert len(wrong) == failed
        pairs.append({(cell.algorithm, cell.dataset) for cell in wrong})
        if rule.ddof == table.rule.ddof:
            assert {cell.checkpoint for cell in wrong} == {"best"}
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
    case = published_tables.as_case(cells, tampered, references, table.rule)
    expected = {(*place, checkpoint, q) for checkpoint in checkpoints for q in ("return", "score")}
    assert places(failing(case, table.rule)) == expected


def test_a_tampered_printed_number_flips_exactly_its_verdict(table, raw, cells, references):
    changed = list(cells)
    changed[7] = dataclasses.replace(cells[7], std=f"{float(cells[7].std) + 0.1:.1f}")
    case = published_tables.as_case(changed, raw, references, table.rule)
    assert failing(case, table.rule) == {changed[7]}


@pytest.mark.parametrize("kind", ["raw", "cells", "references"])
def test_a_changed_file_is_noticed(table, tmp_path, kind):
    folder = tmp_path / "published"
    shutil.copytree(published_tables.FOLDER, folder)
    path = folder / getattr(table, kind).name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    found = registered.find(D3RLPY)
    with pytest.raises(DatumrlError, match=f"{path.name} has been changed: its sha256 is"):
        found.run(0, folder, None)
    assert registered.state(found, folder).startswith(f"changed or missing files: {path.name}")
    path.unlink()
    with pytest.raises(DatumrlError, match=f"{path.name} is missing"):
        found.run(0, folder, None)


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
        (1234.0, "1.2e3", True),
        (1251.0, "1.2e3", False),
        (float("nan"), "0.1", False),
    ],
)
def test_rounding(value, printed, follows):
    assert rounds_to(value, printed) is follows


def test_windows(references):
    curves = Curves(np.arange(2), np.arange(4), np.array([[9.0, 1, 2, 3], [0, 7, 1, 5]]))
    rule = Rule(skipped=1, windows=(("X", 2),))
    hopper = "d4rl/hopper-medium-v0"
    case = published_tables.as_case(
        [], {("X", hopper): curves, ("Y", hopper): curves}, references, rule
    )

    def scores(algorithm, checkpoint, rule):
        return case.raw.scores(Place(algorithm, hopper, checkpoint), rule).tolist()

    assert scores("X", "final", rule) == [3, 5]
    assert scores("X", "best", rule) == [3, 5]
    assert scores("Y", "best", rule) == [3, 7]
    assert scores("Y", "best", Rule()) == [9, 7]


def test_pools_compare_only_like_with_like(raw, references, outcome):
    first, *others = outcome.pools
    assert len(first.datasets) == 12
    assert {name.rpartition("-")[2] for name in first.datasets} == {"v0"}
    assert not any("ant" in name for name in first.datasets)
    compared = [aggregate.algorithm for aggregate in first.aggregates]
    assert sorted(compared) == ["BCQ", "BEAR", "CQL", "IQL", "PLAS", "SAC", "TD3", "TD3+BC"]
    assert [[a.algorithm for a in pool.aggregates] for pool in others] == [["DT"], ["BCQ"], ["BCQ"]]
    pooled = [
        (a.algorithm, dataset)
        for pool in outcome.pools
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
    assert best.iqm == pytest.approx(metrics.iqm(scores))
    assert best.interval.low < best.iqm < best.interval.high
    assert best.letters == "a"


def test_an_incomplete_algorithm_is_not_pooled_with_the_rest():
    hopper, walker = "d4rl/hopper-medium-v0", "d4rl/walker2d-medium-v0"
    generator = np.random.default_rng(0)
    places = [("A", hopper), ("B", hopper), ("C", hopper), ("A", walker), ("B", walker)]
    places.append(("D", "d4rl/walker2d-medium-v2"))
    found = beyond_table.pooled({place: generator.normal(size=5) for place in places})
    shapes = [(pool.datasets, sorted(a.algorithm for a in pool.aggregates)) for pool in found]
    assert shapes == [
        ((hopper,), ["A", "B", "C"]),
        ((walker,), ["A", "B"]),
        (("d4rl/walker2d-medium-v2",), ["D"]),
    ]


def test_an_algorithm_of_one_run_takes_no_letters_from_the_others():
    generator = np.random.default_rng(0)
    sizes = {"A": (90, 6), "B": (10, 6), "C": (50, 1)}
    found = {
        (name, "d4rl/hopper-medium-v0"): generator.normal(level, size=size)
        for name, (level, size) in sizes.items()
    }
    (pool,) = beyond_table.pooled(found)
    letters = {each.algorithm: each.letters for each in pool.aggregates}
    assert letters == {"A": "a", "B": "b", "C": ""}
    assert pool.test.endswith("not tested: C (1 run, too few)")


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
        environment = published_tables.environment_of(dataset)
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
    for call in (registered.find, published_tables.score_rows):
        with pytest.raises(
            DatumrlError, match="unknown table 'd3rlpy-d4rl'; the nearest: d3rlpy-d"
        ):
            call("d3rlpy-d4rl")


@pytest.fixture
def computed_once(monkeypatch, outcome):
    """The command on the outcome that other tests have computed."""
    monkeypatch.setattr(reproduce, "reproduce", lambda *given: outcome)


def test_command_prints_a_verdict_per_cell(computed_once, capsys):
    assert main(["reproduce", D3RLPY]) == 0
    printed = capsys.readouterr().out
    lines = [line for line in printed.splitlines() if re.search(r" d4rl/\S+ +(final|best) ", line)]
    assert sum("reproduced" in line for line in lines) == 452
    assert "452 of 452 cells are equal after rounding (904 of 904 numbers)" in printed
    assert "'best' of PLAS looks at its warm-up too" in printed
    assert re.search(r"TD3\+BC +49\.\d +\[47\.\d, 51\.\d\] +a", printed)
    assert "10 of 24 claims of the largest mean of a row survive" in printed
    assert main(["reproduce", D3RLPY, "--strict"]) == 1
    assert main(["reproduce", D3RLPY, "--brief"]) == 0
    brief = capsys.readouterr().out.rpartition("d3rlpy's D4RL benchmark")[2]
    assert " d4rl/hopper-medium-v0 " not in brief


def test_command_as_json(computed_once, capsys):
    assert main(["reproduce", D3RLPY, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["summary"] == {"cells": 452, "reproduced": 430, "only under": 22}
    assert len(found["cells"]) == 452
    assert found["claims"]["claims"] == 24


def test_command_says_what_differs(capsys, monkeypatch, table):
    """With a published number changed, the table that should reproduce does not."""
    cells = published_tables.read_cells(table)[:20]
    cells[0] = dataclasses.replace(cells[0], mean="9999.9")
    monkeypatch.setattr(published_tables, "read_cells", lambda *given: cells)
    monkeypatch.setattr("datumrl.leaderboard.bold_claims.check", lambda *given: None)
    assert main(["reproduce", D3RLPY, "--brief"]) == 1
    printed = capsys.readouterr().out
    assert "19 of 20 cells" in printed
    assert re.search(r"9999\.9 ± \S+ .* differs by mean -\d+\.\d\d", printed)


def test_command_lists_tables_and_refuses_unknown_ones(capsys):
    assert main(["reproduce"]) == 0
    assert D3RLPY in capsys.readouterr().out
    assert main(["reproduce", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed[0]["id"] == D3RLPY
    assert listed[0]["state"] == "raw scores at hand"
    assert all(len(file["sha256"]) == 64 for table in listed for file in table["files"])
    assert main(["reproduce", "d3rlpy-d4rl-v2"]) == 2
    assert "the nearest: d3rlpy-d4rl-v0" in capsys.readouterr().err
    assert main(["reproduce", D3RLPY, "--seed", "-1"]) == 2
    assert "seed -1 is negative" in capsys.readouterr().err


def test_printed_cell_needs_no_particular_precision(references):
    curves = Curves(np.arange(2), np.arange(1), np.array([[1.0], [2.0]]))
    cell = PrintedCell("A", "d4rl/hopper-medium-v0", "final", "return", "1.50", "0.5")
    raw = {("A", "d4rl/hopper-medium-v0"): curves}
    case = published_tables.as_case([cell], raw, references, Rule())
    assert case.fit(Rule(), 0)
    assert not case.fit(Rule(ddof=1), 0)
