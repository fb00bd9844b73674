"""Tables of the board: runs grouped so that only what is comparable stands side by side.

A table holds one suite under one protocol.  Statistics are over arrays of (runs, tasks) and come
from ``datumrl.evaluation``; a failed or missing run is counted and shown, and never becomes a zero.
A failed run leaves its method without an aggregate and a rank, as in ``datumrl compare``: the runs
that finished would flatter it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.suites import Suite
from datumrl.evaluation import bootstrap, group_test, influence, intervals, metrics, ragged
from datumrl.leaderboard import names, ranked_datasets, standings, table_groups, variants
from datumrl.leaderboard.runs import Run, Status

CONFIDENCE = 0.95
FEW_RUNS = bootstrap.FEW_RUNS  # fewer runs than this are flagged
EXPERT = 100.0  # the normalised score of the reference policy: what the optimality gap is from

LARGEST = 1e12  # beyond any environment's returns; larger ones overflow the statistics
_UNRANKED = "each run's best evaluation is chosen by the returns shown, so nothing is ranked"
_REPORTED = "means as printed, without raw scores, so nothing is ranked or tested"


@dataclass(frozen=True)
class Cell:
    """One method on one dataset: every run, whatever became of it."""

    dataset: str
    runs: tuple[Run, ...]
    values: np.ndarray  # (finished runs,) scores, or raw returns where nothing normalises them

    @property
    def finished(self) -> tuple[Run, ...]:
        """Return the runs whose values these are, in the same order."""
        return tuple(run for run in self.runs if run.status == "complete")

    @property
    def mean(self) -> float | None:
        """Return the mean over seeds, None without a finished run."""
        return float(np.mean(self.values)) if self.values.size else None

    @property
    def spread(self) -> float | None:
        """Return the standard deviation over seeds (ddof = 0, as published tables have it)."""
        return float(np.std(self.values)) if self.values.size > 1 else None

    def count(self, status: Status) -> int:
        """Return the number of runs with this status."""
        return sum(run.status == status for run in self.runs)


@dataclass(frozen=True)
class Aggregate:
    """Statistics over an array of (runs, tasks); the interval is None for a single run."""

    iqm: float
    low: float | None
    high: float | None
    mean: float
    median: float
    optimality_gap: float
    runs: int
    tasks: int
    per_run: tuple[float, ...]  # the IQM over tasks of each run
    percentile: bool = False  # the interval is not Student's t, which sees no spread in the scores

    @property
    def interval_method(self) -> str | None:
        """Return how the interval was made, ``t`` or ``percentile``; None without one."""
        if self.low is None:
            return None
        return "percentile" if self.percentile else "t"


@dataclass(frozen=True)
class Entry:
    """One row: a method in one variant, with its cells and what they add up to."""

    id: str
    algorithm: str
    label: str  # what sets this variant apart from the algorithm's others; "" if it is the only one
    tier: str
    cells: dict[str, Cell]  # by dataset; one without an entry was not run
    aggregate: Aggregate | None = None  # over those of the table's `ranked_over` that it has
    lacks: tuple[str, ...] = ()  # datasets that the table ranks over, without a finished run
    failing: tuple[str, ...] = ()  # those with a failed run: any leaves it without an aggregate
    rank: int | None = None
    rank_interval: tuple[int, int] | None = None  # by a bootstrap of the runs
    letters: str = ""  # ranked rows that share one were not separated by the table's test
    untested: str = ""  # why the test left a ranked row out

    @property
    def runs(self) -> list[Run]:
        """Return every run of the row."""
        return [run for cell in self.cells.values() for run in cell.runs]

    @property
    def finished(self) -> set[str]:
        """Return the datasets with a finished run."""
        return {name for name, cell in self.cells.items() if cell.values.size}

    @property
    def tried(self) -> set[str]:
        """Return the datasets with a run that ended, whether it finished or failed."""
        return {
            name for name, cell in self.cells.items() if cell.values.size or cell.count("failed")
        }

    @property
    def complete(self) -> bool:
        """Return whether, on the datasets that count, it has finished runs and no failed one."""
        return not self.lacks and not self.failing

    @property
    def title(self) -> str:
        """Return the algorithm's name as papers write it."""
        return names.method(self.algorithm)

    @property
    def name(self) -> str:
        """Return the algorithm's name with the variant's label."""
        return f"{self.title} ({self.label})" if self.label else self.title

    def count(self, status: Status) -> int:
        """Return the number of runs with this status."""
        return sum(cell.count(status) for cell in self.cells.values())


@dataclass(frozen=True)
class Table:
    """One suite under one protocol."""

    id: str
    suite: Suite
    protocol: str
    normalised: bool  # False: the values are raw returns, which are not averaged over datasets
    datasets: tuple[str, ...]
    entries: tuple[Entry, ...]  # ranked ones first, best first
    ranked_over: tuple[str, ...] = ()  # what aggregates and ranks are over; () of raw returns
    test: str = ""  # how the letters came, or why there are none
    unranked: str = ""  # why nothing is ranked, where that is by design

    @property
    def runs(self) -> list[Run]:
        """Return every run of the table."""
        return [run for entry in self.entries for run in entry.runs]


def build(all_runs: Iterable[Run], progress: Callable[[int], None] | None = None) -> list[Table]:
    """Group runs into tables and compute their statistics, the widest table first.

    ``progress`` is called after every row with its number of runs.  Raises DatumrlError where one
    seed has two different results: counting both would be wrong, and choosing one worse.
    """
    tables = []
    for (suite, protocol, normalised), members in sorted(table_groups.groups(all_runs).items()):
        tables.append(_table(suite, protocol, normalised, members, progress))
    return sorted(tables, key=lambda table: (-len(table.entries), -len(table.datasets), table.id))


def _table(
    suite: Suite,
    protocol: str,
    normalised: bool,
    members: Sequence[Run],
    progress: Callable[[int], None] | None,
) -> Table:
    identity = names.slug(suite.title, protocol, str(normalised))
    datasets = tuple(sorted({run.row.dataset for run in members}))
    entries = _entries(identity, members, normalised)
    over = _ranked_over(entries) if normalised else ()
    for place, entry in enumerate(entries):
        entries[place] = _counted(entry, over, over if normalised else datasets)
        if progress is not None:
            progress(len(entry.runs))
    reason = _why_unranked(members)
    if reason:
        entries.sort(key=lambda entry: entry.id)
        ranked, test = tuple(entries), reason
    else:
        ranked, test = _with_standings(_ranked(entries), over)
    return Table(identity, suite, protocol, normalised, datasets, ranked, over, test, reason)


def _entries(identity: str, members: Sequence[Run], normalised: bool) -> list[Entry]:
    """Return the rows with their cells; what these add up to is computed later."""
    by_name: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in members:
        by_name[names.shown_as(run.row.algorithm), run.row.tier].append(run)
    return [
        Entry(
            id=f"{identity}--{names.slug(variant[0].row.algorithm, label, tier)}",
            algorithm=variant[0].row.algorithm,
            label=label,
            tier=tier,
            cells=_cells(variant, normalised),
        )
        for (_, tier), own in sorted(by_name.items())
        for label, variant in variants.split(own)
    ]


def _ranked_over(entries: Sequence[Entry]) -> tuple[str, ...]:
    """Return the datasets to rank over, whatever scores and failures there are on them.

    A failed run counts as one: else a method that fails on a dataset would be ranked without it, or
    take it from the others.  Rows and datasets without any finished run do not count.
    """
    made = [(entry.algorithm, frozenset(run.row.source for run in entry.runs)) for entry in entries]
    known = set().union(*(entry.finished for entry in entries))
    run_on = [entry.tried & known if entry.finished else set() for entry in entries]
    return ranked_datasets.chosen(run_on, made)


def _counted(entry: Entry, over: Sequence[str], needed: Sequence[str]) -> Entry:
    """Return a row with its aggregate over some datasets, and which of those needed it lacks."""
    present = entry.finished
    own = [entry.cells[name] for name in over if name in entry.cells]
    failing = tuple(cell.dataset for cell in own if cell.count("failed"))
    counted = {} if failing else {cell.dataset: cell for cell in own if cell.values.size}
    return replace(
        entry,
        aggregate=aggregate(_matrix(counted)),
        failing=failing,
        lacks=tuple(name for name in needed if name not in present),
    )


def _why_unranked(members: Sequence[Run]) -> str:
    if any(run.record is not None and run.record.protocol.checkpoint == "best" for run in members):
        return _UNRANKED
    return _REPORTED if any(run.row.tier == "reported" for run in members) else ""


def _cells(own: Sequence[Run], normalised: bool) -> dict[str, Cell]:
    by_dataset: dict[str, list[Run]] = defaultdict(list)
    for run in own:
        by_dataset[run.row.dataset].append(run)
    return {
        dataset: _cell(dataset, found, normalised) for dataset, found in sorted(by_dataset.items())
    }


def _cell(dataset: str, found: Sequence[Run], normalised: bool) -> Cell:
    name = f"{found[0].row.algorithm} on {dataset}"
    seed, count = Counter(run.row.seed for run in found).most_common(1)[0]
    if count > 1:
        raise DatumrlError(
            f"{name}, seed {seed}: {count} different results; keep one of the run records"
        )
    ordered = sorted(found, key=lambda run: -1 if run.row.seed is None else run.row.seed)
    values = []
    for run in ordered:
        value = run.row.score if normalised else run.row.mean_return
        if run.status != "complete" or value is None:
            continue
        if abs(value) > LARGEST:
            raise DatumrlError(
                f"{name}, seed {run.row.seed}: {value:g} is no attainable score; "
                "correct or remove the run record"
            )
        values.append(value)
    return Cell(dataset, tuple(ordered), np.array(values, dtype=np.float64))


def _matrix(cells: dict[str, Cell]) -> np.ndarray:
    """Return scores as (runs, tasks) over the datasets with a finished run.

    Where datasets have different numbers of finished runs, the lowest seeds of each are taken, as
    many as the shortest has: every task weighs the same, and scores choose nothing.
    """
    columns = [cell.values for cell in cells.values() if cell.values.size]
    shortest = min((len(column) for column in columns), default=0)
    return np.array([column[:shortest] for column in columns]).T.reshape(shortest, len(columns))


def aggregate(scores: np.ndarray) -> Aggregate | None:
    """Return the statistics of scores (runs, tasks), None for an empty array."""
    if scores.size == 0:
        return None
    count, tasks = scores.shape
    low = high = None
    percentile = False
    if count > 1:  # one run says nothing of its spread
        generator = np.random.default_rng(0)  # used where Student's t is blind
        found = intervals.interval(scores, influence.IQM, generator, "t", confidence=CONFIDENCE)
        if intervals.has_width(found.low, found.high):
            low, high = found.low, found.high
            percentile = intervals.t_is_blind(ragged.gather_matrix(scores), influence.IQM)
    return Aggregate(
        iqm=float(metrics.iqm(scores)),
        low=low,
        high=high,
        mean=float(metrics.mean(scores)),
        median=float(metrics.median(scores)),
        optimality_gap=float(metrics.optimality_gap(scores, EXPERT)),
        runs=count,
        tasks=tasks,
        per_run=tuple(metrics.iqm(scores[:, None, :]).tolist()),
        percentile=percentile,
    )


def _ranked(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Return the entries, those with a rank first: 1 + the number of strictly larger IQMs."""

    def worth(entry: Entry) -> float:
        return -entry.aggregate.iqm if entry.aggregate else 0.0

    ordered = sorted(entries, key=lambda entry: (worth(entry), entry.id))
    full = [entry for entry in ordered if entry.complete and entry.aggregate]
    ranked = [
        replace(entry, rank=1 + sum(worth(other) < worth(entry) for other in full))
        for entry in full
    ]
    return (*ranked, *(entry for entry in ordered if not (entry.complete and entry.aggregate)))


def _with_standings(entries: Sequence[Entry], over: Sequence[str]) -> tuple[tuple[Entry, ...], str]:
    """Return the entries with rank intervals and letters, and the test in words."""
    ranked = {entry.id: entry for entry in entries if entry.rank is not None}
    scores = {
        name: _matrix({dataset: entry.cells[dataset] for dataset in over})
        for name, entry in ranked.items()
    }
    found = standings.of(scores, CONFIDENCE)
    told = tuple(
        replace(
            entry,
            rank_interval=found.ranks.get(entry.id),
            letters=found.letters.get(entry.id, ""),
            untested=found.untested.get(entry.id, ""),
        )
        for entry in entries
    )
    left_out = [(ranked[name].name, reason) for name, reason in found.untested.items()]
    return told, group_test.listed(found.test, left_out)
