"""Published TQ and SACo: consistent as printed, and recomputed where the files are."""

import dataclasses
import json

import numpy as np
import pytest

from datumrl.datasets import catalogue, discretization
from datumrl.datasets.episodes import Episodes, episode_starts
from datumrl.datasets.errors import DatumrlError
from datumrl.leaderboard import quality_tables, quality_verdicts
from datumrl.leaderboard.quality_tables import PublishedRow
from datumrl.scripts.main import main

TABLE = "tq-saco-d4rl-v0"
MEDIUM, REPLAY = "d4rl/hopper-medium-v0", "d4rl/hopper-medium-replay-v0"
ROWS = 1_000  # stand-in for the first 100,000


@pytest.fixture
def preset(monkeypatch):
    from datumrl.datasets import discretization

    small = dataclasses.replace(discretization.PRESETS["d4rl-study"], rows=ROWS)
    monkeypatch.setitem(discretization.PRESETS, "d4rl-study", small)
    return small


def generated(name: str, seed: int) -> Episodes:
    rng, rows = np.random.default_rng(seed), ROWS + 500
    terminals = rng.random(rows) < 0.02
    return Episodes(
        id=name,
        observations=rng.normal(size=(rows, 4)).astype(np.float32),
        actions=rng.uniform(-1, 1, (rows, 1)).astype(np.float32),
        rewards=rng.random(rows).astype(np.float32),
        terminals=terminals,
        timeouts=np.zeros(rows, bool),
        starts=episode_starts(terminals, np.zeros(rows, bool)),
        successor_rows=np.zeros(0, np.int64),
        successors=np.zeros((0, 4), np.float32),
        time_limit=1000,
        timeouts_recorded=True,
    )


def by_the_notebook(episodes: Episodes, reference: Episodes, dtype: str = "float64") -> int:
    """State the source's count: five edges per dimension, tuples of bins in a set."""
    rows = [
        np.concatenate([each.observations, each.actions], axis=1)[:ROWS]
        for each in (episodes, reference)
    ]
    bins = [
        np.digitize(own, np.linspace(float(there.min()), float(there.max()), num=5, dtype=dtype))
        for own, there in zip(rows[0].T, rows[1].T, strict=True)
    ]
    return len(set(zip(*(each.tolist() for each in bins), strict=True)))


@pytest.fixture
def here():
    return {MEDIUM: generated(MEDIUM, 1), REPLAY: generated(REPLAY, 2)}


@pytest.fixture
def printed(here):
    unique, of_reference = (by_the_notebook(here[name], here[REPLAY]) for name in (MEDIUM, REPLAY))
    episodes = here[MEDIUM]
    scale = catalogue.find(MEDIUM).reference
    mean = episodes.returns()[episodes.complete()].mean()
    tq = (mean - scale.minimum) / (scale.maximum - scale.minimum)
    return PublishedRow(MEDIUM, REPLAY, float(tq), unique, unique / of_reference)


def test_the_published_rows_agree_with_themselves():
    rows = quality_tables.read_rows(quality_tables.find(TABLE))
    assert len(rows) == 12
    counts = {row.dataset: row.unique_state_actions for row in rows}
    for row in rows:
        assert row.saco == pytest.approx(counts[row.dataset] / counts[row.reference], abs=1e-12)
        assert catalogue.find(row.dataset).reference is not None
        assert row.reference.endswith("-medium-replay-v0")
    assert counts["d4rl/hopper-medium-v0"] == 21_706


def test_a_row_is_reproduced_from_its_files(preset, here, printed):
    found = quality_tables.check(printed, preset, here.__getitem__)
    assert found.status == "reproduced"
    assert found.unique_state_actions == printed.unique_state_actions
    assert found.tq == pytest.approx(printed.tq)
    assert found.note == "edges in float64; TQ over all rows"


def test_tq_over_the_first_rows_is_tried_too(preset, here, printed):
    episodes = here[MEDIUM]
    first = episodes.complete() & (episodes.starts[1:] <= ROWS)
    scale = catalogue.find(MEDIUM).reference
    tq = (episodes.returns()[first].mean() - scale.minimum) / (scale.maximum - scale.minimum)
    row = dataclasses.replace(printed, tq=float(tq))
    found = quality_tables.check(row, preset, here.__getitem__)
    assert found.status == "reproduced"
    assert found.note.endswith("TQ over the first 1,000 rows")


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"unique_state_actions": 7}, "state-actions"),
        ({"tq": 0.9}, "TQ -"),
        ({"saco": 0.5}, "edges in float64"),
    ],
)
def test_what_differs_is_told(preset, here, printed, change, shown):
    found = quality_tables.check(dataclasses.replace(printed, **change), preset, here.__getitem__)
    assert found.status == "differs"
    assert shown in found.note


def statuses(row, load):
    """Return the row's status, and those of its cells."""
    found = quality_tables.check(row, discretization.find_preset("d4rl-study"), load)
    cells = quality_verdicts._verdicts(found)
    return found.status, [cell.status for cell in cells]


def test_cells_and_rows_are_judged_by_one_tolerance(preset, here, printed):
    load = here.__getitem__
    assert statuses(printed, load) == ("reproduced", ["reproduced"] * 3)
    # As where the reference's count is off by one.
    odd = dataclasses.replace(printed, saco=printed.saco + 0.9e-5)
    assert statuses(odd, load) == ("differs", ["reproduced", "reproduced", "differs"])


def test_tq_is_held_against_the_mean_return_not_against_1(preset, here, printed):
    # TQ is 0.015: far more than the order of sums makes.
    odd = dataclasses.replace(printed, tq=printed.tq + 0.9e-5)
    assert statuses(odd, here.__getitem__) == ("differs", ["differs", "reproduced", "reproduced"])
    # The published row of walker2d-random: its mean return is 0.905.
    row = next(
        row
        for row in quality_tables.read_rows(quality_tables.find(TABLE))
        if row.dataset == "d4rl/walker2d-random-v0"
    )
    assert quality_tables.tq_agrees(row, row.tq + 1e-6 * 0.905 / 4590.7)
    assert not quality_tables.tq_agrees(row, row.tq * 1.001)
    assert quality_tables.tq_agrees(dataclasses.replace(row, tq=1.0), 1.000005)
    assert not quality_tables.tq_agrees(dataclasses.replace(row, tq=1.0), 1.00002)


def test_without_the_files(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("DATUMRL_HOME", str(tmp_path))
    monkeypatch.setenv("D4RL_DATASET_DIR", str(tmp_path / "none"))
    assert main(["reproduce", TABLE]) == 0
    shown = capsys.readouterr().out
    # TQ, state-actions and SACo of the one dataset
    assert shown.count(f"no raw data: {MEDIUM} is not here") == 3
    assert shown.count("datumrl fetch") == 1
    assert "12 of them are not here: `datumrl fetch d4rl/halfcheetah-medium-replay-v0 " in shown
    assert "36 cells: 36 without raw data" in shown
    assert main(["reproduce", TABLE, "--json"]) == 0
    cells = json.loads(capsys.readouterr().out)["cells"]
    assert {cell["status"] for cell in cells} == {"no raw data"}
    assert main(["reproduce"]) == 0
    shown = capsys.readouterr().out
    assert TABLE in shown
    assert "dataset files of 0 of 12 rows are here" in shown
    with pytest.raises(DatumrlError, match="unknown table 'tq'"):
        quality_tables.find("tq")


def test_the_command_fails_where_a_row_differs(monkeypatch, preset, here, capsys):
    monkeypatch.setattr("datumrl.datasets.loading.load", _load(here))
    assert main(["reproduce", TABLE]) == 1
    assert "differs" in capsys.readouterr().out


def _load(here):
    def load(name: str) -> Episodes:
        if name not in here:
            raise DatumrlError(f"{name} is not here; run `datumrl fetch {name}`")
        return here[name]

    return load
