"""Cells as people write them: read, or refused with the cell named."""

import math

import pytest

from datumrl.datasets.errors import DatumrlError
from datumrl.leaderboard import cell_text

WHERE = "table.csv, line 3, column 'IQL'"


@pytest.mark.parametrize(
    ("text", "mean", "std", "bold"),
    [
        ("95.6", "95.6", None, False),
        ("95.6 ± .4", "95.6", ".4", False),
        ("95.6±0.4", "95.6", "0.4", False),
        ("95.6 ± nan", "95.6", None, False),  # one seed
        ("95.6 ± –", "95.6", None, False),
        ("95.6 ± -0.4", "95.6", "-0.4", False),
        ("95.6 (0.4)", "95.6", "0.4", False),
        ("95.6 (± 0.4)", "95.6", "0.4", False),
        ("95.6 [0.4]", "95.6", "0.4", False),
        ("95.6 +- 0.4", "95.6", "0.4", False),
        ("95.6 +/- 0.4", "95.6", "0.4", False),
        ("1e3", "1e3", None, False),
        ("1.5E-3 ± 2e-4", "1.5E-3", "2e-4", False),
        ("1,234.5 ± 1,000", "1234.5", "1000", False),
        ("1\u202f234.5", "1234.5", None, False),
        ("1\\,234", "1234", None, False),
        ("1{,}234", "1234", None, False),
        ("1'234", "1234", None, False),
        ("\u22123.2", "-3.2", None, False),
        ("-0.0", "-0.0", None, False),
        ("12 %", "12", None, False),
        ("12.5\\% \\pm 1\\%", "12.5", "1", False),
        ("**95.6** ± 0.4", "95.6", "0.4", True),
        ("**95.6 ± 0.4**", "95.6", "0.4", True),
        ("__95.6__", "95.6", None, True),
        ("\\textbf{95.6} $\\pm$ 0.4", "95.6", "0.4", True),
        ("$\\mathbf{95.6} \\pm 0.4$", "95.6", "0.4", True),
        ("{\\bf 95.6}", "95.6", None, True),
        ("<b>95.6</b>", "95.6", None, True),
        ("$95.6{\\scriptstyle \\pm 0.4}$", "95.6", "0.4", False),
        ("95.6 ± 0.4*", "95.6", "0.4", False),
        ("95.6 &plusmn; 0.4", "95.6", "0.4", False),
        ("95.6 Â± 0.4", "95.6", "0.4", False),  # UTF-8 read as Latin-1
        ("âˆ’3", "-3", None, False),
        ("\\num{95.6(4)}", "95.6", "0.4", False),
        ("\\num{-95.61(12)}", "-95.61", "0.12", False),
        ("\\num{95(4)}", "95", "4", False),
        ("$95.6_{\\pm 0.4}$", "95.6", "0.4", False),
        ("$95_{\\pm 4}$", "95", "4", False),
        ("$\\mathbf{95.6}^{\\pm 0.4}$", "95.6", "0.4", True),
        ("95.6<sub>±0.4</sub>", "95.6", "0.4", False),
        ("\\textcolor{blue}{95.6}", "95.6", None, False),
        ("{\\color[rgb]{1,0,0}\\textbf{95.6} $\\pm$ 0.4}", "95.6", "0.4", True),
        ("95.6 $\\pm$ 0.4 \\\\", "95.6", "0.4", False),
        ("95.6 \\\\[2pt] \\hline", "95.6", None, False),
        ("95.6^*", "95.6", None, False),
        ("$95.6^{*\\dagger}$ ± 0.4", "95.6", "0.4", False),
        ("95.6^{**}", "95.6", None, False),  # not bold
        ("95.6**", "95.6", None, False),
        ("**95.6**^*", "95.6", None, True),
    ],
)
def test_read(text, mean, std, bold):
    found = cell_text.parse(text, WHERE)
    assert (found.mean, found.std, found.bold) == (mean, std, bold)


def test_percent_is_recorded():
    assert cell_text.parse("12 %", WHERE).percent
    assert not cell_text.parse("12", WHERE).percent


@pytest.mark.parametrize(
    "text", ["–", "-", "—", "--", "", "  ", "n/a", "N/A", "nan", "−", "â€“", "nan ± nan", "– ± –"]
)
def test_missing(text):
    found = cell_text.parse(text, WHERE)
    assert found.mean is None
    assert found.std is None
    assert math.isnan(cell_text.value(text, WHERE))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("95,6", "separates no thousands"),
        ("1,23,456", "separates no thousands"),
        ("0,953", "separates no thousands"),  # no 953
        ("1.234,5", "cannot read"),
        ("95.6(4)", "write 95.6 ± 0.4 or 95.6 ± 4"),
        ("\\textbf{95.61}(12)", "write 95.61 ± 0.12 or 95.61 ± 12"),
        ("95 (90,100)", "several numbers in brackets"),
        ("95 [90, 100]", "several numbers in brackets"),
        ("95 (90 100)", "several numbers in brackets"),
        ("1 234", "may be two numbers"),
        ("72 101", "may be two numbers"),
        ("93<sub>105</sub>", "may be two numbers"),
        ("93\\textsuperscript{105}", "may be two numbers"),
        ("$93_{105}$", "may be two numbers"),
        ("$93_105$", "may be two numbers"),
        ("95.6^2", "cannot read"),
        ("95.6²", "raised or lowered digits"),  # no 95.62
        ("95.6 ± 0.4¹", "raised or lowered digits"),
        ("~50", "about one"),
        ("95.6 ± ", "cannot read"),
        ("about 95", "cannot read"),
        ("95.6 0.4", "cannot read"),
        ("12.3.4", "cannot read"),
        ("[90, 95]", "cannot read"),
        ("1e999999999", "no attainable score"),
        ("1e-999999999", "no attainable score"),
        ("9" * 400, "no attainable score"),
        ("95.6 \ufffd 0.4", "its encoding lost"),
    ],
)
def test_refused_with_the_cell_named(text, problem):
    with pytest.raises(DatumrlError, match=problem) as caught:
        cell_text.parse(text, WHERE)
    assert str(caught.value).startswith(WHERE)


def test_a_comma_that_may_be_decimal():
    assert cell_text.parse("95,612 ± 1,000", WHERE).mean == "95612"
    for text in ("95,612", "95.6 ± 0,400", "95.6 ± 1,400"):
        with pytest.raises(DatumrlError, match=r"may be .* or|separates no thousands"):
            cell_text.parse(text, WHERE, commas=False)
    assert cell_text.parse("1,095,612 ± 1,000.5", WHERE, commas=False).mean == "1095612"
    for text in ("95.6 ± 0.4", "1,234.5", "1,234,567", "**0.953**", "-1234.567", "−3.2"):
        assert cell_text.commas_group(["95,612", text]), text
    for text in ("95,612", "1.234", "1.234.567", "hopper-1.2", "v0.1", "1.2.3", "7", "3,5"):
        assert not cell_text.commas_group(["95,612", text]), text


def test_raw_scores():
    assert cell_text.value("1,234.5", WHERE) == 1234.5
    assert cell_text.value("-1e3", WHERE) == -1000.0
    assert math.isnan(cell_text.value("diverged", WHERE))
    assert math.isnan(cell_text.value("inf", WHERE))
    with pytest.raises(DatumrlError, match="no single number; give raw scores"):
        cell_text.value("95.6 ± 0.4", WHERE)


@pytest.mark.parametrize(
    ("encoding", "note"),
    [
        ("utf-8", ""),
        ("utf-8-sig", ""),
        ("latin-1", "is not UTF-8; read as Windows-1252"),
        ("utf-16", "is UTF-16"),
    ],
)
def test_encodings(encoding, note):
    text, said = cell_text.decoded("IQL,95.6 ± 0.4\n".encode(encoding), "a.csv")
    assert text == "IQL,95.6 ± 0.4\n"
    assert note in said


def test_what_is_no_text():
    assert "Latin-1" in cell_text.decoded(b"a\x81,\xb1\n", "a.csv")[1]
    with pytest.raises(DatumrlError, match="no text"):
        cell_text.decoded(b"PK\x03\x04\x00\x00\xff\xff", "table.xlsx")
    with pytest.raises(DatumrlError, match="no whole UTF-16"):
        cell_text.decoded(b"\xff\xfea", "a.csv")
    for encoding in ("utf-16-le", "utf-16-be", "utf-32"):
        with pytest.raises(DatumrlError, match="save it as UTF-8"):
            cell_text.decoded("algorithm,dataset,cell\n".encode(encoding), "a.csv")
