"""Which runs of a cell a rule takes: by configuration and by seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from datumrl.leaderboard.rules import RawRun

_Group = tuple[np.ndarray, list[str]]  # values and seeds


def by_configuration(
    runs: Sequence[RawRun], values: np.ndarray, keep: np.ndarray, wanted: str
) -> list[_Group]:
    """Return the runs that a choice of configurations (`Rule.configuration`) leaves.

    ``values`` are ``(runs, evaluations)``, ``keep (runs,)`` says which count at all.
    """
    seeds = [run.seed for run in runs]
    own = np.array([run.configuration for run in runs])

    def group(mask: np.ndarray) -> _Group:
        mask = mask & keep
        return values[mask], [seed for seed, kept in zip(seeds, mask, strict=True) if kept]

    if wanted.startswith("only "):
        return [group(own == wanted.removeprefix("only "))]
    if wanted in ("", "pooled"):
        return [group(np.ones(len(runs), dtype=bool))]
    groups = [group(own == name) for name in dict.fromkeys(own.tolist())]
    groups = [each for each in groups if each[0].size]
    if not groups:
        return []
    if wanted == "best":
        return [max(groups, key=lambda each: float(np.nan_to_num(each[0].mean(), nan=-np.inf)))]
    if wanted == "means":
        return [(np.array([[found.mean()] for found, _ in groups]), [])]
    everything, names = group(np.ones(len(runs), dtype=bool))
    distinct = list(dict.fromkeys(names))
    labels = np.array(names)
    of_seed = [everything[labels == seed] for seed in distinct]
    if wanted == "best per seed":
        best = [own[int(own.mean(axis=1).argmax())] for own in of_seed]
        return [(np.array(best), distinct)]
    return [(np.array([own.mean(axis=0) for own in of_seed]), distinct)]


def by_seed(values: np.ndarray, seeds: list[str], kind: str) -> list[np.ndarray]:
    """Return the runs that a choice of seeds (`Rule.runs`) leaves, an array for each way."""
    rows = range(len(values))
    if kind in ("once", "all"):
        return [values]
    if kind.startswith("first "):
        count = int(kind.removeprefix("first "))
        return [values[:count]]
    if kind.startswith("best "):
        order = np.argsort(-values.mean(axis=1), kind="stable")
        return [values[order[: int(kind.removeprefix("best "))]]]
    if kind == "one missing":
        return [np.delete(values, row, axis=0) for row in rows]
    if kind == "one twice":
        return [np.concatenate([values, values[row : row + 1]]) for row in rows]
    labels = np.array(seeds)
    if kind.startswith("without "):
        return [values[labels != kind.removeprefix("without ")]]
    twice = labels == kind.removesuffix(" twice")
    return [np.concatenate([values, values[twice]])]
