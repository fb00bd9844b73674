"""Reader of gen_dgrl's WebShop episodes: a ``.jsonl`` with one episode per line.

An episode has, per step, ``states`` (the page's text), ``available_actions`` (the choices on it, as
texts), ``action_idxs`` (the place of the one taken, -1 for a search), ``actions`` (its text) and
``rewards``; human episodes may have ``images`` (512 features of the page's picture, or 0).  Source:
facebookresearch/gen_dgrl webShop/baseline_models (il_data_collector.py, train_choice_cql.py).

Text becomes numbers without loss: its UTF-8 bytes, padded by zeros, and how many they are.  The
observations are ``page``, ``page_length``, ``choices`` (each text followed by a zero byte),
``choices_length`` and ``choices_count``.  `text` and `choices` give them back.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from datumrl.datasets import identity
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.prepared import Writer, writing
from datumrl.datasets.reading import Progress, finish
from datumrl.datasets.record import DatasetRecord

Error = Callable[[str], DatumrlError]
_KEYS = ("states", "available_actions", "action_idxs", "actions", "rewards")
_BUY = "click[buy now]"  # the one action that ends an episode in WebShop
_FEATURES = 512
_LONGEST_LINE = 1 << 26
_LONGEST_TEXT = 1 << 20


def text(values: np.ndarray, length: int) -> str:
    """Return the text of one row of a column of bytes, of which ``length`` count."""
    return np.asarray(values, np.uint8)[: int(length)].tobytes().decode("utf-8", "surrogatepass")


def choices(values: np.ndarray, length: int) -> list[str]:
    """Return the texts of one row of ``choices``; an action's number is a place in this list."""
    return text(values, length).split("\0")[:-1]


def convert(
    source: Path, record: DatasetRecord, folder: Path, progress: Progress | None = None
) -> None:
    """Convert an episode file into prepared columns in ``folder``, all or nothing.

    Extras: ``infos/action_text`` and ``infos/action_text_length``, and ``infos/image`` (512 float32
    per row) where an episode has features of pictures.
    """
    written_from = identity.describe(source, record)

    error = identity.complaint(source, record)

    sizes = _Sizes()
    for number, episode in enumerate(_episodes(source, error, progress, 0)):
        sizes.add(_checked(episode, f"episode {number}", error))
    if not sizes.starts[-1]:
        raise error("holds no steps")
    with writing(folder) as writer:
        _write(writer, sizes, _episodes(source, error, progress, 1))
        if sizes.images:
            _write_images(writer, sizes.starts[-1], _episodes(source, error, None, 1))
        finish(
            writer,
            record,
            written_from,
            rows=sizes.starts[-1],
            notes=_notes(sizes, record),
            timeouts_recorded=True,
            ends="flags",
        )


@dataclass
class _Sizes:
    """What the columns need to know before they are written."""

    page: int = 1
    choices: int = 1
    action: int = 1
    images: bool = False
    searches: int = 0
    elsewhere: int = 0
    starts: list[int] = field(default_factory=lambda: [0])
    bought: list[bool] = field(default_factory=list)

    def add(self, episode: dict[str, Any]) -> None:
        self.page = max(self.page, *(len(_bytes(each)) for each in episode["states"]))
        self.choices = max(self.choices, *map(len, map(_joined, episode["available_actions"])))
        self.action = max(self.action, *(len(_bytes(each)) for each in episode["actions"]))
        self.images |= any(episode.get("images") or ())
        self.searches += sum(place == -1 for place in episode["action_idxs"])
        self.elsewhere += sum(
            place >= 0 and offered[place] != action
            for place, offered, action in zip(
                episode["action_idxs"],
                episode["available_actions"],
                episode["actions"],
                strict=True,
            )
        )
        self.starts.append(self.starts[-1] + len(episode["states"]))
        self.bought.append(episode["actions"][-1].strip().lower() == _BUY)


def _episodes(
    source: Path, error: Error, progress: Progress | None, done: int
) -> Iterator[dict[str, Any]]:
    """Yield the episodes as they are; the file is read twice, and ``done`` times before."""
    size = source.stat().st_size
    with source.open("rb") as handle:
        number = 0
        while line := handle.readline(_LONGEST_LINE):
            number += 1
            if len(line) == _LONGEST_LINE:
                raise error(f"line {number} is longer than {_LONGEST_LINE:,} bytes")
            if progress is not None:
                progress(done * size + handle.tell(), 2 * size)
            if not line.strip():
                continue
            try:
                episode = json.loads(line)
            except (ValueError, RecursionError) as problem:
                raise error(f"line {number} is not valid JSON ({problem})") from problem
            if not isinstance(episode, dict):
                raise error(f"line {number} is no episode, which is a JSON object")
            yield episode


def _checked(episode: dict[str, Any], name: str, error: Error) -> dict[str, Any]:
    if missing := [key for key in _KEYS if not isinstance(episode.get(key), list)]:
        raise error(f"{name} lacks lists of {', '.join(missing)} (it has {', '.join(episode)})")
    rows = len(episode["states"])
    for key in (*_KEYS, *(["images"] if episode.get("images") else [])):
        if len(episode[key]) != rows or rows == 0:
            raise error(f"{name} has {len(episode[key])} {key} for {rows} states")
    for row in range(rows):
        if problem := _fault(episode, row):
            raise error(f"{name}, step {row}: {problem}")
    return episode


def _fault(episode: dict[str, Any], row: int) -> str | None:
    """Return what is wrong with a step; None if nothing is."""
    state, offered, place, action, reward = (episode[key][row] for key in _KEYS)
    texts = [state, action, *(offered if isinstance(offered, list) else [None])]
    if not all(isinstance(each, str) and len(each) < _LONGEST_TEXT for each in texts):
        return "a text is missing, or is none"
    if any("\0" in each for each in texts):
        return "a text holds a zero byte, which separates choices"
    if type(place) is not int or not -1 <= place < len(offered):
        return f"the action is number {place} of {len(offered)} choices"
    if type(reward) not in (int, float) or not np.isfinite(reward):
        return f"the reward is {reward}"
    image = episode["images"][row] if episode.get("images") else 0
    if image != 0 and (not isinstance(image, list) or len(image) != _FEATURES):
        return f"the image has no {_FEATURES} features"
    numbers = image if isinstance(image, list) else []
    if not all(type(each) in (int, float) and np.isfinite(each) for each in numbers):
        return "the image's features are no finite numbers"
    return None


def _write(writer: Writer, sizes: _Sizes, episodes: Iterator[dict[str, Any]]) -> None:
    rows = sizes.starts[-1]
    starts = np.array(sizes.starts, np.int64)
    ends, bought = starts[1:] - 1, np.array(sizes.bought)
    flags = np.zeros((2, rows), bool)  # terminals, timeouts
    flags[0, ends[bought]] = flags[1, ends[~bought]] = True
    texts = {"page": sizes.page, "choices": sizes.choices, "action": sizes.action}
    small: dict[str, list[Any]] = {name: [] for name in (*texts, "count", "action_idxs", "rewards")}
    with (
        writer.column("observations/page", (rows, sizes.page), np.uint8) as pages,
        writer.column("observations/choices", (rows, sizes.choices), np.uint8) as offered,
        writer.column("infos/action_text", (rows, sizes.action), np.uint8, extra=True) as actions,
    ):
        columns = {"page": pages, "choices": offered, "action": actions}
        for episode in episodes:
            parts = {
                "page": list(map(_bytes, episode["states"])),
                "choices": list(map(_joined, episode["available_actions"])),
                "action": list(map(_bytes, episode["actions"])),
            }
            for name, contents in parts.items():
                columns[name].append(_padded(contents, texts[name]))
                small[name] += map(len, contents)
            small["count"] += map(len, episode["available_actions"])
            small["action_idxs"] += episode["action_idxs"]
            small["rewards"] += episode["rewards"]
    writer.array("observations/page_length", np.array(small["page"], np.int32))
    writer.array("observations/choices_length", np.array(small["choices"], np.int32))
    writer.array("observations/choices_count", np.array(small["count"], np.int32))
    writer.array("infos/action_text_length", np.array(small["action"], np.int32), extra=True)
    writer.array("actions", np.array(small["action_idxs"], np.int64))
    writer.array("rewards", np.array(small["rewards"], np.float32))
    writer.array("terminals", flags[0])
    writer.array("timeouts", flags[1])
    writer.array("starts", starts)
    writer.array("successor_rows", np.zeros(0, np.int64))
    for name, width in (("page", sizes.page), ("choices", sizes.choices)):
        writer.array(f"successors/{name}", np.zeros((0, width), np.uint8))
    for name in ("page_length", "choices_length", "choices_count"):
        writer.array(f"successors/{name}", np.zeros(0, np.int32))


def _write_images(writer: Writer, rows: int, episodes: Iterator[dict[str, Any]]) -> None:
    with writer.column("infos/image", (rows, _FEATURES), np.float32, extra=True) as column:
        for episode in episodes:
            images = episode.get("images") or [0] * len(episode["states"])
            column.append(np.array([image or [0.0] * _FEATURES for image in images], np.float32))


def _bytes(value: str) -> bytes:
    return value.encode("utf-8", "surrogatepass")


def _joined(texts: list[str]) -> bytes:
    return b"".join(_bytes(each) + b"\0" for each in texts)


def _padded(contents: list[bytes], width: int) -> np.ndarray:
    padded = b"".join(content.ljust(width, b"\0") for content in contents)
    return np.frombuffer(padded, np.uint8).reshape(len(contents), width)


def _notes(sizes: _Sizes, record: DatasetRecord) -> list[str]:
    episodes = len(sizes.bought)
    expected = int(record.option["episodes"])
    notes = [f"{sizes.searches} actions are searches, number -1"] if sizes.searches else []
    if sizes.elsewhere:
        notes.append(f"{sizes.elsewhere} actions' texts are not the choices of their numbers")
    if not all(sizes.bought):
        notes.append(f"{sizes.bought.count(False)} episodes do not end by buying; timeouts")
    if expected not in (0, episodes):
        notes.append(f"{episodes} episodes where {expected} are published")
    return notes
