"""Rows and episodes that a dataset holds more than once."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass

import numpy as np

from datumrl.datasets import distinct
from datumrl.datasets.columns import parts
from datumrl.datasets.distinct import Progress
from datumrl.datasets.episodes import Episodes
from datumrl.datasets.packing import Exact, Packing

_ROWS_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class Duplicates:
    """How much of a dataset is there more than once; counts, and shares without unit."""

    rows: int  # beyond the first of each set of equal rows
    row_share: float | None  # of all rows
    episodes: int  # beyond the first of each set of equal episodes
    episode_share: float | None  # of all episodes, an unfinished tail included


def duplicates(episodes: Episodes, progress: Progress | None = None) -> Duplicates:
    """Return the number of repeated rows and episodes; see `repeated_rows`, `first_equal`."""
    rows = repeated_rows(episodes, progress)
    first = first_equal(episodes)
    again = int((first != np.arange(len(first))).sum())
    return Duplicates(
        rows=rows,
        row_share=rows / len(episodes) if len(episodes) else None,
        episodes=again,
        episode_share=again / len(first) if len(first) else None,
    )


def repeated_rows(episodes: Episodes, progress: Progress | None = None) -> int:
    """Return how many rows equal an earlier one in observation, action and reward.

    Exact, whole rows are compared; 0 and -0 are one value, and so are all NaNs.
    """
    packing = Packing([Exact(column) for column in _columns(episodes)])
    return len(episodes) - distinct.count(packing, progress=progress)


def first_equal(episodes: Episodes) -> np.ndarray:
    """Return for each episode the first one that is equal to it, (episodes,) int64.

    It is the episode's own number where none before is equal.
    """
    seen: dict[bytes, int] = {}
    return np.array(
        [seen.setdefault(digest, number) for number, digest in enumerate(digests(episodes))],
        np.int64,
    )


def _columns(episodes: Episodes) -> list[np.ndarray]:
    return [*parts(episodes.observations).values(), episodes.actions, episodes.rewards]


def digests(episodes: Episodes) -> list[bytes]:
    """Return 128 bits of BLAKE2b of each episode's observations, actions and rewards.

    Equal digests mean equal bytes and lengths, in this dataset or between two of them.
    """
    columns = _columns(episodes)
    starts = np.asarray(episodes.starts).tolist()
    found = []
    for begin, end in itertools.pairwise(starts):
        digest = hashlib.blake2b(digest_size=16)
        for column in columns:
            for row in range(begin, end, _ROWS_AT_ONCE):
                piece = np.ascontiguousarray(column[row : min(end, row + _ROWS_AT_ONCE)])
                digest.update(piece.view(np.uint8).data if piece.size else b"")
        found.append(digest.digest())
    return found
