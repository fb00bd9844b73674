"""AdaStop decides rightly, holds its level, resumes exactly and refuses what cannot be."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest

from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import adastop, permutation_paths, stepdown
from datumrl.evaluation.adastop_design import Design, connected_sets, set_level

# Scores drawn at random and what adastop 0.1.3 of PyPI decided on them.  Two or three runs per
# interim, at most as many relabellings as B=10,000: the package lists them all and draws none.
RELEASED = Path(__file__).parent / "adastop_released.json"


def played(design: Design, draw) -> adastop.State:
    """Feed ``draw(algorithm, interim)`` until everything is decided."""
    state = adastop.start(design)
    while not state.finished:
        interim = len(state.blocks)
        state = adastop.update(state, {name: draw(name, interim) for name in state.wanted})
    return state


def test_the_compatibility_mode_decides_as_the_released_package() -> None:
    cases = json.loads(RELEASED.read_text(encoding="utf-8"))
    assert len(cases) == 42
    for case in cases:
        names = tuple(f"a{place}" for place in range(len(case["scores"][0])))
        design = Design(names, case["runs"], case["interims"], case["alpha"], procedure="released")
        state = played(design, lambda name, interim, c=case: c["scores"][interim][int(name[1:])])
        assert [c.decision for c in state.comparisons] == case["decisions"]
        assert len(state.blocks) == case["interims_used"]


def false_rejections(design: dict, draw, replications: int) -> int:
    count = 0
    for seed in range(replications):
        generator = np.random.default_rng([7, seed])
        state = played(
            Design(**design, seed=seed), lambda name, _, g=generator: draw(g, name).tolist()
        )
        count += any(c.decision != "equal" and c.first[0] == c.second[0] for c in state.comparisons)
    return count


@pytest.mark.parametrize(
    "draw",
    [
        lambda g, name: g.normal(size=4),
        lambda g, name: g.lognormal(size=4),
        lambda g, name: g.integers(0, 3, size=4).astype(float),
    ],
    ids=["normal", "skewed", "discrete"],
)
def test_the_family_wise_error_is_within_the_level_when_all_are_alike(draw) -> None:
    replications, alpha = 300, 0.2
    design = {
        "algorithms": ("a1", "a2", "a3"),
        "runs": 4,
        "interims": 2,
        "alpha": alpha,
        "permutations": 200,
    }
    count = false_rejections(design, draw, replications)
    # Three standard errors above the level: met by chance once in a thousand.
    assert count <= alpha * replications + 3 * math.sqrt(alpha * (1 - alpha) * replications)
    assert count >= 0.02 * replications  # and it is no test that never rejects


def test_the_family_wise_error_is_within_the_level_when_some_differ() -> None:
    """Two pairs are alike (names share a letter), the pairs differ by far and in spread."""

    def draw(generator: np.random.Generator, name: str) -> np.ndarray:
        return generator.normal(size=5) * (10.0 if name[0] == "b" else 1.0) + 100.0 * (
            name[0] == "b"
        )

    replications, alpha = 200, 0.2
    design = {
        "algorithms": ("a1", "a2", "b1", "b2"),
        "runs": 5,
        "interims": 2,
        "alpha": alpha,
        "permutations": 200,
    }
    count = false_rejections(design, draw, replications)
    assert count <= alpha * replications + 3 * math.sqrt(alpha * (1 - alpha) * replications)


def test_a_big_shift_is_found_with_few_runs() -> None:
    found = used = 0
    for seed in range(40):
        generator = np.random.default_rng(seed)
        state = played(
            Design(("a", "b", "c"), permutations=500, seed=seed),
            lambda name, _, g=generator: (g.normal(size=5) + 3.0 * (name == "c")).tolist(),
        )
        decisions = {(c.first, c.second): c.decision for c in state.comparisons}
        found += decisions["a", "c"] == decisions["b", "c"] == "smaller"
        used += sum(state.runs_used.values())
    assert found >= 39
    assert used < 40 * 75


def test_the_released_rule_rejects_a_true_null_about_twice_as_often() -> None:
    counts = {}
    for procedure in ("released", "independent"):
        design = {
            "algorithms": ("a1", "a2"),
            "interims": 1,
            "alpha": 0.2,
            "permutations": 200,
            "procedure": procedure,
        }
        counts[procedure] = false_rejections(design, lambda g, name: g.normal(size=5), 400)
    assert counts["independent"] <= 0.2 * 400 + 3 * math.sqrt(0.16 * 400)
    assert counts["released"] >= 0.3 * 400


def test_a_fixed_comparison_equals_the_exact_permutation_test() -> None:
    """One interim of two algorithms, every relabelling listed: an oracle that counts p-values."""
    generator = np.random.default_rng(0)
    verdicts = set()
    for _ in range(40):
        a, b = generator.normal(size=4), generator.normal(size=4) + 1.5
        pool = np.concatenate([a, b])
        sums = [pool[list(rows)].sum() for rows in itertools.combinations(range(8), 4)]
        extreme = abs(a.sum() - pool.sum() / 2) - 1e-12
        p = np.mean([abs(value - pool.sum() / 2) >= extreme for value in sums])
        for statistic in ("studentized", "difference"):
            design = Design(("a", "b"), runs=4, interims=1, permutations=70, statistic=statistic)
            state = adastop.update(adastop.start(design), {"a": a, "b": b})
            assert (state.comparisons[0].decision != "equal") == (p <= 0.05)
        verdicts.add(bool(p <= 0.05))
    assert verdicts == {True, False}


def test_ties_are_counted_together() -> None:
    values = np.array([3.0, 3.0, 3.0, 1.0, 0.0])
    assert permutation_paths.boundary(values, 2) == 3.0  # no two of three equal ones may go
    assert permutation_paths.boundary(values, 3) == 1.0
    assert permutation_paths.boundary(values, 0) == math.inf
    constant = Design(("a", "b"), permutations=200)
    state = played(constant, lambda name, interim: [1.0] * 5)
    assert [c.decision for c in state.comparisons] == ["equal"]
    # Two constants differ as clearly as scores can.
    state = played(constant, lambda name, interim: [float(name == "a")] * 5)
    assert [c.decision for c in state.comparisons] == ["larger"]


def test_every_relabelling_is_listed_once_and_the_observed_one_first() -> None:
    rows = permutation_paths.enumerated(3, 2)
    assert len({tuple(row) for row in rows.tolist()}) == len(rows) == 90
    assert rows[0].tolist() == [0, 0, 1, 1, 2, 2]
    listed = permutation_paths.labels(2, 2, blocks=2, paths=36, interims=2, seed=0)
    assert len({tuple(path) for path in listed.transpose(1, 0, 2).reshape(36, -1).tolist()}) == 36
    random = permutation_paths.labels(2, 2, blocks=2, paths=35, interims=2, seed=0)
    assert random[:, 0].tolist() == [[0, 0, 1, 1]] * 2
    assert (random.sum(axis=2) == 2).all()


@pytest.mark.parametrize("procedure", ["closed", *stepdown.PROCEDURES])
def test_stopping_and_resuming_gives_the_same_decisions(procedure: str, tmp_path: Path) -> None:
    design = Design(("a", "b", "c"), procedure=procedure, permutations=400, seed=3)

    def draw(name: str, interim: int) -> list[float]:
        generator = np.random.default_rng([ord(name), interim])
        return (generator.normal(size=5) + (name == "c") * 1.2).tolist()

    whole = played(design, draw)
    state = adastop.start(design)
    path = tmp_path / "state.json"
    while not state.finished:
        interim = len(state.blocks)
        block = {name: draw(name, interim) for name in state.wanted}
        before = json.dumps(adastop.to_json(state))
        after = adastop.update(state, block)
        assert json.dumps(adastop.to_json(state)) == before, "update changed its argument"
        adastop.save(path, after)
        state = adastop.load(path)
        assert state == after
    assert state == whole


def test_against_first_tests_only_those_at_the_full_level() -> None:
    design = Design(("new", "a", "b", "c"), comparisons="against-first")
    assert design.pairs == (("new", "a"), ("new", "b"), ("new", "c"))
    sets = connected_sets(design.edges)
    assert len(sets) == 7
    assert all(0 in members for members in sets)
    assert {set_level(design, members) for members in sets} == {0.05}


def test_levels_of_disjoint_sets_add_up_to_no_more_than_alpha() -> None:
    design = Design(tuple("abcdef"), comparisons="all-pairs")
    sets = connected_sets(design.edges)
    assert len(sets) == 2**6 - 7
    for one, other in itertools.combinations(sets, 2):
        if not one & other:
            assert set_level(design, one) + set_level(design, other) <= 0.05 + 1e-12


def test_a_family_over_datasets_gives_each_its_share_of_the_level() -> None:
    """Nine datasets of three algorithms: every set is tested as those of three, at a ninth."""
    names = [f"{algorithm}@{data}" for data in range(9) for algorithm in "abc"]
    pairs = [pair for pair in itertools.combinations(names, 2) if pair[0][2:] == pair[1][2:]]
    design = Design(tuple(names), comparisons=tuple(pairs))
    sets = connected_sets(design.edges)
    assert len(sets) == 9 * 4
    assert [set_level(design, members) for members in sets] == pytest.approx([0.05 / 9] * 36)


def all_alike_in_parts(design: Design, kinds: tuple[int, ...]) -> list[frozenset[int]]:
    """Return the largest sets that comparisons between algorithms of a kind connect."""
    null = tuple(edge for edge in design.edges if kinds[edge[0]] == kinds[edge[1]])
    sets = connected_sets(null) if null else ()
    return [each for each in sets if not any(each < other for other in sets)]


@pytest.mark.parametrize(
    "edges",
    ["01 12 02 34 35 45", "01 02 03 45", "01 12 23 34 45", "01 12 20 23 34 45 53", "01 23 45"],
)
def test_whatever_is_alike_the_levels_add_up_to_no_more_than_alpha(edges: str) -> None:
    """Every way in which six algorithms can be alike, by comparisons in one to three parts."""
    pairs = tuple((edge[0], edge[1]) for edge in edges.split())
    design = Design(tuple("012345"), comparisons=pairs)
    largest = 0.0
    for kinds in itertools.product(range(3), repeat=6):
        used = sum(set_level(design, each) for each in all_alike_in_parts(design, kinds))
        assert used <= 0.05 + 1e-12
        largest = max(largest, used)
    assert largest == pytest.approx(0.05)  # and none is given away


def test_the_error_of_a_family_is_within_the_level_when_all_are_alike() -> None:
    """Two datasets of three algorithms that are alike there, far apart between datasets."""
    names = tuple(f"{data}{algorithm}" for data in "xy" for algorithm in "123")
    design = {
        "algorithms": names,
        "comparisons": tuple(p for p in itertools.combinations(names, 2) if p[0][0] == p[1][0]),
        "runs": 5,
        "interims": 1,
        "alpha": 0.2,
        "permutations": 200,
    }
    replications = 300
    count = false_rejections(
        design, lambda g, name: g.normal(size=5) + 50.0 * (name[0] == "y"), replications
    )
    assert 0.08 * replications <= count <= 0.2 * replications + 3 * math.sqrt(0.16 * replications)


def test_all_pairs_of_ten_are_decided_in_seconds() -> None:
    design = Design(tuple(f"a{place}" for place in range(10)), permutations=2_000)
    assert len(connected_sets(design.edges)) == 1_013
    generator = np.random.default_rng(0)
    state = played(
        design, lambda name, _: (generator.normal(size=5) + 4.0 * int(name[1]) // 5).tolist()
    )
    for comparison in state.comparisons:
        if int(comparison.first[1]) + 3 < int(comparison.second[1]):
            assert comparison.decision == "smaller"


def test_a_family_over_datasets_is_a_list_of_comparisons() -> None:
    names = tuple(f"{algorithm}@{data}" for data in "xy" for algorithm in ("iql", "bc"))
    design = Design(
        names, comparisons=(("iql@x", "bc@x"), ("iql@y", "bc@y")), permutations=1_000, interims=2
    )
    generator = np.random.default_rng(0)
    state = played(
        design, lambda name, _: (generator.normal(size=5) + 9.0 * (name == "iql@x")).tolist()
    )
    assert [c.decision for c in state.comparisons] == ["larger", "equal"]
    assert state.runs_used["iql@y"] == state.runs_used["bc@y"] == 10
    assert state.runs_used["iql@x"] == state.runs_used["bc@x"] <= 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"runs": 3, "interims": 1}, r"3 runs can never reject .*: use at least 4 runs$"),
        ({"runs": 2, "interims": 2}, "2 runs x 2 interims can never reject.*runs per interim"),
        ({"permutations": 19}, "19 permutations can never reject.*at least 20"),
        ({"algorithms": ("a", "a")}, "two or more different"),
        ({"alpha": 0.0}, "alpha 0.0"),
        ({"comparisons": (("a", "z"),)}, "two different names of a, b"),
        ({"comparisons": "some"}, "comparisons 'some'"),
        ({"procedure": "magic"}, "'magic' is none of closed"),
        ({"interims": 0}, "0 interims"),
        ({"runs": 10**9}, "1,000,000,000 runs: give at most 1,000,000"),
        ({"alpha": 1e-300}, "alpha 1e-300"),
        ({"seed": -1}, "seed -1"),
        ({"algorithms": tuple(map(str, range(13)))}, "connect 13 algorithms, more than 12"),
        ({"algorithms": tuple(map(str, range(60)))}, "connect 60 algorithms, more than 12"),
    ],
)
def test_designs_that_cannot_be_are_refused(change: dict, message: str) -> None:
    with pytest.raises(DatumrlError, match=message):
        Design(**{"algorithms": ("a", "b"), **change})


@pytest.mark.parametrize("interims", [1, 2, 3, 5])
def test_a_design_is_refused_exactly_if_its_relabellings_are_too_few(interims: int) -> None:
    for runs in range(1, 6):
        paths = math.comb(2 * runs, runs) ** interims
        for alpha in (2 / paths, 1.9 / paths):
            if not 1e-4 < alpha < 1:  # fewer than the permutations of a design tell apart
                continue
            if paths * alpha >= 2 - 1e-9:
                Design(("a", "b"), runs, interims, alpha)
            else:
                with pytest.raises(DatumrlError, match="can never reject"):
                    Design(("a", "b"), runs, interims, alpha)


def test_a_design_of_very_many_runs_is_checked_at_once() -> None:
    assert Design(("a", "b"), runs=1_000_000, interims=1000).runs == 1_000_000


def test_the_number_of_runs_that_a_refusal_names_is_enough() -> None:
    design = Design(("a", "b"), runs=4, interims=1)
    state = adastop.update(adastop.start(design), {"a": range(4), "b": range(10, 14)})
    assert state.comparisons[0].decision == "smaller"


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({"a": [0.0] * 5}, "needs exactly those of a, b"),
        ({"a": [0.0] * 4, "b": [0.0] * 5}, "a: 4 scores"),
        ({"a": [math.nan] * 5, "b": [0.0] * 5}, "not finite"),
        ({"a": [1e200] * 5, "b": [0.0] * 5}, r"beyond 1e\+100"),
        ({"a": [[0.0, 1.0]] * 5, "b": [0.0] * 5}, "a: give a list of numbers"),
        ({"a": ["1"] * 5, "b": [0.0] * 5}, "a: give a list of numbers"),
    ],
)
def test_scores_that_do_not_fit_are_refused(scores: dict, message: str) -> None:
    with pytest.raises(DatumrlError, match=message):
        adastop.update(adastop.start(Design(("a", "b"))), scores)


def test_a_damaged_state_is_refused() -> None:
    state = adastop.update(adastop.start(Design(("a", "b"))), {"a": range(5), "b": range(5)})
    good = adastop.to_json(state)
    assert adastop.from_json(json.loads(json.dumps(good))) == state
    for change in (
        {"schema": "datumrl-adastop/0"},
        {"extra": 1},
        {"blocks": [{"a": [1.0] * 5}]},
        {"blocks": good["blocks"] * 6},
        {"design": {**good["design"], "algorithms": "ab"}},
        {"comparisons": [{**good["comparisons"][0], "decision": "equal", "interim": 1}]},
        {"comparisons": [{**good["comparisons"][0], "decision": "larger", "interim": 0}]},
        {"comparisons": []},
        {"design": {**good["design"], "surprise": 1}},
        {"comparisons": [{**good["comparisons"][0], "decision": "larger", "interim": 3}]},
        {"comparisons": [{**good["comparisons"][0], "decision": "better", "interim": 1}]},
    ):
        with pytest.raises(DatumrlError):
            adastop.from_json({**good, **change})
