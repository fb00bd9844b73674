"""Episodes: boundaries, returns, prefixes, and the check of the contract."""

from __future__ import annotations

import numpy as np
import pytest

from datumrl.datasets.episodes import episode_starts, first_not_finite
from datumrl.datasets.errors import DatumrlError


def test_episodes_end_at_flags_and_the_tail_is_one_too(make_episodes):
    episodes = make_episodes("--T-O-B--", stored={4: 44})
    assert episodes.starts.tolist() == [0, 3, 5, 7, 9]
    assert episodes.lengths().tolist() == [3, 2, 2, 2]
    assert episodes.returns().tolist() == [6, 9, 13, 17]
    assert episodes.complete().tolist() == [True, True, True, False]
    final, known = episodes.final_observations()
    assert known.tolist() == [False, True, False, False]
    assert final[1].tolist() == [44, 0]
    assert np.isnan(final[[0, 2, 3]]).all()


@pytest.mark.parametrize("flags", ["", "-", "T", "TTT", "--O", "O-"])
def test_starts_of_the_smallest_datasets(flags, make_episodes):
    episodes = make_episodes(flags)
    ends = [row for row, flag in enumerate(flags) if flag != "-" or row == len(flags) - 1]
    assert episodes.starts.tolist() == [0, *(end + 1 for end in ends)]
    assert episodes.starts.dtype == np.int64
    assert len(episodes.returns()) == len(episodes.lengths()) == len(ends)
    episodes.validate()


def test_returns_are_summed_in_double_precision(make_episodes):
    rewards = np.full(100_000, 0.1, np.float32)
    episodes = make_episodes("-" * 99_999 + "T", rewards=rewards)
    assert episodes.returns()[0] == pytest.approx(100_000 * float(np.float32(0.1)), rel=1e-12)


def test_a_prefix_is_whole_episodes_uncopied(make_episodes):
    episodes = make_episodes("--T-O-B--", stored={2: 22, 4: 44, 6: 66})
    for rows, length, listed in [(1, 3, [2]), (3, 3, [2]), (4, 5, [2, 4]), (8, 9, [2, 4, 6])]:
        prefix = episodes.prefix(rows)
        prefix.validate()
        assert len(prefix) == length
        assert prefix.successor_rows.tolist() == listed
        assert prefix.id == f"d4rl/hopper-medium-v2@{rows}"
        assert np.shares_memory(prefix.observations, episodes.observations)
    for rows in (0, 10):
        with pytest.raises(DatumrlError, match=f"@{rows}: the dataset holds 9 rows"):
            episodes.prefix(rows)


def broken(**fields):
    return fields


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (broken(rewards=np.array([1, np.nan, 3, 4], "f4")), "rewards .* not finite at row 1"),
        (broken(actions=np.full((4, 1), np.inf, "f4")), "actions .* not finite at row 0"),
        (broken(rewards=np.ones(3, "f4")), r"actions is float32 \(4, 1\) where 3 rewards"),
        (broken(observations=np.ones((3, 2), "f4")), r"observations is float32 \(3, 2\) where 4"),
        (broken(rewards=np.ones(4, int)), "rewards is int64"),
        (broken(observations=np.array([["a"]] * 4)), "observations is .* need numbers"),
        (broken(successors={"a": np.ones((1, 2), "f4")}), "successors is missing"),
        (broken(ends="recorded", starts=np.array([0, 2, 2, 4])), "starts must increase"),
        (broken(ends="recorded", starts=np.array([0, 4])), "row 2 is a timeout within"),
        (broken(terminals=np.zeros(4)), "terminals is float64"),
        (broken(actions=np.ones(4, "f4")), "actions is float32"),
        pytest.param(
            broken(rewards=np.ones(4, np.longdouble)),
            "rewards is float128; floats of 2, 4 or 8 bytes",
            marks=pytest.mark.skipif(np.dtype(np.longdouble).itemsize == 8, reason="none here"),
        ),
        (broken(starts=np.array([0, 2, 4])), "starts do not follow"),
        (broken(successor_rows=np.array([4])), r"successor_rows must increase within 0\.\.3"),
        (broken(successors=np.ones((2, 2), "f4")), "successors is float32"),
        (broken(successors=np.full((1, 2), np.nan, "f4")), "successors .* at row 3"),
    ],
)
def test_validate_names_what_breaks_the_contract(fields, message, make_episodes):
    episodes = make_episodes("--O-", stored={3: 9})
    episodes.validate()
    with pytest.raises(DatumrlError, match=message):
        make_episodes("--O-", stored={3: 9}, **fields).validate()


def test_where_the_source_records_the_ends_a_terminal_row_may_lie_within(make_episodes):
    episodes = make_episodes("-TT-O-", starts=np.array([0, 5, 6]), ends="recorded")
    episodes.validate()
    assert episodes.lengths().tolist() == [5, 1]
    assert episodes.complete().tolist() == [True, False]
    assert episodes.transitions().rows.tolist() == [0, 1, 2, 3]


def test_discrete_actions_images_and_dicts_are_held_as_they_are(make_episodes):
    images = np.arange(4 * 3 * 3 * 2, dtype=np.uint8).reshape(4, 3, 3, 2)
    observations = {"image": images, "inner/position": np.arange(4.0)[:, None]}
    successors = {"image": images[:1] + 100, "inner/position": np.full((1, 1), 9.0)}
    episodes = make_episodes(
        "--O-",
        stored={2: 0},
        observations=observations,
        successors=successors,
        actions=np.array([3, 1, 0, 2]),
        rewards=np.ones(4),
    )
    episodes.validate()
    steps = episodes.transitions()
    assert steps.next_observations["image"].dtype == np.uint8
    assert (steps.next_observations["image"][2] == images[0] + 100).all()
    assert steps.next_observations["inner/position"][:, 0].tolist() == [1, 2, 9]
    assert steps.actions.tolist() == [3, 1, 0]
    final, known = episodes.final_observations()
    assert known.tolist() == [True, False]
    assert (final["image"][1] == 0).all()
    assert np.isnan(final["inner/position"][1]).all()
    window = episodes.sequences(2).gather(np.array([2]))
    assert window.observations["image"].shape == (1, 2, 3, 3, 2)
    assert not window.observations["image"][0, 1].any()
    assert len(episodes.prefix(1).observations["image"]) == 3


def test_episode_starts_takes_either_flag():
    terminals, timeouts = np.array([0, 1, 0, 0], bool), np.array([0, 1, 0, 1], bool)
    assert episode_starts(terminals, timeouts).tolist() == [0, 2, 4]


def test_the_first_row_that_is_not_finite_is_found_in_any_piece():
    column = np.zeros((200_000, 2), np.float32)
    assert first_not_finite(column) is None
    column[150_001, 1] = np.nan
    column[150_002, 0] = np.inf
    assert first_not_finite(column) == 150_001
