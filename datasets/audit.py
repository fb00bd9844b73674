"""Is a dataset sound?  Every check on its columns, with known errata recognised.

Columns are read in pieces, so memory-mapped datasets of any size need little memory: 17 bytes a row
while repeated rows are looked for.  Replays in the environment are `datumrl.evaluation.replay`'s.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from datumrl.datasets import audit_duplicates as copies
from datumrl.datasets import audit_episodes as boundaries
from datumrl.datasets import audit_rewards as rewards
from datumrl.datasets import audit_values as values
from datumrl.datasets import duplicates
from datumrl.datasets.audit_continuity import check_continuity
from datumrl.datasets.audit_errata import recognised
from datumrl.datasets.episodes import Episodes
from datumrl.datasets.findings import Finding, Report
from datumrl.datasets.record import DatasetRecord

Progress = Callable[[int, int], None]  # checks done, checks in all
NO_OTHER = "no dataset that must share no row with it is known; name one with --against"


def audit(
    episodes: Episodes,
    record: DatasetRecord | None = None,
    *,
    action_bounds: tuple[np.ndarray, np.ndarray] | None = None,
    against: Iterable[Episodes] = (),
    unread: Sequence[str] = (),
    progress: Progress | None = None,
) -> Report:
    """Return the findings of every check that needs no environment.

    ``record`` gives reference scores and errata, ``action_bounds`` the low and high of the action
    space, (action_dim,) each; what they are needed for is not applicable without them.  ``against``
    are datasets that must share no row with this one, such as its validation split; ``unread`` says
    of others why they could not be read.
    """
    # Where boundaries are broken, episodes have no meaning that other checks could judge.
    findings = [boundaries.check_boundaries(episodes)]
    broken = findings[0].verdict == "fail"
    checks = [] if broken else _checks(episodes, record, action_bounds, against, unread)
    for done, check in enumerate(checks):
        findings.append(check())
        if progress is not None:
            progress(done + 1, len(checks))
    return Report(
        dataset=episodes.id,
        rows=len(episodes),
        episodes=len(episodes.starts) - 1,
        findings=tuple(recognised(finding, record) for finding in findings),
        errata=record.errata if record is not None else (),
        notes=episodes.notes,
    )


def _checks(
    episodes: Episodes,
    record: DatasetRecord | None,
    action_bounds: tuple[np.ndarray, np.ndarray] | None,
    against: Iterable[Episodes],
    unread: Sequence[str],
) -> list[Callable[[], Finding]]:
    """Return every check but that of the boundaries, to be called one after the other."""

    @functools.cache
    def hashes() -> np.ndarray:
        return duplicates.row_hashes(episodes)

    def leakage(other: Episodes) -> Callable[[], Finding]:
        return lambda: copies.check_leakage(episodes, hashes(), other)

    leaks = [leakage(other) for other in against]
    if not leaks and not unread:
        unread = (NO_OTHER,)
    return [
        lambda: boundaries.check_tail(episodes),
        lambda: boundaries.check_timeouts_recorded(episodes),
        lambda: boundaries.check_short_timeouts(episodes),
        lambda: boundaries.check_overlong(episodes),
        lambda: boundaries.check_terminals_at_limit(episodes),
        lambda: boundaries.check_successors(episodes),
        lambda: check_continuity(episodes),
        lambda: values.check_finite(episodes),
        lambda: values.check_constant(episodes),
        lambda: values.check_actions(episodes, action_bounds),
        lambda: values.check_precision(episodes),
        lambda: rewards.check_reward_values(episodes),
        lambda: rewards.check_episode_rewards(episodes),
        lambda: rewards.check_final_rewards(episodes),
        lambda: rewards.check_returns(episodes, record),
        lambda: rewards.check_level(episodes, record),
        lambda: copies.check_duplicate_rows(episodes, hashes()),
        lambda: copies.check_duplicate_episodes(episodes, hashes()),
        *leaks,
        *[functools.partial(Finding, "leakage", "not applicable", reason) for reason in unread],
    ]
