"""The guide to data in Python: its blocks run, and every column it names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from datumrl.datasets.episodes import Episodes

GUIDE = (Path(__file__).parents[1] / "docs" / "data.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_every_column_and_method_is_there() -> None:
    table = re.findall(r"^\| (`.+?) \|", GUIDE, re.MULTILINE)
    named = {name for cell in table for name in re.findall(r"`(\w+)`", cell)}
    untold = {"id", "timeouts_recorded", "ends", "origin"}
    assert named == set(Episodes.__dataclass_fields__) - untold
    for method in re.findall(r"`(\w+)\(", GUIDE.partition("## Everything else")[0]):
        assert hasattr(Episodes, method), method


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # of DataLoader's workers
def test_the_blocks_run_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATUMRL_HOME", str(tmp_path))
    variables: dict[str, object] = {}
    for text in BLOCK.findall(GUIDE):
        exec(compile(text, "data.md", "exec"), variables)
    told = capsys.readouterr().out
    assert "Infos(" in told
    assert "(3, 20, 4) (3, 20) [20 20 20]" in told
    assert told.count("torch.Size([256, 4]) torch.Size([256, 1])") == 3
    assert "183 of D4RL," in told
    assert "InvertedPendulum-v4 " in told
