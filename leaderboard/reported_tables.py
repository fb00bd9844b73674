"""Tables that were published without raw scores: nothing to recompute, and every cell says so."""

from __future__ import annotations

from pathlib import Path

from datumrl.leaderboard import published_tables
from datumrl.leaderboard.outcome import About, CellVerdict, Outcome
from datumrl.leaderboard.published_tables import DataFile
from datumrl.leaderboard.table_case import PrintedCell

CELLS = DataFile(
    "reported_tables.csv", "bdbf7f2d5ff9f94d13c3e9d0551ecce6535ba03c9841d101512c88c9871d1959"
)
DATA = "data"  # the row of NeoRL-2's table that holds the datasets' own mean scores
_KIND = "reported: no raw scores were published"
_NOT_STATED = "Not stated."
ABOUT = (
    About(
        "jax-corl",
        "JAX-CORL: 6 algorithms on 6 D4RL datasets, 5 seeds",
        "nissymori/JAX-CORL@d747dd8ad4fcc088ff9f1ade49a6be43a60f6556",
        "https://github.com/nissymori/JAX-CORL",
        "MIT",
        "Mean and deviation over 5 seeds of the mean of 5 evaluation episodes (README); which "
        "evaluation and which ddof is not stated.",
        kind=_KIND,
    ),
    About(
        "offlinerl-kit",
        "OfflineRL-Kit: 8 algorithms on 9 D4RL datasets, 4 seeds",
        "yihaosun1124/OfflineRL-Kit@e3ce69793766d02660217d4dfc0af4693a5531bd",
        "https://github.com/yihaosun1124/OfflineRL-Kit",
        "MIT",
        "4 seeds (README). Its trainers return the mean of the last 10 evaluations; whether the "
        "table holds that is not stated.",
        kind=_KIND,
    ),
    About(
        "ml-jku-scores",
        "Scores quoted by ml-jku/OfflineRL: 6 algorithms on 12 D4RL-v0 datasets",
        "ml-jku/OfflineRL@8cc8eec860b57d04cea4905ff776043a95a52642",
        "https://github.com/ml-jku/OfflineRL",
        "MIT",
        "Quoted from the literature by the source; neither spread nor seeds are stated.",
        kind=_KIND,
    ),
    About(
        "harness-weighted-sampling",
        "Weighted sampling of trajectories: 3 implementations x 3 samplings on 73 datasets",
        "Improbable-AI/harness-offline-rl@f88e2107c45fd91d771824b1906c76bf6c9b0732",
        "https://github.com/Improbable-AI/harness-offline-rl",
        "not stated",
        _NOT_STATED,
        kind=_KIND,
    ),
    About(
        "neorl2",
        "NeoRL-2: 9 algorithms on 7 tasks, 3 seeds, and the datasets' own means",
        "polixir/NeoRL2@29b8c0cf871c12a626057486a7fe3035521301cb",
        "https://github.com/polixir/NeoRL2",
        "not stated",
        "Per task and algorithm the setting of the highest mean online return over 3 seeds, so the "
        "means flatter; its mean and deviation (ddof = 1) over these seeds. `data` is the mean "
        "score of the dataset's own episodes.",
        kind="reported: the raw logs are with the source",
    ),
)


def reproduce(about: About, folder: Path = published_tables.FOLDER) -> Outcome:
    """Return a reported table with each cell's verdict, which is always "no raw data"."""
    cells = [
        PrintedCell(
            row["algorithm"], row["dataset"], "", "score", row["mean"] or None, row["std"] or None
        )
        for row in published_tables.read_csv(CELLS, folder)
        if row["table"] == about.id
    ]
    verdicts = tuple(
        CellVerdict(cell, "no raw data" if cell.mean else "nothing printed") for cell in cells
    )
    return Outcome(about, verdicts, facts=(about.kind.removeprefix("reported: "),))
