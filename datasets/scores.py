"""Normalised scores: 0 is the reference minimum (random), 100 the reference maximum (expert)."""

from __future__ import annotations

from typing import TypeVar

import numpy as np

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
