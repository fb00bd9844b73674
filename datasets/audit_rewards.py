"""Checks of rewards and returns: lost, constant or implausible ones, and scores off the scale."""

from __future__ import annotations

import re

import numpy as np
from scipy import stats

from datumrl.datasets import scores
from datumrl.datasets.episodes import Episodes
from datumrl.datasets.findings import Finding, first, pieces, sampled, share
from datumrl.datasets.record import DatasetRecord

# A reward is implausible this many times the spread (99.9 % minus 0.1 % quantile) beyond either.
IMPLAUSIBLE = 20.0
# Chance, under the zeros seen elsewhere, below which zeros at the ends of episodes are no accident.
CHANCE = 1e-6
RARE_ZEROS = 0.05  # where fewer rewards than this are zero, an episode of zeros has lost them
SHORTEST = 10  # rows of an episode that is judged by its zeros
# Normalised scores of single episodes; beyond the outer range the scale or the data is wrong.
UNUSUAL_SCORES, WRONG_SCORES = (-25.0, 150.0), (-100.0, 250.0)
# Mean scores that a dataset's name promises; the levels are wide, to meet only mistaken files.
LEVELS = {"random": (-100.0, 35.0), "medium": (0.0, 90.0), "expert": (50.0, 250.0)}

# One level as the last word of a name; of two it is a mixture, and mazes have medium sizes.
_LEVEL = re.compile(r"^(?!.*maze)(?!.*-(?:random|medium)-expert-).*-(random|medium|expert)-v\d")
_SAMPLE = 200_000


def check_reward_values(episodes: Episodes) -> Finding:
    """Rewards vary, and none is far beyond all others."""
    name = "reward values"
    if len(episodes) == 0:
        return Finding(name, "not applicable", "the dataset holds no rows")
    values = np.asarray(episodes.rewards[sampled(len(episodes), _SAMPLE)], np.float64)
    values = values[np.isfinite(values)]
    if not len(values):
        return Finding(name, "fail", "no reward is finite", {}, (), "mend the source")
    low, high = np.quantile(values, (0.001, 0.999))
    reach = IMPLAUSIBLE * (high - low)
    least, most, beyond = np.inf, -np.inf, [np.zeros(0, np.int64)]
    for piece in pieces(len(episodes)):
        block = np.asarray(episodes.rewards[piece], np.float64)
        finite = block[np.isfinite(block)]
        least, most = min(least, finite.min(initial=least)), max(most, finite.max(initial=most))
        if reach > 0:
            out = (block < low - reach) | (block > high + reach)
            beyond.append(piece.start + np.flatnonzero(out))
    rows = np.concatenate(beyond)
    counts = {"implausible": len(rows), "least": float(least), "largest": float(most)}
    if least == most:
        text = f"all rewards are {'zero' if least == 0 else f'{least:g}'}"
        remedy = "nothing tells good actions from bad but how long episodes last"
        return Finding(name, "fail" if least == 0 else "warn", text, counts, (), remedy)
    if len(rows):
        text = f"{share(len(rows), len(episodes))} rewards are far beyond {low:.4g} to {high:.4g}"
        remedy = "clip or drop them if they are faults: a few such targets dominate a value's loss"
        return Finding(name, "fail", text, counts, first(rows), remedy)
    return Finding(name, "pass", f"rewards lie between {least:.4g} and {most:.4g}", counts)


def check_episode_rewards(episodes: Episodes) -> Finding:
    """No episode has lost all its rewards.

    Episodes of zeros are normal where zeros are; they are lost rewards where fewer than 5 % of the
    other episodes' rewards are zero.
    """
    name = "rewards per episode"
    lengths = episodes.lengths()
    if len(lengths) == 0:
        return Finding(name, "not applicable", "the dataset holds no episodes")
    zero = np.asarray(episodes.rewards) == 0
    zeros = np.add.reduceat(zero, episodes.starts[:-1], dtype=np.int64)
    blank = np.flatnonzero((zeros == lengths) & (lengths >= SHORTEST))
    elsewhere = len(episodes) - int(lengths[blank].sum())
    rate = (int(zero.sum()) - int(lengths[blank].sum())) / max(elsewhere, 1)
    of_zeros = int((zeros == lengths).sum())
    counts = {
        "episodes": len(lengths),
        "episodes of zeros": of_zeros,
        "zero rewards in the others": rate,
    }
    if len(blank) and elsewhere and rate < RARE_ZEROS:
        text = f"{share(len(blank), len(lengths))} episodes have only zero rewards; elsewhere "
        remedy = "their rewards were lost: drop these episodes or recompute them"
        rows = first(episodes.starts[:-1][blank])
        return Finding(name, "fail", text + f"{100 * rate:.2g} % are zero", counts, rows, remedy)
    text = f"{share(of_zeros, len(lengths))} episodes have only zero rewards"
    return Finding(name, "pass", text, counts)


def check_final_rewards(episodes: Episodes) -> Finding:
    """The last reward of episodes was not lost, as when it is written one row late.

    Tested against the zeros of all other rows (binomial, chance below 1e-6 to fail a sound set
    whose rewards are independent of their place in the episode).
    """
    name = "final rewards"
    complete = episodes.complete() & (episodes.lengths() > 1) if len(episodes) else np.zeros(0)
    ends = episodes.starts[1:][complete.astype(bool)] - 1
    if not len(ends):
        return Finding(name, "not applicable", "no complete episode of two rows or more")
    lost = ends[np.asarray(episodes.rewards[ends]) == 0]
    others = int(np.count_nonzero(np.asarray(episodes.rewards) == 0)) - len(lost)
    rate = (others + 1) / (len(episodes) - len(ends) + 2)
    chance = float(stats.binom.sf(len(lost) - 1, len(ends), rate))
    counts = {
        "episodes": len(ends),
        "zero at the end": len(lost),
        "zero elsewhere": others,
        "chance": chance,
    }
    text = f"{share(len(lost), len(ends))} episodes end with reward zero"
    if chance < CHANCE:
        remedy = (
            "the reward of the last step was lost, or it is zero by design: what happens at the "
            "end of an episode teaches nothing then"
        )
        text += f", elsewhere {100 * rate:.2g} % of rewards are"
        return Finding(name, "fail", text, counts, first(lost), remedy)
    return Finding(name, "pass", text, counts)


def check_returns(episodes: Episodes, record: DatasetRecord | None) -> Finding:
    """Returns of complete episodes lie on the scale of the reference scores.

    References are mean returns of a random and an expert policy, so single episodes pass them:
    scores from -25 to 150 are usual; beyond -100 or 250 the reference or the rewards are wrong.
    Not applicable where the record says that returns of the dataset's episodes are no scores.
    """
    name = "returns"
    if record is not None and record.returns_note:
        return Finding(name, "not applicable", record.returns_note)
    if record is None or record.reference is None:
        return Finding(name, "not applicable", "no reference scores are known")
    complete = np.flatnonzero(episodes.complete()) if len(episodes) else np.zeros(0, np.int64)
    if not len(complete):
        return Finding(name, "not applicable", "no episode is complete")
    normal = scores.normalize(episodes.returns()[complete], record)
    low, high = UNUSUAL_SCORES
    unusual = complete[~((normal >= low) & (normal <= high))]
    wrong = ~((normal >= WRONG_SCORES[0]) & (normal <= WRONG_SCORES[1]))
    counts = {
        "episodes": len(complete),
        "beyond 100": int((normal > 100).sum()),
        "below 0": int((normal < 0).sum()),
        "unusual": len(unusual),
        "wrong": int(wrong.sum()),
        "least score": float(normal.min()),
        "largest score": float(normal.max()),
    }
    span = f"scores from {normal.min():.1f} to {normal.max():.1f}"
    if not len(unusual):
        text = f"{span}; {counts['beyond 100']:,} of {len(complete):,} episodes beyond 100"
        return Finding(name, "pass", text, counts)
    text = f"{span}; {share(len(unusual), len(complete))} episodes outside {low:g} to {high:g}"
    remedy = "check that rewards are not scaled or shifted, and that the reference is this task's"
    rows = first(episodes.starts[:-1][unusual])
    return Finding(name, "fail" if wrong.any() else "warn", text, counts, rows, remedy)


def check_level(episodes: Episodes, record: DatasetRecord | None) -> Finding:
    """The mean score is one that the dataset's name (random, medium, expert) promises."""
    name = "level"
    match = _LEVEL.search(record.full_id if record else "")
    if record is None or record.reference is None or match is None or not len(episodes):
        return Finding(name, "not applicable", "the name promises no one level")
    if record.returns_note:
        return Finding(name, "not applicable", record.returns_note)
    complete = episodes.complete()
    if not complete.any():
        return Finding(name, "not applicable", "no episode is complete")
    mean = float(scores.normalize(episodes.returns()[complete].mean(), record))
    low, high = LEVELS[match[1]]
    text = f"the mean score is {mean:.1f}; {match[1]} promises {low:g} to {high:g}"
    if low <= mean <= high:
        return Finding(name, "pass", text, {"mean score": mean})
    remedy = "it may be another dataset's file, or a set of another level"
    return Finding(name, "warn", text, {"mean score": mean}, (), remedy)
