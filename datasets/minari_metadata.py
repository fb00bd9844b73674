"""What a Minari dataset says of itself: ``data/metadata.json``, its spaces and its environment.

Layout: Farama-Foundation/Minari minari/dataset/minari_storage.py, minari/serialization.py (dataset
versions 0.4 and 0.5).  Keys that an older version did not write may be absent, and keys of an
environment's specification that Gymnasium 1 no longer knows are of no matter: neither Minari nor
Gymnasium is asked.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.record import Environment, Reference

FORMATS = ("hdf5", "arrow", "parquet")
_LOOSE_JSON = 64 << 20  # bytes; metadata of more is none
_DEEPEST = 8  # lists within lists of a setting

Error = Callable[[str], DatumrlError]


@dataclass(frozen=True)
class Leaf:
    """One array of a space: the space itself, or what a Dict or Tuple holds under some keys."""

    keys: tuple[str, ...]  # of Dicts, and positions in Tuples
    hdf5: str  # the keys as Minari's HDF5 files have them, joined by slashes
    kind: Literal["numbers", "image", "text"]
    shape: tuple[int, ...]
    type: str  # of the space, such as Box
    dtype: str  # as the space says; the file's own counts
    count: int  # of a Discrete, how many values; else 0

    @property
    def name(self) -> str:
        """Return the keys joined by slashes: what the column is called."""
        return "/".join(self.keys)


@dataclass(frozen=True)
class Metadata:
    """What is known of a dataset before its episodes are read."""

    format: str
    total_episodes: int | None
    total_steps: int | None
    observations: tuple[Leaf, ...]
    actions: tuple[Leaf, ...]
    fields: Mapping[str, Any]  # all of metadata.json

    @property
    def dict_actions(self) -> bool:
        """Return whether actions are a Dict or a Tuple."""
        return len(self.actions) != 1 or bool(self.actions[0].keys)


def data_folder(folder: Path) -> Path:
    """Return the ``data`` of a dataset's folder, or the folder itself if that is it."""
    return folder if (folder / "metadata.json").is_file() else folder / "data"


def read(folder: Path, error: Error) -> Metadata:
    """Read a dataset's metadata.  Raises what ``error`` makes for what is missing or damaged."""
    path = data_folder(folder) / "metadata.json"
    if not path.is_file():
        raise error(
            "has no data/metadata.json; Minari's own versions before 0.4 kept none, and such a "
            "dataset has to be written anew with a later one"
        )
    try:
        if path.stat().st_size > _LOOSE_JSON:
            raise ValueError("it is larger than any metadata")
        fields = json.loads(path.read_text(encoding="utf-8"))  # Minari writes NaN and Infinity
        if not isinstance(fields, dict):
            raise ValueError("it is no object")
    except (OSError, ValueError, RecursionError) as problem:
        raise error(f"{path.name} is not valid JSON ({problem})") from None
    storage = fields.get("data_format", "hdf5")  # the only one there was before it was written
    if storage not in FORMATS:
        raise error(f"data_format is {storage!r} where {', '.join(FORMATS)} are known")
    jpeg = bool(fields.get("jpeg_encoding", True))
    return Metadata(
        storage,
        _count(fields, "total_episodes", error),
        _count(fields, "total_steps", error),
        _leaves(fields, "observation_space", jpeg, error),
        _leaves(fields, "action_space", jpeg, error),
        fields,
    )


def environment(metadata: Metadata) -> tuple[Environment | None, str]:
    """Return the environment to evaluate in, and what is to be known of it (or of its absence).

    Minari's ``eval_env_spec`` goes before ``env_spec``, as in its own ``recover_environment``.
    """
    fields = metadata.fields
    spec = _json(fields.get("eval_env_spec")) or _json(fields.get("env_spec"))
    if not isinstance(spec, dict) or not isinstance(spec.get("id"), str):
        return None, ""
    name, limit = spec["id"], spec.get("max_episode_steps")
    if ":" in name:
        return None, f"its environment {name} is of a module that would have to be imported"
    if not isinstance(limit, int) or limit < 1:
        return None, f"its environment {name} has no time limit, so rollouts need not end"
    given = spec.get("kwargs")
    settings = given if isinstance(given, dict) else {}
    plain = {key: _frozen(value) for key, value in settings.items() if _is_plain(value)}
    left_out = sorted(set(settings) - set(plain))
    wrapped = [each.get("name") for each in spec.get("additional_wrappers") or () if each]
    note = ""
    if left_out:
        note += f"its {', '.join(left_out)} are no plain values and left at their defaults"
    if wrapped:
        note += f"{'; ' if note else ''}the wrappers {', '.join(map(str, wrapped))} are left out"
    return Environment(name, limit, tuple(sorted(plain.items())), not note, note), ""


def reference(metadata: Metadata) -> Reference | None:
    """Return the reference scores that the dataset states."""
    low, high = (metadata.fields.get(f"ref_{end}_score") for end in ("min", "max"))
    numbers = all(
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        for value in (low, high)
    )
    if not numbers or not low < high:  # type: ignore[operator]
        return None
    origin = "ref_min_score and ref_max_score of the dataset's own metadata"
    return Reference(float(low), float(high), origin)  # type: ignore[arg-type]


def layout(leaves: tuple[Leaf, ...]) -> str:
    """Return in words what observations are: ``flat``, or ``dict (position 3, image 64 x 64)``."""
    if len(leaves) == 1 and not leaves[0].keys:
        leaf = leaves[0]
        flat = leaf.kind == "numbers" and len(leaf.shape) == 1
        return "flat" if flat else _leaf_in_words(leaf)
    return f"dict ({', '.join(f'{leaf.name} {_leaf_in_words(leaf)}' for leaf in leaves)})"


def _leaf_in_words(leaf: Leaf) -> str:
    if leaf.kind == "text":
        return "text"
    shape = " x ".join(map(str, leaf.shape)) or f"one of {leaf.count}"
    return f"image {shape}" if leaf.kind == "image" else shape


def _leaves(fields: Mapping[str, Any], name: str, jpeg: bool, error: Error) -> tuple[Leaf, ...]:
    space = _json(fields.get(name))
    if not isinstance(space, dict):
        raise error(f"metadata.json holds no {name} that can be read")
    try:
        leaves = tuple(_walk(space, (), (), jpeg))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as problem:
        raise error(f"{name} cannot be read ({type(problem).__name__}: {problem})") from None
    names = [leaf.name for leaf in leaves]
    if not leaves or len(set(names)) != len(names):
        raise error(f"{name} holds {'no array' if not leaves else 'two arrays of one name'}")
    return leaves


def _walk(
    space: Mapping[str, Any], keys: tuple[str, ...], hdf5: tuple[str, ...], jpeg: bool
) -> Iterator[Leaf]:
    kind = space["type"]
    if kind in ("Dict", "Tuple"):
        inner = space["subspaces"]
        named = inner.items() if kind == "Dict" else enumerate(inner)
        for key, subspace in named:
            below = str(key) if kind == "Dict" else f"_index_{key}"
            if not str(key):
                raise ValueError("a Dict has a key without a name")
            yield from _walk(subspace, (*keys, str(key)), (*hdf5, below), jpeg)
        return
    where = (keys, "/".join(hdf5))
    if kind == "Text":
        yield Leaf(*where, "text", (), kind, "str", 0)
    elif kind == "Discrete":
        yield Leaf(*where, "numbers", (), kind, str(space.get("dtype", "int64")), int(space["n"]))
    elif kind == "Box":
        shape = tuple(int(size) for size in space["shape"])
        as_image = jpeg and _is_image(space, shape)
        yield Leaf(*where, "image" if as_image else "numbers", shape, kind, space["dtype"], 0)
    elif kind == "MultiBinary":
        size = space["n"]
        shape = tuple(map(int, size)) if isinstance(size, list) else (int(size),)
        yield Leaf(*where, "numbers", shape, kind, "int8", 0)
    elif kind == "MultiDiscrete":
        shape = np.shape(space["nvec"])
        yield Leaf(*where, "numbers", shape, kind, str(space.get("dtype", "int64")), 0)
    else:
        raise ValueError(f"a space of type {kind!r} is not known")


def _is_image(space: Mapping[str, Any], shape: tuple[int, ...]) -> bool:
    """Return whether Minari would store a Box as JPEG: its ``is_image_space``."""
    return (
        space["dtype"] == "uint8"
        and len(shape) in (2, 3)
        and min(shape[:2]) >= 32
        and bool(np.all(np.asarray(space["low"]) == 0))
        and bool(np.all(np.asarray(space["high"]) == 255))
    )


def _json(text: object) -> Any:
    """Return what a string of JSON in the metadata holds; some writers left it an object."""
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _count(fields: Mapping[str, Any], name: str, error: Error) -> int | None:
    value = fields.get(name)
    if value is None:
        return None
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not whole or value < 0:
        raise error(f"{name} is {value!r}, which is no number of them")
    return int(value)


def _is_plain(value: object, depth: int = _DEEPEST) -> bool:
    if isinstance(value, list):  # such as a maze's map
        return depth > 0 and all(_is_plain(each, depth - 1) for each in value)
    return isinstance(value, bool | int | float | str)


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
