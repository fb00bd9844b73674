"""Cells of a published table that can be trained: what to train, and what was printed of it."""

from __future__ import annotations

import dataclasses
import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from datumrl.algorithms import registry
from datumrl.datasets import catalogue
from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import records
from datumrl.leaderboard.outcome import About, decimals
from datumrl.leaderboard.training_verdict import Sample

METHODS = registry.titles()  # what tables call the methods that have a trainer here
SEVERAL_TARGETS = "dt"  # its records are one for every return target; tables hold the highest's


@dataclass(frozen=True)
class Printed:
    """One printed number of a training: which evaluations it is made of, mean and deviation."""

    rule: str  # last, best, mean, last-K-mean
    mean: str  # as printed
    std: str | None
    skipped: int = 0  # evaluations at the start of a run that the rule does not see

    @property
    def text(self) -> str:
        """Return the cell as printed."""
        return self.mean if self.std is None else f"{self.mean} ± {self.std}"

    def sample(self, seeds: int | None, ddof: int) -> Sample:
        """Return what is known of the published runs, the deviation turned into ddof = 1.

        A printed deviation of 0 is taken as half of its last digit, the most that it can be.
        """
        std = None if self.std is None else float(self.std)
        if std == 0.0:
            std = 0.5 * 10.0 ** -decimals(self.std)
        if std is not None and ddof == 0 and seeds is not None and seeds > 1:
            std *= (seeds / (seeds - 1)) ** 0.5
        return Sample(float(self.mean), std, seeds)


@dataclass(frozen=True)
class Cell:
    """One training and all that was printed of it.

    ``options`` are what a trainer is given: preset, steps, settings, evaluate_every, episodes, view
    as far as they are stated.
    """

    algorithm: str  # as published
    method: str  # of ours
    dataset: str  # catalogue id
    printed: tuple[Printed, ...]
    seeds: int | None  # published
    options: Mapping[str, Any] = field(default_factory=dict)
    ddof: int = 0
    returns: bool = False  # printed are returns, not normalised scores

    @property
    def name(self) -> str:
        """Return for example ``IQL on d4rl/hopper-medium-v2``."""
        return f"{self.algorithm} on {self.dataset}"

    @property
    def key(self) -> str:
        """Return what tells trainings apart: the name, and what is trained with."""
        return f"{self.name} {json.dumps(dict(self.options), sort_keys=True, default=str)}"

    def sample(self, printed: Printed) -> Sample:
        """Return what is known of the published runs behind a printed number."""
        return printed.sample(self.seeds, self.ddof)

    def margin(self, points: float, printed: Printed) -> float:
        """Return a margin in the cell's unit: points of 100, of returns their like.

        Returns without reference scores take it as percent of the printed mean.
        """
        if not self.returns:
            return points
        reference = catalogue.find(self.dataset).reference
        if reference is not None:
            return points / 100.0 * abs(reference.maximum - reference.minimum)
        return points / 100.0 * abs(float(printed.mean))


@dataclass(frozen=True)
class TrainingTable:
    """A table's trainable cells, and for each of the others why it is none."""

    about: About
    cells: tuple[Cell, ...]
    untrainable: tuple[tuple[str, str], ...] = ()  # cell, reason
    notes: tuple[str, ...] = ()
    own: bool = False  # a file of one's own, whose name may be another table's too


def identity(cell: Cell, printed: Printed) -> str:
    """Return a printed number and its training as text: equal only for the same in two outcomes."""
    known = (cell.key, cell.method, cell.seeds, cell.ddof, cell.returns)
    return json.dumps([*known, dataclasses.asdict(printed)], sort_keys=True)


def why_untrainable(algorithm: str, method: str | None, dataset: str, returns: bool) -> str:
    """Return why a printed cell cannot be trained and compared, "" if it can be."""
    if method is None:
        return f"no trainer of {algorithm}"
    record = catalogue.known(dataset)
    if record is None:
        return "the dataset is in no catalogue"
    if record.environment is None:
        return "the dataset has no environment to measure returns in"
    if not record.environment.equivalent:
        return f"returns are no scores: {records.why_unscored(dataset)}"
    if record.reference is None and not returns:
        return "the dataset has no reference scores to normalise by"
    if record.discrete_actions or record.observation_layout != "flat":
        return "trainers here need flat observations and continuous actions"
    return ""


def selected(
    table: TrainingTable, algorithms: Sequence[str], datasets: Sequence[str]
) -> TrainingTable:
    """Return the table with the named algorithms (as published, or ours) and datasets only.

    Raises DatumrlError for a name that no trainable cell has, and where no cell is left.
    """
    if not table.cells:
        raise DatumrlError(f"{table.about.id}: no cell can be trained; {_reasons(table)}")
    spellings = {
        spelling.casefold(): cell.method
        for cell in table.cells
        for spelling in (cell.algorithm, cell.method)
    }
    methods = {_known(name, spellings, "algorithm", table) for name in algorithms}
    ids = {cell.dataset for cell in table.cells}
    tails = {name.partition("/")[2].casefold(): name for name in ids}
    names = {name.casefold(): name for name in ids}
    wanted = {_known(name, {**tails, **names}, "dataset", table) for name in datasets}
    kept = tuple(
        cell
        for cell in table.cells
        if (not methods or cell.method in methods) and (not wanted or cell.dataset in wanted)
    )
    if not kept:
        raise DatumrlError(
            f"{table.about.id} has no cell of {', '.join(algorithms)} on {', '.join(datasets)}"
        )
    return dataclasses.replace(table, cells=kept)


def _known(name: str, known: Mapping[str, str], kind: str, table: TrainingTable) -> str:
    if name.casefold() in known:
        return known[name.casefold()]
    shown = sorted(set(known.values()))
    near = difflib.get_close_matches(name.casefold(), known, n=3, cutoff=0.4) or shown[:8]
    reason = next((why for cell, why in table.untrainable if name in cell), "")
    raise DatumrlError(
        f"{table.about.id}: no trainable cell of {kind} {name!r}"
        f"{f' ({reason})' if reason else ''}; the nearest: {', '.join(near)}"
    )


def _reasons(table: TrainingTable) -> str:
    return "; ".join(dict.fromkeys(reason for _, reason in table.untrainable)) or "it is empty"
