"""The training loop, the same for every method: sample, update, evaluate, record, checkpoint.

The checkpoint is the one truth about a run; the records beside it are written from it.  Whatever
moment a run is killed at, the next one goes on from the last checkpoint and repeats what came after
it bit for bit, since random numbers are functions of the step (see `streams`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from datumrl.algorithms import (
    checkpoints,
    finished_runs,
    policies,
    registry,
    run_lock,
    run_notes,
    run_software,
    tasks,
)
from datumrl.algorithms.packed_rows import require_vectors
from datumrl.algorithms.stack import Stack, Task
from datumrl.algorithms.streams import Streams
from datumrl.algorithms.training import Job, Progress
from datumrl.datasets import catalogue, content_hash
from datumrl.datasets.catalogue import DatasetRecord
from datumrl.datasets.episodes import Episodes
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.loading import load
from datumrl.evaluation import provenance
from datumrl.evaluation.records import Budget, Evaluation, RunRecord, read_record

_REPORT_SECONDS = 0.5
# kinds of devices that datumrl's tests and benchmarks have never run on -> what to tell of it
_UNTRIED = {
    "cuda": "trained on a GPU, on which datumrl has not been tried: hold a short run against one "
    "with --device cpu before you rely on it"
}


def run(
    job: Job,
    folder: Path,
    restart: bool,
    checkpoint_seconds: float,
    progress: Callable[[Progress], None] | None,
) -> list[RunRecord]:
    """Do a job in a folder, from its checkpoint if there is one; see `training.train`.

    The records of a finished run are returned as they are: they tell on what it was trained.
    """
    dataset = catalogue.find(job.dataset)
    episodes = content_hash.known(load(job.dataset))
    require_vectors(episodes)
    config = registry.completed(job.algorithm, job.config, dataset, episodes)
    job = dataclasses.replace(job, config=config)
    if not restart:
        protocol = tasks.protocol(job, dataset)
        identity = finished_runs.identity(job, protocol, episodes.sha256, episodes.content_sha256)
        done = finished_runs.records(job, folder, identity)
        if done is not None:
            return done
    task = tasks.of(dataset, episodes, torch.device(job.device), job.nearest)
    training = _Training(job, folder, dataset, episodes, task, checkpoint_seconds, progress)
    with run_lock.only_process(
        folder
    ):  # all that input can spoil has been tried before the folder exists
        left = [*folder.glob(".*.tmp")]  # by a process killed while writing
        if restart:
            left += [*folder.glob(checkpoints.FILE), *folder.glob("seed-*.json")]
        for path in left:
            path.unlink()
        training.open()
        with _patient_interrupt() as interrupted:
            training.finish(interrupted)
            if interrupted():  # while it was evaluated for the last time: what comes next, waits
                raise KeyboardInterrupt
        return training.records()


class _Training:
    """One stack on its way through one job."""

    def __init__(
        self,
        job: Job,
        folder: Path,
        dataset: DatasetRecord,
        episodes: Episodes,
        task: Task,
        checkpoint_seconds: float,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self._job, self._folder, self._progress = job, folder, progress
        self._environment = dataset.environment
        self._protocol = tasks.protocol(job, dataset)
        self._hashes = episodes.sha256, episodes.content_sha256
        self._identity = finished_runs.identity(job, self._protocol, *self._hashes)
        self._method = registry.find(job.algorithm)
        device = task.max_action.device
        self._source = self._method.data(job.config, episodes, job.view, device)
        self._stack = Stack.create(self._method, job.config, task, job.seeds)
        if job.matmul_precision == "medium":
            self._stack.products = torch.bfloat16
        noise = self._method.noise(job.config, task)
        rows, batch_size = len(self._source), job.config.batch_size
        self._streams = Streams(job.seeds, rows, batch_size, noise, device)
        self._step = 0
        self._entries = registry.entries(job.algorithm, registry.configuration(job.config))
        self._evaluations: dict[int | str, list[Evaluation]] = {
            _key(seed, entry): [] for seed in job.seeds for entry in self._entries
        }
        self._failures: dict[int, str] = {}
        self._software: run_software.Spans = []
        notes = (tasks.beyond_bounds(episodes, task), _UNTRIED.get(device.type))
        self._notes = [note for note in notes if note is not None]
        self._checkpoint_seconds = checkpoint_seconds
        self._saved = self._reported = time.monotonic()

    def open(self) -> None:
        """Go to the checkpoint's state, or write the first checkpoint; bring records up to date."""
        path = self._folder / checkpoints.FILE
        if path.exists():
            saved = checkpoints.load(path, self._stack.task.max_action.device)
            checkpoints.require_same(path, saved["identity"], self._identity)
            self._stack.restore(saved["stack"])
            self._step = saved["step"]
            self._failures = saved["failures"]
            self._software = saved.get("software", [])
            self._evaluations = {
                key: [Evaluation.model_validate(point, strict=False) for point in points]
                for key, points in saved["evaluations"].items()
            }
            self._go_on()
        else:
            for record in self._folder.glob("seed-*.json"):
                raise DatumrlError(
                    f"{record}: there are records but no {checkpoints.FILE}, so this is no run to "
                    "go on with; choose another folder with --out, or replace them with --restart"
                )
            self._go_on()
            self._save()
        self._write_records()

    def _go_on(self) -> None:
        """Note what trains from here on; a run that is done keeps what trained it."""
        before = self._software = self._software or self._of_records()
        if before and not self._left():
            return
        now = run_software.versions(self._job.algorithm)
        self._software = run_software.gone_on(before, self._step, now)
        change = run_software.change(self._software)
        if change is not None and self._software != before:
            self._notes.append(change)

    def _of_records(self) -> run_software.Spans:
        """Return what the records of a run tell that began before checkpoints kept spans."""
        paths = (path for _, _, path in self._places() if self._step > 0 and path.exists())
        return [[0, dict(read_record(path).software)] for path in paths][:1]

    def _left(self) -> bool:
        return self._step < self._job.config.steps and len(self._failures) < len(self._job.seeds)

    def finish(self, interrupted: Callable[[], bool]) -> None:
        """Train to the last step, by way of every evaluation point."""
        steps, every = self._job.config.steps, self._job.evaluate_every
        while self._left():
            self._advance(min(steps, (self._step // every + 1) * every), interrupted)
            self._evaluate()

    def records(self) -> list[RunRecord]:
        """Return every seed's record as of now, or its record of every entry."""
        return [self._record(seed, entry) for entry in self._entries for seed in self._job.seeds]

    def _advance(self, until: int, interrupted: Callable[[], bool]) -> None:
        for step in range(self._step + 1, until + 1):
            rows, noise = self._streams.at(step)
            self._method.update(self._stack, self._source.gather(rows), noise, step)
            self._step = step
            if step == until:  # the evaluation comes first: no checkpoint may lie between
                return
            now = time.monotonic()
            if now - self._reported >= _REPORT_SECONDS:
                self._report()
            if interrupted() or now - self._saved >= self._checkpoint_seconds:
                self._save()
            if interrupted():
                raise KeyboardInterrupt

    def _evaluate(self) -> None:
        fine = self._stack.finite().tolist()
        for seed, well in zip(self._job.seeds, fine, strict=True):
            if not well:
                self._fail(seed, "parameters or losses that are not finite")
        living = self._living()
        if living and self._environment is not None:
            acting = policies.acting(
                self._method,
                self._job.config,
                self._stack.task,
                self._stack.networks,
                self._source.statistics,
                [self._job.seeds.index(seed) for seed in living],
            )
            points = policies.evaluate(
                acting,
                self._step,
                self._environment,
                self._job.episodes,
                living,
                self._episode_counter(),
                self._job.nearest,
            )
            pairs = itertools.product(living, self._entries)
            for (seed, entry), point in zip(pairs, points, strict=True):
                if point is None:
                    self._fail(seed, "actions that are not finite")
                else:
                    self._evaluations[_key(seed, entry)].append(point)
        self._save()
        self._write_records()
        self._report(evaluated=True)

    def _living(self) -> list[int]:
        return [seed for seed in self._job.seeds if seed not in self._failures]

    def _fail(self, seed: int, reason: str) -> None:
        self._failures.setdefault(seed, f"diverged: {reason}, found at step {self._step}")

    def _episode_counter(self) -> Callable[[int], None]:
        done = 0

        def count(ended: int) -> None:
            nonlocal done
            done += ended
            self._report(episodes=done)

        return count

    def _report(self, evaluated: bool = False, episodes: int | None = None) -> None:
        self._reported = time.monotonic()
        notes, self._notes = self._notes, []
        if self._progress is None:
            run_notes.warn(notes)
            return
        living = self._living()
        places = [self._job.seeds.index(seed) for seed in living]
        each = {name: values.tolist() for name, values in self._stack.losses.items()}
        shares = {name: [each[name][at] for at in places] for name in each}
        losses = {name: sum(values) / len(values) for name, values in shares.items() if values}
        first = [self._evaluations[_key(seed, self._entries[0])] for seed in living]
        returns = [np.mean(points[-1].returns) for points in first if points]
        mean_return = float(np.mean(returns)) if returns else None
        steps = self._job.config.steps
        self._progress(
            Progress(self._step, steps, losses, mean_return, evaluated, episodes, each, notes)
        )

    def _save(self) -> None:
        task = self._stack.task
        content = {
            "identity": self._identity,
            "step": self._step,
            "stack": self._stack.state(),
            "task": vars(task),
            "statistics": self._source.statistics._asdict(),
            "evaluations": {
                key: [point.model_dump(mode="json") for point in points]
                for key, points in self._evaluations.items()
            },
            "failures": self._failures,
            "software": self._software,
        }
        checkpoints.save(self._folder / checkpoints.FILE, content)
        self._saved = time.monotonic()

    def _write_records(self) -> None:
        for seed, entry, path in self._places():
            self._record(seed, entry).write(path)

    def _places(self) -> Iterator[tuple[int, registry.Entry, Path]]:
        for entry in self._entries:
            for seed in self._job.seeds:
                yield seed, entry, self._folder / f"seed-{seed:03d}{entry.suffix}.json"

    def _record(self, seed: int, entry: registry.Entry) -> RunRecord:
        failure, steps = self._failures.get(seed), self._job.config.steps
        configuration = registry.configuration(self._job.config)
        complete = "complete" if self._step == steps else "running"
        return RunRecord(
            algorithm=entry.algorithm,
            configuration={
                **configuration,
                **entry.settings,
                "view": self._job.view,
                **self._job.recorded_precision(),
                **registry.recorded_revision(self._job.algorithm),
            },
            dataset=self._job.dataset,
            dataset_sha256=self._hashes[0],
            dataset_content_sha256=self._hashes[1],
            protocol=self._protocol,
            budget=Budget(
                steps=steps,
                preset=self._job.preset,
                reward_transform=registry.reward_transform(configuration),
            ),
            seed=seed,
            status="failed" if failure else complete,  # type: ignore[arg-type]
            failure=failure,
            evaluations=tuple(self._evaluations[_key(seed, entry)]),
            software=run_software.recorded(self._software),
            hardware=provenance.hardware(),
        )


def _key(seed: int, entry: registry.Entry) -> int | str:
    """Return what a checkpoint keeps a seed's evaluations of an entry under."""
    return f"{seed}{entry.suffix}" if entry.suffix else seed


@contextlib.contextmanager
def _patient_interrupt() -> Iterator[Callable[[], bool]]:
    """Let a first Ctrl-C wait for the end of an update; a second one interrupts at once."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return

    def handler(*_: object) -> None:
        asked.set()
        signal.signal(signal.SIGINT, previous)

    previous = signal.signal(signal.SIGINT, handler)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGINT, previous)
