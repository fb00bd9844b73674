"""CORL's table of D4RL scores: domain averages follow from its cells; raw scores are absent."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np

from datumrl.leaderboard import outcome, published_tables
from datumrl.leaderboard.outcome import About, Outcome, Progress
from datumrl.leaderboard.published_tables import DataFile
from datumrl.leaderboard.rules import RawRun, Recomputer, Units
from datumrl.leaderboard.table_case import Case, PrintedCell

CELLS = DataFile(
    "corl_offline_cells.csv",
    "257cad025a7d0dd117c1ce49b9b63ef199e01d5c753b4211e07ec715f4ac7069",
)
_RULE = (
    "Runs of a cell are cut to the shortest of them; last: the last common evaluation, best: each "
    "seed's maximum; mean and standard deviation (ddof = 0) over 4 seeds; two decimals. For DT the "
    "highest target return is used; for AWAC runs of more than 200 evaluations every fifth only, "
    "which lowers `best`. A domain average is the mean of the cells' means."
)
ABOUT = About(
    "corl-offline",
    "CORL: 10 algorithms on 30 D4RL datasets, last and best, and their domain averages",
    "corl-team/CORL@eeeeef2671235fcce3a3eb255576a207d78840e6",
    "https://github.com/corl-team/CORL",
    "Apache-2.0",
    _RULE,
    "A domain average is the mean over datasets of the printed cells, within their own rounding.",
    "cells only: raw scores are absent, domain averages follow from cells",
)
_DOMAINS = {
    "locomotion": ("halfcheetah", "hopper", "walker2d"),
    "maze2d": ("maze2d",),
    "antmaze": ("antmaze",),
    "adroit": ("pen", "door", "hammer", "relocate"),
}
_HALF_UNIT = 0.005  # of the cells, which are printed with two decimals
_AVERAGE = " average"


def case(folder: Path = published_tables.FOLDER) -> Case:
    """Return the averages as cells whose "runs" are the printed means of their domain."""
    cells = []
    members: dict[tuple[str, str], list[RawRun]] = defaultdict(list)
    domain_of = {stem: domain for domain, stems in _DOMAINS.items() for stem in stems}
    for row in published_tables.read_csv(CELLS, folder):
        algorithm, dataset, column = row["algorithm"], row["dataset"], row["checkpoint"]
        if dataset.endswith(_AVERAGE):
            # Both columns' cells are the "runs" of a domain; a configuration tells them apart.
            cells.append(PrintedCell(algorithm, dataset, "", "", row["mean"], None, False, column))
            continue
        cells.append(PrintedCell(algorithm, dataset, column, "score", row["mean"], row["std"]))
        domain = domain_of[published_tables.environment_of(dataset)]
        run = RawRun(dataset, np.array([float(row["mean"])]), configuration=column)
        members[algorithm, f"{domain}{_AVERAGE}"].append(run)
    raw = Recomputer(members, Units())
    return Case(tuple(cells), raw, slack=_HALF_UNIT, pooled_datasets=False)


def reproduce(seed: int, folder: Path, progress: Progress | None) -> Outcome:
    """Recompute the domain averages; nothing random is in it, so ``seed`` changes nothing."""
    return outcome.of_case(case(folder), ABOUT, seed, progress, with_claims=False)
