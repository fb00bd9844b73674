"""Which datasets a table ranks over, where its methods were run on different ones.

A rank needs methods that were run on the same datasets.  Of all sets of datasets that methods have
in common, the one with the largest number of methods x datasets is taken, so that a dataset which
only one method ran changes nobody's rank.  Another run on a dataset that some methods share can
change the set, and with it who is ranked.  Scores choose nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Sequence

# Sets that are looked at.  Up to 12 datasets have no more; where more of them are covered in as
# many different ways, each coverage is looked at, and what the widest have in common.
MOST = 4_096


def chosen(
    coverages: Sequence[Collection[str]], methods: Sequence[Hashable] = ()
) -> tuple[str, ...]:
    """Return the datasets to rank over, sorted; ``coverages`` are those each row was run on.

    ``methods`` say whose row each is, by default one of its own.  However many settings of a
    method were run, it counts once, for every set that any of its rows covers; rows of a single
    method count each, as nothing else is there to be ranked.  Sets that two methods or more cover
    go first: a single one has nobody to be ranked with.  Ties go to the larger set, then to the
    first by name.
    """
    owners = methods or range(len(coverages))
    found = [(owner, set(each)) for owner, each in zip(owners, coverages, strict=True) if each]
    names = sorted(set().union(*(each for _, each in found)))
    place = {name: 1 << number for number, name in enumerate(names)}
    alone = len({owner for owner, _ in found}) == 1
    masks: dict[Hashable, set[int]] = defaultdict(set)
    for number, (owner, each) in enumerate(found):
        masks[number if alone else owner].add(sum(place[name] for name in each))

    def datasets(mask: int) -> tuple[str, ...]:
        return tuple(name for name in names if mask & place[name])

    def worth(mask: int) -> tuple[bool, int, int, tuple[str, ...]]:
        count = sum(any(mask & each == mask for each in rows) for rows in masks.values())
        size = mask.bit_count()
        return count < 2, -count * size, -size, datasets(mask)

    every = set().union(*masks.values())
    return datasets(min(_shared(every), key=worth)) if every else ()


def _shared(masks: Iterable[int]) -> set[int]:
    """Return the sets, as bits, that some of the rows have in common."""
    distinct = sorted(set(masks), key=lambda mask: (-mask.bit_count(), mask))
    found: set[int] = set()
    for mask in distinct:
        if len(found) < MOST:
            found |= {mask & other for other in found} - {0}
        found.add(mask)
    return found
