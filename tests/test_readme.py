"""Every code block of the README does what it says."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from datumrl.scripts import main

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RUN_BY_SHELL = {"make", "datumrl"}


def blocks(*languages: str) -> list[tuple[str, str]]:
    found = BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    return [(language, text) for language, text in found if language in languages]


def test_every_block_is_of_a_language_that_is_tested() -> None:
    # text: a drawing; bibtex: held by test_paper_guide.py
    known = {"sh", "python", "console", "text", "bibtex"}
    assert {language for language, _ in BLOCK.findall((ROOT / "README.md").read_text())} <= known
    commands = [line.split()[0] for _, text in blocks("sh") for line in text.splitlines() if line]
    assert set(commands) <= RUN_BY_SHELL


def test_make_targets_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = set(re.findall(r"^`?make ([a-z-]+)|`make ([a-z-]+)`", text, re.MULTILINE))
    targets = {target for pair in targets for target in pair if target}
    assert "quickstart" in targets
    for target in targets:
        done = subprocess.run(
            ["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


def test_the_printed_output_is_true(capsys: pytest.CaptureFixture[str]) -> None:
    ((_, text),) = blocks("console")
    command, _, expected = text.partition("\n")
    assert command.startswith("$ datumrl ")
    assert main.main(shlex.split(command)[2:]) == 0
    assert capsys.readouterr().out.rstrip("\n") == expected.rstrip("\n")


def test_the_local_suites_scores_are_those_of_its_page() -> None:
    rows = re.compile(r"^\| (?:dataset|local/).*$", re.MULTILINE)
    page = (ROOT / "docs" / "local_results.md").read_text(encoding="utf-8")
    table = page.partition("## Every dataset")[2].partition("##")[0]
    shown = rows.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    assert shown == rows.findall(table)
    assert len(shown) > 1


@pytest.mark.slow
def test_commands_and_python_blocks_run_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATUMRL_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    variables: dict[str, object] = {}
    for language, text in blocks("sh", "python"):
        if language == "python":
            exec(compile(text, "README.md", "exec"), variables)
            continue
        for line in text.splitlines():
            words = shlex.split(line, comments=True)
            if words and words[0] == "datumrl":
                assert main.main(words[1:]) == 0, line
    shown = capsys.readouterr().out
    assert "mean return" in shown
    assert (tmp_path / "board" / "index.html").exists()
    record = variables["recorder"].record  # type: ignore[attr-defined]
    assert [point.step for point in record.evaluations] == [100, 200, 300]
    means = [sum(point.returns) / len(point.returns) for point in record.evaluations]
    assert means[-1] > 30, "behavioural cloning of a balancing controller balances better than none"
    assert (tmp_path / "runs" / "my-bc" / "seed-000.json").exists()
