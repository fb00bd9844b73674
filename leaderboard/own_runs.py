"""Raw scores of one's own, a row per run or evaluation, as runs; what is odd in them is named."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping

import numpy as np

from datumrl.datasets.errors import DatumrlError
from datumrl.leaderboard import cell_text, own_files
from datumrl.leaderboard.own_files import Sheet, listed
from datumrl.leaderboard.rules import RawRun

Runs = dict[tuple[str, str], list[RawRun]]  # by algorithm and dataset
_Place = tuple[str, str, str, str, int]  # algorithm, dataset, configuration, seed, occurrence
_Evaluations = list[tuple[float, float, bool]]  # step, value, failed


def read(sheet: Sheet, columns: Mapping[str, str]) -> tuple[Runs, list[str]]:
    """Return the runs of a file and notes on them; ``columns`` maps ours to the file's own.

    Raises DatumrlError, naming the cell, for what cannot be read or is not filled in.
    """
    own = own_files.own_columns(sheet, columns)
    for name in ("algorithm", "dataset", "score"):
        if own[name] is None:
            raise own_files.missing_column(sheet, name)
    if own["step"] and not own["seed"]:
        raise own_files.missing_column(sheet, "seed")
    gathered: dict[_Place, _Evaluations] = defaultdict(list)
    counts: Counter[tuple[object, ...]] = Counter()
    for number, (line, row) in enumerate(sheet.rows, start=1):
        cell = {name: row[column].strip() for name, column in own.items() if column}
        for name in ("algorithm", "dataset", "seed", "step"):
            if name in cell and not cell[name]:
                raise DatumrlError(f"{sheet.where(line, own[name] or '')}: is empty; fill it in")
        place = (cell["algorithm"], cell["dataset"], cell.get("configuration", ""))
        seed = cell.get("seed", str(number))
        where = f"{sheet.where(line, own['score'] or '')} ({place[0]} on {place[1]}, seed {seed})"
        step = _step(cell, sheet.where(line, own["step"] or ""), sheet.commas)
        # A seed that comes again at the same step is another run of the same name.
        occurrence = counts[(*place, seed, step)]
        counts[(*place, seed, step)] += 1
        value = cell_text.value(cell["score"], where, sheet.commas)
        said = cell_text.says_failed(cell.get("status", ""), sheet.where(line, own["status"] or ""))
        gathered[(*place, seed, occurrence)].append((step, value, said or not np.isfinite(value)))
    return _gathered(gathered, sheet.name, own["step"] is not None)


def _step(cell: Mapping[str, str], where: str, commas: bool) -> float:
    if "step" not in cell:
        return 0.0
    step = cell_text.value(cell["step"], where, commas)
    if not np.isfinite(step):
        raise DatumrlError(f"{where}: {cell['step']!r} is no step; write a number")
    return step


def _gathered(
    gathered: Mapping[_Place, _Evaluations], name: str, stepped: bool
) -> tuple[Runs, list[str]]:
    runs: Runs = defaultdict(list)
    twice, broken = [], []
    for (algorithm, dataset, configuration, seed, occurrence), found in gathered.items():
        ordered = sorted(found, key=lambda each: each[0])
        run = RawRun(
            seed,
            np.array([each[1] for each in ordered]),
            np.array([each[0] for each in ordered]) if stepped else None,
            any(each[2] for each in ordered),
            configuration,
            occurrence > 0,
        )
        runs[algorithm, dataset].append(run)
        title = f"{algorithm} on {dataset}, seed {seed}"
        if run.repeated:
            first = gathered[algorithm, dataset, configuration, seed, 0]
            same = [each[1] for each in first] == [each[1] for each in found]
            twice.append(f"{title} ({'the same' if same else 'other'} values)")
        if run.broken:
            broken.append(title)
    notes = []
    if twice:
        notes.append(f"{name}: repeated seeds, counted once: {listed(twice)}")
    if broken:
        notes.append(f"{name}: failed runs or missing values: {listed(broken)}")
    return dict(runs), [*notes, *_uneven(runs, name)]


def _uneven(runs: Runs, name: str) -> list[str]:
    """Return notes on cells with other seeds than most, and on runs that end before the others."""
    found = (
        _other_seeds(runs),
        ("fewer evaluations than other runs of the cell", _shorter(runs)),
        ("other last steps than other runs of the cell", _earlier(runs)),
    )
    return [f"{name}: {words}: {listed(places)}" for words, places in found if places]


def _other_seeds(runs: Runs) -> tuple[str, list[str]]:
    seeds = {
        place: tuple(dict.fromkeys(run.seed for run in found)) for place, found in runs.items()
    }
    count = Counter(map(len, seeds.values())).most_common(1)[0][0]
    usual = Counter(own for own in seeds.values() if len(own) == count).most_common(1)[0][0]
    other = []
    for (algorithm, dataset), own in seeds.items():
        if len(own) != count:
            without = [seed for seed in usual if seed not in own]
            lacking = f", without seed {', '.join(without)}" if set(own) < set(usual) else ""
            other.append(f"{algorithm} on {dataset} ({len(own)}{lacking})")
    return f"other than {count} seeds, as most have", other


def _shorter(runs: Runs) -> list[str]:
    early = []
    for (algorithm, dataset), found in runs.items():
        longest = max(len(run.values) for run in found)
        early += [
            f"{algorithm} on {dataset}, seed {run.seed} ({len(run.values)} of {longest})"
            for run in found
            if len(run.values) < longest and not run.repeated
        ]
    return early


def _earlier(runs: Runs) -> list[str]:
    """Return the runs that end at an earlier step than others of their configuration."""
    early = []
    for (algorithm, dataset), found in runs.items():
        last: dict[str, float] = {}
        for run in found:
            last[run.configuration] = max(_last(run), last.get(run.configuration, -np.inf))
        early += [
            f"{algorithm} on {dataset}, seed {run.seed} ({_last(run):,.10g} of "
            f"{last[run.configuration]:,.10g})"
            for run in found
            if _last(run) < last[run.configuration] and not run.repeated
        ]
    return early


def _last(run: RawRun) -> float:
    """Return the step of a run's last evaluation, 0 where steps are not told."""
    return 0.0 if run.steps is None or not len(run.steps) else float(run.steps[-1])
