"""Normalised scores: 0 is the reference minimum (random), 100 the reference maximum (expert)."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from datumrl.datasets import catalogue
from datumrl.datasets.catalogue import DatasetRecord, Reference
from datumrl.datasets.errors import DatumrlError

Values = TypeVar("Values", float, np.ndarray)


def reference_of(record: DatasetRecord) -> Reference:
    """Return a record's reference scores; an error, never a guess, where it has none."""
    if record.reference is None:
        raise DatumrlError(
            f"{record.id} has no reference scores, so its returns cannot be normalised; "
            "report raw returns"
        )
    return record.reference


def normalize(returns: Values, record: DatasetRecord) -> Values:
    """Map undiscounted returns to scores: 100 (return - minimum) / (maximum - minimum)."""
    reference = reference_of(record)
    return 100.0 * (returns - reference.minimum) / (reference.maximum - reference.minimum)


def normalize_spread(spread: Values, record: DatasetRecord) -> Values:
    """Map a deviation of returns to one of scores: scaled, never shifted."""
    reference = reference_of(record)
    return 100.0 * spread / (reference.maximum - reference.minimum)


def score(returns: npt.ArrayLike, dataset_id: str) -> float | npt.NDArray[np.float64]:
    """Return the normalised scores, 0 to 100, of undiscounted returns: a number, or an array alike.

    That is D4RL's ``get_normalized_score`` times 100.  The returns have to be of the environment of
    the dataset's scores (`datumrl.make`), which nobody can tell from the numbers.  Raises
    DatumrlError for a dataset without reference scores, and for what are no numbers.
    """
    record = catalogue.find(dataset_id)
    try:
        values = np.asarray(returns, dtype=np.float64)
    except (TypeError, ValueError):
        raise DatumrlError(
            f"{repr(returns)[:60]}: returns are numbers, or an array of them"
        ) from None
    found = normalize(values, record)
    return found if values.ndim else float(found)
