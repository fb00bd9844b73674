"""The whole way in small: a published table, a collection, training, evaluation, the page."""

from pathlib import Path

import pytest

from datumrl.evaluation.records import find_records
from datumrl.scripts import main


@pytest.mark.slow
def test_quickstart_ends_with_a_page_and_goes_on_where_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATUMRL_HOME", "")  # restored afterwards; quickstart sets its own
    out = tmp_path / "quickstart"
    small = ["quickstart", "--out", str(out), "--seeds", "2", "--steps", "60"]
    assert main.main(small) == 0
    shown = capsys.readouterr().out
    assert "452 of 452 cells are equal after rounding" in shown
    assert str(out / "board" / "index.html") in shown
    records = find_records([out / "runs"])
    assert [record.seed for record in records] == [0, 1]
    assert all(record.status == "complete" for record in records)
    page = (out / "board" / "index.html").read_text(encoding="utf-8")
    assert "td3_bc" in page
    assert "TD3+BC" in page
    written = (out / "runs" / "td3_bc" / "checkpoint.pt").stat().st_mtime_ns
    assert main.main(small) == 0
    assert "already collected, verified" in capsys.readouterr().out
    assert (out / "runs" / "td3_bc" / "checkpoint.pt").stat().st_mtime_ns == written
