"""What recomputing a table tells: a verdict per cell, the diagnosis, and what lies beyond it."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from datumrl.evaluation.report_tables import Sheet
from datumrl.leaderboard import beyond_table, bold_claims, diagnosis, scored_rule
from datumrl.leaderboard.beyond_table import Pool
from datumrl.leaderboard.bold_claims import Claims
from datumrl.leaderboard.diagnosis import Diagnosis
from datumrl.leaderboard.rules import Rule, rounds_to
from datumrl.leaderboard.table_case import Case, PrintedCell

if TYPE_CHECKING:
    from datumrl.leaderboard.trained import Trained

Status = Literal["reproduced", "only under", "differs", "no raw data", "nothing printed"]
STATUSES: tuple[Status, ...] = (
    "reproduced",
    "only under",
    "differs",
    "no raw data",
    "nothing printed",
)
# What each status is called in a summary.
WORDS = {
    "reproduced": "reproduced",
    "only under": "reproduced only under another rule",
    "differs": "differ",
    "no raw data": "without raw data",
    "nothing printed": "with nothing printed",
}
SCHEMA = "datumrl-reproduction/1"
Progress = Callable[[str], Callable[[int, int], None]]  # of a piece of work: done, in all


@dataclass(frozen=True)
class CellVerdict:
    """One printed cell beside what was recomputed by the rule that fits, else the stated one."""

    cell: PrintedCell
    status: Status
    recomputed: str = ""  # as the cell, with one digit more
    rule: str = ""  # what it takes, where the expected rule does not do
    note: str = ""  # by how much it differs, or why there is nothing to compare
    mean: float | None = None
    std: float | None = None
    wrong: tuple[str, ...] = ()  # which of its numbers differ: mean, std

    @property
    def follows(self) -> bool:
        """Return whether the cell follows from the raw scores."""
        return self.status in ("reproduced", "only under")

    @property
    def words(self) -> str:
        """Return the verdict as one phrase."""
        if self.status == "only under":
            return f"reproduced only under: {self.rule}"
        if self.status == "differs":
            return f"differs by {self.note}"
        return f"{self.status}: {self.note}" if self.note else self.status


@dataclass(frozen=True)
class About:
    """What a table is and where it comes from; rules in words."""

    id: str
    title: str
    source: str = ""
    url: str = ""
    licence: str = ""
    rule: str = ""  # as the source applied it
    expected: str = ""  # as a reader would expect it
    kind: str = ""  # what is at hand: raw scores, cells only, ...


@dataclass(frozen=True)
class Outcome:
    """All that recomputing a table tells, or training it again (``trained``, without verdicts).

    ``facts`` are lines about the raw scores; ``command`` does the same again, of tables of one's
    own (registered ones are recomputed by their id).
    """

    about: About
    verdicts: tuple[CellVerdict, ...]
    diagnosis: Diagnosis | None = None
    pools: tuple[Pool, ...] = ()
    claims: Claims | None = None
    notes: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    departures: tuple[tuple[str, int], ...] = ()  # another rule, and how many cells it fails
    extras: tuple[Sheet, ...] = field(default=())
    trained: Trained | None = None
    command: str = ""
    scored: str = ""  # how, for pools and claims, where that is not plainly as stated

    @property
    def size(self) -> int:
        """Return the number of cells that are judged."""
        return len(self.verdicts) + (len(self.trained.columns) if self.trained else 0)

    @property
    def counts(self) -> dict[Status, int]:
        """Return how many cells have each status; those that none has are left out."""
        found = Counter(verdict.status for verdict in self.verdicts)
        return {status: found[status] for status in STATUSES if found[status]}

    @property
    def reproduces(self) -> bool:
        """Return whether no cell differs."""
        trained = self.trained is None or self.trained.reproduces
        return trained and all(verdict.status != "differs" for verdict in self.verdicts)

    @property
    def strictly(self) -> bool:
        """Return whether every cell with raw scores follows by the expected rule.

        Of cells that were trained again, whether every one agrees.
        """
        trained = self.trained is None or self.trained.strictly
        return trained and all(
            verdict.status not in ("differs", "only under") for verdict in self.verdicts
        )


def of_case(
    case: Case,
    about: About,
    seed: int = 0,
    progress: Progress | None = None,
    with_claims: bool = True,
) -> Outcome:
    """Recompute a case, diagnose what does not fit, and test what the table claims.

    ``seed`` is that of the tests' relabellings.
    """
    told = progress or (lambda title: lambda done, total: None)
    found = diagnosis.diagnose(case, told("rules tried"))
    verdicts = tuple(_verdict(case, number, found) for number in range(len(case.cells)))
    scoring = scored_rule.of_case(case, found)
    claims = None
    if with_claims:
        claims = bold_claims.check(case, seed, told("claims tested"), scoring)
    return Outcome(
        about,
        verdicts,
        found,
        tuple(beyond_table.pools(case, seed, scoring)),
        claims if claims and claims.rows else None,
        case.notes,
        scored=scoring.words,
    )


def _verdict(case: Case, number: int, found: Diagnosis) -> CellVerdict:
    cell = case.cells[number]
    if cell.mean is None:
        return CellVerdict(cell, "nothing printed")
    if number not in case.testable:
        return CellVerdict(cell, "no raw data")
    if case.fit(case.expected, number):
        return _shown(case, number, "reproduced", case.expected)
    for label, rule in case.known:
        if case.fit(rule, number):
            return _shown(case, number, "only under", rule, label)
    explanation = found.of(number)
    if explanation is not None:
        rule = explanation.candidate.rule
        return _shown(case, number, "only under", rule, explanation.candidate.label)
    verdict = _shown(case, number, "differs", case.stated)
    namesake = _namesake(case, number)
    if not namesake:
        return verdict
    return dataclasses.replace(
        verdict, note=f"{verdict.note}; printed are the numbers of {namesake}"
    )


def _namesake(case: Case, number: int) -> str:
    """Return which other cell's runs give what is printed, as where rows were swapped; "" if none.

    Only for cells with a deviation: a mean alone is found elsewhere by chance.
    """
    cell = case.cells[number]
    if cell.mean is None or cell.std is None:
        return ""
    for algorithm, dataset in case.raw.raw:
        if (algorithm, dataset) == (cell.algorithm, cell.dataset):
            continue
        place = dataclasses.replace(cell.place, algorithm=algorithm, dataset=dataset)
        for mean, std in case.raw.numbers(place, case.stated):
            if rounds_to(mean, cell.mean, case.slack) and rounds_to(std, cell.std, case.slack):
                return f"{algorithm} on {dataset}"
    return ""


def _shown(case: Case, number: int, status: Status, rule: Rule, label: str = "") -> CellVerdict:
    cell = case.cells[number]
    numbers = case.raw.numbers(cell.place, rule)
    if not numbers:
        return CellVerdict(cell, status, "", label, "no runs left by the rule")
    wanted = float(cell.mean or "nan")
    width = None if cell.std is None else float(cell.std)

    def distance(found: tuple[float, float]) -> float:
        own = abs(found[0] - wanted) + (0.0 if width is None else abs(found[1] - width))
        return own if math.isfinite(own) else math.inf

    mean, std = min(numbers, key=distance)
    shown = digits(mean, cell.mean)
    if cell.std is not None:
        shown += f" ± {digits(std, cell.std)}"
    wrong = _missed(cell, mean, std, case.slack) if status == "differs" else {}
    note = ", ".join(wrong.values())
    return CellVerdict(cell, status, shown, label, note, _finite(mean), _finite(std), tuple(wrong))


def difference(cell: PrintedCell, mean: float, std: float, slack: float = 0.0) -> str:
    """Return in words by how much recomputed numbers differ from the printed ones."""
    return ", ".join(_missed(cell, mean, std, slack).values())


def _missed(cell: PrintedCell, mean: float, std: float, slack: float) -> dict[str, str]:
    """Return in words by how much each number differs that does."""
    parts = {}
    for name, printed, value in (("mean", cell.mean, mean), ("std", cell.std, std)):
        if printed is None or rounds_to(value, printed, slack):
            continue
        if math.isfinite(value):
            gap = value - float(printed)
            # As many digits as it takes to see the difference.
            places = max(2, decimals(printed) + 1)
            while gap and abs(gap) < 0.5 * 10.0**-places and places < 15:
                places += 1
            parts[name] = f"{name} {gap:+.{places}f}"
        elif name == "std" and math.isfinite(mean):
            parts[name] = "std, which so few runs leave undefined"
        else:
            parts[name] = f"{name}, which failed runs leave undefined"
    return parts


def decimals(printed: str | None) -> int:
    """Return how many decimals a printed number has."""
    mantissa, _, exponent = (printed or "").lower().partition("e")
    return max(0, len(mantissa.partition(".")[2]) - int(exponent or 0))


def digits(value: float, printed: str | None) -> str:
    """Return a number with one decimal more than the printed one has."""
    return f"{value:.{decimals(printed) + 1}f}" if math.isfinite(value) else "undefined"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def differing(verdicts: Sequence[CellVerdict]) -> list[CellVerdict]:
    """Return the verdicts worth a look where space is short: all but plain agreement."""
    return [verdict for verdict in verdicts if verdict.status != "reproduced"]


def as_json(outcome: Outcome) -> dict[str, object]:
    """Return an outcome as what strict JSON can hold."""
    counts = {str(status): count for status, count in outcome.counts.items()}
    content: dict[str, object] = {
        "schema": SCHEMA,
        "table": dataclasses.asdict(outcome.about),
        "command": outcome.command,
        "reproduces": outcome.reproduces,
        "summary": {"cells": outcome.size, **counts},
        "cells": [_cell_json(each) for each in outcome.verdicts],
        "diagnosis": _diagnosis_json(outcome.diagnosis),
        "departures": [
            {"rule": label, "cells_that_fail": failing} for label, failing in outcome.departures
        ],
        "pools": [dataclasses.asdict(pool) for pool in outcome.pools],
        "claims": _claims_json(outcome.claims),
        "scored": outcome.scored,
        "notes": list(outcome.notes),
        "facts": list(outcome.facts),
        "sheets": [dataclasses.asdict(sheet) for sheet in outcome.extras],
    }
    if outcome.trained is None:
        return content
    from datumrl.leaderboard import trained  # which needs this module

    return {**content, "trained": trained.as_json(outcome.trained)}


def _cell_json(verdict: CellVerdict) -> dict[str, object]:
    return {
        **dataclasses.asdict(verdict.cell),
        "printed": verdict.cell.printed,
        "recomputed": verdict.recomputed,
        "recomputed_mean": verdict.mean,
        "recomputed_std": verdict.std,
        "status": verdict.status,
        "rule": verdict.rule,
        "note": verdict.note,
        "wrong": list(verdict.wrong),
        "verdict": verdict.words,
    }


def _diagnosis_json(found: Diagnosis | None) -> dict[str, object] | None:
    if found is None:
        return None
    return {
        "rules_tried": found.rules,
        "explanations": [
            {
                "rule": each.candidate.label,
                "fits": each.candidate.fits,
                "of": each.candidate.of,
                "explains": each.where,
                "equivalent": list(each.equivalent),
            }
            for each in found.explanations
        ],
        "tried": [{"rule": each.label, "fits": each.fits, "of": each.of} for each in found.tried],
    }


def _claims_json(found: Claims | None) -> dict[str, object] | None:
    if found is None:
        return None
    return {
        "marked": found.marked,
        "claims": len(found.rows),
        "surviving": found.surviving,
        "rows": [{**dataclasses.asdict(each), "survives": each.survives} for each in found.rows],
    }
