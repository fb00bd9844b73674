"""What a user should know of a run, told as Python warnings where nobody displays its progress."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterable

_PACKAGE = __name__.partition(".")[0]


def warn(notes: Iterable[str]) -> None:
    """Give each note as a UserWarning of the line outside datumrl that all this came from."""
    for note in notes:
        warnings.warn(note, UserWarning, stacklevel=_levels())


def _levels() -> int:
    """Return how far up the first caller outside this package is, as `warn` has to say it."""
    level, frame = 0, inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == _PACKAGE:
        level, frame = level + 1, frame.f_back
    return level
