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

from datumrl.leaderboard import run_choice

# Summation order differs between libraries; this is far below any printed digit.
_FLOAT_SLACK = 1e-9
_LAST_MEAN = re.compile(r"last-([1-9][0-9]*)-mean")
_AT = re.compile(r"at-([1-9][0-9]*)")  # one evaluation, counted from 1
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
    # "variance", "error", "interval", "t", "range", "evaluations", "affine" (of returns), "raw",
    # "shifted"
    spread: str = "std"
    # "all", "without SEED", "SEED twice", "first N", "best N", "one missing", "one twice"
    runs: str = "once"
    # "pooled", "best", "best per seed", "per seed", "means", "only NAME"; "": as stated
    configuration: str = ""
    failed: str = "counted"  # which leaves the cell undefined; "dropped", "zero", "carried"
    # "other version", "catalogue", "catalogue, other", "rescaled" (from the catalogue's to another
    # version's), "times 100", "divided by 100"; "": as stated
    unit: str = ""
    cut: bool = False  # digits cut off, not rounded


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
        self._masks: dict[tuple[str, str], tuple[np.ndarray, np.ndarray]] = {}

    def numbers(self, place: Place, rule: Rule) -> list[Numbers]:
        """Return (centre, spread) of a cell; several where the rule leaves a choice open.

        Empty if there are no runs, or too few for the rule.
        """
        found = self.chosen(place, rule)
        return [self._centre_and_spread(values, place, rule) for values in found if values.size]

    def scores(self, place: Place, rule: Rule, way: int = 0) -> np.ndarray:
        """Return the score of each run that counts, ``(runs,)``, in the printed unit.

        ``way`` is which of `numbers` where the rule leaves a choice open.
        """
        found = [values for values in self.chosen(place, rule) if values.size]
        values = found[way] if found else np.empty(0)
        return self._in_unit(values, place, rule).mean(axis=-1) if values.size else values

    def chosen(self, place: Place, rule: Rule) -> list[np.ndarray]:
        """Return the values of the runs that count, ``(runs, evaluations that count)``, raw."""
        runs = self.raw.get((place.algorithm, place.dataset), ())
        if not runs:
            return []
        stated = f"only {place.configuration}" if place.configuration else ""
        wanted = rule.configuration or stated
        counting = self._counting(place, rule, wanted)
        values = self._of_runs(place, rule, counting)
        groups = run_choice.by_configuration(runs, values, counting, wanted)
        return [part for group in groups for part in run_choice.by_seed(*group, rule.runs)]

    def _counting(self, place: Place, rule: Rule, configuration: str) -> np.ndarray:
        """Return which runs of a cell count at all, ``(runs,)`` bool."""
        runs = self.raw[place.algorithm, place.dataset]
        repeated, broken = self._odd(place)
        counting = np.ones(len(runs), dtype=bool)
        if rule.runs != "all":
            counting &= ~repeated
        if rule.failed == "dropped":
            counting &= ~broken
        if configuration.startswith("only "):
            only = configuration.removeprefix("only ")
            counting &= np.array([run.configuration == only for run in runs])
        if rule.runs.startswith("without "):
            without = rule.runs.removeprefix("without ")
            counting &= np.array([run.seed != without for run in runs])
        return counting

    def _odd(self, place: Place) -> tuple[np.ndarray, np.ndarray]:
        """Return which runs of a cell repeat a seed and which are broken, ``(runs,)`` bool each."""
        key = (place.algorithm, place.dataset)
        if key not in self._masks:
            runs = self.raw[key]
            self._masks[key] = (
                np.array([run.repeated for run in runs]),
                np.array([run.broken for run in runs]),
            )
        return self._masks[key]

    def _of_runs(self, place: Place, rule: Rule, counting: np.ndarray) -> np.ndarray:
        """Return what each run of a cell gives: ``(runs, 1)``, or ``(runs, k)`` for a spread.

        Runs that do not count have no say in what the others give, nor have failed ones.
        """
        runs = self.raw[place.algorithm, place.dataset]
        checkpoint = checkpoint_of(place.checkpoint, rule)
        windows = dict(rule.windows)
        window = windows.get(place.algorithm, windows.get(""))
        _, broken = self._odd(place)
        taken = counting if rule.failed == "carried" else counting & ~broken
        if not _together(checkpoint, rule):
            taken = np.ones(len(runs), dtype=bool)  # each by itself: all rules share them
        key = (
            place.algorithm, place.dataset, checkpoint, rule.skipped, window, rule.shortest,
            rule.spread == "evaluations", rule.failed == "carried", taken.tobytes(),
        )  # fmt: skip
        if key not in self._reduced:
            own = [run for run, take in zip(runs, taken, strict=True) if take]
            found = _reduce(own, checkpoint, window, rule) if own else np.empty((0, 1))
            self._reduced[key] = np.full((len(runs), found.shape[1]), np.nan)
            self._reduced[key][taken] = found
        values = self._reduced[key]
        if rule.failed == "carried":
            return values
        # Counted as it is, a failed run leaves the cell undefined, whatever it last logged.
        return np.where(broken[:, None], 0.0 if rule.failed == "zero" else np.nan, values)

    def _scale(self, place: Place, rule: Rule) -> Scale | None:
        if rule.unit == "catalogue":
            return self.units.catalogue.get(place.dataset)
        if rule.unit == "catalogue, other":
            return self.units.other_versions.get(place.dataset)
        if rule.unit == "other version" and place.normalised:
            return self.units.other_versions.get(place.dataset)
        return self.units.references.get(place.dataset) if place.normalised else None

    def _in_unit(self, values: np.ndarray, place: Place, rule: Rule) -> np.ndarray:
        scale = self._scale(place, rule)
        if rule.unit == "rescaled":
            own = self.units.catalogue.get(place.dataset)
            if own is not None:  # without another version the scores stay as they are
                values = own[0] + values * (own[1] - own[0]) / 100.0
                scale = self.units.other_versions.get(place.dataset, own)
        if scale is not None:
            values = 100.0 * (values - scale[0]) / (scale[1] - scale[0])
        elif rule.unit in ("other version", "catalogue", "catalogue, other", "rescaled"):
            return np.full_like(values, np.nan)  # the rule does not apply to this cell
        factor = {"times 100": 100.0, "divided by 100": 0.01}.get(rule.unit, 1.0)
        return values * factor

    def _centre_and_spread(self, values: np.ndarray, place: Place, rule: Rule) -> Numbers:
        own = values
        values = self._in_unit(values, place, rule)
        if rule.spread not in ("affine", "raw", "shifted"):
            return _centre(values, rule), spread_of(values, rule)
        # Scores that are raw values themselves were returns on the catalogue's scale.
        shifted = rule.spread == "shifted"
        known = self.units.catalogue.get(place.dataset)
        scale = known if shifted else self._scale(place, rule)
        if scale is None:
            return _centre(values, rule), math.nan
        spread = spread_of(own, rule)
        if rule.spread == "affine":
            spread = 100.0 * (spread - scale[0]) / (scale[1] - scale[0])
        elif shifted:
            spread -= 100.0 * scale[0] / (scale[1] - scale[0])
        return _centre(values, rule), spread


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
    if rule.spread == "variance":
        return std * std
    factor = {"error": 1.0, "interval": 1.96}.get(rule.spread)
    if rule.spread == "t":
        from scipy import special

        factor = float(special.stdtrit(len(pooled) - 1, 0.975)) if len(pooled) > 1 else math.nan
    return std if factor is None else factor * std / math.sqrt(len(pooled))


def _centre(values: np.ndarray, rule: Rule) -> float:
    per_run = values.mean(axis=1)
    return float(np.median(per_run) if rule.centre == "median" else per_run.mean())


def _together(checkpoint: str, rule: Rule) -> bool:
    """Return whether what a run gives depends on the other runs of its cell."""
    return rule.shortest or checkpoint == "best-step" or rule.spread == "evaluations"


def _reduce(runs: Sequence[RawRun], checkpoint: str, window: int | None, rule: Rule) -> np.ndarray:
    curves = [run.values for run in runs]
    if rule.failed == "carried":
        curves = [_carried(curve) for curve in curves]
    if rule.shortest:
        length = min(map(len, curves))
        curves = [curve[:length] for curve in curves]
    if checkpoint == "last":
        return np.array([curve[-1:] for curve in curves])
    found = _AT.fullmatch(checkpoint)
    if found:
        return np.array([curve[: int(found[1])][-1:] for curve in curves])
    found = _LAST_MEAN.fullmatch(checkpoint)
    if found:
        count = int(found[1])
        if rule.spread == "evaluations":
            count = min(count, *map(len, curves))
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


def bounds(printed: str, slack: float = 0.0, cut: bool = False) -> tuple[float, float]:
    """Return the least and the largest number that round to a printed one, ties either way.

    ``slack`` widens them, for values that were rounded themselves; with ``cut`` their further
    digits were cut off.
    """
    number = Decimal(printed)
    half = float(Decimal((0, (5,), int(number.as_tuple().exponent) - 1)))
    margin = slack + _FLOAT_SLACK * max(1.0, abs(float(number)))
    if cut:
        below = 2.0 * half if number <= 0 else 0.0
        above = 2.0 * half if number >= 0 else 0.0
        return float(number) - below - margin, float(number) + above + margin
    return float(number) - half - margin, float(number) + half + margin


def rounds_to(value: float, printed: str, slack: float = 0.0) -> bool:
    """Tell whether a value rounds to a printed number, whichever way ties are broken."""
    low, high = bounds(printed, slack)
    return low <= value <= high
