"""Which method for which data: the best methods on every dataset of the TQ-SACo map.

On each dataset the methods of one table are tested against each other, one score per seed; what
the test does not separate from the highest mean of those tested is the best group.  Nothing here
says that a place on the map makes a method good: it is what was found on these datasets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from datumrl.datasets.quality_map import MapPoint
from datumrl.leaderboard import dataset_results, standings
from datumrl.leaderboard.dataset_results import Results
from datumrl.leaderboard.tables import CONFIDENCE, Cell, Entry, Table

PAGE = "map.html"


@dataclass(frozen=True)
class Verdict:
    """A dataset on the map and the methods measured on it, highest mean first.

    ``best`` are those not separated from the first that was tested; it is empty where none was.
    """

    point: MapPoint
    table: Table | None = None
    measured: tuple[tuple[Entry, Cell], ...] = ()
    best: tuple[Entry, ...] = ()
    how: str = ""  # the test in words, or why there is none
    untested: tuple[Entry, ...] = ()  # of failed runs, or of too few for the test of the others

    @property
    def all_best(self) -> bool:
        """Return whether no method that was tested was separated from the highest mean of them."""
        return len(self.best) == len(self.measured) - len(self.untested)

    @property
    def best_lines(self) -> list[tuple[Entry, Cell]]:
        """Return the best group with its cells, highest mean first."""
        ids = {entry.id for entry in self.best}
        return [(entry, cell) for entry, cell in self.measured if entry.id in ids]


def verdicts(points: Iterable[MapPoint], board: Sequence[Table]) -> list[Verdict]:
    """Return what was found on every dataset of the map, by id."""
    return [_verdict(point, board) for point in sorted(points, key=lambda point: point.id)]


@dataclass(frozen=True)
class Named:
    """What a row is called on the map: a capital letter, and its name."""

    letter: str
    title: str  # with the tier where rows of other tiers have the same name


_FEW = ("no method", "a single method")


def letters(found: Sequence[Verdict]) -> dict[str, Named]:
    """Return what every row that is measured on the map is called, by id and in order of letters.

    A letter is that of a name in a tier: rows of it in several tables share it.
    """
    entries = [entry for each in found for entry, _ in each.measured]
    kinds = sorted({_kind(entry) for entry in entries}, key=lambda kind: (kind[0].casefold(), kind))
    names = Counter(name for name, _ in kinds)
    called = {
        (name, tier): Named(_letter(number), f"{name}, {tier}" if names[name] > 1 else name)
        for number, (name, tier) in enumerate(kinds)
    }
    ordered = sorted(entries, key=lambda entry: kinds.index(_kind(entry)))
    return {entry.id: called[_kind(entry)] for entry in ordered}


def _kind(entry: Entry) -> tuple[str, str]:
    return entry.name, entry.tier


def as_json(found: Iterable[Verdict]) -> list[dict[str, Any]]:
    """Return the map as JSON content."""
    return [
        {
            "dataset": each.point.id,
            "tq": each.point.tq,
            "saco": each.point.saco,
            "own_reference": each.point.own_reference,
            "table": each.table and each.table.id,
            "measured": [{"row": e.id, "name": e.name, "mean": c.mean} for e, c in each.measured],
            "best": [entry.id for entry in each.best],
            "untested": [entry.id for entry in each.untested],
            "test": each.how,
        }
        for each in found
    ]


def label(verdict: Verdict, of: Mapping[str, Named]) -> str:
    """Return what is written beside a dataset: the letters of its best group, or that all are."""
    if not verdict.best:
        return "?" if len(verdict.measured) > 1 else ""
    if verdict.all_best:
        return f"all {len(verdict.best)}"
    return "".join(of[entry.id].letter for entry in verdict.best)


def _verdict(point: MapPoint, board: Sequence[Table]) -> Verdict:
    parts = [(part.table, _scored(part)) for part in dataset_results.of(point.id, board)]
    # Of several tables the one with most methods, as their scores are not comparable; one that
    # ranks nothing by design says nothing of a best method.
    table, measured = max(
        parts,
        key=lambda part: (not part[0].unranked, len(part[1]), part[0].id),
        default=(None, ()),
    )
    if table is None or not measured:
        return Verdict(point, how="no method was run on it")
    if table.unranked:
        return Verdict(point, table, measured, how=table.unranked)
    whole = [(entry, cell) for entry, cell in measured if not cell.count("failed")]
    if len(whole) < 2:
        without = " without failed runs" if len(whole) < len(measured) else ""
        return Verdict(point, table, measured, how=f"{_FEW[len(whole)]} was run on it{without}")
    scores = {entry.id: cell.values[:, None] for entry, cell in whole}
    tested = standings.of(scores, CONFIDENCE)
    if not tested.letters:
        return Verdict(point, table, measured, how=tested.test)
    untested = tuple(entry for entry, _ in measured if entry.id not in tested.letters)
    lettered = [entry for entry, _ in measured if entry.id in tested.letters]
    first = set(tested.letters[lettered[0].id])
    best = tuple(entry for entry in lettered if first & set(tested.letters[entry.id]))
    return Verdict(point, table, measured, best, tested.test, untested)


def _scored(part: Results) -> tuple[tuple[Entry, Cell], ...]:
    return tuple((entry, cell) for entry, cell in part.lines if cell.values.size)


def _letter(number: int) -> str:
    cycle, place = divmod(number, 26)
    return chr(ord("A") + place) + (str(cycle) if cycle else "")
