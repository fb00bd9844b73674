"""A report as files: complete, escaped, the same bytes again, and nothing a page would execute."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import matplotlib.figure
import numpy as np
import pytest

from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import (
    report,
    report_figures,
    report_files,
    report_latex,
    report_tables,
    report_text,
)
from datumrl.evaluation.records import ScoreRow

NASTY = r"=cmd_{x} & 100% \evil | <b>$#~^[1]"
TASK = "d4rl/hopper-medium-v2"


def made(names=("iql", NASTY), steps: int = 3, **options) -> report.Report:
    rng = np.random.default_rng(0)
    rows = [
        ScoreRow(tier="local", algorithm=name, dataset=TASK, seed=seed, step=step,
                 score=float(rng.normal(30 + 30 * place, 2)))
        for place, name in enumerate(names) for seed in range(5) for step in range(steps)
    ]  # fmt: skip
    rows.append(rows[0].model_copy(update={"dataset": "d4rl/walker2d-medium-v2"}))
    return report.compare(rows, resamples=200, **options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("report")
    made().write(str(where))
    return where


def test_all_files_are_there_and_the_figures_are_what_they_say(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {*report_files.NAMES, "figures"}
    signs = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}
    expected = {f"{name}.{ending}" for name in report_figures.NAMES for ending in signs}
    assert {path.name for path in (folder / "figures").iterdir()} == expected
    for path in (folder / "figures").iterdir():
        assert path.read_bytes().startswith(signs[path.suffix[1:]])


def test_every_caption_states_runs_tasks_method_and_level(folder: Path) -> None:
    captions = json.loads((folder / "report.json").read_text())["figures"]
    assert set(captions) == set(report_figures.NAMES)
    markdown = (folder / "report.md").read_text().replace("\\", "")
    for name, caption in captions.items():
        assert "5 runs x 1 task" in caption
        assert "normalised score" in caption
        assert caption in markdown
        if name == "decisions":
            assert "permutation test" in caption
            assert "alpha 0.05" in caption
        elif name == "ranks":
            assert "exact for these runs, without intervals" in caption
        else:
            assert "95% intervals" in caption
            assert "bootstrap" in caption or "Student's t" in caption


def test_captions_state_the_resamples_that_were_drawn() -> None:
    rng = np.random.default_rng(0)
    rows = [
        ScoreRow(tier="local", algorithm=name, dataset=TASK, seed=seed, step=step,
                 score=float(rng.normal(30, 2)))
        for name in "ab" for seed in range(3) for step in range(2)
    ]  # fmt: skip
    found = report.compare(rows)
    captions = {name: words for name, _, _, words in report_figures._wanted(found)}
    for name in ("profiles", "sample_efficiency"):
        assert "2,000 resamples" in captions[name]
    assert "10,000 resamples" in captions["improvement"]
    ranks = next(sheet for sheet in report_tables.sheets(found) if sheet.key == "ranks")
    assert "2,000 resamples" in ranks.caption


def braces_balanced(text: str) -> bool:
    depth = 0
    for mark in re.sub(r"\\[{}\\]", "", text):
        depth += {"{": 1, "}": -1}.get(mark, 0)
        if depth < 0:
            return False
    return depth == 0


def test_latex_is_balanced_and_escaped(folder: Path) -> None:
    text = (folder / "report.tex").read_text()
    assert text.isascii()
    assert braces_balanced(text)
    begun = re.findall(r"\\begin\{(\w+)\}", text)
    assert sorted(begun) == sorted(re.findall(r"\\end\{(\w+)\}", text))
    assert "tabular" in begun
    assert "figure" in begun
    for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
        assert text.count(rule) == begun.count("tabular") + begun.count("longtable")
    escaped = report_latex.escaped(NASTY)
    assert escaped in text
    assert r"\evil" not in text
    for row in re.findall(r"^.* & .*$", text, flags=re.MULTILINE):
        assert row.endswith(r"\\")


def test_latex_rows_have_as_many_cells_as_columns(folder: Path) -> None:
    text = (folder / "report.tex").read_text()
    for kinds, body in re.findall(
        r"\\begin\{tabular\}\{((?:[lr]|p\{[^}]*\})+)\}(.*?)\\end\{tabular\}", text, re.DOTALL
    ):
        columns = len(re.findall(r"[lr]|p\{[^}]*\}", kinds))
        rows = [line for line in body.splitlines() if line.endswith(r" \\")]
        assert rows
        assert {len(re.findall(r"(?<!\\)&", line)) + 1 for line in rows} == {columns}


def test_latex_captions_are_whole(folder: Path) -> None:
    text = (folder / "report.tex").read_text()
    captions = json.loads((folder / "report.json").read_text())["figures"]
    assert max(map(len, captions.values())) > 200
    assert re.findall(r"^\\caption.*[^.}]\}(?:\\label.*)?$", text, flags=re.MULTILINE) == []
    assert r"checkpoint \texttt{last}" in text
    assert "family-wise alpha 0.05" in text


def test_long_names_are_cut_in_tables_and_whole_in_csv() -> None:
    long = "a" * 300
    assert report_tables.name(long) == "a" * 199 + "…"
    assert report_tables.name(long[:200]) == long[:200]
    assert report_text.escaped(f"{long}\n# heading") == f"{long}\ufffd# heading"


def test_letters_latex_cannot_set_become_question_marks() -> None:
    assert report_latex.escaped("é 漢 −1") == "é ? $-$1"


def test_markdown_tables_are_rectangular_and_names_inert(folder: Path) -> None:
    text = (folder / "report.md").read_text()
    blocks = re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE)
    assert len(blocks) >= 4
    for block in blocks:
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(widths) == 1
    assert "<b>" not in text.replace(r"\<b\>", "")


def csv_of(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((folder / "report.csv").read_text())))


def test_missing_cells_are_missing_and_never_zero(folder: Path) -> None:
    rows = csv_of(folder)
    cell = [row for row in rows if row["statistic"] == "score" and "walker2d" in row["dataset"]]
    missing = [row for row in cell if row["algorithm"].startswith("'=")]
    assert [(row["value"], row["note"]) for row in missing] == [("", "missing")]
    assert "missing" in (folder / "report.md").read_text()


def test_csv_holds_the_numbers_of_the_json(folder: Path) -> None:
    rows = csv_of(folder)
    content = json.loads((folder / "report.json").read_text())
    for each in content["algorithms"]:
        guarded = "'" * each["algorithm"].startswith("=") + each["algorithm"]
        row = next(r for r in rows if (r["statistic"], r["algorithm"]) == ("iqm", guarded))
        found = each["metrics"]["iqm"]
        assert [float(row[end]) for end in ("value", "low", "high")] == list(found.values())
    profile = [r for r in rows if r["statistic"] == "run-level profile"]
    assert len(profile) == 2 * len(content["profiles"]["thresholds"])


def test_no_cell_of_the_csv_is_a_formula(folder: Path) -> None:
    for row in csv_of(folder):
        for key in ("algorithm", "other", "dataset", "note"):
            assert not row[key].startswith(("=", "+", "-", "@"))


@pytest.mark.slow
def test_the_same_report_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    report_files.write(made(), tmp_path)
    for path in sorted(folder.rglob("*.*")):
        assert path.read_bytes() == (tmp_path / path.relative_to(folder)).read_bytes(), path


@pytest.mark.slow
def test_one_algorithm_and_one_run_draw_what_they_can_and_replace_what_was_there(
    tmp_path: Path,
) -> None:
    rows = [ScoreRow(tier="local", algorithm="bc", dataset=TASK, seed=0, score=40.0)]
    found = report.compare(rows)
    figure = matplotlib.figure.Figure()
    report_figures._profiles(figure, found)
    assert all(not axes.collections for axes in figure.axes)  # no band of no width
    stale = tmp_path / "report" / "figures" / "sample_efficiency.svg"
    stale.parent.mkdir(parents=True)
    stale.write_text("of an earlier report, which goes as a whole")
    (tmp_path / "report" / "report.json").write_text(f'{{"schema": "{report_text.SCHEMA}"}}')
    written = report_files.write(found, tmp_path / "report")
    assert set(written) == {path for path in (tmp_path / "report").rglob("*.*") if path.is_file()}
    assert {path.stem for path in written[4:]} == {"intervals", "profiles"}
    assert "not to be trusted" in (tmp_path / "report" / "report.tex").read_text()
    assert list(tmp_path.iterdir()) == [tmp_path / "report"]


@pytest.mark.slow
def test_control_characters_and_endless_names_are_tamed(tmp_path: Path) -> None:
    found = made(names=("a\x1b[31m\n" + "x" * 500, "b"), steps=1)
    report_files.write(found, tmp_path)
    assert "\x1b" not in str(found) + (tmp_path / "report.md").read_text()
    assert max(map(len, str(found).splitlines()[:4])) < 500


def test_many_algorithms_have_looks_of_their_own() -> None:
    looks = report_figures._looks([f"m{place}" for place in range(20)])
    assert len({tuple(look.values()) for look in looks.values()}) == 20


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    for target in (tmp_path / "taken", tmp_path / "taken" / "report"):
        with pytest.raises(DatumrlError, match="taken is a file; name a folder"):
            report_files.check_target(target)


@pytest.mark.parametrize(
    "name", ["report.md", "notes.txt", "figures/mine.svg", "figures/profiles.txt", "runs/seed.json"]
)
def test_what_is_no_report_is_left_alone(tmp_path: Path, name: str) -> None:
    mine = tmp_path / "report" / name
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(DatumrlError, match=r"holds .*; name another folder, or move it away"):
        report_files.check_target(tmp_path / "report")
    assert mine.read_text() == "mine"
    (tmp_path / "report" / "report.json").write_text('{"schema": "another"}')
    with pytest.raises(DatumrlError, match="holds "):
        report_files.check_target(tmp_path / "report")


def test_the_folder_that_the_user_is_in_is_not_replaced(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "inside").mkdir()
    monkeypatch.chdir(tmp_path / "inside")
    for target in (Path(), Path(".."), tmp_path / "inside"):
        with pytest.raises(DatumrlError, match=r"is where you are.* --out report"):
            report_files.check_target(target)
