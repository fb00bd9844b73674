"""Write docs/speed.md from what the benchmarks kept in benchmarks/results (`make speed`).

    python benchmarks/write_speed_page.py

A benchmark without a kept result has no section.  Times are least and median of the turns; a ratio
is that of two medians of one run.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datumrl.datasets import files

RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parents[1] / "docs" / "speed.md"
QUIET = 0.3  # cores at work before a benchmark, above which the machine was not its own


@dataclass(frozen=True)
class Section:
    """What is told of one benchmark, and how its results become a table."""

    benchmark: str
    title: str
    told: str
    table: Callable[[Any], Iterator[str]]


def main() -> None:
    """Write the page."""
    with files.replacing(PAGE, "w") as handle:
        handle.write(page(RESULTS))


def page(folder: Path) -> str:
    """Return the page of the results in a folder."""
    lines = [
        "# How fast it is",
        "",
        "Written by `make speed` from what each benchmark kept when it was last run: raw, with",
        "all versions, in `benchmarks/results`. Peers are timed in the same run, in turns. Times",
        "are the least and the median of the turns. A ratio is that of the medians: above 1,",
        "datumrl is the faster. Speed of training: [training.md](training.md#how-fast).",
        "",
    ]
    for section in SECTIONS:
        path = folder / f"{section.benchmark}.json"
        if path.exists():
            lines += [*_lines(section, json.loads(path.read_text())), ""]
    return "\n".join(lines).rstrip() + "\n"


def _lines(section: Section, kept: dict[str, Any]) -> Iterator[str]:
    busy = kept["busy_cores_before"]
    quiet = "how busy it was is not known"
    if busy is not None:
        quiet = "nothing else at work" if busy < QUIET else f"{busy:.1f} cores at other work"
    options = "".join(
        f" --{name.replace('_', '-')} {_option(value)}" for name, value in kept["settings"].items()
    )
    yield from (f"## {section.title}", "", section.told, "")
    yield from section.table(kept["results"])
    yield ""
    yield f"`python benchmarks/{section.benchmark}.py{options}`,"
    yield f"{kept['date']}, {kept['hardware']}, {quiet}."


def _option(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _rows(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|:--" + "|--:" * (len(head) - 1) + "|"
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def _time(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} µs"


def _span(seconds: Sequence[float]) -> str:
    return f"{_time(min(seconds))}, {_time(statistics.median(seconds))}"


def _against(peer: Sequence[float], ours: Sequence[float]) -> str:
    return _ratio(statistics.median(peer) / statistics.median(ours))


def _ratio(value: float) -> str:
    return f"{value:,.0f}x" if value >= 100 else f"{value:.3g}x"


def _turns(peer: str, ours: Sequence[str], label: str) -> Callable[[Any], Iterator[str]]:
    """Return what draws results of the form case, contender, seconds: a ratio per contender."""

    def table(results: dict[str, dict[str, list[float]]]) -> Iterator[str]:
        head = [label, peer, *(cell for name in ours for cell in (name, "ratio"))]
        rows = [
            [
                case,
                _span(times[peer]),
                *(
                    cell
                    for name in ours
                    for cell in (_span(times[name]), _against(times[peer], times[name]))
                ),
            ]
            for case, times in results.items()
        ]
        yield from _rows(head, rows)

    return table


def _loader(results: dict[str, dict[str, float]]) -> Iterator[str]:
    found = results["seconds"]
    pairs = (
        ("first load: conversion to columns; a bare read and write by h5py", "convert", "bare"),
        ("D4RL's rows as arrays; D4RL's own loop over rows", "arrays", "loop"),
        ("D4RL's rows as an index; D4RL's own loop over rows", "index", "loop"),
        ("batch of 256 by `index()`, mapped; in memory", "index mapped", "index in memory"),
        (
            "a trainer's batch of 256, on disk; packed in memory",
            "trainer on disk",
            "trainer packed",
        ),
    )
    rows = [
        (name, _time(found[ours]), _time(found[peer]), _ratio(found[peer] / found[ours]))
        for name, ours, peer in pairs
    ]
    rows.append(("every later load", _time(found["open"]), "", ""))
    yield from _rows(("what; beside what (medians)", "datumrl", "peer", "ratio"), rows)


def _memory(results: dict[str, Any]) -> Iterator[str]:
    rows = [
        (
            kind.replace("correct", "`correct`").replace("d4rl-legacy", "`d4rl-legacy`"),
            "" if kind == "imports alone" else _span([run["seconds"] for run in runs]),
            f"{max(run['peak_mib'] for run in runs):,.0f} MiB",
        )
        for kind, runs in results["results"].items()
    ]
    yield from _rows(("a process of its own", "seconds", "peak memory"), rows)


def _statistics(results: list[dict[str, list[dict[str, Any]]]]) -> Iterator[str]:
    rows = []
    for found in results:
        ours, theirs = (
            [run["seconds"] for run in found.get(who, [])] for who in ("datumrl", "published way")
        )
        count = found["datumrl"][0]["rows"]
        memory = max(run["anonymous_mib"] for run in found["datumrl"])
        peer, ratio = ("", "")
        if theirs:
            share = found["published way"][0]["rows"] / count
            peer = _span(theirs) + ("" if share == 1 else f" for {share:.0%} of the rows")
            ratio = _ratio(statistics.median(theirs) / share / statistics.median(ours))
        rows.append((f"{count:,}", _span(ours), peer, ratio, f"{memory:,.0f} MiB"))
    head = ("rows", "datumrl", "published way", "ratio", "datumrl's own memory")
    yield from _rows(head, rows)


def _board(results: dict[str, dict[str, Any]]) -> Iterator[str]:
    rows = [
        (
            name,
            _span(found["seconds"][1:]),
            f"{found['pages']:,}",
            f"{found['largest page']['bytes'] / 1000:,.0f} kB",
        )
        for name, found in results.items()
    ]
    yield from _rows(("board of", "whole command", "pages", "largest page"), rows)


def _audit(results: dict[str, list[dict[str, float]]]) -> Iterator[str]:
    rows = [
        (
            f"{int(rows):,}",
            _span([run["seconds"] for run in runs]),
            f"{max(run['mib'] for run in runs):,.0f} MiB",
        )
        for rows, runs in results.items()
    ]
    yield from _rows(("rows", "seconds", "own memory"), rows)


def _adastop(results: dict[str, dict[str, Any]]) -> Iterator[str]:
    times = {case: found["seconds"] for case, found in results.items()}
    ours = ("datumrl, same rule", "datumrl, default")
    yield from _turns("adastop 0.1.3", ours, "ten algorithms")(times)


def _minari(results: dict[str, dict[str, Any]]) -> Iterator[str]:
    cases = {
        case: {"datumrl's import": each["ours"], "minari's iteration": each["theirs"]}
        for case, each in results["seconds"].items()
    }
    yield from _turns("minari's iteration", ("datumrl's import",), "storage")(cases)


SECTIONS = (
    Section(
        "loader_speed",
        "Loading a D4RL file",
        "A file in the layout of D4RL's v2, 17+6 dimensions, gzip, with infos. The first load\n"
        "checks every value and writes columns, so it does more than its peer.",
        _loader,
    ),
    Section(
        "load_speed",
        "Memory of loading",
        "The same file, each kind in a process of its own; peak memory includes the imports.",
        _memory,
    ),
    Section(
        "minari_speed",
        "Importing Minari's datasets",
        "Import with hash, checks and columns on disk, beside iterating over the package's\n"
        "episodes into arrays in memory.",
        _minari,
    ),
    Section(
        "stats_speed",
        "Dataset statistics",
        "TQ, SACo (100 edges), returns, lengths and PSV of 17+6 dimensions, columns prepared,\n"
        "limits known. The published way digitises, joins strings and enters a HyperLogLog; the\n"
        "ratio is that of the times per row.",
        _statistics,
    ),
    Section(
        "audit_speed",
        "The audit",
        "All checks but the replay in MuJoCo, of prepared columns of 17+6 dimensions.",
        _audit,
    ),
    Section(
        "bootstrap_against_rliable",
        "Bootstrap intervals",
        "Percentile intervals of the IQM, with as many runs on every task.",
        _turns("rliable", ("datumrl",), "runs x tasks"),
    ),
    Section(
        "adastop_speed",
        "Sequential tests",
        "A whole comparison of all pairs: 5 runs per interim, 5 interims, 10,000 relabellings.\n"
        "The default does more than the package: see [adastop.md](adastop.md).",
        _adastop,
    ),
    Section(
        "board_speed",
        "The leaderboard",
        "15 methods on CORL's 30 datasets, 10 seeds each, from files to a finished site.",
        _board,
    ),
    Section(
        "collect_speed",
        "Collecting local datasets",
        "Beside a plain loop over one environment with the same actor.",
        _turns("plain loop", ("collect, 1 worker", "collect, 2 workers"), "dataset"),
    ),
)

if __name__ == "__main__":
    main()
