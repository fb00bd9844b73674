"""What `datumrl compare --sequential` trains with, and where it keeps its state."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datumrl.datasets import files
from datumrl.datasets.errors import DatumrlError
from datumrl.scripts import console

if TYPE_CHECKING:
    from datumrl.algorithms.executor import Placed
    from datumrl.algorithms.training import Progress
    from datumrl.evaluation.adastop import State
    from datumrl.evaluation.sequential import Question

_WORDS = {"larger": "larger than", "smaller": "smaller than", "equal": "not separated from"}


def checked_settings(question: Question, options: Mapping[str, Any]) -> dict[str, Any]:
    """Check every job before any is trained; return what fixes the results, as JSON values."""
    from datumrl.algorithms import training

    jobs = [
        training.plan(algorithm, dataset, range(question.runs), **options)
        for algorithm in question.algorithms
        for dataset in question.datasets
    ]
    differing = next((job for job in jobs if job.episodes != jobs[0].episodes), None)
    if differing is not None:
        raise DatumrlError(
            f"{jobs[0].algorithm} would be evaluated over {jobs[0].episodes} episodes, "
            f"{differing.algorithm} over {differing.episodes}; what is measured differently is not "
            "compared: set --episodes"
        )
    return {
        f"{job.algorithm} on {job.dataset}": {
            key: value for key, value in job.as_json().items() if key != "seeds"
        }
        for job in jobs
    }


def default_folder(question: Question, settings: Mapping[str, Any]) -> Path:
    """Return where a comparison is kept unless told otherwise; differs wherever settings do."""
    text = json.dumps([asdict(question), settings], sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return files.home() / "comparisons" / f"{'-'.join(question.algorithms)[:80]}-{digest}"


def shown_in(bars: console.Bars) -> Callable[[Placed, Progress], None]:
    """Return a progress callback that gives each job a bar from its first report on."""
    shows: dict[Path, Callable[[int, int], None]] = {}

    def show(placed: Placed, progress: Progress) -> None:
        if placed.folder not in shows:
            seeds = ", ".join(str(seed) for seed in placed.job.seeds)
            title = f"{placed.job.algorithm} on {placed.job.dataset}, seeds {seeds}"
            shows[placed.folder] = bars.bar(title, "steps")
            console.notes.print(title, soft_wrap=True, markup=False)
        shows[placed.folder](progress.step, progress.steps)

    return show


def tell(state: State) -> None:
    """Say after an interim what is decided and what is still in question."""
    interim = len(state.blocks)
    console.notes.print(f"interim {interim} of {state.design.interims}:", soft_wrap=True)
    lines = [
        f"{each.first} is {_WORDS[each.decision]} {each.second}"
        for each in state.comparisons
        if each.interim == interim
    ]
    if state.wanted:
        lines.append(f"still in question: {', '.join(state.wanted)}")
    for line in lines:
        console.notes.print(f"  {line}", soft_wrap=True, markup=False)
