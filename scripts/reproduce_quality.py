"""What `datumrl reproduce` prints of a table of dataset measures."""

from __future__ import annotations

import dataclasses

from datumrl.leaderboard import quality_tables
from datumrl.scripts import console

DIFFERS = 1


def show(table_id: str, as_json: bool) -> int:
    """Recompute the table and print it; return 1 if a row differs (one without files does not)."""
    table = quality_tables.find(table_id)
    with console.Bars() as bars:
        verdicts = quality_tables.reproduce(table_id, progress=bars.bar(table_id, "datasets"))
    if as_json:
        console.print_json(
            {
                "table": dataclasses.asdict(table),
                "rows": [dataclasses.asdict(verdict) for verdict in verdicts],
            }
        )
    else:
        for line in _lines(table, verdicts):
            console.output.print(line, soft_wrap=True, markup=False)
    return DIFFERS if any(verdict.status == "differs" for verdict in verdicts) else 0


def _lines(
    table: quality_tables.QualityTable, verdicts: list[quality_tables.QualityVerdict]
) -> list[str]:
    lines = [f"{'printed':<36}{'TQ':>9}{'state-actions':>15}{'SACo':>8}"]
    for verdict in verdicts:
        row = verdict.printed
        numbers = f"{row.tq:>9.4f}{row.unique_state_actions:>15,}{row.saco:>8.3f}"
        lines.append(f"{row.dataset:<36}{numbers}  {verdict.status}: {verdict.note}")
    statuses = [verdict.status for verdict in verdicts]
    counts = [
        f"{statuses.count(status)} {status}"
        for status in ("reproduced", "differs", "no raw data here")
        if status in statuses
    ]
    return [
        *lines,
        "",
        table.title,
        f"  source: {table.source} ({table.licence})",
        f"  {len(verdicts)} rows: {', '.join(counts)}",
    ]
