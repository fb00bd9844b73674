"""A report as a LaTeX document: booktabs tables and figures, each with its caption.

Every table stands on its own, to be copied into a paper: a float that needs booktabs, or where it
may be longer than a page a longtable.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from datumrl.evaluation import report_tables
from datumrl.evaluation.report_parts import Report
from datumrl.evaluation.report_tables import Sheet

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"$<$",
    ">": r"$>$",
    "|": r"$|$",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "'": r"\textquotesingle{}",
    "−": r"$-$",
    "–": "--",
    "±": r"$\pm$",
    "†": r"\dag{}",
    "‡": r"\ddag{}",
    "…": r"\ldots{}",
    "[": "{[}",  # after \\ a bracket would be taken for a length
}
_HEAD = r"""\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage{textcomp}
\usepackage[margin=2cm]{geometry}
\usepackage{array}
\usepackage{booktabs}
\usepackage{longtable}
\usepackage{graphicx}
\begin{document}
\setlength{\tabcolsep}{4pt}
"""
_NOTES_WIDTH = "p{3.5cm}"
_TEXT_WIDTH = r">{\raggedright\arraybackslash}p{5.5cm}"  # of columns of sentences, which are folded
_SENTENCE = 50  # letters
_SMALL_FROM, _TINY_FROM = 7, 9  # columns; wider tables are set smaller
_SMALL_ROW, _TINY_ROW = 90, 125  # letters of a row
_ONE_PAGE = 30  # rows, of which some may be folded


def document(report: Report, figures: Mapping[str, str]) -> str:
    """Return the document; ``figures`` maps a figure's file (without ending) to its caption."""
    return of_sheets(report_tables.sheets(report), report.notes, figures)


def of_sheets(
    sheets: Iterable[Sheet], notes: Sequence[str], figures: Mapping[str, str] | None = None
) -> str:
    """Return tables, figures and notes as a document; ``figures`` as of `document`."""
    parts = [_HEAD]
    parts += [_table(sheet) for sheet in sheets]
    parts += [_figure(name, caption) for name, caption in (figures or {}).items()]
    if notes:
        items = "\n".join(rf"\item {_prose(note)}" for note in notes)
        parts.append(f"\\begin{{itemize}}\n{items}\n\\end{{itemize}}\n")
    return "\n".join([*parts, "\\end{document}\n"])


def escaped(text: str) -> str:
    """Return text for LaTeX; letters that pdflatex does not know become question marks."""
    shown = []
    for letter in report_tables.printable(text):
        if letter in _SPECIAL:
            shown.append(_SPECIAL[letter])
        else:
            shown.append(letter if letter.isascii() or _latin(letter) else "?")
    return "".join(shown)


def _prose(text: str) -> str:
    """Return a caption or note for LaTeX: `words` between backticks become typewriter letters."""
    parts = re.split(r"`([^`]*)`", text)
    return "".join(
        rf"\texttt{{{escaped(part)}}}" if place % 2 else escaped(part)
        for place, part in enumerate(parts)
    )


def _latin(letter: str) -> bool:
    """Say whether T1 encoding has an accented letter."""
    return "À" <= letter <= "ÿ" and letter not in "×÷"


def _table(sheet: Sheet) -> str:
    width, longest = len(sheet.columns), _longest(sheet)
    row = sum(min(each, _SENTENCE) + 2 for each in longest)
    size = r"\small"
    if width >= _TINY_FROM or row > _TINY_ROW:
        size = r"\tiny"
    elif width >= _SMALL_FROM or row > _SMALL_ROW:
        size = r"\scriptsize"
    kinds = [
        _NOTES_WIDTH
        if not column
        else (_TEXT_WIDTH if letters > _SENTENCE else ("l" if place == 0 else "r"))
        for place, (column, letters) in enumerate(zip(sheet.columns, longest, strict=True))
    ]
    head = " & ".join(escaped(column) for column in sheet.columns)
    rows = [" & ".join(escaped(cell) for cell in row) + r" \\" for row in sheet.rows]
    caption = rf"\caption{{{escaped(sheet.title)}. {_prose(sheet.caption)}}}"
    caption += f"\n\\label{{tab:{sheet.key}}}"
    begin, breaks, end = _float(size, "".join(kinds), caption)
    if len(rows) > _ONE_PAGE:
        begin, breaks, end = _long(size, "".join(kinds), caption)
    top = (r"\toprule", rf"{head} \\", r"\midrule")
    return "\n".join([*begin, *top, *breaks, *rows, r"\bottomrule", *end, ""])


_Frame = tuple[list[str], list[str], list[str]]  # lines before a head, below it, after the rows


def _float(size: str, kinds: str, caption: str) -> _Frame:
    begin = [r"\begin{table}[htbp]", r"\centering", caption, size]
    return [*begin, rf"\begin{{tabular}}{{{kinds}}}"], [], [r"\end{tabular}", r"\end{table}"]


def _long(size: str, kinds: str, caption: str) -> _Frame:
    begin = ["{" + size, rf"\begin{{longtable}}{{{kinds}}}", rf"{caption}\\"]
    return begin, [r"\endhead"], [r"\end{longtable}", "}"]


def _longest(sheet: Sheet) -> list[int]:
    """Return how many letters the longest cell of each column has."""
    rows = (sheet.columns, *sheet.rows)
    return [max(map(len, column)) for column in zip(*rows, strict=True)]


def _figure(name: str, caption: str) -> str:
    return "\n".join(
        [
            r"\begin{figure}[htbp]",
            r"\centering",
            rf"\includegraphics[width=\linewidth]{{figures/{name}.pdf}}",
            rf"\caption{{{_prose(caption)}}}",
            rf"\label{{fig:{name}}}",
            r"\end{figure}",
            "",
        ]
    )
