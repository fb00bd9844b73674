"""Whether runs were evaluated at the end of their training: what is refused, and what is noted.

A score of half a training is another method's score.  A run record tells how many steps its
training took; of score rows only the other seeds tell.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation.scored_runs import ScoredRun

Cells = Mapping[tuple[str, str], Sequence[ScoredRun]]
_LISTED = 4  # groups of seeds that a note names
_SEEDS = 6  # of a group


def check(cells: Cells, rule: str) -> None:
    """Refuse to average recorded runs of a cell that were last evaluated at different steps.

    ``best`` takes what each run was best at, whenever that was.  Score rows are not refused: no
    budget says which of them end early, see ``notes``.
    """
    if rule == "best":
        return
    for (algorithm, dataset), runs in cells.items():
        known = [run for run in runs if run.budget is not None]
        ends = _by_end(known)
        if len(ends) > 1:
            told = " and ".join(f"step {step:,} ({_seeds(ends[step])})" for step in sorted(ends))
            raise DatumrlError(
                f"{algorithm} on {dataset}: last evaluations at {told} of "
                f"{known[0].budget:,} steps of training; scores of shorter training are not "
                "averaged with others: leave those runs out, or evaluate them at the end too"
            )


def notes(cells: Cells) -> list[str]:
    """Return which seeds were last evaluated at another step than their training's last."""
    recorded, others = [], []
    for (algorithm, dataset), runs in cells.items():
        ends = _by_end(runs)
        for step, members in sorted(ends.items()):
            where = f"{algorithm} on {dataset}, "
            for budget in sorted({run.budget for run in members if run.budget is not None}):
                found = [run for run in members if run.budget == budget]
                if step != budget:
                    recorded.append(f"{where}{_seeds(found)} (step {step:,} of {budget:,})")
            silent = [run for run in members if run.budget is None]
            if silent and step < max(ends):
                others.append(f"{where}{_seeds(silent)} (step {step:,} of {max(ends):,})")
    return [
        f"{what}: {_listed(found)}"
        for what, found in (
            ("last evaluation not at the end of training", recorded),
            ("last evaluation before that of the other seeds", others),
        )
        if found
    ]


def _by_end(runs: Iterable[ScoredRun]) -> dict[int, list[ScoredRun]]:
    """Return complete runs by the step of their last evaluation, where one is known."""
    found: dict[int, list[ScoredRun]] = defaultdict(list)
    for run in runs:
        if run.status == "complete" and run.steps[-1] >= 0:
            found[int(run.steps[-1])].append(run)
    return found


def _seeds(runs: Sequence[ScoredRun]) -> str:
    named = [str(run.seed) for run in runs if run.seed is not None]
    if len(named) < len(runs):
        return f"{len(runs)} of its runs"
    noun = "seed" if len(named) == 1 else "seeds"
    more = f" and {len(named) - _SEEDS} more" if len(named) > _SEEDS else ""
    return f"{noun} {', '.join(named[:_SEEDS])}{more}"


def _listed(found: Sequence[str]) -> str:
    more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
    return f"{'; '.join(found[:_LISTED])}{more}"
