"""Every registered table recomputes as it should; files that changed are noticed."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from datumrl.datasets.errors import DatumrlError
from datumrl.leaderboard import (
    corl_table,
    neorl_selection,
    outcome_files,
    published_tables,
    registered,
)
from datumrl.leaderboard.neorl_selection import Runs
from datumrl.scripts.main import main

FOLDER = published_tables.FOLDER
LIGHT = [
    table.about.id
    for table in registered.all_tables()
    if table.about.id not in ("d3rlpy-d4rl-v0", "tq-saco-d4rl-v0")
]


def run(table_id, folder=FOLDER):
    return registered.find(table_id).run(0, folder, None)


def test_all_kinds_are_registered():
    assert set(LIGHT) >= {
        "adastop-walker", "corl-offline", "neorl-derived", "jax-corl", "offlinerl-kit",
    }  # fmt: skip
    for table in registered.all_tables():
        assert table.about.source.count("@") == 1
        assert table.about.licence
        assert table.about.rule


@pytest.mark.parametrize("table_id", LIGHT)
def test_every_file_is_checked(table_id, tmp_path):
    for file in registered.find(table_id).files:
        folder = tmp_path / file.name
        shutil.copytree(FOLDER, folder)
        path = folder / file.name
        path.write_bytes(path.read_bytes() + b"\n")
        assert file.name in registered.state(registered.find(table_id), folder)
        if table_id != "adastop-walker":  # its decisions read the installed files
            with pytest.raises(DatumrlError, match="has been changed"):
                run(table_id, folder)


def test_adastop(capsys):
    found = run("adastop-walker")
    assert found.counts == {"reproduced": 8, "only under": 8}
    by_kind = {}
    for verdict in found.verdicts:
        by_kind.setdefault(verdict.cell.checkpoint, []).append(verdict)
    assert [v.status for v in by_kind["decision"]].count("reproduced") == 5
    (closest,) = [v for v in by_kind["decision"] if v.status == "only under"]
    assert closest.cell.algorithm == "DDPG and TRPO"
    assert "does not hold its level" in closest.rule
    assert len(by_kind["difference"]) == 6
    # PPO and SAC have no scores in the sixth batch, so all of theirs were used.
    plain = {v.cell.algorithm for v in by_kind["last"] if v.status == "reproduced"}
    assert plain == {"PPO", "SAC"}
    unused = [v for v in found.verdicts if v.rule == "the sixth batch of scores is not used"]
    assert len(unused) == 7
    guide = (Path(__file__).parents[2] / "docs" / "reproduce.md").read_text(encoding="utf-8")
    (line,) = (line for line in guide.splitlines() if line.startswith("| `adastop-walker` |"))
    assert "8 of 16 cells reproduced; 7 means and differences only" in line
    assert main(["reproduce", "adastop-walker"]) == 0
    assert "Decisions, three ways" in capsys.readouterr().out


def test_corl_averages_follow_and_cells_say_that_raw_scores_are_absent():
    found = run("corl-offline")
    assert found.counts == {"reproduced": 80, "no raw data": 600}
    assert found.pools == ()
    case = corl_table.case()
    (bc,) = [
        cell for cell in case.cells
        if (cell.algorithm, cell.dataset) == ("BC", "locomotion average")
        and cell.configuration == "last"
    ]  # fmt: skip
    cells = [
        float(cell.mean) for cell in case.cells
        if (cell.algorithm, cell.checkpoint) == ("BC", "last")
        and cell.dataset.startswith(("d4rl/halfcheetah", "d4rl/hopper", "d4rl/walker2d"))
    ]  # fmt: skip
    assert len(cells) == 9
    assert float(bc.mean) == pytest.approx(np.mean(cells), abs=0.01)


def test_neorl_derives_the_source_s_rule():
    runs = neorl_selection.read()
    assert len(runs) == 364
    assert sum(found.online.size for found in runs.values()) == 7800
    choice = neorl_selection.choose(runs["neorl/HalfCheetah-v3-low-100", "bc"])
    assert choice.chosen == pytest.approx(3364.7844751038933, rel=1e-12)
    assert choice.std == pytest.approx(43.13198518324586, rel=1e-9)
    choice = neorl_selection.choose(runs["neorl/HalfCheetah-v3-low-100", "plas"])
    assert (choice.setting, choice.chosen) == ('{"phi": 0.05}', pytest.approx(3330.6903936772646))


def test_neorl_choosing_flatters_and_one_setting_does_not():
    found = run("neorl-derived")
    assert found.counts == {"nothing printed": 364}
    (sheet,) = found.extras
    rows = {row[0]: row for row in sheet.rows}
    assert rows["bc"][1:6] == ("1", "+0.0 ± 0.0", "+0.0", "+0.0", "0 of 52")
    for name, row in rows.items():
        if name != "bc":
            assert float(row[2].split()[0]) > 0, "the choosing seeds flatter their choice"
    assert any("another algorithm is best" in fact for fact in found.facts)


def test_optimism_of_pure_noise_is_what_it_must_be():
    """Settings that do not differ: the held-out seed shows the true mean, the others more."""
    generator = np.random.default_rng(1)
    choices = [
        neorl_selection.choose(
            Runs(tuple("abcdefgh"), generator.normal(size=(8, 3)), generator.normal(size=(8, 3)))
        )
        for _ in range(1500)
    ]
    held_out = np.mean([choice.held_out for choice in choices])
    shown = np.mean([choice.shown for choice in choices])
    assert held_out == pytest.approx(0.0, abs=0.05)
    # The largest of eight normal means of two: 1.4236 / sqrt(2).
    assert shown == pytest.approx(1.4236 / np.sqrt(2), abs=0.05)


@pytest.mark.parametrize("table_id", ["jax-corl", "harness-weighted-sampling", "neorl2"])
def test_reported_tables_say_that_nothing_can_be_recomputed(table_id):
    found = run(table_id)
    assert set(found.counts) == {"no raw data"}
    assert found.reproduces


@pytest.mark.parametrize("table_id", LIGHT)
def test_files_of_every_table(table_id, tmp_path):
    paths = outcome_files.write(run(table_id), tmp_path / table_id)
    assert all(path.stat().st_size > 200 for path in paths)
