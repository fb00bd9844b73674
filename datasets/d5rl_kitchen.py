"""Reader of D5RL's kitchen folders: an ``.npz`` per episode, with several cameras.

Arrays: ``action``; ``reward``, or one for each element (``reward kettle``, ``reward_kettle``);
images (``camera_0_rgb``, ``extra_image_camera_0_rgb``, ``image``) and states (``robot_qp ee_qp
ee_forces proprio``).  Rows are in dm_env's order (see `stored_states`).  Source: d5rlbenchmark/d5rl
examples and benchmark/domains/d4rl2/data.  Which of these a file has differs: what is there in the
first file becomes the dict of observations, and the notes say so.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from datumrl.datasets import identity
from datumrl.datasets.array_files import NpzFiles, in_order
from datumrl.datasets.npz_file import NpzFile
from datumrl.datasets.prepared import Writer, writing
from datumrl.datasets.reading import Progress, finish
from datumrl.datasets.record import DatasetRecord
from datumrl.datasets.stored_states import StoredStates

_STATES = ("robot_qp", "ee_qp", "ee_forces", "proprio")
_ROWS_AT_ONCE = 1 << 12


def convert(
    source: Path, record: DatasetRecord, folder: Path, progress: Progress | None = None
) -> None:
    """Convert a kitchen folder into prepared columns in ``folder``, all or nothing."""
    written_from = identity.describe(source, record)
    paths = _paths(source, record)
    observed, rewards = _names(paths[0], record)
    files = NpzFiles(paths, record, ("action", *rewards, *observed), (), progress)
    shape = files.shape("action")
    if len(shape) != 1 or files.dtype("action").kind != "f":
        raise files.error(f"action holds {files.dtype('action')} {shape}, not float vectors")
    last = np.zeros(files.rows, bool)
    last[files.starts[1:][np.diff(files.starts) > 0] - 1] = True
    states = StoredStates(last)
    if states.rows == 0:
        raise files.error("holds no transitions", source)
    with writing(folder) as writer:
        _write_columns(files, states, writer, observed, rewards)
        states.write_boundaries(writer)
        finish(
            writer,
            record,
            written_from,
            rows=states.rows,
            notes=[*_found(files, observed, rewards), *files.notes, *states.notes()],
            timeouts_recorded=True,
            ends="recorded",
        )


def check(source: Path, record: DatasetRecord) -> None:
    """Raise DatumrlError where a folder holds no episodes, or the first lacks an array."""
    paths = _paths(source, record)[:1]
    observed, rewards = _names(paths[0], record)
    NpzFiles(paths, record, ("action", *rewards, *observed))


def _paths(source: Path, record: DatasetRecord) -> list[Path]:
    paths = in_order(source, "*.npz")
    if not paths:
        pickles = len(in_order(source, "*.pkl"))
        found = f"; its {pickles} .pkl files are never unpickled here: save each as .npz"
        raise identity.complaint(source, record)(f"holds no .npz episode{found if pickles else ''}")
    return paths


def _names(path: Path, record: DatasetRecord) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the arrays that are observations, and those whose sum is the reward."""

    error = identity.complaint(path, record)

    with NpzFile(path, error, skip_objects=True) as file:
        members = file.members
    images = [
        name
        for name, member in members.items()
        if (name.endswith("_rgb") or name == "image")
        and member.dtype == np.uint8
        and len(member.shape) == 4
    ]
    states = [name for name in _STATES if name in members]
    if not images and not states:
        raise error(f"has no images and no states (it has {', '.join(members) or 'nothing'})")
    if "reward" in members:
        return (*images, *states), ("reward",)
    rewards = []
    for element in str(record.option["elements"]).split(","):
        spellings = [f"reward{mark}{element}" for mark in (" ", "_")]
        spellings.append(spellings[1].replace(" ", "_"))
        there = [name for name in spellings if name in members]
        if not there:
            raise error(f"has neither reward nor {spellings[0]!r}")
        rewards.append(there[0])
    return (*images, *states), tuple(rewards)


def _found(files: NpzFiles, observed: tuple[str, ...], rewards: tuple[str, ...]) -> list[str]:
    shapes = ", ".join(f"{name} {files.dtype(name)} {files.shape(name)}" for name in observed)
    notes = [f"{len(files.paths)} episodes with observations {shapes}"]
    notes.append(f"the reward is {' + '.join(rewards)}")
    width = files.shape("action")[0]
    if width != files.record.action_dim:
        notes.append(f"actions have {width} dimensions, not {files.record.action_dim}")
    return notes


def _write_columns(
    files: NpzFiles,
    states: StoredStates,
    writer: Writer,
    observed: tuple[str, ...],
    rewards: tuple[str, ...],
) -> None:
    for name in observed:
        dtype = np.dtype(np.uint8 if files.dtype(name).kind == "u" else np.float32)
        shape = files.shape(name)
        if not shape or files.dtype(name).kind not in "uf":
            raise files.error(f"{name} holds {files.dtype(name)} {shape}, no image and no vector")
        states.write_observations(writer, files.numbers(name, dtype), shape, dtype, name)
    actions, shape = files.numbers("action"), files.shape("action")
    states.write_steps(writer, "actions", actions, shape, np.float32, "incoming")
    summed = _sums(files, rewards)
    states.write_steps(writer, "rewards", summed, (), np.float32, "incoming")


def _sums(files: NpzFiles, names: tuple[str, ...]) -> Iterator[tuple[int, np.ndarray]]:
    for name in names:
        files.expect(name, [(), (1,)], "fiub")
    parts = [files.numbers(name, np.float32, _ROWS_AT_ONCE) for name in names]
    for blocks in zip(*parts, strict=True):
        yield blocks[0][0], np.sum([values.reshape(-1) for _, values in blocks], axis=0)
