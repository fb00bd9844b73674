"""By which rule the runs of a table are scored for what lies beyond its cells: IQMs and claims.

A claim of a table can be tested only on scores that give what is printed.  So the rule is the one
that gives the most printed means, the stated one before those that the diagnosis named.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from datumrl.leaderboard.diagnosis import Diagnosis
from datumrl.leaderboard.rules import Rule, bounds
from datumrl.leaderboard.table_case import Case


@dataclass(frozen=True)
class Scoring:
    """A rule, in words where it is not the stated one, and the cells whose means it misses."""

    rule: Rule
    label: str = ""
    off: frozenset[int] = frozenset()
    of: int = 0  # cells that can be tested

    @property
    def words(self) -> str:
        """Return what has to be said of the scores; "" if they are as stated and give all means."""
        how = f"by the rule found: {self.label}" if self.label else "as stated"
        if self.off:
            how += f"; {len(self.off)} of {self.of} printed means do not follow from that"
        return f"Runs are scored {how}." if self.label or self.off else ""


def of_case(case: Case, found: Diagnosis | None = None) -> Scoring:
    """Return how a table's runs are scored; without a diagnosis as stated."""
    named = [(case.stated, "")]
    for each in found.explanations if found else ():
        if _independent(each.candidate.rule):
            named.append((each.candidate.rule, each.candidate.label))
    tried = [Scoring(rule, label, _off(case, rule), len(case.testable)) for rule, label in named]
    return min(tried, key=lambda scoring: len(scoring.off))


def _independent(rule: Rule) -> bool:
    """Return whether no run counts twice, which tests would take for two."""
    return rule.runs != "all" and not rule.runs.endswith("twice")


def _off(case: Case, rule: Rule) -> frozenset[int]:
    return frozenset(number for number in case.testable if _way(case, number, rule) is None)


def _way(case: Case, number: int, rule: Rule) -> int | None:
    """Return which of a rule's ways gives a cell's mean, the whole cell if one does; else None."""
    cell = case.cells[number]
    if cell.mean is None:
        return None
    low, high = bounds(cell.mean, case.slack, rule.cut)
    ways = case.raw.numbers(cell.place, rule)
    fitting = [way for way, (centre, _) in enumerate(ways) if low <= centre <= high]
    if cell.std is not None:
        low, high = bounds(cell.std, case.slack, rule.cut)
        fitting.sort(key=lambda way: not low <= ways[way][1] <= high)
    return fitting[0] if fitting else None


def scores(case: Case, number: int, rule: Rule) -> np.ndarray:
    """Return the score of each run of a cell, ``(runs,)``, in the printed unit.

    Where a rule leaves a choice open, it is the one that gives the cell.
    """
    return case.raw.scores(case.cells[number].place, rule, _way(case, number, rule) or 0)
