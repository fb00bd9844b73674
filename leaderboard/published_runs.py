"""The raw scores behind a published table, as runs that can be compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import compatibility, scored_runs
from datumrl.evaluation.scored_runs import ScoredRun
from datumrl.leaderboard import neorl_selection, published_sources, published_tables
from datumrl.leaderboard.published_tables import RawScores


def ids() -> list[str]:
    """Return the registered tables whose raw scores are at hand, so that they can be compared."""
    return [*(table.id for table in published_tables.all_tables()), neorl_selection.ABOUT.id]


def scored(
    table_id: str, algorithms: Sequence[str] = (), datasets: Sequence[str] = ()
) -> tuple[list[ScoredRun], list[str]]:
    """Return the runs of a registered table with all their evaluations, and notes on the choice.

    Where datasets are not named, those that can share a table are taken: of d3rlpy's, those of the
    version with the most cells, since v0 and v2 hold different data; of NeoRL's, those with
    reference scores.  A note says so.  Raises DatumrlError for a table without raw scores.
    """
    if table_id == neorl_selection.ABOUT.id:
        return _neorl(algorithms, datasets)
    table = published_tables.find(table_id)
    references = published_tables.read_references(table)
    raw = published_tables.read_raw(table)
    if algorithms:
        compatibility.pick(algorithms, sorted({name for name, _ in raw}), "algorithm")
    notes = [f"raw scores published by {table.source} ({table.licence})"]
    if not datasets:
        raw, said = _of_one_version(raw, table_id, algorithms)
        notes += said
    runs = []
    for (algorithm, dataset), curves in raw.items():
        scores = published_tables.normalized(curves.returns, dataset, references)
        for place, seed in enumerate(curves.seeds):
            runs.append(
                ScoredRun(
                    algorithm,
                    dataset,
                    int(seed),
                    curves.steps,
                    curves.returns[place],
                    scores[place],
                    shared={"source of scores without a stated protocol": table.source},
                    source=table.source,
                )
            )
    return runs, notes


def _neorl(algorithms: Sequence[str], datasets: Sequence[str]) -> tuple[list[ScoredRun], list[str]]:
    """Return NeoRL's runs, of each algorithm and dataset those of the setting chosen offline."""
    about = neorl_selection.ABOUT
    rows = published_sources.neorl_rows()
    if algorithms:
        compatibility.pick(algorithms, sorted({row.algorithm for row in rows}), "algorithm")
    notes = [
        f"raw scores published by {about.source} ({about.licence}); of every dataset and algorithm "
        "the setting that fitted Q evaluation ranks first"
    ]
    if not datasets:
        left = {row.dataset for row in rows if row.score is None}
        rows = [row for row in rows if row.score is not None]
        notes.append(f"{len(left)} datasets without reference scores are left out")
    return scored_runs.from_rows(rows), notes


def _of_one_version(
    raw: RawScores, table_id: str, algorithms: Sequence[str]
) -> tuple[RawScores, list[str]]:
    """Return the scores of the version with the most cells, and what must be said of the rest."""
    wanted = [dataset for name, dataset in raw if not algorithms or name in algorithms]
    counts = Counter(dataset.rpartition("-")[2] for dataset in wanted)
    version = max(counts, key=lambda each: (counts[each], each))
    chosen = {key: curves for key, curves in raw.items() if key[1].endswith(f"-{version}")}
    absent = sorted({name for name, _ in raw} - {name for name, _ in chosen})
    for name in absent:
        if name in algorithms:
            own = min(dataset for algorithm, dataset in raw if algorithm == name)
            raise DatumrlError(
                f"{name} has no {version} scores in {table_id}, only of {own} and its like; name "
                "datasets that all have with --datasets, or leave it out"
            )
    if len(counts) == 1 and not absent:
        return chosen, []
    without = f"; no {version} scores of {', '.join(absent)}" if absent else ""
    return chosen, [f"datasets of version {version} only{without}; choose with --datasets"]
