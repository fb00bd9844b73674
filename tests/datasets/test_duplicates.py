"""Repeated rows and episodes."""

import numpy as np

from datumrl.datasets.duplicates import digests, duplicates, first_equal, repeated_rows


def test_repeated_rows_against_a_set(make_episodes):
    rng = np.random.default_rng(0)
    observations = rng.integers(0, 3, (200, 2)).astype(np.float32)
    rewards = rng.integers(0, 2, 200).astype(np.float32)
    flags = "-" * 199 + "T"
    episodes = make_episodes(
        flags, observations=observations, actions=-observations[:, :1], rewards=rewards
    )
    rows = zip(observations.tolist(), rewards.tolist(), strict=True)
    assert repeated_rows(episodes) == 200 - len({(*o, r) for o, r in rows})
    assert repeated_rows(make_episodes(flags)) == 0


def test_repeated_episodes_are_named_by_their_first(make_episodes):
    observations = np.array([[1], [2], [1], [2], [2], [1], [1], [2]], np.float32)
    columns = {
        "observations": observations,
        "actions": np.zeros((8, 1), np.float32),
        "rewards": np.ones(8, np.float32),
        "successors": np.zeros((0, 1), np.float32),
    }
    # Episodes: (1, 2), (1, 2), (2), (1), (1, 2) as an unfinished tail.
    episodes = make_episodes("-T-OTT--", **columns)
    assert first_equal(episodes).tolist() == [0, 0, 2, 3, 0]
    found = duplicates(episodes)
    assert (found.episodes, found.episode_share) == (2, 0.4)
    assert (found.rows, found.row_share) == (6, 0.75)
    again = make_episodes("-T", **{name: values[:2] for name, values in columns.items()})
    assert digests(again)[0] == digests(episodes)[1]
    changed = {**columns, "rewards": np.array([1, 1, 1, 2, 1, 1, 1, 1], np.float32)}
    assert first_equal(make_episodes("-T-OTT--", **changed)).tolist() == [0, 1, 2, 3, 0]


def test_no_rows(make_episodes):
    found = duplicates(make_episodes(""))
    assert (found.rows, found.row_share, found.episodes, found.episode_share) == (0, None, 0, None)


def test_named_observations(make_episodes):
    rng = np.random.default_rng(2)
    images, places = rng.integers(0, 2, (60, 2, 2), np.uint8), rng.integers(0, 2, (60, 1))
    episodes = make_episodes(
        "-" * 59 + "T",
        observations={"image": images, "place": places.astype(np.float32)},
        actions=np.zeros(60, np.int64),
        rewards=np.zeros(60, np.float32),
    )
    rows = np.concatenate([images.reshape(60, 4), places], axis=1)
    assert repeated_rows(episodes) == 60 - len(np.unique(rows, axis=0))
    assert len(digests(episodes)) == 1
