"""NeoRL's runs: what choosing hyper-parameters by their online return adds to the scores.

No table is published beside these runs; the source's rule (per task and algorithm the setting with
the highest mean online return over the 3 seeds) gives a *derived* one.  The same seeds choose and
report there.  Here two seeds choose and the third, which chose nothing, reports; in turn, and
averaged.  What the two choosing seeds show above it is the optimism of the choice.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datumrl.evaluation.report_tables import Sheet
from datumrl.leaderboard import published_tables
from datumrl.leaderboard.outcome import About, CellVerdict, Outcome, Progress
from datumrl.leaderboard.published_tables import DataFile
from datumrl.leaderboard.table_case import PrintedCell

RUNS = DataFile(
    "neorl_runs.parquet",
    "3bc341fad19cb0e9eea2e84056828cd4f07b833339e46eb66b9828f6d8dcdca9",
)
ABOUT = About(
    "neorl-derived",
    "NeoRL: 7 algorithms on 52 datasets, 1 to 16 settings, 3 seeds (derived, none is published)",
    "polixir/NeoRL@a4b6c578662a0566ac39bc6ed84236b853142e8f",
    "https://github.com/polixir/NeoRL",
    "CC BY 4.0 (data)",
    "Per dataset and algorithm the setting with the highest mean online return over the 3 seeds; "
    "mean and standard deviation (ddof = 0) of those same seeds. Nothing else is published.",
    "A setting chosen without the returns that are reported.",
    "derived: raw scores at hand, no table was published",
)


COLUMNS = (  # of the table of optimism
    "algorithm", "settings", "optimism, %", "median, %", "largest, %", "flattered", "FQE costs, %",
)  # fmt: skip


@dataclass(frozen=True)
class Runs:
    """All runs of one algorithm on one dataset: ``(settings, seeds)`` each."""

    settings: tuple[str, ...]
    online: np.ndarray
    fqe: np.ndarray  # fitted Q evaluation: an estimate without the environment


@dataclass(frozen=True)
class Choice:
    """What a choice of settings gives on one dataset, in online returns.

    ``chosen`` and ``std``: the source's rule, all seeds choose and report.  ``shown`` is what
    choosing seeds show of their choice, ``held_out`` what the seed left out shows of it; both are
    means over the turns.  ``offline`` is the return of the setting with the highest FQE.
    """

    setting: str
    chosen: float
    std: float
    shown: float
    held_out: float
    offline: float

    @property
    def optimism(self) -> float:
        """Return by how much the choosing seeds flatter their choice."""
        return self.shown - self.held_out


Choices = Mapping[tuple[str, str], Choice]  # by dataset and algorithm


def read(folder: Path = published_tables.FOLDER) -> dict[tuple[str, str], Runs]:
    """Read every run, by dataset and algorithm."""
    import pyarrow.parquet

    content = published_tables.verified(RUNS, folder)
    columns = pyarrow.parquet.read_table(io.BytesIO(content)).to_pydict()
    names = ("task", "level", "trajectories", "algorithm", "hyperparameters")
    cells: dict[tuple[str, str], dict[str, list[tuple[int, float, float]]]] = defaultdict(dict)
    rows = zip(*(columns[name] for name in (*names, "seed", "online_return", "fqe")), strict=True)
    for task, level, size, algorithm, setting, seed, online, fqe in rows:
        found = cells[f"neorl/{task}-{level}-{size}", algorithm].setdefault(setting, [])
        found.append((seed, online, fqe))
    return {place: _stacked(found) for place, found in cells.items()}


def _stacked(found: Mapping[str, list[tuple[int, float, float]]]) -> Runs:
    ordered = [sorted(rows) for rows in found.values()]
    online = np.array([[row[1] for row in rows] for rows in ordered])
    fqe = np.array([[row[2] for row in rows] for rows in ordered])
    return Runs(tuple(found), online, fqe)


def choose(runs: Runs) -> Choice:
    """Return what the source's rule gives, and what separate seeds say of it."""
    best = int(runs.online.mean(axis=1).argmax())
    shown, held_out = [], []
    for seed in range(runs.online.shape[1]):
        others = np.delete(runs.online, seed, axis=1).mean(axis=1)
        pick = int(others.argmax())
        shown.append(others[pick])
        held_out.append(runs.online[pick, seed])
    by_estimate = int(np.median(runs.fqe, axis=1).argmax())
    return Choice(
        runs.settings[best],
        float(runs.online[best].mean()),
        float(runs.online[best].std()),
        float(np.mean(shown)),
        float(np.mean(held_out)),
        float(runs.online[by_estimate].mean()),
    )


def reproduce(seed: int, folder: Path, progress: Progress | None) -> Outcome:
    """Derive the table and show its optimism; nothing random is in it."""
    runs = read(folder)
    told = progress("cells") if progress else None
    choices = {}
    for number, (place, found) in enumerate(runs.items(), start=1):
        choices[place] = choose(found)
        if told is not None:
            told(number, len(runs))
    verdicts = tuple(
        CellVerdict(
            PrintedCell(algorithm, dataset, "last", "return", None, None),
            "nothing printed",
            f"{choice.chosen:.1f} ± {choice.std:.1f}",
            note=f"derived; held out {choice.held_out:.1f}",
            mean=choice.chosen,
            std=choice.std,
        )
        for (dataset, algorithm), choice in choices.items()
    )
    total = sum(found.online.size for found in runs.values())
    return Outcome(
        ABOUT,
        verdicts,
        facts=(f"raw scores: the last online evaluation of {total:,} runs", winners(choices)),
        extras=(optimism(choices, runs),),
    )


def optimism(choices: Choices, runs: Mapping[tuple[str, str], Runs]) -> Sheet:
    """Return each algorithm's optimism, in percent of the best algorithm's return on a dataset."""
    scale: dict[str, float] = defaultdict(float)
    for (dataset, _), choice in choices.items():
        scale[dataset] = max(scale[dataset], abs(choice.chosen))
    rows = []
    for name in dict.fromkeys(algorithm for _, algorithm in choices):
        own = [(dataset, choice) for (dataset, a), choice in choices.items() if a == name]
        share = np.array([100.0 * choice.optimism / scale[dataset] for dataset, choice in own])
        lost = np.array([100.0 * (c.held_out - c.offline) / scale[dataset] for dataset, c in own])
        error = share.std(ddof=1) / np.sqrt(len(share))
        settings = len(runs[own[0][0], name].settings)
        rows.append(
            (
                name, str(settings),
                f"{share.mean():+.1f} ± {error:.1f}", f"{np.median(share):+.1f}",
                f"{share.max():+.1f}", f"{int((share > 1e-9).sum())} of {len(share)}",
                f"{lost.mean():+.1f}",
            )
        )  # fmt: skip
    return Sheet(
        "optimism",
        "Optimism of choosing settings by online return",
        COLUMNS,
        tuple(rows),
        "Return that two seeds show of the setting they chose, less that of the third seed, in "
        "turn; in percent of the best algorithm's return on the dataset; mean over datasets ± "
        "standard error. With one setting there is no choice, and it is 0 up to rounding. Last: "
        "what choosing by offline estimate (FQE) loses against the held-out seed.",
    )  # fmt: skip


def winners(choices: Choices) -> str:
    """Return in words on how many datasets the best algorithm is another one on held-out seeds."""
    datasets = list(dict.fromkeys(dataset for dataset, _ in choices))
    changed = 0
    for dataset in datasets:
        own = {algorithm: c for (d, algorithm), c in choices.items() if d == dataset}
        by_rule = max(own, key=lambda name: own[name].chosen)
        by_held_out = max(own, key=lambda name: own[name].held_out)
        changed += by_rule != by_held_out
    return (
        f"on {changed} of {len(datasets)} datasets another algorithm is best once settings are "
        "chosen and reported on separate seeds"
    )
