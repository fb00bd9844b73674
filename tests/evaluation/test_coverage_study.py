"""The coverage study: its truths are true, it goes on where it was, and its verdict can be had."""

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

from datumrl.evaluation import intervals, metrics


@pytest.fixture(scope="module")
def study(benchmark: Callable[[str], ModuleType]) -> ModuleType:
    return benchmark("coverage_study")


@pytest.mark.parametrize("name", ["normal", "skewed", "bimodal", "published", "failing"])
@pytest.mark.parametrize("tasks", [1, 5])
def test_truth_is_the_iqm_of_very_many_runs(study, name, tasks):
    cell = study.Cell(name, runs=200_000, tasks=tasks, resamples=10)
    scores, quantiles = getattr(study, name)(cell, np.random.default_rng(3))
    assert scores.shape == (200_000, tasks)
    assert study.truth_of(quantiles) == pytest.approx(float(metrics.iqm(scores)), abs=0.5)


def test_goes_on_where_it_was(study, tmp_path, monkeypatch):
    monkeypatch.setattr(study, "BLOCK", 4)
    cells = [study.Cell("normal", 3, 1, 20), study.Cell("bimodal", 5, 2, 20)]
    whole, cut = tmp_path / "whole.csv", tmp_path / "cut.csv"
    assert len(list(study.study(cells, 8, {}, whole))) == 4
    for _ in range(3):  # killed after every block
        next(study.study(cells, 8, study.read(cut), cut))
    assert len(list(study.study(cells, 8, study.read(cut), cut))) == 1
    assert list(study.study(cells, 8, study.read(cut), cut)) == []
    assert cut.read_text() == whole.read_text()
    tally = study.read(cut)[cells[1], "t"]
    assert tally.simulations == tally.covered + tally.too_high + tally.too_low == 8


def test_t_holds_for_one_task_of_three_normal_runs_and_percentile_does_not(study):
    # There the IQM is the mean and t is exact; the percentile interval covers about 3 in 4.
    cell = study.Cell("normal", 3, 1, 200)
    tallies = [study.simulate(cell, block) for block in range(1000, 1008)]
    shares = {
        method: np.mean([tally[method].covered / study.BLOCK for tally in tallies])
        for method in intervals.METHODS
    }
    assert abs(shares["t"] - 0.95) < 4.5 * np.sqrt(0.95 * 0.05 / 400)
    assert shares["percentile"] < 0.85


def test_the_committed_results_are_of_the_whole_study(study, capsys):
    results = study.read(study.RESULTS)
    cells = {cell for cell, _ in results}
    wanted = {
        study.Cell(distribution, runs, tasks, 1000)
        for distribution in study.DISTRIBUTIONS
        for runs in study.RUNS
        for tasks in study.TASKS
    }
    assert cells >= wanted
    assert {method for _, method in results} == set(intervals.METHODS)
    study.show(results, 1000)
    assert "worst of all" in capsys.readouterr().out
