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

from datumrl.datasets.errors import DatumrlError

if TYPE_CHECKING:
    from datumrl.datasets.episodes import Episodes

View = Literal["correct", "d4rl-legacy"]


@dataclass(frozen=True, eq=False)
class Transitions:
    """Single steps of a dataset in contiguous arrays of their own, n of them."""

    view: View
    observations: np.ndarray  # (n, observation_dim) float32
    actions: np.ndarray  # (n, action_dim) float32
    rewards: np.ndarray  # (n,) float32
    next_observations: np.ndarray  # (n, observation_dim) float32
    terminals: np.ndarray  # (n,) bool
    rows: np.ndarray  # (n,) int64: the row of each in Episodes
    dropped: dict[str, int]  # why rows are not here -> how many

    def __len__(self) -> int:
        """Return the number of transitions."""
        return len(self.rewards)


def transitions(episodes: Episodes, view: View) -> Transitions:
    """Return the transitions of one of the two views; DatumrlError for any other name."""
    if view == "correct":
        return _correct(episodes)
    if view == "d4rl-legacy":
        return _d4rl_legacy(episodes)
    raise DatumrlError(f"{view!r} is no view of transitions; use {' or '.join(get_args(View))}")


def _correct(episodes: Episodes) -> Transitions:
    ends = episodes.starts[1:] - 1
    followed = np.ones(len(episodes), bool)
    followed[ends] = False
    followed[episodes.successor_rows] = True
    keep = followed | episodes.terminals
    lost = ends[~keep[ends]]
    timed_out = int(episodes.timeouts[lost].sum())
    rows = np.flatnonzero(keep)
    successors = np.take(np.asarray(episodes.observations), rows + 1, axis=0, mode="clip")
    stand_ins = np.flatnonzero(~followed[rows])
    successors[stand_ins] = episodes.observations[rows[stand_ins]]
    successors[np.searchsorted(rows, episodes.successor_rows)] = episodes.successors
    dropped = {
        "timeout row without a known successor": timed_out,
        "end of the unfinished tail, without a known successor": len(lost) - timed_out,
    }
    return _gather(episodes, "correct", rows, successors, dropped)


def _d4rl_legacy(episodes: Episodes) -> Transitions:
    if episodes.timeouts_recorded:
        skipped, reason = np.array(episodes.timeouts), "timeout row"
    else:
        skipped = _counted_ends(episodes.terminals, episodes.time_limit)
        reason = f"step {episodes.time_limit} of D4RL's own count, since the file has no timeouts"
    skipped[-1:] = True
    rows = np.flatnonzero(~skipped)
    successors = np.take(np.asarray(episodes.observations), rows + 1, axis=0)
    dropped = {
        reason: int(skipped[:-1].sum()),
        "last row of the file, which D4RL never looks past": len(skipped[-1:]),
    }
    return _gather(episodes, "d4rl-legacy", rows, successors, dropped)


def _counted_ends(terminals: np.ndarray, limit: int) -> np.ndarray:
    """Return the rows at which D4RL's step counter stands at its last step, (rows,) bool.

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
    offset = np.arange(len(terminals)) - np.repeat(
        begins - counter, np.diff(np.append(begins, len(terminals)))
    )
    return offset % limit == limit - 1


def _gather(
    episodes: Episodes,
    view: View,
    rows: np.ndarray,
    successors: np.ndarray,
    dropped: dict[str, int],
) -> Transitions:
    return Transitions(
        view=view,
        observations=np.take(np.asarray(episodes.observations), rows, axis=0),
        actions=np.take(np.asarray(episodes.actions), rows, axis=0),
        rewards=np.take(np.asarray(episodes.rewards), rows),
        next_observations=successors,
        terminals=np.take(np.asarray(episodes.terminals), rows),
        rows=rows,
        dropped={reason: count for reason, count in dropped.items() if count},
    )
