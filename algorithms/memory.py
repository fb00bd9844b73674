"""How much memory training data may take before it is left on disk and gathered batch by batch.

The limit decides where transitions are kept and nothing else: batches are the same either way.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

from datumrl.datasets.errors import DatumrlError

if TYPE_CHECKING:
    import torch

SHARE = 0.5  # of the memory that is available when training starts

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BINARY = {"KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}
_CGROUP = Path("/sys/fs/cgroup")
_limit: ContextVar[int | None] = ContextVar("memory limit", default=None)


def parse_size(text: str) -> int:
    """Return the bytes of ``4GB``, ``500 MiB``, ``0`` or a plain number; DatumrlError otherwise."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([KMGT]?I?)B?", text.strip().upper())
    factor = {**_UNITS, **_BINARY}.get(match[2]) if match else None
    if match is None or factor is None:
        raise DatumrlError(f"memory limit {text!r}: write a size such as 4GB, 500MiB or 0")
    return int(float(match[1]) * factor)


@contextlib.contextmanager
def limited(limit: int | None) -> Iterator[None]:
    """Let training data take at most so many bytes within the block; None: as much as suits."""
    token = _limit.set(limit)
    try:
        yield
    finally:
        _limit.reset(token)


def allowed(device: torch.device) -> int:
    """Return how many bytes training data may take on a device."""
    limit = _limit.get()
    if limit is not None:
        return limit
    if device.type != "cuda":
        return int(SHARE * available())
    import torch

    return int(SHARE * torch.cuda.mem_get_info(device)[0])


def for_each(processes: int, limit: int | None) -> int:
    """Return the limit of each of some processes on the CPU that share ``limit``, or what suits."""
    return (int(SHARE * available()) if limit is None else limit) // processes


def available() -> int:
    """Return how many bytes this process can still take: the machine's, or its container's."""
    bounds = [bytes for bytes in (_machine(), *_container()) if bytes is not None]
    return min(bounds) if bounds else 1 << 62


def _machine() -> int | None:
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    with contextlib.suppress(OSError, ValueError, AttributeError):  # not Linux: what there is
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _container() -> Iterator[int | None]:
    """Yield what the limits of a control group, version 2 or 1, leave."""
    pairs = (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    )
    for most, used in pairs:
        with contextlib.suppress(OSError, ValueError):  # no such group, or "max"
            limit = int((_CGROUP / most).read_text(encoding="ascii"))
            yield max(0, limit - int((_CGROUP / used).read_text(encoding="ascii")))
