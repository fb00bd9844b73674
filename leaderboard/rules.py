"""How a printed cell is made from raw scores: the rule, and the numbers that it gives.

A rule is a choice on several axes: which evaluations of a run count, which runs, in which unit,
and how their centre and spread are taken.  ``Rule()`` is what a reader expects where nothing else
is said: every run once, the mean and the standard deviation over runs (ddof = 0, as is usual in
these tables).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np

# Summation order differs between libraries; this is far below any printed digit.
_FLOAT_SLACK = 1e-9
_LAST_MEAN = re.compile(r"last-([1-9][0-9]*)-mean")
_SYNONYMS = {
    "": "last",
    "final": "last",
    "max": "best",
    "last10": "last-10-mean",
    "average": "mean",
}


@dataclass(frozen=True)
class Rule:
    """How cells are made; see the module.  Fields that are not at their default are departures."""

    ddof: int = 0  # of the standard deviation over runs
    skipped: int = 0  # evaluations at the start of a run that `best` and `mean` do not see
    windows: tuple[
        tuple[str, int], ...
    ] = ()  # algorithm ("" for all): `best` sees its last so many
    read_as: tuple[tuple[str, str], ...] = ()  # a column's checkpoint -> the one really taken
    shortest: bool = False  # runs of a cell cut to the shortest of them
    centre: str = "mean"  # or "median"
    spread: str = "std"  # "error", "interval", "affine", "evaluations", "range"
    runs: str = "once"  # "all", "without SEED", "SEED twice", "first N", "one missing", "one twice"
    configuration: str = ""  # "pooled", "best", "per seed", "means", "only NAME"; "": as stated
    failed: str = "counted"  # "dropped", "zero", "carried"
    unit: str = ""  # "other version", "catalogue", "times 100", "divided by 100"; "": as stated


@dataclass(frozen=True, eq=False)
class RawRun:
    """One seed: every evaluation's mean return or score; NaN where it failed."""

    seed: str
    values: np.ndarray  # (evaluations,)
    steps: np.ndarray | None = None  # (evaluations,)
    failed: bool = False  # said to have failed, whatever its values
    configuration: str = ""
    repeated: bool = False  # another run of this cell has the same seed

    @property
    def broken(self) -> bool:
        """Return whether the run failed or lacks a value."""
        return self.failed or not bool(np.isfinite(self.values).all())


Raw = Mapping[tuple[str, str], Sequence[RawRun]]  # by algorithm and dataset
Scale = tuple[float, float]  # returns of scores 0 and 100


@dataclass(frozen=True)
class Units:
    """What turns raw values into printed ones, by dataset."""

    references: Mapping[str, Scale] = field(default_factory=dict)
    other_versions: Mapping[str, Scale] = field(default_factory=dict)
    catalogue: Mapping[str, Scale] = field(default_factory=dict)  # where none are stated


@dataclass(frozen=True)
class Place:
    """What a rule is applied to: one printed cell's place in the table."""

    algorithm: str
    dataset: str
    checkpoint: str = ""
    normalised: bool = False
    configuration: str = ""


Numbers = tuple[float, float]  # centre and spread


class Recomputer:
    """Applies rules to raw scores; what rules have in common is computed once."""

    def __init__(self, raw: Raw, units: Units) -> None:
        self.raw = raw
        self.units = units
        self._reduced: dict[tuple[object, ...], np.ndarray] = {}

    def numbers(self, place: Place, rule: Rule) -> list[Numbers]:
        """Return (centre, spread) of a cell; several where the rule leaves a choice open.

        Empty if there are no runs, or too few for the rule.
        """
        found = self.chosen(place, rule)
        return [self._centre_and_spread(values, place, rule) for values in found if values.size]

    def scores(self, place: Place, rule: Rule) -> np.ndarray:
        """Return the score of each run that counts, ``(runs,)``, in the printed unit."""
        found = self.chosen(place, rule)
        values = found[0] if found else np.empty(0)
        return self._in_unit(values, place, rule).mean(axis=-1) if values.size else values

    def chosen(self, place: Place, rule: Rule) -> list[np.ndarray]:
        """Return the values of the runs that count, ``(runs, evaluations that count)``, raw."""
        runs = self.raw.get((place.algorithm, place.dataset), ())
        if not runs:
            return []
        values = self._of_runs(place, rule)
        keep = np.ones(len(runs), dtype=bool)
        if rule.runs != "all":
            keep &= ~np.array([run.repeated for run in runs])
        broken = np.array([run.broken for run in runs])
        if rule.failed == "dropped":
            keep &= ~broken
        elif rule.failed == "zero":
            values = np.where(broken[:, None], 0.0, values)
        groups = _by_configuration(runs, values, keep, place, rule)
        return [part for group in groups for part in _by_seed(*group, rule)]

    def _of_runs(self, place: Place, rule: Rule) -> np.ndarray:
        """Return what each run of a cell gives: ``(runs, 1)``, or ``(runs, k)`` for a spread."""
        checkpoint = checkpoint_of(place.checkpoint, rule)
        windows = dict(rule.windows)
        window = windows.get(place.algorithm, windows.get(""))
        key = (
            place.algorithm, place.dataset, checkpoint, rule.skipped, window, rule.shortest,
            rule.spread == "evaluations", rule.failed == "carried",
        )  # fmt: skip
        if key not in self._reduced:
            self._reduced[key] = _reduce(
                self.raw[place.algorithm, place.dataset], checkpoint, window, rule
            )
        return self._reduced[key]

    def _scale(self, place: Place, rule: Rule) -> Scale | None:
        if rule.unit == "catalogue":
            return self.units.catalogue.get(place.dataset)
        if rule.unit == "other version" and place.normalised:
            return self.units.other_versions.get(place.dataset)
        return self.units.references.get(place.dataset) if place.normalised else None

    def _in_unit(self, values: np.ndarray, place: Place, rule: Rule) -> np.ndarray:
        scale = self._scale(place, rule)
        if scale is not None:
            values = 100.0 * (values - scale[0]) / (scale[1] - scale[0])
        elif rule.unit in ("other version", "catalogue"):
            return np.full_like(values, np.nan)  # the rule does not apply to this cell
        factor = {"times 100": 100.0, "divided by 100": 0.01}.get(rule.unit, 1.0)
        return values * factor

    def _centre_and_spread(self, values: np.ndarray, place: Place, rule: Rule) -> Numbers:
        if rule.spread == "affine":
            scale = self._scale(place, rule)
            own = spread_of(values, rule)
            spread = math.nan if scale is None else 100.0 * (own - scale[0]) / (scale[1] - scale[0])
            return _centre(self._in_unit(values, place, rule), rule), spread
        values = self._in_unit(values, place, rule)
        return _centre(values, rule), spread_of(values, rule)


def checkpoint_of(stated: str, rule: Rule) -> str:
    """Return which evaluations count for a column: last, best, mean, best-step, last-K-mean."""
    name = dict(rule.read_as).get(stated, stated)
    return _SYNONYMS.get(name, name)


def known_checkpoint(name: str) -> bool:
    """Return whether a name means a checkpoint rule."""
    name = _SYNONYMS.get(name, name)
    return name in ("last", "best", "mean", "best-step") or bool(_LAST_MEAN.fullmatch(name))


def spread_of(values: np.ndarray, rule: Rule) -> float:
    """Return the spread over runs of ``values (runs, evaluations)`` by a rule; NaN if undefined."""
    pooled = values.ravel() if rule.spread == "evaluations" else values.mean(axis=1)
    if len(pooled) <= rule.ddof:
        return math.nan
    if rule.spread == "range":
        return float(np.ptp(pooled)) / 2.0
    std = float(pooled.std(ddof=rule.ddof))
    factor = {"error": 1.0, "interval": 1.96}.get(rule.spread)
    return std if factor is None else factor * std / math.sqrt(len(pooled))


def _centre(values: np.ndarray, rule: Rule) -> float:
    per_run = values.mean(axis=1)
    return float(np.median(per_run) if rule.centre == "median" else per_run.mean())


def _reduce(runs: Sequence[RawRun], checkpoint: str, window: int | None, rule: Rule) -> np.ndarray:
    curves = [run.values for run in runs]
    if rule.failed == "carried":
        curves = [_carried(curve) for curve in curves]
    if rule.shortest:
        length = min(map(len, curves))
        curves = [curve[:length] for curve in curves]
    if checkpoint == "last":
        return np.array([curve[-1:] for curve in curves])
    found = _LAST_MEAN.fullmatch(checkpoint)
    if found:
        count = min(int(found[1]), *map(len, curves))
        if rule.spread == "evaluations":
            return np.array([curve[-count:] for curve in curves])
        return np.array([[curve[-count:].mean()] for curve in curves])
    curves = [curve[rule.skipped :] if len(curve) > rule.skipped else curve for curve in curves]
    if window is not None:
        curves = [curve[-window:] for curve in curves]
    if checkpoint == "best-step":
        length = min(map(len, curves))
        together = np.array([curve[:length] for curve in curves])
        means = together.mean(axis=0)
        at = int(np.nanargmax(means)) if np.isfinite(means).any() else length - 1
        return together[:, at : at + 1]
    if checkpoint == "mean":
        return np.array([[curve.mean()] for curve in curves])
    return np.array([[curve.max()] for curve in curves])


def _carried(curve: np.ndarray) -> np.ndarray:
    """Return a curve with each NaN replaced by the value before it."""
    finite = np.isfinite(curve)
    if finite.all() or not finite.any():
        return curve
    places = np.maximum.accumulate(np.where(finite, np.arange(len(curve)), 0))
    return curve[places]


_Group = tuple[np.ndarray, list[str]]  # values and seeds


def _by_configuration(
    runs: Sequence[RawRun], values: np.ndarray, keep: np.ndarray, place: Place, rule: Rule
) -> list[_Group]:
    """Return the runs that a rule's choice of configurations leaves."""
    seeds = [run.seed for run in runs]
    own = np.array([run.configuration for run in runs])

    def group(mask: np.ndarray) -> _Group:
        mask = mask & keep
        return values[mask], [seed for seed, kept in zip(seeds, mask, strict=True) if kept]

    wanted = rule.configuration or (f"only {place.configuration}" if place.configuration else "")
    if wanted.startswith("only "):
        return [group(own == wanted.removeprefix("only "))]
    if wanted in ("", "pooled"):
        return [group(np.ones(len(runs), dtype=bool))]
    groups = [group(own == name) for name in dict.fromkeys(own.tolist())]
    groups = [each for each in groups if each[0].size]
    if not groups:
        return []
    if wanted == "best":
        return [max(groups, key=lambda each: float(np.nan_to_num(each[0].mean(), nan=-np.inf)))]
    if wanted == "means":
        return [(np.array([[found.mean()] for found, _ in groups]), [])]
    everything, names = group(np.ones(len(runs), dtype=bool))
    distinct = list(dict.fromkeys(names))
    labels = np.array(names)
    return [(np.array([everything[labels == seed].mean(axis=0) for seed in distinct]), distinct)]


def _by_seed(values: np.ndarray, seeds: list[str], rule: Rule) -> list[np.ndarray]:
    """Return the runs that a rule's choice of seeds leaves, one array for each way to choose."""
    kind = rule.runs
    rows = range(len(values))
    if kind in ("once", "all"):
        return [values]
    if kind.startswith("first "):
        count = int(kind.removeprefix("first "))
        return [values[:count]]
    if kind == "one missing":
        return [np.delete(values, row, axis=0) for row in rows]
    if kind == "one twice":
        return [np.concatenate([values, values[row : row + 1]]) for row in rows]
    labels = np.array(seeds)
    if kind.startswith("without "):
        return [values[labels != kind.removeprefix("without ")]]
    twice = labels == kind.removesuffix(" twice")
    return [np.concatenate([values, values[twice]])]


def bounds(printed: str, slack: float = 0.0) -> tuple[float, float]:
    """Return the least and the largest number that round to a printed one, ties either way.

    ``slack`` widens them, for values that were rounded themselves.
    """
    number = Decimal(printed)
    half = float(Decimal((0, (5,), int(number.as_tuple().exponent) - 1)))
    margin = half + slack + _FLOAT_SLACK * max(1.0, abs(float(number)))
    return float(number) - margin, float(number) + margin


def rounds_to(value: float, printed: str, slack: float = 0.0) -> bool:
    """Tell whether a value rounds to a printed number, whichever way ties are broken."""
    low, high = bounds(printed, slack)
    return low <= value <= high
