"""Guides with blocks of Python: they run, and the names they give of results are there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import datumrl

ROOT = Path(__file__).parents[1]
DATASET = "local/inverted-pendulum-medium-v1@2k"


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATUMRL_HOME", str(tmp_path_factory.mktemp("home")))
        datumrl.collect(DATASET)
        yield


def guide(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("adastop.md", ""),
        ("audit.md", r"\[\] 100 "),
        pytest.param(
            "statistics.md",
            r"\n72\.0 64\.\d+\niql 72\.0 a\niql bc 22\.5 1\.0 larger\n$",
            marks=pytest.mark.slow,
        ),
        ("measures.md", r"\d\.\d+ \d+ \d\.\d+\nBehaviourEntropy\(value=0\.\d+, .*kind='gaussian'"),
    ],
)
def test_the_blocks_run_in_order(
    name: str,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```$", guide(name), re.MULTILINE | re.DOTALL)
    assert blocks
    variables: dict[str, object] = {}
    for text in blocks:
        exec(compile(text, name, "exec"), variables)
    assert re.search(told, capsys.readouterr().out)


def test_every_measure_is_where_its_guide_says() -> None:
    table = guide("measures.md").partition("```python")[0].splitlines()
    rows = [line.split(" | ")[-1] for line in table if line.startswith("| ") and "---" not in line]
    names = [re.findall(r"`([\w.]+)`", row) for row in rows[1:]]
    assert all(names)
    found = datumrl.stats(DATASET)
    for name in [each for row in names for each in row]:
        attribute: Any = found
        value: Any = found.to_json()
        for part in name.split("."):
            attribute, value = getattr(attribute, part), value[part]


def test_nothing_is_called_by_a_name_that_is_not_loaded() -> None:
    for path in [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]:
        called = re.search(
            r"datumrl\.(datasets|evaluation|algorithms|leaderboard)\.\w[\w.]*\(",
            path.read_text(encoding="utf-8"),
        )
        assert called is None, f"{path}: {called}; `import datumrl` loads no subpackage"
