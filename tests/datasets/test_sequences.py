"""Windows for sequence models against a plain loop over steps."""

from __future__ import annotations

import numpy as np
import pytest

from datumrl.datasets.errors import DatumrlError


def test_a_window_runs_to_its_length_or_the_end_of_its_episode(make_episodes):
    sequences = make_episodes("---T--O--").sequences(3)
    assert len(sequences) == 9
    batch = sequences.gather(np.array([1, 2, 5, 8]))
    assert batch.mask.tolist() == [[1, 1, 1], [1, 1, 0], [1, 1, 0], [1, 0, 0]]
    assert batch.observations[..., 0].tolist() == [[1, 2, 3], [2, 3, 0], [5, 6, 0], [8, 0, 0]]
    assert batch.timesteps.tolist() == [[1, 2, 3], [2, 3, 0], [1, 2, 0], [1, 0, 0]]
    assert batch.rewards.tolist() == [[2, 3, 4], [3, 4, 0], [6, 7, 0], [9, 0, 0]]
    assert batch.returns_to_go.tolist() == [[9, 7, 4], [7, 4, 0], [13, 7, 0], [9, 0, 0]]


@pytest.mark.parametrize("length", [1, 4, 20])
def test_windows_equal_a_loop_over_steps(length, make_episodes):
    rng = np.random.default_rng(length)
    flags = "".join(rng.choice(list("----TOB"), 60))
    rewards = rng.normal(size=60).astype(np.float32)
    episodes = make_episodes(flags, rewards=rewards)
    batch = episodes.sequences(length).gather(np.arange(60))
    for first in range(60):
        begin = max((row + 1 for row in range(first) if flags[row] != "-"), default=0)
        end = next((row + 1 for row in range(first, 60) if flags[row] != "-"), 60)
        for place in range(length):
            row = first + place
            inside = row < end
            assert batch.mask[first, place] == inside
            expected = (
                (
                    episodes.actions[row],
                    rewards[row],
                    row - begin,
                    rewards[row:end].sum(dtype=float),
                )
                if inside
                else (0, 0, 0, 0)
            )
            np.testing.assert_array_equal(batch.actions[first, place], expected[0])
            assert batch.rewards[first, place] == expected[1]
            assert batch.timesteps[first, place] == expected[2]
            assert batch.returns_to_go[first, place] == pytest.approx(expected[3], abs=1e-5)


def test_returns_to_go_keep_their_digits_over_many_rows(make_episodes):
    rewards = np.full(200_000, 1000.1, np.float32)
    rewards[-1] = 0.125
    flags = "-" * 199_998 + "T-"
    last = make_episodes(flags, rewards=rewards).sequences(1).gather(np.array([199_999]))
    assert last.returns_to_go[0, 0] == pytest.approx(0.125, abs=1e-5)


def test_bad_lengths_and_rows_are_refused(make_episodes):
    with pytest.raises(DatumrlError, match="sequence length 0"):
        make_episodes("---").sequences(0)
    with pytest.raises(IndexError, match=r"-1 \.\. 3"):
        make_episodes("---").sequences(2).gather(np.array([-1, 3]))
