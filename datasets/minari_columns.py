"""Columns of a Minari dataset: every episode checked, and written as columns have it."""

from __future__ import annotations

import contextlib
import itertools
import math
from typing import Any

import numpy as np

from datumrl.datasets import minari_metadata
from datumrl.datasets.episodes import TOO_WIDE, is_too_wide
from datumrl.datasets.minari_blocks import Block, block_for
from datumrl.datasets.minari_metadata import Leaf, Metadata
from datumrl.datasets.prepared import GrowingFile, Writer
from datumrl.datasets.reading import Progress

_BYTES_AT_ONCE = 1 << 24  # of an episode that no block has room for
_WIDEST_TEXT = 1 << 16  # bytes


class Columns:
    """The columns under way."""

    def __init__(
        self,
        metadata: Metadata,
        storage: Any,
        error: minari_metadata.Error,
        progress: Progress | None,
        copied_finals: bool = False,  # final observations are copies, which are no successors
    ) -> None:
        self._metadata, self._storage, self._error = metadata, storage, error
        self._progress, self._copied_finals = progress, copied_finals
        self._files: dict[str, GrowingFile] = {}
        self._text_widths: dict[str, int] = {}
        self._dropped_infos: dict[str, None] = {}
        self._widest = 1  # bytes of a row of a column
        self._cut_infos = self._without_final = self._inside = self._rows = 0
        self._starts, self._successor_rows = [0], list[int]()
        self._block: Block | None = None
        self._known = 0  # final observations in the block
        self.notes: list[str] = []

    def write(self, writer: Writer) -> int:
        """Write all columns; return the number of rows."""
        total = self._storage.total_episodes
        if self._metadata.total_episodes not in (None, total):
            raise self._error(
                f"says it has {self._metadata.total_episodes} episodes, and holds {total}"
            )
        self._measure_texts()
        with contextlib.ExitStack() as stack:
            starts, successor_rows = self._episodes(writer, stack)
        stated = self._metadata.total_steps
        if stated not in (None, self._rows):
            raise self._error(f"says it has {stated} steps, and holds {self._rows}")
        for name in self._dropped_infos:
            writer.discard_extra(name)
        writer.array("starts", np.array(starts, np.int64))
        writer.array("successor_rows", np.array(successor_rows, np.int64))
        self._tell()
        return self._rows

    def _episodes(self, writer: Writer, stack: contextlib.ExitStack) -> tuple[list[int], list[int]]:
        total = self._storage.total_episodes
        for number in range(total):
            if number == 0:
                first = self._storage.episode(0)
                if first.steps == 0:
                    raise first.error("has no steps")
                self._open(writer, stack, first)
                self._block = block_for(first, self._metadata.observations, self._files)
            if not self._gathered(number):
                self._write_alone(self._storage.episode(number))
            if self._progress is not None:
                self._progress(number + 1, total)
        self._flush()
        if self._rows == 0:
            raise self._error("holds no episodes")
        return self._starts, self._successor_rows

    def _gathered(self, number: int) -> bool:
        """Return whether an episode is in the block now, which is written when it is full."""
        if self._block is None:
            return False
        for _ in range(2):
            self._block.begin()
            if self._storage.fill(number, self._block):
                steps, known = self._block.commit(), len(self._block.final_ends)
                self._end_episode(steps, known > self._known)
                self._known = known
                return True
            if not self._block.ends:
                break
            self._flush()
        return False

    def _end_episode(self, steps: int, final: bool) -> None:
        self._rows += steps
        self._starts.append(self._rows)
        if final and not self._copied_finals:
            self._successor_rows.append(self._rows - 1)
        self._without_final += not final

    def _flush(self) -> None:
        """Check and write the episodes that the block holds."""
        block = self._block
        if block is None or not block.ends:
            return
        before = len(self._starts) - 1 - len(block.ends)
        for name, values in block.contents():
            if self._copied_finals and name.startswith("successors"):
                continue
            if name == "timeouts":
                ends = np.zeros(len(values), bool)
                ends[np.array(block.ends) - 1] = True
                self._inside += int((values & ~ends).sum())
                values = values & ends
            finite = name.startswith("infos/") or values.dtype.kind != "f"
            if not finite and not np.isfinite(values).all():
                row = int(np.argwhere(~np.isfinite(values))[0, 0])
                place, step = block.episode_of(name, row)
                raise self._error(
                    f"episode {before + place} holds {name} that are not finite, at step {step}"
                )
            file = self._files[name]
            file.append(values.reshape(len(values), *file.shape[1:]))
        block.clear()
        self._known = 0

    def _write_alone(self, episode: Any) -> None:
        """Write an episode that is not like the first, or too large for a block."""
        if episode.steps == 0:
            raise episode.error("has no steps")
        final = episode.observations - episode.steps
        if final not in (0, 1):
            raise episode.error(
                f"has {episode.observations} observations for {episode.steps} steps"
            )
        self._write(episode)
        self._end_episode(episode.steps, bool(final))
        if self._block is not None:
            self._block.drop(self._dropped_infos)

    def _open(self, writer: Writer, stack: contextlib.ExitStack, first: Any) -> None:
        """Open every column, of the type that the first episode has."""

        def column(name: str, values: np.ndarray, extra: bool = False) -> None:
            shape, dtype = values.shape[1:], values.dtype
            if is_too_wide(dtype) and not extra:
                raise first.error(f"holds {name} of {dtype}; {TOO_WIDE}")
            self._files[name] = stack.enter_context(writer.growing(name, shape, dtype, extra=extra))

        for leaf in self._metadata.observations:
            values = self._observation(first, leaf, 0, 1)
            for name in ("observations", "successors"):
                column(_named(name, leaf), values)
        column("actions", self._actions(first, 0, 1))
        rewards = self._flat(first, "rewards", 0, 1)
        if rewards.dtype.kind != "f":
            self.notes.append(f"rewards are {rewards.dtype} in the file and float64 here")
        column("rewards", rewards if rewards.dtype.kind == "f" else rewards.astype(np.float64))
        for name in ("terminals", "timeouts"):
            column(name, np.zeros(1, bool))
        for name, (shape, dtype) in first.infos().items():
            column(name, np.empty((0, *shape[1:]), dtype), extra=True)
        self._widest = max(
            math.prod(file.shape[1:]) * file.dtype.itemsize for file in self._files.values()
        )

    def _write(self, episode: Any) -> None:
        """Append an episode, some rows at a time."""
        infos = [name for name in self._files if name.startswith("infos/")]
        kept = [name for name in infos if self._fits(episode, name)]
        step = max(1, _BYTES_AT_ONCE // self._widest)
        for leaf in self._metadata.observations:
            for begin in range(0, episode.observations, step):
                end = min(begin + step, episode.observations)
                values = self._observation(episode, leaf, begin, end)
                steps = values[: max(0, episode.steps - begin)]
                self._append(_named("observations", leaf), steps, episode)
                if len(steps) < len(values) and not self._copied_finals:
                    self._append(_named("successors", leaf), values[len(steps) :], episode)
        for begin in range(0, episode.steps, step):
            end = min(begin + step, episode.steps)
            self._append("actions", self._actions(episode, begin, end), episode)
            self._append("rewards", self._flat(episode, "rewards", begin, end), episode)
            terminals = self._flags(episode, "terminations", begin, end)
            timeouts = self._flags(episode, "truncations", begin, end)
            inside = timeouts[:-1] if end == episode.steps else timeouts
            if inside.any():
                self._inside += int(inside.sum())
                timeouts = timeouts & (np.arange(begin, end) == episode.steps - 1)
            self._append("terminals", terminals, episode)
            self._append("timeouts", timeouts, episode)
            for name in kept:
                self._append(name, episode.info(name, begin, end), episode, finite=False)

    def _fits(self, episode: Any, name: str) -> bool:
        """Return whether an episode's info has rows that belong to steps; if not, drop it."""
        if name in self._dropped_infos:
            return False
        form, file = episode.info_form(name), self._files[name]
        fits = (
            form is not None
            and form[0][0] in (episode.steps, episode.observations)
            and form[0][1:] == file.shape[1:]
            and np.can_cast(form[1], file.dtype, "safe")
        )
        if not fits:
            self._dropped_infos[name] = None
        elif form is not None and form[0][0] != episode.steps:
            self._cut_infos += 1
        return fits

    def _observation(self, episode: Any, leaf: Leaf, begin: int, end: int) -> np.ndarray:
        values = episode.observation(leaf, begin, end)
        if leaf.kind == "text":
            return _bytes_of(values, self._text_widths[leaf.name])
        if values.shape[1:] != leaf.shape and leaf.type != "Discrete":
            raise episode.error(
                f"holds observations {leaf.name} of shape {values.shape[1:]} where the space says "
                f"{leaf.shape}"
            )
        # A float column has rows of at least one number.
        return values[:, None] if values.ndim == 1 and values.dtype.kind == "f" else values

    def _actions(self, episode: Any, begin: int, end: int) -> np.ndarray:
        values = episode.column("actions", begin, end)
        space = self._metadata.actions[0]
        if values.shape[1:] != space.shape:
            raise episode.error(
                f"holds actions of shape {values.shape[1:]} where the space says {space.shape}"
            )
        if values.dtype.kind == "b":
            values = values.astype(np.int8)
        if values.ndim == 2 or (values.ndim == 1 and values.dtype.kind in "iu"):
            return values
        return values.reshape(len(values), -1)

    def _flat(self, episode: Any, name: str, begin: int, end: int) -> np.ndarray:
        values = episode.column(name, begin, end)
        if values.shape not in ((end - begin,), (end - begin, 1)):
            raise episode.error(f"holds {name} of shape {values.shape[1:]} where one number is due")
        if values.dtype.kind not in "biuf":
            raise episode.error(f"holds {name} of {values.dtype}, not numbers")
        return values.reshape(-1)

    def _flags(self, episode: Any, name: str, begin: int, end: int) -> np.ndarray:
        values = self._flat(episode, name, begin, end)
        if values.dtype.kind == "b":
            return values
        if not ((values == 0) | (values == 1)).all():
            raise episode.error(f"holds {name} other than 0 and 1")
        return values.astype(bool)

    def _append(self, name: str, values: np.ndarray, episode: Any, finite: bool = True) -> None:
        file = self._files[name]
        if values.dtype != file.dtype or values.shape[1:] != file.shape[1:]:
            values = self._cast(name, values, file, episode)
        if finite and values.dtype.kind == "f" and not np.isfinite(values).all():
            row = int(np.argwhere(~np.isfinite(values))[0, 0])
            raise episode.error(f"holds {name} that are not finite, at step {row} or later")
        file.append(values)

    def _cast(self, name: str, values: np.ndarray, file: GrowingFile, episode: Any) -> np.ndarray:
        """Return values as their column's type, if that changes none of them."""
        if values.shape[1:] == file.shape[1:] and values.dtype.kind in "biuf":
            with np.errstate(all="ignore"):
                cast = values.astype(file.dtype)
            same = cast == values
            if file.dtype.kind == "f":  # a NaN stays one there alone
                same |= np.isnan(cast) & np.isnan(values)
            if same.all():
                return cast
        raise episode.error(
            f"holds {name} of {values.dtype} {values.shape[1:]} where the first episode has "
            f"{file.dtype} {file.shape[1:]}"
        )

    def _measure_texts(self) -> None:
        """Find the longest text of every column of text, which all rows are as wide as."""
        texts = [leaf for leaf in self._metadata.observations if leaf.kind == "text"]
        if not texts:
            return
        widths = dict.fromkeys((leaf.name for leaf in texts), 1)
        for episode, leaf in itertools.product(self._storage.episodes(), texts):
            values = episode.observation(leaf, 0, episode.observations)
            widest = max((len(_raw(text)) for text in values), default=0)
            widths[leaf.name] = max(widths[leaf.name], widest)
        self._text_widths = widths
        for name, width in widths.items():
            if width > _WIDEST_TEXT:
                raise self._error(f"holds a text {name} of {width} bytes, too long for a column")
            self.notes.append(
                f"observations{' ' if name else ''}{name} are text: its UTF-8 bytes, padded with "
                f"zeros to {width}"
            )

    def _tell(self) -> None:
        """Say what became of what has no place of its own."""
        space = self._metadata.actions[0]
        images = [leaf.name for leaf in self._metadata.observations if leaf.kind == "image"]
        told = {
            f"images {', '.join(images)}".strip() + " were stored as JPEG, which is lossy": images
            and self._metadata.fields.get("jpeg_encoding", True),
            f"actions of shape {space.shape} are flattened": len(space.shape) > 1,
            f"{self._without_final} episodes have no final observation": self._without_final,
            "the final observations are copies of those before them and left out": (
                self._copied_finals
            ),
            f"{self._inside} truncations within episodes, which go on after them, are no timeouts "
            "here": self._inside,
            f"infos dropped, as they have no row for every step: "
            f"{', '.join(name.removeprefix('infos/') for name in self._dropped_infos)}": (
                self._dropped_infos
            ),
            "infos have a row per observation; that of the final one is left out": self._cut_infos
            or (self._block is not None and self._block.cut_infos),
        }
        self.notes += [text for text, holds in told.items() if holds]


def _named(column: str, leaf: Leaf) -> str:
    return f"{column}/{leaf.name}" if leaf.name else column


def _raw(text: object) -> bytes:
    return text if isinstance(text, bytes) else str(text).encode()


def _bytes_of(texts: np.ndarray, width: int) -> np.ndarray:
    """Return texts as (texts, width) uint8, padded with zeros."""
    joined = b"".join(_raw(text).ljust(width, b"\0") for text in texts)
    return np.frombuffer(joined, np.uint8).reshape(len(texts), width)
