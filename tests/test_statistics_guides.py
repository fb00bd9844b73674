"""The figures of the guides to statistics are those of the committed studies."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
STATISTICS = (ROOT / "docs" / "statistics.md").read_text(encoding="utf-8")
ADASTOP = (ROOT / "docs" / "adastop.md").read_text(encoding="utf-8")
METHODS = ("percentile", "basic", "bca", "studentised", "t")
OF_FAILING = ("t", "percentile", "studentised")  # the columns of that table
RUNS = (3, 5, 10, 20)


def read(name: str) -> list[dict[str, str]]:
    with (RESULTS / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def coverages(runs: int, method: str, failing: bool = False, tasks: str = "") -> list[float]:
    """Return what a method covers in the cells of the four distributions, or of the failing."""
    return [
        int(row["covered"]) / int(row["simulations"])
        for row in read("coverage.csv")
        if (row["runs"], row["method"]) == (str(runs), method)
        if (row["distribution"] == "failing") == failing
        if tasks in ("", row["tasks"])
    ]


def distance(runs: int, method: str) -> float:
    """Return the mean distance of a method's coverages from 0.95."""
    found = coverages(runs, method)
    return sum(abs(each - 0.95) for each in found) / len(found)


def rounded(told: str, digits: int = 2) -> object:
    """Return what equals any number that is rounded to ``told``, halves to either side."""
    return pytest.approx(float(told), abs=0.5 * 10**-digits + 1e-9)


def rows(section: str) -> Iterator[list[str]]:
    """Yield the cells of the lines of a section's tables, without emphasis."""
    for line in section.splitlines():
        if line.startswith("| ") and "---" not in line:
            yield line.replace("*", "").strip("| ").split(" | ")


def words(text: str) -> str:
    return " ".join(text.split())


def test_coverages_are_those_of_the_study() -> None:
    table = STATISTICS.partition("## Intervals")[2].partition("![")[0]
    told = {int(cells[0]): cells[1:] for cells in rows(table) if cells[0].isdecimal()}
    assert tuple(told) == RUNS
    for runs, cells in told.items():
        for method, cell in zip(METHODS, cells, strict=True):
            found = coverages(runs, method)
            assert len(found) == 12
            mean, lowest = cell.split(", ")
            assert sum(found) / len(found) == rounded(mean), (runs, method)
            assert min(found) == rounded(lowest), (runs, method)


def test_which_interval_is_nearest_is_as_told() -> None:
    text = words(STATISTICS)
    assert "**At 3 and 5 runs** `t` is on average the nearest of the five to 0.95" in text
    for runs in (3, 5):
        assert min(METHODS, key=lambda method: distance(runs, method)) == "t"
    (told,) = re.findall(
        r"from 0.95 is ([\d.]+) and ([\d.]+), that of `t` ([\d.]+) and ([\d.]+)\. "
        r"At 20, percentile \(([\d.]+)\) and BCa \(([\d.]+)\) are nearer too",
        text,
    )
    cells = [(10, "studentised"), (20, "studentised"), (10, "t"), (20, "t")]
    cells += [(20, "percentile"), (20, "bca")]
    for (runs, method), figure in zip(cells, told, strict=True):
        assert distance(runs, method) == rounded(figure, 3), (runs, method)
    assert distance(10, "t") < min(distance(10, name) for name in ("percentile", "basic", "bca"))
    readme = words((ROOT / "README.md").read_text(encoding="utf-8"))
    (broken,) = re.findall(r"where some runs fail outright: ([\d.]+) on one task", readme)
    assert coverages(10, "studentised", failing=True, tasks="1") == [rounded(broken)]


def test_coverages_where_runs_fail_are_those_of_the_study() -> None:
    section = STATISTICS.partition("### Where some runs fail outright")[2].partition("###")[0]
    told = {int(cells[0]): cells[1:] for cells in rows(section) if cells[0].isdecimal()}
    assert tuple(told) == RUNS
    for runs, cells in told.items():
        for method, cell in zip(OF_FAILING, cells, strict=True):
            found = coverages(runs, method, failing=True, tasks="1")
            assert found == [rounded(cell)], (runs, method)
    ((low, high),) = re.findall(r"From 9 tasks on, `t` covers (0\.\d+) to (0\.\d+)", section)
    many = [x for runs in RUNS for n in ("9", "26") for x in coverages(runs, "t", True, n)]
    assert (min(many), max(many)) == (rounded(low), rounded(high))


def test_shares_that_equal_runs_exclude() -> None:
    ((five, ten),) = re.findall(
        r"Five equal runs show only, at 95%, that at most (\d+)% of all runs differ; "
        r"ten, at most (\d+)%",
        words(STATISTICS),
    )
    # With a share q of runs that differ, n runs are all equal with a chance of (1 - q) ** n.
    for runs, told in ((5, five), (10, ten)):
        most = 100 * (1 - 0.05 ** (1 / runs))
        assert most == rounded(told, 0)


def rate(row: dict[str, str]) -> float:
    return int(row["false_rejections"]) / int(row["replications"])


def level_study() -> list[dict[str, str]]:
    """Return the longest run of every design that is about the error.

    Not of those about power (``shift``), nor of other spreads, which are no null (``spread``).
    """
    longest: dict[tuple[str, ...], dict[str, str]] = {}
    for row in read("adastop_calibration.csv"):
        key = tuple(list(row.values())[:9])
        if not row["false_rejections"] or row["truth"] in ("spread", "shift"):
            continue
        if key not in longest or int(row["replications"]) > int(longest[key]["replications"]):
            longest[key] = row
    return list(longest.values())


def test_errors_of_the_procedures_are_those_of_the_study() -> None:
    section = ADASTOP.partition("### The procedures")[2].partition("The step-down")[0]
    table = [cells for cells in rows(section) if cells[0].startswith("`") and len(cells) == 5][1:]
    assert [cells[0].split("`")[1] for cells in table] == [
        "closed",
        "shared",
        "independent",
        "joint",
        "released",
    ]
    for name, _, _, *told in table:
        for alpha, figure in zip((0.05, 0.10), told, strict=True):
            highest = max(
                rate(row)
                for row in level_study()
                if row["procedure"] == name.split("`")[1] and float(row["alpha"]) == alpha
            )
            assert highest == rounded(figure, 3), (name, alpha)
    (ratio, error) = re.findall(r"is ([\d.]+) times its level \(([\d.]+) of 0\.05\)", ADASTOP)[0]
    promised = [row for row in level_study() if row["promised"] == "yes"]
    assert max(rate(row) / float(row["alpha"]) for row in promised) == rounded(ratio, 3)
    assert max(rate(row) for row in promised if row["alpha"] == "0.05") == rounded(error, 4)


def test_errors_where_ten_are_alike_are_those_of_the_default() -> None:
    ((one, five),) = re.findall(
        r"errs less often than the 0.05 it may: ([\d.]+) with one interim .*?, ([\d.]+) with five",
        words(ADASTOP),
    )
    for interims, told in (("1", one), ("5", five)):
        (row,) = (
            row
            for row in level_study()
            if (row["truth"], row["procedure"], row["statistic"], row["distribution"])
            == ("complete", "closed", "studentized", "normal")
            if (row["algorithms"], row["interims"], row["alpha"]) == ("10", interims, "0.05")
        )
        assert row["runs"] == "5"
        assert rate(row) == rounded(told, 3)


def test_the_procedures_stand_in_one_table() -> None:
    for name in ("independent", "joint", "released"):
        assert f"| `{name}`" not in STATISTICS
        assert ADASTOP.count(f"\n| `{name}`") == 1
