"""Reading what strangers wrote: bounded, strict, never executed, and nothing outside the folder.

Every file is a regular file (no link, no device) of limited size with one strict JSON value:
no NaN, no number beyond a double, no key given twice, no deep nesting, no invisible characters.
"""

from __future__ import annotations

import collections
import hashlib
import json
import math
import os
import re
import stat
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pydantic

from datumrl.datasets.errors import DatumrlError
from datumrl.leaderboard import names
from datumrl.leaderboard.submission_schema import (
    FOLDER,
    METHOD_FILE,
    DatasetResult,
    Evidence,
    Method,
    evidence_number,
    json_schemas,
)

LARGEST_FILE = 8_000_000  # bytes: 10 seeds x 200 points x 100 episodes of one dataset fit
LARGEST_SUBMISSION = 64_000_000
MOST_FILES = 400
MOST_METHODS = 2_000
MOST_ENTRIES = 2_000  # of an array or object; the schema allows at most as many
MOST_CONTAINERS = 200_000  # arrays and objects: 100 seeds x 600 points fit
DEEPEST = 20  # levels of nesting
# No seeds for another revision: it takes the place of the one before.
_SMALLER = "evaluate at fewer points or over fewer episodes, or submit fewer seeds"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9@._+-]{0,150}\.json")
_REVISION = re.compile("r[1-9][0-9]{0,3}")
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
# Of other categories, but show nothing: fillers, joiners, selectors, Braille's empty cell.
_BLANK = frozenset(
    map(chr, (0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x2065, 0x2800,
              0x3164, 0xFFA0, *range(0xFE00, 0xFE10), *range(0xFFF0, 0xFFF9),
              *range(0xE0000, 0xE1000)))
)  # fmt: skip
SCHEMAS = "schema"  # the folder of JSON Schemas beside the methods
README = "README.md"


@dataclass(frozen=True)
class Finding:
    """What a rule has to say.  An error must be mended; a flag is shown to the reader."""

    rule: str
    severity: Literal["error", "flag"]
    where: str
    message: str

    def __str__(self) -> str:
        return names.shown(f"{self.severity} [{self.rule}] {self.where}: {self.message}")


@dataclass(frozen=True)
class Submission:
    """One revision of one method as found on disk; what could not be read is in ``unreadable``."""

    path: Path
    folder: tuple[str, str]  # names of the method's and the revision's folder
    method: Method | None = None
    results: dict[str, DatasetResult] = field(default_factory=dict)  # by file name
    evidence: dict[str, Evidence] = field(default_factory=dict)  # by file name, the first one first
    hashes: dict[str, str] = field(default_factory=dict)  # file name -> sha256, of every file
    unreadable: tuple[Finding, ...] = ()

    @property
    def title(self) -> str:
        """Return for example ``td3-bc/r1``."""
        return "/".join(part for part in self.folder if part)

    @property
    def number(self) -> int:
        """Return the revision's number, 0 for a folder of another name."""
        return int(self.folder[1][1:]) if _REVISION.fullmatch(self.folder[1]) else 0


def read_all(path: Path) -> list[Submission]:
    """Read a folder of submissions (``method/revision``), or that of one method or revision."""
    path = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links
    if path.is_symlink() or not path.is_dir():
        raise DatumrlError(f"{path} is no folder; give a submission or a folder of them")
    if (path / METHOD_FILE).exists():
        return [read(path)]
    if is_method(path):
        return read_revisions(path / "r1")
    found = []
    for method in _folders(path):
        if not _is_ours(method):
            if method.is_symlink() or not method.is_dir() or method.name == SCHEMAS:
                what = "belongs to no method; remove it"
                if method.name == SCHEMAS and method.is_dir():
                    what = "holds other files than datumrl's JSON Schemas; restore them"
                problem = _error("files", method.name, what)
                found.append(Submission(method, (method.name, ""), unreadable=(problem,)))
            else:
                found += [read(revision) for revision in _folders(method)]
    return found


def _is_ours(path: Path) -> bool:
    """Say whether something beside the methods is the README or the folder of schemas."""
    if path.is_symlink():
        return False
    if path.name == SCHEMAS and path.is_dir():
        kept = json_schemas()
        return all(
            each.name in kept and _is_text(each, kept[each.name].encode())
            for each in _folders(path)
        )
    return path.name == README and path.is_file()


def _is_text(path: Path, expected: bytes) -> bool:
    try:
        return _bytes(path) == expected
    except (DatumrlError, OSError):
        return False


def beside(path: Path, base: Path) -> Iterator[Finding]:
    """Yield what is wrong with the README and schemas of a folder of submissions.

    Those in the base have to stay there; the README has to be that of this datumrl.
    """
    for name in (README, *(f"{SCHEMAS}/{each}" for each in json_schemas())):
        if (base / name).is_file() and not (path / name).is_file():
            yield _error("files", name, "is gone; restore it")
    ours, there = FOLDER / README, path / README
    both = (base / README).is_file() and there.is_file() and ours.is_file()
    if both and not _is_text(there, ours.read_bytes()):
        yield _error("files", README, "is not datumrl's; restore it (no submission changes it)")


def is_method(path: Path) -> bool:
    """Say whether a folder is one method's: with revisions in it, and nothing else.

    A method that calls itself r1 must not pass the folder of all submissions off as its own.
    """
    inside = _folders(path)
    return bool(inside) and all(
        _REVISION.fullmatch(each.name) and (each / METHOD_FILE).exists() for each in inside
    )


def read_revisions(path: Path) -> list[Submission]:
    """Read a revision's folder and those of the other revisions of its method."""
    beside = _folders(Path(os.path.abspath(path)).parent)  # noqa: PTH100
    return [read(each) for each in beside if _REVISION.fullmatch(each.name)]


def _folders(path: Path) -> list[Path]:
    """Return what lies in a folder, sorted; an excess is an error instead of a long wait."""
    with os.scandir(path) as entries:
        found = []
        for entry in entries:
            found.append(Path(entry.path))
            if len(found) > MOST_METHODS:
                raise DatumrlError(f"{path} holds over {MOST_METHODS} entries; split it")
    return sorted(found)


def read(path: Path) -> Submission:
    """Read one revision.  Whatever lies there, this returns; what is wrong becomes findings."""
    folder = (path.parent.name, path.name)
    title = "/".join(folder)
    if path.parent.is_symlink() or path.is_symlink() or not path.is_dir():
        problem = _error("files", title, "is no folder; keep only method/revision/*.json")
        return Submission(path, folder, unreadable=(problem,))
    problems: list[Finding] = []
    parsed: dict[str, Any] = {}
    hashes: dict[str, str] = {}
    size = 0
    for name, unwanted in _listed(path, title):
        if unwanted is not None:
            problems.append(unwanted)
            continue
        try:
            content = _bytes(path / name)
            size += len(content)
            if size > LARGEST_SUBMISSION:
                limit = f"{LARGEST_SUBMISSION // 1_000_000} MB"
                raise DatumrlError(f"the submission is over {limit}; {_SMALLER}")
            hashes[name] = hashlib.sha256(content).hexdigest()
            parsed[name] = _parsed(name, content)
        except (DatumrlError, OSError) as wrong:
            problems.append(_error("files", f"{title}/{name}", str(wrong)))
    if METHOD_FILE not in hashes:
        problems.append(_error("files", title, f"has no readable {METHOD_FILE}; add it"))
    method = parsed.pop(METHOD_FILE, None)
    told = sorted((name for name in parsed if evidence_number(name)), key=evidence_number)
    evidence = {name: parsed.pop(name) for name in told}
    return Submission(path, folder, method, parsed, evidence, hashes, tuple(problems))


def _listed(path: Path, title: str) -> Iterator[tuple[str, Finding | None]]:
    with os.scandir(path) as entries:
        listed = []
        for entry in entries:
            listed.append(entry.name)
            if len(listed) > MOST_FILES:
                message = f"holds over {MOST_FILES} files; one per dataset is enough"
                yield "", _error("files", title, message)
                return
    for name in sorted(listed):
        if not _NAME.fullmatch(name):
            message = "only JSON files with plain names belong here; rename or remove it"
            yield name, _error("files", f"{title}/{name}", message)
        else:
            yield name, None


def _bytes(path: Path) -> bytes:
    """Read a regular file of limited size; neither follows a link nor waits at a pipe."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    if not stat.S_ISREG(path.lstat().st_mode):
        raise DatumrlError("is no regular file; links, folders and devices are refused")
    with os.fdopen(os.open(path, flags), "rb") as handle:
        if not stat.S_ISREG(os.fstat(handle.fileno()).st_mode):
            raise DatumrlError("is no regular file; links, folders and devices are refused")
        content = handle.read(LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise DatumrlError(f"is larger than {LARGEST_FILE // 1_000_000} MB; {_SMALLER}")
    return content


def _parsed(name: str, content: bytes) -> pydantic.BaseModel:
    model: type[pydantic.BaseModel] = Evidence if evidence_number(name) else DatasetResult
    if name == METHOD_FILE:
        model = Method
    strict_json(content)
    try:
        # The JSON mode is the one in which lists stand for tuples.
        return model.model_validate_json(content)
    except (pydantic.ValidationError, ValueError) as problem:
        raise DatumrlError(f"{_described(problem)}; see submissions/schema/") from None


def _described(problem: Exception) -> str:
    if not isinstance(problem, pydantic.ValidationError):
        return str(problem)
    # Without the input: it may be the whole file, once for every error.
    found = problem.errors(include_url=False, include_input=False, include_context=False)[:3]
    told = []
    for error in found:
        place = ".".join(map(str, error["loc"]))[:200]
        message = error["msg"].removeprefix("Value error, ")[:200]
        told.append(f"{place}: {message}" if place else message)
    return "; ".join(told)


def strict_json(content: bytes) -> Any:
    """Parse JSON as strictly as it can be meant; DatumrlError says what is wrong and where."""
    try:
        value = json.loads(
            content.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_refused_constant,
            parse_float=_finite,
            parse_int=_bounded,
        )
    except RecursionError:
        raise DatumrlError(f"nests deeper than {DEEPEST} levels; flatten it") from None
    except ValueError as problem:
        raise DatumrlError(f"is no strict JSON ({problem}); write it anew") from None
    _check_depth_and_text(value)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice, _ = collections.Counter(key for key, _ in pairs).most_common(1)[0]
        raise ValueError(f"key {twice[:60]!r} is given twice")
    return found


def _refused_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number that JSON knows")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"number {text[:30]} is beyond any double")
    return value


def _bounded(text: str) -> int:
    if len(text) > 20:
        raise ValueError(f"number {text[:30]}... has {len(text)} digits")
    return int(text)


def _check_depth_and_text(value: Any) -> None:
    level, containers = [value], 0
    for _ in range(DEEPEST):
        inner: list[Any] = []
        for each in level:
            kind = type(
                each
            )  # what JSON gives is of these very types; numbers, the most, need none
            if kind is str:
                _check_text(each)
            elif kind is list or kind is dict:
                containers += 1
                if len(each) > MOST_ENTRIES:
                    raise DatumrlError(f"an array or object has {len(each):,} entries; shorten it")
                inner += each
                if kind is dict:
                    inner += each.values()
        if containers > MOST_CONTAINERS:
            raise DatumrlError(f"over {MOST_CONTAINERS:,} arrays and objects; use fewer points")
        if not inner:
            return
        level = inner
    raise DatumrlError(f"nests deeper than {DEEPEST} levels; flatten it")


def _check_text(text: str) -> None:
    if text.isascii() and text.isprintable():
        return
    for letter in text:
        if unicodedata.category(letter) in _UNSEEN or letter in _BLANK:
            raise DatumrlError(
                f"{text[:60]!r} holds the invisible character U+{ord(letter):04X}; remove it"
            )


def _error(rule: str, where: str, message: str) -> Finding:
    return Finding(rule, "error", where, message)
