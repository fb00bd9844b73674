"""`datumrl train`: stacks of seeds into run records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from datumrl.algorithms import executor, memory, packed_rows, presets, registry, training
from datumrl.algorithms.executor import Outcome
from datumrl.algorithms.trackers import Trackers
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.loading import load
from datumrl.scripts import console
from datumrl.scripts.evaluate import print_grid, print_scores, scores_of
from datumrl.scripts.show_configuration import Shown, show
from datumrl.scripts.training_display import Display

if TYPE_CHECKING:
    from datumrl.evaluation.records import RunRecord

MOST_SEEDS = 10_000  # in one range: more is a slip of the pen


@dataclass(frozen=True)
class Command:
    """Train every named algorithm on every named dataset, the seeds of each in stacks.

    Each run writes a record per seed and a checkpoint; Ctrl-C saves. The same command resumes where
    it stopped, after a kill too, and trains nothing twice. --show prints every setting and its
    source. A job that cannot be done is listed at the end, with exit code 2; the others are done.
    Exit code 1: every seed failed (diverged).

    Begin with, for example: datumrl train td3_bc iql --on local/hopper-medium-v1 --steps 50000
    """

    algorithms: Annotated[
        tuple[str, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="METHOD...", help=f"methods: {', '.join(registry.ALGORITHMS)}"),
    ]
    on: Annotated[tuple[str, ...], tyro.conf.arg(metavar="ID...")]
    """dataset ids, e.g. local/inverted-pendulum-medium-v1"""
    seeds: str = "5"
    """a number of seeds (5 is 0 to 4), or the seeds themselves: 0-9, or 3,7,9"""
    steps: int | None = None
    """gradient steps per seed (default: the preset's, or 1000000, for dt 100000: five seeds take
    hours on two cores then, of cql days). Begin with 50000, for cql with --set cql.bc_steps=0 too,
    as it clones for its first 40000"""
    set: tuple[str, ...] = ()
    """fields of the algorithm's configuration, e.g. --set alpha=1.0 batch_size=128; of one of
    several algorithms, e.g. cql.bc_steps=0"""
    preset: Literal["official", "corl"] | None = None
    """values published for the dataset: official code or paper, or CORL; --set goes before them"""
    evaluate_every: int | None = None
    """gradient steps between evaluation points (default: the preset's, or 5,000); and the last"""
    episodes: int | None = None
    """episodes per evaluation point and seed (default: the preset's, or 10)"""
    view: Literal["correct", "d4rl-legacy"] | None = None
    """rule by which episodes become transitions (default: the preset's, or correct)"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """where to train; auto takes a GPU if there is one"""
    threads: int | None = None
    """threads of torch on the CPU (default: its own choice); 1 if other work shares the cores"""
    matmul_precision: Literal["highest", "medium"] = "highest"
    """medium rounds factors and results of matrix products to bfloat16: faster, and recorded; what
    it does to final scores has not been studied"""
    memory: str | None = None
    """most memory for training data, e.g. 4GB; the rest stays on disk (default: half the free)"""
    nearest: bool = False
    """roll out even where the environment is only the nearest; returns are then no scores"""
    workers: int | None = None
    """processes of one thread each; 1 trains in this one (default: as suits machine and work)"""
    out: Path | None = None
    """folder of the run (default: a folder under DATUMRL_HOME/runs named after all settings)"""
    restart: bool = False
    """start again, replacing the run in the folder; without this, it resumes where it stopped"""
    checkpoint_seconds: float = training.CHECKPOINT_SECONDS
    """longest time between checkpoints"""
    tensorboard: tuple[Path, ...] | None = None
    """log for TensorBoard, in this folder or, if none is named, in each run's own"""
    wandb: str | None = None
    """log to this project of Weights & Biases; WANDB_MODE=offline keeps it on this machine"""
    show: bool = False
    """print the resolved configuration and stop"""
    json: bool = False
    """print JSON: the run records, or with --show the configuration"""

    def run(self) -> int:
        if not self.algorithms:
            known = ", ".join(registry.ALGORITHMS)
            raise DatumrlError(f"no algorithm named; known are {known}")
        if not self.checkpoint_seconds >= 0:
            shown = f"--checkpoint-seconds {self.checkpoint_seconds:g}"
            raise DatumrlError(f"{shown}: give a number of seconds, 0 or more")
        jobs = list(self._jobs())  # all input is checked before any training starts
        if self.show:
            show(self._described(jobs), self.json)
            return 0
        if self.threads is not None:
            training.use_threads(self.threads)
        outcomes = _train(jobs, self)
        records = [record for outcome in outcomes for record in outcome.records]
        _tell_of_mixed_software(records)
        if self.json:
            console.print_json([record.model_dump(mode="json") for record in records])
        elif records:
            scores = scores_of(records)
            print_scores(scores)
            if len(jobs) > 1:
                print_grid(scores)
            for outcome in outcomes:
                folder = outcome.placed.folder
                console.output.print(
                    f"records and checkpoint: {folder}", soft_wrap=True, markup=False
                )
        unfinished = [outcome.error for outcome in outcomes if outcome.error]
        if unfinished:
            raise DatumrlError("\n".join(unfinished))
        return 1 if all(record.status == "failed" for record in records) else 0

    def _jobs(self) -> Iterator[tuple[training.Job, Path | None]]:
        several = len(self.algorithms) * len(self.on) > 1
        for algorithm in self.algorithms:
            for dataset in self.on:
                job = training.plan(
                    algorithm,
                    dataset,
                    parse_seeds(self.seeds),
                    self.steps,
                    registry.parse_settings(self.set, self.algorithms),
                    self.evaluate_every,
                    self.episodes,
                    self.device,
                    self.view,
                    self.preset,
                    self.matmul_precision,
                    self.nearest,
                )
                yield job, self.out / algorithm / dataset if several and self.out else self.out

    def _described(self, jobs: list[tuple[training.Job, Path | None]]) -> list[Shown]:
        settings: dict[str, object] = {**registry.parse_settings(self.set, self.algorithms)}
        if self.steps is not None:
            settings["steps"] = self.steps
        names = ("evaluate_every", "episodes", "view")
        run = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return [
            Shown(
                job,
                presets.choose(job.algorithm, job.dataset, self.preset, settings, run).origins,
                str(out or job.folder()),
            )
            for job, out in jobs
        ]


def parse_seeds(text: str) -> list[int]:
    """Return the seeds of ``5`` (0 to 4), ``3,7,9`` or ``0-9`` (both ends included)."""
    try:
        if text.isdecimal():
            ranges = [range(int(text))]
        else:
            parts = [part.partition("-") for part in text.strip(",").split(",")]
            ranges = [range(int(a), int(b if dash else a) + 1) for a, dash, b in parts]
            if not all(ranges):
                raise ValueError
    except ValueError:
        raise DatumrlError(
            f"--seeds {text}: write a number of seeds (5), a list (3,7,9) or a range (0-9)"
        ) from None
    if any(each.stop - each.start > MOST_SEEDS for each in ranges):
        raise DatumrlError(f"--seeds {text}: more than {MOST_SEEDS:,} in a row; name fewer")
    return [seed for each in ranges for seed in each]


def _train(jobs: list[tuple[training.Job, Path | None]], command: Command) -> list[Outcome]:
    """Train what is wanted, in the way that suits this machine, and say which."""
    limit = training.memory_limit(command.memory)
    with console.Bars() as bars:  # a first load takes seconds; training then opens what it made
        for dataset in dict.fromkeys(job.dataset for job, _ in jobs):
            load(dataset, progress=bars.bar(f"reading {dataset}", "bytes"))
    layout = executor.choose([job for job, _ in jobs], command.workers)
    if all(job.device == "cpu" for job, _ in jobs):
        _tell_what_stays_on_disk(jobs, memory.for_each(max(1, layout.workers), limit))
    # A grid of many jobs keeps all workers busy with whole stacks; fewer jobs are split.
    parts = max(1, layout.workers) if len(jobs) < 2 * layout.workers else 1
    placed = [
        each
        for job, out in jobs
        for each in executor.place(job, parts, out, restart=command.restart)
    ]
    left = sum(not each.finished for each in placed)
    workers = layout.workers if left > 1 else 0
    if left:
        reason = layout.reason if workers or not layout.workers else "one process: one job"
        console.notes.print(f"{len(placed)} jobs in {reason}" if workers else reason)
    with Display(placed, command.restart) as display, _trackers(command) as trackers:
        outcomes = executor.run(
            placed,
            workers,
            display.update,
            command.restart,
            command.checkpoint_seconds,
            limit,
            trackers,
        )
    display.end(outcomes)
    return outcomes


def _tell_what_stays_on_disk(jobs: list[tuple[training.Job, Path | None]], share: int) -> None:
    for dataset in dict.fromkeys(job.dataset for job, _ in jobs):
        size = packed_rows.bytes_of(load(dataset))
        if size <= share:
            continue
        mine = [job for job, _ in jobs if job.dataset == dataset]
        copying = sorted({job.algorithm for job in mine if _copies_rows(job)})
        if not all(_copies_rows(job) for job in mine):
            console.notes.print(
                f"{dataset}: {size / 1e9:.3g} GB of transitions stay on disk, gathered by batches"
            )
        if copying:
            console.notes.print(f"{dataset}: in memory all the same for {', '.join(copying)}")


def _copies_rows(job: training.Job) -> bool:
    """Say whether a method draws windows of several steps, which are made in memory."""
    return job.algorithm == "dt" or getattr(job.config, "context_length", 1) > 1


def _tell_of_mixed_software(records: Iterable[RunRecord]) -> None:
    """Say where seeds of one table row were trained with different versions."""
    found: dict[tuple[str, str], dict[str, list[int]]] = {}
    for record in records:
        versions = ", ".join(f"{name} {version}" for name, version in record.software.items())
        of_row = found.setdefault((record.algorithm, record.dataset), {})
        of_row.setdefault(versions, []).append(record.seed)
    for (algorithm, dataset), by_versions in found.items():
        if len(by_versions) > 1:
            parts = [f"{', '.join(map(str, s))} with {each}" for each, s in by_versions.items()]
            told = f"{algorithm} on {dataset}: seeds of different software: {'; '.join(parts)}"
            console.notes.print(told, soft_wrap=True)


def _trackers(command: Command) -> Trackers:
    if command.tensorboard is not None and len(command.tensorboard) > 1:
        shown = " ".join(map(str, command.tensorboard))
        raise DatumrlError(f"--tensorboard {shown}: name one folder, or none")
    folder = command.tensorboard[0] if command.tensorboard else command.tensorboard is not None
    return Trackers(folder, command.wandb, command.restart)
