"""The page of speeds is what the benchmarks kept; each section reads its benchmark's results."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def speed_page(benchmark: Callable[[str], ModuleType]) -> ModuleType:
    return benchmark("write_speed_page")


def test_the_page_is_what_was_kept(speed_page: ModuleType) -> None:
    assert speed_page.PAGE.read_text() == speed_page.page(speed_page.RESULTS), "run `make speed`"


def test_every_section_is_of_a_benchmark(speed_page: ModuleType) -> None:
    for section in speed_page.SECTIONS:
        assert (BENCHMARKS / f"{section.benchmark}.py").is_file(), section.benchmark


def kept(folder: Path, name: str, results: Any, busy: float | None = 0.1) -> None:
    content = {
        "date": "2026-01-02",
        "hardware": "a machine",
        "software": {},
        "busy_cores_before": busy,
        "settings": {"repeats": 3, "rows": [10, 20]},
        "results": results,
    }
    (folder / f"{name}.json").write_text(json.dumps(content))


def test_times_ratios_and_how_they_were_taken(speed_page: ModuleType, tmp_path: Path) -> None:
    kept(
        tmp_path,
        "bootstrap_against_rliable",
        {"10 x 9": {"datumrl": [0.03, 0.02, 0.04], "rliable": [5.0, 6.0, 9.0]}},
    )
    text = speed_page.page(tmp_path)
    assert "| 10 x 9 | 5 s, 6 s | 20 ms, 30 ms | 200x |" in text
    assert "`python benchmarks/bootstrap_against_rliable.py --repeats 3 --rows 10 20`," in text
    assert "2026-01-02, a machine, nothing else at work." in text
    assert text.count("## ") == 1  # the others have kept nothing


def test_a_busy_machine_is_told(speed_page: ModuleType, tmp_path: Path) -> None:
    kept(tmp_path, "audit_speed", {"1000": [{"seconds": 1.5, "mib": 60.4}]}, busy=1.2)
    text = speed_page.page(tmp_path)
    assert "| 1,000 | 1.5 s, 1.5 s | 60 MiB |" in text
    assert "1.2 cores at other work." in text


def test_a_peer_of_fewer_rows_is_compared_per_row(speed_page: ModuleType, tmp_path: Path) -> None:
    run = {"rows": 1000, "seconds": 2.0, "anonymous_mib": 70.0}
    peer = {"rows": 100, "seconds": 3.0, "anonymous_mib": 30.0}
    kept(tmp_path, "stats_speed", [{"datumrl": [run], "published way": [peer]}])
    row = "| 1,000 | 2 s, 2 s | 3 s, 3 s for 10% of the rows | 15x | 70 MiB |"
    assert row in speed_page.page(tmp_path)
