"""The usual suspects: how published tables come to differ from what a reader would compute."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from datumrl.leaderboard import rules
from datumrl.leaderboard.rules import RawRun, Rule
from datumrl.leaderboard.table_case import Case

# k of the mean of the last k evaluations
_LAST = (*range(2, 11), 15, 20, 25, 30, 50, 100)
_WINDOWS = (5, 10, 15, 20, 25, 30, 50, 100, 200, 250, 500, 1000)
_FIRST = (1, 2, 3, 4, 5, 8, 10, 20)
_EACH = 200  # evaluations of which each is tried, alone
_NAMED_SEEDS = 20  # more seeds than this are not left out one by one, by name


@dataclass(frozen=True)
class Suspect:
    """One departure from a rule; two of the same axis exclude each other.

    One of many alike (``alone``) is tried in no pair.
    """

    axis: str
    label: str
    changes: tuple[tuple[str, Any], ...]
    alone: bool = False

    def applied(self, rule: Rule) -> Rule:
        """Return a rule with this departure."""
        return replace(rule, **dict(self.changes))


def of_case(case: Case) -> list[Suspect]:
    """Return the suspects that can matter for a table, the plainest first."""
    runs = [run for found in case.raw.raw.values() for run in found]
    if not runs:
        return []
    found = [
        *_spreads(case),
        *_checkpoints(case, runs),
        *_units(case),
        *_configurations(runs),
        *_failures(runs),
        *_seeds(case, runs),
        Suspect("centre", "median over runs instead of the mean", (("centre", "median"),)),
        Suspect("rounding", "digits cut off, not rounded", (("cut", True),)),
    ]
    base = case.stated
    found = [suspect for suspect in found if suspect.applied(base) != base]
    return sorted(found, key=lambda suspect: suspect.alone)


def pairs(suspects: list[Suspect]) -> Iterator[tuple[Suspect, Suspect]]:
    """Yield the pairs of suspects that can be true together."""
    for first, second in itertools.combinations([each for each in suspects if not each.alone], 2):
        changed = {name for name, _ in first.changes} & {name for name, _ in second.changes}
        if first.axis != second.axis and not changed:
            yield first, second


def _spreads(case: Case) -> Iterator[Suspect]:
    for ddof in (1, 0):
        yield Suspect("spread", f"standard deviation with ddof = {ddof}", (("ddof", ddof),))
    if all(cell.std is None for cell in case.cells):
        return
    for ddof in (0, 1):
        how = f"(ddof = {ddof})"
        for kind, label in (
            ("variance", f"the variance instead of the standard deviation {how}"),
            ("error", f"standard error instead of the standard deviation {how}"),
            ("interval", f"1.96 standard errors instead of the standard deviation {how}"),
            ("affine", f"the score's affine map applied to the deviation of returns {how}"),
            ("raw", f"the deviation of returns, not normalised {how}"),
            (
                "shifted",
                "the score's affine map, with the catalogue's reference scores, applied to the "
                f"deviation of returns {how}",
            ),
        ):
            if _applies(kind, case):
                yield Suspect("spread", label, (("ddof", ddof), ("spread", kind)))
    label = "half of Student's 95% interval instead of the standard deviation"
    yield Suspect("spread", label, (("ddof", 1), ("spread", "t")))
    yield Suspect("spread", "half the range over runs", (("spread", "range"),))


def _applies(spread: str, case: Case) -> bool:
    """Return whether a spread that needs reference scores has them."""
    if spread in ("affine", "raw"):
        return any(cell.quantity == "score" for cell in case.cells)
    return spread != "shifted" or bool(case.raw.units.catalogue)


def _checkpoints(case: Case, runs: list[RawRun]) -> Iterator[Suspect]:
    lengths = {len(run.values) for run in runs}
    longest = max(lengths)
    if longest < 2:
        return
    yield Suspect("start", "first evaluation of every run dropped", (("skipped", 1),))
    columns = list(dict.fromkeys(cell.checkpoint for cell in case.cells))
    for column in columns:
        who = f"{column!r} is " if column else ""
        for kind, label in _kinds(longest):
            if kind != rules.checkpoint_of(column, case.stated):
                others = tuple(pair for pair in case.stated.read_as if pair[0] != column)
                change = ("read_as", (*others, (column, kind)))
                yield Suspect("checkpoint", f"{who}{label}", (change,))
                if kind.startswith("last-"):
                    spread = f"{who}{label}, the spread over all these evaluations pooled"
                    yield Suspect("checkpoint", spread, (change, ("spread", "evaluations")))
    # The widest first: narrower ones may say the same.
    windows = {longest // 2, longest // 4, *_WINDOWS}
    bests = any(rules.checkpoint_of(column, case.stated) == "best" for column in columns)
    each = range(2, _EACH) if bests else ()
    for window in sorted({*windows, *each}, reverse=True):
        if 1 < window < longest:
            changes = (("windows", (("", window),)),)
            label = f"`best` among the last {window:,} evaluations"
            yield Suspect("window", label, changes, window not in windows)
    yield from _of_many(case, columns, longest)
    if len(lengths) > 1:
        yield Suspect("length", "runs cut to the shortest of their cell", (("shortest", True),))


def _of_many(case: Case, columns: list[str], longest: int) -> Iterator[Suspect]:
    """Yield every other mean of the last k evaluations, and every single evaluation."""
    for column in columns:
        who = f"{column!r} is " if column else ""
        for count in range(1, min(longest, _EACH)):
            others = tuple(pair for pair in case.stated.read_as if pair[0] != column)
            kinds = [(f"at-{count}", f"evaluation {count:,} of each run")]
            if count not in (1, *_LAST):
                kinds.append((f"last-{count}-mean", f"the mean of the last {count} evaluations"))
            for kind, label in kinds:
                change = ("read_as", (*others, (column, kind)))
                yield Suspect("checkpoint", f"{who}{label}", (change,), alone=True)


def _kinds(longest: int) -> Iterator[tuple[str, str]]:
    yield "last", "the last evaluation"
    yield "best", "the best evaluation of each run"
    for count in _LAST:
        if count < longest:
            yield f"last-{count}-mean", f"the mean of the last {count} evaluations"
    yield "best-step", "the evaluation with the highest mean over runs"
    yield "mean", "the mean of all evaluations"


def _units(case: Case) -> Iterator[Suspect]:
    units = case.raw.units
    if units.other_versions and units.references:
        label = "reference scores of another version of the dataset"
        yield Suspect("unit", label, (("unit", "other version"),))
    for unit, known, whose in (
        ("catalogue", units.catalogue, "the catalogue's reference scores"),
        (
            "catalogue, other",
            {} if units.references else units.other_versions,
            "the catalogue's reference scores of another version of the dataset",
        ),
    ):
        if not known:
            continue
        yield Suspect("unit", f"returns normalised with {whose}", (("unit", unit),))
        for ddof in (0, 1):
            for spread, label in (
                ("affine", "the affine map applied to their deviation too"),
                ("raw", "their deviation not"),
            ):
                yield Suspect(
                    "unit",
                    f"returns normalised with {whose}, {label} (ddof = {ddof})",
                    (("unit", unit), ("spread", spread), ("ddof", ddof)),
                )
    if units.catalogue and units.other_versions and not units.references:
        label = "scores put on the catalogue's reference scores of another version of the dataset"
        yield Suspect("unit", label, (("unit", "rescaled"),))
    for unit in ("times 100", "divided by 100"):
        yield Suspect("unit", f"raw scores {unit}", (("unit", unit),))


def _configurations(runs: list[RawRun]) -> Iterator[Suspect]:
    names = list(dict.fromkeys(run.configuration for run in runs))
    if len(names) < 2:
        return
    for kind, label in (
        ("pooled", "runs of all configurations pooled"),
        ("best", "the configuration with the highest mean, chosen by these scores"),
        ("best per seed", "the best configuration of each seed, chosen by these scores"),
        ("per seed", "configurations averaged within each seed first"),
        ("means", "spread over the means of configurations, not over runs"),
        *((f"only {name}", f"configuration {name!r} only") for name in names),
    ):
        yield Suspect("configuration", label, (("configuration", kind),))


def _failures(runs: list[RawRun]) -> Iterator[Suspect]:
    if not any(run.broken for run in runs):
        return
    for kind, label in (
        ("dropped", "failed runs dropped"),
        ("zero", "failed runs count as 0"),
        ("carried", "failed runs count with their last value"),
    ):
        yield Suspect("failed", label, (("failed", kind),))


def _seeds(case: Case, runs: list[RawRun]) -> Iterator[Suspect]:
    if any(run.repeated for run in runs):
        yield Suspect("runs", "repeated seeds counted each time", (("runs", "all"),))
    most = max(len(found) for found in case.raw.raw.values())
    for count in _FIRST:
        if count < most:
            yield Suspect("runs", f"only the first {count} runs", (("runs", f"first {count}"),))
    for count in {*_FIRST, most - 1}:
        if 0 < count < most:
            label = f"only the best {count} runs of each cell"
            yield Suspect("runs", label, (("runs", f"best {count}"),))
    seeds = list(dict.fromkeys(run.seed for run in runs))
    if 1 < len(seeds) <= _NAMED_SEEDS:
        for seed in seeds:
            yield Suspect("runs", f"without seed {seed}", (("runs", f"without {seed}"),))
        for seed in seeds:
            yield Suspect("runs", f"seed {seed} counted twice", (("runs", f"{seed} twice"),))
    if most > 1:
        label = "one run missing, not the same in every cell"
        yield Suspect("runs", label, (("runs", "one missing"),))
        label = "one run counted twice, not the same in every cell"
        yield Suspect("runs", label, (("runs", "one twice"),))
