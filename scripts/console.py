"""What every command prints with: results to stdout, progress and notes to stderr."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import rich.console
import rich.measure
import rich.progress
import rich.table

output = rich.console.Console(highlight=False, emoji=False)
_UNBOUNDED = rich.console.Console(width=10_000, highlight=False, color_system=None)
# Notes tell of paths and reasons, whose brackets are no markup.
notes = rich.console.Console(stderr=True, highlight=False, markup=False, emoji=False)


def print_json(content: Any) -> None:
    """Print strict JSON on stdout, for `--json`."""
    print(json.dumps(content, indent=2, allow_nan=False))


def print_columns(names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table with every cell on one line.

    A terminal that is too narrow for all columns gets the first ones; a pipe or file gets them all.
    """
    shown = len(names)
    while True:
        table = rich.table.Table(box=None)
        for name in names[:shown]:
            table.add_column(name, no_wrap=True, overflow="ignore")
        for row in rows:
            table.add_row(*row[:shown])
        width = rich.measure.Measurement.get(_UNBOUNDED, _UNBOUNDED.options, table).maximum
        if shown == 1 or not output.is_terminal or width <= output.width:
            break
        shown -= 1
    with _UNBOUNDED.capture() as printed:
        _UNBOUNDED.print(table)
    for line in printed.get().splitlines():
        output.print(line.rstrip(), soft_wrap=True, markup=False)
    if shown < len(names):
        hidden = ", ".join(names[shown:])
        notes.print(f"not shown in {output.width} columns: {hidden}", soft_wrap=True)


def print_facts(facts: Sequence[tuple[str, str]]) -> None:
    """Print names, and beside each its text, whose own line ends are kept.

    A terminal gets lines folded between words, never within one, so that a URL can be copied; a
    pipe or file gets them as they are.
    """
    indent = max((len(name) for name, _ in facts), default=0) + 3
    for name, text in facts:
        start = f" {name}".ljust(indent)
        for line in (
            _folded(text, output.width - indent) if output.is_terminal else text.split("\n")
        ):
            output.print(start + line, soft_wrap=True, markup=False)
            start = " " * indent


def _folded(text: str, width: int) -> Iterable[str]:
    for line in text.split("\n"):
        indent = " " * (len(line) - len(line.lstrip()))
        yield from textwrap.wrap(
            line,
            max(width, 20),
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        ) or [""]


def progress() -> rich.progress.Progress:
    """Return a progress display for work of a known size: rate, elapsed and remaining time."""
    return rich.progress.Progress(
        rich.progress.TextColumn("{task.description}", markup=False),
        rich.progress.BarColumn(),
        rich.progress.TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
        rich.progress.TextColumn("{task.fields[rate]}", markup=False),
        rich.progress.TimeRemainingColumn(),
        console=notes,
        disable=not notes.is_terminal,  # a log file wants no bars
    )


class Bars:
    """A bar for each piece of work, shown once that has something to tell."""

    def __init__(self) -> None:
        self._progress = progress()
        self._started = False

    def __enter__(self) -> Bars:
        return self

    def __exit__(self, *_: object) -> None:
        if self._started:  # stopping prints a line, started or not
            self._progress.stop()

    def bar(self, description: str, unit: str) -> Callable[[int, int], None]:
        """Return the callback to which a piece of work tells what is done, and of how much."""
        task = self._progress.add_task(description, total=None, rate="", visible=False)

        def show(done: int, total: int) -> None:
            if not self._started:
                self._progress.start()
                self._started = True
            elapsed = self._progress.tasks[task].elapsed or 1.0
            rate = f"{done / elapsed:,.0f} {unit}/s"
            self._progress.update(task, completed=done, total=total, rate=rate, visible=True)

        return show
