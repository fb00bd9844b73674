"""Published tables whose raw scores are at hand: what was printed, and from what by which rule.

Data files lie in ``published/`` (its README names sources and licences); each is checked against
its sha256 on every read.
"""

from __future__ import annotations

import csv
import difflib
import hashlib
import io
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from datumrl.datasets.errors import DatumrlError
from datumrl.leaderboard.rules import RawRun, Recomputer, Rule, Units
from datumrl.leaderboard.table_case import Case, PrintedCell

if TYPE_CHECKING:
    import pyarrow

    from datumrl.evaluation.records import ScoreRow

FOLDER = Path(__file__).parent / "published"
QUANTITIES = ("return", "score")  # score: normalised, 0-100


@dataclass(frozen=True)
class DataFile:
    """A file of ``published/`` and what it must contain."""

    name: str
    sha256: str


@dataclass(frozen=True)
class PublishedTable:
    """What was published, the raw scores behind it, and the rule that leads from one to other."""

    id: str
    title: str
    source: str  # owner/name@commit
    url: str
    licence: str
    raw: DataFile  # Parquet: algorithm, dataset, seed, step, return
    cells: DataFile  # CSV, numbers as printed
    references: DataFile  # CSV: environment, minimum, maximum
    rule: Rule
    # Parts of the rule that a reader would not expect, tried in this order before the whole.
    hidden: tuple[tuple[str, Rule], ...]
    # Other rules a reader might think of, to show which part of the rule matters.
    departures: tuple[tuple[str, Rule], ...]


_D3RLPY_RULE = Rule(ddof=0, skipped=1, windows=(("PLAS", 500),))
_TABLES = (
    PublishedTable(
        id="d3rlpy-d4rl-v0",
        title="d3rlpy's D4RL benchmark: 9 algorithms, 113 pairs with datasets, 10 seeds each",
        source="takuseno/d3rlpy-benchmarks@1771c9b23322b5f4296fa761c49808d33f967342",
        url="https://github.com/takuseno/d3rlpy-benchmarks",
        licence="MIT",
        raw=DataFile(
            "d3rlpy_d4rl.parquet",
            "f08cd79ca6ab5f6ec283c57aac1aee1829c05b2d79615d81095d90d7063f9a80",
        ),
        cells=DataFile(
            "d3rlpy_d4rl_cells.csv",
            "227be8841d3d68fc20d16d04d094b8866a1020e7167163eae3e53ae48c903bb4",
        ),
        references=DataFile(
            "d3rlpy_d4rl_references.csv",
            "24db8f947709c67f09c5caf3991add2cff09a1968c5f63b06ec4964b496e4b4b",
        ),
        rule=_D3RLPY_RULE,
        hidden=(
            ("'best' does not see the first evaluation of a run", Rule(skipped=1)),
            (
                "'best' of PLAS sees its last 500 evaluations only",
                Rule(windows=_D3RLPY_RULE.windows),
            ),
            (
                "'best' does not see the first evaluation, and of PLAS the last 500 only",
                _D3RLPY_RULE,
            ),
        ),
        departures=(
            (
                "standard deviation with ddof = 1",
                Rule(ddof=1, skipped=1, windows=_D3RLPY_RULE.windows),
            ),
            (
                "'best' looks at the first evaluation too",
                Rule(ddof=0, skipped=0, windows=_D3RLPY_RULE.windows),
            ),
            (
                "'best' of PLAS looks at its warm-up too",
                Rule(ddof=0, skipped=1),
            ),
        ),
    ),
)


@dataclass(frozen=True)
class Curves:
    """All evaluations of one algorithm on one dataset.

    ``seeds (runs,)``, ``steps (evaluations,)``, ``returns (runs, evaluations)``; each return is the
    mean over the episodes of one evaluation.
    """

    seeds: np.ndarray
    steps: np.ndarray
    returns: np.ndarray


RawScores = dict[tuple[str, str], Curves]  # by algorithm and dataset id
References = dict[str, tuple[float, float]]  # environment -> returns of scores 0 and 100


def all_tables() -> tuple[PublishedTable, ...]:
    """Return every registered table."""
    return _TABLES


def find(table_id: str) -> PublishedTable:
    """Return a registered table; an unknown id is an error that names the nearest."""
    by_id = {table.id: table for table in _TABLES}
    if table_id in by_id:
        return by_id[table_id]
    nearest = difflib.get_close_matches(table_id, by_id, n=3, cutoff=0.3) or by_id
    raise DatumrlError(
        f"unknown table {table_id!r}; the nearest: {', '.join(nearest)}; `datumrl reproduce` lists "
        "those registered"
    )


def case(table: PublishedTable, folder: Path = FOLDER) -> Case:
    """Return a table with its raw scores, ready to be recomputed."""
    references = read_references(table, folder)
    raw = read_raw(table, folder)
    return as_case(read_cells(table, folder), raw, references, table.rule, table.hidden)


def as_case(
    cells: list[PrintedCell],
    raw: RawScores,
    references: References,
    rule: Rule,
    hidden: tuple[tuple[str, Rule], ...] = (),
) -> Case:
    """Return cells and raw scores as a case whose stated rule is ``rule``."""
    runs = {
        place: [
            RawRun(str(seed), values, curves.steps)
            for seed, values in zip(curves.seeds, curves.returns, strict=True)
        ]
        for place, curves in raw.items()
    }
    scales = {dataset: references[environment_of(dataset)] for _, dataset in raw}
    expected = Rule(ddof=rule.ddof)
    known = hidden or ((("the source's rule", rule),) if rule != expected else ())
    return Case(tuple(cells), Recomputer(runs, Units(references=scales)), expected, known)


def environment_of(dataset: str) -> str:
    """Return ``hopper`` for ``d4rl/hopper-medium-v0``."""
    return dataset.partition("/")[2].partition("-")[0]


def read_raw(table: PublishedTable, folder: Path = FOLDER) -> RawScores:
    """Read every evaluation of every run behind a table."""
    import pyarrow
    import pyarrow.parquet

    rows = pyarrow.parquet.read_table(pyarrow.BufferReader(verified(table.raw, folder)))
    algorithm, algorithms = _codes(rows["algorithm"])
    dataset, datasets = _codes(rows["dataset"])
    seed, step, value = (rows[name].to_numpy() for name in ("seed", "step", "return"))
    cell = algorithm.astype(np.int64) * len(datasets) + dataset
    starts = [0, *(np.flatnonzero(np.diff(cell)) + 1).tolist(), len(cell)]
    raw = {}
    for start, stop in itertools.pairwise(starts):
        # Rows are ordered by algorithm, dataset, seed and step, and no run lacks an evaluation.
        seeds = np.unique(seed[start:stop])
        steps = step[start : start + (stop - start) // len(seeds)]
        returns = value[start:stop].reshape(len(seeds), len(steps))
        raw[algorithms[algorithm[start]], datasets[dataset[start]]] = Curves(seeds, steps, returns)
    return raw


def read_cells(table: PublishedTable, folder: Path = FOLDER) -> list[PrintedCell]:
    """Read the numbers of a table as its source printed them."""
    return [
        PrintedCell(
            row["algorithm"],
            row["dataset"],
            row["checkpoint"],
            quantity,
            row[f"{quantity}_mean"],
            row[f"{quantity}_std"],
        )
        for row in read_csv(table.cells, folder)
        for quantity in QUANTITIES
    ]


def read_references(table: PublishedTable, folder: Path = FOLDER) -> References:
    """Return the returns that the source maps to scores 0 and 100, by environment."""
    return {
        row["environment"]: (float(row["minimum"]), float(row["maximum"]))
        for row in read_csv(table.references, folder)
    }


def normalized(returns: np.ndarray, dataset: str, references: References) -> np.ndarray:
    """Map returns on a dataset (``d4rl/hopper-medium-v0``) to the source's scores, 0-100."""
    minimum, maximum = references[environment_of(dataset)]
    return 100.0 * (returns - minimum) / (maximum - minimum)


def score_rows(table_id: str) -> list[ScoreRow]:
    """Return a ScoreRow of tier "raw published" per run: its last evaluation."""
    from datumrl.evaluation.records import ScoreRow

    table = find(table_id)
    references = read_references(table)
    rows = []
    for (algorithm, dataset), curves in read_raw(table).items():
        final = curves.returns[:, -1]
        scores = normalized(final, dataset, references)
        for seed, mean_return, score in zip(curves.seeds, final, scores, strict=True):
            rows.append(
                ScoreRow(
                    tier="raw published",
                    algorithm=algorithm,
                    dataset=dataset,
                    seed=int(seed),
                    step=int(curves.steps[-1]),
                    mean_return=float(mean_return),
                    score=float(score),
                    source=table.source,
                )
            )
    return rows


def _codes(column: pyarrow.ChunkedArray) -> tuple[np.ndarray, list[str]]:
    """Return the integer codes of a dictionary-encoded column and what they stand for."""
    encoded = column.combine_chunks()
    return encoded.indices.to_numpy(), encoded.dictionary.to_pylist()


def read_csv(file: DataFile, folder: Path = FOLDER) -> Iterator[dict[str, str]]:
    """Yield the rows of a CSV file of ``published/``, once its sha256 is the registered one."""
    yield from csv.DictReader(io.StringIO(verified(file, folder).decode("utf-8")))


def verified(file: DataFile, folder: Path) -> bytes:
    """Return a file's bytes if they are the registered ones."""
    path = folder / file.name
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DatumrlError(f"{path} is missing; reinstall datumrl") from None
    found = hashlib.sha256(content).hexdigest()
    if found != file.sha256:
        raise DatumrlError(
            f"{path} has been changed: its sha256 is {found}, registered is {file.sha256}; "
            "restore it by reinstalling datumrl"
        )
    return content
