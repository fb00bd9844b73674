"""`datumrl reproduce --train`: train a table's cells again and compare them with what it prints."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datumrl.datasets import catalogue, places
from datumrl.datasets.catalogue import DatasetRecord
from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation.report_tables import plural
from datumrl.leaderboard import (
    outcome_files,
    trained_folder,
    trained_outcome,
    trained_sheets,
    training_budget,
    training_estimates,
    training_verdict,
)
from datumrl.leaderboard.outcome import Outcome
from datumrl.leaderboard.trained import Trained
from datumrl.leaderboard.training_cells import Cell, TrainingTable
from datumrl.leaderboard.training_estimates import Estimate
from datumrl.scripts import console

if TYPE_CHECKING:
    from datumrl.algorithms.executor import Layout, Placed
    from datumrl.algorithms.speed_probe import Speed
    from datumrl.algorithms.training import Job

_RUNS = "runs"  # in the folder of --out


@dataclass(frozen=True)
class Wanted:
    """What is asked for beside the table."""

    seeds: Sequence[int]
    changes: Mapping[str, Any] = field(default_factory=dict)  # instead of what the table says
    budget: float | None = None  # hours
    points: float = training_verdict.MARGIN
    out: Path | None = None
    workers: int | None = None
    device: str = "auto"
    skip_missing: bool = False
    dry_run: bool = False


@dataclass(frozen=True)
class Planned:
    """What is to be trained: estimates in order, and what is left out with the reason.

    ``missing`` are datasets that are not here, with the command that brings each.
    """

    estimates: tuple[Estimate, ...]
    left_out: tuple[tuple[str, str], ...]
    missing: tuple[tuple[str, str], ...] = ()

    @property
    def cells(self) -> list[Cell]:
        """Return the cells to train, in order."""
        return [each.cell for each in self.estimates if each.taken]

    @property
    def hours(self) -> dict[str, float]:
        """Return the estimate of each cell by its key."""
        return {each.cell.key: each.hours for each in self.estimates}


def changed(table: TrainingTable, changes: Mapping[str, Any]) -> TrainingTable:
    """Return a table whose cells are trained with other options than it states."""
    cells = []
    for cell in table.cells:
        settings = {**cell.options.get("settings", {}), **changes.get("settings", {})}
        options = {**cell.options, **changes, **({"settings": settings} if settings else {})}
        cells.append(dataclasses.replace(cell, options=options))
    return dataclasses.replace(table, cells=tuple(cells))


def plan(table: TrainingTable, wanted: Wanted) -> Planned:
    """Tell missing files, estimates and what a budget leaves out; nothing is trained.

    Raises DatumrlError for a cell that cannot be trained as stated, and for missing files unless
    they are to be skipped, all of them at once.
    """
    jobs, untrainable = _jobs(table, wanted)
    missing = _missing([job.dataset for _, job in jobs])
    if missing:
        text = "\n".join(
            [f"{plural(len(missing), 'dataset')} not here; bring them first:"]
            + [f"  {command}" for command in missing.values()]
        )
        if not wanted.dry_run and (not wanted.skip_missing or set(missing) >= _datasets(jobs)):
            raise DatumrlError(f"{text}\nor give --skip-missing to train the other cells")
        console.notes.print(text, markup=False, soft_wrap=True)
    there = [
        (cell, job) for cell, job in jobs if not (wanted.skip_missing and job.dataset in missing)
    ]
    taken, left = _chosen(there, wanted)
    left_out = [
        *((cell.name, f"over the budget: {reason}") for cell, reason in left),
        *((cell.name, "its file is missing") for cell, job in jobs if (cell, job) not in there),
        *table.untrainable,
        *untrainable,
    ]
    named = tuple(left_out[len(left) :])  # what the budget leaves out is among the estimates
    for sheet in trained_sheets.sheets(Trained((), left_out=named)):
        lines = "\n".join(outcome_files.plain_sheet(sheet))
        console.notes.print(lines, markup=False, soft_wrap=True)
    return Planned(taken, tuple(left_out), tuple(missing.items()))


def _chosen(
    jobs: Sequence[tuple[Cell, Job]], wanted: Wanted
) -> tuple[tuple[Estimate, ...], tuple[tuple[Cell, str], ...]]:
    """Return the estimates, first of what is to be trained, and what is left out; tell them."""
    from datumrl.algorithms import memory

    estimates, basis = _estimates(jobs, wanted)
    choice = training_budget.choose(
        [each.cell for each in estimates],
        [each.hours for each in estimates],
        wanted.budget,
        len(wanted.seeds),
        wanted.points,
    )
    by_cell = {id(each.cell): each for each in estimates}
    taken = [by_cell[id(cell)] for cell in choice.cells]
    skipped = [dataclasses.replace(by_cell[id(c)], taken=False) for c, _ in choice.left_out]
    if wanted.budget is not None:
        basis = f"{basis} Order: {training_budget.RULE}."
    shown = training_estimates.sheet([*taken, *skipped], basis, memory.available())
    if estimates:
        lines = "\n".join(outcome_files.plain_sheet(shown))
        console.notes.print(lines, markup=False, soft_wrap=True)
    return (*taken, *skipped), choice.left_out


def train(table: TrainingTable, planned: Planned, wanted: Wanted, command: str) -> Outcome:
    """Train what is planned, keeping the outcome after every cell; see `trained_outcome.train`.

    ``table`` has all of the table's cells: those that earlier calls trained stay in the outcome.
    """
    from datumrl.algorithms import executor

    changes = _changes_text(wanted.changes)
    out = wanted.out or trained_folder.of(table, wanted.points, changes)
    start = Trained((), wanted.points, planned.left_out, command, changes)
    before = trained_folder.words(out, trained_outcome.outcome(table, start), table)
    console.notes.print(before or f"kept in {out}", markup=False, soft_wrap=True)
    root = None if wanted.out is None else wanted.out / _RUNS
    shows: dict[Path, Callable[[int, int], None]] = {}

    with console.Bars() as bars:

        def show(placed: Placed, progress: Any) -> None:
            if placed.folder not in shows:
                job = placed.job
                seeds = ", ".join(map(str, job.seeds))
                title = f"{job.algorithm} on {job.dataset}, seeds {seeds}"
                console.notes.print(title, markup=False, soft_wrap=True)
                shows[placed.folder] = bars.bar(title, "steps")
            shows[placed.folder](progress.step, progress.steps)

        def run(algorithm: str, dataset: str, seeds: Sequence[int], options: Any) -> Any:
            trainer = executor.trainer(root, wanted.workers, show, device=wanted.device, **options)
            return trainer(algorithm, dataset, seeds)

        def keep(found: Outcome, cell: Cell) -> None:
            outcome_files.write(trained_folder.merged(found, out, table), out)
            for line in trained_outcome.told(found, cell):
                console.notes.print(line, markup=False, soft_wrap=True)

        cells, hours = planned.cells, planned.hours
        found = trained_outcome.train(table, start, cells, wanted.seeds, run, hours, keep)
    return trained_folder.merged(found, out, table)


def unfinished(found: Outcome, planned: Planned) -> list[str]:
    """Return what went wrong in cells that were to be trained."""
    assert found.trained is not None
    wanted = {cell.name for cell in planned.cells}
    before = set(planned.left_out)
    return [
        f"{cell}: {reason}"
        for cell, reason in found.trained.left_out
        if cell in wanted and (cell, reason) not in before
    ]


def _jobs(
    table: TrainingTable, wanted: Wanted
) -> tuple[list[tuple[Cell, Job]], list[tuple[str, str]]]:
    from datumrl.algorithms import training

    jobs, untrainable = [], []
    for cell in table.cells:
        try:
            job = training.plan(
                cell.method, cell.dataset, wanted.seeds, device=wanted.device, **cell.options
            )
            _check_rules(cell, job)
        except DatumrlError as problem:
            untrainable.append((cell.name, str(problem)))
            continue
        jobs.append((cell, job))
    if not jobs:
        reasons = dict.fromkeys(f"{name}: {reason}" for name, reason in untrainable)
        raise DatumrlError("no cell can be trained:\n" + "\n".join(reasons))
    return jobs, untrainable


def _check_rules(cell: Cell, job: Job) -> None:
    """Refuse a mean over more evaluations than there will be."""
    points = -(-job.config.steps // job.evaluate_every)
    for printed in cell.printed:
        words = printed.rule.split("-")
        if len(words) == 3 and words[0] == "last" and int(words[1]) > points:
            raise DatumrlError(
                f"{printed.rule} needs {words[1]} evaluations, {job.config.steps:,} steps with one "
                f"every {job.evaluate_every:,} have {points}; set --evaluate-every"
            )


def _datasets(jobs: Sequence[tuple[Cell, Job]]) -> set[str]:
    return {job.dataset for _, job in jobs}


def _missing(datasets: Sequence[str]) -> dict[str, str]:
    """Return the datasets of which no file is here, with the command that brings each."""
    found = {}
    for name in dict.fromkeys(datasets):
        record = catalogue.find(name)
        if not _is_here(record):
            verb = "collect" if record.reader == "local" else "fetch"
            found[name] = f"datumrl {verb} {name}"
    return found


def _is_here(record: DatasetRecord) -> bool:
    if places.prepared_folder(record).exists():
        return True
    if record.reader == "local":
        whole = dataclasses.replace(record, id=record.full_id, prefix=None)
        return places.local_folder(whole).exists()
    if places.raw_path(record).exists():
        return True
    return record.collection == "d4rl" and places.d4rl_cache_path(record).exists()


def _estimates(jobs: Sequence[tuple[Cell, Job]], wanted: Wanted) -> tuple[list[Estimate], str]:
    from datumrl.algorithms import executor

    speeds: dict[object, Speed] = {}
    found = []
    root = None if wanted.out is None else wanted.out / _RUNS
    with console.Bars() as bars:
        show = bars.bar("timing this machine", "cells")
        for done, (cell, job) in enumerate(jobs, start=1):
            layout = executor.choose([job], wanted.workers)
            placed = executor.place(job, max(1, layout.workers), root=root)
            left = [each.job for each in placed if not each.finished]
            hours, memory = _of(left, layout, speeds)
            worth = training_budget.worth(cell, len(wanted.seeds), wanted.points)
            found.append(Estimate(cell, hours, memory, worth))
            show(done, len(jobs))
    basis = (
        "Times: updates of each method in a stack like the one to train, timed here and now for "
        "half a second on made-up rows, times the steps; evaluations at full episode length, so at "
        "most. What a stopped run has done is not taken off. Memory: the packed transitions "
        "of every process and what a process of this one's size takes."
    )
    return found, basis


def _of(
    left: Sequence[Job], layout: Layout, speeds: dict[object, Speed]
) -> tuple[float, int | None]:
    """Return hours and bytes of a cell's unfinished jobs, done ``layout.workers`` at a time."""
    if not left:
        return 0.0, 0
    largest = max(left, key=lambda job: len(job.seeds))
    at_a_time = min(max(1, layout.workers), len(left))
    speed = _speed(largest, 1 if layout.workers > 1 else None, speeds)
    rounds = -(-len(left) // at_a_time)
    memory = None if speed.data is None else at_a_time * (speed.data + speed.process)
    return rounds * speed.seconds(largest) / 3_600.0, memory


def _speed(job: Job, threads: int | None, speeds: dict[object, Speed]) -> Speed:
    """Return a job's speed, measured once for all jobs that differ in nothing that matters."""
    from datumrl.algorithms import registry, speed_probe

    record = catalogue.find(job.dataset)
    settings = {**registry.configuration(job.config), "steps": 0, "return_targets": None}
    key = repr(
        (
            job.algorithm, settings, len(job.seeds), job.episodes, job.device, threads,
            record.observation_dim, record.action_dim, record.environment,
        )
    )  # fmt: skip
    if key not in speeds:
        speeds[key] = speed_probe.measure(job, threads)
    return dataclasses.replace(speeds[key], data=speed_probe.data_bytes(record))


def _changes_text(changes: Mapping[str, Any]) -> str:
    settings = changes.get("settings", {})
    parts = {**{key: value for key, value in changes.items() if key != "settings"}, **settings}
    return ", ".join(f"{key}={value}" for key, value in parts.items())
