"""What may not share a table: refusals, each with its reason and what to do about it."""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from datumrl.datasets import catalogue
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.suites import suite_of
from datumrl.evaluation.environments import logging_call
from datumrl.evaluation.scored_runs import ScoredRun

_SHOWN = 60  # characters of an offending value


def check(runs: Sequence[ScoredRun]) -> None:
    """Raise DatumrlError where runs were not measured alike, or one is there twice."""
    if not runs:
        raise DatumrlError("no runs to compare; give run folders, record files or score rows")
    _check_benchmarks(runs)
    _check_versions(runs)
    _check_evaluated(runs)
    by_dataset: dict[str, list[ScoredRun]] = defaultdict(list)
    for run in runs:
        by_dataset[run.dataset].append(run)
    _check_equal("all runs", runs, lambda run: run.shared)
    for dataset, members in by_dataset.items():
        _check_equal(dataset, members, lambda run: run.conditions)
    _check_stated(runs)
    _check_units(runs)


def check_seeds(runs: Sequence[ScoredRun]) -> None:
    """Raise DatumrlError where an algorithm has the same seed of a dataset twice."""
    first: dict[tuple[str, str, int], ScoredRun] = {}
    for run in runs:
        if run.seed is None:
            continue
        other = first.setdefault((run.algorithm, run.dataset, run.seed), run)
        if other is not run:
            places = f" ({other.source} and {run.source})" if run.source else ""
            raise DatumrlError(
                f"{run.title} is there twice{places}; a run counts once: leave one of them out"
            )


def mixed(where: str, name: str, first: tuple[str, str], second: tuple[str, str]) -> DatumrlError:
    """Return the refusal of two runs that differ in ``name``: each its value, and what it is."""
    one, other = (f"{_clipped(value)} ({title})" for value, title in (first, second))
    return DatumrlError(
        f"{where}: mixed {name}: {one} and {other}; what was measured differently is not compared: "
        "leave one out, or measure again"
    )


def pick(wanted: Sequence[str], known: Collection[str], noun: str) -> list[str]:
    """Return the wanted names; an unknown one is an error that names the nearest."""
    for name in wanted:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
            lower = {each.lower(): each for each in known}
            nearest = lower.get(name.lower()) or (close[0] if close else None)
            remedy = f"did you mean {nearest!r}?" if nearest else f"there are {', '.join(known)}"
            raise DatumrlError(f"no scores of {noun} {name!r}; {remedy}")
    return list(dict.fromkeys(wanted))


def _check_versions(runs: Iterable[ScoredRun]) -> None:
    """Refuse v0 with v2 of one family: another version is other data, or another process.

    Versions of different families count apart: antmaze's v2 has nothing to do with adroit's v1.
    """
    seen: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for run in runs:
        suite = suite_of(run.dataset)
        if suite.version:
            family = seen[suite.collection, suite.family]
            family.setdefault(suite.version, run.dataset)
    for versions in seen.values():
        if len(versions) > 1:
            (one, first), (two, second) = sorted(versions.items())[:2]
            raise DatumrlError(
                f"{first} and {second}: datasets of versions {one} and {two} hold different data "
                "and never share a table; choose one version with --datasets"
            )


def _check_benchmarks(runs: Iterable[ScoredRun]) -> None:
    """Refuse D4RL with Minari's namespace of that name, whose data were made anew."""
    first: dict[str, str] = {}
    for run in runs:
        for benchmark in ("minari/D4RL/", "d4rl/"):
            if run.dataset.startswith(benchmark):
                first.setdefault(benchmark, run.dataset)
    if len(first) > 1:
        minari, d4rl = sorted(first.values(), reverse=True)
        raise DatumrlError(
            f"{minari} and {d4rl}: Minari's D4RL is another benchmark on regenerated data, so they "
            "never share a table; choose one of the two with --datasets"
        )


def _check_evaluated(runs: Iterable[ScoredRun]) -> None:
    for run in runs:
        if run.status == "complete" and not len(run.steps):
            raise DatumrlError(
                f"{run.title} holds no evaluations, so there is nothing to compare; hand returns "
                "that your own code measured to "
                f"{logging_call(catalogue.known(run.dataset))}, or leave the run out"
            )


def _check_equal(
    where: str, runs: Sequence[ScoredRun], of: Callable[[ScoredRun], Mapping[str, str]]
) -> None:
    seen: dict[str, ScoredRun] = {}
    for run in runs:
        for name, value in of(run).items():
            other = seen.setdefault(name, run)
            if of(other)[name] != value:
                raise mixed(where, name, (of(other)[name], other.title), (value, run.title))


def _check_stated(runs: Sequence[ScoredRun]) -> None:
    """Refuse scores that state how they were measured beside scores that do not."""
    stated = [run for run in runs if run.conditions]
    silent = [run for run in runs if not run.conditions]
    if stated and silent:
        raise DatumrlError(
            f"mixed evaluation protocols: {stated[0].title} states its own, {silent[0].title} "
            "does not; nothing says that they were measured alike: compare them apart"
        )


def _check_units(runs: Sequence[ScoredRun]) -> None:
    first: dict[str, ScoredRun] = {}
    for run in runs:
        unit = run.unit
        if unit is not None:
            first.setdefault(unit, run)
    if len(first) > 1:
        raise DatumrlError(
            f"{first['return'].dataset} has returns only{_why(first['return'])}, "
            f"{first['score'].dataset} normalised scores; they have no common scale: choose some "
            "of them with --datasets"
        )
    datasets = sorted({run.dataset for run in runs})
    if "return" in first and len(datasets) > 1:
        raise DatumrlError(
            f"{', '.join(datasets[:3])}{' ...' if len(datasets) > 3 else ''} have no normalised "
            f"scores{_why(first['return'])}, and returns of several datasets have no common scale; "
            "compare one dataset at a time with --datasets"
        )


def _why(run: ScoredRun) -> str:
    return f" ({run.unscored})" if run.unscored else ""


def _clipped(value: str) -> str:
    return value if len(value) <= _SHOWN else value[: _SHOWN - 1] + "…"
