"""What `datumrl train` shows while it trains: a bar for each job that is going on."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from types import TracebackType

import rich.console
import rich.progress
import rich.text

from datumrl.algorithms.executor import Outcome, Placed
from datumrl.algorithms.training import Job, Progress, seeds_name
from datumrl.datasets import catalogue, scores
from datumrl.scripts import console


class Display:
    """A `_Line` for each job, from its first report on; plain lines without a terminal.

    Of several jobs it tells how many are done, those included that were done before.
    """

    def __init__(self, placed: Sequence[Placed], restart: bool = False) -> None:
        self._done = {each.folder for each in placed if each.finished and not restart}
        self._bars = _Bars(
            rich.progress.TextColumn("{task.description}", markup=False),
            rich.progress.BarColumn(),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TimeRemainingColumn(),
            console=console.notes,
            disable=not console.notes.is_terminal,
        )
        self._started = False
        self._lines = {each.folder: _Line(each.job, self._bars) for each in placed}

    def __enter__(self) -> Display:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: object, trace: TracebackType | None
    ) -> None:
        if self._started:  # stopping prints a line, started or not
            self._bars.stop()

    def end(self, outcomes: Iterable[Outcome]) -> None:
        """Say of each job that is done whether there was nothing to do; one refused is not done."""
        done = (each.placed.folder for each in outcomes if each.error is None)
        for folder in dict.fromkeys(done):
            self._lines[folder].end()

    def update(self, placed: Placed, progress: Progress) -> None:
        """Show how far a job is."""
        if not self._started:
            self._started = True
            self._bars.start()
        self._lines[placed.folder].update(progress)
        # Without losses no seed is left: all have failed.
        ended = progress.evaluated and (progress.step >= progress.steps or not progress.losses)
        if ended and placed.folder not in self._done:
            self._done.add(placed.folder)
            if not console.notes.is_terminal:
                console.notes.print(self._position(), end="")
        self._bars.position = self._position()

    def _position(self) -> str:
        jobs = len(self._lines)
        return f"{len(self._done)} of {jobs} jobs done\n" if jobs > 1 else ""


class _Bars(rich.progress.Progress):
    """Bars, each with a line of notes below, and how far all are."""

    position = ""

    def get_renderables(self) -> Iterable[rich.console.RenderableType]:
        for task in self.tasks:
            if task.visible:
                yield self.make_tasks_table([task])
                notes = f"  {task.fields['notes']}"
                yield rich.text.Text(notes, overflow="ellipsis", no_wrap=True)
        if self.position:
            yield rich.text.Text(self.position.rstrip())


class _Line:
    """Steps, time left, seed-updates/s, last return and score, and losses of one job."""

    def __init__(self, job: Job, bars: _Bars) -> None:
        self._seeds = seeds_name(job.seeds).removeprefix("seeds-")
        noun = "seed" if len(job.seeds) == 1 else f"{len(job.seeds)} seeds:"
        self._title = f"{job.algorithm} on {job.dataset}, {noun} {self._seeds}"
        self._job, self._bars = job, bars
        self._task = bars.add_task("training", total=job.config.steps, notes="", visible=False)
        self._began: tuple[float, int] | None = None

    def end(self) -> None:
        """Say so if there was nothing to do."""
        if self._began is None:
            console.notes.print(f"{self._title}: already done", soft_wrap=True)

    def update(self, progress: Progress) -> None:
        """Show how far the job is."""
        if self._began is None:  # what was done before does not count towards the rate
            self._began = (time.monotonic(), progress.step)
            console.notes.print(self._title, soft_wrap=True)
            self._bars.reset(self._task, completed=progress.step)
        for note in progress.notes:
            console.notes.print(f"{self._title}: {note}", soft_wrap=True)
        notes, doing = self._notes(progress), "training"
        if progress.episodes is not None:
            doing = f"evaluating {progress.episodes}/{self._job.episodes * len(self._job.seeds)}"
        done = progress.step >= progress.steps and progress.evaluated
        several = f"{self._job.algorithm} {self._seeds} " if len(self._bars.tasks) > 1 else ""
        self._bars.update(
            self._task,
            completed=progress.step,
            description=f"{several}{doing}",
            notes=notes,
            visible=not done or len(self._bars.tasks) == 1,
        )
        if progress.evaluated and not console.notes.is_terminal:
            told = notes or "every seed failed"
            line = f"  {several}step {progress.step:,}/{progress.steps:,}: {told}"
            console.notes.print(line, soft_wrap=True)

    def _notes(self, progress: Progress) -> str:
        began, first = self._began or (time.monotonic(), progress.step)
        seconds, steps = time.monotonic() - began, progress.step - first
        notes = []
        if steps:
            notes.append(f"{steps * len(self._job.seeds) / seconds:,.0f} seed-updates/s")
        if progress.mean_return is not None:
            notes.append(f"return {progress.mean_return:,.1f}{self._score(progress.mean_return)}")
        notes += [f"{name} loss {value:.3g}" for name, value in progress.losses.items()]
        return ", ".join(notes)

    def _score(self, mean_return: float) -> str:
        """Return the normalised score in words, or nothing where returns are not normalised."""
        dataset = catalogue.find(self._job.dataset)
        environment = dataset.environment
        if dataset.reference is None or environment is None or not environment.equivalent:
            return ""
        return f" (score {scores.normalize(mean_return, dataset):,.1f})"
