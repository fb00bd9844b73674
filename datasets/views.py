"""The one place where episodes become transitions, by one of two named rules.

::

    row            0    1    2    3    4    5    6        T terminal, O timeout
    observation    s0   s1   s2 | r0   r1 | q0   q1
    flag                     T         O
    correct        s1   s2   s2*  r1   --   q1   --       the successor of each row that is kept
    d4rl-legacy    s1   s2   r0   r1   --   q1   --

``correct`` keeps every row whose successor is known: the following row of the same episode, or the
one that the source stored (then rows 4 and 6 are kept too).  A terminal row is always kept; without
a stored successor its own observation stands in (*), which nothing reads since it is terminal.
It drops timeout rows and the end of an unfinished tail where the source has no successor.

``d4rl-legacy`` repeats ``qlearning_dataset`` of Farama-Foundation/D4RL (d4rl/__init__.py) row for
row: the successor is always the following row of the file, even across episodes; stored successors
are ignored; timeout rows and the last row of the file are dropped.  Where the file has no timeouts,
D4RL counts steps to the time limit, and its counter is off by one after a terminal row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from datumrl.datasets import columns
from datumrl.datasets.columns import Column
from datumrl.datasets.errors import DatumrlError

if TYPE_CHECKING:
    from datumrl.datasets.episodes import Episodes

View = Literal["correct", "d4rl-legacy"]


@dataclass(frozen=True, eq=False)
class Transitions:
    """Single steps of a dataset in contiguous arrays of their own, n of them."""

    view: View
    observations: Column  # (n, ...), as in Episodes
    actions: np.ndarray  # (n, action_dim), or (n,) integers if discrete
    rewards: np.ndarray  # (n,) floating
    next_observations: Column  # (n, ...)
    terminals: np.ndarray  # (n,) bool
    rows: np.ndarray  # (n,) int64: the row of each in Episodes
    dropped: dict[str, int]  # why rows of the dataset are in no transition -> how many

    def __len__(self) -> int:
        """Return the number of transitions."""
        return len(self.rewards)


@dataclass(frozen=True, eq=False)
class Index:
    """The transitions of a view by number, 0 to len - 1; no data is copied before `gather`."""

    episodes: Episodes
    view: View
    skipped: np.ndarray  # (k,) int64, increasing: the rows that the view drops
    dropped: dict[str, int]  # why -> how many

    def __len__(self) -> int:
        """Return the number of transitions."""
        return len(self.episodes) - len(self.skipped)

    def rows(self, numbers: np.ndarray) -> np.ndarray:
        """Return the dataset's row of each transition, int64."""
        # So many transitions lie before each skipped row.
        before = self.skipped - np.arange(len(self.skipped))
        return np.asarray(numbers) + np.searchsorted(before, numbers, side="right")

    def gather(self, numbers: np.ndarray) -> Transitions:
        """Return some transitions; raises IndexError for a number out of range."""
        numbers = np.asarray(numbers, np.int64)
        if numbers.size and not 0 <= numbers.min() <= numbers.max() < len(self):
            raise IndexError(
                f"transitions {numbers.min()} .. {numbers.max()} are not within 0 .. "
                f"{len(self) - 1}"
            )
        rows = self.rows(numbers)
        starts = self.episodes.starts
        ends = starts[np.searchsorted(starts, rows, side="right")] - 1 == rows
        return self._transitions(rows, ends)

    def all(self) -> Transitions:
        """Return every transition."""
        keep = np.ones(len(self.episodes), bool)
        keep[self.skipped] = False
        rows = np.flatnonzero(keep)
        is_end = np.zeros(len(self.episodes), bool)
        is_end[self.episodes.starts[1:] - 1] = True
        return self._transitions(rows, is_end[rows])

    def _transitions(self, rows: np.ndarray, ends: np.ndarray) -> Transitions:
        """``ends`` says which rows are the last of their episode."""
        episodes = self.episodes
        following = np.minimum(rows + 1, len(episodes) - 1)
        successors = columns.take(episodes.observations, following)
        if self.view == "correct":
            listed = np.searchsorted(episodes.successor_rows, rows)
            stored = np.zeros(len(rows), bool)
            inside = listed < len(episodes.successor_rows)
            stored[inside] = episodes.successor_rows[listed[inside]] == rows[inside]
            alone = np.flatnonzero(ends & ~stored)
            own = columns.take(episodes.observations, rows[alone])
            columns.place(successors, alone, own)
            known = columns.take(episodes.successors, listed[stored])
            columns.place(successors, np.flatnonzero(stored), known)
        return Transitions(
            view=self.view,
            observations=columns.take(episodes.observations, rows),
            actions=columns.take(episodes.actions, rows),
            rewards=columns.take(episodes.rewards, rows),
            next_observations=successors,
            terminals=columns.take(episodes.terminals, rows),
            rows=rows,
            dropped=self.dropped,
        )


def transitions(episodes: Episodes, view: View) -> Transitions:
    """Return the transitions of one of the two views; DatumrlError for any other name."""
    return index(episodes, view).all()


def index(episodes: Episodes, view: View) -> Index:
    """Return the index of one of the two views; DatumrlError for any other name."""
    if view == "correct":
        return _correct(episodes)
    if view == "d4rl-legacy":
        return _d4rl_legacy(episodes)
    raise DatumrlError(f"{view!r} is no view of transitions; use {' or '.join(get_args(View))}")


def _correct(episodes: Episodes) -> Index:
    ends = episodes.starts[1:] - 1
    known = np.isin(ends, episodes.successor_rows) | episodes.terminals[ends]
    lost = ends[~known]
    timed_out = int(episodes.timeouts[lost].sum())
    dropped = {
        "timeout row without a known successor": timed_out,
        "end without a flag or a known successor": len(lost) - timed_out,
    }
    return Index(episodes, "correct", lost, _counts(dropped))


def _d4rl_legacy(episodes: Episodes) -> Index:
    if episodes.timeouts_recorded:
        skipped, reason = np.flatnonzero(episodes.timeouts), "timeout row"
    elif episodes.time_limit < 1:  # without a time limit there is nothing to count to
        skipped, reason = np.zeros(0, np.int64), ""
    else:
        skipped = _counted_ends(episodes.terminals, episodes.time_limit)
        reason = f"step {episodes.time_limit} of D4RL's own count, since the file has no timeouts"
    last = len(episodes) - 1
    skipped = skipped[skipped != last]
    dropped = {
        reason: len(skipped),
        "last row of the file, which D4RL never looks past": int(last >= 0),
    }
    if last >= 0:
        skipped = np.append(skipped, last)
    return Index(episodes, "d4rl-legacy", skipped, _counts(dropped))


def _counts(dropped: dict[str, int]) -> dict[str, int]:
    return {reason: count for reason, count in dropped.items() if count}


def _counted_ends(terminals: np.ndarray, limit: int) -> np.ndarray:
    """Return the rows at which D4RL's step counter stands at its last step, (k,) int64, increasing.

    The counter starts the file at 0, restarts at 1 after a terminal row (it is reset before it is
    increased) and at 0 after a row at the limit (which is skipped before the increase).  So a run
    of rows up to and with a terminal starts at 0 or 1, and all that passes from run to run is
    which: a run of a multiple of ``limit`` rows keeps it, one row less swaps it, any other ends
    at 1.
    """
    ends = np.flatnonzero(terminals)
    begins = np.concatenate([[0], ends + 1])
    lengths = np.diff(begins)
    keeps, swaps = lengths % limit == 0, (lengths + 1) % limit == 0
    if limit == 1:  # every row is at the limit and the counter never leaves 0
        swaps = np.zeros_like(swaps)
    number = np.arange(len(begins))
    # The last run before each that forgot the past, and the swaps since then.
    forgets = np.concatenate([[True], ~(keeps | swaps)])
    since = np.maximum.accumulate(np.where(forgets, number, 0))
    swapped = np.concatenate([[0], np.cumsum(swaps)])
    counter = (since > 0) ^ ((swapped - swapped[since]) % 2 == 1)
    # Each run's first such row, and how many there are up to its end, one every limit.
    first = begins + (limit - 1 - counter) % limit
    behind = np.append(begins[1:], len(terminals))
    counts = np.maximum(0, -((first - behind) // limit))
    place = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.repeat(first, counts) + limit * place
