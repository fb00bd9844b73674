"""What every command prints with: results to stdout, progress and notes to stderr."""

from __future__ import annotations

import json
from typing import Any

import rich.console
import rich.progress

output = rich.console.Console(highlight=False)
notes = rich.console.Console(stderr=True, highlight=False)


def print_json(content: Any) -> None:
    """Print strict JSON on stdout, for `--json`."""
    print(json.dumps(content, indent=2, allow_nan=False))


def progress() -> rich.progress.Progress:
    """Return a progress display for work of a known size: rate, elapsed and remaining time."""
    return rich.progress.Progress(
        rich.progress.TextColumn("{task.description}"),
        rich.progress.BarColumn(),
        rich.progress.TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
        rich.progress.TextColumn("{task.fields[rate]}"),
        rich.progress.TimeRemainingColumn(),
        console=notes,
    )
