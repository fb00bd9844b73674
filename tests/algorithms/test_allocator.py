"""Memory that was freed comes back without the kernel."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PROBE = """
import resource
import numpy as np
from datumrl.algorithms import allocator
if {kept}:
    assert allocator.keep_freed_memory()
def touch():
    np.full(64 << 17, 1.0)  # 64 MiB
touch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    touch()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(kept: bool) -> int:
    told = subprocess.run(
        [sys.executable, "-c", PROBE.format(kept=kept)], capture_output=True, text=True, check=True
    )
    return int(told.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the settings are glibc's")
def test_a_freed_block_is_not_asked_for_again() -> None:
    pages = 64 << 20 >> 21  # were they of 2 MiB; of 4 KiB they are many more
    assert faults(False) >= 5 * pages
    assert faults(True) < pages
