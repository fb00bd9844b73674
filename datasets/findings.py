"""What an audit says: one finding per check, and the report that they make."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from datumrl.datasets import columns
from datumrl.datasets.episodes import Episodes

Verdict = Literal["pass", "warn", "fail", "not applicable"]

ROWS_SHOWN = 5  # a finding names the first so many offending rows
ROWS_AT_ONCE = 1 << 16  # rows that a check holds at once when columns are memory-mapped
_NUMBERS_AT_ONCE = 1 << 22  # and no more numbers than these, where rows are wide


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    ``fail``: training on the data as it is would go wrong.  ``warn``: unusual, and the user should
    know.  ``not applicable``: the data or the record lacks what the check needs; ``summary`` says
    what.  A finding that the record's errata foretell has ``known_erratum``.
    """

    check: str
    verdict: Verdict
    summary: str  # one sentence
    counts: Mapping[str, int | float] = field(default_factory=dict)
    rows: tuple[int, ...] = ()  # the first offending rows of the dataset
    remedy: str = ""  # what to do, or what it means for training
    known_erratum: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the finding as strict JSON; a number that is not finite becomes None."""
        counts = {
            name: value if np.isfinite(value) else None for name, value in self.counts.items()
        }
        return {
            "check": self.check,
            "verdict": self.verdict,
            "summary": self.summary,
            "counts": counts,
            "rows": list(self.rows),
            "remedy": self.remedy,
            "known_erratum": self.known_erratum,
        }


@dataclass(frozen=True)
class Report:
    """All findings on one dataset."""

    dataset: str
    rows: int
    episodes: int
    findings: tuple[Finding, ...]
    errata: tuple[str, ...] = ()  # of the record, seen or not
    notes: tuple[str, ...] = ()  # of the converter

    def failures(self, strict: bool = False) -> list[Finding]:
        """Return the findings that fail; known errata are among them only if ``strict``."""
        return [
            finding
            for finding in self.findings
            if finding.verdict == "fail" and (strict or finding.known_erratum is None)
        ]

    def finding(self, check: str) -> Finding:
        """Return the finding of one check; KeyError for a check that was not made."""
        for finding in self.findings:
            if finding.check == check:
                return finding
        raise KeyError(check)

    def to_json(self, strict: bool = False) -> dict[str, Any]:
        """Return the report as strict JSON."""
        return {
            "dataset": self.dataset,
            "rows": self.rows,
            "episodes": self.episodes,
            "failures": [finding.check for finding in self.failures(strict)],
            "findings": [finding.to_json() for finding in self.findings],
            "errata": list(self.errata),
            "notes": list(self.notes),
        }


def first(rows: np.ndarray) -> tuple[int, ...]:
    """Return the first few of increasing row numbers, as a finding shows them."""
    return tuple(int(row) for row in rows[:ROWS_SHOWN])


def pieces(rows: int, width: int = 1) -> Iterator[slice]:
    """Yield slices that cover ``rows`` rows of ``width`` numbers, small where memory-mapped."""
    step = max(1, min(ROWS_AT_ONCE, _NUMBERS_AT_ONCE // max(width, 1)))
    for begin in range(0, rows, step):
        yield slice(begin, min(rows, begin + step))


def flat(values: np.ndarray) -> np.ndarray:
    """Return a column as (rows, width), uncopied."""
    return values.reshape(len(values), int(np.prod(values.shape[1:])))


def named_columns(episodes: Episodes) -> dict[str, np.ndarray]:
    """Return every column of numbers as (rows, width), by name: ``observations/image``..."""
    found = {}
    for name in ("observations", "actions", "rewards", "successors"):
        for part, values in columns.parts(getattr(episodes, name)).items():
            found[f"{name}/{part}" if part else name] = flat(values)
    return found


def sampled(rows: int, most: int) -> np.ndarray:
    """Return at most ``most`` evenly spaced row numbers, increasing and the same at every call."""
    if rows <= most:
        return np.arange(rows)
    return np.arange(most) * rows // most


def share(part: int, whole: int) -> str:
    """Return a share as text, with the counts that it is made of."""
    return f"{part:,} of {whole:,} ({100 * part / max(whole, 1):.3g} %)"
