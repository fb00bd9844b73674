"""Values of NumPy, as training code has them at hand, in the Python values that records hold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import numpy as np


def plain(value: Any) -> Any:
    """Return a value of JSON's kinds for one of NumPy's, a tuple or a path, and within containers.

    Whatever JSON has no kind for is returned as it is, for a record to refuse.
    """
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return {plain(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return str(value) if isinstance(value, PurePath) else value
