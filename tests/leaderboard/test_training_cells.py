"""Which cells of tables are trained, with what; and which of them a budget takes."""

import dataclasses
from collections import Counter
from pathlib import Path

import pytest

from datumrl.datasets.errors import DatumrlError
from datumrl.leaderboard import (
    own_files,
    own_tables,
    training_budget,
    training_cells,
    training_files,
    training_tables,
)
from datumrl.leaderboard.own_tables import Reading
from datumrl.leaderboard.training_cells import Cell, Printed
from datumrl.leaderboard.training_files import Stated

NOTHING = Stated()
HOPPER = "local/hopper-medium-v1"


@pytest.fixture(scope="module")
def corl():
    return training_tables.find("corl-offline")


def test_corls_cells_are_those_with_a_trainer_and_scores(corl):
    assert Counter(cell.method for cell in corl.cells) == dict.fromkeys(
        ("bc", "percent_bc", "td3_bc", "cql", "iql", "dt"), 9
    )
    assert {cell.dataset.split("-")[0] for cell in corl.cells} == {
        "d4rl/halfcheetah", "d4rl/hopper", "d4rl/walker2d",
    }  # fmt: skip
    (cell,) = [c for c in corl.cells if c.name == "TD3+BC on d4rl/halfcheetah-medium-v2"]
    assert [(p.rule, p.text) for p in cell.printed] == [
        ("last", "48.10 ± 0.18"), ("best", "48.93 ± 0.11"),
    ]  # fmt: skip
    assert (cell.seeds, cell.ddof, dict(cell.options)) == (4, 0, {"preset": "corl"})
    reasons = dict(corl.untrainable)
    assert reasons["AWAC on d4rl/hopper-medium-v2"] == "no trainer of AWAC"
    assert "only the nearest" in reasons["IQL on d4rl/antmaze-umaze-v2"]
    assert len(corl.cells) + len(corl.untrainable) == 300


def test_d3rlpys_best_does_not_see_the_first_evaluation():
    table = training_tables.find("d3rlpy-d4rl-v0")
    for cell in table.cells:
        assert [(p.rule, p.skipped) for p in cell.printed] == [("last", 0), ("best", 1)]
        assert cell.seeds == 10
        assert cell.options["steps"] == (100_000 if cell.method == "dt" else 500_000)


def test_a_table_without_spreads_says_so():
    for cell in training_tables.find("ml-jku-scores").cells:
        assert cell.sample(cell.printed[0]).lacking == "no spread and no number of seeds"
        assert training_budget.worth(cell, 5, 5.0) == 0.0


def test_a_rule_that_the_source_does_not_state_is_told_as_ours() -> None:
    table = training_tables.find("offlinerl-kit")
    assert {printed.rule for cell in table.cells for printed in cell.printed} == {"last-10-mean"}
    assert any("That the table holds this mean is not stated." in note for note in table.notes)
    guide = (Path(__file__).parents[2] / "docs" / "reproduce.md").read_text(encoding="utf-8")
    (row,) = [line for line in guide.splitlines() if line.startswith("| `offlinerl-kit` |")]
    assert "not stated of the table" in row


def test_a_table_that_holds_no_training_is_refused():
    with pytest.raises(DatumrlError, match=r"holds no scores that training gives again; .*corl"):
        training_tables.find("tq-saco-d4rl-v0")
    with pytest.raises(DatumrlError, match=r"unknown table 'corl'; the nearest: .*corl-offline"):
        training_tables.find("corl")


def test_cells_are_selected_by_either_spelling(corl):
    found = training_cells.selected(corl, ["TD3+BC", "iql"], ["hopper-medium-v2"])
    assert [cell.name for cell in found.cells] == [
        "TD3+BC on d4rl/hopper-medium-v2", "IQL on d4rl/hopper-medium-v2",
    ]  # fmt: skip
    with pytest.raises(DatumrlError, match=r"algorithm 'AWAC' \(no trainer of AWAC\)"):
        training_cells.selected(corl, ["AWAC"], [])
    with pytest.raises(DatumrlError, match="'d4rl/hoper-medium-v2'; the nearest: d4rl/hopper-med"):
        training_cells.selected(corl, [], ["d4rl/hoper-medium-v2"])


def own(tmp_path, text, stated=NOTHING, **reading):
    path = tmp_path / "own.csv"
    path.write_text(text, encoding="utf-8")
    return training_files.read(path, Reading({}, {}, **reading), stated)


def test_a_table_of_ones_own(tmp_path):
    table = own(
        tmp_path,
        "algorithm;dataset;cell;seeds;steps;preset;set.alpha;checkpoint\n"
        f"TD3+BC;{HOPPER};95,6 ± .4;10;1e3;;1.0;last-10-mean\n".replace("95,6", "95.6")
        + f"td3_bc;{HOPPER}@50k;**1,095.6** (3);4;2,000;official;;best\n"
        f"XQL;{HOPPER};3;4;10;;;\n"
        f"BC;{HOPPER};–;4;10;;;\n"
        "BC;d4rl/nowhere-v2;3;4;10;;;\n",
        ddof=1,
    )
    first, second = table.cells
    assert (first.method, first.seeds, first.ddof) == ("td3_bc", 10, 1)
    assert first.printed == (Printed("last-10-mean", "95.6", ".4"),)
    assert dict(first.options) == {"steps": 1000, "settings": {"alpha": "1.0"}}
    assert second.printed == (Printed("best", "1095.6", "3"),)
    assert dict(second.options) == {"steps": 2000, "preset": "official"}
    assert dict(table.untrainable) == {
        f"XQL on {HOPPER}": "no trainer of XQL",
        f"BC on {HOPPER}": "nothing is printed",
        "BC on d4rl/nowhere-v2": "the dataset is in no catalogue",
    }


def test_a_wide_table_with_columns_of_one_training(tmp_path):
    text = f"dataset,BC,TD3+BC,steps\n{HOPPER},40 ± 2,50 ± 3,500\n"
    table = own(tmp_path, text, Stated(seeds=7))
    assert [(c.algorithm, c.seeds, c.options["steps"]) for c in table.cells] == [
        ("BC", 7, 500), ("TD3+BC", 7, 500),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        f"dataset,BC,TD3+BC,seeds,Steps,preset,view,set.alpha\n{HOPPER},40 ± 2,50 ± 3,5,1e3,"
        "official,correct,2.5\n",
        f"algorithm,seeds,{HOPPER},Steps,preset,view,set.alpha\nBC,5,40 ± 2,1e3,official,correct,"
        "2.5\nTD3+BC,5,50 ± 3,1e3,official,correct,2.5\n",
    ],
)
def test_columns_of_training_are_no_cells_of_a_wide_table(tmp_path, text):
    table = own(tmp_path, text)
    assert [(c.name, c.seeds) for c in table.cells] == [
        (f"BC on {HOPPER}", 5), (f"TD3+BC on {HOPPER}", 5),
    ]  # fmt: skip
    assert table.untrainable == ()
    for each in table.cells:
        assert dict(each.options) == {
            "steps": 1000, "preset": "official", "view": "correct", "settings": {"alpha": "2.5"},
        }  # fmt: skip
    # Without training they tell nothing, and are no algorithms without raw scores either.
    sheet = own_files.read(tmp_path / "own.csv")
    assert len(own_tables.printed(sheet, Reading({}, {}))) == 2


def test_last_and_best_of_one_training_are_one_cell(tmp_path):
    text = (
        "algorithm,dataset,checkpoint,mean,std,seeds\n"
        f"BC,{HOPPER},last,40,2,5\nBC,{HOPPER},best,45,2,5\n"
    )
    (cell,) = own(tmp_path, text).cells
    assert [printed.rule for printed in cell.printed] == ["last", "best"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (f"BC,{HOPPER},40,2,0", r"line 2, column 'seeds' \(BC on .*: '0' is no number of seeds"),
        (f"BC,{HOPPER},40,2,2.5", "'2.5' is no number of seeds"),
        (f"BC,{HOPPER},forty,2,5", r"line 2, column 'mean' \(BC on .*cannot read 'forty'"),
        (f"BC,{HOPPER},40,2,5\nBC,{HOPPER},41,2,5", "line 3: BC on .* stands in line 2 already"),
        (f",{HOPPER},40,2,5", "line 2, column 'algorithm': is empty"),
    ],
)
def test_bad_cells_are_named(tmp_path, row, said):
    with pytest.raises(DatumrlError, match=said):
        own(tmp_path, f"algorithm,dataset,mean,std,seeds\n{row}\n")


def cell(method, dataset, std, seeds=10):
    return Cell(method.upper(), method, dataset, (Printed("last", "50.0", std),), seeds)


CELLS = [
    cell("bc", "local/hopper-medium-v1", "1.0"),
    cell("bc", "local/walker2d-medium-v1", "1.0"),
    cell("iql", "local/hopper-medium-v1", "1.0"),
    cell("iql", "local/walker2d-medium-v1", "20.0"),
    cell("cql", "local/hopper-medium-v1", None),
]
HOURS = [1.0, 1.0, 1.5, 1.5, 1.0]


def test_a_budget_takes_what_tells_most_for_its_time():
    found = training_budget.choose(CELLS, HOURS, 2.6, 5, 5.0)
    # The second BC cell counts half, so IQL's first one comes before it.
    assert found.cells == (CELLS[0], CELLS[2])
    reasons = {each.name: reason for each, reason in found.left_out}
    assert reasons[CELLS[1].name].startswith("takes 1 h, 0.1 h are left")
    assert "without a published spread" in reasons[CELLS[4].name]
    again = training_budget.choose(CELLS[::-1], HOURS[::-1], 2.6, 5, 5.0)
    assert again.cells == found.cells
    wider = training_budget.choose(CELLS, HOURS, 4.0, 5, 5.0)
    assert wider.cells == (CELLS[0], CELLS[2], CELLS[1])


def test_without_a_budget_all_are_trained_and_what_is_done_costs_nothing():
    assert set(map(id, training_budget.choose(CELLS, HOURS, None, 5, 5.0).cells)) == set(
        map(id, CELLS)
    )
    found = training_budget.choose(CELLS, [*HOURS[:3], 0.0, 1.0], 0.0, 5, 5.0)
    assert found.cells == (CELLS[3],)
    with pytest.raises(DatumrlError, match="--budget -1"):
        training_budget.choose(CELLS, HOURS, -1.0, 5, 5.0)


def test_margins_are_in_the_units_of_the_cell():
    printed = Printed("last", "1000", "50")
    scores = cell("bc", "local/hopper-medium-v1", "1.0")
    assert scores.margin(5.0, printed) == 5.0
    returns = dataclasses.replace(scores, returns=True)
    assert returns.margin(5.0, printed) == pytest.approx(0.05 * (3234.3 + 20.272305))
