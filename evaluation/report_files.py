"""A report as files: Markdown, LaTeX, CSV, JSON and figures, all in one folder or none at all."""

from __future__ import annotations

import csv
from pathlib import Path

from datumrl.datasets import files
from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import report_figures, report_latex, report_text
from datumrl.evaluation.report_parts import Report

NAMES = ("report.md", "report.tex", "report.csv", "report.json")
FIGURES = "figures"


def check_target(folder: Path) -> None:
    """Refuse a folder that holds anything but an earlier report: writing replaces it whole.

    So is the folder that the process is in: the user's shell would be left in the one replaced.
    """
    nearest = next((each for each in (folder, *folder.parents) if each.exists()), Path())
    if not nearest.is_dir():
        raise DatumrlError(f"--out {nearest} is a file; name a folder")
    if nearest != folder:
        return
    if Path.cwd().is_relative_to(folder.resolve()):
        raise DatumrlError(
            f"--out {folder} is where you are, and a report replaces its folder; name one for it, "
            "for example --out report"
        )
    present = sorted(folder.iterdir())
    figures = folder / FIGURES
    if figures in present and figures.is_dir() and not figures.is_symlink():
        present = [path for path in present if path != figures] + sorted(figures.iterdir())
    foreign = [path for path in present if not _is_ours(path, folder)]
    if foreign:
        raise DatumrlError(
            f"--out {folder} holds {foreign[0].relative_to(folder)}, which is no part of a report; "
            "name another folder, or move it away"
        )
    if present and not _is_a_report(folder / "report.json"):
        raise DatumrlError(
            f"--out {folder} holds {present[0].relative_to(folder)}, but no report that datumrl "
            "wrote (report.json); name another folder, or move it away"
        )


def _is_ours(path: Path, folder: Path) -> bool:
    if path.is_dir() or path.is_symlink():
        return False
    if path.parent == folder:
        return path.name in NAMES
    return path.stem in report_figures.NAMES and path.suffix[1:] in report_figures.ENDINGS


def _is_a_report(path: Path) -> bool:
    if not path.exists():
        return False
    content = files.read_json(path)
    return isinstance(content, dict) and content.get("schema") == report_text.SCHEMA


def write(report: Report, folder: Path) -> list[Path]:
    """Write a report; return the files.  An earlier report in the folder is replaced as a whole."""
    check_target(folder)
    with files.replacing_folder(folder.resolve()) as fresh:
        captions = report_figures.write(report, fresh / FIGURES)
        for name, text in (
            ("report.md", report_text.markdown(report, captions)),
            ("report.tex", report_latex.document(report, captions)),
        ):
            (fresh / name).write_text(text, encoding="utf-8", newline="\n")
        with (fresh / "report.csv").open("w", encoding="utf-8", newline="") as handle:
            writer = csv.writer(handle, lineterminator="\n")
            writer.writerow(report_text.CSV_COLUMNS)
            writer.writerows(report_text.csv_rows(report))
        content = {**report_text.as_json(report), "figures": captions}
        files.write_json(fresh / "report.json", content)
    figures = [
        folder / FIGURES / f"{name}.{ending}"
        for name in captions
        for ending in report_figures.ENDINGS
    ]
    return [*(folder / name for name in NAMES), *figures]
