"""Where outcomes of training are kept, and that a call leaves what earlier calls trained."""

import dataclasses

import pytest

from datumrl.datasets.errors import DatumrlError
from datumrl.leaderboard import (
    names,
    outcome_files,
    outcome_reading,
    trained_folder,
    trained_outcome,
    training_files,
)
from datumrl.leaderboard.outcome import About
from datumrl.leaderboard.own_tables import Reading
from datumrl.leaderboard.trained import Column, Trained
from datumrl.leaderboard.training_cells import Cell, Printed, TrainingTable
from datumrl.leaderboard.training_files import Stated

HOPPER = "local/hopper-medium-v1"
PRINTED = Printed("last", "50.0", "1.0")


def cell(algorithm, mean="50.0", **options):
    method = {"BC": "bc", "IQL": "iql"}[algorithm]
    return Cell(algorithm, method, HOPPER, (Printed("last", mean, "1.0"),), 5, options)


BC, IQL, SLOW = cell("BC"), cell("IQL"), cell("IQL", steps=10)
REGISTERED = TrainingTable(About("corl-offline", "CORL", source="corl"), (BC, IQL, SLOW))
OWN = TrainingTable(About("corl-offline", "corl-offline.csv"), (BC, IQL, SLOW), own=True)


def outcome(*cells, table=OWN, score=50.0, command="", **changed):
    columns = tuple(
        Column(each, each.printed[0], {0: score, 1: score + 1}, command=command) for each in cells
    )
    trained = Trained(columns, command=command)
    return trained_outcome.outcome(table, dataclasses.replace(trained, **changed))


def kept(found):
    return {(each.cell.key, each.scores[0]) for each in found.trained.columns}


def test_cells_of_earlier_calls_stay_until_they_are_trained_again(tmp_path):
    left = (("IQL on there", "its file is missing"), (BC.name, "over the budget"))
    outcome_files.write(outcome(IQL, SLOW, command="first", left_out=left), tmp_path)
    again = outcome(BC, SLOW, score=60.0, command="second", left_out=((IQL.name, "disk full"),))
    found = trained_folder.merged(again, tmp_path, OWN)
    assert kept(found) == {(IQL.key, 50.0), (BC.key, 60.0), (SLOW.key, 60.0)}
    assert found.trained.command == "first; second"
    assert found.trained.left_out == ((IQL.name, "disk full"),)
    assert trained_folder.words(tmp_path, again, OWN).endswith(
        "goes on with 2 cells of earlier calls, unless trained again"
    )
    outcome_files.write(found, tmp_path)
    whole = trained_folder.merged(again, tmp_path, OWN)
    assert whole == found
    assert outcome_reading.read_all(tmp_path.parent)[0].trained == found.trained


def test_what_waits_for_a_later_call_stays_listed(tmp_path):
    waiting = ((IQL.name, "over the budget"), ("XQL on there", "no trainer of XQL"))
    outcome_files.write(outcome(left_out=waiting), tmp_path)
    assert trained_folder.merged(outcome(BC), tmp_path, OWN).trained.left_out == waiting[:1]
    assert trained_folder.merged(outcome(BC, IQL), tmp_path, OWN).trained.left_out == ()


@pytest.mark.parametrize("changed", [{"points": 1.0}, {"changes": "alpha=1"}])
def test_another_margin_or_setting_is_not_mixed_in(tmp_path, changed):
    outcome_files.write(outcome(IQL), tmp_path)
    again = outcome(BC, **changed)
    assert trained_folder.merged(again, tmp_path, OWN) == again
    assert "without 1 of another table, margin or settings" in (
        trained_folder.words(tmp_path, again, OWN)
    )


def test_a_cell_that_the_table_no_longer_prints_does_not_stay(tmp_path):
    outcome_files.write(outcome(IQL, BC), tmp_path)
    edited = dataclasses.replace(OWN, cells=(BC, cell("IQL", mean="51.0"), SLOW))
    found = trained_folder.merged(outcome(), tmp_path, edited)
    assert kept(found) == {(BC.key, 50.0)}


def test_every_table_margin_and_setting_has_its_own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("DATUMRL_HOME", str(tmp_path))
    plain = trained_folder.of(REGISTERED, 5.0, "")
    assert plain == tmp_path / "reproductions" / names.slug("corl-offline")
    other = dataclasses.replace(OWN, cells=(BC,))
    given = [(OWN, 5.0, ""), (other, 5.0, ""), (OWN, 1.0, ""), (OWN, 5.0, "alpha=1")]
    given += [(REGISTERED, 1.0, "")]
    folders = [trained_folder.of(*each) for each in given]
    assert trained_folder.of(*given[0]) == folders[0]
    assert len({plain, *folders[:-1]}) == 5
    for folder in folders:
        assert folder.parent == plain.parent
        assert folder.name.startswith("corl-offline-")


def test_an_outcome_of_an_earlier_version_is_gone_on_with(tmp_path, monkeypatch):
    monkeypatch.setenv("DATUMRL_HOME", str(tmp_path))
    plain = tmp_path / "reproductions" / names.slug("corl-offline")
    outcome_files.write(outcome(IQL), plain)
    assert trained_folder.of(OWN, 5.0, "") == plain
    edited = dataclasses.replace(OWN, cells=(BC, SLOW))
    assert trained_folder.of(edited, 5.0, "") != plain
    outcome_files.write(outcome(IQL, table=REGISTERED), plain)
    own = trained_folder.of(OWN, 5.0, "")
    assert own != plain
    outcome_files.write(outcome(IQL), own)
    assert len(outcome_reading.read_all(plain.parent)) == 2  # the board shows both


def test_a_file_that_is_no_outcome_is_never_overwritten_unseen(tmp_path):
    (tmp_path / "reproduction.json").write_text('{"table": {}}')
    with pytest.raises(DatumrlError, match=r"reproduction\.json holds no reproduction"):
        trained_folder.words(tmp_path, outcome(BC), OWN)


def test_two_papers_tables_of_one_name_do_not_share_a_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("DATUMRL_HOME", str(tmp_path / "home"))
    folders = set()
    for paper, mean in (("a", 40), ("b", 41), ("c", 40)):
        (tmp_path / paper).mkdir()
        path = tmp_path / paper / "table.csv"
        path.write_text(f"dataset,BC,seeds\n{HOPPER},{mean} ± 2,5\n", encoding="utf-8")
        table = training_files.read(path, Reading({}, {}), Stated())
        folders.add(trained_folder.of(table, 5.0, ""))
    assert len(folders) == 2
