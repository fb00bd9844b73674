"""What documents state of benchmarks is kept by them, with the machine and the versions."""

from __future__ import annotations

import json
import os
import re
import runpy
import sys
from pathlib import Path

import pytest

import datumrl
from datumrl.evaluation import provenance

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks"
DOCUMENTS = [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md"]


def named_in_documents() -> list[str]:
    texts = "".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)
    return sorted(set(re.findall(r"`benchmarks/(\w+\.py)", texts)))


@pytest.mark.parametrize("name", named_in_documents())
def test_benchmarks_that_documents_name_keep_their_results(name: str) -> None:
    text = (FOLDER / name).read_text(encoding="utf-8")
    studies = 'Path(__file__).parent / "results" / "'  # hours long, with files of their own
    assert studies in text or (
        "kept_results.add_option(parser, __file__)" in text and "kept_results.keep(" in text
    )


def test_results_are_kept_with_what_they_are_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "new" / "median.json"
    name = str(FOLDER / "median_study.py")
    given = ["--draws", "2", "--resamples", "9", "--results", str(target)]
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setattr(sys, "argv", [name, *given])
    runpy.run_path(name, run_name="__main__")
    kept = json.loads(target.read_text(encoding="utf-8"))
    assert kept["hardware"] == provenance.hardware()
    assert kept["software"]["datumrl"] == datumrl.__version__
    assert {"python", "numpy", "scipy"} <= kept["software"].keys()
    assert kept["settings"] == {"draws": 2, "resamples": 9}
    assert kept["busy_cores_before"] is None or 0 <= kept["busy_cores_before"] <= os.cpu_count()
    assert set(kept["results"]["coverage and relative width"]["IQL"]) == {"3", "5", "10"}
    told = capsys.readouterr()
    assert "IQL" in told.out
    assert told.err == f"results: {target}\n"


def test_the_file_is_named_after_the_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    import argparse

    monkeypatch.syspath_prepend(str(FOLDER))
    import kept_results

    parser = argparse.ArgumentParser()
    kept_results.add_option(parser, str(FOLDER / "load_speed.py"))
    assert parser.parse_args([]).results == FOLDER / "results" / "load_speed.json"
