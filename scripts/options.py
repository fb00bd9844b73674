"""How a command's options are parsed and told: numbers as people write them, no talk of None.

tyro turns the fields of a command into options.  Left alone, it offers the word ``None`` wherever a
field may be None, names empty defaults, answers a wrong number with names of Python's types, and
breaks the lines of its help where our source does.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import inspect
import io
import re
import shutil
import sys
import textwrap
import types
import typing
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

T = typing.TypeVar("T")
WIDEST = 100  # columns of text, however wide the terminal


def parse(command: type[T], name: str, line: str, arguments: list[str]) -> T:
    """Return the command that the arguments ask for; exits with code 2 where they are wrong.

    ``line`` says what the command does, as in the list of all commands.
    """
    import tyro

    registry = tyro.constructors.ConstructorRegistry()
    registry.primitive_rule(_rule)
    with _folded():
        return tyro.cli(
            tell_defaults_plainly(command),
            prog=f"datumrl {name}",
            description=description(command, line),
            args=arguments,
            config=(tyro.conf.FlagCreatePairsOff,),
            registry=registry,
        )


def description(command: type, line: str) -> str:
    """Return what --help tells above the options: the line, and the command's docstring below it.

    The docstring's first paragraph says what the line says, so that it is not shown.
    """
    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")[1:]
    return "\n\n".join([line, *map(_unbroken, paragraphs)])


def tell_defaults_plainly(command: type[T]) -> type[T]:
    """Let --help name no default that says nothing: None, no values, a flag that is off."""
    import tyro

    hints = typing.get_type_hints(command, include_extras=True)
    told = told_of_fields(command)
    for field in dataclasses.fields(command):  # type: ignore[arg-type]  # commands are dataclasses
        behaviour = None
        if field.default is dataclasses.MISSING:  # of a list of values, tyro says "(default: )"
            behaviour = "(required)"
        elif field.default is None or field.default is False or field.default == ():
            behaviour = ""
        hint = tyro.conf.arg(help=told.get(field.name), help_behavior_hint=behaviour)
        command.__annotations__[field.name] = typing.Annotated[hints[field.name], hint]
    return command


def told_of_fields(command: type) -> dict[str, str]:
    """Return the docstring under each field, on one line; tyro keeps breaks before an indent."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(command))).body
    assert isinstance(body, ast.ClassDef)
    return {
        field.target.id: _unbroken(below.value.value)
        for field, below in zip(body.body, body.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
        and isinstance(below.value.value, str)
    }


def _unbroken(text: str) -> str:
    return " ".join(text.split())


class _Kept(io.StringIO):
    """What is to be printed elsewhere: in that place's colours and frames."""

    def __init__(self, place: typing.TextIO) -> None:
        super().__init__()
        self._place = place

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a plain StringIO has none
        return self._place.encoding

    def isatty(self) -> bool:
        return self._place.isatty()


@contextlib.contextmanager
def _folded() -> Iterator[None]:
    """Fold what tyro prints to the terminal's width; it does so itself in its boxes only."""
    kept = _Kept(sys.stdout)
    try:
        with contextlib.redirect_stdout(kept):
            yield
    finally:
        width = min(shutil.get_terminal_size().columns, WIDEST)
        for line in kept.getvalue().splitlines():
            whole = len(line) <= width or not line[0].isalpha()
            print(line if whole else textwrap.fill(line, width, break_on_hyphens=False))


def changed(command: Any, names: Iterable[str]) -> str:
    """Return which of these fields are not at their default, as options: ``--steps, --on``."""
    default = {field.name: field.default for field in dataclasses.fields(command)}
    found = [name for name in names if getattr(command, name) != default[name]]
    return ", ".join(f"--{name.replace('_', '-')}" for name in found)


def whole_number(text: str) -> int:
    """Return a whole number; 1_000, 1,000 and 1e3 are one.

    Raises ValueError for anything else.
    """
    # A comma that does not part thousands parts a list, which is no number.
    plain = text.replace(",", "") if re.fullmatch(r"[+-]?\d{1,3}(,\d{3})+", text) else text
    try:
        return int(plain)
    except ValueError:
        pass
    try:
        value = float(plain)
        if value.is_integer():
            return int(value)
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"{text!r} is no whole number; write it as 20000, 20_000 or 2e4")


def number(text: str) -> float:
    """Return a number, nan and inf included.

    Raises ValueError for anything else.
    """
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is no number; write it as 0.5 or 5e-4") from None


_READ: dict[type, tuple[str, Callable[[str], Any]]] = {
    int: ("INT", whole_number),
    float: ("FLOAT", number),
    str: ("STR", str),
    Path: ("PATH", Path),
}


def _rule(info: Any) -> Any:
    """Return how a field is parsed that holds one value, several, or None; None if otherwise."""
    import tyro

    inner = [each for each in _members(info.type) if each is not types.NoneType]
    if len(inner) != 1 or tyro.conf.UseAppendAction in info.markers:
        return None
    (kind,) = inner
    parts = typing.get_args(kind)
    several = typing.get_origin(kind) is tuple
    any_number = several and parts[-1] is Ellipsis
    each = parts[:1] if any_number else parts if several else (kind,)
    readers = [_reader(part) for part in each]
    if None in readers:
        return None
    names, reads = zip(*(each for each in readers if each is not None), strict=True)

    def read(texts: list[str]) -> Any:
        every = reads * len(texts) if any_number else reads
        values = tuple(one(text) for one, text in zip(every, texts, strict=True))
        return values if several else values[0]

    return tyro.constructors.PrimitiveConstructorSpec(
        nargs="*" if any_number else len(each),
        metavar=" ".join(names) + ("..." if any_number else ""),
        instance_from_str=read,
        is_instance=lambda value: True,
        str_from_instance=lambda value: _texts(value if several else (value,)),
        choices=typing.get_args(kind) if typing.get_origin(kind) is typing.Literal else None,
    )


def _texts(values: tuple[Any, ...] | None) -> list[str]:
    return [str(each) for each in values or ()]


def _reader(kind: Any) -> tuple[str, Callable[[str], Any]] | None:
    """Return what --help calls a value of a type, and what makes one of text."""
    if typing.get_origin(kind) is not typing.Literal:
        return _READ.get(kind)
    choices = typing.get_args(kind)

    def chosen(text: str) -> str:
        if text not in choices:
            raise ValueError(f"{text!r} is none of {', '.join(choices)}")
        return text

    return "{" + ",".join(choices) + "}", chosen


def _members(kind: Any) -> tuple[Any, ...]:
    """Return the types of a union; another type alone."""
    union = typing.get_origin(kind) in (typing.Union, types.UnionType)
    return typing.get_args(kind) if union else (kind,)
