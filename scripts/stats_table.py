"""Dataset statistics as text: measures down, datasets across."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from datumrl.datasets import measures
from datumrl.datasets.dataset_statistics import DatasetStatistics

_LABEL = 34  # characters


def lines(found: Sequence[DatasetStatistics]) -> list[str]:
    """Return the table, then what to know of each dataset's numbers."""
    widths = [max(len(each.id), 16) + 2 for each in found]
    shown = [_row("", [each.id for each in found], widths)]
    for parts in zip(*(measures.sections(each) for each in found), strict=True):
        title = parts[0][0]
        if title:
            shown.append(title)
        indent = "  " if title else ""
        for cells in zip(*(rows for _, rows in parts), strict=True):
            shown.append(_row(indent + cells[0][0], [value for _, value in cells], widths))
    for each in found:
        shown += ["", each.id]
        for note in measures.notes(each):
            shown += textwrap.wrap(
                note, 96, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False
            )
    return shown


def _row(label: str, values: Sequence[str], widths: Sequence[int]) -> str:
    cells = "".join(f"{value:>{width}}" for value, width in zip(values, widths, strict=True))
    return f"{label:<{_LABEL}}{cells}".rstrip()
