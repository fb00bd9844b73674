"""`datumrl evaluate`: re-roll the policies of a run."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import rich.table
import rich.text
import tyro

from datumrl.datasets.errors import DatumrlError
from datumrl.scripts import console

if TYPE_CHECKING:
    from datumrl.evaluation.records import RunRecord

NOT_EVALUATED = "complete, not evaluated"


@dataclass(frozen=True)
class Command:
    """Roll out the checkpointed policies of a run, or of all runs below a folder, with other seeds.

    The seeds of one method, dataset and settings are reported together, whatever runs they were
    trained in.  Of an unfinished run the policies are those of its last checkpoint; they are
    reported separately, and their records have status running.
    """

    run_folder: Annotated[Path, tyro.conf.Positional]
    """folder that `datumrl train` wrote, or one above: every run below it"""
    episodes: int | None = None
    """episodes per policy (default: as in the run)"""
    offset: int = 10_000
    """added to each policy's seed; 0 repeats the episodes of the run's own evaluation"""
    device: Literal["cpu", "cuda"] = "cpu"
    """where the policies run"""
    nearest: bool = False
    """roll out even where the environment is only the nearest; returns are then no scores"""
    export: Path | None = None
    """instead, write each policy into this folder: .npz for numpy, .pt2 of torch.export; those of
    several methods, datasets or settings into subfolders of it, named as their runs are.  What
    cannot be exported is an error after the rest is written"""
    json: bool = False
    """print JSON: one record per policy, or with --export the files"""

    def run(self) -> int:
        from datumrl.algorithms import registry

        registry.require_torch("a run")
        if self.export is not None:
            return _export(self.run_folder, self.export, self.json)
        from datumrl.algorithms import checkpoints

        rolled, problems = self._rolled(checkpoints.require_runs(self.run_folder))
        for folder, records in rolled.items():
            if (step := _unfinished_step(records)) is not None:
                _tell_of_unfinished(folder, step, records[0].budget.steps)
        told = _together(rolled)
        if self.json and told:
            console.print_json([record.model_dump(mode="json") for _, record in told])
        elif told:
            scores = scores_of([record for _, record in told])
            rows = [{**row, "algorithm": name} for row, (name, _) in zip(scores, told, strict=True)]
            print_scores(rows)
            if len(rolled) > 1 and len({(row["algorithm"], row["dataset"]) for row in rows}) > 1:
                print_grid(rows)
        _raise(problems)
        return 0

    def _rolled(self, runs: Sequence[Path]) -> tuple[dict[Path, list[RunRecord]], list[str]]:
        """Return the records of each run, and why others have none: one does not stop the rest."""
        from datumrl.algorithms.training import reroll

        rolled, problems = {}, []
        with console.Bars() as bars:
            for each in runs:
                show = bars.bar(f"rolling out{f' {each}' if len(runs) > 1 else ''}", "episodes")
                try:
                    rolled[each] = reroll(
                        each, self.episodes, self.offset, self.device, show, self.nearest
                    )
                except DatumrlError as problem:
                    problems.append(str(problem))
        return rolled, problems


def _tell_of_unfinished(folder: Path, step: int, steps: int) -> None:
    console.notes.print(
        f"{folder}: this run is unfinished; its policies are those of step {step:,} of {steps:,}, "
        "and no result",
        soft_wrap=True,
    )


def _unfinished_step(records: Sequence[RunRecord]) -> int | None:
    """Return how far an unfinished run is, None if it is finished or none of its seeds is left."""
    steps = [each.evaluations[-1].step for each in records if each.status == "running"]
    return max(steps, default=None)


def _together(rolled: Mapping[Path, Sequence[RunRecord]]) -> list[tuple[str, RunRecord]]:
    """Return the records of all runs, each after the name of its row: those of a row by seed.

    A name is the method's, with the settings that differ where it was trained in several; behind it
    stands what else keeps seeds out of one mean: the step of an unfinished run, the data where it
    differs, and the run where two hold the same seed, which would count twice.
    """
    from datumrl.algorithms import run_settings
    from datumrl.evaluation import scored_runs, variants

    found = [(folder, record) for folder, records in rolled.items() for record in records]
    places = [str(place) for place in range(len(found))]
    named = variants.told_apart(scored_runs.from_records([each for _, each in found], places))
    names = {run.source: run.algorithm for run in named}
    steps = {folder: _unfinished_step(records) for folder, records in rolled.items()}
    hashes = _hashes([record for _, record in found])
    groups: dict[tuple[str, str, int | None, str | None], list[tuple[Path, RunRecord]]] = {}
    data: dict[tuple[str, str], set[str | None]] = {}
    for place, sha256, (folder, record) in zip(places, hashes, found, strict=True):
        key = names[place], run_settings.of_record(record), steps[folder], sha256
        groups.setdefault(key, []).append((folder, record))
        data.setdefault((names[place], record.dataset), set()).add(sha256)
    told = []
    for (name, _, step, sha256), members in groups.items():
        asides = [] if step is None else [f"at step {step:,}, unfinished"]
        if len(data[name, members[0][1].dataset]) > 1:
            asides.append(f"on data {sha256[:8]}" if sha256 else "on data of unknown hash")
        told += _named(name, asides, members, in_order=len(rolled) < 2)
    return told


def _hashes(records: Sequence[RunRecord]) -> list[str | None]:
    """Return the hash of what each was trained on: of its content where others' is another.

    A content that is not known is that of the other records, unless theirs differ.
    """
    contents: dict[tuple[str, str | None], set[str]] = {}
    for record in records:
        found = contents.setdefault((record.dataset, record.dataset_sha256), set())
        if record.dataset_content_sha256 is not None:
            found.add(record.dataset_content_sha256)
    return [
        record.dataset_content_sha256
        if len(contents[record.dataset, record.dataset_sha256]) > 1
        else record.dataset_sha256
        for record in records
    ]


def _named(
    name: str, asides: Sequence[str], members: Sequence[tuple[Path, RunRecord]], in_order: bool
) -> list[tuple[str, RunRecord]]:
    """Return the records of one mean after its name, and its run where two hold the same seed."""
    apart = len({record.seed for _, record in members}) < len(members)
    if not (apart or in_order):
        members = sorted(members, key=lambda pair: pair[1].seed)
    told = []
    for folder, record in members:
        shown = ", ".join([*asides, *([f"in {folder}"] if apart else [])])
        told.append((f"{name} ({shown})" if shown else name, record))
    return told


def scores_of(records: Sequence[RunRecord]) -> list[dict[str, Any]]:
    """Return each record's last evaluation point: mean and spread of returns, and the score.

    A finished run without evaluations has a status that says so, and no numbers.
    """
    from datumrl.evaluation.records import score_rows

    rows = []
    for record in records:
        points = score_rows(record)
        last = points[-1] if points else None  # without an environment there is none
        returns = record.evaluations[-1].returns if last and last.step is not None else ()
        rows.append(
            {
                "algorithm": record.algorithm,
                "dataset": record.dataset,
                "seed": record.seed,
                "status": record.failure or record.status if last else NOT_EVALUATED,
                "step": last.step if last else None,
                "mean_return": last.mean_return if last else None,
                "deviation": statistics.stdev(returns) if len(returns) > 1 else None,
                "score": last.score if last else None,
            }
        )
    return rows


def print_scores(rows: Sequence[dict[str, Any]]) -> None:
    """Print a table per algorithm and dataset: a row per seed, and their mean."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(f"{row['algorithm']} on {row['dataset']}", []).append(row)
    for title, group in groups.items():
        table = rich.table.Table(box=None)
        table.add_column("seed")
        for name in ("step", "return", "± episodes", "score"):
            table.add_column(name, justify="right")
        table.add_column("status")
        for row in group:
            # A reason may hold brackets, which would be taken for rich's markup.
            table.add_row(str(row["seed"]), *_cells(row), rich.text.Text(row["status"]))
        done = [row for row in group if row["mean_return"] is not None]
        if len(group) > 1 and done:
            average: dict[str, Any] = {"step": max(row["step"] for row in done), "deviation": None}
            for name in ("mean_return", "score"):
                average[name] = _mean([row[name] for row in done])
            failed = len(group) - len(done)
            status = f"{failed} of {len(group)} failed" if failed else ""
            table.add_row("mean", *_cells(average), status, style="bold")
        console.output.print(title, style="bold", soft_wrap=True, markup=False)
        console.output.print(table)


def print_grid(rows: Sequence[dict[str, Any]]) -> None:
    """Print algorithms x datasets: mean and deviation over the seeds, and how many there are.

    Of normalised scores, or of returns where a dataset has none; a cell tells which.
    """
    cells: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        cells.setdefault((row["algorithm"], row["dataset"]), []).append(row)
    datasets = list(dict.fromkeys(row["dataset"] for row in rows))
    table = rich.table.Table(box=None)
    table.add_column("mean ± deviation of seeds")
    for dataset in datasets:
        table.add_column(dataset, justify="right", overflow="fold")
    for algorithm in dict.fromkeys(row["algorithm"] for row in rows):
        found = [_cell(cells.get((algorithm, each), [])) for each in datasets]
        table.add_row(rich.text.Text(algorithm), *found)  # a folder's name may hold brackets
    console.output.print(table)


def _cell(rows: Sequence[dict[str, Any]]) -> str:
    if not rows:
        return ""
    done = [row for row in rows if row["mean_return"] is not None]
    scored = done and all(row["score"] is not None for row in done)
    values = [row["score" if scored else "mean_return"] for row in done]
    silent = sum(row["status"] == NOT_EVALUATED for row in rows)
    if silent == len(rows):
        return "not evaluated"
    count = f"n={len(done)}"
    if len(done) < len(rows):
        count += f", {len(rows) - len(done)} failed"
    if not values:
        return f"({count})"
    spread = f" ± {statistics.stdev(values):,.1f}" if len(values) > 1 else ""
    kind = "" if scored else "return "
    return f"{kind}{statistics.fmean(values):,.1f}{spread} ({count})"


def _export(run_folder: Path, folder: Path, as_json: bool) -> int:
    """Write what can be exported, and raise DatumrlError at the end for what cannot."""
    from datumrl.algorithms.exporting import export_runs

    exports = export_runs(run_folder, folder)
    for each in exports:
        if each.unfinished:
            _tell_of_unfinished(each.folder, each.step, each.steps)
        for seed, reason in each.failures.items():
            told = f"{each.folder}: seed {seed} has failed, and no policy is exported: {reason}"
            console.notes.print(told, soft_wrap=True)
    paths = [str(path) for each in exports for path in each.paths]
    if as_json and paths:
        console.print_json(paths)
    for path in [] if as_json else paths:
        console.output.print(path, soft_wrap=True, markup=False)
    _raise(each.problem for each in exports if each.problem)
    return 0


def _raise(problems: Iterable[str]) -> None:
    """Raise one DatumrlError of all problems, if there are any."""
    if told := list(dict.fromkeys(problems)):
        raise DatumrlError("\n".join(told))


def _cells(row: dict[str, Any]) -> list[str]:
    step = "" if row["step"] is None else f"{row['step']:,}"
    return [step, *(_number(row[name]) for name in ("mean_return", "deviation", "score"))]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if len(known) == len(values) else None


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.1f}"
