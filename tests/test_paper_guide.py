"""What the guide to papers says: packages, facts of records, citations."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

import datumrl
from datumrl.datasets import local_catalogue
from datumrl.evaluation import report_latex
from datumrl.leaderboard import known_quality
from datumrl.scripts import main

ROOT = Path(__file__).parents[1]
OF_THE_PAGE = {r"\usepackage[margin=2cm]{geometry}", r"\usepackage[utf8]{inputenc}"}


def blocks(language: str) -> list[str]:
    text = (ROOT / "docs" / "paper.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_the_preamble_is_that_of_the_report() -> None:
    (told,) = blocks("latex")
    used = re.findall(r"^\\usepackage.*$", report_latex.document.__globals__["_HEAD"], re.MULTILINE)
    assert set(told.splitlines()) == set(used) - OF_THE_PAGE


def test_the_facts_of_records_are_those_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    (code,), (shown,) = blocks("python"), blocks("text")
    exec(compile(code, "paper.md", "exec"), {})
    assert capsys.readouterr().out == shown


def test_the_suite_is_cited_alike_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    entry = local_catalogue.BIBTEX
    assert f"note = {{Version {datumrl.__version__}}}" in entry
    assert blocks("bibtex")[0] == f"{entry}\n"
    assert f"```bibtex\n{entry}\n```" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert {card.facts.bibtex for card in known_quality.own_cards()} == {entry}, "run `make cards`"
    assert main.main(["datasets", "local/hopper-medium-v1"]) == 0
    printed = re.sub(r"^ +", "", capsys.readouterr().out, flags=re.MULTILINE)
    assert re.sub(r"^ +", "", entry, flags=re.MULTILINE) in printed


def test_the_citation_file_is_of_this_version() -> None:
    told = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {datumrl.__version__}\n" in told
    log = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    released = f"## {datumrl.__version__} (unreleased)" not in log
    assert ("\ndate-released: " in told) == released


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no pdflatex")
def test_tables_are_typeset_with_these_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = next(line for line in blocks("sh")[0].splitlines() if line)
    assert main.main(shlex.split(command)[1:]) == 0
    text = (tmp_path / "report" / "report.tex").read_text(encoding="utf-8")
    tables = re.findall(r"^\\begin\{table\}.*?^\\end\{table\}$", text, re.MULTILINE | re.DOTALL)
    assert len(tables) == text.count(r"\toprule") > 3
    wide = [table.replace("{table}", "{table*}") for table in tables]
    for kind, body in (("", tables), ("[twocolumn]", wide)):
        parts = (rf"\documentclass{kind}{{article}}", *blocks("latex"), r"\begin{document}")
        source = "\n".join([*parts, *body, r"\end{document}", ""])
        (tmp_path / "paper.tex").write_text(source, encoding="utf-8")
        done = subprocess.run(
            ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "paper.tex"],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-2000:]
