"""A reward, and levels of actions, for the Health Gym's files, which define neither.

::

    from datumrl.datasets import health_gym

    def reward(patient):  # arrays (T,) by variable, of one patient
        return np.where(patient["MAP"] < 65, -1.0, 0.0)

    health_gym.prepare(
        "C001_FakeHypotension.csv", "with-reward.csv", "healthgym/hypotension", reward
    )

The result is the same CSV file with one or two columns more, which `datumrl fetch ID --from` takes.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from datumrl.datasets import catalogue, files
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.health_gym_catalogue import LAYOUTS, Layout
from datumrl.datasets.health_gym_table import Patient, Table

Reward = Callable[[dict[str, np.ndarray]], np.ndarray]


def prepare(
    source: Path | str,
    target: Path | str,
    dataset_id: str,
    reward: Reward,
    cuts: Mapping[str, Sequence[float]] | None = None,
) -> None:
    """Write ``source`` with a column ``reward``, and ``action`` if ``cuts`` are given.

    ``reward`` maps the variables of a patient, by name without unit, each (T,) float64, to the
    rewards (T,) of its actions; that of the last row counts in returns only.  ``cuts`` are the
    increasing bounds between the levels of each variable that actions are made of: a value's level
    is how many cuts are not above it, and an action is one number for all levels, the last
    variable counting fastest.

    Raises DatumrlError for a file that is not the dataset's, rewards that are no finite numbers,
    and cuts that do not fit.
    """
    source, target = Path(source), Path(target)
    record = catalogue.find(dataset_id)
    if record.reader != "health-gym":
        raise DatumrlError(f"{dataset_id} is no dataset of the Health Gym; name one of healthgym/")
    if target.exists() and source.exists() and target.samefile(source):
        raise DatumrlError(f"{target}: is the file to read; write the result to another")

    def error(problem: str) -> DatumrlError:
        return DatumrlError(f"{source}: {problem}; check that it is the file of {dataset_id}")

    layout = LAYOUTS[str(record.option["cohort"])]
    bounds = _bounds(layout, cuts)
    table = Table(source, layout, error)
    added = ["reward", *(["action"] if bounds else [])]
    if present := [name for name in added if name in table.places]:
        raise error(f"has a column {present[0]} already")
    with files.replacing(target, "w") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow([*table.header, *added])
        for patient in table.patients():
            writer.writerows(_longer(patient, reward, bounds))


def _longer(
    patient: Patient, reward: Reward, bounds: Mapping[str, np.ndarray]
) -> Iterator[list[str]]:
    """Yield a patient's rows with what is added."""
    rewards = [repr(value) for value in _rewards(reward, patient).tolist()]
    actions = _actions(patient, bounds).tolist() if bounds else []
    for row, cells in enumerate(patient.cells):
        yield [*cells, rewards[row], *([str(actions[row])] if bounds else [])]


def _bounds(layout: Layout, cuts: Mapping[str, Sequence[float]] | None) -> dict[str, np.ndarray]:
    names = [action.name for action in layout.actions]
    if cuts is None:
        return {}
    if sorted(cuts) != sorted(names):
        raise DatumrlError(f"cuts of {', '.join(cuts)}: actions are made of {', '.join(names)}")
    bounds = {name: np.asarray(cuts[name], np.float64) for name in names}
    for name, values in bounds.items():
        if values.ndim != 1 or not np.isfinite(values).all() or (np.diff(values) <= 0).any():
            raise DatumrlError(f"cuts of {name}: {cuts[name]} are no increasing numbers")
    return bounds


def _rewards(reward: Reward, patient: Patient) -> np.ndarray:
    values = {name: column.copy() for name, column in patient.values.items()}
    rewards = np.asarray(reward(values))
    rows = len(patient.cells)
    fits = rewards.shape == (rows,) and rewards.dtype.kind in "biuf"
    if not fits or not np.isfinite(rewards).all():
        raise DatumrlError(
            f"reward of patient {patient.id}: {rewards.dtype} {rewards.shape} where {rows} finite "
            "numbers are needed; mend the function"
        )
    return rewards.astype(np.float64)


def _actions(patient: Patient, bounds: Mapping[str, np.ndarray]) -> np.ndarray:
    found = [
        np.searchsorted(cuts, patient.values[name], side="right") for name, cuts in bounds.items()
    ]
    return np.ravel_multi_index(found, [len(cuts) + 1 for cuts in bounds.values()])
