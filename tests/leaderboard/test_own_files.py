"""Files as other programs export them."""

import pytest

from datumrl.datasets.errors import DatumrlError
from datumrl.leaderboard import own_files, own_tables
from datumrl.leaderboard.own_tables import Reading


@pytest.fixture
def sheet(tmp_path):
    def read(*lines):
        (tmp_path / "table.csv").write_text("\n".join(lines), encoding="utf-8")
        return own_files.read(tmp_path / "table.csv")

    return read


def cells(sheet):
    return [
        (cell.algorithm, cell.dataset, cell.printed)
        for _, cell in own_tables.printed(sheet, Reading({}, {}))
    ]


@pytest.mark.parametrize("mark", [";", "\t"])
def test_a_decimal_comma_of_three_digits_is_no_number_of_thousands(sheet, mark):
    lines = ["dataset;BC;IQL".replace(";", mark), "hop;95,612;12,345".replace(";", mark)]
    with pytest.raises(DatumrlError, match=r"'BC' \(BC on hop\): '95,612' may be 95\.612 or 95612"):
        cells(sheet(*lines))
    for other in ("1,234.5", "95.6 ± 0.4", "1,000,000"):
        found = cells(sheet(*lines, f"walk;{other};1".replace(";", mark)))
        assert found[0] == ("BC", "hop", "95612")
    assert cells(sheet("dataset,BC", 'hop,"95,612"')) == [("BC", "hop", "95612")]


def test_lists_of_settings_tell_nothing_of_commas(sheet):
    found = sheet("dataset;BC;set.hidden_dims", "hop;95,612;256,256,256")
    assert not found.commas


def test_row_numbers_of_pandas_are_no_algorithm(sheet):
    rows = ["hop,95.6 ± 0.4,90", "walk,1,2"]
    plain = cells(sheet("dataset,BC,IQL", *rows))
    assert len(plain) == 4
    for head in ("", "Unnamed: 0"):
        numbered = [f"{number},{row}" for number, row in enumerate(rows)]
        assert cells(sheet(f"{head},dataset,BC,IQL", *numbered)) == plain
    assert cells(sheet(",BC,IQL", *rows)) == plain  # datasets as the index


def test_names_under_no_head_stay(sheet):
    assert sheet(",a", "0,1", "2,3").columns == ("", "a")


@pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "SEP=;\r"])
def test_excels_line_that_names_the_separator(sheet, first):
    found = sheet(first, "dataset;algorithm;cell", "hop;BC;95.6 ± 0.4", "walk;BC;forty")
    assert found.columns == ("dataset", "algorithm", "cell")
    with pytest.raises(DatumrlError, match=r"table\.csv, line 4, column 'cell'"):
        cells(found)


def test_a_table_of_latex_is_read_as_it_is_printed(sheet):
    found = sheet(
        "dataset & BC & IQL \\\\".replace("&", ";"),
        "hop;$95.6_{\\pm 0.4}$;\\textcolor{blue}{95.6}^* \\\\",
        "walk;$95_{\\pm 4}$;95.6^{\\dagger} \\\\ \\hline",
    )
    assert cells(found) == [
        ("BC", "hop", "95.6 ± 0.4"),
        ("IQL", "hop", "95.6"),
        ("BC", "walk", "95 ± 4"),
        ("IQL", "walk", "95.6"),
    ]
