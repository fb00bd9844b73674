"""Names of algorithms and datasets in two files, matched where case or collection differ."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from datumrl.datasets.errors import DatumrlError
from datumrl.leaderboard.own_files import listed
from datumrl.leaderboard.rules import Place
from datumrl.leaderboard.table_case import PrintedCell

_Place = tuple[str, str]  # algorithm, dataset


def finder(known: Iterable[str]) -> Callable[[str], list[str]]:
    """Return what tells which known names mean a dataset.

    It is the name itself, else those that differ in case, else those of which one lacks the other's
    collection (``hopper-medium-v2`` for ``d4rl/hopper-medium-v2``).  Ends of ids tell nothing:
    Minari has a ``medium-v0`` of every environment.
    """
    places = _Places(("", name) for name in known)
    return lambda name: [dataset for _, dataset in places.of("", name)]


class _Places:
    """Algorithms and datasets, found by other spellings."""

    def __init__(self, places: Iterable[_Place]) -> None:
        self._exact = dict.fromkeys(places)
        self._whole: dict[_Place, list[_Place]] = defaultdict(list)
        self._bare: dict[_Place, list[_Place]] = defaultdict(list)
        for algorithm, dataset in self._exact:
            whole = (algorithm.casefold(), dataset.casefold())
            self._whole[whole].append((algorithm, dataset))
            self._bare[whole[0], _bare(whole[1])].append((algorithm, dataset))

    def of(self, algorithm: str, dataset: str) -> list[_Place]:
        """Return the places that a name may mean, by the nearest spelling that any has."""
        if (algorithm, dataset) in self._exact:
            return [(algorithm, dataset)]
        whole = (algorithm.casefold(), dataset.casefold())
        if whole in self._whole:
            return self._whole[whole]
        bare = (whole[0], _bare(whole[1]))
        longer = self._bare.get(whole, []) if whole[1] else []
        return longer + (self._whole.get(bare, []) if bare[1] else [])


def _bare(dataset: str) -> str:
    """Return an id without its collection, "" where it has none."""
    return dataset.partition("/")[2]


def matched(
    cells: Sequence[PrintedCell], raw: Iterable[_Place], file: str
) -> tuple[list[PrintedCell], list[str]]:
    """Return cells under the raw scores' spelling, and notes on what was taken for what.

    A name that may mean several stays as it is.  Raises DatumrlError, naming ``file``, where two
    cells would be recomputed from the same raw scores.
    """
    places = _Places(raw)
    found = {place: places.of(*place) for place in _of_cells(cells)}
    _join_collections(found)
    taken = {place: own[0] for place, own in found.items() if len(own) == 1}
    renamed = [_under(cell, taken) for cell in cells]
    _check_apart(cells, renamed, file)
    return renamed, [*_told(taken, file), *_doubtful(found, file)]


def _of_cells(cells: Sequence[PrintedCell]) -> dict[_Place, None]:
    return dict.fromkeys((cell.algorithm, cell.dataset) for cell in cells)


def _join_collections(found: dict[_Place, list[_Place]]) -> None:
    """Let a dataset be doubtful that would be one collection's here and another's there."""
    meant: dict[str, dict[str, None]] = defaultdict(dict)
    for (_, dataset), own in found.items():
        others = (other for _, other in own if other.casefold() != dataset.casefold())
        meant[dataset].update(dict.fromkeys(others))
    for (algorithm, dataset), own in found.items():
        several = len({other.casefold() for other in meant[dataset]}) > 1
        if several and own and own[0][1].casefold() != dataset.casefold():
            found[algorithm, dataset] = [(own[0][0], other) for other in meant[dataset]]


def _under(cell: PrintedCell, taken: Mapping[_Place, _Place]) -> PrintedCell:
    algorithm, dataset = taken.get((cell.algorithm, cell.dataset), (cell.algorithm, cell.dataset))
    return replace(cell, algorithm=algorithm, dataset=dataset)


def _check_apart(cells: Sequence[PrintedCell], renamed: Sequence[PrintedCell], file: str) -> None:
    places: dict[Place, PrintedCell] = {}
    for cell, own in zip(cells, renamed, strict=True):
        other = places.setdefault(own.place, cell)
        if other is not cell:
            raise DatumrlError(
                f"{file}: {other.name} and {cell.name} would both be recomputed from the raw "
                f"scores of {own.algorithm} on {own.dataset}; keep one, or say with --names what "
                "the other is"
            )


def _told(taken: Mapping[_Place, _Place], file: str) -> list[str]:
    """Return a note on names that are spelled otherwise in the raw scores, none where all agree."""
    pairs = dict.fromkeys(
        pair
        for place, own in taken.items()
        for pair in zip(place, own, strict=True)
        if pair[0] != pair[1]
    )
    words = [f"{printed!r} as {other!r}" for printed, other in pairs]
    return [f"{file}: read as the raw scores spell it: {listed(words)}"] if words else []


def _doubtful(found: Mapping[_Place, Sequence[_Place]], file: str) -> list[str]:
    several = [
        f"{algorithm} on {dataset} ("
        + " or ".join(f"{other} on {name}" for other, name in own)
        + ")"
        for (algorithm, dataset), own in found.items()
        if len(own) > 1
    ]
    words = "may be several, so that no raw scores are taken; say with --names which"
    return [f"{file}: {words}: {listed(several)}"] if several else []
