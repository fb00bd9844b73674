"""What the study of AdaStop simulates: the designs, the truths, the scores and the decisions.

A *cell* is one design under one truth.  Which algorithms are alike is known, so that every decision
is known to be right or wrong.
"""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
from scipy import stats

from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import adastop, permutation_paths, stepdown
from datumrl.evaluation.adastop_design import Design

DISTRIBUTIONS = ("normal", "skewed", "heavy", "discrete")
FIXED = ("permutation-holm", "welch-holm")  # one test of all runs, each pair, Holm's step-down
SEQUENTIAL_RULES = ("independent", "shared", "joint", "released")
_BATCH = 1_000  # replications whose scores are drawn at once


@dataclass(frozen=True)
class Cell:
    """One design under one truth."""

    truth: str
    procedure: str
    statistic: str
    distribution: str
    algorithms: int
    runs: int
    interims: int
    alpha: float = 0.05
    permutations: int = 1_000

    @property
    def name(self) -> str:
        """Return what tells this cell from all others."""
        return " ".join(str(value) for value in asdict(self).values())

    @property
    def promised(self) -> bool:
        """Return whether the level is promised: the closed procedure, nulls of equal scores."""
        return self.procedure == "closed" and self.truth not in ("spread", "shift", "ladder")

    @property
    def about_power(self) -> bool:
        """Return whether the cell is about what is found rather than about the level."""
        return self.truth in ("shift", "ladder")

    def design(self, seed: int = 0) -> Design:
        """Return the design; raises ``DatumrlError`` for one that can never reject."""
        return Design(
            tuple(f"a{place}" for place in range(self.algorithms)),
            self.runs,
            self.interims,
            self.alpha,
            permutations=self.permutations,
            procedure="closed" if self.procedure in FIXED else self.procedure,
            statistic=self.statistic,
            seed=seed,
        )

    @property
    def refusal(self) -> str:
        """Return why the design is refused, or nothing."""
        try:
            self.design()
        except DatumrlError as problem:
            return str(problem)
        return ""


def cells() -> Iterator[Cell]:
    """Yield the study: the level of the default, then power, then the other procedures."""
    yield from _complete()
    yield from _partial()
    yield from _published()
    yield from _power()


def _complete() -> Iterator[Cell]:
    for count, runs, interims, distribution in itertools.product(
        (2, 3, 5), (3, 5, 10), (1, 3, 5), DISTRIBUTIONS
    ):
        yield Cell("complete", "closed", "studentized", distribution, count, runs, interims)
    for interims, distribution in itertools.product((1, 5), DISTRIBUTIONS):
        yield Cell("complete", "closed", "studentized", distribution, 10, 5, interims)
    for count, interims in itertools.product((2, 3, 5), (1, 5)):
        yield Cell("complete", "closed", "difference", "normal", count, 5, interims)


def _partial() -> Iterator[Cell]:
    for truth, distribution in itertools.product(("2+1", "2+2", "3+2", "3+1+1"), DISTRIBUTIONS):
        count = sum(map(int, truth.split("+")))
        yield Cell(f"far {truth}", "closed", "studentized", distribution, count, 5, 5)
    for truth in ("2+1", "2+2", "3+2", "3+1+1"):
        count = sum(map(int, truth.split("+")))
        yield Cell(f"near {truth}", "closed", "studentized", "normal", count, 5, 5)
        yield Cell(f"far {truth}", "closed", "studentized", "normal", count, 5, 1)
        yield Cell(f"far {truth}", "closed", "difference", "normal", count, 5, 5)
    for statistic in ("studentized", "difference"):
        yield Cell("alike 3 of spread 1", "closed", statistic, "normal", 5, 5, 5)
    for count, interims, statistic in itertools.product(
        (2, 3, 5), (1, 5), ("studentized", "difference")
    ):
        yield Cell("spread", "closed", statistic, "normal", count, 5, interims)


def _published() -> Iterator[Cell]:
    for count, procedure in itertools.product((2, 3, 5, 10), ("closed", *SEQUENTIAL_RULES)):
        yield Cell("complete", procedure, "difference", "normal", count, 5, 5, alpha=0.1)
    for procedure, distribution in itertools.product(
        ("shared", "independent", "joint"), DISTRIBUTIONS[1:]
    ):
        yield Cell("complete", procedure, "difference", distribution, 5, 5, 5, alpha=0.1)
    for count, procedure in itertools.product((2, 3, 5), SEQUENTIAL_RULES):
        yield Cell("complete", procedure, "difference", "normal", count, 5, 5)
    truths = ("far 3+2", "far 3+1+1", "near 3+2", "alike 3 of spread 1")
    for truth, procedure in itertools.product(truths, ("shared", "independent", "joint")):
        yield Cell(truth, procedure, "difference", "normal", 5, 5, 5)


def _power() -> Iterator[Cell]:
    settings = [("shift", count, "normal") for count in (2, 3, 5)]
    settings += [("shift", 3, "skewed"), ("shift", 3, "heavy"), ("shift", 3, "discrete")]
    settings += [("ladder", 5, "normal")]
    for truth, count, distribution in settings:
        for procedure, statistic, runs, interims in (
            ("closed", "studentized", 5, 5),
            ("closed", "difference", 5, 5),
            ("independent", "difference", 5, 5),
            ("shared", "difference", 5, 5),
            ("closed", "studentized", 25, 1),
            ("permutation-holm", "difference", 25, 1),
            ("welch-holm", "studentized", 25, 1),
        ):
            yield Cell(truth, procedure, statistic, distribution, count, runs, interims)


def draw(distribution: str, generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return scores of mean 0 and standard deviation 1 (heavy tails have none: of scale 1)."""
    if distribution == "normal":
        return generator.normal(size=shape)
    if distribution == "skewed":
        spread = math.sqrt((math.e - 1.0) * math.e)
        return (generator.lognormal(size=shape) - math.sqrt(math.e)) / spread
    if distribution == "heavy":
        return generator.standard_t(2, size=shape)
    # Goals reached in five episodes, each with probability 0.7: six values, many ties.
    return (generator.binomial(5, 0.7, size=shape) - 3.5) / math.sqrt(5 * 0.7 * 0.3)


def moments(cell: Cell) -> np.ndarray:
    """Return each algorithm's mean and spread, ``(algorithms, 2)``."""
    count = cell.algorithms
    out = np.tile([0.0, 1.0], (count, 1))
    kind, _, sizes = cell.truth.partition(" ")
    if kind in ("far", "near"):
        groups = np.repeat(np.arange(sizes.count("+") + 1), [int(s) for s in sizes.split("+")])
        out[:, 0] = groups * (6.0 if kind == "far" else 1.5)
    elif kind == "alike":  # equal means; only equal spreads make a true null
        out[3:, 1] = 5.0
    elif kind == "spread":  # equal means count as true nulls, though the scores differ
        out[count // 2 :, 1] = 5.0
    elif kind == "shift":
        out[-1, 0] = 1.0
    elif kind == "ladder":
        out[:, 0] = np.arange(count) * 0.75
    return out


def nulls(cell: Cell) -> np.ndarray:
    """Return which pairs are true nulls, in the order of ``itertools.combinations``."""
    values = moments(cell)
    if cell.truth == "spread":
        values = values[:, :1]
    return np.array([np.array_equal(a, b) for a, b in itertools.combinations(values, 2)])


def score_batches(cell: Cell, first: int, replications: int) -> Iterator[np.ndarray]:
    """Yield scores ``(replications, interims, algorithms, runs)``, batch by batch."""
    means, spreads = moments(cell).T[:, :, None]
    for batch in range(first, first + math.ceil(replications / _BATCH)):
        generator = np.random.default_rng([zlib.crc32(cell.name.encode()), batch])
        size = min(_BATCH, replications - (batch - first) * _BATCH)
        shape = (size, cell.interims, cell.algorithms, cell.runs)
        yield means + spreads * draw(cell.distribution, generator, shape)


def decisions(cell: Cell, scores: np.ndarray, seed: int) -> tuple[np.ndarray, int]:
    """Return the sign of each pair's decision, ``(pairs,)``, 0 for equal, and the runs used."""
    design = cell.design(seed)
    if not anything_is_decided(design, scores):
        return np.zeros(len(design.pairs), dtype=int), scores.size
    return played(design, scores)


def played(design: Design, scores: np.ndarray) -> tuple[np.ndarray, int]:
    """Return what ``decisions`` does, by the whole sequential comparison."""
    state = adastop.start(design)
    while not state.finished:
        block = dict(zip(design.algorithms, scores[len(state.blocks)].tolist(), strict=True))
        state = adastop.update(state, {name: block[name] for name in state.wanted})
    sign = {"larger": 1, "smaller": -1, "equal": 0}
    found = np.array([sign[c.decision] for c in state.comparisons])
    return found, sum(state.runs_used.values())


def anything_is_decided(design: Design, scores: np.ndarray) -> bool:
    """Return whether any interim may decide anything; much faster than ``played``.

    The closed procedure decides nothing before it rejects the set of all algorithms, and until
    then no algorithm stops.
    """
    if design.procedure != "closed":
        found = stepdown.interims(design, scores, [0] * len(design.pairs))
        return any(interim.any() for interim in found)
    count = len(design.algorithms)
    labels = permutation_paths.labels(
        count, design.runs, len(scores), design.permutations, design.interims, design.seed
    )
    compared = np.ones((1, len(design.pairs)), dtype=bool)
    values = permutation_paths.largest_statistics(
        scores[None], compared, labels, design.statistic == "studentized"
    )
    return bool(permutation_paths.first_rejections(values, [design.alpha], design.interims)[0])


def fixed_decisions(cell: Cell, scores: np.ndarray, seed: int) -> tuple[np.ndarray, int]:
    """Return what ``decisions`` does, for one test of each pair on all runs, stepped down."""
    pairs = np.array(list(itertools.combinations(range(cell.algorithms), 2)))
    values = scores[0]
    first, second = values[pairs[:, 0]], values[pairs[:, 1]]
    if cell.procedure == "welch-holm":
        p = stats.ttest_ind(first, second, axis=1, equal_var=False).pvalue
    else:
        labels = permutation_paths.labels(2, cell.runs, 1, cell.permutations, 1, seed)
        statistics = permutation_paths.largest_statistics(
            values[pairs][:, None],
            np.ones((len(pairs), 1), dtype=bool),
            labels,
            cell.statistic == "studentized",
        )[:, 0]
        p = (statistics >= statistics[:, :1] * (1.0 - 1e-9)).mean(axis=1)
    return holm(p, cell.alpha) * np.sign(first.sum(axis=1) - second.sum(axis=1)), scores.size


def holm(p: np.ndarray, alpha: float) -> np.ndarray:
    """Return which hypotheses Holm's step-down rejects."""
    order = np.argsort(p)
    passed = p[order] <= alpha / np.arange(len(p), 0, -1)
    out = np.zeros(len(p), dtype=bool)
    out[order[: len(p) if passed.all() else int(np.argmin(passed))]] = True
    return out
