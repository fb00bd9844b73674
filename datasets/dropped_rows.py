"""How many rows each view of transitions drops, and why, without making the transitions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from datumrl.datasets.episodes import Episodes

Reasons = dict[str, int]  # reason -> rows


def dropped_rows(episodes: Episodes) -> dict[str, Reasons]:
    """Return for every view (see `views`) the number of rows dropped by reason.

    It is what ``Episodes.transitions(view).dropped`` would say, counted at the ends of episodes
    only, so that a large dataset need not be gathered.
    """
    if len(episodes) == 0:
        return {"correct": {}, "d4rl-legacy": {}}
    return {"correct": _correct(episodes), "d4rl-legacy": _d4rl_legacy(episodes)}


def _correct(episodes: Episodes) -> Reasons:
    ends = np.asarray(episodes.starts[1:]) - 1
    known = np.isin(ends, episodes.successor_rows) | episodes.terminals[ends]
    lost = ends[~known]
    timed_out = int(episodes.timeouts[lost].sum())
    return _some(
        {
            "timeout row without a known successor": timed_out,
            "end of the unfinished tail, without a known successor": len(lost) - timed_out,
        }
    )


def _d4rl_legacy(episodes: Episodes) -> Reasons:
    if episodes.timeouts_recorded:
        return _some(
            {
                "timeout row": int(np.count_nonzero(episodes.timeouts[:-1])),
                "last row of the file, which D4RL never looks past": 1,
            }
        )
    # D4RL's own count of steps runs over all rows: the view is asked, on columns without content.
    bare = replace(
        episodes,
        observations=np.zeros((len(episodes), 0), np.float32),
        actions=np.zeros((len(episodes), 0), np.float32),
        successors=np.zeros((len(episodes.successor_rows), 0), np.float32),
    )
    return dict(bare.transitions("d4rl-legacy").dropped)


def _some(reasons: Reasons) -> Reasons:
    return {reason: count for reason, count in reasons.items() if count}
