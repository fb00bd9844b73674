"""Writer of D4RL's HDF5 layout, as its gym-mujoco v2 files have it.

::

    observations actions rewards terminals timeouts next_observations    one row per transition
    infos/qpos infos/qvel infos/action_log_probs ...                      where the dataset has them
    metadata/...                                                          of a D4RL file, as it was

All are compressed (gzip), of the types and shapes that the dataset holds them in: of D4RL's own,
numbers float32 but for what infos hold, flags bool.  What else is known stands in the attributes of
the file, which D4RL's loaders do not see: a key of its own that has no row per transition would
break D4RL's ``sequence_dataset``, which indexes every key.

Two keys are left out rather than made up.  Without ``next_observations``, as in D4RL's v0 files,
readers take the following row; that is how a file says that a successor is not known.  Without
``timeouts``, which the source then lacked too, readers infer them as they would from the source.

D4RL tells an episode's end by a flag alone.  Ends that have none become timeouts; terminal rows
within an episode stay as they are, since no other flag says that nothing is to be bootstrapped
there, and are told, since D4RL's ``sequence_dataset`` ends an episode at each.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from datumrl.datasets import files, hdf5_output
from datumrl.datasets.d4rl_boundaries import infer_timeouts
from datumrl.datasets.episodes import Episodes
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.exports import Export, Progress, Source, described, refuse_existing
from datumrl.datasets.infos import PREFIX

_ROWS_AT_ONCE = 1 << 16
_BYTES_AT_ONCE = 1 << 24  # of observations
_CHUNK = 1 << 13  # rows of an HDF5 chunk: D4RL's readers read all, others want pieces
_D4RL_READERS = ("d4rl", "d4rl-gym-mujoco")  # of files that D4RL's own loaders read as they are


def write(
    path: Path, source: Source, *, force: bool = False, progress: Progress | None = None
) -> Export:
    """Write a dataset as one D4RL file, all or nothing.

    Raises DatumrlError for a file that exists (unless ``force``), for dict observations, which the
    layout has no place for, and for a disk that is full or read-only.
    """
    refuse_existing(path, force)
    plan = _plan(source)
    with files.replacing(path, "w+b") as handle, hdf5_output.writing(handle) as output:
        _write_attributes(output.file, described(source), plan.notes)
        _write_metadata(output.file, source)
        columns = _create_columns(output.file, source, plan)
        rows = len(source.episodes)
        for begin in range(0, rows, plan.step):
            end = min(begin + plan.step, rows)
            for name, dataset in columns.items():
                dataset[begin:end] = _rows(source, plan, name, begin, end)
                output.check()
            if progress is not None:
                progress(end, rows)
    return Export(path, path.name, rows, len(source.episodes.starts) - 1, plan.notes)


@dataclass(frozen=True)
class _Plan:
    """What the file has beside the dataset's own columns, and what it says of it."""

    timeouts: np.ndarray | None  # (rows,) bool; None: left out
    successors: bool  # whether every row has one
    step: int  # rows that are written at once
    notes: tuple[str, ...]


def _plan(source: Source) -> _Plan:
    episodes = source.episodes
    if isinstance(episodes.observations, dict):
        raise DatumrlError(
            f"{episodes.id}: its observations are several arrays "
            f"({', '.join(episodes.observations)}), and a D4RL file has one; write it with "
            "--to minari"
        )
    missing = _missing_successors(episodes)
    timeouts, told = _timeouts(source)
    row = max(1, episodes.observations[:1].nbytes)
    fitting = max(1, _BYTES_AT_ONCE // row)
    step = min(_ROWS_AT_ONCE, 1 << (fitting.bit_length() - 1))  # a power of 2: whole chunks
    return _Plan(timeouts, not missing, step, (*missing, *told))


def _missing_successors(episodes: Episodes) -> list[str]:
    """Return what is to be said where not every row has a known successor."""
    notes = []
    ends = episodes.starts[1:] - 1
    within = int((~np.isin(episodes.successor_rows, ends)).sum())
    unknown = len(ends) + within - len(episodes.successor_rows)
    if unknown:
        notes.append(
            f"next_observations is left out: {unknown} rows at the end of an episode have no known "
            "successor; readers take the following row instead"
        )
        lost = len(episodes.successor_rows)
        if lost:
            notes.append(f"with it, {lost} successors that the source stored are left out")
    return notes


def _timeouts(source: Source) -> tuple[np.ndarray | None, list[str]]:
    """Return the timeouts by which D4RL's readers find the episodes, and what is to be said."""
    episodes, notes = source.episodes, []
    ends = episodes.starts[1:] - 1
    within = int(np.count_nonzero(episodes.terminals)) - int(episodes.terminals[ends].sum())
    if within:
        notes.append(
            f"{within} terminal rows lie within episodes, which go on after them; D4RL's readers "
            "end an episode at each"
        )
    timeouts = np.array(episodes.timeouts)
    if _inferred(source, timeouts):
        limit = episodes.time_limit
        infer = f"; readers infer it from the time limit of {limit} steps" if limit else ""
        return None, [*notes, f"timeouts is left out, as in the source{infer}"]
    if not episodes.timeouts_recorded:
        notes.append(
            "timeouts is written though the source has none: readers would end episodes elsewhere"
        )
    if episodes.ends == "recorded":
        unflagged = ends[~(episodes.terminals[ends] | timeouts[ends])]
        timeouts[unflagged] = True
        if len(unflagged):
            notes.append(
                f"{len(unflagged)} ends of episodes without a flag are written as timeouts"
            )
    return timeouts, notes


def _inferred(source: Source, timeouts: np.ndarray) -> bool:
    """Return whether D4RL's readers find the same episodes in a file without timeouts."""
    episodes = source.episodes
    if episodes.timeouts_recorded or episodes.ends == "recorded":
        return False
    if source.record.reader in _D4RL_READERS:
        return True
    limit = episodes.time_limit
    if not limit:
        return False
    return np.array_equal(timeouts, infer_timeouts(np.asarray(episodes.terminals), limit))


def _write_attributes(file: h5py.File, told: dict[str, Any], notes: tuple[str, ...]) -> None:
    for key, value in {**told, "export_notes": "\n".join(notes)}.items():
        if value != "":
            file.attrs[key] = value


def _write_metadata(file: h5py.File, source: Source) -> None:
    """Write the metadata that a D4RL file had; its scalars are read with ``[()]``."""
    for name, value in source.provenance.get("metadata", {}).items():
        file[f"metadata/{name}"] = value
    for name, values in source.extras.items():
        if name.startswith("metadata/"):
            file[name] = values


def _create_columns(file: h5py.File, source: Source, plan: _Plan) -> dict[str, h5py.Dataset]:
    """Create the datasets that have a row per transition, by name."""
    episodes = source.episodes
    layout = {
        name: getattr(episodes, name)
        for name in ("observations", "actions", "rewards", "terminals")
    }
    if plan.timeouts is not None:
        layout["timeouts"] = plan.timeouts
    if plan.successors:
        layout["next_observations"] = episodes.observations
    layout.update({PREFIX + name: values for name, values in episodes.infos.items()})
    chunk = min(_CHUNK, plan.step, len(episodes))
    return {
        name: file.create_dataset(
            name,
            values.shape,
            values.dtype,
            chunks=(chunk, *values.shape[1:]),
            compression="gzip",
            shuffle=True,
        )
        for name, values in layout.items()
    }


def _rows(source: Source, plan: _Plan, name: str, begin: int, end: int) -> np.ndarray:
    if name == "timeouts" and plan.timeouts is not None:
        return plan.timeouts[begin:end]
    if name == "next_observations":
        return _next_observations(source.episodes, begin, end)
    if name.startswith(PREFIX):
        return source.episodes.infos[name.removeprefix(PREFIX)][begin:end]
    column: np.ndarray = getattr(source.episodes, name)
    return column[begin:end]


def _next_observations(episodes: Episodes, begin: int, end: int) -> np.ndarray:
    """Return the successors of rows that all have one: the stored one, or the following row."""
    rows = episodes.observations[begin + 1 : end + 1]
    following = np.empty((end - begin, *rows.shape[1:]), rows.dtype)
    following[: len(rows)] = rows
    first, last = np.searchsorted(episodes.successor_rows, [begin, end])
    following[episodes.successor_rows[first:last] - begin] = episodes.successors[first:last]
    return following
