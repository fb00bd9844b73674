"""The AdaStop example's table: means and deviations from scores, and decisions decided anew.

A decision is *reproduced* if our test, which holds its level, decides so; *reproduced only under*
the released package's rule, which rejects true nulls too often, otherwise.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from datumrl.evaluation.report_tables import Sheet
from datumrl.leaderboard import adastop_example, outcome, published_tables
from datumrl.leaderboard.adastop_example import Example
from datumrl.leaderboard.outcome import About, CellVerdict, Outcome, Progress, Status
from datumrl.leaderboard.rules import Place, RawRun, Recomputer, Rule, Units, rounds_to
from datumrl.leaderboard.table_case import Case, PrintedCell

_DATASET = "Walker2d"
_RELEASED = "the released package's rule, which does not hold its level"
_KNOWN = ("the sixth batch of scores is not used", Rule(runs="first 25"))
ABOUT = About(
    "adastop-walker",
    "AdaStop's tutorial: PPO, DDPG, SAC and TRPO on Walker2d, means and decisions",
    "TimotheeMathieu/adastop@da3a9d418f7392eda0a03f06f3daf2718029bead",
    "https://github.com/TimotheeMathieu/adastop",
    "MIT",
    "5 runs of each algorithm per interim, at most 5 interims, level 0.05; the sixth file is not "
    "used. Means and standard deviations (ddof = 0) pool all scores an algorithm has at the "
    "end. Decisions: the package's permutation test.",
    "All scores that are there; decisions by a test that holds its level (closed step-down).",
    "raw scores at hand",
)


def case(folder: Path = published_tables.FOLDER) -> Case:
    """Return the printed means and deviations with all scores of the files."""
    runs: dict[tuple[str, str], list[RawRun]] = {}
    for row in published_tables.read_csv(adastop_example.SCORES, folder):
        run = RawRun(f"{row['batch']}.{row['run']}", np.array([float(row["score"])]))
        runs.setdefault((row["algorithm"], _DATASET), []).append(run)
    printed: dict[str, tuple[str, str]] = {}
    for row in published_tables.read_csv(adastop_example.PRINTED, folder):
        for place in ("1", "2"):
            printed[row[f"algorithm_{place}"]] = (row[f"mean_{place}"], row[f"std_{place}"])
    cells = tuple(
        PrintedCell(name, _DATASET, "last", "return", mean, std)
        for name, (mean, std) in printed.items()
    )
    return Case(cells, Recomputer(runs, Units()), known=(_KNOWN,))


def reproduce(seed: int, folder: Path, progress: Progress | None) -> Outcome:
    """Recompute means and deviations, and decide again; ``seed`` is the relabellings'."""
    own = case(folder)
    found = outcome.of_case(own, ABOUT, seed, progress)
    example = adastop_example.decide(seed)
    verdicts = (*found.verdicts, *_differences(own, folder), *_decisions(example))
    used = "; ".join(
        f"{name}: " + ", ".join(f"{algorithm} {count}" for algorithm, count in runs.items())
        for name, runs in example.runs_used.items()
    )
    return dataclasses.replace(
        found,
        verdicts=verdicts,
        facts=("80 scores in six batches, of which five are used",),
        extras=(_sheet(example, used),),
    )


def _differences(own: Case, folder: Path) -> list[CellVerdict]:
    """Return the verdicts on the printed differences of means."""
    verdicts = []
    for row in published_tables.read_csv(adastop_example.PRINTED, folder):
        first, second, printed = row["algorithm_1"], row["algorithm_2"], row["mean_diff"]
        cell = PrintedCell(f"{first} - {second}", _DATASET, "difference", "", printed, None)
        status: Status = "differs"
        tried: tuple[tuple[Rule, Status], ...]
        tried = ((own.expected, "reproduced"), (own.stated, "only under"))
        for rule, kind in tried:
            means = [own.raw.numbers(Place(name, _DATASET), rule)[0][0] for name in (first, second)]
            value = means[0] - means[1]
            if rounds_to(value, printed):
                status = kind
                break
        label = _KNOWN[0] if status == "only under" else ""
        note = outcome.difference(cell, value, 0.0) if status == "differs" else ""
        shown = outcome.digits(value, printed)
        verdicts.append(CellVerdict(cell, status, shown, label, note, value))
    return verdicts


def _decisions(example: Example) -> list[CellVerdict]:
    verdicts = []
    for row in example.rows:
        cell = PrintedCell(
            f"{row.first} and {row.second}", _DATASET, "decision", "", row.printed, None
        )
        if row.closed == row.printed:
            verdicts.append(CellVerdict(cell, "reproduced", row.closed))
        elif row.released == row.printed:
            verdicts.append(CellVerdict(cell, "only under", row.released, _RELEASED))
        else:
            verdicts.append(CellVerdict(cell, "differs", row.closed, note=f"decision {row.closed}"))
    return verdicts


def _sheet(example: Example, used: str) -> Sheet:
    return Sheet(
        "decisions",
        "Decisions, three ways",
        ("first", "second", "as printed", "released rule", "at its level"),
        tuple(
            (row.first, row.second, row.printed, row.released, row.closed) for row in example.rows
        ),
        f"The first against the second. Runs used: {used}.",
    )
