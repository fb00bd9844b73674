"""Does AdaStop hold its level, what does it find, and how many runs does it save?

    python benchmarks/adastop_calibration.py [--workers 2] [--only TEXT] [--seconds S]
        [--summary | --table FILE]

Simulates comparisons in which it is known which algorithms are alike (``adastop_cells``): 5,000
replications a cell, 2,000 where it is about power.  Every estimate of the level above alpha is run
again with 50,000 fresh replications, except where no level is promised and the first run leaves no
doubt (one-sided p below 1e-6).  What is promised comes first.  ``results/adastop_calibration.csv``
is written after every cell; what is in it is not run again, so that an interrupted study goes on
where it stopped.

A design is accepted unless a one-sided binomial test rejects its level at 0.01 / the number of
designs whose level is promised; of two runs of a design the larger counts.
"""

from __future__ import annotations

import argparse
import csv
import math
import multiprocessing
import time
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path

import numpy as np
from adastop_cells import FIXED, Cell, cells, decisions, fixed_decisions, nulls, score_batches
from scipy import stats

from datumrl.datasets import files

RESULTS = Path(__file__).parent / "results" / "adastop_calibration.csv"
KEY = (
    *("truth", "procedure", "statistic", "distribution", "algorithms", "runs", "interims"),
    *("alpha", "permutations"),
)
COLUMNS = (
    *KEY,
    *("promised", "replications", "false_rejections", "rate", "low", "high", "p_above_alpha"),
    *("pairs_found", "all_found", "mean_runs", "seconds", "refused"),
)
REPLICATIONS, POWER_REPLICATIONS, RERUN_REPLICATIONS = 5_000, 2_000, 50_000
RERUN_BATCH = 1_000  # the rerun's first batch of scores, so that it shares none with the first run
BEYOND_DOUBT = 1e-6

Row = dict[str, str]


def wilson(count: int, total: int, z: float = 1.96) -> tuple[float, float]:
    """Return Wilson's 95% interval of a share."""
    share = count / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total**2)) / (1 + z * z / total)
    return max(0.0, middle - half), min(1.0, middle + half)


def simulate(cell: Cell, replications: int, first_batch: int) -> tuple[int, float, float, float]:
    """Return false rejections, shares of true differences found and of all found, mean runs."""
    null = nulls(cell)
    false = all_found = used = seed = 0
    found = 0.0
    for batch in score_batches(cell, first_batch, replications):
        for scores in batch:
            decide = fixed_decisions if cell.procedure in FIXED else decisions
            signs, runs = decide(cell, scores, first_batch * RERUN_BATCH + seed)
            seed += 1
            used += runs
            false += bool(signs[null].any())
            if not null.all():
                # Where means differ the later algorithm's is larger: right is "smaller".
                right = signs[~null] < 0
                found += float(right.mean())
                all_found += bool(right.all())
    return false, found / replications, all_found / replications, used / replications


def row_of(cell: Cell, rerun: bool) -> Row:
    """Return a finished line of the table."""
    began = time.perf_counter()
    row = dict.fromkeys(COLUMNS, "")
    row |= {key: str(getattr(cell, key)) for key in KEY}
    row["promised"] = "yes" if cell.promised else "no"
    if cell.refusal:
        return row | {"refused": cell.refusal}
    total = POWER_REPLICATIONS if cell.about_power else REPLICATIONS
    total = RERUN_REPLICATIONS if rerun else total
    false, pairs_found, all_found, runs = simulate(cell, total, RERUN_BATCH if rerun else 0)
    null = nulls(cell)
    row |= {"replications": str(total), "mean_runs": f"{runs:.2f}"}
    if null.any():
        low, high = wilson(false, total)
        p = stats.binomtest(false, total, cell.alpha, alternative="greater").pvalue
        row |= {"false_rejections": str(false), "rate": f"{false / total:.5f}"}
        row |= {"low": f"{low:.5f}", "high": f"{high:.5f}", "p_above_alpha": f"{p:.3g}"}
    if not null.all() and "spread" not in cell.truth:
        row |= {"pairs_found": f"{pairs_found:.4f}", "all_found": f"{all_found:.4f}"}
    return row | {"seconds": f"{time.perf_counter() - began:.1f}"}


def wants_rerun(cell: Cell, row: Row) -> bool:
    """Return whether the first run's estimate lies above alpha and is to be settled."""
    if cell.about_power or not row["rate"] or float(row["rate"]) <= cell.alpha:
        return False
    return cell.promised or float(row["p_above_alpha"]) >= BEYOND_DOUBT


class Table:
    """The results on disk, a line per cell and number of replications."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[tuple[str, bool], Row] = {}
        if path.exists():
            with path.open(encoding="utf-8", newline="") as handle:
                for row in csv.DictReader(handle):
                    rerun = row["replications"] == str(RERUN_REPLICATIONS)
                    self.rows[" ".join(row[key] for key in KEY), rerun] = row

    def add(self, cell: Cell, rerun: bool, row: Row) -> None:
        """Keep a line and write the table."""
        self.rows[cell.name, rerun] = row
        with files.replacing(self.path, "w") as handle:
            table = csv.DictWriter(handle, COLUMNS, lineterminator="\n")
            table.writeheader()
            table.writerows(self.rows.values())
        print(f"{cell.name:<64} {line(row)}", flush=True)

    def missing(self, chosen: list[Cell], rerun: bool) -> list[Cell]:
        """Return the cells that are still to be run, or run again."""
        if rerun:
            first = [(cell, self.rows.get((cell.name, False))) for cell in chosen]
            chosen = [cell for cell, row in first if row and wants_rerun(cell, row)]
        return [cell for cell in chosen if (cell.name, rerun) not in self.rows]


def fill(table: Table, chosen: list[Cell], rerun: bool, workers: int, end: float) -> bool:
    """Run what is missing, several cells at a time; return whether there was time for all."""
    left = table.missing(chosen, rerun)
    # Fresh interpreters: what a parent has compiled or set does not matter.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        running: dict[Future[Row], Cell] = {}
        while running or (left and time.perf_counter() < end):
            while left and len(running) < workers and time.perf_counter() < end:
                cell = left.pop(0)
                running[pool.submit(row_of, cell, rerun)] = cell
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                table.add(running.pop(future), rerun, future.result())
    return not left


def line(row: Row) -> str:
    """Return the figures of a line of the table."""
    if row["refused"]:
        return "refused"
    level = f"{row['rate']} [{row['low']}, {row['high']}]" if row["rate"] else "no null"
    found = f"  found {row['pairs_found']} all {row['all_found']}" if row["all_found"] else ""
    return f"{level} of {row['replications']}{found}  runs {row['mean_runs']}  {row['seconds']} s"


def summary(table: Table, chosen: list[Cell]) -> str:
    """Return whether every promised level is accepted."""
    promised = [cell for cell in chosen if cell.promised and not cell.refusal]
    last = [table.rows.get((c.name, True)) or table.rows.get((c.name, False)) for c in promised]
    done = [row for row in last if row]
    level = 0.01 / len(promised) if promised else math.nan
    rejected = [row for row in done if float(row["p_above_alpha"]) < level]
    reruns = sum(row["replications"] == str(RERUN_REPLICATIONS) for row in done)
    worst = min((float(row["p_above_alpha"]) for row in done), default=math.nan)
    refused = sum(bool(cell.refusal) for cell in chosen)
    highest = max((float(row["rate"]) / float(row["alpha"]) for row in done), default=math.nan)
    return (
        f"{len(done)} of {len(promised)} designs of promised level, {refused} refused, "
        f"{reruns} run again; {len(rejected)} rejected at {level:.2g} (smallest p {worst:.2g}); "
        f"highest rate {highest:.3f} alpha"
    )


SECTIONS = (
    ("Level promised: closed", lambda cell: cell.promised),
    ("No level promised: unequal spreads", lambda cell: cell.truth == "spread"),
    (
        "No level promised: the other procedures",
        lambda cell: not (cell.promised or cell.about_power or cell.truth == "spread"),
    ),
    ("Power, and runs used", lambda cell: cell.about_power),
)


def markdown(table: Table, chosen: list[Cell]) -> str:
    """Return the whole table, sorted into sections."""
    lines = ["# AdaStop: the whole level study", "", f"{summary(table, chosen)}.", ""]
    lines += [
        "Written by `benchmarks/adastop_calibration.py --table`; `docs/adastop.md` explains.",
        "",
    ]
    for title, belongs in SECTIONS:
        lines += [f"## {title}", ""]
        heads = ("truth", "procedure", "statistic", "scores", "algorithms", "n", "K", "alpha")
        heads += ("false rejections", "95% interval", "of", "found", "all found", "mean runs")
        lines += [f"| {' | '.join(heads)} |", "|" + " --- |" * len(heads)]
        for cell in filter(belongs, chosen):
            for rerun in (False, True):
                row = table.rows.get((cell.name, rerun))
                if row:
                    lines.append(f"| {' | '.join(_fields(row))} |")
        lines.append("")
    return "\n".join(lines)


def _fields(row: Row) -> list[str]:
    shown = [row[key] for key in KEY[:-1]]
    if row["refused"]:
        return [*shown, "refused", "", "", "", "", ""]
    interval = f"{row['low']} to {row['high']}" if row["rate"] else ""
    rest = [row[key] for key in ("replications", "pairs_found", "all_found", "mean_runs")]
    return [*shown, row["rate"], interval, *rest]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="cells whose name holds this text")
    parser.add_argument("--workers", type=int, default=1, help="processes, of a thread each")
    parser.add_argument("--seconds", type=float, default=math.inf, help="start none after so long")
    parser.add_argument("--summary", action="store_true", help="print what is there; run nothing")
    parser.add_argument("--table", type=Path, help="write what is there as Markdown; run nothing")
    options = parser.parse_args()
    began = time.perf_counter()
    table = Table(RESULTS)
    chosen = [cell for cell in cells() if options.only in cell.name]
    if options.table:
        with files.replacing(options.table, "w") as handle:
            handle.write(markdown(table, chosen))
        return
    promised = [cell for cell in chosen if cell.promised]
    stages = [(group, rerun) for group in (promised, chosen) for rerun in (False, True)]
    for group, rerun in [] if options.summary else stages:
        if not fill(table, group, rerun, options.workers, began + options.seconds):
            print(f"stopped after {options.seconds:.0f} s; start again to go on")
            break
    print(summary(table, chosen))


np.seterr(all="raise", under="ignore")  # in every worker, too

if __name__ == "__main__":
    main()
