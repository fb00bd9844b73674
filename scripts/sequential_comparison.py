"""What `datumrl compare --sequential` trains with: a folder of stacks of seeds, resumable."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datumrl.datasets import files
from datumrl.scripts import console

if TYPE_CHECKING:
    from datumrl.evaluation.adastop import State
    from datumrl.evaluation.records import RunRecord
    from datumrl.evaluation.sequential import Question


@dataclass(frozen=True)
class Trainer:
    """Trains blocks of seeds below ``folder``; a block that is there is read, not trained."""

    folder: Path
    steps: int | None
    settings: Mapping[str, str]
    evaluate_every: int
    episodes: int
    device: str

    def __call__(self, algorithm: str, dataset: str, seeds: Sequence[int]) -> list[RunRecord]:
        """Return the records of all seeds."""
        from datumrl.algorithms import training
        from datumrl.datasets.loading import load

        job = self._plan(algorithm, dataset, seeds)
        where = self.folder / algorithm / dataset / f"seeds-{seeds[0]}-{seeds[-1]}"
        title = f"{algorithm} on {dataset}, seeds {seeds[0]} to {seeds[-1]}"
        with console.Bars() as bars:
            load(job.dataset, progress=bars.bar(f"reading {dataset}", "bytes"))
            show = bars.bar(title, "steps")
            return training.train_job(job, where, lambda done: show(done.step, done.steps))

    def check(self, question: Question) -> dict[str, Any]:
        """Check every job before any is trained; return the settings that fix what they train."""
        from datumrl.algorithms import registry

        seeds = range(question.runs)
        jobs = [
            self._plan(algorithm, dataset, seeds)
            for algorithm in question.algorithms
            for dataset in question.datasets
        ]
        return {
            "configurations": {job.algorithm: registry.configuration(job.config) for job in jobs},
            "evaluate_every": self.evaluate_every,
            "episodes": self.episodes,
            "device": jobs[0].device,
        }

    def _plan(self, algorithm: str, dataset: str, seeds: Sequence[int]) -> Any:
        from datumrl.algorithms import training

        return training.plan(
            algorithm,
            dataset,
            seeds,
            self.steps,
            self.settings,
            self.evaluate_every,
            self.episodes,
            self.device,
        )


def default_folder(question: Question, settings: Mapping[str, Any]) -> Path:
    """Return where a comparison is kept unless told otherwise; differs wherever settings do."""
    text = json.dumps([asdict(question), settings], sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return files.home() / "comparisons" / f"{'-'.join(question.algorithms)[:80]}-{digest}"


def tell(state: State) -> None:
    """Say after an interim what is decided and what is still wanted."""
    interim = len(state.blocks)
    console.notes.print(f"interim {interim} of {state.design.interims}", soft_wrap=True)
    for each in state.comparisons:
        if each.interim == interim:
            line = f"  {each.first} is {_WORDS[each.decision]} {each.second}"
            console.notes.print(line, soft_wrap=True, markup=False)
    if state.wanted:
        line = f"  still in question: {', '.join(state.wanted)}"
        console.notes.print(line, soft_wrap=True, markup=False)


_WORDS = {"larger": "larger than", "smaller": "smaller than", "equal": "not separated from"}
