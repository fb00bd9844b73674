"""Do new results agree with submitted ones?  A two-sample test and an equivalence test.

Per cell (a dataset), groups of returns are compared: the episodes of each policy where policies
were rolled out again, or the means of all seeds where new seeds were trained.

*Difference*: a permutation test within the groups on the mean difference, two-sided; p values of
all cells go through Holm's procedure at level 0.05.  A cell differs if it is rejected and its
difference is beyond the margin; also if its own Welch interval, at level 0.05 / cells, lies beyond
the margin, as few values have too few relabellings: of 5 against 5 the smallest p is 2/252, above
Holm's level for 7 cells.  *Equivalence*: two one-sided t tests at level 0.05 (Schuirmann 1987),
that is: the 90% interval of the mean difference over all cells, with Welch's degrees of freedom,
lies within the margin.  Results agree if they are equivalent, no cell differs, and none is blind: a
difference of 25 points would have been found in each, for one cell's is a small part of the mean.
Where neither can be shown, they are inconclusive.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

MARGIN = 5.0  # normalised points; percent of the largest submitted return where nothing normalises
CLEAR = 25.0  # points that no single cell may differ by unseen, where results are to agree
LEVEL = 0.05
PERMUTATIONS = 10_000
_CHUNK = 1_000  # permutations held at once
_MANY = 1_000  # values of a cell

Verdict = Literal["agrees", "differs", "inconclusive"]
Group = tuple[np.ndarray, np.ndarray]  # submitted (n,), new (m,)


@dataclass(frozen=True)
class CellAgreement:
    """One dataset: the mean difference new - submitted, its standard error, and the test."""

    dataset: str
    difference: float
    error: float
    freedom: float  # Welch's degrees of freedom
    p_value: float
    differs: bool


@dataclass(frozen=True)
class Agreement:
    """All cells, and the 90% interval of their mean difference."""

    verdict: Verdict
    low: float
    high: float
    cells: tuple[CellAgreement, ...]
    blind: tuple[str, ...] = ()  # datasets where a difference of `CLEAR` points can go unseen


def compare(cells: dict[str, Sequence[Group]], failed: bool = False) -> Agreement:
    """Return the agreement of cells, each a list of groups in comparable units (points).

    ``failed`` tells that new runs failed, so that agreement cannot be shown.
    """
    generator = np.random.default_rng(0)
    found = []
    for dataset, groups in sorted(cells.items()):
        difference, error, freedom = _welch(groups)
        p_value = permutation_p_value(groups, generator)
        found.append(CellAgreement(dataset, difference, error, freedom, p_value, False))
    rejected = holm([cell.p_value for cell in found])
    level = LEVEL / len(found)
    judged = []
    for cell, no in zip(found, rejected, strict=True):
        least = MARGIN if no else MARGIN + _reach(cell, level)
        judged.append(replace(cell, differs=abs(cell.difference) > least))
    low, high = _interval(judged)
    blind = tuple(
        cell.dataset for cell in judged if _seen_from(cell, cells[cell.dataset], level) > CLEAR
    )
    verdict: Verdict = "inconclusive"
    if any(cell.differs for cell in judged) or low > MARGIN or high < -MARGIN:
        verdict = "differs"
    elif low > -MARGIN and high < MARGIN and not failed and not blind:
        verdict = "agrees"
    return Agreement(verdict, low, high, tuple(judged), blind)


def foreseen(cells: dict[str, np.ndarray], count: int) -> Agreement:
    """Return what ``count`` new values per cell would show if they were as the submitted ones are.

    ``cells`` are means of seeds in points, at least two each; new values are given the same mean
    and deviation.
    """
    pattern = np.tile([-1.0, 1.0], count)[:count]
    pattern = (pattern - pattern.mean()) / pattern.std(ddof=1)
    return compare(
        {
            dataset: [(values, values.mean() + values.std(ddof=1) * pattern)]
            for dataset, values in cells.items()
        }
    )


def _reach(cell: CellAgreement, level: float) -> float:
    """Return half the width of a cell's own Welch interval, which errs with chance ``level``."""
    if cell.error == 0 or math.isinf(cell.error):
        return cell.error
    from scipy import special

    return float(special.stdtrit(cell.freedom, 1 - level / 2)) * cell.error


def _seen_from(cell: CellAgreement, groups: Sequence[Group], level: float) -> float:
    """Return the difference from which a cell is found to differ, by either test.

    Where a permutation test can reject at all, it does from about where Welch's interval leaves 0.
    """
    reach = _reach(cell, level)
    return max(MARGIN, reach) if _least_p_value(groups) <= level else MARGIN + reach


def _least_p_value(groups: Sequence[Group]) -> float:
    """Return the smallest p value of the permutation test: few values have few relabellings.

    Where all samples are of one size, swapping the two is as far apart as what was observed.
    """
    if sum(len(sample) for group in groups for sample in group) > _MANY:
        return 0.0
    return (1 + all(len(old) == len(new) for old, new in groups)) / _ways(groups)


def _ways(groups: Sequence[Group]) -> int:
    return math.prod(math.comb(len(old) + len(new), len(old)) for old, new in groups)


def permutation_p_value(groups: Sequence[Group], generator: np.random.Generator) -> float:
    """Return the two-sided p value of the mean difference under relabelling within each group.

    One group of few values is relabelled in all ways; with many values the permutation distribution
    is normal, with a variance known exactly.
    """
    observed = abs(_difference(groups))
    tolerance = 1e-12 * max(1.0, observed)  # rounding must not tell equal splits apart
    if len(groups) == 1 and _ways(groups) <= PERMUTATIONS:
        return float((_all_differences(*groups[0]) >= observed - tolerance).mean())
    if sum(len(sample) for group in groups for sample in group) > _MANY:
        return _normal_p_value(groups, observed)
    pools = [(np.concatenate(group), len(group[0])) for group in groups]
    hits = 0
    for _ in range(PERMUTATIONS // _CHUNK):
        total = np.zeros(_CHUNK)
        for pool, size in pools:
            shuffled = generator.permuted(np.tile(pool, (_CHUNK, 1)), axis=1)
            total += shuffled[:, size:].mean(axis=1) - shuffled[:, :size].mean(axis=1)
        hits += int((np.abs(total) / len(pools) >= observed - tolerance).sum())
    return (hits + 1) / (PERMUTATIONS + 1)


def _all_differences(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Return the absolute difference of means, (ways,), for every way to relabel one group."""
    pool = np.concatenate([old, new])
    chosen = np.array(list(itertools.combinations(range(len(pool)), len(old))))
    sums = pool[chosen].sum(axis=1)
    return np.abs((pool.sum() - sums) / len(new) - sums / len(old))


def _normal_p_value(groups: Sequence[Group], observed: float) -> float:
    variance = 0.0
    for submitted, new in groups:
        spread = float(np.concatenate([submitted, new]).var(ddof=1))
        variance += spread * (1 / len(submitted) + 1 / len(new)) / len(groups) ** 2
    return math.erfc(observed / math.sqrt(2 * variance)) if variance else 1.0


def _difference(groups: Sequence[Group]) -> float:
    return float(np.mean([new.mean() - submitted.mean() for submitted, new in groups]))


def _welch(groups: Sequence[Group]) -> tuple[float, float, float]:
    """Return mean difference, standard error and degrees of freedom; inf without a spread."""
    parts = []  # (variance of a mean, its degrees of freedom)
    for group in groups:
        for sample in group:
            variance = float(sample.var(ddof=1)) / len(sample) if len(sample) > 1 else math.inf
            parts.append((variance / len(groups) ** 2, len(sample) - 1))
    total = math.fsum(variance for variance, _ in parts)
    if total == 0 or math.isinf(total):
        return _difference(groups), math.sqrt(total), 1.0
    spread = math.fsum(variance**2 / freedom for variance, freedom in parts if variance)
    return _difference(groups), math.sqrt(total), total**2 / spread


def _interval(cells: Sequence[CellAgreement]) -> tuple[float, float]:
    centre = math.fsum(cell.difference for cell in cells) / len(cells)
    variance = math.fsum(cell.error**2 for cell in cells) / len(cells) ** 2
    if variance == 0:
        return centre, centre
    if math.isinf(variance):
        return -math.inf, math.inf
    from scipy import special

    shares = math.fsum((cell.error / len(cells)) ** 4 / cell.freedom for cell in cells)
    reach = float(special.stdtrit(variance**2 / shares, 1 - LEVEL)) * math.sqrt(variance)
    return centre - reach, centre + reach


def holm(p_values: Sequence[float]) -> list[bool]:
    """Return which null hypotheses Holm's procedure rejects, all together at `LEVEL`."""
    rejected = [False] * len(p_values)
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    for rank, place in enumerate(order):
        if p_values[place] > LEVEL / (len(p_values) - rank):
            break
        rejected[place] = True
    return rejected
