"""Reader of D5RL's files with a row per step: Adroit and WidowX (HDF5), A1 (``.npz``).

::

    Adroit, WidowX   observations (or observations/<name>), actions, rewards, terminals, and perhaps
                     timeouts and next_observations (or next_observations/<name>)
    A1               observations actions rewards masks dones next_observations, of the arrays of a
                     pickled buffer; the pickle itself is refused, and the error says how to convert

Sources: d5rlbenchmark/d5rl benchmark/domains/finetune_env.py, adroit/utils, examples/
train_offline_a1.py.  A stored next observation is kept where it ends an episode or disagrees with
the following row.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from datumrl.datasets import identity
from datumrl.datasets.array_files import ArrayFiles, Hdf5Files, NpzFiles
from datumrl.datasets.d4rl_boundaries import infer_timeouts
from datumrl.datasets.episodes import episode_starts
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.prepared import Writer, writing
from datumrl.datasets.reading import Progress, finish
from datumrl.datasets.record import DatasetRecord

_STEPS = ("rewards", "actions")


def convert(
    source: Path, record: DatasetRecord, folder: Path, progress: Progress | None = None
) -> None:
    """Convert an Adroit, WidowX or (converted) A1 file into prepared columns, all or nothing."""
    written_from = identity.describe(source, record)
    files, parts = _open(source, record, progress)
    _check(files, parts)
    terminals, ends = _flags(files)
    with writing(folder) as writer:
        starts = episode_starts(np.zeros_like(ends), ends)
        writer.array("terminals", terminals)
        writer.array("timeouts", ends & ~terminals)
        writer.array("starts", starts)
        _write_steps(files, writer)
        _write_observations(files, writer, parts, starts)
        finish(
            writer,
            record,
            written_from,
            rows=files.rows,
            notes=files.notes,
            timeouts_recorded=True,
            ends="recorded",
        )


def _open(
    source: Path, record: DatasetRecord, progress: Progress | None
) -> tuple[ArrayFiles, dict[str, str]]:
    """Return the file, and the array of each part of the observations (one part: ``""``)."""
    flags = ("terminals", "timeouts", "masks", "dones")
    if not record.urls:
        _refuse_pickle(source, record)
        required, optional = (*_STEPS, "observations"), (*flags, "next_observations")
        return NpzFiles([source], record, required, optional, progress), {"": "observations"}
    every = Hdf5Files.names(source, record)
    nested = [name for name in every if name.startswith("observations/")]
    parts = {name.partition("/")[2]: name for name in nested}
    parts = parts or {"": "observations"}
    following = [f"next_{name}" for name in parts.values()]
    needed = [*_STEPS, "terminals", *parts.values()]
    return Hdf5Files([source], record, needed, [*flags, *following], progress), parts


def _refuse_pickle(source: Path, record: DatasetRecord) -> None:
    try:
        with zipfile.ZipFile(source) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return  # the reader of .npz says what is wrong
    if any(name.endswith((".pkl", ".pickle")) for name in names):
        raise DatumrlError(
            f"{source}: is the pickled buffer as published, which is never unpickled here: to do "
            f"so runs code that comes with it; convert it once yourself: {record.access}, then run "
            f"`datumrl fetch {record.id} --force --from {record.file_name}`"
        )


def _check(files: ArrayFiles, parts: dict[str, str]) -> None:
    if files.rows == 0:
        raise files.error("holds no transitions")
    files.expect("rewards", [(), (1,)], "fiu")
    width = files.shape("actions")
    if len(width) != 1 or files.dtype("actions").kind != "f":
        raise files.error(f"actions hold {files.dtype('actions')} {width}, not float vectors")
    if width[0] != files.record.action_dim:
        files.notes.append(f"actions have {width[0]} dimensions, not {files.record.action_dim}")
    for name in parts.values():
        following = f"next_{name}"
        if following in files:
            files.expect(following, [files.shape(name)], "fiub")
    shapes = ", ".join(f"{n} {files.dtype(n)} {files.shape(n)}" for n in parts.values())
    files.notes.append(f"observations are found to be {shapes}; their layout is unverified")


def _flags(files: ArrayFiles) -> tuple[np.ndarray, np.ndarray]:
    """Return which rows are terminal and which end an episode, (rows,) bool each."""
    if "terminals" in files:
        terminals = files.flags("terminals")
    elif "masks" in files:
        terminals = ~files.flags("masks")
    else:
        raise files.error("has neither terminals nor masks")
    for name in ("timeouts", "dones"):
        if name in files:
            return terminals, files.flags(name) | terminals
    limit = files.record.time_limit
    files.notes.append(f"the file has no timeouts; they were put at every {limit} steps")
    return terminals, terminals | infer_timeouts(terminals, limit)


def _write_steps(files: ArrayFiles, writer: Writer) -> None:
    for name, shape in (("rewards", ()), ("actions", files.shape("actions"))):
        with writer.column(name, (files.rows, *shape), np.float32) as column:
            for _, values in files.numbers(name):
                column.append(values.reshape(len(values), *shape))


def _write_observations(
    files: ArrayFiles, writer: Writer, parts: dict[str, str], starts: np.ndarray
) -> None:
    listed = np.zeros(files.rows, bool)
    ends = starts[1:] - 1
    kinds = {}
    for part, name in parts.items():
        pixels = files.dtype(name).kind in "bui"
        dtype = files.dtype(name) if pixels else np.dtype(np.float32)
        shape = files.shape(name) or (1,)
        kinds[part] = (shape, dtype)
        suffix = f"/{part}" if part else ""
        with writer.column(f"observations{suffix}", (files.rows, *shape), dtype) as column:
            for _, values in files.numbers(name, dtype):
                column.append(values.reshape(len(values), *shape))
        if f"next_{name}" not in files:
            continue
        for begin, values in files.numbers(f"next_{name}", dtype):
            following = column.rows(begin + 1, begin + 1 + len(values)).reshape(-1, *shape)
            stored = values.reshape(len(values), *shape)[: len(following)]
            unlike = (stored != following).any(axis=tuple(range(1, stored.ndim)))
            listed[begin : begin + len(stored)] |= unlike
        listed[ends] = True
    if any(f"next_{name}" not in files for name in parts.values()):
        listed[:] = False  # a successor needs all of its parts
    if extra := int(listed.sum()) - int(listed[ends].sum()):
        files.notes.append(f"{extra} stored next observations disagree with the following row")
    rows = np.flatnonzero(listed)
    writer.array("successor_rows", rows.astype(np.int64))
    for part, name in parts.items():
        shape, dtype = kinds[part]
        suffix = f"/{part}" if part else ""
        with writer.column(f"successors{suffix}", (len(rows), *shape), dtype) as column:
            for begin, values in files.numbers(f"next_{name}", dtype) if len(rows) else ():
                kept = values[listed[begin : begin + len(values)]]
                column.append(kept.reshape(len(kept), *shape))
