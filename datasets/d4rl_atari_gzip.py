"""Reader of d4rl-atari's folders: four gzip-compressed ``.npy`` files of one epoch of one run.

::

    row           0  1  2  3   4   5  |  6  7  8  9   ...  N-2  N-1
    observation   0  0  0  s0  s1  s2 |  0  0  0  q0       x    (an older row)
    terminal                       1  |

Action and reward belong to the row's own observation.  Zeros before an episode's first frame are
Dopamine's padding for stacks, and the last row is one of the buffer's former contents, since it is
logged when it is one row short of full: both are left out.  Sources: takuseno/d4rl-atari
offline_env.py, google-research/batch_rl logged_replay_buffer.py, google/dopamine
circular_replay_buffer.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from datumrl.datasets import identity
from datumrl.datasets.episodes import episode_starts, first_not_finite
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.gzip_npy import GzipNpy
from datumrl.datasets.prepared import Writer, writing
from datumrl.datasets.reading import Progress, finish
from datumrl.datasets.record import DatasetRecord

_NAMES = ("observation", "action", "reward", "terminal")
_PADDING = 3  # stack of four, less one
_FRAME = (84, 84)


def convert(
    source: Path, record: DatasetRecord, folder: Path, progress: Progress | None = None
) -> None:
    """Convert one epoch of one run into prepared columns in ``folder``, all or nothing."""
    written_from = identity.describe(source, record)
    check(source, record)
    epoch = _Epoch(source, record, progress)
    with writing(folder) as writer:
        fields = epoch.write(writer)
        finish(
            writer,
            record,
            written_from,
            notes=epoch.notes,
            timeouts_recorded=True,
            ends="flags",
            **fields,
        )


def check(source: Path, record: DatasetRecord) -> None:
    """Raise DatumrlError where a folder lacks one of the four files."""
    lacking = [
        name for name in _NAMES if not any(path.is_file() for path in _of(source, record, name))
    ]
    if lacking:
        named = (" nor ".join(path.name for path in _of(source, record, name)) for name in lacking)
        raise identity.complaint(source, record)(f"holds neither {', neither '.join(named)}")


def _of(source: Path, record: DatasetRecord, name: str) -> tuple[Path, Path]:
    """Return the paths that an array's file may have."""
    return source / f"$store$_{name}_ckpt.{record.option['epoch']}.gz", source / f"{name}.gz"


class _Epoch:
    """The four files of an epoch, all but the frames in memory."""

    def __init__(self, source: Path, record: DatasetRecord, progress: Progress | None) -> None:
        self.source, self.record, self.progress = source, record, progress
        self.notes: list[str] = []
        files = {name: self._open(name) for name in _NAMES}
        self.frames = files["observation"]
        rows = self.frames.shape[0]
        for name, file in files.items():
            wanted = (rows, *_FRAME) if name == "observation" else (rows,)
            if file.shape != wanted:
                raise self._error(f"{name} has shape {file.shape} where {wanted} is needed")
        if self.frames.dtype != np.uint8:
            raise self._error(f"observation holds {self.frames.dtype}, not uint8 pixels")
        if rows < 2:
            raise self._error("holds no transitions")
        if rows != record.rows:
            self.notes.append(f"the files hold {rows:,} rows, not {record.rows:,}")
        self.rows = rows - 1  # the last row is of the buffer's former contents
        self.notes.append("the last row of the files, one of the buffer's former, is left out")
        self.actions = self._actions(files["action"].array())
        self.rewards = self._rewards(files["reward"].array())
        self.terminals = self._flags(files["terminal"].array())

    def write(self, writer: Writer) -> dict[str, Any]:
        """Write all columns; return their number of rows by that name."""
        with writer.growing("observations", _FRAME, np.uint8) as column:
            kept = np.ones(self.rows, bool)
            for begin, frames in self.frames.blocks():
                frames = frames[: self.rows - begin]
                self._mark_padding(kept, begin, frames)
                column.append(frames[kept[begin : begin + len(frames)]])
                if self.progress is not None:
                    done = (begin + len(frames)) * 84 * 84
                    self.progress(done, self.rows * 84 * 84)
        if not kept.any():
            raise self._error("holds nothing but padding")
        padding = int((~kept).sum())
        self.notes.append(f"{padding} rows of zeros before first frames were left out as padding")
        terminals = self.terminals[kept]
        timeouts = np.zeros(len(terminals), bool)
        starts = episode_starts(terminals, timeouts)
        writer.array("actions", self.actions[kept])
        writer.array("rewards", self.rewards[kept])
        writer.array("terminals", terminals)
        writer.array("timeouts", timeouts)
        writer.array("starts", starts)
        writer.array("successor_rows", np.zeros(0, np.int64))
        writer.array("successors", np.zeros((0, *_FRAME), np.uint8))
        cut = int((np.diff(starts) == self.record.time_limit).sum())
        if cut:
            self.notes.append(
                f"{cut} episodes have {self.record.time_limit:,} steps, the limit of the run; "
                "their end is terminal in the data"
            )
        return {"rows": len(terminals)}

    def _mark_padding(self, kept: np.ndarray, begin: int, frames: np.ndarray) -> None:
        """Clear ``kept`` at up to three rows of zeros that begin the file or follow a terminal."""
        end = begin + len(frames)
        firsts = np.flatnonzero(self.terminals[max(0, begin - _PADDING) : end])
        firsts = firsts + max(0, begin - _PADDING) + 1
        if begin < _PADDING:
            firsts = np.append(firsts, 0)
        for first in firsts:
            for row in range(first, first + _PADDING):
                if row < begin:
                    if kept[row]:
                        break
                    continue
                if row >= end or self._is_step(row) or frames[row - begin].any():
                    break
                kept[row] = False

    def _is_step(self, row: int) -> bool:
        return bool(self.actions[row] or self.rewards[row] or self.terminals[row])

    def _open(self, name: str) -> GzipNpy:
        first, other = _of(self.source, self.record, name)
        path = first if first.is_file() else other
        return GzipNpy(path, lambda problem: self._error(f"{path.name} {problem}"))

    def _actions(self, values: np.ndarray) -> np.ndarray:
        values, count = values[: self.rows], self.record.action_dim
        if values.dtype.kind not in "iu":
            raise self._error(f"action holds {values.dtype}, not integers")
        odd = np.flatnonzero((values < 0) | (values >= count))
        if len(odd):
            raise self._error(
                f"action holds {values[odd[0]]} at row {odd[0]} where the game has {count} actions"
            )
        return values.astype(np.int64)

    def _rewards(self, values: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            rewards = values[: self.rows].astype(np.float32)
        row = first_not_finite(rewards)
        if row is not None:
            raise self._error(f"reward holds {values[row]} at row {row}, which is not finite")
        self.notes.append(f"rewards lie in {rewards.min():g} .. {rewards.max():g}")
        return rewards

    def _flags(self, values: np.ndarray) -> np.ndarray:
        values = values[: self.rows]
        odd = np.flatnonzero((values != 0) & (values != 1))
        if len(odd):
            raise self._error(f"terminal holds {values[odd[0]]} at row {odd[0]}, not 0 or 1")
        return values.astype(bool)

    def _error(self, problem: str) -> DatumrlError:
        return DatumrlError(
            f"{self.source}: {problem}; {identity.remedy(self.source, self.record)}"
        )
