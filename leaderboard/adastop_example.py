"""AdaStop's published example, decided three ways: as printed, as released, and at its level.

Four algorithms on Walker2d, five runs of each per interim, level 0.05, at most five interims.  The
scores and the printed decisions are those of the released package's tutorial (see
``published/README.md``).
"""

from __future__ import annotations

from dataclasses import dataclass

from datumrl.evaluation import adastop
from datumrl.evaluation.adastop_design import Design
from datumrl.leaderboard.published_tables import DataFile, read_csv

SCORES = DataFile(
    "adastop_walker.csv", "327bbfa6238d8e6be408b9f6273f3b77f71bf9d90379ad467f85de919295e162"
)
PRINTED = DataFile(
    "adastop_walker_decisions.csv",
    "971746c2772f9b708ee12d3c43f5b61bf546036a008b1af232801ae1f6ce6aa4",
)
ALGORITHMS = ("PPO", "DDPG", "SAC", "TRPO")
PROCEDURES = ("closed", "released")


@dataclass(frozen=True)
class Row:
    """One comparison: the means of all runs used, and what each rule says of the first."""

    first: str
    second: str
    mean_first: float
    mean_second: float
    printed: str  # in the tutorial
    released: str  # our compatibility mode: not for use, it rejects true nulls too often
    closed: str  # our default


@dataclass(frozen=True)
class Example:
    """Both decision tables, and how many runs of each algorithm either rule used."""

    rows: tuple[Row, ...]
    runs_used: dict[str, dict[str, int]]  # procedure -> algorithm -> runs


def decide(seed: int = 0) -> Example:
    """Return the example's decisions; ``seed`` is that of the relabellings."""
    scores = scores_by_interim()
    states = {name: _played(name, scores, seed) for name in PROCEDURES}
    found = {
        name: {(c.first, c.second): c.decision for c in state.comparisons}
        for name, state in states.items()
    }
    rows = []
    for line in read_csv(PRINTED):
        pair = line["algorithm_1"], line["algorithm_2"]
        means = float(line["mean_1"]), float(line["mean_2"])
        decisions = line["decision"], found["released"][pair], found["closed"][pair]
        rows.append(Row(*pair, *means, *decisions))
    return Example(tuple(rows), {name: state.runs_used for name, state in states.items()})


def scores_by_interim() -> list[dict[str, list[float]]]:
    """Return each interim's five scores of every algorithm that was still run."""
    interims: list[dict[str, list[float]]] = []
    for line in read_csv(SCORES):
        while len(interims) < int(line["batch"]):
            interims.append({})
        interims[int(line["batch"]) - 1].setdefault(line["algorithm"], []).append(
            float(line["score"])
        )
    return interims


def markdown(example: Example) -> str:
    """Return the decisions and the runs used as a table."""
    lines = [
        "| comparison | means | printed | released rule | datumrl |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {row.first} and {row.second} | {row.mean_first:.0f} and {row.mean_second:.0f} "
        f"| {row.printed} | {row.released} | {row.closed} |"
        for row in example.rows
    ]
    used = {
        name: ", ".join(f"{algorithm} {count}" for algorithm, count in runs.items())
        for name, runs in example.runs_used.items()
    }
    lines.append(f"| runs used | | | {used['released']} | {used['closed']} |")
    return "\n".join(lines) + "\n"


def _played(procedure: str, scores: list[dict[str, list[float]]], seed: int) -> adastop.State:
    design = Design(ALGORITHMS, runs=5, interims=5, alpha=0.05, procedure=procedure, seed=seed)
    state = adastop.start(design)
    while not state.finished:
        block = scores[len(state.blocks)]
        state = adastop.update(state, {name: block[name] for name in state.wanted})
    return state
