"""What people write into cells of tables: numbers, spreads, marks; and files in odd encodings."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from datumrl.datasets.errors import DatumrlError

_MISSING = {
    "",
    "-",
    "–",
    "—",
    "--",
    "---",
    "n/a",
    "na",
    "nan",
    "none",
    "null",
    "missing",
    "tbd",
    "?",
}
_FAILED = {"failed", "fail", "diverged", "crashed", "oom", "inf", "+inf", "-inf", "infinity"}
# UTF-8 that was once read as Latin-1 or Windows-1252 and saved again.
_MOJIBAKE = {
    "Â±": "±",
    "â€“": "–",
    "â€”": "—",
    "âˆ’": "−",
    "Â ": " ",
    "\u00e2\u0080\u0093": "–",
    "\u00e2\u0088\u0092": "−",
}
_MINUS = str.maketrans({"−": "-", "‐": "-", "‑": "-", "‒": "-", "﹣": "-", "－": "-"})
_SPACES = "\u00a0\u2009\u202f\u2007"
_NUMBER = r"[+-]?(?:\d[\d,'’_ ]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_CELL = re.compile(
    rf"(?P<mean>{_NUMBER})\s*(?P<p1>%?)\s*"
    rf"(?:(?:±|\+/-|\+-)\s*(?P<std>{_NUMBER})\s*(?P<p2>%?)"
    rf"|[(\[]\s*(?:±|\+/-|\+-)?\s*(?P<paren>{_NUMBER})\s*(?P<p3>%?)\s*[)\]])?"
)
_PLAIN = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,20})?")
# No number of thousands begins with 0: 0,953 is a decimal comma.
_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}([,'’_ ]\d{3})+(\.\d+)?([eE][+-]?\d+)?")
# Marks of footnotes, or powers.
_RAISED = re.compile("[\u00b2\u00b3\u00b9\u2070-\u2079\u2080-\u2089]")
_MATH = re.compile(r"\\(?:pm|plusmn)(?![A-Za-z])")
_BOLD = re.compile(
    r"\\(?:textbf|mathbf|boldsymbol|bm)(?![A-Za-z])|\\bf(?:series)?(?![A-Za-z])|\*\*|__|<b>|<strong>"
)
_DROPPED = re.compile(
    r"\\(?:textbf|mathbf|boldsymbol|bm|bf(?:series)?|underline|textit|emph|mathrm|text|small|tiny"
    r"|scriptsize|scriptstyle|footnotesize|num|cellcolor(?:\[\w+\])?\{[^{}]*\})(?![A-Za-z])"
    r"|</?(?:b|strong|u|i|em|small|sub|sup)>|\*\*|__|\\[,;:! ]|[${}~]"
)
_LONGEST = 30  # digits, and exponents: beyond any score
_NOTES = re.compile(r"[*†‡§¶]+$")


@dataclass(frozen=True)
class CellText:
    """A cell's numbers with their printed digits (None where there is none), and its marks."""

    mean: str | None
    std: str | None = None
    bold: bool = False
    percent: bool = False


def parse(text: str, where: str) -> CellText:
    """Return what a cell says; ``where`` names it in errors.

    Reads ``95.6 ± .4``, ``95.6 (0.4)``, ``95.6 +- 0.4``, ``$95.6 \\pm 0.4$``, ``1e3``, ``1,234.5``,
    ``−3``, ``12 %``, ``**95.6**``, ``\\textbf{95.6}``; a dash, ``n/a`` and nothing are missing.
    Raises DatumrlError for anything else.
    """
    if "\ufffd" in text or "\x00" in text:
        raise DatumrlError(
            f"{where}: {text!r} has letters that its encoding lost; save the file as UTF-8"
        )
    if _RAISED.search(text):
        raise DatumrlError(
            f"{where}: {text.strip()!r} has raised or lowered digits; leave the mark out, or write "
            "a power as 1e3"
        )
    bold = bool(_BOLD.search(text))
    plain = cleaned(text)
    centre, mark, width = plain.lower().partition("±")
    if width.strip() in _MISSING:  # of a single run, or of none
        plain = plain[: len(centre)].strip() if mark and width.strip() else plain
    if plain.lower() in _MISSING:
        return CellText(None, None, bold)
    if plain.startswith("≈") or text.strip().startswith("~"):
        raise DatumrlError(
            f"{where}: {text.strip()!r} is no number but about one; write its digits"
        )
    found = _CELL.fullmatch(plain)
    if found is None:
        raise DatumrlError(
            f"{where}: cannot read {text.strip()!r}; write for example 95.6, 95.6 ± 0.4, "
            "95.6 (0.4), or – where there is none"
        )
    spread = found["std"] or found["paren"]
    percent = any(found[name] for name in ("p1", "p2", "p3"))
    mean = _digits(found["mean"], text, where)
    # A spread below 0 cannot be, but is printed: by an affine map that takes it for a return.
    std = None if spread is None else _digits(spread, text, where)
    return CellText(mean, std, bold, percent)


def value(text: str, where: str) -> float:
    """Return the number of a raw score; NaN where it is missing or says that the run failed."""
    if _PLAIN.fullmatch(text):  # nearly all of them, and files have many
        return float(text)
    if cleaned(text).lower() in _FAILED:
        return float("nan")
    found = parse(text, where)
    if found.std is not None:
        raise DatumrlError(f"{where}: {text.strip()!r} is no single number; give raw scores")
    return float("nan") if found.mean is None else float(found.mean)


def says_failed(text: str) -> bool:
    """Return whether a raw score, or a status, says that the run failed."""
    return text.strip().lower() in _FAILED


def cleaned(text: str) -> str:
    """Return a cell's text without marks and with one spelling of signs and spaces."""
    for wrong, right in _MOJIBAKE.items():
        text = text.replace(wrong, right)
    text = _MATH.sub("±", text).replace("&plusmn;", "±").replace("&minus;", "-")
    text = _DROPPED.sub(" ", text.replace("\\%", "%").replace("\\_", "_"))
    for space in _SPACES:
        text = text.replace(space, " ")
    text = unicodedata.normalize("NFKC", text)
    dash = text.strip()
    if dash in _MISSING:
        return dash
    return _NOTES.sub("", " ".join(text.translate(_MINUS).split())).strip()


def decoded(content: bytes, name: str) -> tuple[str, str]:
    """Return a file's text and a note on its encoding ("" for UTF-8).

    Tried: UTF-8 (with or without mark), UTF-16 with mark, then Windows-1252 and Latin-1.
    """
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return _utf16(content, name), f"{name} is UTF-16"
    if b"\x00" in content:  # UTF-16 without its mark, too
        raise DatumrlError(f"{name} is no text that we can read; save it as UTF-8 CSV")
    try:
        return content.decode("utf-8-sig"), ""
    except UnicodeDecodeError:
        pass
    for encoding, title in (("cp1252", "Windows-1252"), ("latin-1", "Latin-1")):
        try:
            return content.decode(encoding), f"{name} is not UTF-8; read as {title}"
        except UnicodeDecodeError:
            continue
    raise AssertionError("Latin-1 decodes anything")


def _utf16(content: bytes, name: str) -> str:
    try:
        text = content.decode("utf-16")
    except UnicodeDecodeError:
        raise DatumrlError(f"{name} is no whole UTF-16 text; save it as UTF-8 CSV") from None
    if "\x00" in text:  # UTF-32, or no text
        raise DatumrlError(f"{name} is no text that we can read; save it as UTF-8 CSV")
    return text


def _digits(number: str, text: str, where: str) -> str:
    """Return a number's digits without separators of thousands, which must stand where they do."""
    number = number.strip()
    exponent = number.lower().partition("e")[2]
    if len(number) > _LONGEST or (exponent and abs(int(exponent[:_LONGEST])) > _LONGEST):
        raise DatumrlError(f"{where}: {text.strip()[:60]!r} is no attainable score; correct it")
    if re.search(r"[,'’_ ]", number):
        if not _GROUPED.fullmatch(number):
            raise DatumrlError(
                f"{where}: {text.strip()!r} has a comma or space that separates no thousands; "
                "write a decimal point"
            )
        number = re.sub(r"[,'’_ ]", "", number)
    return number
