"""Which runs share episodes: a copy is one even where some of its episodes were changed.

Compared is the evaluation that counts.  Only telling episodes do, those that two runs hardly share
by nature: not the saturated ones, which a run has several of, and where returns follow from the
lengths or are whole numbers, only in the same place.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from datumrl.leaderboard.submission_counted import counted_points
from datumrl.leaderboard.submission_files import Submission
from datumrl.leaderboard.submission_schema import SeedRun

# (return, length), and its place where only that makes it telling
Episode = tuple[float, int] | tuple[float, int, int]
Episodes = frozenset[Episode]
Folder = tuple[str, str]  # names of a submission's folders: method, revision
# (submission, dataset) -> the submissions that it shares runs with, itself perhaps, and its seeds
Shared = Mapping[tuple[Folder, str], Mapping[Folder, set[int]]]

# Telling episodes of a run without which nothing is said, and the share of them that is too much.
_FEWEST, _SHARE = 4, 0.5
# Near-optimal policies that meet the same episodes take equally many steps in some of them.
_FEWEST_IN_PLACE, _SHARE_IN_PLACE = 6, 0.8


def telling_episodes(run: SeedRun, checkpoint: str) -> Episodes:
    """Return the episodes of what counts of a run that another run hardly has by nature."""
    if not run.evaluations:
        return frozenset()
    pairs = [
        pair
        for point in counted_points(run, checkpoint)
        for pair in zip(point.returns, point.lengths, strict=False)
    ][::-1]  # so that places are counted from the end
    times = Counter(pairs)
    in_place = _follow_from_lengths(pairs)
    found: set[Episode] = set()
    for place, (value, length) in enumerate(pairs):
        if not value.is_integer() and not in_place:
            found.add((value, length))
        elif times[value, length] == 1:
            found.add((value, length, place))
    return frozenset(found)


def _follow_from_lengths(pairs: Sequence[tuple[float, int]]) -> bool:
    """Say whether all broken returns lie on a line over the lengths, as 1 - 0.9 length / limit."""
    broken = [pair for pair in pairs if not pair[0].is_integer()]
    if not broken:
        return False
    (low, shortest), (high, longest) = (
        least(broken, key=lambda pair: pair[1]) for least in (min, max)
    )
    slope = (high - low) / (longest - shortest) if longest > shortest else 0.0
    return all(
        math.isclose(value, low + slope * (length - shortest), rel_tol=1e-9, abs_tol=1e-9)
        for value, length in broken
    )


def share(one: Episodes, other: Episodes) -> bool:
    """Say whether two runs have more telling episodes in common than runs of their own have."""
    return any(
        _too_many(*(frozenset(each for each in run if len(each) == size) for run in (one, other)))
        for size in {len(each) for each in one & other}
    )


def _too_many(one: Episodes, other: Episodes) -> bool:
    in_place = len(next(iter(one))) > 2
    fewest = _FEWEST_IN_PLACE if in_place else _FEWEST
    fewer, common = min(len(one), len(other)), len(one & other)
    if in_place:
        return common >= max(fewest, _SHARE_IN_PLACE * fewer)
    return fewer >= fewest and common >= _SHARE * fewer


def shared(known: Iterable[Submission]) -> Shared:
    """Return which submissions share runs, or have two that do, by dataset."""
    runs: list[tuple[Folder, str, int, Episodes]] = [
        (one.folder, result.dataset, run.seed, telling_episodes(run, result.protocol.checkpoint))
        for one in known
        for result in one.results.values()
        for run in result.runs
    ]
    holders: dict[tuple[str, Episode], list[int]] = {}
    tried: set[tuple[int, int]] = set()
    found: dict[tuple[Folder, str], dict[Folder, set[int]]] = defaultdict(dict)
    for number, (folder, dataset, seed, episodes) in enumerate(runs):
        for episode in episodes:
            before = holders.setdefault((dataset, episode), [])
            for place in before:
                if (place, number) not in tried:
                    tried.add((place, number))
                    there, _, other_seed, others = runs[place]
                    if share(episodes, others):
                        found[folder, dataset].setdefault(there, set()).add(seed)
                        found[there, dataset].setdefault(folder, set()).add(other_seed)
            # One run of each submission is enough, or thousands of equal ones would take hours.
            if all(runs[place][0] != folder for place in before):
                before.append(number)
    return found
