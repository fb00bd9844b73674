"""`datumrl register`: add datasets of one's own to the catalogue."""

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
    meaning: another description of the same name is refused without --replace.
    """

    file: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="[FILE.toml]")] = None
    """the description; --example prints one to start from"""
    example: Annotated[
        Literal["hdf5", "npz", "csv", "parquet", "minari"] | None, tyro.conf.arg(metavar="FORMAT")
    ] = None
    """print a commented description of a dataset in this format: hdf5, npz, csv, parquet, minari"""
    replace: bool = False
    """give a name that is taken another meaning; what changes is shown"""
    json: bool = False
    """print the dataset's record as JSON"""

    def run(self) -> int:
        if (self.file is None) == (self.example is None):
            raise DatumrlError("name one FILE.toml, or --example csv to print one to start from")
        if self.example is not None:
            from datumrl.datasets import registration_examples

            print(registration_examples.example(self.example), end="")
            return 0
        from datumrl.datasets import loading, registration

        assert self.file is not None
        with console.Bars() as bars:
            bar = bars.bar(f"reading {self.file.name}", "files")
            done = registration.register(self.file, replace=self.replace, progress=bar)
        if self.json:
            console.print_json(dataclasses.asdict(done.record))
            return 0
        _tell(done, loading.load(done.record.id).notes)
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
