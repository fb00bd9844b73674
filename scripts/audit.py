"""The audit behind `datumrl stats --audit`: its tables, its JSON and its exit code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import rich.markup
import rich.table

from datumrl.datasets.errors import DatumrlError
from datumrl.scripts import console

if TYPE_CHECKING:
    from datumrl.datasets.findings import Finding, Report

FAILED = 1
_STYLES = {"pass": "green", "warn": "yellow", "fail": "bold red", "not applicable": "dim"}
_SHOWN = {"not applicable": "n/a"}


def run_audit(
    datasets: Sequence[str],
    *,
    against: Sequence[str] = (),
    path: Path | None = None,
    replay_rows: int = 1000,
    seed: int = 0,
    strict: bool = False,
    as_json: bool = False,
) -> int:
    """Audit datasets, print what was found, and return 1 if any check failed, else 0.

    ``replay_rows`` 0 leaves replays out; a negative number replays every row.  Failures that the
    record's errata foretell count only if ``strict``.
    """
    if not datasets:
        raise DatumrlError("no dataset named; `datumrl datasets` lists those known")
    reports = []
    for dataset in datasets:
        report = _audited(dataset, against, path, replay_rows, seed)
        reports.append(report)
        if not as_json:
            show(report, strict)
    if as_json:
        content = [report.to_json(strict) for report in reports]
        console.print_json(content if len(content) > 1 else content[0])
    return FAILED if any(report.failures(strict) for report in reports) else 0


def _audited(
    dataset: str, against: Sequence[str], path: Path | None, replay_rows: int, seed: int
) -> Report:
    from datumrl.evaluation.auditing import audit_dataset

    with console.Bars() as bars:
        return audit_dataset(
            dataset,
            path=path,
            against=against,
            replay_rows=None if replay_rows < 0 else replay_rows,
            seed=seed,
            loading_progress=bars.bar(f"reading {dataset}", "bytes"),
            checks_progress=bars.bar(f"checking {dataset}", "checks"),
            replay_progress=bars.bar(f"replaying {dataset}", "rows"),
        )


def show(report: Report, strict: bool = False) -> None:
    """Print a report: a line per check, what is wrong and what to do about it, and its notes."""
    table = rich.table.Table(
        title=f"{report.dataset}: {report.rows:,} rows, {report.episodes:,} episodes",
        title_justify="left",
        box=None,
        pad_edge=False,
        show_header=False,
    )
    for finding in report.findings:
        style = _STYLES[finding.verdict] if finding.known_erratum is None else "cyan"
        shown = _SHOWN.get(finding.verdict, finding.verdict)
        known = "" if finding.known_erratum is None else " (known erratum)"
        verdict = f"[{style}]{shown}[/{style}]"
        table.add_row(verdict, finding.check, rich.markup.escape(finding.summary + known))
    console.output.print(table)
    for finding in report.findings:
        if finding.verdict in ("warn", "fail"):
            _explain(finding)
    for note in report.notes:
        console.output.print(f"note: {note}", markup=False, soft_wrap=True)
    failures = report.failures(strict)
    verdict = "sound" if not failures else f"{len(failures)} failed"
    console.output.print(f"{report.dataset}: {verdict}", markup=False)


def _explain(finding: Finding) -> None:
    lines = [f"\n{finding.check}: {finding.summary}"]
    if finding.known_erratum is not None:
        lines.append(f"  known erratum: {finding.known_erratum}")
    if finding.rows:
        lines.append(f"  first rows: {', '.join(map(str, finding.rows))}")
    if finding.remedy:
        lines.append(f"  {finding.remedy}")
    console.output.print("\n".join(lines), markup=False)
