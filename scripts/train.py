"""`datumrl train`: stacks of seeds into run records."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import rich.console
import rich.progress
import rich.table
import rich.text
import tyro

from datumrl.algorithms import registry, training
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.loading import load
from datumrl.scripts import console
from datumrl.scripts.evaluate import print_scores, scores_of

if TYPE_CHECKING:
    from datumrl.evaluation.records import RunRecord


@dataclass(frozen=True)
class Command:
    """Train every named algorithm on every named dataset, all seeds of each as one stack."""

    algorithms: Annotated[tuple[str, ...], tyro.conf.Positional]
    """algorithms, e.g. td3_bc"""
    on: tuple[str, ...]
    """dataset ids, e.g. local/inverted-pendulum-medium-v1"""
    seeds: str = "5"
    """a number of seeds (5 is 0 to 4), or the seeds themselves: 3,7,9 or 0-9"""
    steps: int | None = None
    """gradient steps (default: the algorithm's own)"""
    set: tuple[str, ...] = ()
    """fields of the algorithm's configuration, e.g. --set alpha=1.0 batch_size=128"""
    evaluate_every: int = training.EVALUATE_EVERY
    """gradient steps between evaluation points; the last step is one in any case"""
    episodes: int = training.EPISODES
    """episodes per evaluation point and seed"""
    view: Literal["correct", "d4rl-legacy"] = "correct"
    """rule by which episodes become transitions"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """where to train; auto takes a GPU if there is one"""
    threads: int | None = None
    """threads of torch on the CPU (default: its own choice); 1 if other work shares the cores"""
    out: Path | None = None
    """folder of the run (default: a folder under DATUMRL_HOME/runs named after all settings)"""
    restart: bool = False
    """start anew, replacing the run in the folder; without this, it goes on where it stopped"""
    checkpoint_seconds: float = training.CHECKPOINT_SECONDS
    """longest time between checkpoints"""
    show: bool = False
    """print the resolved configuration and stop"""
    json: bool = False
    """print JSON: the run records, or with --show the configuration"""

    def run(self) -> int:
        if not self.algorithms:
            known = ", ".join(registry.ALGORITHMS)
            raise DatumrlError(f"no algorithm named; known are {known}")
        jobs = list(self._jobs())  # all input is checked before any training starts
        if self.show:
            _show([job for job, _ in jobs], registry.parse_settings(self.set), self.json)
            return 0
        if self.threads is not None:
            training.use_threads(self.threads)
        runs = [(folder, _train(job, folder, self)) for job, folder in jobs]
        records = [record for _, run in runs for record in run]
        if self.json:
            console.print_json([record.model_dump(mode="json") for record in records])
        else:
            print_scores(scores_of(records))
            for folder, _ in runs:
                console.output.print(f"records and checkpoint: {folder}", soft_wrap=True)
        return 1 if all(record.status == "failed" for record in records) else 0

    def _jobs(self) -> Iterator[tuple[training.Job, Path]]:
        several = len(self.algorithms) * len(self.on) > 1
        for algorithm in self.algorithms:
            for dataset in self.on:
                job = training.plan(
                    algorithm,
                    dataset,
                    parse_seeds(self.seeds),
                    self.steps,
                    registry.parse_settings(self.set),
                    self.evaluate_every,
                    self.episodes,
                    self.device,
                    self.view,
                )
                folder = self.out or job.folder()
                yield job, folder / algorithm / dataset if several and self.out else folder


def parse_seeds(text: str) -> list[int]:
    """Return the seeds of ``5`` (0 to 4), ``3,7,9`` or ``0-9`` (both ends included)."""
    try:
        if text.isdecimal():
            return list(range(int(text)))
        seeds: list[int] = []
        for part in text.strip(",").split(","):
            first, dash, last = part.partition("-")
            seeds += range(int(first), int(last) + 1) if dash else [int(part)]
        return seeds
    except ValueError:
        raise DatumrlError(
            f"--seeds {text}: write a number of seeds (5), a list (3,7,9) or a range (0-9)"
        ) from None


def _train(job: training.Job, folder: Path, command: Command) -> list[RunRecord]:
    with console.Bars() as bars:  # a first load takes seconds; training then opens what it made
        load(job.dataset, progress=bars.bar(f"reading {job.dataset}", "bytes"))
    with _Display(job) as display:
        return training.train_job(
            job, folder, display.update, command.restart, command.checkpoint_seconds
        )


class _Bar(rich.progress.Progress):
    """A bar with a line of notes below."""

    notes = ""

    def get_renderables(self) -> Iterable[rich.console.RenderableType]:
        yield from super().get_renderables()
        yield rich.text.Text(f"  {self.notes}", overflow="ellipsis", no_wrap=True)


class _Display:
    """Steps, time left, seed-updates/s, last return and losses; plain lines without a terminal."""

    def __init__(self, job: training.Job) -> None:
        self._title = f"{job.algorithm} on {job.dataset}, {len(job.seeds)} seeds"
        self._job = job
        self._bar = _Bar(
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TimeRemainingColumn(),
            console=console.notes,
            disable=not console.notes.is_terminal,
        )
        self._task = self._bar.add_task("training", total=job.config.steps)
        self._began: tuple[float, int] | None = None

    def __enter__(self) -> _Display:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._bar.stop()
        if self._began is None and kind is None:
            console.notes.print(f"{self._title}: already done", soft_wrap=True)

    def update(self, progress: training.Progress) -> None:
        """Show how far training is."""
        if self._began is None:  # what was done before does not count towards the rate
            self._began = (time.monotonic(), progress.step)
            console.notes.print(self._title, soft_wrap=True)
            self._bar.start()
            self._bar.reset(self._task, completed=progress.step)
        self._bar.notes = self._notes(progress)
        doing = "training"
        if progress.episodes is not None:
            doing = f"evaluating {progress.episodes}/{self._job.episodes * len(self._job.seeds)}"
        self._bar.update(self._task, completed=progress.step, description=doing)
        if progress.evaluated and not console.notes.is_terminal:
            line = f"  step {progress.step:,}/{progress.steps:,}: {self._bar.notes}"
            console.notes.print(line, soft_wrap=True)

    def _notes(self, progress: training.Progress) -> str:
        began, first = self._began or (time.monotonic(), progress.step)
        seconds, steps = time.monotonic() - began, progress.step - first
        notes = []
        if steps:
            notes.append(f"{steps * len(self._job.seeds) / seconds:,.0f} seed-updates/s")
        if progress.mean_return is not None:
            notes.append(f"return {progress.mean_return:,.1f}")
        notes += [f"{name} loss {value:.3g}" for name, value in progress.losses.items()]
        return ", ".join(notes)


def _show(jobs: list[training.Job], given: dict[str, str], as_json: bool) -> None:
    described: list[dict[str, Any]] = []
    for job in jobs:
        described.append(
            {
                **dataclasses.asdict(job),
                "config": registry.configuration(job.config),
                "folder": str(job.folder()),
            }
        )
        if as_json:
            continue
        table = rich.table.Table("setting", "value", "where from", box=None, title=job.algorithm)
        defaults = registry.configuration(registry.resolve(job.algorithm, {}))
        for name, value in registry.configuration(job.config).items():
            own = name not in given and value == defaults[name]
            table.add_row(name, str(value), "default" if own else "given here")
        for name in ("dataset", "seeds", "view", "evaluate_every", "episodes", "device"):
            table.add_row(name, str(described[-1][name]), "")
        console.output.print(table)
    if as_json:
        console.print_json(described)
