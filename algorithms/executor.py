"""A grid of training as an explicit list of independent, resumable jobs, and how it is done here.

`place` turns what is wanted (methods x datasets, each with its seeds) into jobs with folders: what
an earlier call trained or began is taken as it is, whatever stacks it came in, and only the other
seeds become new jobs.  `choose` says how the jobs share this machine, and `run` does them.  A job
is JSON (`training.Job.as_json`) and its folder holds all that it needs to go on, so the same list
can be given to a cluster's queue: a task there is `python -m datumrl.algorithms.worker`.

The rule of `choose`: on a GPU, one stack after the other.  On a CPU, one single-threaded process
per core, for products of this size gain little from a second thread; `benchmarks/train_speed.py`
times both.  Work of less than `SMALL` seed-updates is not worth the seconds that starting a
process takes.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from datumrl.algorithms import finished_runs, memory, training, worker
from datumrl.algorithms.trackers import Trackers
from datumrl.algorithms.training import Job, Progress
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.loading import load
from datumrl.evaluation.provenance import usable_cores
from datumrl.evaluation.records import RunRecord, read_record

SMALL = 20_000  # seed-updates, a minute or two of TD3+BC


@dataclass(frozen=True)
class Placed:
    """A job, where it is kept, and which of its seeds were asked for."""

    job: Job
    folder: Path
    finished: bool = False  # is there nothing left to train?
    wanted: tuple[int, ...] | None = None  # seeds asked of it; None: all

    def asked(self, records: Iterable[RunRecord]) -> list[RunRecord]:
        """Return the records of the seeds that were asked for."""
        return [each for each in records if self.wanted is None or each.seed in self.wanted]


@dataclass(frozen=True)
class Layout:
    """How jobs share this machine."""

    workers: int  # processes at a time; 0: in this one, one job after the other
    reason: str


@dataclass(frozen=True)
class Outcome:
    """What became of a job: its records of the seeds asked for, or why it is unfinished."""

    placed: Placed
    records: list[RunRecord]
    error: str | None = None


def choose(jobs: Sequence[Job], workers: int | None = None) -> Layout:
    """Return how to do jobs, before they are split; see the rule above.  ``workers`` overrules."""
    if workers is not None and workers < 1:
        raise DatumrlError(f"workers={workers}: must be at least 1")
    seeds = sum(len(job.seeds) for job in jobs)
    if workers is not None:
        if min(workers, seeds) < 2:
            return Layout(0, "one process, as asked")
        return Layout(min(workers, seeds), f"{min(workers, seeds)} single-threaded processes")
    if any(job.device != "cpu" for job in jobs):
        return Layout(0, "one stack at a time on the GPU")
    cores = usable_cores()
    if min(cores, seeds) < 2:
        return Layout(0, "one process: one core or one seed")
    if sum(len(job.seeds) * job.config.steps for job in jobs) < SMALL:
        return Layout(0, f"one process: under {SMALL:,} seed-updates in all")
    count = min(cores, seeds)
    return Layout(count, f"{count} single-threaded processes, faster than one with {cores} threads")


def place(
    job: Job,
    parts: int = 1,
    out: Path | None = None,
    root: Path | None = None,
    restart: bool = False,
) -> list[Placed]:
    """Return the jobs, with folders, that together train a job's seeds, in at most ``parts`` new.

    Runs that are there are taken as they are, if they are finished or of no other seeds.  They are
    looked for beside `Job.folder`, or with ``out`` in it and in its folders ``seeds-...``.  With
    ``restart`` every run that holds one of the seeds is to be done anew.  Raises DatumrlError for
    one of them that holds seeds not asked for.
    """
    split = out is not None and any(out.glob("seeds-*"))
    if out is not None and not split and (parts == 1 or any(out.glob("seed-*.json"))):
        # One stack, in the folder itself.
        if restart:
            _require_asked(out, finished_runs.recorded_seeds(out), job)
        return [Placed(job, out, not restart and finished_runs.ended(job, out, job.seeds))]
    prefix = out or job.folder(root).parent
    digest = "" if out else job.folder(root).name.partition("seeds-")[0]
    left, placed = set(job.seeds), []
    for each in _found(prefix, digest, job):
        taken = _anew(each, job, left) if restart else _as_it_is(each, job, left)
        if taken is not None:
            placed.append(taken)
            left -= set(each.seeds)
    missing = [seed for seed in job.seeds if seed in left]
    count = min(parts, len(missing))
    for part in range(count):
        piece = replace(job, seeds=_share(missing, part, count))
        name = f"{digest}{training.seeds_name(piece.seeds)}"
        placed.append(Placed(piece, prefix / name))
    return placed


def _share(seeds: Sequence[int], part: int, parts: int) -> tuple[int, ...]:
    first, last = (len(seeds) * place // parts for place in (part, part + 1))
    return tuple(seeds[first:last])


class _Run(NamedTuple):
    """A run that is there."""

    folder: Path
    seeds: tuple[int, ...]
    finished: bool
    sound: bool


def _found(prefix: Path, digest: str, job: Job) -> list[_Run]:
    """Return the runs like ``job``, in the order in which to take them; damaged ones last.

    A damaged run has the seeds that it has records of, and is not finished: doing it tells what is
    wrong with it.
    """
    from datumrl.algorithms import checkpoints

    found = []
    for folder in sorted(prefix.glob(f"{digest}seeds-*")):
        if (folder / checkpoints.FILE).exists():
            try:
                seeds = checkpoints.seeds_of(folder)
            except DatumrlError:
                found.append(_Run(folder, finished_runs.recorded_seeds(folder), False, False))
            else:
                found.append(_Run(folder, seeds, finished_runs.ended(job, folder, seeds), True))

    def order(run: _Run) -> tuple[bool, bool, bool, int]:
        return not run.sound, run.seeds != job.seeds, not run.finished, -len(run.seeds)

    return sorted(found, key=order)


def _as_it_is(run: _Run, job: Job, left: AbstractSet[int]) -> Placed | None:
    """Return a run that is to go on, or is done, if it has any of the seeds that are left."""
    wanted = tuple(seed for seed in run.seeds if seed in left)
    if not wanted or not (run.finished or len(wanted) == len(run.seeds)):
        return None
    return Placed(replace(job, seeds=run.seeds), run.folder, run.finished, wanted)


def _anew(run: _Run, job: Job, left: AbstractSet[int]) -> Placed | None:
    """Return a run that is to be done anew; also one whose seeds another has, or it would stay."""
    if not set(run.seeds) & set(job.seeds):
        return None
    _require_asked(run.folder, run.seeds, job)
    wanted = tuple(seed for seed in run.seeds if seed in left)
    return Placed(replace(job, seeds=run.seeds), run.folder, wanted=wanted)


def _require_asked(folder: Path, seeds: Iterable[int], job: Job) -> None:
    others = sorted(set(seeds) - set(job.seeds))
    if others:
        several = f"seed{'s' if len(others) > 1 else ''} {', '.join(map(str, others))}"
        whole = ",".join(map(str, sorted({*seeds, *job.seeds})))
        raise DatumrlError(
            f"{folder}: this run holds {several} too, which a restart would replace; name all with "
            f"--seeds {whole}, choose another folder with --out, or delete this one"
        )


def run(
    placed: Sequence[Placed],
    workers: int = 0,
    progress: Callable[[Placed, Progress], None] | None = None,
    restart: bool = False,
    checkpoint_seconds: float = training.CHECKPOINT_SECONDS,
    memory_limit: int | None = None,
    trackers: Trackers | None = None,
) -> list[Outcome]:
    """Do jobs, ``workers`` of them at a time in processes of their own, or 0: here, in turn.

    Of a finished job the records are read, unless it is to ``restart``.  A job that fails is
    reported with its error and the others go on.  Ctrl-C lets every job save
    and raises KeyboardInterrupt; the next call goes on.  Results do not depend on ``workers``, but
    for rounding in other stacks and with other numbers of threads, which grows over a long run;
    nor on ``memory_limit``, the bytes that the data of all workers may take before it stays on
    disk.
    """
    for dataset in {each.job.dataset for each in placed}:
        load(dataset)  # so that what it prepares is prepared once
    report = _reported(progress, trackers)
    unique = {each.folder: each for each in placed if restart or not each.finished}
    errors: dict[Path, str | None] = {}
    if workers and unique:
        waiting = list(unique.values())
        share = memory.for_each(min(workers, len(waiting)), memory_limit)
        found = worker.run_all(
            [(each.job, each.folder) for each in waiting],
            workers,
            worker.Settings(restart, checkpoint_seconds, share),
            None if report is None else lambda at, now: report(waiting[at], now),
        )
        errors = dict(zip(unique, found, strict=True))
    outcomes = [
        _outcome(each, errors[each.folder])
        if each.folder in errors
        else _here(each, report, restart, checkpoint_seconds, memory_limit)
        for each in placed
    ]
    for each in outcomes:
        if trackers is not None and each.error is None:
            trackers.finish(each.placed.job, each.placed.folder)
    return outcomes


def _reported(
    progress: Callable[[Placed, Progress], None] | None, trackers: Trackers | None
) -> Callable[[Placed, Progress], None] | None:
    """Return what tells both of a job's progress."""
    if trackers is None:
        return progress

    def report(placed: Placed, now: Progress) -> None:
        trackers.update(placed.job, placed.folder, now)
        if progress is not None:
            progress(placed, now)

    return report


def _outcome(placed: Placed, error: str | None) -> Outcome:
    if error:
        return Outcome(placed, [], error)
    paths = finished_runs.record_paths(placed.job, placed.folder, placed.job.seeds)
    return Outcome(placed, placed.asked(read_record(path) for path in paths))


def _here(
    placed: Placed,
    progress: Callable[[Placed, Progress], None] | None,
    restart: bool,
    checkpoint_seconds: float,
    memory_limit: int | None,
) -> Outcome:
    report = None if progress is None else lambda now: progress(placed, now)
    try:
        records = training.train_job(
            placed.job, placed.folder, report, restart, checkpoint_seconds, memory_limit
        )
    except DatumrlError as problem:
        return Outcome(placed, [], str(problem))
    except Exception:  # such as too little memory for this job; as of a worker that dies
        return Outcome(placed, [], worker.died(placed.job, traceback.format_exc()))
    return Outcome(placed, placed.asked(records))


def records_of(outcomes: Iterable[Outcome], seeds: Iterable[int]) -> list[RunRecord]:
    """Return the records of the named seeds, in their order, of the outcomes of one `place`.

    Raises DatumrlError with the errors of jobs that are unfinished.
    """
    outcomes = list(outcomes)
    errors = [outcome.error for outcome in outcomes if outcome.error]
    if errors:
        raise DatumrlError("; ".join(errors))
    records = [record for outcome in outcomes for record in outcome.records]
    return [record for seed in seeds for record in records if record.seed == seed]


def trainer(
    root: Path | None = None,
    workers: int | None = None,
    progress: Callable[[Placed, Progress], None] | None = None,
    tensorboard: Path | str | bool = False,
    wandb: str | None = None,
    **settings: Any,
) -> Callable[[str, str, Iterable[int]], list[RunRecord]]:
    """Return ``run(algorithm, dataset, seeds) -> records``, which trains only what is missing.

    Runs are kept under ``root``, by default ``runs`` under ``DATUMRL_HOME``, where those of
    `datumrl.train` are found too.  ``tensorboard`` and ``wandb`` are those of `datumrl.train`,
    ``settings`` those of `training.plan`.
    """

    def run_seeds(algorithm: str, dataset: str, seeds: Iterable[int]) -> list[RunRecord]:
        job = training.plan(algorithm, dataset, seeds, **settings)
        count = choose([job], workers).workers
        placed = place(job, max(1, count), root=root)
        open_jobs = sum(not each.finished for each in placed)
        with Trackers(tensorboard, wandb) as trackers:
            outcomes = run(placed, count if open_jobs > 1 else 0, progress, trackers=trackers)
        return records_of(outcomes, job.seeds)

    return run_seeds
