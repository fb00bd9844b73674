"""`datumrl reproduce`: does a published table follow from its raw scores?"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from datumrl.datasets.errors import DatumrlError
from datumrl.scripts import console

if TYPE_CHECKING:
    from datumrl.leaderboard.outcome import CellVerdict, Outcome, Progress

DIFFERS = 1


@dataclass(frozen=True)
class Command:
    """Recompute a published table from its raw scores; without a table, list those registered.

    Give the id of a registered table, or files of your own with --published and --raw
    (docs/reproduce.md tells their formats).  Exit code 1 if a cell does not follow.
    """

    table: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[TABLE]")] = None
    """id of a registered table"""
    published: Path | None = None
    """CSV of a table of your own, cells as printed"""
    raw: Path | None = None
    """CSV of its raw scores, a row per run or per evaluation"""
    columns: tuple[str, ...] = ()
    """names of columns in both files, such as algorithm=method dataset=task score=return"""
    names: tuple[str, ...] = ()
    """algorithms that the raw scores call otherwise, such as TD3-BC=TD3+BC"""
    references: Path | None = None
    """CSV of dataset, minimum, maximum: the printed cells are scores, the raw values returns"""
    checkpoint: str = "last"
    """which evaluation your table says that it holds, where it has no such column"""
    ddof: int = 0
    """of the standard deviation, as your table states it"""
    strict: bool = False
    """exit code 1 also where cells follow only under a rule that the table does not state"""
    out: Path | None = None
    """folder for Markdown, LaTeX and JSON"""
    seed: int = 0
    """seed of the tests' relabellings"""
    brief: bool = False
    """leave out the cells that follow, and the single claims"""
    json: bool = False
    """print JSON"""

    def run(self) -> int:
        if self.seed < 0:
            raise DatumrlError(f"seed {self.seed} is negative; use 0 or more")
        own = self.published is not None or self.raw is not None
        if self.table is None and not own:
            _list(self.json)
            return 0
        if self.table is not None and own:
            raise DatumrlError(f"{self.table!r} with --published or --raw: give one or the other")
        if self.out is not None and self.out.is_file():
            raise DatumrlError(f"--out {self.out} is a file; name a folder")
        with console.Bars() as bars:
            found = self._outcome(lambda title: bars.bar(title, ""))
        _write(found, self.out, self.json, self.brief)
        agrees = found.strictly if self.strict else found.reproduces
        return 0 if agrees else DIFFERS

    def _outcome(self, progress: Progress) -> Outcome:
        from datumrl.leaderboard import outcome, own_files, own_tables, published_tables, registered

        if self.table is not None:
            table = registered.find(self.table)
            return table.run(self.seed, published_tables.FOLDER, progress)
        if self.published is None or self.raw is None:
            given, other = ("--raw", "--published") if self.raw else ("--published", "--raw")
            raise DatumrlError(f"{given} alone: give {other} too")
        if self.ddof not in (0, 1):
            raise DatumrlError(f"--ddof {self.ddof}: use 0 or 1")
        reading = own_tables.Reading(
            own_files.mapping(self.columns, own_tables.COLUMNS, "--columns"),
            own_files.mapping(self.names, (), "--names"),
            self.references,
            self.checkpoint,
            self.ddof,
        )
        case = own_tables.read(self.published, self.raw, reading)
        about = outcome.About(
            self.published.stem,
            f"{self.published.name} from {self.raw.name}",
            expected=(
                f"{self.checkpoint} evaluation of each run; mean and standard deviation "
                f"(ddof = {self.ddof}) over all runs"
            ),
        )
        found = outcome.of_case(case, about, self.seed, progress)
        return dataclasses.replace(found, facts=(own_tables.described(case),))


def _list(as_json: bool) -> None:
    from datumrl.leaderboard import registered

    tables = registered.all_tables()
    if as_json:
        console.print_json(
            [
                {
                    **dataclasses.asdict(table.about),
                    "state": registered.state(table),
                    "files": [dataclasses.asdict(file) for file in table.files],
                }
                for table in tables
            ]
        )
        return
    for table in tables:
        _print(table.about.id)
        _print(f"  {table.about.title}")
        _print(f"  {table.about.url} ({table.about.licence})")
        _print(f"  {registered.state(table)}")


def _write(found: Outcome, out: Path | None, as_json: bool, brief: bool) -> None:
    from datumrl.leaderboard import outcome, outcome_files

    if as_json:
        console.print_json(outcome.as_json(found))
    else:
        _print(outcome_files.plain(found, _shown(found, brief), detailed=not brief))
    if out is not None:
        for path in outcome_files.write(found, out):
            console.notes.print(f"wrote {path}", markup=False, soft_wrap=True)


def _shown(found: Outcome, brief: bool) -> list[CellVerdict]:
    """Return the cells to print: all, or the worst first where space is short."""
    from datumrl.leaderboard import outcome_sheets

    return outcome_sheets.worst_first(found.verdicts) if brief else list(found.verdicts)


def _print(text: str) -> None:
    # Lines are laid out here; rich must not fold them where no terminal tells its width.
    console.output.print(text, soft_wrap=True, markup=False)
