"""The published step-down lists every path where it can, so that no seed decides a tiny design."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest

from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import adastop, stepdown
from datumrl.evaluation.adastop_design import Design

DRAWN = ("shared", "independent", "joint")


def decided(design: Design, *blocks: dict[str, np.ndarray]) -> tuple[str, ...]:
    state = adastop.start(design)
    for block in blocks:
        if not state.finished:
            wanted = {name: block[name].tolist() for name in state.wanted}
            state = adastop.update(state, wanted)
    return tuple(comparison.decision for comparison in state.comparisons)


def random_block(generator: np.random.Generator, names: str, runs: int, apart: float) -> dict:
    return {name: generator.normal(apart * place, 1, runs) for place, name in enumerate(names)}


@pytest.mark.parametrize("procedure", DRAWN)
def test_scores_that_do_not_overlap_are_told_apart_whatever_the_seed(procedure: str) -> None:
    block = {"a": np.array([1.0, 2.0, 3.0]), "b": np.array([11.0, 12.5, 13.1])}
    designs = [
        Design(("a", "b"), 3, 1, alpha=0.1, procedure=procedure, seed=seed) for seed in range(60)
    ]
    assert {decided(design, block) for design in designs} == {("smaller",)}


@pytest.mark.parametrize("procedure", DRAWN)
@pytest.mark.parametrize(
    ("names", "runs", "interims"), [("ab", 2, 3), ("abc", 2, 2), ("abc", 3, 1)]
)
def test_no_seed_decides_a_listed_design(
    procedure: str, names: str, runs: int, interims: int
) -> None:
    if (procedure, names, interims) == ("independent", "abc", 2):
        return  # 6^6 paths are not listed
    seen = set()
    for trial in range(8):
        generator = np.random.default_rng(trial)
        blocks = [random_block(generator, names, runs, 1.5) for _ in range(interims)]
        found = set()
        for seed in range(4):
            design = Design(tuple(names), runs, interims, alpha=0.3, procedure=procedure, seed=seed)
            assert stepdown.lists_all(design)
            found.add(decided(design, *blocks))
        assert len(found) == 1
        seen |= found
    assert len(seen) > 1


@pytest.mark.parametrize("procedure", DRAWN)
def test_one_listed_comparison_is_the_exact_permutation_test(procedure: str) -> None:
    generator = np.random.default_rng(0)
    verdicts = set()
    for _ in range(30):
        block = random_block(generator, "ab", 4, 1.5)
        pool = np.concatenate(list(block.values()))
        sums = np.array([pool[list(rows)].sum() for rows in itertools.combinations(range(8), 4)])
        sizes = np.abs(sums - pool.sum() / 2)
        p = np.mean(sizes >= sizes[0] - 1e-12)
        found = decided(Design(("a", "b"), 4, 1, procedure=procedure), block)
        assert (found != ("equal",)) == (p <= 0.05)
        verdicts.add(bool(p <= 0.05))
    assert verdicts == {True, False}


@pytest.mark.parametrize(("procedure", "times"), [("shared", 1), ("independent", 3), ("joint", 1)])
def test_every_path_is_listed_once_and_the_observed_one_first(procedure: str, times: int) -> None:
    design = Design(tuple("abc"), 2, 1, alpha=0.5, procedure=procedure)
    paths = 90 if procedure == "joint" else 6**times
    index = [stepdown._listed(design, 0, own) for own in range(times)]
    assert len(set(zip(*map(np.ndarray.tolist, index), strict=True))) == paths
    assert {int(each[0]) for each in index} == {0}
    counts = Counter((index[0] % 6).tolist())  # of two groups, once the third has stopped
    assert set(counts.values()) == {paths // 6}


def test_what_cannot_be_listed_needs_a_margin() -> None:
    """Of a comparison's 20 relabellings two are extreme: of 10,000 drawn 1,000 or so may be."""
    four = {"algorithms": tuple("abcd"), "runs": 3, "interims": 1, "procedure": "independent"}
    assert not stepdown.lists_all(Design(**four, alpha=0.2))
    with pytest.raises(
        DatumrlError, match=r"3 runs: 10000 random .* by their seed; use at least 4"
    ):
        Design(**four, alpha=0.1)
    with pytest.raises(DatumrlError, match=r"at least 4 runs$"):
        Design(**four, alpha=0.105)
    Design(**four, alpha=0.12)
    Design(**{**four, "runs": 4}, alpha=0.1)
    with pytest.raises(DatumrlError, match=r"5 runs: 40 random relabellings decide at alpha 0\.05"):
        Design(("a", "b"), 5, 1, permutations=40)  # the default procedure, told to draw so few
    Design(("a", "b"), 5, 1, permutations=math.comb(10, 5))


def test_a_design_that_is_accepted_is_decided_by_all_seeds() -> None:
    generator = np.random.default_rng(0)
    block = random_block(generator, "abcd", 3, 100.0)
    for seed in range(6):
        design = Design(tuple("abcd"), 3, 1, alpha=0.12, procedure="independent", seed=seed)
        assert set(decided(design, block)) == {"smaller"}
