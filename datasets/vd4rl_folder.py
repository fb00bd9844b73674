"""Reader of V-D4RL's folders: 64-pixel ``.npz`` episodes and 84-pixel ``.hdf5`` shards.

::

    64px: image (501, 64, 64, 3) uint8, action, reward, discount, is_first, is_last, is_terminal
    84px: observation (N, 3, 84, 84) uint8, action, reward, discount, step_type (0 first, 2 last)

Rows are in the order of dm_env: action and reward led into the row (see `stored_states`).  Source:
conglu1997/v-d4rl conversion_scripts.  Images are copied from file to column a few at a time and are
gathered by index from there; see `Episodes.index`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from datumrl.datasets import identity
from datumrl.datasets.array_files import ArrayFiles, Hdf5Files, NpzFiles, in_order
from datumrl.datasets.prepared import Writer, writing
from datumrl.datasets.reading import Progress, finish
from datumrl.datasets.record import DatasetRecord
from datumrl.datasets.stored_states import StoredStates


def convert(
    source: Path, record: DatasetRecord, folder: Path, progress: Progress | None = None
) -> None:
    """Convert a V-D4RL folder into prepared columns in ``folder``, all or nothing."""
    written_from = identity.describe(source, record)
    small = record.option["pixels"] == "64px"
    files = _open(_paths(source, record), record, progress)
    last = _ends_of_files(files) if small else _ends_of_shards(files)
    states = StoredStates(last)
    if states.rows == 0:
        raise files.error("holds no transitions", source)
    terminals = states.of_steps(_terminal(files), "incoming")
    with writing(folder) as writer:
        _write_columns(files, states, writer, "image" if small else "observation")
        states.write_boundaries(writer, terminals)
        finish(
            writer,
            record,
            written_from,
            rows=states.rows,
            notes=[*files.notes, *states.notes()],
            timeouts_recorded=True,
            ends="recorded",
        )


def check(source: Path, record: DatasetRecord) -> None:
    """Raise DatumrlError where a folder holds no such files, or the first lacks an array."""
    _open(_paths(source, record)[:1], record, None)


def _paths(source: Path, record: DatasetRecord) -> list[Path]:
    pattern = "*.npz" if record.option["pixels"] == "64px" else "*.hdf5"
    paths = in_order(source, pattern)
    if not paths:
        raise identity.complaint(source, record)(f"holds no {pattern}")
    return paths


def _open(paths: list[Path], record: DatasetRecord, progress: Progress | None) -> ArrayFiles:
    if record.option["pixels"] == "64px":
        flags = ("discount", "is_first", "is_last", "is_terminal")
        return NpzFiles(paths, record, ("reward", "action", "image"), flags, progress)
    required = ("reward", "action", "observation", "step_type")
    return Hdf5Files(paths, record, required, ("discount",), progress)


def _ends_of_files(files: ArrayFiles) -> np.ndarray:
    """Return the last row of each episode, one file each, (rows,) bool."""
    last = np.zeros(files.rows, bool)
    last[files.starts[1:][np.diff(files.starts) > 0] - 1] = True
    for name, wanted in (("is_last", last), ("is_first", np.roll(last, 1))):
        if name in files and (odd := np.flatnonzero(files.flags(name) != wanted)).size:
            number = int(np.searchsorted(files.starts, odd[0], side="right")) - 1
            raise files.error(
                f"{name} is not as in a whole episode at its row {odd[0] - files.starts[number]}",
                files.paths[number],
            )
    _note_lengths(files, last)
    return last


def _ends_of_shards(files: ArrayFiles) -> np.ndarray:
    """Return the last row of each episode, which may go on from shard to shard, (rows,) bool."""
    files.expect("step_type", [(), (1,)], "iuf")
    kinds = np.zeros(files.rows, np.uint8)
    for begin, values in files.blocks("step_type"):
        flat = values.reshape(-1)
        odd = np.flatnonzero((flat != 0) & (flat != 1) & (flat != 2))
        if len(odd):
            raise files.error(f"step_type holds {flat[odd[0]].item()} at row {begin + odd[0]}")
        kinds[begin : begin + len(flat)] = flat
    last = kinds == 2
    wrong = np.flatnonzero((kinds == 0) != np.concatenate([[True], last[:-1]]))
    if len(wrong) or not last[-1:].all():
        row = int(wrong[0]) if len(wrong) else files.rows - 1
        number = max(0, int(np.searchsorted(files.starts, row, side="right")) - 1)
        row -= int(files.starts[number])
        raise files.error(
            f"an episode is cut off at row {row}; all shards of one split have to be there, named "
            "by their numbers",
            files.paths[number],
        )
    cut = int((~last[files.starts[1:-1] - 1]).sum())
    _note_lengths(files, last)
    if cut:
        lengths = np.diff(np.concatenate([[-1], np.flatnonzero(last)]))
        if (lengths != files.record.time_limit + 1).any():
            raise files.error(
                f"{cut} episodes are cut by the split into shards, and joined they do not all have "
                f"{files.record.time_limit + 1} rows; shards may be missing or renamed"
            )
        files.notes.append(f"{cut} episodes go on from one shard to the next; they were joined")
    return last


def _note_lengths(files: ArrayFiles, last: np.ndarray) -> None:
    lengths = np.diff(np.concatenate([[-1], np.flatnonzero(last)]))
    other = int((lengths != files.record.time_limit + 1).sum())
    if other:
        files.notes.append(
            f"{other} of {len(lengths)} episodes do not have {files.record.time_limit + 1} rows"
        )


def _terminal(files: ArrayFiles) -> np.ndarray:
    """Return the rows into which the process is said to have ended, (rows,) bool."""
    if "is_terminal" in files:
        ended = files.flags("is_terminal")
    elif "discount" in files:
        files.expect("discount", [(), (1,)], "iuf")
        ended = np.zeros(files.rows, bool)
        for begin, values in files.numbers("discount", files.dtype("discount")):
            ended[begin : begin + len(values)] = values.reshape(-1) == 0
    else:
        ended = np.zeros(files.rows, bool)
    if ended.any():
        files.notes.append(f"{int(ended.sum())} rows are terminal, which V-D4RL says never happens")
    return ended


def _write_columns(files: ArrayFiles, states: StoredStates, writer: Writer, images: str) -> None:
    record = files.record
    shape = tuple(map(int, record.observation_layout.removeprefix("image ").split("x")))
    files.expect(images, [shape], "u")
    files.expect("action", [(record.action_dim,)], "f")
    files.expect("reward", [(), (1,)], "f")
    if files.dtype(images) != np.uint8:
        raise files.error(f"{images} holds {files.dtype(images)}, not uint8 pixels")
    states.write_observations(writer, files.blocks(images), shape, np.dtype(np.uint8))
    actions = files.numbers("action")
    states.write_steps(writer, "actions", actions, (record.action_dim,), np.float32, "incoming")
    states.write_steps(writer, "rewards", files.numbers("reward"), (), np.float32, "incoming")
