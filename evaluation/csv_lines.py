"""CSV files with a header, line by line; a line that is cut off or shifted is refused."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from datumrl.datasets.errors import DatumrlError


def read(
    handle: Iterable[str], name: str
) -> tuple[list[str], Iterator[tuple[int, dict[str, str]]]]:
    """Return the header, and each further line's number with its cells by column.

    Lines without content are left out.  ``name`` is the file's, for errors: DatumrlError for an
    empty file, semicolons or tabs in place of commas, two columns of one name, and a line with more
    or fewer cells than columns; csv.Error for what is no CSV.
    """
    reader = csv.reader(handle)
    header = next((cells for cells in reader if _told(cells)), None)
    if header is None:
        raise DatumrlError(f"{name} is empty; give a header and at least one row below it")
    mark = next((each for each in ";\t" if len(header) == 1 and each in header[0]), None)
    if mark:
        raise DatumrlError(f"{name}: columns are separated by {mark!r}; save it with commas")
    twice = [column for column, count in Counter(header).items() if column and count > 1]
    if twice:
        raise DatumrlError(f"{name} has two columns {twice[0]!r}; give each a name of its own")
    return header, _lines(reader, header, name)


def _lines(reader: Any, header: list[str], name: str) -> Iterator[tuple[int, dict[str, str]]]:
    for cells in reader:
        if not _told(cells):
            continue
        if len(cells) != len(header):
            remedy = (
                "quote cells with commas, and write decimals with a point"
                if len(cells) > len(header)
                else "complete the line, or export the file anew"
            )
            raise DatumrlError(
                f"{name}, line {reader.line_num}: {len(cells)} cells under {len(header)} columns; "
                f"{remedy}"
            )
        yield reader.line_num, dict(zip(header, cells, strict=True))


def _told(cells: list[str]) -> bool:
    return any(cell.strip() for cell in cells)
