"""Which versions and which machine made a result."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import os
import platform
from pathlib import Path

import datumrl
from datumrl.evaluation import environments, pointmaze


def engine_versions(environment: str) -> dict[str, str]:
    """Return the versions of what moves the environment of this id; part of the protocol."""
    engine = ["gymnasium", "mujoco"]
    if environment in pointmaze.ENVIRONMENTS or environment.startswith(environments.ROBOTICS):
        engine.append("gymnasium-robotics")
    return {name: version for name in engine if (version := _version(name))}


def software_versions(*packages: str) -> dict[str, str]:
    """Return the versions of datumrl, Python, numpy and the named packages, where installed."""
    versions = {"datumrl": datumrl.__version__, "python": platform.python_version()}
    for name in ("numpy", *packages):
        version = _version(name)
        if version:
            versions[name] = version
    return versions


@functools.cache
def hardware() -> str:
    """Return the processor's name and the number of cores this process may use."""
    return f"{_processor()}, {usable_cores()} cores, {platform.system()}"


def arithmetic() -> tuple[str, ...]:
    """Return what rounds a matrix product or an exponential: NumPy, its BLAS, the CPU's kernels.

    Where these differ, the last bits of a policy's actions can, and then everything that follows.
    """
    import numpy as np
    import threadpoolctl

    bundled = Path(np.__file__).parent.with_name("numpy.libs")
    found = [each for each in threadpoolctl.threadpool_info() if each["user_api"] == "blas"]
    # What another package brings with it and has loaded is not what NumPy calls.
    own = [each for each in found if Path(each["filepath"]).parent == bundled] or found
    blas = {
        " ".join(str(each.get(key)) for key in ("internal_api", "version", "architecture"))
        for each in own
    }
    simd = np.show_config(mode="dicts")["SIMD Extensions"]["found"]
    numpy = f"numpy {np.__version__} {' '.join(simd)}".strip()
    return numpy, *sorted(blas), platform.machine()


def arithmetic_digest() -> str:
    """Return 8 hex digits that are equal exactly where `arithmetic` is."""
    return hashlib.sha256("\n".join(arithmetic()).encode()).hexdigest()[:8]


def usable_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def usable_threads() -> int:
    """Return how many threads to work in: the usable cores, or OMP_NUM_THREADS if that is less."""
    bound = os.environ.get("OMP_NUM_THREADS", "")
    return min(usable_cores(), int(bound)) if bound.isdecimal() and int(bound) else usable_cores()


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
