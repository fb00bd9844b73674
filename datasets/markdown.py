"""Pieces of Markdown that cards are made of."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

# Control and invisible characters, halves of surrogate pairs, separators of lines and paragraphs.
_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; bars and line breaks within cells are made harmless."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def plain(text: str) -> str:
    """Return text that Markdown shows as it is: no markup, no HTML, no invisible characters."""
    seen = "".join(" " if unicodedata.category(one) in _UNSEEN else one for one in text)
    return "".join(f"\\{one}" if one in "\\`*_[]<>#|" else one for one in seen)


def bullets(lines: Sequence[str]) -> str:
    """Return a list, an item a line."""
    return "\n".join(f"- {line}" for line in lines)
