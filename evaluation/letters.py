"""Compact letter display: names that share a letter were not separated by a test.

After Piepho 2004, "An algorithm for a letter-based representation of all-pairwise comparisons"
(insert and absorb): begin with one letter for all; split every letter that two separated names
share; drop what another letter contains.  What remains are the largest groups without a separated
pair, less those that no pair needs.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from datumrl.datasets.errors import DatumrlError


def compact(names: Sequence[str], separated: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return each name's letters, e.g. ``{"iql": "a", "td3_bc": "ab", "bc": "b"}``.

    Two names share a letter exactly if they are not separated.  Letters go by the order of the
    names: give the best first.  The 27th letter is ``a1``.
    """
    place = {name: index for index, name in enumerate(names)}
    if len(place) < len(names):
        raise DatumrlError(f"names {', '.join(names)}: give every name once")
    groups = {frozenset(range(len(names)))} if names else set()
    apart = set()
    for first, second in separated:
        if first not in place or second not in place or first == second:
            raise DatumrlError(f"pair {first!r}, {second!r}: give two different names")
        pair = (place[first], place[second])
        apart.add(frozenset(pair))
        groups = _absorbed(_split(groups, *pair))
    kept = _needed(groups, apart, len(names))
    letters = [""] * len(names)
    for number, group in enumerate(sorted(kept, key=sorted)):
        for index in group:
            letters[index] += _letter(number)
    return dict(zip(names, letters, strict=True))


def _split(groups: set[frozenset[int]], first: int, second: int) -> set[frozenset[int]]:
    split = set()
    for group in groups:
        if first in group and second in group:
            split |= {group - {first}, group - {second}}
        else:
            split.add(group)
    return split


def _absorbed(groups: set[frozenset[int]]) -> set[frozenset[int]]:
    return {group for group in groups if not any(group < other for other in groups)}


def _needed(
    groups: set[frozenset[int]], apart: set[frozenset[int]], count: int
) -> list[frozenset[int]]:
    """Drop, smallest first, every group whose pairs (and lone names) other groups show too."""
    kept = sorted(groups, key=lambda group: (len(group), sorted(group)), reverse=True)
    together = {
        frozenset(pair)
        for pair in itertools.combinations_with_replacement(range(count), 2)
        if frozenset(pair) not in apart
    }
    for group in reversed(list(kept)):
        others = [other for other in kept if other is not group]
        if all(any(pair <= other for other in others) for pair in together if pair <= group):
            kept = others
    return kept


def _letter(number: int) -> str:
    cycle, place = divmod(number, 26)
    return chr(ord("a") + place) + (str(cycle) if cycle else "")
