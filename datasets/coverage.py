"""SACo: how much of the state-action space of a reference dataset a dataset covers.

Source: Schweighofer et al., "A Dataset Perspective on Offline Reinforcement Learning",
arXiv:2111.04714.  What is counted: distinct discretised (state, action) rows, exactly, where the
published evaluation estimates the number with a HyperLogLog of 1 % error; see `discretization` for
what makes two rows the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from datumrl.datasets import discretization, distinct
from datumrl.datasets.discretization import Limits, Preset
from datumrl.datasets.distinct import Progress
from datumrl.datasets.episodes import Episodes
from datumrl.datasets.errors import DatumrlError


@dataclass(frozen=True)
class Coverage:
    """What was counted, of how many rows, and how it compares with the reference."""

    preset: str
    edges: int  # per dimension
    reference: str  # dataset id; the limits of every dimension are its
    rows: int  # counted
    reference_rows: int  # counted, and looked at for limits
    unique_state_actions: int
    unique_states: int
    reference_unique_state_actions: int
    saco: float  # u(D) / u(reference), no unit; above 1 is possible
    lsaco: float | None  # log u(D) / log u(reference); None where a logarithm is 0 or undefined
    nan_values: int  # NaNs among the rows counted; each is in the last bin of its dimension
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class ReferenceCoverage:
    """All that is needed of a reference dataset: count once, compare many datasets with it."""

    limits: Limits
    unique_state_actions: int


def coverage(
    episodes: Episodes,
    reference: Episodes | ReferenceCoverage | None = None,
    preset: Preset | str = discretization.DEFAULT,
    rows: int | None = None,
    progress: Progress | None = None,
) -> Coverage:
    """Return SACo(D) = u(D) / u(D_ref) and lSACo = log u(D) / log u(D_ref).

    u counts distinct rows of bins.  Without a reference the dataset is its own (SACo = 1).
    ``rows`` replaces the number of rows that the preset counts.  Memory is bounded whatever the
    size (see `distinct`).

    Raises DatumrlError for a reference without rows, with NaNs, or of another kind or width.
    """
    rule = discretization.find_preset(preset) if isinstance(preset, str) else preset
    used = _rows(rule, rows)
    itself = reference is None or reference is episodes
    known = episodes if reference is None else reference
    if not isinstance(known, ReferenceCoverage):
        known = reference_coverage(known, rule, rows, progress)
    unique, nans = known.unique_state_actions, 0
    if not itself:
        both = discretization.packing(episodes, known.limits, rule)
        unique, nans = distinct.count_with_nans(both, used, progress)
    states = discretization.packing(episodes, known.limits, rule, actions=False)
    return Coverage(
        preset=rule.name,
        edges=rule.edges,
        reference=known.limits.source,
        rows=len(episodes) if used is None else min(used, len(episodes)),
        reference_rows=known.limits.rows,
        unique_state_actions=unique,
        unique_states=distinct.count(states, used, progress),
        reference_unique_state_actions=known.unique_state_actions,
        saco=unique / known.unique_state_actions,
        lsaco=log_ratio(unique, known.unique_state_actions),
        nan_values=nans,
        notes=_notes(episodes, known, used, nans, itself),
    )


def reference_coverage(
    reference: Episodes,
    preset: Preset | str = discretization.DEFAULT,
    rows: int | None = None,
    progress: Progress | None = None,
) -> ReferenceCoverage:
    """Return a reference's limits and how many distinct state-action rows it has.

    Raises DatumrlError for a reference without rows, or with values that are not finite.
    """
    rule = discretization.find_preset(preset) if isinstance(preset, str) else preset
    used = _rows(rule, rows)
    found = discretization.limits(reference, used)
    counted = distinct.count(discretization.packing(reference, found, rule), used, progress)
    return ReferenceCoverage(found, counted)


def unique_state_actions(
    episodes: Episodes,
    limits: Limits,
    preset: Preset | str = discretization.DEFAULT,
    rows: int | None = None,
    progress: Progress | None = None,
) -> int:
    """Return u(D) alone: the number of distinct discretised (state, action) rows."""
    rule = discretization.find_preset(preset) if isinstance(preset, str) else preset
    return distinct.count(
        discretization.packing(episodes, limits, rule), _rows(rule, rows), progress
    )


def log_ratio(unique: int, reference: int) -> float | None:
    """Return log u(D) / log u(D_ref); None for no rows, or a reference of one distinct row."""
    if unique < 1 or reference < 2:
        return None
    return math.log(unique) / math.log(reference)


def _rows(preset: Preset, rows: int | None) -> int | None:
    if rows is not None and rows < 1:
        raise DatumrlError(f"{rows} rows cannot be counted; ask for 1 or more")
    return preset.rows if rows is None else rows


def _notes(
    episodes: Episodes, known: ReferenceCoverage, used: int | None, nans: int, itself: bool
) -> tuple[str, ...]:
    rows = len(episodes) if used is None else min(used, len(episodes))
    notes = []
    if itself:
        notes.append("the dataset is its own reference: SACo = 1 says nothing of it")
    elif rows != known.limits.rows:
        notes.append(
            f"{rows:,} rows are compared with {known.limits.rows:,} of the reference: distinct "
            "rows grow with rows, so SACo is defined for equally many (--rows cuts both)"
        )
    if nans:
        notes.append(f"{nans:,} values are NaN; each was counted in the last bin of its dimension")
    return tuple(notes)
