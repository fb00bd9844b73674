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
    assert r"{\tiny" in folded


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no pdflatex")
def test_nothing_leaves_the_page(tmp_path):
    text = report_latex.of_sheets([SHORT, LONG], ["note"])
    (tmp_path / "report.tex").write_text(text, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "report.tex"]
    for _ in range(3):  # longtable finds its widths in as many turns
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0
    assert "Overfull \\hbox" not in done.stdout
