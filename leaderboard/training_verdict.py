"""Does training again agree with a printed mean ± deviation of n seeds?  Tests for few seeds.

All that is known of the published runs is their mean, deviation and number, so nothing can be
relabelled; new runs are known one by one.

*Difference*: Welch's t test on (mean, deviation, n) of both, two-sided; its degrees of freedom
are near those of the smaller group, so that three published seeds count as three.  p values of all
cells go through Holm's procedure at level 0.05.  A cell *differs* if it is rejected and its
difference is beyond the margin.  *Equivalence*: two one-sided t tests at level 0.05 (Schuirmann
1987), that is: the 90% Welch interval of the difference lies within the margin; then it *agrees*.
Where neither can be shown, there are *too few seeds to tell*.  Each level is that of normal
scores; skewed ones are tried in the tests.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from datumrl.leaderboard.agreement import LEVEL, MARGIN, holm

__all__ = ["LEVEL", "MARGIN", "Judgement", "Sample", "Verdict", "chance_to_tell", "judge"]

Verdict = Literal["agrees", "differs", "too few seeds to tell"]
VERDICTS: tuple[Verdict, ...] = ("agrees", "differs", "too few seeds to tell")
MOST_SEEDS = 1_000  # beyond which more seeds are no advice


@dataclass(frozen=True)
class Sample:
    """What is known of some runs; ``std`` with ddof = 1."""

    mean: float
    std: float | None
    seeds: int | None

    @property
    def lacking(self) -> str:
        """Return what cannot be known of the mean's error, "" if nothing."""
        missing = []
        if self.std is None:
            missing.append("no spread")
        if self.seeds is None:
            missing.append("no number of seeds")
        if missing:
            return " and ".join(missing)
        return "one seed only" if (self.seeds or 0) < 2 else ""


@dataclass(frozen=True)
class Judgement:
    """One cell: new less published, what is known of it, and the verdict."""

    verdict: Verdict
    difference: float
    margin: float
    low: float | None = None  # of the 95% interval
    high: float | None = None
    p_value: float | None = None  # of the difference, before Holm
    note: str = ""  # what cannot be told and why, or what it would take


@dataclass(frozen=True)
class Pair:
    """A cell's published and new scores; ``failed`` new seeds have none."""

    published: Sample
    scores: tuple[float, ...]
    margin: float = MARGIN
    failed: int = 0


@dataclass(frozen=True)
class _Welch:
    difference: float
    error: float
    freedom: float

    def reach(self, confidence: float) -> float:
        """Return half the width of an interval."""
        from scipy import special

        quantile = special.stdtrit(self.freedom, 0.5 + confidence / 2.0)
        return float(quantile) * self.error

    def p_value(self) -> float:
        """Return the two-sided p value of the difference."""
        from scipy import special

        if self.error == 0.0:
            return 0.0 if self.difference else 1.0
        return float(2.0 * special.stdtr(self.freedom, -abs(self.difference) / self.error))


def judge(pairs: Sequence[Pair]) -> list[Judgement]:
    """Return each cell's judgement; the difference tests of all cells share one error rate."""
    tests = [_welch(pair.published, _sample(pair.scores)) for pair in pairs]
    p_values = [test.p_value() for test in tests if test is not None]
    rejected = iter(holm(p_values))
    return [
        _untestable(pair) if test is None else _tested(pair, test, next(rejected))
        for pair, test in zip(pairs, tests, strict=True)
    ]


def seeds_to_differ(pair: Pair) -> int | None:
    """Return the number of new scores from which on, in their order, a cell alone differs.

    None where it does not with all of them.  A difference seen once and lost again does not count.
    """
    least = None
    for count in range(len(pair.scores), 1, -1):
        first = Pair(pair.published, pair.scores[:count], pair.margin)
        if judge([first])[0].verdict != "differs":
            break
        least = count
    return least


def chance_to_tell(published: Sample, seeds: int, margin: float) -> float:
    """Return how likely a verdict is, before training: 0 to 1.

    It is the mean of two chances: that agreement is shown where the means are equal, and that a
    difference of twice the margin is found; new seeds are taken to spread as the published ones.
    """
    from scipy import special

    test = _welch(published, Sample(published.mean, published.std, seeds))
    if test is None:
        return 0.0
    if test.error == 0.0:
        return 1.0
    room = (margin - test.reach(1.0 - 2.0 * LEVEL)) / test.error
    equal = max(0.0, 2.0 * float(special.ndtr(room)) - 1.0)
    apart = float(special.ndtr((2.0 * margin - test.reach(1.0 - LEVEL)) / test.error))
    return (equal + apart) / 2.0


def _sample(scores: Sequence[float]) -> Sample:
    values = np.asarray(scores, dtype=np.float64)
    std = float(values.std(ddof=1)) if len(values) > 1 else None
    return Sample(float(values.mean()) if len(values) else math.nan, std, len(values))


def _welch(published: Sample, new: Sample) -> _Welch | None:
    """Return the difference with its error; None where a group shows none."""
    if published.lacking or new.lacking:
        return None
    parts = []
    for sample in (published, new):
        assert sample.std is not None
        assert sample.seeds is not None
        parts.append((sample.std**2 / sample.seeds, sample.seeds - 1))
    total = math.fsum(variance for variance, _ in parts)
    difference = new.mean - published.mean
    if total == 0.0:
        return _Welch(difference, 0.0, 1.0)
    shares = math.fsum(variance**2 / freedom for variance, freedom in parts)
    return _Welch(difference, math.sqrt(total), total**2 / shares)


def _tested(pair: Pair, test: _Welch, rejected: bool) -> Judgement:
    reach, inner = test.reach(1.0 - LEVEL), test.reach(1.0 - 2.0 * LEVEL)
    within = abs(test.difference) + inner < pair.margin
    verdict: Verdict = "too few seeds to tell"
    note = _failures(pair)
    if rejected and abs(test.difference) > pair.margin:
        verdict = "differs"
    elif within and not pair.failed:
        verdict = "agrees"
    elif within:
        note += "; the others' mean is within the margin"
    elif not rejected or abs(test.difference) <= pair.margin:
        note = "; ".join(filter(None, (note, _advice(pair))))
    low, high = test.difference - reach, test.difference + reach
    return Judgement(verdict, test.difference, pair.margin, low, high, test.p_value(), note)


def _untestable(pair: Pair) -> Judgement:
    new = _sample(pair.scores)
    difference = new.mean - pair.published.mean
    if not pair.scores and pair.failed:
        note = f"{_failures(pair)}: none of them gives what was published"
        return Judgement("differs", math.nan, pair.margin, note=note)
    reasons = []
    if pair.published.lacking:
        reasons.append(f"published with {pair.published.lacking}")
    if new.lacking:
        reasons.append("one new seed only" if pair.scores else "no new seed")
    reasons = [*filter(None, (_failures(pair),)), *reasons]
    told = "; ".join(reasons) + ": how far chance alone moves the difference cannot be told"
    return Judgement("too few seeds to tell", difference, pair.margin, note=told)


def _failures(pair: Pair) -> str:
    total = len(pair.scores) + pair.failed
    return f"{pair.failed} of {total} new seeds failed" if pair.failed else ""


def _advice(pair: Pair) -> str:
    """Return how many new seeds would show agreement if the means were equal."""
    spread = _sample(pair.scores).std
    found = _enough(pair.published, spread or 0.0, pair.margin)
    if found is None:
        error = float(pair.published.std or 0.0) / math.sqrt(pair.published.seeds or 1)
        return (
            f"no number of new seeds can show agreement: the {pair.published.seeds} published ones "
            f"leave a standard error of {error:.2g}"
        )
    if found <= len(pair.scores):
        return "the difference is too near the margin"
    return f"if the means are equal, about {found} new seeds would show it"


def _enough(published: Sample, std: float, margin: float) -> int | None:
    """Return the least number of new seeds whose 90% interval about 0 is within the margin."""

    def fits(seeds: int) -> bool:
        test = _welch(published, Sample(published.mean, std, seeds))
        return test is not None and test.reach(1.0 - 2.0 * LEVEL) < margin

    if not fits(MOST_SEEDS):
        return None
    low, high = 1, MOST_SEEDS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high
