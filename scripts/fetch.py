"""`datumrl fetch`: bring a dataset's file here and verify it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import rich.progress
import tyro

from datumrl.datasets import catalogue, fetching, identity
from datumrl.datasets.downloading import Step
from datumrl.datasets.errors import DatumrlError
from datumrl.scripts import console

_DONE = {
    "downloaded": "downloaded from {}",
    "imported": "imported from {}",
    "verified": "already here, unchanged since it came from {}",
    "d4rl-cache": "found in D4RL's own cache, nothing downloaded: {}",
}


@dataclass(frozen=True)
class Command:
    """Download and verify datasets, or import files at hand.

    An interrupted download is continued by the same command. The sha256 is recorded at the first
    fetch and verified at every later one. Files go to the folder DATUMRL_HOME, or without it to
    datumrl/ in the folder where this system keeps your data (Linux: ~/.local/share). If one of
    several datasets cannot be fetched, the others still are, and the exit code is 2.
    """

    datasets: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="ID...")]
    """dataset ids, such as d4rl/hopper-medium-v2; minari/NAMESPACE/NAME-vN is any dataset that
    Minari's remote (MINARI_REMOTE) has
    """
    source: Annotated[Path | None, tyro.conf.arg(name="from", metavar="PATH")] = None
    """import this file, or the files of the publisher's names in this folder"""
    mirror: Annotated[
        tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="URL_PREFIX")
    ] = ()
    """a source to try after the catalogue's, which has files by their last folder and name, such as
    URL_PREFIX/gym_mujoco_v2/hopper_medium-v2.hdf5; may be repeated, and DATUMRL_MIRRORS adds more,
    separated by spaces
    """
    force: bool = False
    """fetch again what is already here"""
    timeout: float = 30.0
    """seconds without a byte before trying again"""
    json: bool = False
    """print what is recorded of the file as JSON (a list if several ids are given)"""

    def run(self) -> int:
        records = [catalogue.fetchable(name) for name in dict.fromkeys(self.datasets)]
        self._check(records)
        problems = []
        sidecars = []
        for record in records:
            try:
                fetched = self._fetch(record)
            except DatumrlError as problem:
                problems.append(str(problem))
                continue
            sidecars.append(dataclasses.asdict(_sidecar(fetched)))
            if not self.json:
                _tell(record, fetched)
        if self.json and sidecars:
            console.print_json(sidecars if len(records) > 1 else sidecars[0])
        if problems:
            raise DatumrlError("\n".join(problems))
        return 0

    def _check(self, records: list[catalogue.DatasetRecord]) -> None:
        if not records:
            raise DatumrlError("no dataset named; `datumrl datasets` lists those known")
        if not self.timeout > 0:
            raise DatumrlError(f"--timeout {self.timeout:g}: must be above 0 seconds")
        if self.source is not None and len(records) > 1 and not self.source.is_dir():
            raise DatumrlError(
                f"--from {self.source}: is one file for {len(records)} datasets; name a folder "
                "that holds them all, or fetch them one by one"
            )

    def _fetch(self, record: catalogue.DatasetRecord) -> fetching.Fetched:
        with _Display() as display:
            return fetching.fetch(
                record,
                mirrors=self.mirror,
                source=self.source,
                force=self.force,
                progress=display.show,
                timeout=self.timeout,
            )


class _Display:
    """One bar for what is going on now, and a line for all else that happens.

    Where there is no terminal, work on more than 10 MB is a line as well.
    """

    def __init__(self) -> None:
        self._progress = rich.progress.Progress(
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(),
            rich.progress.DownloadColumn(),
            rich.progress.TransferSpeedColumn(),
            rich.progress.TimeRemainingColumn(),
            console=console.notes,
            transient=True,
            disable=not console.notes.is_terminal,
        )
        self._task: rich.progress.TaskID | None = None
        self._activity = ""

    def __enter__(self) -> _Display:
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, step: Step | str) -> None:
        if isinstance(step, str):
            console.notes.print(step, markup=False, soft_wrap=True)
            self._activity = ""  # what follows, perhaps a resumed download, is measured anew
            return
        if self._task is None or step.activity != self._activity:
            if self._task is not None:
                self._progress.remove_task(self._task)
            if not console.notes.is_terminal and (step.total is None or step.total > 10**7):
                console.notes.print(f"{step.activity} ...", markup=False, soft_wrap=True)
            self._progress.start()
            # The bytes that were here before do not count towards the rate.
            self._task = self._progress.add_task(
                step.activity, total=step.total, completed=step.done
            )
            self._activity = step.activity
        self._progress.update(self._task, completed=step.done, total=step.total)


def _sidecar(fetched: fetching.Fetched) -> fetching.Sidecar:
    sidecar = fetching.read_sidecar(fetched.recorded or fetched.path)
    if sidecar is None:
        raise DatumrlError(f"{fetched.path}: its record was removed meanwhile; fetch it again")
    return sidecar


def _tell(record: catalogue.DatasetRecord, fetched: fetching.Fetched) -> None:
    def line(text: str) -> None:
        console.output.print(text, markup=False, soft_wrap=True)

    line(f"{record.id}: {_DONE[fetched.how].format(fetched.origin)}")
    line(f"  {fetched.path}, {identity.quick(fetched.path)[0] / 1e6:,.1f} MB")
    state = "confirmed by the catalogue" if fetched.confirmed else "unconfirmed"
    line(f"  sha256 {fetched.sha256}, {state}")
    if fetched.replaced:
        line(f"  it replaces a different file, of sha256 {fetched.replaced}")
    elif not fetched.confirmed and fetched.how != "verified":
        line("  its publisher states no hash; this one is recorded, and verified from now on")
