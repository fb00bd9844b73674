"""Write what the local suite's reference results say (`make results`).

Run ``python -m datumrl.scripts.write_local_results``: from the records that come with the project
it makes ``docs/local_results.md`` and a pair of files in the format that ``datumrl reproduce
--published … --raw …`` reads, ``docs/local_results/published.csv`` and ``raw.csv``.
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from datumrl.datasets import files
from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import (
    influence,
    intervals,
    records,
    report,
    report_tables,
    report_text,
    scored_runs,
    sequential,
)
from datumrl.evaluation.group_test import GroupTest
from datumrl.evaluation.records import RunRecord
from datumrl.evaluation.report_parts import Report
from datumrl.evaluation.score_table import ScoreTable
from datumrl.leaderboard import baseline_runs, known_quality, names
from datumrl.scripts import literature_claims, train_baselines

DOCS = Path(__file__).parent.parent / "docs"
NEAR = 0.9  # of the score of an expert's data: what this page calls near it


def main() -> int:
    """Write the files; exit code 2 if there are no complete results."""
    try:
        found = records.find_records([baseline_runs.FOLDER])
        full = [each for each in found if each.budget.steps >= baseline_runs.FULL_BUDGET]
        datasets = complete(full)
        if not datasets:
            raise DatumrlError(
                f"{baseline_runs.FOLDER}: no dataset has all its runs; `make baselines` makes them"
            )
    except DatumrlError as problem:
        print(problem, file=sys.stderr)
        return 2
    kept = [each for each in full if each.dataset in datasets]
    cloned = [each for each in full if each.dataset in complete(full, train_baselines.CLONING)]
    short = [each for each in found if each.budget.steps < baseline_runs.FULL_BUDGET]
    text = page(_named(kept), datasets, _named(cloned), _named(short))
    _write(DOCS / "local_results.md", text)
    for name, content in pair(kept).items():
        _write(DOCS / "local_results" / f"{name}.csv", content)
    return 0


def _named(found: Sequence[RunRecord]) -> list[RunRecord]:
    """Return records whose methods have the names that readers know."""
    return [each.model_copy(update={"algorithm": names.method(each.algorithm)}) for each in found]


def _write(path: Path, text: str) -> None:
    with files.replacing(path, "w") as handle:
        handle.write(text)


def complete(
    full: Sequence[RunRecord], algorithms: tuple[str, ...] = train_baselines.FULL
) -> list[str]:
    """Return the datasets of a set of algorithms on which every run of theirs is there."""
    there = {(each.dataset, each.algorithm, each.seed) for each in full}
    return [
        batch.dataset
        for batch in _batches(algorithms)
        if all(
            (batch.dataset, algorithm, seed) in there
            for algorithm in algorithms
            for seed in range(batch.seeds)
        )
    ]


def _batches(algorithms: tuple[str, ...]) -> list[train_baselines.Batch]:
    """Return what is trained with a full budget, of one set of algorithms."""
    return [
        batch
        for batch in train_baselines.BATCHES
        if batch.algorithms == algorithms and batch.steps >= baseline_runs.FULL_BUDGET
    ]


def page(
    full: Sequence[RunRecord],
    datasets: Sequence[str],
    cloned: Sequence[RunRecord],
    short: Sequence[RunRecord],
) -> str:
    """Return the document."""
    runs = scored_runs.from_records(full)
    told = report.compare(runs, tester=_adastop)
    versions = sorted(
        {f"{name} {version}" for one in full for name, version in one.software.items()}
    )
    lines = [
        "# Results of the local suite",
        "",
        "Written by `make results` from the run records in `leaderboard/baselines`, which `make",
        f"baselines` trains: {baseline_runs.FULL_BUDGET:,} updates, {train_baselines.EPISODES} "
        "episodes of the last policy, default",
        "configurations. Scores: 0 is a random policy, 100 D4RL's reference expert.",
        "",
        f"{len(datasets)} of {len(_batches(train_baselines.FULL))} datasets are complete: "
        f"{', '.join(datasets)}.",
        f"Made with {', '.join(versions)}.",
        "",
        "TQ, SACo and PSV of every local dataset, with their map:",
        "[collections/local.md](collections/local.md).",
        "The numbers below as a pair of files: `datumrl reproduce --published",
        "docs/local_results/published.csv --raw docs/local_results/raw.csv`.",
        "",
        *_sheets(told, ("aggregates", "pairs")),
        "These decisions are AdaStop's, with all seeds as its one interim. Three of these methods,",
        "trained only until each pair was decided: [adastop.md](adastop.md#a-comparison-for-real).",
        "",
        "## Every dataset",
        "",
        "Mean ± standard deviation over seeds (divided by their number). *Data* is the mean score",
        "of the dataset's episodes: what its behaviour policies reached. A random policy scores 0.",
        "",
        *_cells(full, datasets),
        "",
        "## What published results say, and what is found here",
        "",
        *literature_claims.lines(runs, datasets),
        "",
        *_cloning(cloned),
        *_short(short),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _adastop(table: ScoreTable, ordered: Sequence[str]) -> GroupTest:
    """Return AdaStop's decisions on all runs, which are one interim: `compare --adastop`."""
    (runs,) = {batch.seeds for batch in _batches(train_baselines.FULL)}
    question = sequential.Question(table.algorithms, table.common, runs, interims=1)
    return sequential.on_records(table, ordered, question)


def pair(full: Sequence[RunRecord]) -> dict[str, str]:
    """Return the table and its raw scores, as CSV files that `datumrl reproduce` reads."""
    published, raw = (
        [("algorithm", "dataset", "mean", "std")],
        [("algorithm", "dataset", "seed", "score")],
    )
    for (algorithm, dataset), scores in _scores(full).items():
        values = np.array(list(scores.values()))
        published.append((algorithm, dataset, f"{values.mean():.1f}", f"{values.std():.1f}"))
        raw += [(algorithm, dataset, str(seed), repr(value)) for seed, value in scores.items()]
    return {"published": _csv(published), "raw": _csv(raw)}


def _csv(rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _scores(found: Sequence[RunRecord]) -> dict[tuple[str, str], dict[int, float]]:
    """Return each cell's last scores by seed."""
    cells: dict[tuple[str, str], dict[int, float]] = {}
    for record in sorted(found, key=lambda each: (each.algorithm, each.dataset, each.seed or 0)):
        score = records.score_rows(record)[-1].score
        assert score is not None
        assert record.seed is not None
        cells.setdefault((record.algorithm, record.dataset), {})[record.seed] = float(score)
    return cells


def _sheets(told: Report, keys: Sequence[str]) -> Iterator[str]:
    for sheet in report_tables.sheets(told):
        if sheet.key in keys:
            yield from (f"## {sheet.title}", "", *report_text.markdown_table(sheet), "")
            yield from (report_text.escaped(sheet.caption), "")


def _cells(found: Sequence[RunRecord], datasets: Sequence[str]) -> Iterator[str]:
    """Yield mean and standard deviation (ddof 0) of every cell, beside what is in the data."""
    cells, data = _scores(found), _data_scores()
    algorithms = list(dict.fromkeys(algorithm for algorithm, _ in cells))
    yield "| dataset | data | " + " | ".join(algorithms) + " |"
    yield "|:--|--:" + "|--:" * len(algorithms) + "|"
    for dataset in datasets:
        shown = [f"{data[dataset]:.1f}"]
        for algorithm in algorithms:
            shown.append(_spread(np.array(list(cells[algorithm, dataset].values()))))
        yield f"| {dataset} | " + " | ".join(shown) + " |"


def _data_scores() -> dict[str, float]:
    """Return the mean score of every local dataset's episodes, from its card."""
    found = {}
    for card in known_quality.own_cards():
        mean = card.statistics.scores.mean
        assert mean is not None  # every local dataset has reference scores
        found[card.id] = mean
    return found


def _cloning(cloned: Sequence[RunRecord]) -> Iterator[str]:
    """Yield BC's scores beside those of the expert's data that it has cloned."""
    if not cloned:
        return
    data = _data_scores()
    yield f"BC comes near the expert on the expert's data: at least {NEAR:.0%} of the data's mean"
    yield from ("score, which holds if the whole 95% interval (Student's t) lies above that.", "")
    yield from (
        "| dataset | data | BC, mean ± std | 95% interval | here |",
        "|:--|--:|--:|:--|:--|",
    )
    for (_, dataset), scores in _scores(cloned).items():
        values, target = np.array(list(scores.values())), data[dataset]
        ends = intervals.interval(values[:, None], influence.MEAN, np.random.default_rng(0))
        above, below = ends.low >= NEAR * target, ends.high < NEAR * target
        says = literature_claims.SAYS["larger" if above else "smaller" if below else "equal"]
        cells = (f"{target:.1f}", _spread(values), f"{ends.low:.1f} to {ends.high:.1f}", says)
        yield "| " + " | ".join((dataset, *cells)) + " |"
    yield ""


def _spread(values: np.ndarray) -> str:
    return f"{values.mean():.1f} ± {values.std():.1f}"


def _short(short: Sequence[RunRecord]) -> Iterator[str]:
    if not short:
        return
    yield from ("## Short budgets, not ranked with the others", "")
    yield "| algorithm | dataset | updates | with | seeds | mean ± std |"
    yield "|:--|:--|--:|:--|--:|--:|"
    steps = {(each.algorithm, each.dataset): each.budget.steps for each in short}
    for (algorithm, dataset), scores in _scores(short).items():
        values = np.array(list(scores.values()))
        cells = (f"{steps[algorithm, dataset]:,}", _settings(algorithm, dataset), f"{len(values)}")
        yield "| " + " | ".join((algorithm, dataset, *cells, _spread(values))) + " |"


def _settings(algorithm: str, dataset: str) -> str:
    """Return what a short run sets otherwise than a method's defaults."""
    plain = algorithm.partition(",")[0]
    for batch in train_baselines.BATCHES:
        here = batch.dataset == dataset and batch.steps < baseline_runs.FULL_BUDGET
        if here and plain in map(names.method, batch.algorithms):
            return ", ".join(f"`{setting}`" for setting in batch.settings)
    return ""


if __name__ == "__main__":
    sys.exit(main())
