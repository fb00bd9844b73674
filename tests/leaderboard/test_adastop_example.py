"""The published AdaStop example is decided as printed, and at its level."""

from __future__ import annotations

import dataclasses

from datumrl.leaderboard import adastop_example


def test_the_compatibility_mode_gives_the_printed_decisions_and_ours_all_but_the_closest() -> None:
    example = adastop_example.decide()
    assert len(example.rows) == 6
    for row in example.rows:
        assert row.released == row.printed
        closest = (row.first, row.second) == ("DDPG", "TRPO")
        assert row.closed == ("equal" if closest else row.printed)
    used = {"PPO": 10, "DDPG": 25, "SAC": 10, "TRPO": 25}
    assert example.runs_used == {"closed": used, "released": used}


def test_the_printed_means_are_those_of_the_scores_used() -> None:
    """The tutorial stopped after interim 5; its file holds a sixth."""
    pooled: dict[str, list[float]] = {}
    for interim in adastop_example.scores_by_interim()[:5]:
        for algorithm, scores in interim.items():
            pooled.setdefault(algorithm, []).extend(scores)
    for row in adastop_example.decide().rows:
        for algorithm, mean in ((row.first, row.mean_first), (row.second, row.mean_second)):
            found = sum(pooled[algorithm]) / len(pooled[algorithm])
            assert abs(found - mean) < 1e-5 * found


def test_the_table_holds_every_comparison_and_says_which_rule_decided() -> None:
    example = adastop_example.decide()
    text = adastop_example.markdown(example)
    assert "printed | released rule | datumrl" in text
    assert text.count("\n") == 2 + len(example.rows) + 1
    changed = dataclasses.replace(example.rows[0], closed="equal")
    other = adastop_example.markdown(dataclasses.replace(example, rows=(changed,)))
    assert other.splitlines()[2].endswith("| larger | larger | equal |")
