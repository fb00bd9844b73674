"""What a report consists of, and the options that every report names."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import intervals, metrics
from datumrl.evaluation.bootstrap import FEW_RUNS, RESAMPLES, check_confidence
from datumrl.evaluation.group_test import GroupTest
from datumrl.evaluation.ragged_comparisons import Plan
from datumrl.evaluation.score_table import ScoreTable

if TYPE_CHECKING:
    import pandas as pd

AUTO = "t"  # on average holds best at 3 to 5 runs and as well as any at 10, see intervals
INTERVALS = ("auto", *intervals.METHODS)
BOOTSTRAPS = ("runs", "runs+tasks")
CURVE_RESAMPLES = 2_000  # at most, of ranks, profiles and curves: they take the longest


@dataclass(frozen=True)
class Options:
    """How to compare; every choice is named in the report."""

    interval: str = "auto"
    bootstrap: str = "runs"
    checkpoint: str | None = None  # None: as the runs' protocol says, `last` where it says nothing
    baseline: str | None = None
    failed_as: float | None = None
    confidence: float = 0.95
    alpha: float = 0.05
    gamma: float = 100.0  # score from which the optimality gap is measured
    seed: int = 0
    resamples: int = RESAMPLES

    def __post_init__(self) -> None:
        check_confidence(self.confidence)
        if self.interval not in INTERVALS:
            raise DatumrlError(f"unknown interval {self.interval!r}; use {', '.join(INTERVALS)}")
        if self.bootstrap not in BOOTSTRAPS:
            raise DatumrlError(f"unknown bootstrap {self.bootstrap!r}; use runs or runs+tasks")
        if self.over_tasks and self.interval not in ("auto", "percentile"):
            raise DatumrlError(
                f"--interval {self.interval} does not resample tasks; use percentile with "
                "--bootstrap runs+tasks"
            )
        for value, name, example in (
            (self.failed_as, "--failed-as", "0"),
            (self.gamma, "--gamma", "100"),
        ):
            if value is not None and not abs(value) <= metrics.LARGEST:
                raise DatumrlError(
                    f"{name} {value} is not finite, or beyond {metrics.LARGEST:g}; give a score, "
                    f"such as {example}"
                )
        if not 0.0 < self.alpha < 1.0:
            raise DatumrlError(f"alpha {self.alpha} is not between 0 and 1; use for example 0.05")
        if self.seed < 0 or self.resamples < 1:
            raise DatumrlError(
                f"seed {self.seed}, resamples {self.resamples}: give a seed of 0 or more and at "
                "least one resample"
            )

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Options:
        """Return options by name; DatumrlError for a name that is none, with the nearest."""
        known = [each.name for each in fields(cls)]
        for name, value in given.items():
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                meant = f"did you mean {close[0]}? " if close else ""
                raise DatumrlError(
                    f"{name}={repr(value)[:60]} is no option; {meant}Options are {', '.join(known)}"
                )
        return cls(**given)

    @property
    def over_tasks(self) -> bool:
        """Return whether tasks are resampled too."""
        return self.bootstrap == "runs+tasks"

    @property
    def method(self) -> str:
        """Return the interval method in use."""
        if self.interval != "auto":
            return self.interval
        return "percentile" if self.over_tasks else AUTO

    @property
    def plan(self) -> Plan:
        """Return how bootstrap intervals of single numbers are made."""
        return Plan(self.seed, self.resamples, self.confidence, self.over_tasks)

    @property
    def curve_plan(self) -> Plan:
        """Return how bootstrap intervals of ranks, profiles and curves are made."""
        return replace(self.plan, resamples=min(self.resamples, CURVE_RESAMPLES))


@dataclass(frozen=True)
class Measure:
    """A number and its interval; ends are None where the runs show no uncertainty."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Band:
    """An array and its pointwise interval; ends are None where a task's one run shows none."""

    value: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None


@dataclass(frozen=True)
class Summary:
    """One algorithm over the common datasets; ``undefined`` says why it has no numbers."""

    algorithm: str
    runs: tuple[int, int]  # fewest and most per task
    tasks: int
    metrics: dict[str, Measure] = field(default_factory=dict)
    undefined: str = ""
    notes: tuple[str, ...] = ()
    checkpoints: dict[str, float] = field(default_factory=dict)  # IQM by rule, optimism of best

    @property
    def few_runs(self) -> bool:
        """Return whether a task has too few runs for intervals to be trusted."""
        return self.runs[0] < FEW_RUNS


@dataclass(frozen=True)
class Pair:
    """First against second."""

    first: str
    second: str
    improvement: Measure
    difference: Measure  # of IQMs
    decision: str | None
    p_adjusted: float | None = None  # the least family-wise alpha that would separate the two


@dataclass(frozen=True)
class Curve:
    """The IQM of an algorithm at each step."""

    steps: np.ndarray
    band: Band


@dataclass(frozen=True, repr=False)
class Report:
    """All that a comparison tells.  Algorithms are ordered by IQM, undefined ones last.

    ``profiles``: algorithm -> run-level and task-level, at ``thresholds``.  ``ranks`` is
    ``(algorithms with scores, ranks)``.  Printed it is its text, in a notebook its tables.
    """

    table: ScoreTable
    options: Options
    summaries: tuple[Summary, ...]
    pairs: tuple[Pair, ...]
    ranks: Band | None
    thresholds: np.ndarray
    profiles: dict[str, tuple[Band, Band]]
    curves: dict[str, Curve]
    test: GroupTest
    notes: tuple[str, ...]

    @property
    def defined(self) -> list[str]:
        """Return the algorithms that have numbers, best first."""
        return [each.algorithm for each in self.summaries if not each.undefined]

    def frame(self) -> pd.DataFrame:
        """Return the aggregates by algorithm; columns (metric, ``value``, ``low`` or ``high``).

        NaN where an algorithm's numbers are undefined, or have no interval.
        """
        import pandas as pd

        from datumrl.evaluation import report_tables

        columns = pd.MultiIndex.from_product(
            [report_tables.metric_names(self), ["value", "low", "high"]]
        )
        numbers = [
            [getattr(each.metrics.get(key), end, None) for key, end in columns]
            for each in self.summaries
        ]
        names = [each.algorithm for each in self.summaries]
        return pd.DataFrame(numbers, names, columns, dtype=float)

    def write(self, folder: Path | str) -> list[Path]:
        """Write Markdown, LaTeX, CSV, JSON and figures into a folder of its own; return the files.

        An earlier report there is replaced; a folder that holds anything else is refused.
        """
        from datumrl.evaluation import report_files

        return report_files.write(self, Path(folder))

    def __str__(self) -> str:
        from datumrl.evaluation import report_text

        return report_text.plain(self)

    __repr__ = __str__

    def _repr_markdown_(self) -> str:
        from datumrl.evaluation import report_text

        return report_text.markdown(self, {})
