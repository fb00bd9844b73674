"""Versions of a run in the order of training, and what a record says of them."""

from __future__ import annotations

from datumrl.algorithms import registry, run_software

OLD, NEW = {"torch": "2.12", "numpy": "2.0"}, {"torch": "2.13", "numpy": "2.0"}


def test_a_span_begins_where_versions_change():
    spans = run_software.gone_on([], 0, OLD)
    assert spans == run_software.gone_on(spans, 50, OLD) == [[0, OLD]]
    assert run_software.change(spans) is None
    more = run_software.gone_on(spans, 50, NEW)
    assert more == [[0, OLD], [50, NEW]]
    assert run_software.change(more) == (
        "goes on from step 50 with other software: torch 2.13 (before: 2.12)"
    )
    assert run_software.gone_on(more, 50, OLD) == [[0, OLD]]  # nothing was done with the new ones


def test_a_record_tells_every_change():
    back = [[0, OLD], [50, NEW], [80, {**OLD, "revision": "2"}]]
    assert run_software.recorded(back) == {
        "torch": "2.12 (2.13 until step 80, 2.12 until step 50)",
        "numpy": "2.0",
        "revision": "2 (missing until step 80)",
    }
    assert run_software.recorded([[0, NEW]]) == NEW
    assert run_software.recorded([[25, NEW]])["torch"] == "2.13 (unknown until step 25)"


def test_what_becomes_of_rewards_is_said_in_words():
    for settings, words in (
        ({}, "none"),
        ({"reward_transform": "return-range"}, "return-range"),
        ({"reward_scale": 4.0, "reward_bias": -2.0}, "4 r - 2"),
        ({"reward_bias": 0.5}, "r + 0.5"),
        ({"reward_transform": "minus-one", "reward_scale": 0.1}, "minus-one, then 0.1 r"),
    ):
        configuration = registry.configuration(registry.resolve("cql", settings))
        assert registry.reward_transform(configuration) == words
