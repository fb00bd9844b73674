"""What CORL's table says of pairs of methods on D4RL, beside what the local suite's results say.

Which of two methods stands first is read off the published means (`leaderboard.corl_table`: last
evaluation, 4 seeds), for each dataset and for all of a kind together.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

import numpy as np

from datumrl.evaluation import report
from datumrl.evaluation.scored_runs import ScoredRun
from datumrl.leaderboard import corl_table, names, published_tables

PAIRS = (
    ("td3_bc", "bc", "medium-replay"),
    ("iql", "bc", "medium-replay"),
    ("percent_bc", "bc", "medium-replay"),
    ("td3_bc", "percent_bc", "medium-replay"),
    ("td3_bc", "bc", "medium"),
    ("iql", "bc", "medium"),
)
SAYS = {"larger": "holds", "smaller": "the opposite", "equal": "not shown"}


def lines(runs: Sequence[ScoredRun], datasets: Sequence[str]) -> Iterator[str]:
    """Yield the text and the table of all pairs on the datasets that have results."""
    yield "Of two methods, which is above the other in CORL's table of D4RL v2 (mean score of 4"
    yield "seeds, last of a million updates), and is it here? The data are others and the updates"
    yield "a twentieth, so a claim that does not hold here is not refuted on D4RL."
    yield ""
    yield from _how_it_is_tested(datasets)
    yield ""
    yield "| published: above | below | on | published scores | here |"
    yield "|:--|:--|:--|--:|:--|"
    tests = {
        members: report.compare(runs, (), members).test
        for kind in {kind for *_, kind in PAIRS}
        for _, members in _tested(kind, datasets)
    }
    for *pair, kind in PAIRS:
        methods = tuple(map(names.method, pair))
        for on, members in _tested(kind, datasets):
            means = {method: _published(method, members) for method in methods}
            above, below = sorted(methods, key=means.__getitem__, reverse=True)
            says = SAYS.get(tests[members].decision(above, below) or "", "not tested")
            scores = f"{means[above]:.1f} and {means[below]:.1f}"
            yield f"| {above} | {below} | {on} | {scores} | {says} |"


def _how_it_is_tested(datasets: Sequence[str]) -> Iterator[str]:
    yield "A claim holds if the closed permutation test of all methods at 0.05 decides for it; it"
    yield "is not shown if the test decides nothing. Five seeds find large differences only."
    if any(len(list(_tested(kind, datasets))) > 1 for *_, kind in PAIRS):
        yield "So the sets of a kind are tested together too (one score per seed: its mean)."


def _tested(kind: str, datasets: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield by name what is tested of a kind: each dataset and, of several, all of them."""
    alike = tuple(name for name in datasets if name.partition("-")[2] == f"{kind}-v1")
    yield from ((name, (name,)) for name in alike)
    if len(alike) > 1:
        yield f"these {len(alike)} together", alike


def _published(method: str, datasets: Sequence[str]) -> float:
    """Return the mean over datasets of a method's published scores on their D4RL counterparts."""
    means = _published_means()
    return float(np.mean([means[method, counterpart(dataset)] for dataset in datasets]))


def counterpart(dataset: str) -> str:
    """Return D4RL's dataset that a local one is named after."""
    return dataset.replace("local/", "d4rl/", 1).removesuffix("-v1") + "-v2"


@functools.cache
def _published_means() -> dict[tuple[str, str], float]:
    return {
        (row["algorithm"], row["dataset"]): float(row["mean"])
        for row in published_tables.read_csv(corl_table.CELLS)
        if row["checkpoint"] == "last"
    }
