"""The reference of the Python API: current, and of every public name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import datumrl
from datumrl.scripts import write_api_reference

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def page() -> str:
    return write_api_reference.page()


def test_the_reference_is_current(page: str) -> None:
    kept = (ROOT / write_api_reference.DOCUMENT).read_text(encoding="utf-8")
    assert kept == page, "run `make api`"


def test_every_public_name_is_in_it_and_linked(page: str) -> None:
    headings = re.findall(r"^### `datumrl\.(\w+)`$", page, re.MULTILINE)
    assert sorted(headings) == sorted(set(datumrl.__all__) - {"__version__"})
    linked = re.findall(r"^\| \[`datumrl\.(\w+)`\]\(#datumrl(\w+)\)", page, re.MULTILINE)
    assert linked == [(name, name.lower()) for name in headings]


def test_options_are_told_with_their_defaults(page: str) -> None:
    assert "| `confidence` | `float` | `0.95` | confidence of the intervals |" in page
    assert "    settings: Mapping[str, object] | None = None,\n" in page  # of datumrl.train
    assert '| `layout` | `Layout` | `"by its publisher\'s code"` |' in page
    assert "| `infos` | `Mapping[str, np.ndarray]` | `dict()` | name -> (rows, ...)" in page


def test_it_is_written_in_the_repository_only(
    tmp_path: Path, page: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert write_api_reference.main() == 2
    assert "run this in the repository" in capsys.readouterr().err
    (tmp_path / "docs").mkdir()
    assert write_api_reference.main() == 0
    assert (tmp_path / "docs" / "api.md").read_text(encoding="utf-8") == page
