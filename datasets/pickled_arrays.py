"""Arrays out of a pickled dict, without unpickling: no name in the file is ever looked up.

``numpy.save`` of a dict writes a pickle.  To unpickle is to run whatever program the file holds;
this module reads the opcodes of such a program with ``pickletools`` and follows only the few that
build plain arrays, with NumPy's constructors as mere words.  Whatever else occurs is refused.
Source: CPython Lib/pickletools.py; numpy/_core/src/multiarray/methods.c (``array_reduce``).
"""

from __future__ import annotations

import io
import math
import pickletools
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.npz_file import read_header

_ARRAY, _TYPE = "numpy ndarray", "numpy dtype"
_WORDS = {  # the only names that may occur -> what they stand for
    "numpy ndarray": _ARRAY,
    "numpy dtype": _TYPE,
    "numpy.core.multiarray _reconstruct": "reconstruct",
    "numpy._core.multiarray _reconstruct": "reconstruct",
    "numpy.core.numeric _frombuffer": "frombuffer",
    "numpy._core.numeric _frombuffer": "frombuffer",
    "_codecs encode": "encode",
    "__builtin__ bytes": "no bytes",
}
_CONSTANTS = {
    "NONE": None,
    "NEWTRUE": True,
    "NEWFALSE": False,
}
_LITERALS = {
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE"),
    *("BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
_DAMAGE = (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError)
_IGNORED = {"PROTO", "FRAME", "STOP"}
_NUMBERS = re.compile(r"[biuf]\d{1,2}")


@dataclass(eq=False)
class _Word:
    name: str


@dataclass(eq=False)
class _Type:
    name: str  # such as f4; O8 for objects
    order: str = "="


@dataclass(eq=False)
class _Array:
    shape: tuple[int, ...] = ()
    type: _Type | None = None
    fortran: bool = False
    data: Any = None


def arrays(content: bytes, error: Callable[[str], DatumrlError]) -> dict[str, np.ndarray]:
    """Return the arrays by name of an ``.npy`` file that ``numpy.save`` made of a dict of them.

    The arrays are views of ``content`` and read-only.  ``error`` makes the error raised for
    anything that is not just that.
    """
    stream = io.BytesIO(content)
    try:
        shape, _, dtype = read_header(stream)
        if shape != () or dtype != np.dtype(object):
            raise ValueError("no dict of arrays")
        with warnings.catch_warnings():
            # Damaged text has escapes that Python warns of; what is made of them is checked here.
            warnings.simplefilter("ignore", DeprecationWarning)
            return _named(_Machine().run(stream))
    except DatumrlError:
        raise
    except _ForbiddenError as problem:
        raise error(f"holds {problem}, which only unpickling could make") from None
    except _DAMAGE as problem:
        raise error(f"is damaged, or no dict of arrays ({problem})") from problem


class _ForbiddenError(Exception):
    pass


def _named(top: Any) -> dict[str, np.ndarray]:
    if not isinstance(top, _Array) or not isinstance(top.data, list) or len(top.data) != 1:
        raise ValueError("the outermost object is no dict")
    content = top.data[0]
    if not isinstance(content, dict):
        raise ValueError("the outermost object is no dict")
    return {name: _plain(value) for name, value in content.items()}


def _plain(value: Any) -> np.ndarray:
    if not isinstance(value, _Array) or value.type is None:
        raise _ForbiddenError(f"a {type(value).__name__.strip('_').lower()} among its arrays")
    if _NUMBERS.fullmatch(value.type.name) is None:
        raise _ForbiddenError(f"an array of {value.type.name}")
    if not isinstance(value.data, bytes | bytearray):
        raise ValueError("an array has no bytes")
    dtype = np.dtype(value.type.order + value.type.name)
    shape = value.shape
    if any(not isinstance(size, int) or size < 0 for size in shape):
        raise ValueError(f"an array has shape {shape}")
    if math.prod(shape) * dtype.itemsize != len(value.data):
        raise ValueError(f"an array of shape {shape} has {len(value.data):,} bytes")
    flat = np.frombuffer(value.data, dtype)
    return flat.reshape(shape, order="F" if value.fortran else "C")


class _Machine:
    """The stack and the memo of a pickle's program, with words where it would call."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self, stream: io.BytesIO) -> Any:
        for code, argument, _ in pickletools.genops(stream):
            name = code.name
            if name in _LITERALS:
                self.stack.append(argument)
            elif name in _CONSTANTS:
                self.stack.append(_CONSTANTS[name])
            elif name not in _IGNORED:
                step = _STEPS.get(name)
                if step is None:
                    raise _ForbiddenError(f"the instruction {name}")
                step(self, argument)
        if len(self.stack) != 1 or stream.read(1):
            raise ValueError("the pickle does not end where it should")
        return self.stack[0]

    def since_mark(self) -> list[Any]:
        begin = self.marks.pop()
        if begin > len(self.stack):
            raise IndexError("a mark above the stack")
        items = self.stack[begin:]
        del self.stack[begin:]
        return items

    def top(self, kind: type) -> Any:
        if not isinstance(self.stack[-1], kind):
            raise TypeError(f"no {kind.__name__} to fill")
        return self.stack[-1]

    def take(self, count: int) -> tuple[Any, ...]:
        if count > len(self.stack):
            raise IndexError("the stack is empty")
        items = tuple(self.stack[len(self.stack) - count :])
        del self.stack[len(self.stack) - count :]
        return items

    def word(self, name: str) -> None:
        if name not in _WORDS:
            raise _ForbiddenError(f"{name.replace(' ', '.')!r}")
        self.stack.append(_Word(_WORDS[name]))

    def stack_global(self, _: Any) -> None:
        module, name = self.take(2)
        self.word(f"{module} {name}")

    def call(self, _: Any) -> None:
        function, arguments = self.take(2)
        if not isinstance(function, _Word) or not isinstance(arguments, tuple):
            raise _ForbiddenError("a call")
        if function.name == "reconstruct":
            made: Any = _Array()
        elif function.name == _TYPE:
            made = _Type(str(arguments[0]))
        elif function.name == "encode" and arguments[1] == "latin1":
            made = arguments[0].encode("latin1")
        elif function.name == "no bytes" and not arguments:
            made = b""
        elif function.name == "frombuffer":
            data, dtype, shape, order = arguments
            made = _Array(shape, dtype, order == "F", data)
        else:
            raise _ForbiddenError(f"a call of {function.name}")
        self.stack.append(made)

    def build(self, _: Any) -> None:
        target, state = self.take(2)
        self.stack.append(target)
        if isinstance(target, _Array):
            _, target.shape, target.type, fortran, target.data = state
            target.fortran = bool(fortran)
        elif isinstance(target, _Type) and state[1] in ("<", ">", "=", "|"):
            target.order = state[1]
        else:
            raise _ForbiddenError("an object of its own")

    def extend(self, items: list[Any]) -> None:
        self.top(list).extend(items)

    def fill(self, pairs: list[Any]) -> None:
        target = self.top(dict)
        for name, value in zip(pairs[::2], pairs[1::2], strict=True):
            if not isinstance(name, str):
                raise TypeError("a name that is no text")
            target[name] = value

    def remember(self, number: int | None) -> None:
        self.memo[len(self.memo) if number is None else number] = self.stack[-1]


_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "GLOBAL": lambda machine, name: machine.word(name),
    "STACK_GLOBAL": _Machine.stack_global,
    "REDUCE": _Machine.call,
    "BUILD": _Machine.build,
    "MARK": lambda machine, _: machine.marks.append(len(machine.stack)),
    "EMPTY_TUPLE": lambda machine, _: machine.stack.append(()),
    "EMPTY_LIST": lambda machine, _: machine.stack.append([]),
    "EMPTY_DICT": lambda machine, _: machine.stack.append({}),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.since_mark())),
    "TUPLE1": lambda machine, _: machine.stack.append(machine.take(1)),
    "TUPLE2": lambda machine, _: machine.stack.append(machine.take(2)),
    "TUPLE3": lambda machine, _: machine.stack.append(machine.take(3)),
    "APPEND": lambda machine, _: machine.extend(list(machine.take(1))),
    "APPENDS": lambda machine, _: machine.extend(machine.since_mark()),
    "SETITEM": lambda machine, _: machine.fill(list(machine.take(2))),
    "SETITEMS": lambda machine, _: machine.fill(machine.since_mark()),
    "BINPUT": _Machine.remember,
    "LONG_BINPUT": _Machine.remember,
    "MEMOIZE": _Machine.remember,
    "BINGET": lambda machine, number: machine.stack.append(machine.memo[number]),
    "LONG_BINGET": lambda machine, number: machine.stack.append(machine.memo[number]),
}
