"""Results of a benchmark, kept with the machine, the versions and the options that they are of."""

from __future__ import annotations

import argparse
import datetime
import os
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "results"
PACKAGES = (
    *("torch", "numba", "scipy", "pandas", "pyarrow", "h5py"),
    *("minari", "gymnasium", "mujoco", "rliable"),
)
_NO_SETTINGS = ("results", "json", "load_before")


def add_option(parser: argparse.ArgumentParser, benchmark: str) -> None:
    """Add `--results FILE`; ``benchmark`` is the ``__file__`` of who asks.

    The machine's load is taken now, before the benchmark makes it busy.
    """
    default = FOLDER / f"{Path(benchmark).stem}.json"
    told = f"where results are kept (default: benchmarks/results/{default.name})"
    parser.add_argument("--results", type=Path, default=default, metavar="FILE", help=told)
    parser.set_defaults(load_before=os.getloadavg()[0])


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
        "load_before": options.load_before,
        "settings": settings,
        "results": results,
    }
    options.results.parent.mkdir(parents=True, exist_ok=True)
    files.write_json(options.results, content)
    print(f"results: {options.results}", file=sys.stderr)
