"""`datumrl reproduce`: does a published table follow from its raw scores, or from training?"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from datumrl.datasets.errors import DatumrlError
from datumrl.scripts import console, options

if TYPE_CHECKING:
    from datumrl.leaderboard.outcome import CellVerdict, Outcome, Progress
    from datumrl.leaderboard.own_tables import Reading
    from datumrl.leaderboard.training_cells import TrainingTable

DIFFERS = 1
_SEEDS = "5"  # of --train
_ONLY_TRAINED = (
    "algorithms", "datasets", "seeds", "steps", "preset", "set", "episodes", "evaluate_every",
    "published_seeds", "returns", "budget", "margin", "workers", "device", "skip_missing",
    "dry_run",
)  # fmt: skip
_ONLY_OWN = ("columns", "names", "references", "checkpoint", "ddof")  # of a pair of files


@dataclass(frozen=True)
class Command:
    """Recompute a published table from its raw scores; without a table, list those registered.

    Give the id of a registered table, or files of your own with --published and --raw
    (docs/reproduce.md describes their formats); without either, the registered tables are listed.
    Exit code 1 if a cell does not follow.

    With --train, cells are trained again and compared with what is printed. Exit code 1 if one
    differs.
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
    """algorithms and datasets that the raw scores call otherwise, such as TD3-BC=TD3+BC"""
    references: Path | None = None
    """CSV of dataset, minimum, maximum: the printed cells are scores, the raw values returns"""
    checkpoint: str = "last"
    """which evaluation your table says that it holds, where it has no such column"""
    ddof: int = 0
    """of the standard deviation, as your table states it"""
    strict: bool = False
    """exit code 1 also where cells follow only under a rule that the table does not state, or, when
    trained again, do not agree or none was trained"""
    out: Path | None = None
    """folder for Markdown, LaTeX and JSON; with --train also for the runs"""
    seed: int = 0
    """seed of the tests' relabellings"""
    brief: bool = False
    """leave out the cells that follow, and the single claims"""
    train: bool = False
    """train the table's cells again, with its own settings, and compare; a rerun resumes"""
    algorithms: tuple[str, ...] = ()
    """train only these, by the table's names or ours, such as TD3+BC or td3_bc"""
    datasets: tuple[str, ...] = ()
    """train only on these"""
    seeds: str | None = None
    """new seeds (default 5): a number (5 is 0 to 4), a list (3,7,9) or a range (10-19)"""
    steps: int | None = None
    """gradient steps instead of the table's"""
    preset: Literal["official", "corl", "none"] | None = None
    """published hyper-parameters instead of the table's"""
    set: tuple[str, ...] = ()
    """fields of the configurations, such as --set alpha=1.0"""
    episodes: int | None = None
    """episodes per evaluation instead of the table's"""
    evaluate_every: int | None = None
    """gradient steps between evaluations instead of the table's"""
    published_seeds: int | None = None
    """number of seeds behind each cell of your own table, where it has no column `seeds`"""
    returns: bool = False
    """your own table holds returns, not normalised scores"""
    budget: float | None = None
    """hours: train the cells that tell most within them"""
    margin: float = 5.0
    """difference that does not matter, in points of 100 normalised"""
    workers: int | None = None
    """processes of one thread each (default: as suits the machine)"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """where to train"""
    skip_missing: bool = False
    """leave out cells whose dataset is not here, instead of stopping"""
    dry_run: bool = False
    """stop after missing files and estimates of time and memory"""
    json: bool = False
    """print JSON"""

    def run(self) -> int:
        if self.seed < 0:
            raise DatumrlError(f"seed {self.seed} is negative; use 0 or more")
        own = self.published is not None or self.raw is not None
        if self.train:
            return self._train()
        if given := options.changed(self, _ONLY_TRAINED):
            raise DatumrlError(f"{given}: for training; give --train too")
        if self.table is None and not own:
            if given := options.changed(self, (*_ONLY_OWN, "strict", "out", "seed", "brief")):
                raise DatumrlError(f"{given}: name a table, or give --published and --raw")
            _list(self.json)
            return 0
        if self.table is not None and own:
            raise DatumrlError(f"{self.table!r} with --published or --raw: give one or the other")
        if self.table is not None:
            self._refuse(_ONLY_OWN)
        if self.out is not None and self.out.is_file():
            raise DatumrlError(f"--out {self.out} is a file; name a folder")
        with console.Bars() as bars:
            found = self._outcome(lambda title: bars.bar(title, ""))
        _write(found, self.out, self.json, self.brief)
        agrees = found.strictly if self.strict else found.reproduces
        return 0 if agrees else DIFFERS

    def _outcome(self, progress: Progress) -> Outcome:
        from datumrl.leaderboard import outcome, own_tables, published_tables, registered

        if self.table is not None:
            table = registered.find(self.table)
            return table.run(self.seed, published_tables.FOLDER, progress)
        if self.published is None or self.raw is None:
            given, other = ("--raw", "--published") if self.raw else ("--published", "--raw")
            more = ", or --train" if self.published else ""
            raise DatumrlError(f"{given} alone: give {other} too{more}")
        case = own_tables.read(self.published, self.raw, self._reading())
        about = outcome.About(
            self.published.stem,
            f"{self.published.name} from {self.raw.name}",
            expected=(
                f"{self.checkpoint} evaluation of each run; mean and standard deviation "
                f"(ddof = {self.ddof}) over all runs"
            ),
        )
        found = outcome.of_case(case, about, self.seed, progress)
        facts = (own_tables.described(case),)
        return dataclasses.replace(found, facts=facts, command=self._typed())

    def _reading(self) -> Reading:
        from datumrl.leaderboard import own_files, own_tables

        if self.ddof not in (0, 1):
            raise DatumrlError(f"--ddof {self.ddof}: use 0 or 1")
        return own_tables.Reading(
            own_files.mapping(self.columns, own_files.COLUMNS, "--columns"),
            own_files.mapping(self.names, (), "--names"),
            self.references,
            self.checkpoint,
            self.ddof,
        )

    def _train(self) -> int:
        from datumrl.leaderboard import training_cells, training_estimates
        from datumrl.scripts import reproduce_training
        from datumrl.scripts.train import parse_seeds

        if not 0.0 < self.margin < float("inf"):
            raise DatumrlError(f"--margin {self.margin:g}: give points above 0")
        seeds = parse_seeds(self.seeds or _SEEDS)
        if len(seeds) < 2:
            raise DatumrlError(f"--seeds {self.seeds}: one seed has no spread; give 2 or more")
        table = reproduce_training.changed(self._training_table(), self._changes())
        wanted = reproduce_training.Wanted(
            seeds, self._changes(), self.budget, self.margin, self.out, self.workers, self.device,
            self.skip_missing, self.dry_run,
        )  # fmt: skip
        named = training_cells.selected(table, self.algorithms, self.datasets)
        planned = reproduce_training.plan(named, wanted)
        if self.dry_run:
            if self.json:
                console.print_json(
                    training_estimates.as_json(planned.estimates, planned.left_out, planned.missing)
                )
            return 0
        found = reproduce_training.train(table, planned, wanted, self._typed())
        _write(found, None, self.json, self.brief)
        problems = reproduce_training.unfinished(found, planned)
        if problems:
            raise DatumrlError("\n".join(problems))
        agrees = found.strictly if self.strict else found.reproduces
        return 0 if agrees else DIFFERS

    def _training_table(self) -> TrainingTable:
        from datumrl.leaderboard import training_files, training_tables

        if self.out is not None and self.out.is_file():
            raise DatumrlError(f"--out {self.out} is a file; name a folder")
        if self.raw is not None:
            raise DatumrlError(f"--raw {self.raw} with --train: new scores come from training")
        if self.seed:
            raise DatumrlError("--seed: of tests on raw scores; with --train new seeds are --seeds")
        if self.published is None:
            if self.table is None:
                raise DatumrlError("--train: name a registered table, or give --published FILE.csv")
            self._refuse((*_ONLY_OWN, "published_seeds", "returns"))
            return training_tables.find(self.table)
        if self.table is not None:
            raise DatumrlError(f"{self.table!r} with --published: give one or the other")
        if self.references is not None:
            raise DatumrlError(
                "--references with --train: new returns are normalised as the catalogue says; "
                "leave it out, or give --returns where the table holds returns"
            )
        stated = training_files.Stated(self.published_seeds, self.returns)
        return training_files.read(self.published, self._reading(), stated)

    def _refuse(self, names: Sequence[str]) -> None:
        """Refuse options that a registered table would ignore: it is read as its source says."""
        if given := options.changed(self, names):
            raise DatumrlError(f"{given} with {self.table}: for a table of your own (--published)")

    def _changes(self) -> dict[str, Any]:
        """Return what is to be trained otherwise than the table says."""
        from datumrl.algorithms import registry

        names = ("steps", "preset", "episodes", "evaluate_every")
        given: dict[str, Any] = {name: getattr(self, name) for name in names}
        changes = {name: value for name, value in given.items() if value is not None}
        settings = registry.parse_settings(self.set)
        return {**changes, "settings": settings} if settings else changes

    def _typed(self) -> str:
        """Return the command that does the same again."""
        words = ["datumrl", "reproduce", *([self.table] if self.table else [])]
        for each in dataclasses.fields(self):
            value = getattr(self, each.name)
            if isinstance(value, Path):
                value = value.name  # a page of the site tells nothing of this machine
            if each.name in ("table", "json", "brief", "dry_run", "out") or value == each.default:
                continue
            words.append(f"--{each.name.replace('_', '-')}")
            if not isinstance(value, bool):
                words += map(str, value) if isinstance(value, tuple) else [str(value)]
        return shlex.join(words)


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
