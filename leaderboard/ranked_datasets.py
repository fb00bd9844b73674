"""Which datasets a table ranks over, where its methods were run on different ones.

A rank needs methods that were run on the same datasets.  Of all sets of datasets that methods have
in common, the one with the largest number of methods x datasets is taken, so that a dataset more
or less of a single method moves nobody else.  Scores choose nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

# Sets that are looked at.  Up to 12 datasets have no more; where more of them are covered in as
# many different ways, each coverage is looked at, and what the widest have in common.
MOST = 4_096


def chosen(coverages: Iterable[Collection[str]]) -> tuple[str, ...]:
    """Return the datasets to rank over, sorted; ``coverages`` are those each method finished.

    Sets that two methods or more cover go first: a single one has nobody to be ranked with.  Ties
    go to the larger set, then to the first by name.
    """
    found = [set(each) for each in coverages if each]
    names = sorted(set().union(*found))
    place = {name: 1 << number for number, name in enumerate(names)}
    masks = [sum(place[name] for name in each) for each in found]

    def datasets(mask: int) -> tuple[str, ...]:
        return tuple(name for name in names if mask & place[name])

    def worth(mask: int) -> tuple[bool, int, int, tuple[str, ...]]:
        methods, size = sum(mask & each == mask for each in masks), mask.bit_count()
        return methods < 2, -methods * size, -size, datasets(mask)

    return datasets(min(_shared(masks), key=worth)) if masks else ()


def _shared(masks: Iterable[int]) -> set[int]:
    """Return the sets, as bits, that some of the methods have in common."""
    distinct = sorted(set(masks), key=lambda mask: (-mask.bit_count(), mask))
    found: set[int] = set()
    for mask in distinct:
        if len(found) < MOST:
            found |= {mask & other for other in found} - {0}
        found.add(mask)
    return found
