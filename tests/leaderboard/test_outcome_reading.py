"""What a reproduction wrote is read again, and shown on the site."""

import json

import numpy as np
import pytest

from datumrl.datasets.errors import DatumrlError
from datumrl.leaderboard import (
    board,
    outcome,
    outcome_files,
    outcome_reading,
    outcome_sheets,
    published_tables,
    registered,
    reproduction_pages,
)
from datumrl.scripts.main import main

GENERATOR = np.random.default_rng(8)
SCORES = {name: GENERATOR.normal(mean, 2.0, 6) for name, mean in (("IQL", 60), ("BC", 30))}


@pytest.fixture
def pair(tmp_path):
    """A table of one's own that follows only with ddof = 1, and whose claim survives."""
    rows = [f"{a},hopper,{v.mean():.2f} ± {v.std(ddof=1):.2f}" for a, v in SCORES.items()]
    table, raw = tmp_path / "mine.csv", tmp_path / "raw.csv"
    table.write_text("\n".join(["algorithm,dataset,cell", *rows, "CQL,hopper,3"]), "utf-8")
    lines = [f"{a},hopper,{k},{x!r}" for a, v in SCORES.items() for k, x in enumerate(v.tolist())]
    raw.write_text("\n".join(["algorithm,dataset,seed,score", *lines]), "utf-8")
    return ["reproduce", "--published", str(table), "--raw", str(raw)]


@pytest.mark.parametrize("table_id", ["adastop-walker", "corl-offline", "jax-corl"])
def test_a_registered_table_is_read_as_it_was_written(table_id, tmp_path):
    found = registered.find(table_id).run(0, published_tables.FOLDER, None)
    outcome_files.write(found, tmp_path / "one")
    (again,) = outcome_reading.read_all(tmp_path)
    assert outcome.as_json(again) == outcome.as_json(found)
    assert outcome_files.markdown(again) == outcome_files.markdown(found)
    # Its page is made from the registered files.
    assert outcome_reading.read_all(tmp_path, frozenset({table_id})) == []


def test_a_table_of_ones_own_has_a_page(pair, tmp_path, capsys):
    folder = tmp_path / "reproductions"
    assert main([*pair, "--out", str(folder / "one"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    (found,) = outcome_reading.read_all(folder)
    assert json.loads(json.dumps(outcome.as_json(found))) == told
    assert [sheet.key for sheet in outcome_sheets.sheets(found)] == [
        "cells", "diagnosis", "pool-0", "claims",
    ]  # fmt: skip
    board.write((), tmp_path / "site", reproductions=[found])
    (page,) = reproduction_pages.pages([found])
    text = (tmp_path / "site" / page.page).read_text(encoding="utf-8")
    for part in (
        "2 cells follow, 2 only under a hidden rule",
        "datumrl reproduce --published mine.csv --raw raw.csv",
        "standard deviation with ddof = 1",
        "1 of 1 claims of the largest mean of a row survive",
        "sha256 of raw.csv",
    ):
        assert part in text
    assert "Source:" not in text


def test_it_is_told_where_no_rule_fits_any_cell(pair, tmp_path, capsys):
    table = tmp_path / "mine.csv"
    table.write_text("algorithm,dataset,cell\nIQL,hopper,12.345 ± 0.123\n", "utf-8")
    assert main(pair) == 1
    told = " ".join(capsys.readouterr().out.split())
    assert "as stated 0 of 1" in told
    assert "No rule explains the cells that differ better than chance would." in told


def test_tables_of_one_name_keep_pages_of_their_own(pair, tmp_path, capsys):
    folder = tmp_path / "reproductions"
    for name in ("one", "two"):
        main([*pair, "--out", str(folder / name)])
    found = outcome_reading.read_all(folder, frozenset({"mine"}))
    assert [each.about.id for each in found] == ["mine (one)", "mine (two)"]
    assert len({each.page for each in reproduction_pages.pages(found)}) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"cells": None},
        {"cells": [{}]},
        {"table": []},
        {"claims": {"marked": True}},
        {"pools": [{"datasets": ["x"], "runs": [1], "aggregates": [], "test": ""}]},
    ],
)
def test_a_damaged_file_is_named(pair, tmp_path, change):
    main([*pair, "--out", str(tmp_path / "all" / "one")])
    path = tmp_path / "all" / "one" / "reproduction.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(DatumrlError, match=r"reproduction\.json holds no reproduction of a table"):
        outcome_reading.read_all(tmp_path / "all")
