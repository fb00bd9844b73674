"""What people write into cells of tables: numbers, spreads, marks; and files in odd encodings."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

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
# States of runs, as Weights & Biases, MLflow, Slurm and Optuna have them, and people.
_FINISHED = {
    "finished", "complete", "completed", "ok", "done", "success", "successful", "succeeded",
}  # fmt: skip
_UNFINISHED = {
    *_FAILED, "failure", "crash", "diverge", "error", "errored", "killed", "timeout", "timed out",
    "aborted", "cancelled", "canceled", "preempted", "preempting", "interrupted", "incomplete",
    "out_of_memory", "node_fail", "running", "pending", "queued", "scheduled", "waiting", "pruned",
}  # fmt: skip
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
# No number of thousands begins with 0: 0,953 is a decimal comma.  A plain space may part two
# numbers; the narrow ones that type-setters put between thousands were made apostrophes before.
_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}([,'’_]\d{3})+(\.\d+)?([eE][+-]?\d+)?")
_NARROW = re.compile(rf"(?<=\d)(?:\\,|[{_SPACES}])(?=\d{{3}}(?!\d))")
_ONE_GROUP = re.compile(r"[+-]?\d{1,3},\d{3}")  # or a number with a decimal comma
_COMMAS_GROUP = re.compile(r"[^\w.]*\d{1,3}(?:,\d{3})+(?:\.\d|,\d{3})")
_DECIMAL_POINT = re.compile(r"[^\w.]*(?:0|\d+(?=\.(?!\d{3}(?!\d)))|\d{4,})\.\d+(?![\w.,])")
# Digits of an uncertainty in brackets, as siunitx reads them: units of the mean's last digit.
_CONCISE = re.compile(r"\\num\s*(?:\[[^\]]*\])?\{\s*([+-]?\d+(?:\.(\d+))?)\s*\((\d+)\)\s*\}")
_DOUBTFUL = re.compile(r"([\d,]*\.(\d+))[*}$_]*\(\s*(\d+)\s*\)")
# Marks of footnotes, or powers.
_RAISED = re.compile("[\u00b2\u00b3\u00b9\u2070-\u2079\u2080-\u2089]")
_MATH = re.compile(r"\\(?:pm|plusmn)(?![A-Za-z])")
_BOLD = re.compile(
    r"\\(?:textbf|mathbf|boldsymbol|bm)(?![A-Za-z])|\\bf(?:series)?(?![A-Za-z])|\*\*[^*]+\*\*|__"
    r"|<b>|<strong>"
)
_DROPPED = re.compile(
    r"\\(?:textbf|mathbf|boldsymbol|bm|bf(?:series)?|underline|textit|emph|mathrm|text|small|tiny"
    r"|scriptsize|scriptstyle|footnotesize|textsuperscript|textsubscript|num|mbox)(?![A-Za-z])"
    r"|\\(?:cellcolor|textcolor|color|colorbox)(?:\[\w+\])?\{[^{}]*\}|\\phantom\{[^{}]*\}"
    r"|</?(?:b|strong|u|i|em|small|sub|sup)>|\*\*|__|\\[,;:! ]|[${}~]"
)
_ROW_END = re.compile(r"\\\\\s*(?:\[[^\]]*\])?\s*(?:\\(?:hline|toprule|midrule|bottomrule))?\s*$")
_STARS = "*∗⋆★†‡§¶"
_STAR = rf"(?:[{_STARS}]|\\(?:dagger|ddagger|ast|star|S|P)(?![A-Za-z])|\\\*)"
_FOOTNOTE = re.compile(rf"\^\s*(?:\{{\s*(?:{_STAR}\s*)+\}}|{_STAR}+)")
_LOWERED = re.compile(r"[_^]\s*(?=[(\[]?\s*±)")  # before a spread that hangs or stands small
_LONGEST = 30  # digits, and exponents: beyond any score
_NOTES = re.compile(rf"[\s{_STARS}]+$")


@dataclass(frozen=True)
class CellText:
    """A cell's numbers with their printed digits (None where there is none), and its marks."""

    mean: str | None
    std: str | None = None
    bold: bool = False
    percent: bool = False


def parse(text: str, where: str, commas: bool = True) -> CellText:
    """Return what a cell says; ``where`` names it in errors.

    Reads ``95.6 ± .4``, ``95.6 (0.4)``, ``95.6 +- 0.4``, ``$95.6_{\\pm 0.4}$``, ``1e3``,
    ``1,234.5``, ``−3``, ``12 %``, ``**95.6**``, ``\\textbf{95.6}``, ``95.6^*``,
    ``\\num{95.6(4)}``; a dash, ``n/a`` and nothing are missing.  Without ``commas`` a number such
    as ``95,612``, which may have a decimal comma, is refused.  Raises DatumrlError for anything
    else.
    """
    _refuse_odd(text, where)
    bold = bool(_BOLD.search(_FOOTNOTE.sub(" ", text)))
    plain = cleaned(_NARROW.sub("'", _CONCISE.sub(_spelled_out, text).replace("{,}", ",")))
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
    if found["paren"] and re.search("[, ]", found["paren"].strip()):
        raise DatumrlError(
            f"{where}: {text.strip()!r} has several numbers in brackets, as an interval has; write "
            "95.6 ± 0.4, and no comma in brackets"
        )
    spread = found["std"] or found["paren"]
    percent = any(found[name] for name in ("p1", "p2", "p3"))
    mean = _digits(found["mean"], text, where, commas)
    # A spread below 0 cannot be, but is printed: by an affine map that takes it for a return.
    std = None if spread is None else _digits(spread, text, where, commas)
    return CellText(mean, std, bold, percent)


def _refuse_odd(text: str, where: str) -> None:
    """Refuse what would be read as another number than is meant."""
    if "\ufffd" in text or "\x00" in text:
        raise DatumrlError(
            f"{where}: {text!r} has letters that its encoding lost; save the file as UTF-8"
        )
    if _RAISED.search(text):
        raise DatumrlError(
            f"{where}: {text.strip()!r} has raised or lowered digits; leave the mark out, or write "
            "a power as 1e3"
        )
    doubtful = _DOUBTFUL.search(_CONCISE.sub(" ", text))
    if doubtful:
        mean, decimals, digits = doubtful.groups()
        small = _scaled(digits, len(decimals))
        raise DatumrlError(
            f"{where}: {text.strip()!r} is ± {small} (digits in brackets count in the last place) "
            f"or ± {digits}; write {mean} ± {small} or {mean} ± {digits}"
        )


def _spelled_out(concise: re.Match[str]) -> str:
    mean, decimals, digits = concise.groups()
    return f"{mean} ± {_scaled(digits, len(decimals or ''))}"


def _scaled(digits: str, decimals: int) -> str:
    """Return a whole number of units of a decimal place: ``4`` of the first is ``0.4``."""
    return f"{Decimal(digits).scaleb(-decimals):f}"


def commas_group(cells: Iterable[str]) -> bool:
    """Return whether a number shows that commas part thousands, or that a point is decimal."""
    return any(_COMMAS_GROUP.match(cell) or _DECIMAL_POINT.match(cell) for cell in cells)


def value(text: str, where: str, commas: bool = True) -> float:
    """Return the number of a raw score; NaN where it is missing or says that the run failed."""
    if _PLAIN.fullmatch(text):  # nearly all of them, and files have many
        return float(text)
    if cleaned(text).lower() in _FAILED:
        return float("nan")
    found = parse(text, where, commas)
    if found.std is not None:
        raise DatumrlError(f"{where}: {text.strip()!r} is no single number; give raw scores")
    return float("nan") if found.mean is None else float(found.mean)


def says_failed(status: str, where: str) -> bool:
    """Return whether a status says that a run failed or never came to its end.

    Raises DatumrlError for a word that says neither this nor the contrary.
    """
    word = status.strip().lower()
    if word in _UNFINISHED:
        return True
    if word in _FINISHED or word in _MISSING:
        return False
    raise DatumrlError(
        f"{where}: {status.strip()!r} is no status of a run; write finished or failed, or rename "
        "the column if it says something else"
    )


def cleaned(text: str) -> str:
    """Return a cell's text without marks and with one spelling of signs and spaces."""
    for wrong, right in _MOJIBAKE.items():
        text = text.replace(wrong, right)
    text = _FOOTNOTE.sub(" ", _ROW_END.sub("", text))
    text = _MATH.sub("±", text).replace("&plusmn;", "±").replace("&minus;", "-")
    text = _DROPPED.sub(" ", text.replace("\\%", "%").replace("\\_", "_"))
    text = _LOWERED.sub(" ", text)
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


def _digits(number: str, text: str, where: str, commas: bool) -> str:
    """Return a number's digits without separators of thousands, which must stand where they do."""
    number = number.strip()
    exponent = number.lower().partition("e")[2]
    if len(number) > _LONGEST or (exponent and abs(int(exponent[:_LONGEST])) > _LONGEST):
        raise DatumrlError(f"{where}: {text.strip()[:60]!r} is no attainable score; correct it")
    problem = ""
    if " " in number or ("_" in number and re.search(r"[$\\]", text)):
        problem = "has digits apart, which may be two numbers; write them as one, or as 72 ± 10"
    elif re.search(r"[,'’_]", number) and not _GROUPED.fullmatch(number):
        problem = "has a comma or mark that separates no thousands; write a decimal point"
    elif _ONE_GROUP.fullmatch(number) and not commas:
        point, none = number.replace(",", "."), number.replace(",", "")
        problem = f"may be {point} or {none}, and no other number of the file tells; write which"
    if problem:
        raise DatumrlError(f"{where}: {text.strip()!r} {problem}")
    return re.sub(r"[,'’_]", "", number)
