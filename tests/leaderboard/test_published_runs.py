"""The raw scores of published tables, as runs that can be compared."""

from __future__ import annotations

import numpy as np
import pytest

from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import score_table
from datumrl.leaderboard import neorl_selection, published_runs


def test_every_table_with_raw_scores_can_be_compared() -> None:
    assert published_runs.ids() == ["d3rlpy-d4rl-v0", "neorl-derived"]
    for name in published_runs.ids():
        runs, notes = published_runs.scored(name)
        assert notes
        assert score_table.build(runs).common


def test_of_neorl_the_setting_is_taken_that_was_chosen_offline() -> None:
    """Held against the source's numbers: the online returns of the largest median estimate."""
    runs, notes = published_runs.scored("neorl-derived")
    assert len(runs) == 7 * 27 * 3  # algorithms, datasets of locomotion, seeds
    assert "25 datasets without reference scores are left out" in notes
    source = neorl_selection.read()["neorl/Hopper-v3-low-1000", "cql"]
    best = max(range(len(source.fqe)), key=lambda row: np.median(source.fqe[row]))
    mine = [
        run.returns.item()
        for run in sorted(runs, key=lambda run: run.seed or 0)
        if (run.dataset, run.algorithm) == ("neorl/Hopper-v3-low-1000", "cql")
    ]
    assert mine == source.online[best].tolist()


def test_datasets_without_scores_can_be_named() -> None:
    runs, _ = published_runs.scored("neorl-derived", (), ("neorl/ib-low-100",))
    chosen = score_table.build(runs, datasets=["neorl/ib-low-100"])
    assert chosen.unit == "return"
    with pytest.raises(DatumrlError, match="algorithm 'bremem'; did you mean 'bremen'"):
        published_runs.scored("neorl-derived", ("bremem",))
