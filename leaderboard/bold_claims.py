"""Do a table's bold-face claims hold?  Each is tested on the runs behind it.

A bold cell claims that its algorithm is the best on that dataset.  Where nothing is bold, the
largest mean of each row is taken for the claim that readers make of it.  The claim is tested
against every algorithm that is not bold, with the family-wise test of ``datumrl compare``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from datumrl.evaluation import group_test
from datumrl.leaderboard import beyond_table, scored_rule
from datumrl.leaderboard.beyond_table import ALPHA
from datumrl.leaderboard.scored_rule import Scoring
from datumrl.leaderboard.table_case import Case, PrintedCell


@dataclass(frozen=True)
class Claim:
    """One row's claim: ``bold`` are better than ``others``.

    ``beaten`` of the others are separated from every bold one; ``contradicted`` is whether one is
    separated as better than a bold one.
    """

    dataset: str
    column: str
    bold: tuple[str, ...]
    others: tuple[str, ...]
    beaten: tuple[str, ...]
    contradicted: bool
    runs: int
    note: str = ""  # why nothing could be tested

    @property
    def survives(self) -> bool:
        """Return whether every other algorithm is separated as worse."""
        return not self.note and len(self.beaten) == len(self.others)


@dataclass(frozen=True)
class Claims:
    """All claims of a table, and whether bold marks or largest means make them."""

    marked: bool
    rows: tuple[Claim, ...]

    @property
    def surviving(self) -> int:
        """Return how many claims survive."""
        return sum(claim.survives for claim in self.rows)


def check(
    case: Case,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    scoring: Scoring | None = None,
) -> Claims:
    """Test the claim of every row with raw scores of two algorithms or more.

    A row with a mean that the scores (``scoring``, as stated by default) do not give cannot be
    tested on them.
    """
    scoring = scoring or scored_rule.of_case(case)
    marked = any(case.cells[number].bold for number in case.testable)
    rows: dict[tuple[str, str], list[PrintedCell]] = defaultdict(list)
    off: dict[tuple[str, str], list[str]] = defaultdict(list)
    scores_of = {}
    for number in sorted(case.testable):
        cell = case.cells[number]
        if not _same_runs_shown_again(case, cell):
            rows[cell.dataset, cell.column].append(cell)
            if number in scoring.off:
                off[cell.dataset, cell.column].append(cell.algorithm)
            if cell.column not in scores_of:
                scores_of[cell.column] = beyond_table.scores_of(case, cell, scoring)
    claims = []
    for done, (row, cells) in enumerate(rows.items(), start=1):
        best = max(float(cell.mean or "nan") for cell in cells)
        bold = [c for c in cells if (c.bold if marked else float(c.mean or "nan") == best)]
        if 0 < len(bold) < len(cells):
            claims.append(_claim(row, bold, cells, scores_of[row[1]], off[row], seed))
        if progress is not None:
            progress(done, len(rows))
    return Claims(marked, tuple(claims))


def _same_runs_shown_again(case: Case, cell: PrintedCell) -> bool:
    """Return whether the cell is the return of which the table has the score too."""
    if cell.quantity != "return" or cell.bold:
        return False
    return any(
        other.quantity == "score" and other.checkpoint == cell.checkpoint for other in case.cells
    )


def _claim(
    row: tuple[str, str],
    bold: list[PrintedCell],
    cells: list[PrintedCell],
    scores: beyond_table.Scores,
    off: list[str],
    seed: int,
) -> Claim:
    dataset, column = row
    winners = tuple(cell.algorithm for cell in bold)
    names = [cell.algorithm for cell in cells]
    others = tuple(name for name in names if name not in winners)
    lacking = [name for name in names if (name, dataset) not in scores]
    for reason, odd in (("failed runs", lacking), ("not what these scores give", off)):
        if odd:
            told = f"{reason}: {', '.join(odd)}"
            return Claim(dataset, column, winners, others, (), False, 0, told)
    runs = min(len(scores[name, dataset]) for name in names)
    table = beyond_table.table(scores, [dataset], names)
    beaten, contradicted = set(others), False
    for winner in winners:
        test = group_test.separate(table, [winner, *others], ALPHA, seed, baseline=winner)
        if test.reason:
            return Claim(dataset, column, winners, others, (), False, runs, test.reason)
        decisions = {name: test.decision(winner, name) for name in others}
        beaten &= {name for name, decision in decisions.items() if decision == "larger"}
        contradicted |= "smaller" in decisions.values()
    shown = tuple(name for name in others if name in beaten)
    return Claim(dataset, column, winners, others, shown, contradicted, runs)
