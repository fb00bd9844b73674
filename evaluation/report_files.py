"""A report as files: Markdown, LaTeX, CSV, JSON and figures, all in one folder or none at all."""

from __future__ import annotations

import csv
from pathlib import Path

from datumrl.datasets import files
from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import report_figures, report_latex, report_text
from datumrl.evaluation.report_parts import Report

NAMES = ("report.md", "report.tex", "report.csv", "report.json")


def check_target(folder: Path) -> None:
    """Refuse a folder that holds anything but an earlier report: writing replaces its files."""
    if folder.exists() and not folder.is_dir():
        raise DatumrlError(f"--out {folder} is a file; name a folder")


def write(report: Report, folder: Path) -> list[Path]:
    """Write a report; return the files.  An earlier report in the folder is replaced."""
    check_target(folder)
    captions = report_figures.write(report, folder / "figures")
    for name, text in (
        ("report.md", report_text.markdown(report, captions)),
        ("report.tex", report_latex.document(report, captions)),
    ):
        with files.replacing(folder / name, "w") as handle:
            handle.write(text)
    with files.replacing(folder / "report.csv", "w") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(report_text.CSV_COLUMNS)
        writer.writerows(report_text.csv_rows(report))
    files.write_json(folder / "report.json", {**report_text.as_json(report), "figures": captions})
    figures = [
        folder / "figures" / f"{name}.{ending}"
        for name in captions
        for ending in report_figures.ENDINGS
    ]
    return [*(folder / name for name in NAMES), *figures]
