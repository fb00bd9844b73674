"""The tables of facts that ship with the suite, as rows of text."""

from __future__ import annotations

import csv
import importlib.resources
from collections.abc import Iterator


def rows(name: str) -> Iterator[dict[str, str]]:
    """Yield the rows of ``tables/<name>`` by column."""
    text = importlib.resources.files("datumrl.datasets").joinpath("tables", name).read_text("utf-8")
    yield from csv.DictReader(text.splitlines())
