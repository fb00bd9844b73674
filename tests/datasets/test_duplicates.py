"""Repeated rows and episodes: the measure and the audit find the same ones."""

import itertools
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

from datumrl.datasets import duplicates as finding
from datumrl.datasets.audit import audit
from datumrl.datasets.duplicates import duplicates, repeated_episodes, repeated_rows
from datumrl.datasets.episodes import Episodes

Make = Callable[..., Episodes]


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


def of_numbers(make_episodes: Make, flags: str, numbers: list[float], **fields: object) -> Episodes:
    """Return episodes whose rows differ in one observation only."""
    rows = len(flags)
    columns = {
        "observations": np.array(numbers, np.float32).reshape(rows, 1),
        "actions": np.zeros((rows, 1), np.float32),
        "rewards": np.ones(rows, np.float32),
        "successors": np.zeros((0, 1), np.float32),
    }
    return make_episodes(flags, **{**columns, **fields})


def test_repeated_episodes_of_two_rows_or_more(make_episodes):
    # Episodes: (1, 2), (1, 2), (2), (1), (2, 1), (1, 2) as an unfinished tail.
    flags, numbers = "-T-OTT-T--", [1, 2, 1, 2, 2, 1, 2, 1, 1, 2]
    episodes = of_numbers(make_episodes, flags, numbers)
    compared, again = repeated_episodes(episodes)
    assert (compared, again.tolist()) == (4, [1, 5])
    found = duplicates(episodes)
    assert (found.episodes, found.episode_share) == (2, 0.5)
    assert (found.rows, found.row_share) == (8, 0.8)
    rewards = np.array([1, 1, 1, 2, 1, 1, 1, 1, 1, 1], np.float32)
    changed = of_numbers(make_episodes, flags, numbers, rewards=rewards)
    assert repeated_episodes(changed)[1].tolist() == [5]
    alone = duplicates(of_numbers(make_episodes, "TTT", [1, 1, 1]))
    assert (alone.rows, alone.episodes, alone.episode_share) == (2, 0, None)


@pytest.mark.parametrize("first", [0.0, np.nan])
def test_zeros_and_nans_are_one_number_to_the_measure_and_the_audit(make_episodes, first):
    bits = np.array([first, 1], np.float32)
    other = np.copysign(bits, np.float32([-1, 1]))
    assert bits.tobytes() != other.tobytes()
    numbers = [*bits.tolist(), *other.tolist(), 5, 6]
    episodes = of_numbers(make_episodes, "-T-T-T", numbers)
    episodes.observations[2, 0] = other[0]
    found, report = duplicates(episodes), audit(episodes)
    assert (found.rows, found.episodes) == (2, 1)
    assert report.finding("duplicated rows").counts["repeated"] == 2
    assert report.finding("duplicated episodes").counts["repeated"] == 1


def test_the_measure_and_the_audit_agree_and_compare_bit_by_bit(make_episodes):
    """Random small alphabets with both zeros and two NaNs, against a plain comparison."""
    odd = np.array([0x7FC00000, 0xFFC00001], np.uint32).view(np.float32)  # two NaNs
    alphabet = np.array([0.0, -0.0, 1.0, *odd], np.float32)
    for seed in range(10):
        rng = np.random.default_rng(seed)
        flags = "".join(rng.choice(list("-TO"), 300))
        episodes = of_numbers(make_episodes, flags, rng.choice(alphabet, 300))
        plain = ["nan" if np.isnan(x) else x + 0.0 for x in episodes.observations[:, 0].tolist()]
        seen: set = set()
        for begin, end in itertools.pairwise(episodes.starts.tolist()):
            seen.add(tuple(plain[begin:end]) if end - begin > 1 else begin)
        found, report = duplicates(episodes), audit(episodes)
        assert found.rows == 300 - len(set(plain))
        assert found.episodes == len(episodes.starts) - 1 - len(seen)
        assert report.finding("duplicated rows").counts["repeated"] == found.rows
        assert report.finding("duplicated episodes").counts["repeated"] == found.episodes


def test_pieces_do_not_show(make_episodes, monkeypatch):
    rng = np.random.default_rng(0)
    flags = "".join(rng.choice(list("---T"), 400))
    episodes = of_numbers(make_episodes, flags, rng.integers(0, 2, 400).tolist())
    whole, rows = finding.episode_hashes(episodes), finding.row_hashes(episodes)
    again = finding.repeated(rows)
    assert again.sum() == 398
    monkeypatch.setattr("datumrl.datasets.findings.ROWS_AT_ONCE", 7)
    np.testing.assert_array_equal(finding.row_hashes(episodes), rows)
    np.testing.assert_array_equal(finding.episode_hashes(episodes), whole)
    np.testing.assert_array_equal(finding.episode_hashes(episodes, rows), whole)
    np.testing.assert_array_equal(finding.repeated(rows), again)


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
    assert finding.repeated(finding.row_hashes(episodes)).sum() == repeated_rows(episodes)


@pytest.mark.parametrize("copies", [0, 1, 200_000])
def test_memory_is_seventeen_bytes_a_row_whatever_is_repeated(make_episodes, copies):
    """8 of hashes, 8 of their order, 1 of the outcome; `docs/audit.md` states it."""
    rows = 400_000
    numbers = np.arange(rows, dtype=np.float32)
    numbers[rows - copies :] = numbers[:copies]
    episodes = of_numbers(make_episodes, ("-" * 999 + "O") * (rows // 1000), numbers)
    tracemalloc.start()
    try:
        hashes = finding.row_hashes(episodes)
        assert finding.repeated(hashes).sum() == copies
        assert len(repeated_episodes(episodes, hashes)[1]) == copies // 1000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak / rows < 17 + 4_000_000 / rows  # and a piece of rows
