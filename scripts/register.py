"""`datumrl register`: add datasets of one's own to the catalogue, or remove them from it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from datumrl.datasets.errors import DatumrlError
from datumrl.scripts import console


@dataclass(frozen=True)
class Command:
    """Register a dataset of your own, which a TOML file describes, and read it once.

    A TOML file describes the data, which is read once, to check it. The dataset is then user/NAME
    for every command. Its files stay where they are and are read from there. A name keeps its
    meaning: another description of the same name is refused without --replace. --remove removes the
    registration and what was prepared of the data, never the files that it described.
    """

    file: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="[FILE.toml]")] = None
    """the description; --example prints one to start from"""
    example: Annotated[
        Literal["hdf5", "npz", "csv", "parquet", "minari"] | None, tyro.conf.arg(metavar="FORMAT")
    ] = None
    """print a commented description of a dataset in this format: hdf5, npz, csv, parquet, minari"""
    remove: Annotated[str | None, tyro.conf.arg(metavar="ID")] = None
    """remove this dataset, such as user/my-robot-v1; your own files and trained runs stay"""
    replace: bool = False
    """give a name that is taken another meaning; what changes is shown"""
    json: bool = False
    """print the dataset's record as JSON; with --remove, what was removed"""

    def run(self) -> int:
        if [self.file, self.example, self.remove].count(None) != 2:
            raise DatumrlError(
                "name one FILE.toml, or --example csv to print one to start from, or --remove ID"
            )
        if self.remove is not None:
            return self._remove(self.remove)
        if self.example is not None:
            from datumrl.datasets import registration_examples

            print(registration_examples.example(self.example), end="")
            return 0
        from datumrl.datasets import loading, registration

        assert self.file is not None
        with console.Bars() as bars:
            bar = bars.bar(f"reading {self.file.name}", "files")
            done = registration.register(
                self.file,
                replace=self.replace,
                progress=bar,
                waiting=lambda: console.notes.print("another process is at work on it; waiting"),
            )
        if self.json:
            console.print_json(dataclasses.asdict(done.record))
            return 0
        _tell(done, loading.load(done.record.id).notes)
        return 0

    def _remove(self, dataset_id: str) -> int:
        from datumrl.datasets import unregistration

        if self.replace:
            raise DatumrlError("--replace: for a FILE.toml; leave it or --remove out")
        removed = unregistration.unregister(dataset_id)
        if self.json:
            console.print_json({"id": dataset_id, "removed": [str(path) for path in removed]})
            return 0
        for line in (f"{dataset_id} is no longer registered; removed:", *removed):
            console.output.print(f"{line}", markup=False, soft_wrap=True)
        return 0


def _tell(done: object, notes: tuple[str, ...]) -> None:
    from datumrl.datasets.registration import Registered

    assert isinstance(done, Registered)
    record = done.record
    state = "is registered already, as it is" if done.unchanged else "registered"
    lines = [f"{record.id} {state}: {record.rows:,} transitions"]
    lines += [f"  replaced: {change}" for change in done.changes]
    lines += [f"  note: {note}" for note in notes]
    lines.append(f"  described in {done.path}; try `datumrl stats {record.id} --audit`")
    for line in lines:
        console.output.print(line, markup=False, soft_wrap=True)
