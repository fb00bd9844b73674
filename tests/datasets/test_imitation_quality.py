"""Proxies of imitation quality: against loops over pairs, and on data of known noise."""

import dataclasses

import numpy as np
import pytest

from datumrl.datasets import imitation_quality as quality
from datumrl.datasets.episodes import Episodes, episode_starts
from datumrl.datasets.errors import DatumrlError


def dataset(states, actions, terminals=None, name="here") -> Episodes:
    rows = len(states)
    terminals = np.zeros(rows, bool) if terminals is None else terminals
    timeouts = np.zeros(rows, bool)
    return Episodes(
        id=name,
        observations=np.asarray(states, np.float32),
        actions=actions,
        rewards=np.zeros(rows, np.float32),
        terminals=terminals,
        timeouts=timeouts,
        starts=episode_starts(terminals, timeouts),
        successor_rows=np.zeros(0, np.int64),
        successors=np.zeros((0, np.shape(states)[1]), np.float32),
        time_limit=1000,
        timeouts_recorded=True,
    )


@pytest.fixture
def walk() -> Episodes:
    """A random walk with actions that follow the state, noisily."""
    rng = np.random.default_rng(0)
    states = rng.normal(size=(300, 3)).cumsum(0) / 5
    states[:, 2] = 4.0  # constant
    actions = np.tanh(states[:, :2]) + 0.1 * rng.normal(size=(300, 2))
    return dataset(states, actions.astype(np.float32), np.arange(300) % 60 == 59)


def loops(episodes: Episodes, measure: quality.Yardstick):
    """State the definitions over all pairs of rows, one by one."""
    states = episodes.observations.astype(float) * measure.state_scale
    actions = episodes.actions.astype(float)
    joint = np.concatenate([states, actions * measure.action_scale], axis=1)
    ends = set((episodes.starts[1:] - 1).tolist())
    variance, nearest, similar, noise = [], [], [], []
    followed = [i for i in range(len(states)) if i not in ends]
    for i in range(len(states)):
        apart = [np.linalg.norm(states[i] - states[j]) for j in range(len(states))]
        others = [j for j in range(len(states)) if j != i]
        near = [j for j in others if apart[j] <= measure.state_radius]
        similar.append(len(near) / len(others))
        best = min(others, key=lambda j: apart[j])
        nearest.append(((actions[i] - actions[best]) ** 2).mean() / 2)
        if near:
            gap = ((actions[i] - actions[near].mean(axis=0)) ** 2).mean()
            variance.append(gap * len(near) / (len(near) + 1))
    for i in followed:
        near = [
            j
            for j in followed
            if j != i and np.linalg.norm(joint[i] - joint[j]) <= measure.joint_radius
        ]
        change = (states[1:] - states[:-1])[:, measure.state_scale > 0]
        if near:
            gap = ((change[i] - change[near].mean(axis=0)) ** 2).mean()
            noise.append(gap * len(near) / (len(near) + 1))
    return [float(np.mean(each)) for each in (variance, nearest, noise, similar)]


def test_against_loops_over_all_pairs(walk):
    measure = quality.yardstick(walk)
    found = quality.imitation_quality(walk, measure)
    expected = loops(walk, measure)
    values = [
        found.action_variance.value,
        found.neighbour_action_variance.value,
        found.transition_diversity.value,
        found.state_similarity.value,
    ]
    assert values == pytest.approx(expected, rel=1e-9)
    assert found.state_similarity.value == pytest.approx(quality.QUANTILE, rel=0.01)
    assert measure.state_scale[2] == 0.0
    distances = [
        np.linalg.norm((a - b) * measure.state_scale)
        for i, a in enumerate(walk.observations.astype(float))
        for b in walk.observations[i + 1 :].astype(float)
    ]
    assert measure.state_radius == pytest.approx(np.quantile(distances, quality.QUANTILE), rel=1e-5)


def test_noise_of_known_size_is_found():
    rng = np.random.default_rng(1)
    places = rng.integers(0, 10, 3000)
    states = np.stack([places, 3.0 * places], axis=1)
    actions = (np.sin(places)[:, None] + 0.3 * rng.normal(size=(3000, 1))).astype(np.float32)
    found = quality.imitation_quality(
        dataset(states, actions), quality.yardstick(dataset(states, actions))
    )
    for estimate in (found.action_variance, found.neighbour_action_variance):
        assert estimate.value == pytest.approx(0.09, abs=5 * estimate.standard_error)
        assert estimate.standard_error < 0.01
    exact = np.sin(places)[:, None].astype(np.float32)
    calm = quality.imitation_quality(
        dataset(states, exact), quality.yardstick(dataset(states, exact))
    )
    assert calm.action_variance.value == pytest.approx(0.0, abs=1e-9)


def test_discrete_actions_are_chances_of_disagreement():
    rng = np.random.default_rng(2)
    places = rng.integers(0, 5, 2000)
    states = np.stack([places, places], axis=1)
    actions = rng.integers(0, 4, (2000, 1))
    data = dataset(states, actions)
    found = quality.imitation_quality(data, quality.yardstick(data))
    assert found.action_variance.value == pytest.approx(0.75, abs=0.02)
    assert found.neighbour_action_variance.value == pytest.approx(0.75, abs=0.06)
    assert found.transition_diversity.value is not None
    same = dataset(states, places.reshape(-1, 1))
    found = quality.imitation_quality(same, quality.yardstick(same))
    assert found.action_variance.value == 0.0


def test_the_reference_sets_the_yardstick(walk):
    narrow = dataclasses.replace(walk, observations=walk.observations * np.float32(0.1))
    measure = quality.yardstick(walk)
    found = quality.imitation_quality(narrow, measure)
    assert found.epsilon == measure.state_radius
    assert found.state_similarity.value > 5 * quality.QUANTILE


def test_a_sample_is_seeded_and_its_error_honest():
    rng = np.random.default_rng(3)
    states = rng.normal(size=(20_000, 2))
    data = dataset(states, rng.normal(size=(20_000, 1)).astype(np.float32))
    measure = quality.yardstick(data, rows=1000)
    runs = [quality.imitation_quality(data, measure, seed, rows=500) for seed in range(30)]
    assert quality.imitation_quality(data, measure, 4, rows=500) == runs[4]
    for name in ("action_variance", "state_similarity"):
        values = [getattr(run, name).value for run in runs]
        errors = [getattr(run, name).standard_error for run in runs]
        assert 0.6 < np.std(values, ddof=1) / np.mean(errors) < 1.5


def test_rows_that_are_not_finite_are_left_out(walk):
    broken = walk.observations.copy()
    broken[3, 0], broken[9, 1] = np.nan, np.inf
    found = quality.imitation_quality(
        dataclasses.replace(walk, observations=broken), quality.yardstick(walk)
    )
    assert (found.sampled_rows, found.left_out) == (298, 2)
    assert np.isfinite(found.transition_diversity.value)


def test_too_few_rows_and_mixed_kinds(walk):
    single = dataset(np.zeros((1, 3)), np.zeros((1, 2), np.float32))
    with pytest.raises(DatumrlError, match="give no distances"):
        quality.yardstick(single)
    found = quality.imitation_quality(single, quality.yardstick(walk))
    assert found.action_variance.value is None
    assert found.state_similarity.value is None
    discrete = dataset(walk.observations, np.zeros((300, 1), np.int64))
    for one, other in ((discrete, walk), (walk, discrete)):
        with pytest.raises(DatumrlError, match="use a reference of the same environment"):
            quality.imitation_quality(one, quality.yardstick(other))
    wide = dataset(np.random.default_rng(0).normal(size=(9, 5)), np.zeros((9, 2), np.float32))
    with pytest.raises(DatumrlError, match="have 5 and 2 dimensions there, 3 and 2 here"):
        quality.imitation_quality(walk, quality.yardstick(wide))


def test_stored_successors_count_as_transitions():
    states = np.arange(8, dtype=np.float32).reshape(8, 1)
    data = dataset(states, np.zeros((8, 1), np.float32), np.arange(8) == 3)
    data = dataclasses.replace(
        data, successor_rows=np.array([3]), successors=np.array([[40.0]], np.float32)
    )
    following = quality._successors(data, np.arange(8))[:, 0]
    assert following[:3].tolist() == [1, 2, 3]
    assert following[3] == 40
    assert np.isnan(following[7])


def test_parts_of_a_state_are_joined_by_name_and_compared_by_name(walk):
    """In whatever order they are held: of one dataset, readers have given both."""
    place, rest = walk.observations[:, :1], walk.observations[:, 1:]
    none = np.zeros((0, 1), np.float32), np.zeros((0, 2), np.float32)
    here, there = (
        dataclasses.replace(
            walk,
            observations=dict([("place", place), ("also", rest)][::step]),
            successors=dict([("place", none[0]), ("also", none[1])][::step]),
        )
        for step in (1, -1)
    )
    measure = quality.yardstick(here)
    found = quality.imitation_quality(there, measure)
    assert found == quality.imitation_quality(here, measure)
    assert found.state_similarity.value == pytest.approx(quality.QUANTILE, rel=0.01)
    moved = dataclasses.replace(walk, observations={"place": rest, "also": place})
    for other in (walk, moved):
        with pytest.raises(DatumrlError, match=r"states are of also \(2\), place \(1\) there and"):
            quality.imitation_quality(other, measure)
