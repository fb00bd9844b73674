"""LaTeX tables that hold long rows stay within the page."""

import shutil
import subprocess

import pytest

from datumrl.evaluation import report_latex
from datumrl.evaluation.report_tables import Sheet

COLUMNS = ("algorithm", "dataset", "column", "printed", "recomputed", "verdict")
ROW = ("PLAS", "d4rl/halfcheetah-medium-expert-v0", "final return", "2705.8 ± 476.8")


def sheet(verdict):
    row = (*ROW, "2705.79 ± 476.78", verdict)
    return Sheet("cells", "Cells", COLUMNS, (row,) * 3, "Mean ± deviation.")


SHORT, LONG = sheet("reproduced"), sheet("differs, for a reason that takes a whole sentence " * 3)


def test_sentences_are_folded_and_long_rows_set_smaller():
    assert r"{lrrrrr}" in report_latex.of_sheets([SHORT], ())
    folded = report_latex.of_sheets([LONG], ())
    assert r"{lrrrr>{\raggedright\arraybackslash}p{5.5cm}}" in folded
    assert "\n\\tiny\n" in folded


def test_a_table_floats_unless_it_may_be_longer_than_a_page():
    short, long = (
        report_latex.of_sheets([Sheet("cells", "Cells", COLUMNS, SHORT.rows * count, "")], ())
        for count in (10, 11)
    )
    assert r"\begin{table}[htbp]" in short
    assert r"\begin{tabular}{lrrrrr}" in short
    assert r"\begin{longtable}" not in short
    assert r"\begin{longtable}{lrrrrr}" in long
    assert r"\endhead" in long
    assert r"\begin{table}" not in long


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no pdflatex")
def test_nothing_leaves_the_page(tmp_path):
    many = Sheet("many", "Many", COLUMNS, LONG.rows * 20, "Longer than a page.")
    text = report_latex.of_sheets([SHORT, LONG, many], ["note"])
    (tmp_path / "report.tex").write_text(text, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "report.tex"]
    for _ in range(3):  # longtable finds its widths in as many turns
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0
    assert "Overfull \\hbox" not in done.stdout
