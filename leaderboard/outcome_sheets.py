"""An outcome as tables of text, the same for the terminal, Markdown, LaTeX and the site."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from datumrl.evaluation.report_tables import Sheet, number, plural, span
from datumrl.leaderboard import trained_sheets
from datumrl.leaderboard.bold_claims import Claim
from datumrl.leaderboard.outcome import WORDS, CellVerdict, Outcome, decimals

_LISTED = 3  # datasets named in a caption


def cells(verdicts: Sequence[CellVerdict], rules: Sequence[str] = ()) -> Sheet:
    """Return the cells side by side: printed, recomputed, verdict.

    A rule that ``rules`` lists is named by its number there.
    """
    columned = any(verdict.cell.column for verdict in verdicts)
    rows = []
    for verdict in verdicts:
        cell = verdict.cell
        printed = f"{cell.printed} (bold)" if cell.bold else cell.printed
        row = (
            cell.algorithm,
            cell.dataset,
            printed,
            verdict.recomputed or "–",
            _words(verdict, rules),
        )
        rows.append((*row[:2], cell.column, *row[2:]) if columned else row)
    head = ("algorithm", "dataset", "printed", "recomputed", "verdict")
    columns = (*head[:2], "column", *head[2:]) if columned else head
    spread = any(verdict.cell.std is not None for verdict in verdicts)
    caption = "Mean ± standard deviation over runs." if spread else ""
    return Sheet("cells", "Cells", columns, tuple(rows), caption)


def _words(verdict: CellVerdict, rules: Sequence[str]) -> str:
    if verdict.status == "only under" and verdict.rule in rules:
        return f"reproduced only under rule {rules.index(verdict.rule) + 1}"
    return verdict.words


def needed_rules(outcome: Outcome) -> dict[str, int]:
    """Return the rules that cells follow only under and how many do, most first."""
    counted = Counter(v.rule for v in outcome.verdicts if v.status == "only under")
    return dict(counted.most_common())


def summary(outcome: Outcome) -> list[str]:
    """Return the table's summary, a sentence each."""
    if outcome.trained is not None:
        return [*outcome.facts, *trained_sheets.summary(outcome.trained)]
    counts = outcome.counts
    tested = [verdict for verdict in outcome.verdicts if verdict.recomputed and verdict.cell.mean]
    lines = list(outcome.facts)
    if tested:
        following = [verdict for verdict in tested if verdict.follows]
        numbers = sum(_numbers(verdict) for verdict in tested)
        wrong = sum(max(1, len(v.wrong)) for v in tested if v.status == "differs")
        lines.append(
            f"{len(following)} of {len(tested)} cells are equal after rounding "
            f"({numbers - wrong} of {numbers} numbers)"
        )
    parts = [f"{count} {WORDS[status]}" for status, count in counts.items()]
    lines.append(f"{plural(len(outcome.verdicts), 'cell')}: {', '.join(parts)}")
    for place, (rule, count) in enumerate(needed_rules(outcome).items(), start=1):
        lines.append(f"rule {place}: {rule} ({plural(count, 'cell')} only under it)")
    gap = largest_difference(outcome)
    if gap is not None:
        lines.append(f"largest difference {gap:.4g}")
    if any(verdict.cell.checkpoint == "best" for verdict in outcome.verdicts):
        lines.append(
            "'best' picks a checkpoint by its test return, so it is an optimistic statistic"
        )
    return lines


def _numbers(verdict: CellVerdict) -> int:
    return 1 if verdict.cell.std is None else 2


def largest_difference(outcome: Outcome) -> float | None:
    """Return the largest gap between a recomputed and a printed number; None without any."""
    gaps = []
    for verdict in outcome.verdicts:
        cell = verdict.cell
        for printed, value in ((cell.mean, verdict.mean), (cell.std, verdict.std)):
            if printed is not None and value is not None:
                gaps.append(abs(value - float(printed)))
    return max(gaps, default=None)


def sheets(outcome: Outcome, verdicts: Sequence[CellVerdict] | None = None) -> list[Sheet]:
    """Return every table that has rows; ``verdicts`` are the cells to show, by default all."""
    if outcome.trained is not None:
        return trained_sheets.sheets(outcome.trained)
    shown = outcome.verdicts if verdicts is None else verdicts
    made = [
        cells(shown, list(needed_rules(outcome))),
        _diagnosis(outcome),
        _departures(outcome),
        *outcome.extras,
        *_pools(outcome),
        _claims(outcome),
    ]
    return [sheet for sheet in made if sheet.rows]


def _diagnosis(outcome: Outcome) -> Sheet:
    found = outcome.diagnosis
    rows: list[tuple[str, ...]] = []
    caption = ""
    if found is not None:
        rows = [(each.label, f"{each.fits} of {each.of}") for each in found.tried]
        named = [
            f"{each.candidate.label}: explains {each.where}"
            + (f" (as well: {'; '.join(each.equivalent)})" if each.equivalent else "")
            for each in found.explanations
        ]
        none = "No rule explains the cells that differ better than chance would"
        told = ". ".join(named) if named else none
        caption = f"{told}. {found.rules:,} rules were tried."
    return Sheet(
        "diagnosis", "Diagnosis: rules tried", ("rule", "cells it fits"), tuple(rows), caption
    )


def _departures(outcome: Outcome) -> Sheet:
    total = len(outcome.verdicts)
    rows = tuple((label, f"{failing} of {total}") for label, failing in outcome.departures)
    return Sheet(
        "departures",
        "Which rules the table rests on",
        ("another rule", "cells that no longer follow"),
        rows,
        "The source's rule, changed in one point.",
    )


def _pools(outcome: Outcome) -> list[Sheet]:
    made = []
    for place, pool in enumerate(outcome.pools):
        if len(pool.aggregates) < 2:
            continue
        rows = []
        for each in pool.aggregates:
            ends = "–"
            if each.interval is not None:
                ends = f"[{number(each.interval.low)}, {number(each.interval.high)}]"
                ends += " †" if each.interval.few_runs else ""
            rows.append((each.algorithm, number(each.iqm), ends, each.letters or "–"))
        names = ", ".join(pool.datasets[:_LISTED])
        more = len(pool.datasets) - _LISTED
        names += f" and {more} more" if more > 0 else ""
        few = any(each.interval and each.interval.few_runs for each in pool.aggregates)
        made.append(
            Sheet(
                f"pool-{place}",
                f"Beyond the table: {plural(len(pool.datasets), 'task')} x {span(pool.runs)} runs",
                ("algorithm", "IQM", "95% interval", "groups"),
                tuple(rows),
                _sentences(
                    f"On {names}. Interval: Student's t. Who shares a letter was not separated: "
                    f"{pool.test}.",
                    "† few runs: do not trust the interval." if few else "",
                    outcome.scored,
                ),
            )
        )
    return made


def _claims(outcome: Outcome) -> Sheet:
    columns = ("dataset", "column", "best", "not separated from it", "survives")
    found = outcome.claims
    if found is None:
        return Sheet("claims", "", columns, (), "")
    rows = []
    for claim in found.rows:
        left = [name for name in claim.others if name not in claim.beaten]
        rows.append(
            (
                claim.dataset,
                claim.column or "–",
                ", ".join(claim.bold),
                claim.note or ", ".join(left) or "–",
                _survival(claim),
            )
        )
    return Sheet("claims", claims_title(outcome), columns, tuple(rows), claims_caption(outcome))


def _survival(claim: Claim) -> str:
    if claim.note:
        return "not testable"
    if claim.survives:
        return "yes"
    return "contradicted" if claim.contradicted else "no"


def claims_title(outcome: Outcome) -> str:
    """Return how many claims survive, as a title."""
    found = outcome.claims
    if found is None:
        return ""
    kind = "bold-face claims" if found.marked else "claims of the largest mean of a row"
    return f"{found.surviving} of {len(found.rows)} {kind} survive"


def claims_caption(outcome: Outcome) -> str:
    """Return how claims were tested."""
    found = outcome.claims
    if found is None:
        return ""
    runs = [claim.runs for claim in found.rows if claim.runs]
    seeds = f", {span((min(runs), max(runs)))} runs of each" if runs else ""
    return _sentences(
        "A claim survives if every algorithm that is not bold is separated as worse: closed "
        f"step-down permutation test, family-wise alpha 0.05 per dataset{seeds}.",
        outcome.scored,
    )


def _sentences(*told: str) -> str:
    return " ".join(filter(None, told))


def worst_first(verdicts: Sequence[CellVerdict]) -> list[CellVerdict]:
    """Return the cells that differ, those furthest off (in units of the last digit) first."""

    def off(verdict: CellVerdict) -> float:
        if verdict.mean is None or verdict.cell.mean is None:
            return float("inf")
        gap = abs(verdict.mean - float(verdict.cell.mean))
        return gap * 10.0 ** decimals(verdict.cell.mean)

    return sorted((v for v in verdicts if v.status == "differs"), key=off, reverse=True)
