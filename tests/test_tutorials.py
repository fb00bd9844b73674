"""The tutorials are true: followed from nothing, every command works and prints what they show."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TUTORIALS = ("statistics", "reproduce", "submit")
BLOCK = re.compile(
    r"(?:Write `(?P<name>[\w.]+)`:\n\n)?(?P<exact><!-- exact -->\n)?"
    r"^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
NUMBER = re.compile(r"[-+−]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")


def read(name: str) -> str:
    return (ROOT / "docs" / f"tutorial_{name}.md").read_text(encoding="utf-8")


def run(command: str, folder: Path) -> tuple[str, str]:
    """Return what a command printed, and its notes."""
    words = shlex.split(command)
    program = {"python": [], "datumrl": ["-m", "datumrl.scripts.main"]}[words[0]]
    done = subprocess.run(
        [sys.executable, "-P", *program, *words[1:]],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout, done.stderr


def normal(text: str, exact: bool) -> str:
    """Return text with single spaces; numbers, which differ between machines, as # if inexact."""
    return " ".join((text if exact else NUMBER.sub("#", text)).split())


def assert_shown(expected: str, printed: str, notes: str, exact: bool) -> None:
    """What stands between the gaps (…) of the tutorial was printed, in this order, or noted."""
    output, said, place = normal(printed, exact), normal(notes, exact), 0
    for piece in expected.split("…"):
        piece = normal(piece, exact)
        found = output.find(piece, place)
        assert found >= 0 or piece in said, f"{piece!r} is not in {output[place:]!r}"
        place = max(place, found + len(piece)) if found >= 0 else place


@pytest.mark.slow
@pytest.mark.parametrize("tutorial", TUTORIALS)
def test_followed_from_nothing(
    tutorial: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATUMRL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "100")
    here = tmp_path / "here"
    here.mkdir()
    for block in BLOCK.finditer(read(tutorial)):
        if block["name"]:
            (here / block["name"]).write_text(block["text"], encoding="utf-8")
            continue
        if block["language"] == "text":
            continue
        assert block["language"] == "console", block["text"]
        for shown in re.split(r"^\$ ", block["text"], flags=re.MULTILINE)[1:]:
            command, _, expected = shown.partition("\n")
            assert_shown(expected, *run(command, here), exact=bool(block["exact"]))


@pytest.mark.parametrize("tutorial", TUTORIALS)
def test_links_lead_somewhere(tutorial: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", read(tutorial)):
        assert (ROOT / "docs" / target).exists(), target
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"(docs/tutorial_{tutorial}.md)" in readme.partition("```")[0]  # the first screen


def test_a_wrong_output_is_told() -> None:
    assert_shown("one 1,234.5\n…\nthree", "one   99\ntwo\nthree\n", "", exact=False)
    assert_shown("…\nwrote a\n", "one\n", "wrote a\n", exact=False)
    with pytest.raises(AssertionError, match="'four' is not in"):
        assert_shown("one\n…\nfour", "one\ntwo\n", "", exact=False)
    with pytest.raises(AssertionError):
        assert_shown("2 cells", "3 cells", "", exact=True)
