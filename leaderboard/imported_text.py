"""Numbers and seeds as other tools write them: read exactly, or refused."""

from __future__ import annotations

import re
from typing import Any

from datumrl.datasets.errors import DatumrlError


def number(text: str, where: str) -> float:
    """Return a number; DatumrlError, naming the place, for what is none."""
    try:
        if "_" not in text:  # Python reads 1_0 as 10; nobody else does
            return float(text)
    except ValueError:
        pass
    raise DatumrlError(f"{where}: {text[:60]!r} is no number; mend the file")


def whole(text: Any, where: str) -> int | None:
    """Return a whole number, None for nothing; DatumrlError for anything else."""
    plain = "" if text is None else str(text).strip()
    if not plain:
        return None
    if re.fullmatch("[0-9]{1,19}", plain):
        return int(plain)  # a large seed, digit for digit
    try:
        value = float(plain)
        if value.is_integer() and 0 <= value < 2**53:
            return int(value)
    except (ValueError, OverflowError):
        pass
    raise DatumrlError(f"{where} {str(text)[:60]!r} is no whole number; mend the file")


def seed_in(name: str) -> dict[str, str]:
    """Return the seed that a run's or folder's name states, as in ``iql_seed3``, if it does."""
    found = re.search(r"seed[-_= ]?(\d{1,18})(?!\d)", name, re.IGNORECASE)
    return {"seed": found[1]} if found else {}
