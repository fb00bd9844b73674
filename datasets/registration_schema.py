"""What the TOML description of a user's dataset may say, and an example of each format."""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datumrl.datasets.errors import DatumrlError

PREFIX = "user/"
FORMATS = ("hdf5", "npz", "csv", "parquet", "minari")
RULES = ("flags", "episode-column", "fixed-length", "ends", "starts")

_TEXT, _TRUTH, _COUNT = "a text", "true or false", "a whole number, not negative"
_NUMBER, _TEXTS, _COUNTS = "a number", "a list of texts", "a list of whole numbers"
_ONE_OR_MORE = "the name of a column, or a list of them"
_MAPPING = "the name of a column, a list of them, or a table of these by name"
_TABLE, _SETTINGS = "a table", "a table of plain values"
_FIELDS: dict[str, dict[str, str]] = {
    "": {
        "id": _TEXT,
        "format": _TEXT,
        "path": _TEXT,
        "time_limit": _COUNT,
        "discrete_actions": _TRUTH,
        "licence": _TEXT,
        "citation": _TEXT,
        "bibtex": _TEXT,
        "source": _TEXT,
        "notes": _TEXTS,
        "columns": _TABLE,
        "boundaries": _TABLE,
        "environment": _TABLE,
        "reference": _TABLE,
    },
    "columns": {
        "observations": _MAPPING,
        "actions": _ONE_OR_MORE,
        "rewards": _TEXT,
        "terminals": _TEXT,
        "timeouts": _TEXT,
        "next_observations": _MAPPING,
    },
    "boundaries": {"rule": _TEXT, "column": _TEXT, "length": _COUNT, "values": _COUNTS},
    "environment": {
        "id": _TEXT,
        "kwargs": _SETTINGS,
        "time_limit": _COUNT,
        "equivalent": _TRUTH,
        "note": _TEXT,
    },
    "reference": {"minimum": _NUMBER, "maximum": _NUMBER, "origin": _TEXT},
}
_REQUIRED = {
    "": ("id", "format", "path"),
    "columns": ("observations", "actions", "rewards"),
    "boundaries": ("rule",),
    "environment": ("id",),
    "reference": ("minimum", "maximum", "origin"),
}


def parse(text: str, path: Path, own: str | None = None) -> dict[str, Any]:
    """Return what a description says, checked; ``own`` is a table that registering added to it.

    Raises DatumrlError for TOML that is not right, unknown or missing fields, and values that are
    not of their kind, naming the field.
    """
    try:
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as problem:
        raise DatumrlError(f"{path}: is no valid TOML ({problem}); mend it there") from None
    if own is not None and not isinstance(content.get(own), dict):
        raise DatumrlError(f"{path}: lacks the table {own!r}; delete it and register anew")
    given = {key: value for key, value in content.items() if key != own}
    _check_table(given, "", path)
    for name in ("columns", "boundaries", "environment", "reference"):
        if name in given:
            _check_table(given[name], name, path)
    _check_meaning(given, path)
    return content


def _check_table(table: Mapping[str, Any], where: str, path: Path) -> None:
    fields, prefix = _FIELDS[where], f"{where}." if where else ""
    for name, value in table.items():
        if name not in fields:
            close = difflib.get_close_matches(name, fields, n=1)
            remedy = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(fields)}"
            raise DatumrlError(f"{path}: unknown field {prefix}{name}; {remedy}")
        if not _is(value, fields[name]):
            raise DatumrlError(f"{path}: {prefix}{name} = {value!r}: should be {fields[name]}")
    for name in _REQUIRED[where]:
        if name not in table:
            raise DatumrlError(
                f"{path}: {prefix}{name} is missing; `datumrl register --example csv` prints a "
                "whole description"
            )


def _check_meaning(given: Mapping[str, Any], path: Path) -> None:
    """Raise DatumrlError for fields that do not go together."""

    def fault(text: str) -> DatumrlError:
        return DatumrlError(f"{path}: {text}")

    if given["format"] not in FORMATS:
        raise fault(f"format = {given['format']!r}: choose one of {', '.join(FORMATS)}")
    if given["format"] == "minari":
        for name in ("columns", "boundaries"):
            if name in given:
                raise fault(f"{name}: a Minari dataset says itself what it holds; leave it out")
    else:
        for name in ("columns", "boundaries"):
            if name not in given:
                raise fault(f"the table [{name}] is missing; `datumrl register --example csv`")
        _check_boundaries(given, fault)
    environment = given.get("environment")
    if environment and not environment.get("time_limit", given.get("time_limit", 0)):
        raise fault(
            "environment.time_limit is missing: episodes of evaluation need an end; give it, or "
            "time_limit"
        )
    reference = given.get("reference")
    if reference and not (
        reference["minimum"] < reference["maximum"] and reference["origin"].strip()
    ):
        raise fault("reference: minimum must be below maximum, and origin say where both come from")


def _check_boundaries(given: Mapping[str, Any], fault: Any) -> None:
    columns, boundaries = given["columns"], given["boundaries"]
    rule = boundaries["rule"]
    if rule not in RULES:
        raise fault(f"boundaries.rule = {rule!r}: choose one of {', '.join(RULES)}")
    wanted = {
        "flags": (),
        "episode-column": ("column",),
        "fixed-length": ("length",),
        "ends": ("column", "values"),
        "starts": ("column", "values"),
    }[rule]
    for name in ("column", "length", "values"):
        if name in boundaries and name not in wanted:
            raise fault(f"boundaries.{name}: has no meaning with the rule {rule!r}; leave it out")
    if wanted and sum(name in boundaries for name in wanted) != 1:
        raise fault(f"boundaries: the rule {rule!r} needs {' or '.join(wanted)}")
    if rule == "fixed-length" and boundaries["length"] == 0:
        raise fault("boundaries.length = 0: must be at least 1")
    if rule == "flags" and not {"terminals", "timeouts"} & set(columns):
        raise fault("boundaries: the rule 'flags' needs columns.terminals or columns.timeouts")
    forms = [_names_of(columns.get(name)) for name in ("observations", "next_observations")]
    if forms[1] is not None and forms[0] != forms[1]:
        raise fault("columns.next_observations: must have the form of columns.observations")


def _names_of(mapping: Any) -> Any:
    """Return the form of a mapping: names, and how many columns each is of."""
    if isinstance(mapping, dict):
        return {name: _names_of(value) for name, value in mapping.items()}
    return None if mapping is None else len(mapping) if isinstance(mapping, list) else 0


def _is(value: Any, kind: str) -> bool:
    if kind == _TEXT:
        return isinstance(value, str) and bool(value.strip())
    if kind == _TRUTH:
        return isinstance(value, bool)
    if kind == _COUNT:
        return isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if kind == _NUMBER:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and math.isfinite(value)
    if kind == _TEXTS:
        return isinstance(value, list) and all(_is(each, _TEXT) for each in value)
    if kind == _COUNTS:
        return isinstance(value, list) and all(_is(each, _COUNT) for each in value)
    if kind == _ONE_OR_MORE:
        return _is(value, _TEXT) or (bool(value) and _is(value, _TEXTS))
    if kind == _MAPPING:
        named = isinstance(value, dict) and value and all(map(str.strip, value))
        return _is(value, _ONE_OR_MORE) or bool(
            named and all(_is(each, _ONE_OR_MORE) for each in value.values())
        )
    plain = isinstance(value, dict)
    if kind == _SETTINGS:
        return plain and all(isinstance(each, bool | int | float | str) for each in value.values())
    return plain
