"""Checks of where episodes begin and end, and of what follows each row."""

from __future__ import annotations

import numpy as np

from datumrl.datasets import columns
from datumrl.datasets.episodes import Episodes
from datumrl.datasets.findings import Finding, first, flat, pieces, share

# Stored successors that differ by less than this, relative to 1 + |value|, were only rounded.
ROUNDING = 1e-5


def check_boundaries(episodes: Episodes) -> Finding:
    """Episodes end exactly at flagged rows, hold at least one row, and no row has both flags."""
    name = "boundaries"
    rows, starts = len(episodes), episodes.starts
    if rows == 0:
        return Finding(name, "fail", "the dataset holds no rows", {"rows": 0}, (), "get it anew")
    flags = episodes.terminals | episodes.timeouts
    ends = starts[1:] - 1
    empty = np.flatnonzero(np.diff(starts) < 1)
    recorded = episodes.ends == "recorded"  # then a terminal may lie within an episode
    inside = np.setdiff1d(np.flatnonzero(episodes.timeouts if recorded else flags), ends)
    unflagged = ends[:0] if recorded else ends[:-1][~flags[ends[:-1]]]
    both = np.flatnonzero(episodes.terminals & episodes.timeouts)
    counts = {
        "episodes": len(starts) - 1,
        "episodes without rows": len(empty),
        "flags inside an episode": len(inside),
        "episodes that end without a flag": len(unflagged),
        "rows both terminal and timeout": len(both),
    }
    offending = np.unique(np.concatenate([starts[:-1][empty], inside, unflagged]))
    if len(offending) or starts[0] != 0 or starts[-1] != rows:
        broken = f"{len(empty)} empty, {len(inside)} flagged within, {len(unflagged)} unflagged"
        remedy = "compute starts with episode_starts(terminals, timeouts)"
        return Finding(
            name, "fail", f"episodes and flags disagree: {broken}", counts, first(offending), remedy
        )
    if len(both):
        return Finding(
            name,
            "warn",
            f"{share(len(both), rows)} rows are terminal and timeout at once",
            counts,
            first(both),
            "they count as terminal, so nothing is bootstrapped there; if the time limit set both, "
            "clear their terminals",
        )
    return Finding(name, "pass", f"{counts['episodes']:,} episodes end where flags are", counts)


def check_tail(episodes: Episodes) -> Finding:
    """The last row ends an episode; otherwise the last episode's return is only a part."""
    name = "unfinished tail"
    if len(episodes) == 0:
        return Finding(name, "not applicable", "the dataset holds no rows")
    begin = int(episodes.starts[-2])
    tail = 0 if episodes.terminals[-1] or episodes.timeouts[-1] else len(episodes) - begin
    if tail == 0:
        return Finding(name, "pass", "the last row ends an episode", {"rows": 0})
    whole = tail == len(episodes)
    return Finding(
        name,
        "fail" if whole else "warn",
        f"the last {tail:,} rows are an episode without an end"
        + (": nothing in the dataset is flagged as an end" if whole else ""),
        {"rows": tail},
        (begin,),
        "leave this episode out of returns (Episodes.complete tells which are whole)",
    )


def check_timeouts_recorded(episodes: Episodes) -> Finding:
    """The source told where episodes were cut; otherwise the time limit was counted."""
    name = "recorded timeouts"
    if episodes.timeouts_recorded:
        return Finding(name, "pass", "the source says where episodes were cut")
    inferred = int(np.count_nonzero(episodes.timeouts))
    return Finding(
        name,
        "warn",
        f"the source has no timeouts; {inferred:,} were put at step {episodes.time_limit}"
        if episodes.time_limit
        else "the source has neither timeouts nor a time limit: only terminals end episodes",
        {"inferred": inferred},
        (),
        "episodes that were cut earlier run into the next one: see continuity",
    )


def check_short_timeouts(episodes: Episodes) -> Finding:
    """A timeout stands at the time limit; an earlier one cuts a return short."""
    name = "timeouts off the horizon"
    limit = episodes.time_limit
    if limit < 1 or not episodes.timeouts_recorded:
        reason = "no time limit is known" if limit < 1 else "timeouts were counted, not recorded"
        return Finding(name, "not applicable", reason)
    ends, lengths = episodes.starts[1:] - 1, episodes.lengths()
    cut = episodes.timeouts[ends] & ~episodes.terminals[ends]
    short = np.flatnonzero(cut & (lengths < limit))
    counts = {"timeouts": int(cut.sum()), "before the time limit": len(short), "time limit": limit}
    if not len(short):
        return Finding(name, "pass", f"all timeouts are at step {limit} or later", counts)
    last_only = len(short) == 1 and short[0] == len(lengths) - 1
    return Finding(
        name,
        "warn" if last_only else "fail",
        f"{share(len(short), counts['timeouts'])} timeouts come before step {limit}"
        + (": the collection stopped there" if last_only else ""),
        counts,
        first(ends[short]),
        "these returns are cut off: leave them out of scores, or set the time limit of the "
        "collection",
    )


def check_overlong(episodes: Episodes) -> Finding:
    """No episode is longer than the time limit; such a one holds a boundary that is not flagged."""
    name = "episodes beyond the horizon"
    limit = episodes.time_limit
    if limit < 1:
        return Finding(name, "not applicable", "no time limit is known")
    lengths = episodes.lengths()
    long = np.flatnonzero(lengths > limit)
    counts = {"episodes": len(long), "longest": int(lengths.max(initial=0)), "time limit": limit}
    if not len(long):
        return Finding(name, "pass", f"no episode is longer than {limit} steps", counts)
    return Finding(
        name,
        "fail",
        f"{share(len(long), len(lengths))} episodes are longer than {limit} steps",
        counts,
        first(episodes.starts[:-1][long]),
        "ends of episodes are missing, or the time limit is not the one of the collection",
    )


def check_terminals_at_limit(episodes: Episodes) -> Finding:
    """Terminals are ends of the process, not of our patience.

    Fails when at least half of all terminals, and more than one, stand exactly at the time limit:
    then the limit itself was recorded as terminal, and values are not bootstrapped past it.
    """
    name = "terminals at the horizon"
    ends = episodes.starts[1:] - 1
    terminal = episodes.terminals[ends]
    total = int(terminal.sum())
    if total == 0 or episodes.time_limit < 1:
        reason = "no row is terminal" if total == 0 else "no time limit is known"
        return Finding(name, "not applicable", reason, {"terminals": total})
    at_limit = np.flatnonzero(terminal & (episodes.lengths() == episodes.time_limit))
    counts = {"terminals": total, "at the time limit": len(at_limit)}
    summary = f"{share(len(at_limit), total)} terminals stand exactly at step {episodes.time_limit}"
    if len(at_limit) > 1 and 2 * len(at_limit) >= total:
        remedy = (
            "the time limit was recorded as terminal: move these flags to timeouts, or every value "
            "near the limit is learned too low"
        )
        return Finding(name, "fail", summary, counts, first(ends[at_limit]), remedy)
    return Finding(name, "pass", summary, counts)


def check_successors(episodes: Episodes) -> Finding:
    """A stored next observation is the following row's, and no episode's end has the next's start.

    Readers list stored successors that the following row does not give; those inside episodes
    disagree with it.
    """
    name = "stored next observations"
    listed = episodes.successor_rows
    if not len(listed) or len(episodes) == 0:
        reason = "the source stored no next observations, so timeout rows have no successor"
        return Finding(name, "not applicable", reason, {"stored": 0})
    ends = episodes.starts[1:] - 1
    inside = ~np.isin(listed, ends)
    error = _relative_errors(episodes, inside)
    disagree, rounded = error > ROUNDING, (error > 0) & (error <= ROUNDING)
    shifted = _shifted(episodes)
    known = int(len(listed) - inside.sum())
    counts = {
        "disagree with the following row": int(disagree.sum()),
        "differ by rounding": int(rounded.sum()),
        "final ones equal to the next episode's start": len(shifted),
        "final ones known": known,
        "largest relative difference": float(error.max(initial=0.0)),
    }
    if disagree.any() or len(shifted):
        text = f"{counts['disagree with the following row']:,} disagree with the following row"
        text += f", {len(shifted):,} at ends of episodes are the start of the next one"
        remedy = (
            "boundaries are missing, or next observations were made by shifting: find the resets "
            "(see continuity) before bootstrapping across them"
        )
        bad = np.union1d(listed[inside][disagree], shifted)
        return Finding(name, "fail", text, counts, first(bad), remedy)
    if rounded.any():
        text = f"{rounded.sum():,} differ from the following row, but only by rounding"
        return Finding(name, "warn", text, counts, first(listed[inside][rounded]))
    text = f"all agree with the following row; {share(known, len(ends))} final observations known"
    return Finding(name, "pass", text, counts)


def _relative_errors(episodes: Episodes, inside: np.ndarray) -> np.ndarray:
    """Return, per listed row inside an episode, the largest difference relative to 1 + |value|."""
    where = np.flatnonzero(inside)
    errors = np.zeros(len(where))
    for piece in pieces(len(where)):
        rows = episodes.successor_rows[where[piece]]
        following = columns.parts(columns.take(episodes.observations, rows + 1))
        for name, values in columns.parts(episodes.successors).items():
            after = flat(following[name]).astype(np.float64)
            relative = np.abs(flat(values[where[piece]]) - after) / (1 + np.abs(after))
            worst = np.nan_to_num(relative, nan=np.inf).max(axis=1, initial=0.0)
            errors[piece] = np.maximum(errors[piece], worst)
    return errors


def _shifted(episodes: Episodes) -> np.ndarray:
    """Return the ends of episodes whose stored successor is the next episode's first row.

    Starts that are all alike (a fixed start, or a task that goes on) say nothing, so a successor
    that is also its own episode's start does not count.
    """
    ends, starts = episodes.starts[1:] - 1, episodes.starts[:-1]
    at = np.searchsorted(episodes.successor_rows, ends[:-1])
    at = np.minimum(at, len(episodes.successor_rows) - 1)
    known = np.flatnonzero(episodes.successor_rows[at] == ends[:-1])
    final = columns.take(episodes.successors, at[known])
    following = columns.take(episodes.observations, starts[1:][known])
    own = columns.take(episodes.observations, starts[:-1][known])
    return ends[:-1][known[_equal_rows(final, following) & ~_equal_rows(final, own)]]


def _equal_rows(left: columns.Column, right: columns.Column) -> np.ndarray:
    right = columns.parts(right)
    equal = [
        (flat(values) == flat(right[name])).all(axis=1)
        for name, values in columns.parts(left).items()
    ]
    return np.logical_and.reduce(equal)
