"""Where episodes end in D4RL's families of files, and which successors the rows themselves give.

::

    rule    families                               an episode ends
    flags   gym-mujoco, adroit, kitchen,           at a terminal or timeout; in a file without
            minigrid, carla, flow, bullet          timeouts at every time limit, too
    goals   maze2d: one continuous trajectory      where a goal was reached (``timeouts``);
                                                   the following row is the true successor
    leaps   antmaze: runs of terminal rows while   at a timeout, and where the ant leaps,
            the ant stays at the goal; v0 has      which is a reset that no flag tells of
            timeouts out of step with the resets

Sources: Farama-Foundation/D4RL scripts/generation, scripts/check_antmaze_datasets.py (a distance of
over 5 between rows is its sign of a reset), issues 77, 146, 194, 199.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from datumrl.datasets.episodes import episode_starts

RULES = {"maze2d": "goals", "maze2d-bullet": "goals", "antmaze": "leaps"}  # others: "flags"
LEAP = 5.0  # distance in x and y between consecutive rows; an ant moves well under 1 in a step
_ROWS_AT_ONCE = 1 << 16

Rows = Callable[[int, int], np.ndarray]  # observations of rows begin to end


@dataclass(frozen=True)
class Boundaries:
    """Flags and starts of episodes; ``following`` lists ends whose next row is their successor."""

    timeouts: np.ndarray  # (rows,) bool
    starts: np.ndarray  # (episodes + 1,) int64
    ends: Literal["flags", "recorded"]
    following: np.ndarray  # (k,) int64
    note: str = ""


def boundaries(
    family: str,
    terminals: np.ndarray,
    timeouts: np.ndarray | None,
    limit: int,
    observations: Rows,
) -> Boundaries:
    """Return where the episodes of a file end, by the rule of its family.

    ``timeouts`` is None for a file that has none.
    """
    rule = RULES.get(family, "flags")
    none = np.zeros(0, np.int64)
    if rule == "flags":
        note = ""
        if timeouts is None:
            timeouts = infer_timeouts(terminals, limit)
            note = f"the file has no timeouts; they were put at every {limit} steps of an episode"
        return Boundaries(timeouts, episode_starts(terminals, timeouts), "flags", none, note)
    if timeouts is None:
        timeouts = np.zeros(len(terminals), bool)
    if rule == "goals":
        starts = episode_starts(terminals, timeouts)
        ends = starts[1:-1] - 1
        return Boundaries(timeouts, starts, "flags", ends[timeouts[ends]])
    leaps = _leaps(observations, len(terminals))
    ended = timeouts.copy()
    ended[leaps] = True
    unflagged = int((~timeouts[leaps]).sum())
    note = f"{unflagged} resets without a timeout, told by a leap of x and y" if unflagged else ""
    starts = episode_starts(np.zeros_like(ended), ended)
    return Boundaries(timeouts, starts, "recorded", none, note)


def _leaps(observations: Rows, rows: int) -> np.ndarray:
    """Return the rows after which the ant leaps, (k,) int64; columns 0 and 1 are x and y."""
    found = [np.zeros(0, np.int64)]
    for begin in range(0, rows, _ROWS_AT_ONCE):
        place = observations(begin, begin + _ROWS_AT_ONCE + 1)[:, :2]
        distance = np.linalg.norm(np.diff(place, axis=0), axis=1)
        found.append(begin + np.flatnonzero(distance > LEAP))
    return np.concatenate(found)


def infer_timeouts(terminals: np.ndarray, limit: int) -> np.ndarray:
    """Return True at every ``limit``-th step since the last terminal, unless it is one itself."""
    begins = np.concatenate([[0], np.flatnonzero(terminals) + 1])
    step = np.arange(len(terminals)) - np.repeat(begins, np.diff(np.append(begins, len(terminals))))
    return (step % limit == limit - 1) & ~terminals
