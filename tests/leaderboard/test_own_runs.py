"""Raw scores of one's own: unlike runs are told, and what a status says of them."""

import pytest

from datumrl.datasets.errors import DatumrlError
from datumrl.leaderboard import own_files, own_runs


@pytest.fixture
def read(tmp_path):
    def write(*lines):
        (tmp_path / "raw.csv").write_text("\n".join(lines), encoding="utf-8")
        runs, notes = own_runs.read(own_files.read(tmp_path / "raw.csv"), {})
        return runs["BC", "hop"], notes

    return write


def with_states(*words):
    rows = (f"BC,hop,{seed},{60 + seed},{word}" for seed, word in enumerate(words))
    return ["algorithm,dataset,seed,score,state", *rows]


@pytest.mark.parametrize(
    "word", ["killed", "Timeout", "aborted", "CANCELLED", "running", "crashed", "error", "OOM"]
)
def test_a_run_that_did_not_end_has_failed(read, word):
    runs, notes = read(*with_states("finished", word))
    assert [run.failed for run in runs] == [False, True]
    assert notes == ["raw.csv: failed runs or missing values: BC on hop, seed 1"]


def test_a_run_that_ended_has_not(read):
    runs, notes = read(*with_states("finished", "COMPLETED", "ok", "done", "success", "", "-"))
    assert not any(run.failed for run in runs)
    assert notes == []


def test_a_status_that_says_neither_is_refused(read):
    with pytest.raises(DatumrlError, match=r"raw\.csv, line 3, column 'state': 'hopping' is no st"):
        read(*with_states("finished", "hopping"))


def test_runs_that_end_at_another_step_are_told(read):
    head = "algorithm,dataset,seed,step,score,configuration"
    steps = {"0,a": (250_000, 500_000), "1,a": (500_000, 1_000_000), "2,b": (1_000, 2_000)}
    rows = [f"BC,hop,{key[0]},{step},60,{key[2]}" for key, own in steps.items() for step in own]
    _, notes = read(head, *rows)
    assert notes == [
        "raw.csv: other last steps than other runs of the cell: BC on hop, seed 0 (500,000 of "
        "1,000,000)"
    ]
    assert read(head, *(row for row in rows if not row.startswith("BC,hop,0")))[1] == []
