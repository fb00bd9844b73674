"""Keep the memory that an update frees, so that the next one gets it back without the kernel.

An update of a stack makes and frees blocks of megabytes.  Above 32 MiB at most, glibc's allocator
asks the kernel for every such block anew and hands it back at once, and it returns the free end of
its heap; each time the pages are zeroed and mapped again.  Here it is told to serve blocks of up to
1 GiB from a heap that grows 64 MiB at a time and is not given back, for about the peak of memory
that training takes anyway.  Measured on two cores, updates per second in turns with and without:
TD3+BC in stacks of 8 1.2 times, CQL in stacks of 2 1.35, IQL in stacks of 5 and DT in stacks of 2
1.05 to 1.15.
"""

from __future__ import annotations

import ctypes
import functools
import platform

# Parameters of mallopt(3), from glibc's malloc.h, and their values in bytes.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_SETTINGS = {
    _MMAP_THRESHOLD: 1 << 30,
    _TRIM_THRESHOLD: (1 << 31) - 1,  # the largest int: never
    _TOP_PAD: 64 << 20,
}


@functools.cache
def keep_freed_memory() -> bool:
    """Set it for this process, once; return whether it took: False where libc is not glibc."""
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all(mallopt(parameter, value) == 1 for parameter, value in _SETTINGS.items())
