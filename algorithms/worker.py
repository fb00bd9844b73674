"""One job in a process of its own, and many of them at a time.

A worker is a fresh interpreter, `python -m datumrl.algorithms.worker`, which reads one task as JSON
from its standard input and writes what happens as lines of JSON to its standard output.  It has one
thread and a session of its own: Ctrl-C reaches only the parent, which passes it on once.  A worker
whose parent is killed ends at once, so that its folder is free when the same command comes again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from datumrl.algorithms import training
from datumrl.algorithms.training import Job, Progress
from datumrl.datasets.errors import DatumrlError

_LOOK_SECONDS = 0.1  # how often a worker looks whether its parent is there
_ERROR_CHARACTERS = 2000  # of a dead worker's standard error
# One thread each, also of the libraries that decide on it when they are loaded.
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Settings:
    """How jobs are done."""

    restart: bool = False
    checkpoint_seconds: float = training.CHECKPOINT_SECONDS
    memory: int | None = None  # bytes that each job's data may take


def run_all(
    tasks: Sequence[tuple[Job, Path]],
    workers: int,
    settings: Settings,
    report: Callable[[int, Progress], None] | None = None,
) -> list[str | None]:
    """Do tasks, so many at a time; return for each why it is unfinished, or None.

    ``report`` gets a task's place and its progress.  On KeyboardInterrupt every worker saves first;
    a second one ends them at once.
    """
    errors: list[str | None] = [None] * len(tasks)
    events: queue.Queue[tuple[int, dict[str, Any]]] = queue.Queue()
    waiting = list(range(len(tasks)))[::-1]
    running: dict[int, _Worker] = {}
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                place = waiting.pop()
                running[place] = _Worker(place, *tasks[place], settings, events)
            place, event = events.get()
            if "progress" in event and report is not None:
                report(place, Progress(**event["progress"]))
            if "ended" in event:
                errors[place] = event["ended"]
                del running[place]
    finally:  # whatever went wrong here, no worker is left behind
        _stop(running.values())
    return errors


def _stop(workers: Any) -> None:
    try:
        for each in workers:
            each.process.send_signal(signal.SIGINT)
        for each in workers:
            each.thread.join()
    except BaseException:
        for each in workers:
            each.process.kill()
        raise


class _Worker:
    """A process doing one task, and the thread that listens to it."""

    def __init__(
        self,
        place: int,
        job: Job,
        folder: Path,
        settings: Settings,
        events: queue.Queue[tuple[int, dict[str, Any]]],
    ) -> None:
        self._place, self._events, self._job = place, events, job
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115, closed by the thread
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "datumrl.algorithms.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            env={**os.environ, **_ONE_THREAD},
            text=True,
            start_new_session=True,
        )
        task = {
            "job": job.as_json(),
            "folder": str(folder.absolute()),
            "settings": dataclasses.asdict(settings),
            "parent": os.getpid(),
        }
        self.thread = threading.Thread(target=self._listen, args=(json.dumps(task),), daemon=True)
        self.thread.start()

    def _listen(self, task: str) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        ended: str | None = None
        told = False
        with self.process, self._complaints:
            # A process that dies at once is met below, by what it did not say.
            with contextlib.suppress(OSError):
                self.process.stdin.write(task)
                self.process.stdin.close()
            for line in self.process.stdout:
                event = json.loads(line)
                if "ended" in event:
                    ended, told = event["ended"], True
                else:
                    self._events.put((self._place, event))
            code = self.process.wait()
            if not told:
                self._complaints.seek(0)
                said = self._complaints.read().decode(errors="replace")
                ended = died(self._job, said, f" (exit code {code})")
        self._events.put((self._place, {"ended": ended}))


def died(job: Job, said: str = "", how: str = "") -> str:
    """Return why a job that broke off is unfinished, with the end of what it ``said``."""
    title = f"{job.algorithm} on {job.dataset}, {training.seeds_name(job.seeds)}"
    words = said.strip()[-_ERROR_CHARACTERS:]
    return f"{title}: it broke off before it was done{how}{': ' if words else ''}{words}"


def main(source: IO[str], sink: IO[str]) -> int:
    """Do the task that ``source`` describes and tell ``sink`` about it; return the exit code."""
    task = json.load(source)
    if "parent" in task:  # a task in a cluster's queue has none
        threading.Thread(target=_leave_with, args=(task["parent"],), daemon=True).start()

    def say(**event: Any) -> None:
        # If the parent is gone this fails, which ends the job: its checkpoint stays.
        print(json.dumps(event), file=sink, flush=True)

    def report(progress: Progress) -> None:
        say(progress={**vars(progress), "losses": dict(progress.losses)})

    try:
        job = Job.from_json(task["job"])
        training.use_threads(1)
        training.train_job(job, Path(task["folder"]), report, **task["settings"])
    except DatumrlError as problem:
        say(ended=str(problem))
    else:
        say(ended=None)
    return 0


def _leave_with(parent: int) -> None:
    """End this process when its parent is gone; the checkpoint stays as it was."""
    while os.getppid() == parent:
        time.sleep(_LOOK_SECONDS)
    os._exit(1)


@contextlib.contextmanager
def _clean_output() -> Iterator[IO[str]]:
    """Yield the standard output; what libraries print goes to the standard error instead."""
    sink = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        yield sink


if __name__ == "__main__":
    with _clean_output() as output:
        sys.exit(main(sys.stdin, output))
