"""From records to verdicts, and to every output: text, Markdown, LaTeX, JSON, CSV, the site."""

import csv
import io
import json

import numpy as np
import pytest

from datumrl.datasets import catalogue
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.scores import normalize
from datumrl.evaluation.recorder import protocol_for
from datumrl.evaluation.records import Budget, Evaluation, RunRecord
from datumrl.leaderboard import (
    board,
    outcome,
    outcome_files,
    outcome_reading,
    reproduction_pages,
    trained,
    trained_outcome,
)
from datumrl.leaderboard.outcome import About
from datumrl.leaderboard.trained import Trained
from datumrl.leaderboard.training_cells import Cell, Printed, TrainingTable

HOPPER = catalogue.find("local/hopper-medium-v1")


def record(seed, curve, algorithm="td3_bc", failed=False, **configuration):
    """A run whose evaluations have these mean returns, of two episodes each."""
    points = tuple(
        Evaluation(step=step, returns=(value - 1.0, value + 1.0), lengths=(10, 10))
        for step, value in enumerate(curve, start=1)
    )
    return RunRecord(
        algorithm=algorithm,
        configuration=configuration,
        dataset=HOPPER.id,
        dataset_sha256=None,
        protocol=protocol_for(HOPPER, 2),
        budget=Budget(steps=len(curve)),
        seed=seed,
        status="failed" if failed else "complete",
        failure="diverged" if failed else None,
        evaluations=points,
        software={},
        hardware="",
    )


def cell(*printed, method="td3_bc", seeds=5, **given):
    return Cell("TD3+BC", method, HOPPER.id, printed, seeds, **given)


CURVES = {3: [900.0, 500.0, 700.0, 600.0], 8: [100.0, 800.0, 300.0, 400.0]}


def test_every_rule_takes_its_own_evaluations():
    rules = {
        "last": (Printed("last", "1", "1"), [600, 400]),
        "best": (Printed("best", "1", "1"), [900, 800]),
        "best, first not seen": (Printed("best", "1", "1", 1), [700, 800]),
        "last-2-mean": (Printed("last-2-mean", "1", "1"), [650, 350]),
        "mean": (Printed("mean", "1", "1"), [675, 400]),
    }
    found = trained.columns_of(
        cell(*(printed for printed, _ in rules.values())),
        [record(seed, curve) for seed, curve in CURVES.items()],
    )
    for column, (_, returns) in zip(found, rules.values(), strict=True):
        expected = [normalize(float(value), HOPPER) for value in returns]
        assert list(column.scores) == [3, 8]
        assert list(column.scores.values()) == pytest.approx(expected)


def test_returns_stay_returns_and_failed_seeds_are_named():
    records = [record(3, CURVES[3]), record(8, CURVES[8], failed=True)]
    (column,) = trained.columns_of(cell(Printed("last", "600", "5"), returns=True), records)
    assert column.scores == {3: 600.0}
    assert column.failed == (8,)
    assert column.pair(5.0).failed == 1
    assert column.pair(5.0).margin == pytest.approx(0.05 * 3254.572305)


def test_of_several_return_targets_the_highest_is_the_tables():
    records = [
        record(0, [float(value)], f"dt-target-{place}", return_target=target)
        for place, target, value in ((1, 1800.0, 100), (2, 3600.0, 200))
    ]
    (column,) = trained.columns_of(
        cell(Printed("last", "1", "1"), method="dt", returns=True), records
    )
    assert column.scores == {0: 200.0}


ABOUT = About("mine", "mine.csv", rule="the last evaluation")


def outcome_of(offset, left_out=(), about=ABOUT, seeds=5):
    """A table of one cell with 50 ± 1 that was trained again, to 50 + offset on average."""
    spread = np.linspace(-1.0, 1.0, 5)
    curves = [[(50.0 + offset + each) / 100 * 3254.572305 - 20.272305] for each in spread]
    (column,) = trained.columns_of(
        cell(Printed("last", "50.0", "1.0"), seeds=seeds),
        [record(seed, curve) for seed, curve in enumerate(curves)],
    )
    found = Trained((column,), left_out=tuple(left_out), command="datumrl reproduce mine --train")
    return trained_outcome.outcome(TrainingTable(about, (column.cell,)), found)


def test_exit_codes_follow_the_verdicts():
    agreeing, other = outcome_of(0.5), outcome_of(20.0)
    assert (agreeing.reproduces, agreeing.strictly) == (True, True)
    assert (other.reproduces, other.strictly) == (False, False)
    unknown = outcome_of(20.0, seeds=None)
    assert (unknown.reproduces, unknown.strictly) == (True, False)


def test_side_by_side_in_every_format(tmp_path):
    found = outcome_of(20.0, [("XQL on there", "no trainer of XQL")])
    plain = outcome_files.plain(found, found.verdicts)
    assert "1 cell trained again: 1 differs" in plain
    for text in ("50.0 ± 1.0", "70.0 ± 0.8", "+20.0 [", "differs (after ", "no trainer of XQL"):
        assert text in plain
    paths = {path.suffix: path for path in outcome_files.write(found, tmp_path)}
    assert set(paths) == {".md", ".tex", ".json", ".csv"}
    assert "| TD3+BC |" in paths[".md"].read_text(encoding="utf-8")
    assert r"\begin{tabular}" in paths[".tex"].read_text(encoding="utf-8")
    (row,) = csv.DictReader(io.StringIO(paths[".csv"].read_text(encoding="utf-8")))
    assert (row["verdict"], row["published_mean"], row["new_seeds"]) == ("differs", "50.0", "5")
    assert float(row["difference"]) == pytest.approx(20.0)
    content = json.loads(paths[".json"].read_text(encoding="utf-8"))
    assert content["reproduces"] is False
    assert content["trained"]["summary"] == {"cells": 1, "differs": 1}


def test_what_is_written_is_read_again(tmp_path):
    found = outcome_of(0.5, [("XQL on there", "no trainer of XQL")])
    outcome_files.write(found, tmp_path / "one")
    (again,) = outcome_reading.read_all(tmp_path)
    assert outcome.as_json(again) == outcome.as_json(found)
    (tmp_path / "one" / "reproduction.json").write_text('{"table": {}, "notes": []}')
    with pytest.raises(DatumrlError, match=r"reproduction\.json holds no reproduction of a"):
        outcome_reading.read_all(tmp_path)


def test_a_page_of_the_site(tmp_path, monkeypatch):
    monkeypatch.setenv("DATUMRL_HOME", str(tmp_path / "home"))
    outcome_files.write(outcome_of(0.5), tmp_path / "home" / "reproductions" / "mine")
    found = outcome_reading.read_all(tmp_path / "home" / "reproductions")
    board.write((), tmp_path / "site", reproductions=found)
    (page,) = reproduction_pages.pages(found)
    text = (tmp_path / "site" / page.page).read_text(encoding="utf-8")
    for part in ("1 agrees", "datumrl reproduce mine --train", "50.0 ± 1.0", "trained again"):
        assert part in text
    assert "Source:" not in text
    pages = "".join(
        path.read_text(encoding="utf-8") for path in (tmp_path / "site").rglob("*.html")
    )
    assert f'{page.page.rpartition("/")[2]}"' in pages
    data = json.loads((tmp_path / "site" / page.data).read_text(encoding="utf-8"))
    assert data["trained"]["cells"][0]["verdict"] == "agrees"


def test_a_cell_that_cannot_be_trained_leaves_the_others(tmp_path):
    first = cell(Printed("last", "50.0", "1.0"), returns=True)
    second = Cell("BC", "bc", HOPPER.id, first.printed, 5, returns=True)
    kept = []

    def run(algorithm, dataset, seeds, options):
        if algorithm == "td3_bc":
            raise DatumrlError("disk full")
        return [record(seed, [50.0], algorithm) for seed in seeds]

    found = trained_outcome.train(
        TrainingTable(ABOUT, (first, second)),
        Trained(()),
        [first, second],
        [4, 5],
        run,
        {},
        lambda each, cell: kept.append(
            (len(each.trained.columns), trained_outcome.told(each, cell))
        ),
    )
    assert found.trained.left_out == ((first.name, "disk full"),)
    assert [list(column.scores) for column in found.trained.columns] == [[4, 5]]
    assert kept == [
        (0, [f"{first.name}: left out: disk full"]),
        (1, [f"BC on {HOPPER.id}, last: agrees"]),
    ]


def test_two_trainings_of_one_cell_have_their_own_estimates_and_lines():
    short, long = (
        cell(Printed("last", "50.0", "1.0"), Printed("best", "50.0", "1.0"), options={"steps": n})
        for n in (1, 2)
    )

    def run(algorithm, dataset, seeds, options):
        if options["steps"] == 2:
            raise DatumrlError("no space")
        return [record(seed, [50.0]) for seed in seeds]

    told = []
    found = trained_outcome.train(
        TrainingTable(ABOUT, (short, long)), Trained(()), [short, long], [4, 5], run,
        {short.key: 1.0, long.key: 2.0},
        lambda each, own: told.append(trained_outcome.told(each, own)),
    )  # fmt: skip
    assert short.name == long.name
    assert [column.estimated for column in found.trained.columns] == [1.0, 1.0]
    assert all(column.hours > 0 for column in found.trained.columns)
    first, second = told
    assert [line.partition(": ")[0] for line in first] == [
        f"{short.name}, last", f"{short.name}, best",
    ]  # fmt: skip
    assert second == [f"{long.name}: left out: no space"]


def test_nothing_trained_shows_nothing():
    found = Trained((), left_out=(("BC on x", "over the budget"),))
    assert found.reproduces  # nothing differs
    assert not found.strictly
    table = trained_outcome.outcome(TrainingTable(About("t", "T"), ()), found)
    assert not table.strictly
    assert "nothing was trained" in outcome_files.plain(table, [])
