"""SACo and its reference: what is counted, and what is refused."""

import dataclasses
import math

import numpy as np
import pytest

from datumrl.datasets import coverage as coverages
from datumrl.datasets import discretization
from datumrl.datasets.coverage import coverage
from datumrl.datasets.episodes import episode_starts
from datumrl.datasets.errors import DatumrlError


@pytest.fixture
def generated(make_episodes):
    """A maker of Episodes of normal states and uniform actions."""

    def make(rows: int, seed: int = 0, scale: float = 1.0, **fields: object):
        rng = np.random.default_rng(seed)
        timeouts = np.arange(rows) % 50 == 49
        content = {
            "observations": (scale * rng.normal(size=(rows, 3))).astype(np.float32),
            "actions": rng.uniform(-1, 1, (rows, 2)).astype(np.float32),
            "rewards": rng.normal(size=rows).astype(np.float32),
            "terminals": np.zeros(rows, bool),
            "timeouts": timeouts,
            "starts": episode_starts(np.zeros(rows, bool), timeouts),
            "successors": np.zeros((0, 3), np.float32),
        }
        return make_episodes("", **{**content, **fields})

    return make


def keys(episodes, reference, count, rows=None, actions=True):
    """State the definition independently: digitise each dimension, join, put into a set."""

    def joined(each):
        parts = [each.observations, each.actions] if actions else [each.observations]
        return np.concatenate(parts, axis=1)[:rows]

    limits = [(column.min(), column.max()) for column in joined(reference).T]
    binned = [
        np.digitize(column, np.linspace(float(low), float(high), count))
        for column, (low, high) in zip(joined(episodes).T, limits, strict=True)
    ]
    return {",".join(map(str, row)) for row in zip(*binned, strict=True)}


@pytest.mark.parametrize(("preset", "count"), [("paper", 100), ("d4rl-study", 5)])
def test_against_the_definition(generated, preset, count):
    episodes, reference = generated(700, 1, scale=1.5), generated(700, 2)
    found = coverage(episodes, reference, preset)
    ours, theirs = keys(episodes, reference, count), keys(reference, reference, count)
    assert found.unique_state_actions == len(ours)
    assert found.reference_unique_state_actions == len(theirs)
    assert found.unique_states == len(keys(episodes, reference, count, actions=False))
    assert found.saco == len(ours) / len(theirs)
    assert found.lsaco == math.log(len(ours)) / math.log(len(theirs))
    assert (found.edges, found.rows, found.reference_rows) == (count, 700, 700)
    assert found.notes == ()


def test_the_study_counts_only_its_first_rows(generated, monkeypatch):
    small = dataclasses.replace(discretization.PRESETS["d4rl-study"], rows=300)
    monkeypatch.setitem(discretization.PRESETS, "d4rl-study", small)
    episodes, reference = generated(900, 1), generated(500, 2)
    found = coverage(episodes, reference, "d4rl-study")
    first = {name: getattr(reference, name)[:300] for name in ("observations", "actions")}
    limited = dataclasses.replace(reference, **first)
    assert found.unique_state_actions == len(keys(episodes, limited, 5, 300))
    assert found.reference_unique_state_actions == len(keys(limited, limited, 5))
    assert (found.rows, found.reference_rows) == (300, 300)
    again = coverage(episodes, reference, "d4rl-study", rows=100)
    assert (again.rows, again.reference_rows) == (100, 100)


def test_more_than_the_reference_covers_is_possible(generated):
    found = coverage(generated(600, 1, scale=1.5), generated(600, 2, scale=0.5))
    assert found.saco > 1
    assert found.lsaco > 1


def test_different_numbers_of_rows_are_told(generated):
    found = coverage(generated(300), generated(600), "paper")
    assert any("300 rows are compared with 600" in note for note in found.notes)


def test_a_dataset_is_its_own_reference(generated):
    episodes = generated(200)
    for reference in (None, episodes):
        found = coverage(episodes, reference)
        assert (found.saco, found.lsaco) == (1.0, 1.0)
        assert "its own reference" in found.notes[0]


def test_a_reference_counted_once_serves_many(generated):
    reference = coverages.reference_coverage(generated(400, 9), "paper")
    for seed in (1, 2):
        episodes = generated(400, seed)
        assert coverage(episodes, reference, "paper") == coverage(
            episodes, generated(400, 9), "paper"
        )
    alone = coverages.unique_state_actions(generated(400, 1), reference.limits, "paper")
    assert alone == coverage(generated(400, 1), reference, "paper").unique_state_actions


def test_constant_dimensions(generated):
    flat = generated(200).observations.copy()
    flat[:, 1] = 2.5
    reference = generated(200, observations=flat)
    assert coverage(reference).saco == 1.0
    above, below = flat.copy(), flat.copy()
    above[:, 1], below[:, 1] = 3.0, 2.0  # bins `edges` and 0: equal or above, and below
    same = coverage(generated(200, observations=above), reference)
    assert same.unique_state_actions == same.reference_unique_state_actions
    other = generated(200, observations=np.where(np.arange(200)[:, None] % 2, above, below))
    found = coverage(other, reference, "paper")
    assert found.unique_state_actions == len(keys(other, reference, 100))


def test_nans_are_counted_in_the_last_bin_and_told(generated):
    broken = generated(200).observations.copy()
    broken[5:8, 0] = np.nan
    episodes = generated(200, observations=broken)
    found = coverage(episodes, generated(200, 1), "paper")
    assert found.nan_values == 3
    assert "3 values are NaN" in " ".join(found.notes)
    assert found.unique_state_actions == len(keys(episodes, generated(200, 1), 100))


@pytest.mark.parametrize(
    ("value", "shown"), [(np.nan, r"\(1 values are NaN\);"), (np.inf, "to inf")]
)
def test_a_reference_with_values_that_are_not_finite_is_refused(generated, value, shown):
    broken = generated(200).observations.copy()
    broken[5, 1] = value
    with pytest.raises(DatumrlError, match=f"no limits can be taken.*{shown}"):
        coverage(generated(200), generated(200, observations=broken))


def test_another_width_is_refused(generated):
    narrow = generated(100, actions=np.zeros((100, 1), np.float32))
    with pytest.raises(DatumrlError, match="actions have 1 dimensions, not 2"):
        coverage(generated(100), narrow)


def test_discrete_actions_are_counted_by_value_and_not_mixed(generated):
    rng = np.random.default_rng(4)
    discrete = generated(400, actions=rng.integers(0, 9, (400, 1)))
    found = coverage(discrete, preset="d4rl-study")
    states = [row.rpartition(",")[0] for row in keys_in_order(discrete, 5)]
    pairs = set(zip(states, discrete.actions[:, 0].tolist(), strict=True))
    assert found.unique_state_actions == len(pairs)
    continuous = generated(400)
    with pytest.raises(DatumrlError, match=r"actions are discrete \(int64\) here and continuous t"):
        coverage(discrete, continuous)
    with pytest.raises(DatumrlError, match=r"actions are continuous \(float32\) here and discrete"):
        coverage(continuous, discrete)


def keys_in_order(episodes, count):
    columns = [
        np.digitize(column, np.linspace(float(column.min()), float(column.max()), count))
        for column in episodes.observations.T
    ]
    return [",".join(map(str, row)) + ",x" for row in zip(*columns, strict=True)]


def test_no_rows_one_row_and_bad_numbers(generated):
    empty, single = generated(0), generated(1)
    assert coverage(empty, generated(50)).unique_state_actions == 0
    assert coverage(empty, generated(50)).lsaco is None
    with pytest.raises(DatumrlError, match="has no rows to take limits from"):
        coverage(generated(50), empty)
    found = coverage(single)
    assert (found.unique_state_actions, found.saco, found.lsaco) == (1, 1.0, None)
    with pytest.raises(DatumrlError, match="0 rows cannot be counted"):
        coverage(single, rows=0)
    with pytest.raises(DatumrlError, match="unknown preset 'papers'; use paper"):
        coverage(single, preset="papers")
    with pytest.raises(DatumrlError, match="1 edges"):
        discretization.edges(np.zeros(1), np.ones(1), 1)
