"""Boundaries and views of any dataset, against statements of their rules one row at a time."""

from __future__ import annotations

import dataclasses
import itertools
import math
import pickle
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datumrl.datasets import columns, d4rl_boundaries, prepared
from datumrl.datasets.episodes import Episodes, episode_starts

few = settings(max_examples=120, deadline=None)
FORMS = ("vector", "image", "dict", "integers")


def observed(rng: np.random.Generator, rows: int, form: str) -> columns.Column:
    """Return observations whose values tell their row."""
    vector = rng.standard_normal((rows, 3)).astype(np.float32)
    image = rng.integers(0, 256, (rows, 2, 2, 1), np.uint8)
    return {
        "vector": vector,
        "image": image,
        "dict": {"camera/front": image, "position": vector.astype(np.float64)},
        "integers": rng.integers(0, 500, rows),
    }[form]


@st.composite
def datasets(draw: st.DrawFn) -> Episodes:
    """Draw a dataset: flags, ends that follow from them or not, stored successors, any form."""
    rows = draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rate = st.sampled_from([0.0, 0.1, 0.5, 1.0])
    terminals = rng.random(rows) < draw(rate)
    timeouts = rng.random(rows) < draw(rate)
    recorded = draw(st.booleans())
    if recorded:  # a terminal within an episode, an end without a flag
        ended = rng.random(rows) < draw(rate)
        starts = episode_starts(np.zeros(rows, bool), ended)
        last = np.zeros(rows, bool)
        last[starts[1:] - 1] = True
        timeouts &= last
    else:
        starts = episode_starts(terminals, timeouts)
    listed = np.flatnonzero(rng.random(rows) < draw(rate))
    form = draw(st.sampled_from(FORMS))
    discrete = draw(st.booleans())
    actions = rng.standard_normal((rows, 2)).astype(np.float32)
    episodes = Episodes(
        id="generated",
        observations=observed(rng, rows, form),
        actions=rng.integers(0, 9, rows) if discrete else actions,
        rewards=rng.standard_normal(rows).astype(draw(st.sampled_from(["f4", "f8"]))),
        terminals=terminals,
        timeouts=timeouts,
        starts=starts,
        successor_rows=listed,
        successors=observed(rng, len(listed), form),
        time_limit=draw(st.integers(1, 12)),
        timeouts_recorded=recorded or draw(st.booleans()),
        ends="recorded" if recorded else "flags",
    )
    episodes.validate()
    return episodes


def correct_rows(episodes: Episodes) -> list[tuple[int, str, int]]:
    """State `correct` row by row: (row, column that holds its successor, place in that column)."""
    found = []
    stored = {int(row): place for place, row in enumerate(episodes.successor_rows)}
    ends = set((episodes.starts[1:] - 1).tolist())
    for row in range(len(episodes)):
        if row in stored:
            found.append((row, "successors", stored[row]))
        elif row not in ends:
            found.append((row, "observations", row + 1))
        elif episodes.terminals[row]:
            found.append((row, "observations", row))
    return found


def legacy_rows(episodes: Episodes) -> list[tuple[int, str, int]]:
    """State D4RL's qlearning_dataset row by row: its flags or counter, and the next row."""
    found, counter = [], 0
    for row in range(len(episodes) - 1):
        if episodes.timeouts_recorded:
            left_out = bool(episodes.timeouts[row])
        else:
            left_out = counter == episodes.time_limit - 1
        if left_out:
            counter = 0
            continue
        found.append((row, "observations", row + 1))
        counter = 1 if episodes.terminals[row] else counter + 1
    return found


def assert_rows(view, episodes: Episodes, expected: list[tuple[int, str, int]]) -> None:
    assert view.rows.tolist() == [row for row, _, _ in expected]
    for place, (row, column, at) in enumerate(expected):
        for name in ("actions", "rewards", "terminals"):
            np.testing.assert_array_equal(getattr(view, name)[place], getattr(episodes, name)[row])
        for name, values in columns.parts(episodes.observations).items():
            found = columns.parts(view.observations)[name]
            following = columns.parts(view.next_observations)[name]
            source = columns.parts(getattr(episodes, column))[name]
            assert found.dtype == following.dtype == values.dtype
            np.testing.assert_array_equal(found[place], values[row])
            np.testing.assert_array_equal(following[place], source[at])
    assert sum(view.dropped.values()) == len(episodes) - len(expected)


STATEMENTS = {"correct": correct_rows, "d4rl-legacy": legacy_rows}


@pytest.mark.parametrize("view", STATEMENTS)
@few
@given(episodes=datasets())
def test_a_view_is_its_statement_row_by_row(view, episodes):
    assert_rows(episodes.transitions(view), episodes, STATEMENTS[view](episodes))


@pytest.mark.parametrize("view", STATEMENTS)
@few
@given(episodes=datasets(), seed=st.integers(0, 1000))
def test_gathering_is_taking_rows_of_the_whole(view, episodes, seed):
    index, whole = episodes.index(view), episodes.transitions(view)
    assert len(index) == len(whole)
    numbers = np.random.default_rng(seed).integers(0, max(1, len(whole)), 9)[: 9 * bool(len(whole))]
    some = index.gather(numbers)
    for field in ("observations", "actions", "rewards", "next_observations", "terminals", "rows"):
        taken = columns.parts(columns.take(getattr(whole, field), numbers))
        for name, values in columns.parts(getattr(some, field)).items():
            assert values.dtype == taken[name].dtype
            np.testing.assert_array_equal(values, taken[name])


@few
@given(episodes=datasets())
def test_returns_lengths_and_completeness_are_those_of_each_episode(episodes):
    returns, complete = episodes.returns(), episodes.complete()
    assert episodes.lengths().sum() == len(episodes)
    for place, (begin, end) in enumerate(
        zip(episodes.starts[:-1], episodes.starts[1:], strict=True)
    ):
        total = sum(float(reward) for reward in episodes.rewards[begin:end])
        assert returns[place] == pytest.approx(total, abs=1e-9)
        assert complete[place] == (episodes.terminals[end - 1] or episodes.timeouts[end - 1])


@settings(max_examples=25, deadline=None)
@given(episodes=datasets())
def test_what_is_written_is_read_again(episodes):
    with tempfile.TemporaryDirectory() as folder:
        prepared.write(Path(folder) / "columns", episodes, {})
        found = prepared.read(Path(folder) / "columns", "generated")
        found.validate()
        passed_on = pickle.loads(pickle.dumps(found))
        assert passed_on.origin == found.origin
        names = [field.name for field in dataclasses.fields(episodes) if field.name != "origin"]
        for name, again in itertools.product(names, (found, passed_on)):
            one, other = getattr(episodes, name), getattr(again, name)
            if isinstance(one, dict | np.ndarray):
                for part, values in columns.parts(one).items():
                    read = columns.parts(other)[part]
                    assert read.dtype == values.dtype
                    np.testing.assert_array_equal(read, values)
            else:
                assert one == other


@few
@given(
    rows=st.integers(1, 50),
    seed=st.integers(0, 2**32 - 1),
    limit=st.integers(1, 10),
    family=st.sampled_from(["gym-mujoco", "maze2d", "antmaze"]),
    has_timeouts=st.booleans(),
)
def test_boundaries_of_files_row_by_row(rows, seed, limit, family, has_timeouts):
    rng = np.random.default_rng(seed)
    rate = rng.choice([0, 0.1, 0.5])
    terminals, timeouts = rng.random(rows) < rate, rng.random(rows) < rate
    steps = rng.choice([0.1, 4.0, 7.0], (rows, 2), p=[0.7, 0.2, 0.1])  # 4 and 4: a diagonal leap
    places = np.cumsum(steps, axis=0)
    found = d4rl_boundaries.boundaries(
        family,
        terminals,
        timeouts if has_timeouts else None,
        limit,
        lambda begin, end: places[begin:end],
    )
    starts, step, previous = [0], 0, 0
    for row in range(rows):
        step += 1
        flagged = bool(timeouts[row]) if has_timeouts else False
        if family == "antmaze":
            leaps = row + 1 < rows and math.dist(places[row], places[row + 1]) > 5
            ended = flagged or leaps
        elif family == "maze2d":
            ended = flagged or bool(terminals[row])
        else:
            if not has_timeouts:
                flagged = step % limit == 0 and not terminals[row]
            ended = flagged or bool(terminals[row])
        assert bool(found.timeouts[row]) == flagged
        if terminals[row]:
            step = 0
        if ended and row + 1 < rows:
            starts.append(row + 1)
        previous = row + 1
    assert found.starts.tolist() == [*starts, previous]
    for row in found.following:  # only where a goal was reached and the trajectory went on
        assert family == "maze2d"
        assert found.timeouts[row]
        assert row + 1 in starts
