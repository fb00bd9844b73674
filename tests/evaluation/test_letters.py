"""Letters say exactly what was not separated."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation.letters import compact


def split(shown: str) -> set[str]:
    return set(re.findall(r"[a-z]\d*", shown))


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 8), st.randoms(use_true_random=False))
def test_two_names_share_a_letter_exactly_if_they_are_not_separated(count, random) -> None:
    names = [f"n{place}" for place in range(count)]
    pairs = list(itertools.combinations(names, 2))
    apart = [pair for pair in pairs if random.random() < 0.5]
    found = {name: split(shown) for name, shown in compact(names, apart).items()}
    assert all(found.values())
    for pair in pairs:
        assert bool(found[pair[0]] & found[pair[1]]) == (pair not in apart)


@settings(max_examples=100, deadline=None)
@given(st.integers(2, 6), st.randoms(use_true_random=False))
def test_no_letter_can_be_left_out(count, random) -> None:
    names = [f"n{place}" for place in range(count)]
    apart = [p for p in itertools.combinations(names, 2) if random.random() < 0.5]
    found = {name: split(shown) for name, shown in compact(names, apart).items()}
    for letter in set.union(*found.values()):
        less = {name: letters - {letter} for name, letters in found.items()}
        lost = [
            pair
            for pair in itertools.combinations_with_replacement(names, 2)
            if found[pair[0]] & found[pair[1]] and not less[pair[0]] & less[pair[1]]
        ]
        assert lost, f"{letter} of {found} shows nothing"


def test_a_chain_of_overlapping_groups() -> None:
    names = ["best", "good", "fair", "poor"]
    apart = [("best", "fair"), ("best", "poor"), ("good", "poor")]
    assert compact(names, apart) == {"best": "a", "good": "ab", "fair": "bc", "poor": "c"}


def test_all_apart_and_all_alike() -> None:
    names = ["x", "y", "z"]
    assert compact(names, itertools.combinations(names, 2)) == {"x": "a", "y": "b", "z": "c"}
    assert compact(names, []) == dict.fromkeys(names, "a")
    assert compact([], []) == {}


def test_letters_beyond_z_stay_apart_when_joined() -> None:
    names = [str(place) for place in range(30)]
    found = compact(names, itertools.combinations(names, 2))
    assert found["25"] == "z"
    assert found["26"] == "a1"
    assert len({frozenset(split(shown)) for shown in found.values()}) == 30


def test_unknown_and_repeated_names_are_refused() -> None:
    with pytest.raises(DatumrlError, match="once"):
        compact(["x", "x"], [])
    with pytest.raises(DatumrlError, match="two different names"):
        compact(["x", "y"], [("x", "z")])


def test_time_does_not_explode_for_many_names() -> None:
    rng = np.random.default_rng(0)
    place = np.sort(rng.normal(size=30))
    names = [str(n) for n in range(30)]
    apart = [(a, b) for a, b in itertools.combinations(names, 2)
             if place[int(b)] - place[int(a)] > 0.5]  # fmt: skip
    found = compact(names, apart)
    assert bool(split(found["0"]) & split(found["29"])) == (("0", "29") not in apart)
