"""Checks for rows and episodes that come twice, within a dataset or in two of them.

What is equal, and how it is found by hashes of rows, is told in `duplicates`.  The hashes are all
that is held in memory: 8 bytes a row, and 9 more for their order while repeats are looked for.
"""

from __future__ import annotations

import numpy as np

from datumrl.datasets import duplicates
from datumrl.datasets.duplicates import SHORTEST
from datumrl.datasets.episodes import Episodes
from datumrl.datasets.findings import Finding, first, named_columns, pieces, share


def check_duplicate_rows(episodes: Episodes, hashes: np.ndarray) -> Finding:
    """No (observation, action, reward) comes twice, outside of episodes that do so as a whole."""
    name = "duplicated rows"
    if len(episodes) < 2:
        return Finding(name, "not applicable", "fewer than two rows")
    again = np.flatnonzero(duplicates.repeated(hashes))
    counts = {"rows": len(episodes), "repeated": len(again)}
    if not len(again):
        return Finding(name, "pass", f"all {len(episodes):,} rows are distinct", counts)
    return Finding(
        name,
        "warn",
        f"{share(len(again), len(episodes))} rows repeat an earlier one",
        counts,
        first(again),
        "normal for discrete states; otherwise part of the data was copied, counts for more, and "
        "leaks from training into validation",
    )


def check_duplicate_episodes(episodes: Episodes, hashes: np.ndarray) -> Finding:
    """No episode of two rows or more is a copy of an earlier one.

    States that are whole numbers may repeat by chance, so copies there are only a warning.
    """
    name = "duplicated episodes"
    compared, again = duplicates.repeated_episodes(episodes, hashes)
    if compared < 2:
        return Finding(name, "not applicable", "fewer than two episodes of two rows or more")
    counts = {"episodes": compared, "repeated": len(again)}
    if not len(again):
        return Finding(name, "pass", f"all {compared:,} episodes are distinct", counts)
    return Finding(
        name,
        "warn" if _whole_numbers(episodes) else "fail",
        f"{share(len(again), compared)} episodes repeat an earlier one",
        counts,
        first(episodes.starts[:-1][again]),
        "drop the copies: they count for more, and a split by episode leaks them",
    )


def _whole_numbers(episodes: Episodes) -> bool:
    """Return whether observations look discrete: the first rows are whole numbers."""
    parts = [
        values[: 1 << 10]
        for name, values in named_columns(episodes).items()
        if name.startswith("observations")
    ]
    return all(bool((part == np.rint(part)).all()) for part in parts)


def check_leakage(training: Episodes, hashes: np.ndarray, validation: Episodes) -> Finding:
    """No row or episode of ``validation`` is in ``training``, whose row hashes are ``hashes``.

    Not applicable to datasets whose columns differ in name or width.
    """
    name = "leakage"
    if not len(validation) or not len(training):
        return Finding(name, "not applicable", "one of the two datasets holds no rows")
    if why := duplicates.incomparable(training, validation):
        return Finding(name, "not applicable", f"rows cannot be compared: {why}")
    types = duplicates.common_types(training, validation)
    if types:
        hashes = duplicates.row_hashes(training, types)
    others = duplicates.row_hashes(validation, types)
    rows = np.flatnonzero(_among(others, hashes))
    mine = duplicates.episode_hashes(training, hashes)
    shared = _among(duplicates.episode_hashes(validation, others), mine)
    shared &= validation.lengths() >= SHORTEST
    counts = {
        "rows": len(validation),
        "shared rows": len(rows),
        "shared episodes": int(shared.sum()),
    }
    told = "; ".join(f"{column} compared as {dtype}" for column, dtype in types.items())
    told = f" ({told})" if told else ""
    if not len(rows):
        text = f"none of the {len(validation):,} rows of {validation.id} is in {training.id}"
        return Finding(name, "pass", text + told, counts)
    found = f"{share(len(rows), len(validation))} rows and {counts['shared episodes']:,} whole "
    return Finding(
        name,
        "fail",
        f"{found}episodes of {validation.id} are in {training.id}{told}",
        counts,
        first(rows),
        f"drop them from one of the two (the first rows are those of {validation.id}): scores on "
        "them say nothing of what was learned",
    )


def _among(hashes: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return which of some hashes are among the known ones, of which there is one or more."""
    ordered, found = np.sort(known), np.zeros(len(hashes), bool)
    for piece in pieces(len(hashes)):
        order = np.argsort(hashes[piece])  # neighbours are looked for near each other
        sought = hashes[piece][order]
        places = np.minimum(np.searchsorted(ordered, sought), len(ordered) - 1)
        found[piece.start + order] = ordered[places] == sought
    return found
