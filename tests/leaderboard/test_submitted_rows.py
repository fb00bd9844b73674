"""Rows of submissions: their authors' own words and names, beside ours and the references."""

import csv
import dataclasses
import json
from pathlib import Path

import pytest

from datumrl.evaluation.records import Budget, Evaluation, Protocol, RunRecord
from datumrl.leaderboard import board, reference_rows, runs, tables, wording
from datumrl.leaderboard.further_pages import Beside
from datumrl.leaderboard.runs import Run
from datumrl.leaderboard.submission_schema import Code, Method, Tuning
from datumrl.leaderboard.submitted_runs import Submitted

DATASET = "local/hopper-medium-v1"
SOURCE = "submission theirs/r1"


def own_runs(
    name: str, level: float, tier: str, source: str, tuning: str = "none", failed: int = 0
) -> list[Run]:
    """Return four runs as the board has them of a tier and a source, the first of them failed."""
    protocol = Protocol(
        dataset=DATASET, environment="Hopper-v4", engine={}, time_limit=1000, episodes=1
    )
    found = runs.from_records(
        [
            RunRecord(
                algorithm=name, configuration={}, dataset=DATASET, dataset_sha256=None,
                protocol=protocol, budget=Budget(steps=9, tuning=tuning), seed=seed,
                status="failed" if seed < failed else "complete", software={}, hardware="",
                failure="diverged" if seed < failed else None,
                evaluations=(Evaluation(step=9, returns=(level + seed,), lengths=(9,)),),
            )
            for seed in range(4)
        ]
    )  # fmt: skip
    told = {"tier": tier, "source": source}
    return [dataclasses.replace(run, row=run.row.model_copy(update=told)) for run in found]


def method(name: str, tuning: Tuning) -> Submitted:
    return Submitted(
        Method(
            method="theirs", revision="r1", name=name, authors=("A",), licence="CC BY 4.0",
            code=Code(url="https://example.org/code", commit="a" * 40), tuning=tuning,
            online_returns_chose="nothing",
        )
    )  # fmt: skip


def test_a_submission_with_failed_seeds_is_shown_and_not_ranked() -> None:
    found = own_runs("Theirs", 900, "submitted", SOURCE, failed=2)
    (table,) = tables.build(found + own_runs("ours", 500, "local", ""))
    assert [(entry.algorithm, entry.rank) for entry in table.entries] == [
        ("ours", 1),
        ("Theirs", None),
    ]
    theirs = table.entries[1]
    assert (theirs.aggregate, theirs.cells[DATASET].values.size) == (None, 2)
    assert wording.warnings(theirs, table)[0] == "not ranked: 2 of 4 runs failed"


@pytest.mark.parametrize(
    ("tuning", "told"),
    [
        (Tuning(configurations=1), "nothing was tried out"),
        (
            Tuning(configurations=48, seeds=(7, 8), datasets=(DATASET,)),
            "48 configurations × 2 seeds × 1 dataset",
        ),
    ],
)
def test_what_was_tuned_is_what_the_method_says(tmp_path: Path, tuning: Tuning, told: str) -> None:
    found = own_runs("Theirs", 900, "submitted", SOURCE)
    found += own_runs("ours", 500, "local", "", "3 configurations")
    beside = Beside({SOURCE: method("Theirs", tuning)})
    board.write(tables.build(found), tmp_path / "board", beside=beside)
    (page,) = tmp_path.glob("board/suites/*.html")
    text = page.read_text(encoding="utf-8")
    assert f"tuning: {told}<" in text
    assert "tuning: 3 configurations<" in text
    assert "tuning: none" not in text
    (summary,) = json.loads((tmp_path / "board/data/summary.json").read_text())["tables"]
    expected = {"Theirs": told, "ours": "3 configurations"}
    assert {row["algorithm"]: row["budget"]["tuning"] for row in summary["rows"]} == expected
    (path,) = tmp_path.glob("board/data/aggregates/*.csv")
    with path.open(encoding="utf-8", newline="") as handle:
        lines = {line["algorithm"]: line["tuning"] for line in csv.DictReader(handle)}
    assert {name: lines[name] for name in expected} == expected


@pytest.mark.parametrize("tier", ["submitted", "reproduced"])
@pytest.mark.parametrize("name", ["BC", "Random policy"])
def test_the_name_of_a_submission_hides_no_reference(tier: str, name: str) -> None:
    (table,) = tables.build(own_runs(name, 900, tier, SOURCE))
    told = {row.name for row in reference_rows.of_table(table, {}, {SOURCE})}
    assert told >= {"BC", "Random policy"}
    (measured,) = tables.build(own_runs(name, 900, "reproduced", "datumrl baselines"))
    assert name not in {row.name for row in reference_rows.of_table(measured, {}, {SOURCE})}


def test_a_verified_submission_of_a_name_of_ours_is_a_row_of_its_own() -> None:
    found = own_runs("bc", 900, "reproduced", "datumrl baselines")
    found += own_runs("bc", 100, "reproduced", SOURCE)
    (table,) = tables.build(found)
    assert [(entry.label, len(entry.runs)) for entry in table.entries] == [
        ("datumrl baselines", 4), (SOURCE, 4),
    ]  # fmt: skip
    assert [entry.rank for entry in table.entries] == [1, 2]
    assert "BC" not in {row.name for row in reference_rows.of_table(table, {}, {SOURCE})}


@pytest.mark.parametrize("name", ["TD3+BC", "td3+bc", "TD3 + BC"])
def test_a_verified_submission_that_is_shown_as_one_of_ours_is_told_apart(name: str) -> None:
    found = own_runs("td3_bc", 900, "reproduced", "datumrl baselines")
    (alone,) = tables.build(found)[0].entries
    assert alone.name == "TD3+BC"
    (table,) = tables.build(found + own_runs(name, 100, "reproduced", SOURCE))
    assert [(entry.algorithm, entry.label) for entry in table.entries] == [
        ("td3_bc", "datumrl baselines"), (name, SOURCE),
    ]  # fmt: skip
    assert len({entry.id for entry in table.entries}) == 2
    # Tiers are shown beside the name: rows of two need no label.
    (table,) = tables.build(found + own_runs(name, 100, "submitted", SOURCE))
    assert {entry.label for entry in table.entries} == {""}


def test_names_of_one_source_that_are_shown_alike_stay_two_rows() -> None:
    found = own_runs("td3_bc", 900, "local", "") + own_runs("TD3+BC", 100, "local", "")
    (table,) = tables.build(found)
    assert [entry.label for entry in table.entries] == ["td3_bc", "TD3+BC"]
    assert [len(entry.runs) for entry in table.entries] == [4, 4]
