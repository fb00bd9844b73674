"""The local suite's reference results: records of our own runs, which come with the project.

``python -m datumrl.scripts.train_baselines`` (`make baselines`) trains them and writes them here,
a file per seed: ``baselines/<dataset>/<algorithm>/seed-<seed>.json``.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from datumrl.evaluation import records
from datumrl.leaderboard import runs
from datumrl.leaderboard.runs import Run

FOLDER = Path(__file__).parent / "baselines"
SOURCE = "datumrl baselines"
# Gradient steps of a full baseline; with fewer, a method has not had the others' chance.
FULL_BUDGET = 50_000


def load(folder: Path = FOLDER) -> list[Run]:
    """Return the runs of the records in a folder, of tier *reproduced*: one command makes them.

    Those of a smaller budget than `FULL_BUDGET` share no table with the others.
    """
    if not folder.is_dir():
        return []
    found = runs.from_records(records.find_records([folder]))
    return [_labelled(run) for run in found]


def _labelled(run: Run) -> Run:
    assert run.record is not None  # it was made of one
    row = run.row.model_copy(update={"tier": "reproduced", "source": SOURCE})
    short = run.record.budget.steps < FULL_BUDGET
    remark = f"short budget: {run.record.budget.steps:,} updates" if short else ""
    protocol = f"{run.protocol} {remark}".rstrip()
    return replace(run, row=row, protocol=protocol, remark=remark)
