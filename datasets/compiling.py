"""Compilation of inner loops by numba; imported only by modules that are imported when needed.

The machine code is kept in numba's cache where a folder for it can be written, else compiled anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function compiled; it lets other threads run meanwhile."""
    try:
        return numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        return numba.njit(nogil=True, error_model="numpy")(function)
