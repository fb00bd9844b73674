"""The verdicts on dataset measures in the form that all tables share."""

from __future__ import annotations

from datumrl.datasets import catalogue, places
from datumrl.leaderboard import quality_tables
from datumrl.leaderboard.outcome import About, CellVerdict, Outcome, Progress, Status
from datumrl.leaderboard.quality_tables import QualityTable, QualityVerdict
from datumrl.leaderboard.table_case import PrintedCell

_RULE = (
    "The first 100,000 rows of each file, digitised on 5 edges per dimension between the extremes "
    "of the medium-replay dataset; distinct rows counted exactly; SACo is their ratio to that "
    "dataset's number. TQ: mean return on the scale of D4RL's reference scores."
)
_WITHIN = f"mean return within {quality_tables.RETURN_TOLERANCE:g} of itself"
_EXPECTED = (
    "As the source; over which rows TQ is a mean it does not say. Counts must be equal, SACo "
    f"within {quality_tables.SACO_TOLERANCE:g}. For TQ it is the {_WITHIN}, as sums of float32 "
    "rewards depend on their order."
)


def about(table: QualityTable) -> About:
    """Return what a table of dataset measures is."""
    return About(
        table.id, table.title, table.source, table.url, table.licence, _RULE,
        _EXPECTED,
        "needs dataset files",
    )  # fmt: skip


def state(table_id: str) -> str:
    """Return how many of the datasets behind a table are on this machine."""
    rows = quality_tables.read_rows(quality_tables.find(table_id))
    here = sum(_is_here(row.dataset) and _is_here(row.reference) for row in rows)
    return f"dataset files of {here} of {len(rows)} rows are here (`datumrl fetch` brings them)"


def _is_here(dataset: str) -> bool:
    record = catalogue.find(dataset)
    found = (
        places.raw_path(record), places.prepared_folder(record), places.d4rl_cache_path(record)
    )  # fmt: skip
    return any(path.exists() for path in found)


def reproduce(table: QualityTable, own: About, progress: Progress | None) -> Outcome:
    """Recompute the rows whose files are here."""
    told = progress(f"{table.id} datasets") if progress else None
    rows = quality_tables.reproduce(table.id, progress=told)
    verdicts = tuple(verdict for row in rows for verdict in _verdicts(row))
    needed = (name for row in rows for name in (row.printed.reference, row.printed.dataset))
    missing = [name for name in dict.fromkeys(needed) if not _is_here(name)]
    facts = ["raw data: the datasets' own files"]
    if missing:
        facts.append(f"{len(missing)} of them are not here: `datumrl fetch {' '.join(missing)}`")
    return Outcome(own, verdicts, facts=tuple(facts))


def _verdicts(row: QualityVerdict) -> list[CellVerdict]:
    printed = row.printed
    # The command that brings all files stands above the cells; it need not be in each of them.
    gone = [name for name in (printed.dataset, printed.reference) if not _is_here(name)]
    told = f"{gone[0]} is not here" if gone else row.note
    count = row.unique_state_actions
    found = []
    for name, text, value, agrees in (
        ("TQ", f"{printed.tq}", row.tq, quality_tables.tq_agrees),
        ("state-actions", f"{printed.unique_state_actions}", count, quality_tables.count_agrees),
        ("SACo", f"{printed.saco}", row.saco, quality_tables.saco_agrees),
    ):
        cell = PrintedCell(name, printed.dataset, "", "", text, None)
        if value is None:
            found.append(CellVerdict(cell, "no raw data", note=told))
            continue
        status: Status = "reproduced" if agrees(printed, value) else "differs"
        note = f"{value - float(text):+.6g}; {told}" if status == "differs" else told
        if name == "TQ" and status == "reproduced":
            note = f"{told}; {_WITHIN}"
        found.append(CellVerdict(cell, status, f"{value:.6g}", note=note, mean=float(value)))
    return found
