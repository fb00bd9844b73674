"""What `datumrl compare --sequential` trains with, and where it keeps its state."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from datumrl.datasets import catalogue, files
from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import records, score_table
from datumrl.evaluation.scored_runs import ScoredRun
from datumrl.scripts import console

if TYPE_CHECKING:
    from datumrl.algorithms.executor import Placed
    from datumrl.algorithms.training import Job, Progress
    from datumrl.evaluation.adastop import State
    from datumrl.evaluation.report_parts import Options
    from datumrl.evaluation.sequential import Question

_WORDS = {"larger": "larger than", "smaller": "smaller than", "equal": "not separated from"}


def jobs(question: Question, options: Mapping[str, Any]) -> list[Job]:
    """Return every job of the first interim, checked before any is trained."""
    from datumrl.algorithms import registry, training

    planned = [
        training.plan(algorithm, dataset, range(question.runs), **options)
        for algorithm in question.algorithms
        for dataset in question.datasets
    ]
    first = planned[0]
    for job in planned:
        if job.episodes != first.episodes:
            raise DatumrlError(
                f"{first.algorithm} would be evaluated over {first.episodes} episodes, "
                f"{job.algorithm} over {job.episodes}; what is measured differently is not "
                "compared: set --episodes"
            )
        results = registry.entries(job.algorithm, registry.configuration(job.config))
        if len(results) > 1:
            raise DatumrlError(
                f"{job.algorithm} gives {len(results)} results for each seed, and a sequential "
                "comparison needs one; leave it out, or choose one with --set"
            )
    return planned


def check_report(jobs: Sequence[Job], options: Options, family: bool) -> None:
    """Refuse now what the report would refuse once everything is trained.

    The table is made of runs without content: what their datasets, evaluations and units forbid.
    """
    if family and options.over_tasks:
        raise DatumrlError(
            "--bootstrap runs+tasks needs as many runs on every dataset, and with --family they "
            "differ; leave one of the two out"
        )
    runs = [_unmade(job) for job in jobs]
    table = score_table.build(runs, rule=options.checkpoint, failed_as=options.failed_as)
    for name in table.algorithms:
        table.scores(name)


def _unmade(job: Job) -> ScoredRun:
    points = -(-job.config.steps // job.evaluate_every)
    returns = np.zeros(points)
    scored = records.is_scored(catalogue.find(job.dataset))
    scores = returns if scored else np.full(points, np.nan)
    return ScoredRun(job.algorithm, job.dataset, 0, np.arange(points), returns, scores)


def settings(jobs: Sequence[Job]) -> dict[str, Any]:
    """Return what fixes the results of jobs, as JSON values."""
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
