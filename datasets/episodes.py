"""Episodes: the one form in which every dataset is held, whatever file it came from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Episodes:
    """A dataset as contiguous columns over all rows, with episode boundaries.

    Row t holds (observation, action, reward, terminal, timeout) of one step.  The successor of a row
    is the next row's observation, unless the row is listed in ``successor_rows``: there the source
    stored a successor of its own (the final observation of an episode, or one that disagrees with
    the following row).  The last row of an episode that is not listed has no known successor.
    """

    id: str
    observations: np.ndarray  # (rows, observation_dim) float32
    actions: np.ndarray  # (rows, action_dim) float32
    rewards: np.ndarray  # (rows,) float32
    terminals: np.ndarray  # (rows,) bool: the process ended, do not bootstrap
    timeouts: np.ndarray  # (rows,) bool: we stopped looking
    starts: np.ndarray  # (episodes + 1,) int64: first row of each episode, then the number of rows
    successor_rows: np.ndarray  # (k,) int64, increasing
    successors: np.ndarray  # (k, observation_dim) float32
    time_limit: int
    timeouts_recorded: bool  # False: the file had none and the time limit was used to infer them
    sha256: str | None = None  # of the file or recipe the columns came from
    notes: tuple[str, ...] = ()  # what the converter saw and the user should know
