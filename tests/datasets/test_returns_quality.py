"""Returns, lengths, sparsity and scores: by hand, by naive loops and by published numbers."""

import dataclasses

import numpy as np
import pytest

from datumrl.datasets import catalogue
from datumrl.datasets import returns_quality as quality
from datumrl.datasets.errors import DatumrlError

# polixir/NeoRL2, neorl2/envs/info.py and benchmark/task_score.csv: task, minimum, maximum, mean
# return of the dataset, its published score.
NEORL2 = [
    ("Pipeline", -296, 751, 429.0072265625, 69.24615344436485),
    ("Simglucose", 9.75, 475, 353.45186941964283, 73.87466295962231),
    ("RocketRecovery", -176, 208, 113.04654296875, 75.27253723144533),
    ("RandomFrictionHopper", -3, 503, 142.3537234042553, 28.726032293331087),
    ("DMSD", 30.6, 849.51, 494.45271875, 56.642698068163774),
    ("Fusion", -107.601, 98.05, -7.348692321777344, 48.748757690564425),
    ("SafetyHalfCheetah", -283, 2507, 1769.3081597222222, 73.55943224810832),
]


def naive_episodes(rewards, terminals, timeouts):
    """Split row by row; return (rewards of completed episodes, rewards of the tail)."""
    finished, current = [], []
    for row, reward in enumerate(rewards):
        current.append(float(reward))
        if terminals[row] or timeouts[row]:
            finished.append(current)
            current = []
    return finished, current


@pytest.mark.parametrize("batch", [1, 3, 1 << 20])
def test_returns_lengths_and_sparsity_against_a_row_loop(make_episodes, monkeypatch, batch):
    monkeypatch.setattr(quality, "_BATCH", batch)
    rng = np.random.default_rng(0)
    flags = "".join(rng.choice(list("-----TO"), 60)) + "T---"
    rewards = (rng.normal(size=64) * (rng.random(64) < 0.5)).astype(np.float32)
    episodes = make_episodes(flags, rewards=rewards)
    finished, tail = naive_episodes(rewards, episodes.terminals, episodes.timeouts)
    sums = [sum(each) for each in finished]
    found = quality.returns(episodes)
    assert found.distribution.count == len(finished)
    assert found.distribution.mean == pytest.approx(np.mean(sums), abs=1e-9)
    assert found.distribution.maximum == pytest.approx(max(sums), abs=1e-9)
    assert dict(found.distribution.quantiles)[0.5] == pytest.approx(np.median(sums), abs=1e-9)
    assert sum(found.distribution.bin_counts) == len(finished)
    assert (found.unfinished_rows, found.unfinished_return) == (3, pytest.approx(sum(tail)))
    mean = np.mean(sums)
    assert found.psv == pytest.approx(np.mean([max(g - mean, 0) ** 2 for g in sums]))
    lengths = quality.lengths(episodes)
    assert lengths.horizon == np.mean([len(each) for each in finished])
    assert lengths.terminated == flags.count("T")
    assert lengths.timed_out == flags.count("O")
    sparse = quality.rewards(episodes)
    shares = [sum(r == 0 for r in each) / len(each) for each in finished]
    assert sparse.sparsity == pytest.approx(np.mean(shares))
    assert sparse.zero_share == np.mean(rewards == 0)
    assert sparse.mean == pytest.approx(rewards.mean(), abs=1e-6)
    assert (sparse.minimum, sparse.maximum) == (rewards.min(), rewards.max())


@pytest.mark.parametrize("batch", [2, 5, 1 << 20])
def test_a_majority_reward_is_found_wherever_it_lies(make_episodes, monkeypatch, batch):
    monkeypatch.setattr(quality, "_BATCH", batch)
    rewards = np.array([-1, -1, -1, 5, 7, -1, -1, 2, 3, -1, 4], np.float32)
    found = quality.rewards(make_episodes("-" * 10 + "T", rewards=rewards))
    assert (found.majority, found.majority_share) == (-1.0, 6 / 11)
    rewards[0] = 9.0
    found = quality.rewards(make_episodes("-" * 10 + "T", rewards=rewards))
    assert (found.majority, found.majority_share) == (None, None)


def test_positive_sided_variance():
    assert quality.positive_sided_variance(np.array([0.0, 0.0, 3.0])) == pytest.approx(4 / 3)
    assert quality.positive_sided_variance(np.array([3.0, 3.0, 0.0])) == pytest.approx(2 / 3)
    assert quality.positive_sided_variance(np.array([5.0])) == 0.0
    assert quality.positive_sided_variance(np.zeros(0)) is None


@pytest.mark.parametrize(("task", "low", "high", "mean", "score"), NEORL2)
def test_published_scores_of_neorl2(task, low, high, mean, score):
    assert quality.neorl_score(mean, low, high) == pytest.approx(score, abs=1e-6)


def test_scores_by_hand(make_episodes):
    episodes = make_episodes("-T-O-T--", rewards=np.array([1, 2, 3, 4, 5, 10, 99, 99], np.float32))
    record = dataclasses.replace(
        catalogue.find("d4rl/hopper-medium-v2"), reference=catalogue.Reference(-5.0, 15.0, "here")
    )
    found = quality.scores(episodes, record, quality.episode_returns(episodes))
    mean = (3 + 7 + 15) / 3
    assert found.tq == pytest.approx((mean + 5) / 20)
    assert found.neorl_score == found.mean == pytest.approx(100 * found.tq)
    assert found.median == pytest.approx(100 * 12 / 20)
    assert found.best == pytest.approx(100.0)
    raw = quality.returns(episodes).psv
    assert found.psv == pytest.approx(raw * (100 / 20) ** 2)
    assert found.refused == ""


REFUSED = (  # their episodes or rewards are not those that the reference scores are of
    "d4rl/maze2d-umaze-v1",
    "d4rl/antmaze-umaze-v2",
    "d4rl/kitchen-complete-v0",
    "d4rl/pen-human-v1",
    "d4rl/hammer-human-longhorizon-v1",
    "d4rl/door-cloned-v1",
    "d4rl/minigrid-fourrooms-v0",
)


def test_scores_are_refused_with_the_reason(make_episodes):
    episodes = make_episodes("--T")
    values = quality.episode_returns(episodes)
    record = catalogue.find("d4rl/hopper-medium-v2")
    without = dataclasses.replace(record, reference=None)
    assert "has no reference scores" in quality.scores(episodes, without, values).refused
    assert "not in the catalogue" in quality.scores(episodes, None, values).refused
    for name in REFUSED:
        known = catalogue.find(name)
        found = quality.scores(episodes, known, values)
        assert found.refused == f"{name}: {known.returns_note}"
        assert known.returns_note
        assert (found.tq, found.neorl_score, found.psv) == (None, None, None)
    assert quality.score_refusal(catalogue.find("d4rl/pen-expert-v1")) == ""
    open_ended = make_episodes("---")
    found = quality.scores(open_ended, record, quality.episode_returns(open_ended))
    assert "no completed episode" in found.refused
    with pytest.raises(DatumrlError, match="the maximum must be larger"):
        quality.trajectory_quality(1.0, 2.0, 2.0)


def test_no_rows_no_end_and_one_step(make_episodes):
    empty = make_episodes("")
    assert quality.returns(empty).distribution.count == 0
    assert quality.lengths(empty).horizon is None
    assert quality.rewards(empty).mean is None
    tail = make_episodes("--")
    found = quality.returns(tail)
    assert (found.distribution.mean, found.psv) == (None, None)
    assert (found.unfinished_rows, found.unfinished_return) == (2, 3.0)
    assert quality.rewards(tail).sparsity is None
    single = quality.returns(make_episodes("T"))
    assert (single.distribution.mean, single.distribution.std, single.psv) == (1.0, 0.0, 0.0)
    assert single.distribution.bin_counts == (1,)


def test_returns_that_differ_by_rounding_alone_have_a_histogram():
    values = np.array([0.1 + 0.2, 0.3, 0.3])
    assert sum(quality.distribution(values).bin_counts) == 3


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_reward_that_is_not_finite_is_named(make_episodes, value):
    rewards = np.array([1, 2, value, 4], np.float32)
    with pytest.raises(DatumrlError, match=r"reward (nan|inf) at row 2"):
        quality.returns(make_episodes("-T-T", rewards=rewards))


def test_returns_are_those_of_episodes_to_the_last_bit(make_episodes):
    rows = (1 << 20) + 1000
    rewards = np.random.default_rng(0).normal(size=rows)
    flags = np.full(rows, "-")
    flags[[4000, rows - 1]] = "T"  # an episode of over a million rows
    episodes = make_episodes("".join(flags), rewards=rewards)
    assert quality.episode_returns(episodes).tolist() == episodes.returns().tolist()
