"""The guide to data in Python: its blocks run, and every column it names is there."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
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


def test_terminal_rows_without_a_stored_successor_are_what_the_guide_says() -> None:
    told = " ".join(GUIDE.split())
    assert "A terminal row is always kept." in told
    assert "its `next_observations` repeats its own observation" in told
    (rule,) = re.findall(r"They are among `(.*?)`", told)
    flags = np.arange(6) == np.array([[2], [5]])  # a terminal in row 2, a time limit in row 5
    for stored, others in ((np.zeros(0, np.int64), [2]), (np.array([2]), [])):
        episodes = Episodes(
            id="user/six-rows-v0",
            observations=np.arange(6, dtype=np.float32)[:, None],
            actions=np.zeros((6, 1), np.float32),
            rewards=np.zeros(6, np.float32),
            terminals=flags[0],
            timeouts=flags[1],
            starts=np.array([0, 3, 6]),
            successor_rows=stored,
            successors=np.full((len(stored), 1), 9, np.float32),
            time_limit=3,
            timeouts_recorded=True,
        )
        steps = episodes.transitions()
        known = 2 if others else 9
        np.testing.assert_array_equal(steps.next_observations[:, 0], [1, 2, known, 4, 5])
        chosen = eval(rule, {"steps": steps, "np": np, "episodes": episodes})
        np.testing.assert_array_equal(np.flatnonzero(chosen), others)


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
