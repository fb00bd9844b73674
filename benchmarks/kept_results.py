"""Results of a benchmark, kept with the machine, the versions and the options that they are of."""

from __future__ import annotations

import argparse
import datetime
import os
import sys
import time
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "results"
PACKAGES = (
    *("torch", "numba", "scipy", "pandas", "pyarrow", "h5py"),
    *("minari", "gymnasium", "mujoco", "rliable"),
)
_NO_SETTINGS = ("results", "json", "busy_before")
_WATCHED = 0.5  # seconds in which other work is looked for


def add_option(parser: argparse.ArgumentParser, benchmark: str) -> None:
    """Add `--results FILE`; ``benchmark`` is the ``__file__`` of who asks.

    How busy the machine is is taken now, before the benchmark makes it so.
    """
    default = FOLDER / f"{Path(benchmark).stem}.json"
    told = f"where results are kept (default: benchmarks/results/{default.name})"
    parser.add_argument("--results", type=Path, default=default, metavar="FILE", help=told)
    parser.set_defaults(busy_before=busy_cores())


def busy_cores() -> float | None:
    """Return how many cores are at work now, None where the system does not count it (Linux does).

    The load average would still count the benchmark that ended a minute ago.
    """
    before = _processor_times()
    if before is None:
        return None
    time.sleep(_WATCHED)
    after = _processor_times()
    assert after is not None
    spent = [now - then for now, then in zip(after, before, strict=True)]
    idle = spent[3] + spent[4]  # idle, and waiting for a disk
    return round((os.cpu_count() or 1) * (1 - idle / max(1, sum(spent))), 2)


def _processor_times() -> list[int] | None:
    """Return the ticks that all cores have spent in each way since the start."""
    try:
        first = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0]
    except OSError:
        return None
    return [int(ticks) for ticks in first.split()[1:9]]


def keep(options: argparse.Namespace, results: Any) -> None:
    """Write the results, raw as they were measured; replaces what an earlier run kept there."""
    # Imported late: benchmarks of memory import this module in the processes that they measure.
    from datumrl.datasets import files
    from datumrl.evaluation import provenance

    settings = {
        name: str(value) if isinstance(value, Path) else value
        for name, value in vars(options).items()
        if value is not None and name not in _NO_SETTINGS
    }
    content = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "hardware": provenance.hardware(),
        "software": provenance.software_versions(*PACKAGES),
        "busy_cores_before": options.busy_before,
        "settings": settings,
        "results": results,
    }
    options.results.parent.mkdir(parents=True, exist_ok=True)
    files.write_json(options.results, content)
    print(f"results: {options.results}", file=sys.stderr)
