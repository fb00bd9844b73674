"""Imported CSV files line by line: shifted, cut off, empty; and names looked up once."""

from pathlib import Path

import pytest

from datumrl.datasets import catalogue
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.record import DatasetRecord
from datumrl.evaluation import scored_runs
from datumrl.leaderboard import imports
from datumrl.leaderboard.imports import Given

HOPPER = "d4rl/hopper-medium-v2"


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


RAGGED = [
    (f"\nA,{HOPPER},0,40\n\nA,{HOPPER},1,40,5", 4, "5 cells under 4 .* decimals with a point"),
    (f"\nA,{HOPPER},0,40\nA,{HOPPER},1", 3, "3 cells under 4 .* complete the line"),
    ('\n"A\n",' + f"{HOPPER},0,40\nA,{HOPPER}", 4, "2 cells under 4 columns"),
]


@pytest.mark.parametrize(("lines", "number", "told"), RAGGED)
def test_lines_that_are_shifted_or_cut_off_are_refused(
    tmp_path: Path, lines: str, number: int, told: str
) -> None:
    path = write(tmp_path / "in.csv", f"algorithm,dataset,seed,score{lines}")
    for read in (lambda: imports.read("csv", path, Given()), lambda: scored_runs.csv_rows(path)):
        with pytest.raises(DatumrlError, match=f"in.csv, line {number}: {told}"):
            read()


def test_lines_without_content_are_none_and_the_others_keep_their_numbers(tmp_path: Path) -> None:
    head = "algorithm,dataset,seed,score\n"
    path = write(tmp_path / "in.csv", f"{head}\nA,{HOPPER},0,40\n,,,\n  \nA,{HOPPER},1,41\n")
    assert len(imports.read("csv", path, Given()).rows) == len(scored_runs.csv_rows(path)) == 2
    path = write(tmp_path / "in.csv", f"{head}\n\nA,{HOPPER},0,high\n")
    with pytest.raises(DatumrlError, match=r"in\.csv: line 4: 'high' is no number"):
        imports.read("csv", path, Given())
    with pytest.raises(DatumrlError, match=r"in\.csv, line 4: score"):
        scored_runs.csv_rows(path)


@pytest.mark.parametrize(
    ("lines", "told"), [("", "holds no scores"), ("1,2,3\n", "line 2: 3 cells under 2 columns")]
)
def test_a_chart_without_lines_or_with_a_cell_too_many(
    tmp_path: Path, lines: str, told: str
) -> None:
    path = write(tmp_path / "chart.csv", f"Step,a_seed1 - m\n{lines}")
    with pytest.raises(DatumrlError, match=told):
        imports.read("wandb", path, Given(quantity="score", algorithm="A", dataset=HOPPER))


def test_the_catalogue_is_looked_through_once_for_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = []

    def all_records() -> list[DatasetRecord]:
        looked.append(1)
        return listed

    listed = catalogue.all_records()
    monkeypatch.setattr(catalogue, "all_records", all_records)
    lines = [f"A,hopper-medium-v2,{seed},{seed}\n" for seed in range(500)]
    path = write(tmp_path / "in.csv", "algorithm,dataset,seed,score\n" + "".join(lines))
    for times in (1, 2):  # again for another import: datasets may have been registered
        assert {row.dataset for row in imports.read("csv", path, Given()).rows} == {HOPPER}
        assert len(looked) == times


@pytest.mark.parametrize("content", ["", "\n\n", ",,\n"])
def test_an_empty_file_is_called_so(tmp_path: Path, content: str) -> None:
    path = tmp_path / "scores.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DatumrlError, match=r"scores\.csv is empty; give a header"):
        imports.read("csv", path, Given())
