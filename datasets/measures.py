"""The measures of a dataset in words: what a table, a card and a page say of them, in one order."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from datumrl.datasets.dataset_statistics import DatasetStatistics
from datumrl.datasets.imitation_quality import Estimate, ImitationQuality

NOTHING = "-"
_MOST_DECIMALS = 7  # beyond, powers of ten are easier to read
_NEAR = 0.1  # of the quantile: how far a state similarity that is so by construction may be off
_SECTIONS: tuple[tuple[str, tuple[tuple[str, Callable[[DatasetStatistics], str]], ...]], ...] = (
    (
        "",
        (
            ("rows", lambda s: f"{s.rows:,}"),
            ("completed episodes", lambda s: f"{s.returns.distribution.count:,}"),
            ("rows of the unfinished tail", lambda s: f"{s.returns.unfinished_rows:,}"),
        ),
    ),
    (
        "return of completed episodes",
        (
            ("mean", lambda s: number(s.returns.distribution.mean)),
            ("standard deviation", lambda s: number(s.returns.distribution.std)),
            ("5 % quantile", lambda s: _quantile(s, 0.05)),
            ("median", lambda s: _quantile(s, 0.5)),
            ("95 % quantile", lambda s: _quantile(s, 0.95)),
            ("best", lambda s: number(s.returns.distribution.maximum)),
            ("positive-sided variance", lambda s: number(s.returns.psv)),
        ),
    ),
    (
        "on the scale of scores, 0-100",
        (
            ("TQ (0 random, 1 expert)", lambda s: number(s.scores.tq)),
            ("mean (NeoRL's dataset score)", lambda s: number(s.scores.neorl_score)),
            ("best", lambda s: number(s.scores.best)),
            ("positive-sided variance", lambda s: number(s.scores.psv)),
        ),
    ),
    (
        "steps per completed episode",
        (
            ("mean (horizon)", lambda s: number(s.lengths.horizon)),
            ("shortest", lambda s: _steps(s.lengths.distribution.minimum)),
            ("longest", lambda s: _steps(s.lengths.distribution.maximum)),
            ("end in a terminal", lambda s: f"{s.lengths.terminated:,}"),
            ("end in a timeout", lambda s: f"{s.lengths.timed_out:,}"),
        ),
    ),
    (
        "reward",
        (
            ("mean a step", lambda s: number(s.rewards.mean)),
            ("share of steps with 0 (sparsity)", lambda s: number(s.rewards.sparsity)),
            ("most steps have", lambda s: number(s.rewards.majority)),
        ),
    ),
    (
        "coverage",
        (
            ("distinct state-actions", lambda s: f"{s.coverage.unique_state_actions:,}"),
            ("distinct states", lambda s: f"{s.coverage.unique_states:,}"),
            ("SACo", lambda s: number(s.coverage.saco)),
            ("lSACo", lambda s: number(s.coverage.lsaco)),
        ),
    ),
    (
        "for imitation (sampled, ± 1 s.e.)",
        (
            ("action variance within epsilon", lambda s: _estimate(s, lambda i: i.action_variance)),
            (
                "   to the nearest state",
                lambda s: _estimate(s, lambda i: i.neighbour_action_variance),
            ),
            ("transition diversity", lambda s: _estimate(s, lambda i: i.transition_diversity)),
            ("state similarity", lambda s: _estimate(s, lambda i: i.state_similarity)),
        ),
    ),
    (
        "there more than once",
        (
            ("rows", lambda s: f"{s.duplicates.rows:,}"),
            ("episodes", lambda s: f"{s.duplicates.episodes:,}"),
        ),
    ),
    (
        "rows dropped by a view",
        (
            ("correct", lambda s: f"{sum(s.dropped['correct'].values()):,}"),
            ("d4rl-legacy", lambda s: f"{sum(s.dropped['d4rl-legacy'].values()):,}"),
        ),
    ),
)


def sections(found: DatasetStatistics) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return (title, (measure, value) of each); the same titles and measures for every dataset."""
    return [
        (title, [(label, measure(found)) for label, measure in measures])
        for title, measures in _SECTIONS
    ]


def number(value: float | None) -> str:
    """Return a number with four significant digits, or as many as its whole part needs."""
    if value is None:
        return NOTHING
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        digits = max(0, 4 - len(str(int(abs(value))))) if abs(value) >= 1 else 4
        return f"{value:,.{digits}f}"
    return f"{value:.3g}"


def _steps(value: float | None) -> str:
    return NOTHING if value is None else f"{value:,.0f}"


def _quantile(found: DatasetStatistics, level: float) -> str:
    return number(dict(found.returns.distribution.quantiles).get(level))


def _estimate(found: DatasetStatistics, pick: Callable[[ImitationQuality], Estimate]) -> str:
    if found.imitation is None:
        return NOTHING
    estimate = pick(found.imitation)
    if estimate.value is None or estimate.standard_error is None:
        return number(estimate.value)
    return with_error(estimate.value, estimate.standard_error)


def with_error(value: float, error: float) -> str:
    """Return a number and its standard error with four decimals, or as many as the error needs."""
    if error == 0:
        return f"{number(value)} ± {number(error)}"
    decimals = max(4, -math.floor(math.log10(error)))
    if decimals <= _MOST_DECIMALS:
        return f"{value:.{decimals}f} ± {error:.{decimals}f}"
    digits = max(1, decimals + 1 + math.floor(math.log10(abs(value)))) if value else 1
    return f"{value:.{digits}g} ± {error:.1g}"


def _own_yardstick(found: DatasetStatistics, imitation: ImitationQuality) -> bool:
    """Return whether the dataset set its epsilon, and equal distances do not change what follows.

    Of discrete states, or of a handful of rows, many more pairs than the quantile are within it.
    """
    similar, quantile = imitation.state_similarity.value, imitation.epsilon_quantile
    if imitation.reference != found.id or imitation.epsilon == 0 or similar is None:
        return False
    return abs(similar - quantile) <= _NEAR * quantile


def notes(found: DatasetStatistics) -> Iterable[str]:
    """Yield what to know of a dataset's numbers, a sentence or two each."""
    covered = found.coverage
    yield (
        f"coverage: preset {covered.preset}, {covered.edges} edges a dimension between the "
        f"extremes of {covered.reference}; exact count over the first {covered.rows:,} rows, "
        f"reference {covered.reference_unique_state_actions:,} distinct state-actions in "
        f"{covered.reference_rows:,} rows"
    )
    yield from covered.notes
    if found.scores.refused:
        yield f"no TQ: {found.scores.refused}"
    if found.returns.unfinished_rows:
        yield (
            f"the unfinished tail of {found.returns.unfinished_rows:,} rows, return "
            f"{number(found.returns.unfinished_return)} so far, is in no return or length"
        )
    imitation = found.imitation
    if imitation is None:
        yield "too few rows for measures of similarity"
    else:
        own = ", so state similarity is that by construction" * _own_yardstick(found, imitation)
        yield (
            f"imitation: {imitation.sampled_rows:,} rows sampled with seed {imitation.seed}; "
            f"epsilon {imitation.epsilon:.3g} deviations, the "
            f"{100 * imitation.epsilon_quantile:g} % quantile of distances in "
            f"{imitation.reference}{own}"
        )
        if imitation.left_out:
            yield f"{imitation.left_out:,} sampled rows are not finite and were left out"
    for view, reasons in found.dropped.items():
        for reason, count in reasons.items():
            yield f"{view} drops {count:,}: {reason}"
    yield from found.notes
