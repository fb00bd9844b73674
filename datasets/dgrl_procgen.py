"""Reader of gen_dgrl's Procgen archives: a tar with a file per episode, read without unpacking it.

A file is called ``<time>_<number>_<length>_<level seed>_<return>`` and holds ``observations``
(T + 1, 3, 64, 64) with whole numbers 0 to 255 as floats, ``actions`` (T, 1), ``rewards`` (T, 1) and
``dones`` (T,) or (T, 1); the last observation is the first frame of the next level.  It is an
``.npz``, or an ``.npy`` of a pickled dict (see `pickled_arrays`).  Sources: facebookresearch/
gen_dgrl procgen/online/datasets/storage.py and procgen/offline/dataloader.py; pytorch/rl
torchrl/data/datasets/gen_dgrl.py for the pickled form.  No published file was at hand: where one
differs from this, the reader says what it found.
"""

from __future__ import annotations

import collections
import contextlib
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datumrl.datasets import fact_tables, identity, pickled_arrays, tar_stream
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.npz_file import NpzFile
from datumrl.datasets.prepared import GrowingFile, Writer, writing
from datumrl.datasets.reading import Progress, finish
from datumrl.datasets.record import DatasetRecord

Error = Callable[[str], DatumrlError]
FRAME = (3, 64, 64)
ACTIONS = 15
_NAME = re.compile(
    r"_(?P<length>\d{1,9})_(?P<seed>-?\d{1,10})_(?P<returned>-?\d{1,9}\.\d+)\.np[yz]$"
)
_KEYS = ("observations", "actions", "rewards", "dones")
_LARGEST = 1 << 29  # bytes of an episode: 5,000 steps in double precision
_UNPACKED = 8 * 3 * 64 * 64 * 2  # bytes a transition may take in the archive, with room to spare


def convert(
    source: Path, record: DatasetRecord, folder: Path, progress: Progress | None = None
) -> None:
    """Convert an archive into prepared columns in ``folder``, all or nothing, an episode at a time.

    Extras: ``infos/level_seed`` per row (-1 where a name does not tell), and
    ``metadata/recorded_return`` per episode, as its name says it (NaN likewise).
    """
    written_from = identity.describe(source, record)

    error = identity.complaint(source, record)

    with writing(folder) as writer, contextlib.ExitStack() as stack:
        columns = _Columns(writer, stack)
        for name, content in _members(source, record, columns.seen, error, progress):
            columns.append(_episode(name, content, columns.seen, error))
        if columns.rows == 0:
            raise error("holds no episodes")
        stack.close()
        columns.finish()
        finish(
            writer,
            record,
            written_from,
            rows=columns.rows,
            notes=_notes(columns, record),
            timeouts_recorded=True,  # none are, and none are inferred
            ends="recorded",
        )


@dataclass
class _Episode:
    observations: np.ndarray  # (T, 3, 64, 64) uint8
    successor: np.ndarray | None  # (3, 64, 64) uint8, of an episode that does not end
    actions: np.ndarray  # (T,) int64
    rewards: np.ndarray  # (T,) float32
    dones: np.ndarray  # (T,) bool
    seed: int
    returned: float


def _members(
    source: Path,
    record: DatasetRecord,
    seen: collections.Counter[str],
    error: Error,
    progress: Progress | None,
) -> Iterator[tuple[str, bytes]]:
    """Yield the record's episodes; an archive may hold other games, in folders of their names."""
    games = {row["game"] for row in fact_tables.rows("procgen.csv")}
    share = len(games) if record.option["of_all_games"] else 1
    in_all = 2 * share * (record.rows or 0) * _UNPACKED
    found = tar_stream.members(source, error, largest=_LARGEST, in_all=in_all, progress=progress)
    for name, content in found:
        others = games.intersection(name.split("/")[:-1]) - {record.option["game"]}
        if others:
            seen["episodes are of other games"] += 1
        elif name.endswith((".npy", ".npz")) and not name.rpartition("/")[2].startswith("._"):
            yield name, content
        else:
            seen["files are no episodes"] += 1


def _episode(
    name: str, content: bytes, seen: collections.Counter[str], error: Error
) -> _Episode | None:
    def wrong(problem: str) -> DatumrlError:
        return error(f"{name} {problem}")

    arrays = _arrays(content, wrong)
    if missing := [key for key in _KEYS if key not in arrays]:
        raise wrong(f"lacks {', '.join(missing)} (it has {', '.join(arrays) or 'nothing'})")
    rows = len(arrays["actions"]) if arrays["actions"].ndim else -1
    for key in _KEYS[1:]:
        if arrays[key].shape not in ((rows,), (rows, 1)):
            raise wrong(
                f"has {key} of shape {arrays[key].shape} where {rows} actions need ({rows},)"
            )
    frames = arrays["observations"]
    if frames.shape not in ((rows + 1, *FRAME), (rows, *FRAME)):
        raise wrong(f"has observations of shape {frames.shape} for {rows} actions of 64 px games")
    if rows == 0:
        seen["episodes are empty and left out"] += 1
        return None
    seen["episodes have no observation after their last step"] += len(frames) == rows
    dones = _whole(arrays["dones"], 1, "dones", wrong).astype(bool)
    rewards = arrays["rewards"].reshape(-1).astype(np.float32)
    if not np.isfinite(rewards).all():
        raise wrong("has a reward that is not finite")
    pixels = _whole(frames, 255, "observations", wrong).astype(np.uint8).reshape(frames.shape)
    seen["episodes are done before their last step"] += bool(dones[:-1].any())
    seen["episodes do not end in done; they have no end flag"] += not dones[-1]
    episode = _Episode(
        observations=pixels[:rows],
        successor=pixels[rows] if len(pixels) > rows and not dones[-1] else None,
        actions=_whole(arrays["actions"], ACTIONS - 1, "actions", wrong).astype(np.int64),
        rewards=rewards,
        dones=dones,
        seed=-1,
        returned=np.nan,
    )
    return _named(episode, name, seen)


def _named(episode: _Episode, name: str, seen: collections.Counter[str]) -> _Episode:
    """Add what the name tells, and hold it against the content."""
    match = _NAME.search(name)
    if match is None:
        seen["names do not tell the level's seed and the return"] += 1
        return episode
    episode.seed, episode.returned = int(match["seed"]), float(match["returned"])
    seen["names tell another length"] += int(match["length"]) != len(episode.actions)
    total = episode.rewards.sum(dtype=np.float64)
    seen["names tell another return"] += abs(total - episode.returned) > 0.01
    return episode


def _arrays(content: bytes, error: Error) -> dict[str, np.ndarray]:
    if content.startswith(b"\x93NUMPY"):
        return pickled_arrays.arrays(content, error)
    with NpzFile(io.BytesIO(content), error) as file:
        wanted = [key for key in _KEYS if key in file]
        size = sum(file.members[key].bytes for key in wanted)
        if size > _LARGEST:
            raise error(f"unpacks to {size:,} bytes; no episode is so large")
        return {key: file.array(key) for key in wanted}


def _whole(values: np.ndarray, most: int, name: str, error: Error) -> np.ndarray:
    """Return the values in one row each, all of them whole numbers from 0 to ``most``."""
    if values.dtype.kind not in "biuf":
        raise error(f"has {name} of {values.dtype}, no numbers")
    flat = values.reshape(-1)
    if flat.dtype.kind == "b" or not flat.size:
        return flat
    low, high = flat.min(), flat.max()
    if not (low >= 0 and high <= most):
        raise error(f"has {name} from {low} to {high} where 0 to {most} is possible")
    if flat.dtype.kind == "f" and (flat != np.trunc(flat)).any():
        raise error(f"has {name} that are no whole numbers, and rounding would change them")
    return flat


class _Columns:
    """The columns under way, and what was seen that a user should know."""

    def __init__(self, writer: Writer, stack: contextlib.ExitStack) -> None:
        def column(name: str, kind: type, *shape: int, extra: bool = False) -> GrowingFile:
            return stack.enter_context(writer.growing(name, shape, kind, extra=extra))

        self.seen: collections.Counter[str] = collections.Counter()
        self._writer = writer
        self._observations = column("observations", np.uint8, *FRAME)
        self._actions = column("actions", np.int64)
        self._rewards = column("rewards", np.float32)
        self._terminals = column("terminals", np.bool_)
        self._seeds = column("infos/level_seed", np.int64, extra=True)
        self._starts = [0]
        self._returned: list[float] = []
        self._ends: list[int] = []
        self._successors: list[np.ndarray] = []

    @property
    def rows(self) -> int:
        return self._starts[-1]

    def append(self, episode: _Episode | None) -> None:
        if episode is None:
            return
        self._observations.append(episode.observations)
        self._actions.append(episode.actions)
        self._rewards.append(episode.rewards)
        self._terminals.append(episode.dones)
        self._seeds.append(np.full(len(episode.actions), episode.seed, np.int64))
        self._starts.append(self.rows + len(episode.actions))
        self._returned.append(episode.returned)
        if episode.successor is not None:
            self._ends.append(self.rows - 1)
            self._successors.append(episode.successor)

    def finish(self) -> None:
        """Write what is known only at the end."""
        array = self._writer.array
        array("timeouts", np.zeros(self.rows, bool))
        array("starts", np.array(self._starts, np.int64))
        array("successor_rows", np.array(self._ends, np.int64))
        array("successors", np.array(self._successors, np.uint8).reshape(-1, *FRAME))
        array("metadata/recorded_return", np.array(self._returned), extra=True)


def _notes(columns: _Columns, record: DatasetRecord) -> list[str]:
    notes = [f"{count} {what}" for what, count in columns.seen.items() if count]
    if record.rows is not None and not 0.9 * record.rows < columns.rows < 1.1 * record.rows:
        notes.append(f"{columns.rows} transitions where about {record.rows} are published")
    return notes
