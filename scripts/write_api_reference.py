"""Write the reference of the Python API from signatures and docstrings (`make api`).

Run ``python -m datumrl.scripts.write_api_reference`` in the repository: it writes ``docs/api.md``.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import io
import re
import sys
import tokenize
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import datumrl
from datumrl.datasets import files
from datumrl.datasets.errors import DatumrlError
from datumrl.scripts import options

DOCUMENT = Path("docs/api.md")
_BREAK = "\n\n"  # between paragraphs
_LONGEST = 88  # letters of a signature on one line
_RECORDS = "datumrl.evaluation.records"


class Section(NamedTuple):
    """What belongs together: public names, and by module what they return or take."""

    title: str
    said: str
    names: tuple[str, ...]
    others: tuple[tuple[str, str], ...] = ()  # (module, name)


SECTIONS = (
    Section(
        "Find and load data",
        "The guide with examples is [data.md](data.md). What each measure of `datumrl.stats` is: "
        "[measures.md](measures.md).",
        (
            "list_datasets", "find", "fetch", "collect", "load", "qlearning_dataset", "stats",
            "score", "make",
        ),
        (
            ("datumrl.datasets.record", "DatasetRecord"),
            ("datumrl.datasets.record", "Environment"),
            ("datumrl.datasets.record", "Reference"),
            ("datumrl.datasets.fetching", "Fetched"),
            ("datumrl.datasets.episodes", "Episodes"),
            ("datumrl.datasets.views", "Transitions"),
            ("datumrl.datasets.views", "Index"),
            ("datumrl.datasets.sequences", "Sequences"),
            ("datumrl.datasets.sequences", "SequenceBatch"),
            ("datumrl.datasets.dataset_statistics", "DatasetStatistics"),
        ),
    ),
    Section(
        "Train, and use what was trained",
        "The guide is [training.md](training.md). `datumrl train METHOD --on ID --show` prints the "
        "fields of a method's configuration, which `settings=` and `**fields` replace.",
        ("train", "export_policy", "load_policy"),
        (("datumrl.algorithms.exporting", "NumpyPolicy"),),
    ),
    Section(
        "Measure a policy of your own",
        "Examples are in [submitting.md](submitting.md) and in the [README](../README.md).",
        ("evaluate", "Recorder"),
    ),
    Section(
        "Read records back",
        "A run record is the file `seed-000.json` of one run. These names are imported from "
        f"`{_RECORDS}`: `from {_RECORDS} import find_records`.",
        (),
        (
            (_RECORDS, "find_records"),
            (_RECORDS, "read_record"),
            (_RECORDS, "score_rows"),
            (_RECORDS, "RunRecord"),
            (_RECORDS, "Evaluation"),
            (_RECORDS, "Budget"),
            (_RECORDS, "Protocol"),
            (_RECORDS, "ScoreRow"),
        ),
    ),
    Section(
        "Compare results",
        "What every number means is in [statistics.md](statistics.md).",
        ("compare",),
        (
            ("datumrl.evaluation.report_parts", "Report"),
            ("datumrl.evaluation.report_parts", "Summary"),
            ("datumrl.evaluation.report_parts", "Pair"),
            ("datumrl.evaluation.report_parts", "Measure"),
        ),
    ),
    Section("Errors", "", ("DatumrlError",)),
)  # fmt: skip


def main() -> int:
    """Write the document; exit code 2 outside of the repository."""
    try:
        if not DOCUMENT.parent.is_dir():
            raise DatumrlError(f"{DOCUMENT.parent} is not here; run this in the repository")
        with files.replacing(DOCUMENT, "w") as handle:
            handle.write(page())
    except DatumrlError as problem:
        print(problem, file=sys.stderr)
        return 2
    return 0


def page() -> str:
    """Return the document."""
    lines = [
        "# The Python API",
        "",
        "Written by `make api` from the signatures and docstrings of the code. `import datumrl` "
        "loads nothing heavy: each name below is imported when it is first used. "
        "`datumrl.__version__` is the version.",
        "",
        "| name | what it does |",
        "|:--|:--|",
    ]
    for section in SECTIONS:
        for name in section.names:
            first = _docstring(getattr(datumrl, name)).partition(_BREAK)[0]
            called = f"datumrl.{name}"
            lines.append(f"| [`{called}`](#{_anchor(called)}) | {_in_cell(first)} |")
    for section in SECTIONS:
        lines += ["", f"## {section.title}", ""]
        lines += [section.said, ""] if section.said else []
        for name in section.names:
            lines += _entry(f"datumrl.{name}", getattr(datumrl, name))
        for module, name in section.others:
            lines += _entry(name, getattr(importlib.import_module(module), name))
    text = "\n".join(lines).rstrip() + "\n"
    return re.sub(r"\n{3,}", _BREAK, text)


def _anchor(title: str) -> str:
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def _entry(title: str, it: Any) -> Iterator[str]:
    """Yield the lines of a function or class."""
    yield from (f"### `{title}`", "")
    if not inspect.isclass(it) or it is datumrl.Recorder:
        name = title.rpartition(".")[2]
        yield from ("```text", _called(name, inspect.signature(it)), "```", "")
    yield from (_docstring(it), "")
    if it is datumrl.compare:
        yield from _compare_options()
    if inspect.isclass(it):
        yield from _table(_fields(it))
        yield from _members(it)


def _called(name: str, signature: inspect.Signature, folded: bool = True) -> str:
    """Return how something is called, on one line or, if it is long, on one per parameter."""
    parts: list[str] = []
    for parameter in signature.parameters.values():
        if parameter.name in ("self", "cls"):
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in parts:
            parts.append("*")
        stars = "**" if parameter.kind is parameter.VAR_KEYWORD else ""
        part = f"{stars}{parameter.name}"
        if parameter.annotation is not parameter.empty:
            part += f": {parameter.annotation}"
        if parameter.default is not parameter.empty:
            part += f" = {_value(parameter.default)}"
        parts.append(part)
    known = signature.return_annotation not in (signature.empty, "None")
    end = f") -> {signature.return_annotation}" if known else ")"
    line = f"{name}({', '.join(parts)}{end}"
    if len(line) <= _LONGEST or not folded:
        return line
    return "\n".join([f"{name}(", *(f"    {part}," for part in parts), end])


def _value(default: Any) -> str:
    """Return a default as code has it: text between double quotes."""
    return f'"{default}"' if isinstance(default, str) else repr(default)


def _docstring(it: Any) -> str:
    """Return a docstring as Markdown: code between single backticks."""
    text = (inspect.getdoc(it) or "").replace("``", "`")
    text = re.sub(r"::$", ":", text, flags=re.MULTILINE)
    return re.sub(r"(?<=[^.])\.  ", ". ", text)


def _in_cell(text: str) -> str:
    """Return text for a cell of a table, on one line."""
    return " ".join(text.split()).replace("``", "`").replace("|", r"\|")


class _Field(NamedTuple):
    name: str
    kind: str
    default: str
    told: str


def _table(fields: Sequence[_Field], head: str = "field") -> Iterator[str]:
    if fields:
        yield from (f"| {head} | type | default | |", "|:--|:--|:--|:--|")
        for each in fields:
            default = f"`{_in_cell(each.default)}`" if each.default else ""
            told = _in_cell(each.told)
            yield f"| `{each.name}` | `{_in_cell(each.kind)}` | {default} | {told} |"
        yield ""


def _compare_options() -> Iterator[str]:
    """Yield the options of `datumrl.compare`, which are told where the command has them."""
    from datumrl.evaluation.report_parts import Options
    from datumrl.scripts import compare

    told = options.told_of_fields(compare.Command)
    kinds = {each.name: str(each.type) for each in dataclasses.fields(compare.Command)}
    fields = dataclasses.fields(Options)
    yield from _table(
        [
            _Field(each.name, kinds[each.name], _value(each.default), told[each.name])
            for each in fields
        ],
        "option",
    )


class _Unannotated(ast.NodeTransformer):
    """Leaves the types of ``Annotated[type, rule]``."""

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        self.generic_visit(node)
        if ast.unparse(node.value) == "Annotated" and isinstance(node.slice, ast.Tuple):
            return node.slice.elts[0]
        return node


def _fields(it: type) -> list[_Field]:
    """Return the fields that a class declares, with the comments on them."""
    text = inspect.cleandoc("\n" + inspect.getsource(it))
    comments = {
        each.start[0]: (each.string.lstrip("# "), not each.line[: each.start[1]].strip())
        for each in tokenize.generate_tokens(io.StringIO(text).readline)
        if each.type == tokenize.COMMENT
    }
    (body,) = ast.parse(text).body
    assert isinstance(body, ast.ClassDef)
    found = []
    for node in body.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            kind = ast.unparse(_Unannotated().visit(node.annotation))
            lines = list(range(node.lineno, (node.end_lineno or node.lineno) + 1))
            above = node.lineno - 1
            while above in comments and comments[above][1]:  # lines of their own
                lines.insert(0, above)
                above -= 1
            told = " ".join(comments[line][0] for line in lines if line in comments)
            found.append(_Field(node.target.id, kind, _default(node.value), told))
    return found


def _default(node: ast.expr | None) -> str:
    """Return a field's default; nothing for a constant that only the source knows by name."""
    if node is None or isinstance(node, ast.Name):
        return ""
    text = ast.unparse(node)
    if made := re.fullmatch(r"field\(default_factory=(\w+)\)", text):
        return f"{made[1]}()"
    return _value(node.value) if isinstance(node, ast.Constant) else text


def _members(it: type) -> Iterator[str]:
    """Yield a class's public methods and properties, each with the start of its docstring."""
    for name, member in vars(it).items():
        if name.startswith("_") and name not in ("__call__", "__len__"):
            continue
        is_property = isinstance(member, property | cached_property)
        plain = getattr(member, "__func__", member)  # of a class method
        if not is_property and not inspect.isfunction(plain):
            continue
        called = name if is_property else _called(name, inspect.signature(plain), folded=False)
        yield f"- `{called}`: {_in_cell(_docstring(member).partition(_BREAK)[0])}"
    yield ""


if __name__ == "__main__":
    sys.exit(main())
