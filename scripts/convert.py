"""`datumrl convert`: write a dataset in the formats of other tools."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from datumrl.datasets import catalogue
from datumrl.datasets.errors import DatumrlError
from datumrl.scripts import console

if TYPE_CHECKING:
    from datumrl.datasets.exports import Export, Source
    from datumrl.datasets.minari_writer import EnvironmentFacts


@dataclass(frozen=True)
class Command:
    """Write a dataset as Minari or D4RL HDF5.

    What the format cannot hold is listed, in the output and in what is written.
    """

    dataset: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="ID")]
    """dataset id, such as local/hopper-medium-v1, or its prefix local/hopper-medium-v1@100k"""
    to: Literal["d4rl", "minari"]
    """format: one file as D4RL's gym-mujoco v2, or a dataset that `minari` loads"""
    out: Annotated[Path | None, tyro.conf.arg(metavar="PATH")] = None
    """d4rl: the file, or a folder for it (default: NAME.hdf5 here); minari: the folder of all
    Minari datasets (default: MINARI_DATASETS_PATH or ~/.minari/datasets)
    """
    force: bool = False
    """replace what is already there"""
    json: bool = False
    """print JSON"""

    def run(self) -> int:
        from datumrl.datasets import exports

        record = catalogue.find(self.dataset)
        target = self._target(record)
        with console.Bars() as bars:
            source = exports.open_source(record.id, bars.bar(f"reading {record.id}", "bytes"))
            export, notes = self._write(source, target, bars)
        told = _told(record, export, self.to, [*export.notes, *notes])
        if self.json:
            console.print_json(told)
        else:
            _tell(told)
        return 0

    def _target(self, record: catalogue.DatasetRecord) -> Path:
        """Return the D4RL file or the Minari root, refusing what exists before any work."""
        from datumrl.datasets import exports, minari_catalogue, minari_writer

        if self.to == "minari":
            root = self.out or minari_catalogue.root()
            exports.refuse_existing(root / minari_writer.minari_id(record), self.force)
            return root
        name = f"{record.id.partition('/')[2]}.hdf5"
        out = self.out or Path(name)
        path = out / name if out.is_dir() else out
        if path.suffix not in (".hdf5", ".h5"):
            raise DatumrlError(f"--out {path}: a D4RL file ends in .hdf5; give it that ending")
        exports.refuse_existing(path, self.force)
        return path

    def _write(self, source: Source, target: Path, bars: console.Bars) -> tuple[Export, list[str]]:
        from datumrl.datasets import d4rl_writer, minari_writer

        progress = bars.bar(f"writing {source.record.id}", "rows")
        if self.to == "d4rl":
            export = d4rl_writer.write(target, source, force=self.force, progress=progress)
            return export, []
        facts, notes = _environment_facts(source.record)
        export = minari_writer.write(target, source, facts, force=self.force, progress=progress)
        return export, notes


def _environment_facts(
    record: catalogue.DatasetRecord,
) -> tuple[EnvironmentFacts | None, list[str]]:
    """Ask Gymnasium, where it is installed; a dataset is of use without."""
    from datumrl.evaluation.environment_facts import environment_facts

    if record.environment is None:
        return None, [f"{record.id} has no environment"]
    try:
        return environment_facts(record.environment), []
    except DatumrlError as problem:
        return None, [str(problem)]


def _told(
    record: catalogue.DatasetRecord, export: Export, format_name: str, notes: list[str]
) -> dict[str, Any]:
    files = [export.path] if export.path.is_file() else list(export.path.rglob("*"))
    return {
        "dataset": record.id,
        "format": format_name,
        "name": export.name,
        "path": str(export.path),
        "transitions": export.transitions,
        "episodes": export.episodes,
        "bytes": sum(path.stat().st_size for path in files if path.is_file()),
        "notes": notes,
    }


def _tell(told: dict[str, Any]) -> None:
    lines = [
        f"wrote {told['path']}: {told['transitions']:,} transitions in {told['episodes']:,} "
        f"episodes, {told['bytes'] / 1e6:,.1f} MB",
        *(f"  note: {note}" for note in told["notes"]),
    ]
    if told["format"] == "minari":
        lines.append(f"load it with minari.load_dataset({told['name']!r})")
    for line in lines:
        console.output.print(line, markup=False, soft_wrap=True)
