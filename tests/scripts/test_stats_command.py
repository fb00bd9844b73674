"""`datumrl stats` from the command line."""

import json
from dataclasses import replace

import pytest

from datumrl.datasets import catalogue, places
from datumrl.evaluation import auditing
from datumrl.scripts.main import main

pytestmark = pytest.mark.usefixtures("hopper_sets")

MEDIUM, REPLAY = "local/hopper-medium-v1", "local/hopper-medium-replay-v1"


def test_datasets_side_by_side(capsys):
    assert main(["stats", MEDIUM, REPLAY]) == 0
    shown = capsys.readouterr().out
    header, *rows = shown.splitlines()
    assert header.split() == [MEDIUM, REPLAY]
    cells = {row[:34].strip(): row[34:].split() for row in rows}
    assert cells["completed episodes"] == ["2", "2"]
    assert cells["rows of the unfinished tail"] == ["20", "20"]
    assert cells["SACo"][1] == "1.000"
    assert float(cells["TQ (0 random, 1 expert)"][0]) != 0
    assert "the dataset is its own reference: SACo = 1 says nothing of it" in shown
    assert "5 edges a dimension" in shown
    assert "the unfinished tail of 20 rows" in shown
    assert max(map(len, rows)) <= 100


def test_json_of_one_and_of_several(capsys):
    assert main(["stats", MEDIUM, "--json", "--preset", "paper", "--seed", "2"]) == 0
    one = json.loads(capsys.readouterr().out)
    assert (one["id"], one["coverage"]["preset"], one["imitation"]["seed"]) == (MEDIUM, "paper", 2)
    assert main(["stats", MEDIUM, REPLAY, "--json", "--rows", "60", "--reference", MEDIUM]) == 0
    both = json.loads(capsys.readouterr().out)
    assert [each["id"] for each in both] == [MEDIUM, REPLAY]
    assert [each["coverage"]["rows"] for each in both] == [60, 60]
    assert [each["coverage"]["reference"] for each in both] == [MEDIUM, MEDIUM]


def test_a_path_of_the_user_s(tmp_path, capsys):
    folder = places.local_folder(catalogue.find(MEDIUM))
    folder.rename(tmp_path / "elsewhere")
    assert main(["stats", MEDIUM, "--path", str(tmp_path / "elsewhere"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 120


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["stats"], "no dataset named"),
        (["stats", "local/hoper-medium-v1"], "unknown dataset"),
        (["stats", "local/hopper-expert-v1"], "is not here; run `datumrl collect"),
        (["stats", MEDIUM, REPLAY, "--path", "x"], "is one file for 2 datasets"),
        (["stats", MEDIUM, "--path", "/no/such"], "/no/such does not exist"),
        (["stats", MEDIUM, "--path", "."], "is no folder that `datumrl collect` wrote"),
        (["stats", MEDIUM, "--audit", "--replay-rows", "-7"], "--replay-rows -7: use a number"),
        (["stats", MEDIUM, "--reference", "local/pointmaze-umaze-v1"], "no reference for"),
        (["stats", MEDIUM, "--rows", "0"], "0 rows cannot be counted"),
        (["stats", MEDIUM, "--seed", "-1"], "--seed -1 is negative"),
        (["stats", MEDIUM, "--audit", "--reference", REPLAY], "--reference: for the measures"),
        (["stats", MEDIUM, "--audit", "--preset", "d4rl-study"], "leave --audit out"),
        (["stats", MEDIUM, "--audit", "--rows", "9"], "--rows: for the measures"),
        (["stats", MEDIUM, "--replay-rows", "1000"], "--replay-rows: for the audit only; add"),
        (["stats", MEDIUM, "--strict", "--against", REPLAY], "--against, --strict: for the audit"),
        (["stats", MEDIUM, "--card", "x", "--replay-rows", "0"], "instead of --card"),
    ],
)
def test_what_cannot_be_done_is_told(capsys, arguments, shown):
    assert main(arguments) == 2
    assert shown in capsys.readouterr().err


def test_another_dataset_s_folder_is_not_said_to_be_deleted(capsys):
    folder = places.local_folder(catalogue.find(REPLAY))
    assert main(["stats", MEDIUM, "--path", str(folder)]) == 2
    assert f"holds {REPLAY}, not {MEDIUM}; use that id" in capsys.readouterr().err


@pytest.fixture
def validated(monkeypatch):
    """Give the medium set a validation split in the catalogue."""

    def name(split):
        record = replace(catalogue.find(MEDIUM), validation=split)
        monkeypatch.setattr(auditing, "find", lambda _name: record)

    return name


def test_a_validation_split_that_is_not_read_is_told_of_and_why(capsys, validated):
    def leakage():
        assert main(["stats", MEDIUM, "--audit", "--json"]) == 0
        findings = json.loads(capsys.readouterr().out)["findings"]
        (found,) = (each for each in findings if each["check"] == "leakage")
        return found["verdict"], found["summary"]

    assert main(["stats", MEDIUM, "--audit"]) == 0
    shown = capsys.readouterr().out
    assert "n/a   leakage" in shown
    assert leakage()[0] == "not applicable"
    validated(REPLAY)
    assert leakage()[0] == "pass"
    validated("local/hopper-expert-v1")
    verdict, why = leakage()
    assert verdict == "not applicable"
    assert "local/hopper-expert-v1 is not here; run `datumrl collect" in why
    validated(REPLAY)
    column = places.local_folder(catalogue.find(REPLAY)) / "actions.npy"
    column.write_bytes(column.read_bytes()[:-8])
    verdict, why = leakage()
    assert verdict == "not applicable"
    assert "actions.npy" in why
    assert "is not here" not in why


def test_the_notes_of_a_report_are_printed(capsys, monkeypatch):
    kept = auditing.audit_dataset

    def noted(*arguments, **options):
        return replace(kept(*arguments, **options), notes=("the file had [no] timeouts",))

    monkeypatch.setattr(auditing, "audit_dataset", noted)
    main(["stats", MEDIUM, "--audit"])
    assert "note: the file had [no] timeouts" in capsys.readouterr().out
