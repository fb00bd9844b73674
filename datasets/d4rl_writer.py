"""Writer of D4RL's HDF5 layout, as its gym-mujoco v2 files have it.

::

    observations actions rewards terminals timeouts next_observations    one row per transition
    infos/qpos infos/qvel infos/action_log_probs ...                      where the dataset has them
    metadata/...                                                          of a D4RL file, as it was

All are compressed (gzip), numbers float32 but for what infos hold, flags bool.  What else is known
stands in the attributes of the file, which D4RL's loaders do not see: a key of its own that has no
row per transition would break D4RL's ``sequence_dataset``, which indexes every key.

Two keys are left out rather than made up.  Without ``next_observations``, as in D4RL's v0 files,
readers take the following row; that is how a file says that a successor is not known.  Without
``timeouts``, which the source then lacked too, readers infer them as they would from the source.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from datumrl.datasets import files, hdf5_output
from datumrl.datasets.episodes import Episodes
from datumrl.datasets.exports import Export, Progress, Source, described, refuse_existing

_ROWS_AT_ONCE = 1 << 16
_CHUNK = 1 << 13  # rows of an HDF5 chunk: D4RL's readers read all, others want pieces


def write(
    path: Path, source: Source, *, force: bool = False, progress: Progress | None = None
) -> Export:
    """Write a dataset as one D4RL file, all or nothing.

    Raises DatumrlError for a file that exists (unless ``force``) and for a disk that is full or
    read-only.
    """
    refuse_existing(path, force)
    notes, left_out = _left_out(source.episodes)
    with files.replacing(path, "w+b") as handle, hdf5_output.writing(handle) as output:
        _write_attributes(output.file, described(source), notes)
        _write_metadata(output.file, source)
        columns = _create_columns(output.file, source, left_out)
        rows = len(source.episodes)
        for begin in range(0, rows, _ROWS_AT_ONCE):
            end = min(begin + _ROWS_AT_ONCE, rows)
            for name, dataset in columns.items():
                dataset[begin:end] = _rows(source, name, begin, end)
                output.check()
            if progress is not None:
                progress(end, rows)
    return Export(path, path.name, rows, len(source.episodes.starts) - 1, notes)


def _left_out(episodes: Episodes) -> tuple[tuple[str, ...], set[str]]:
    """Return the keys that the file cannot honestly have, and a note for each."""
    notes, keys = [], set()
    ends = episodes.starts[1:] - 1
    within = int((~np.isin(episodes.successor_rows, ends)).sum())
    unknown = len(ends) + within - len(episodes.successor_rows)
    if unknown:
        keys.add("next_observations")
        notes.append(
            f"next_observations is left out: {unknown} rows at the end of an episode have no known "
            "successor; readers take the following row instead"
        )
        lost = len(episodes.successor_rows)
        if lost:
            notes.append(f"with it, {lost} successors that the source stored are left out")
    if not episodes.timeouts_recorded:
        keys.add("timeouts")
        limit = episodes.time_limit
        infer = f"; readers infer it from the time limit of {limit} steps" if limit else ""
        notes.append(f"timeouts is left out, as in the source{infer}")
    return tuple(notes), keys


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


def _create_columns(file: h5py.File, source: Source, left_out: set[str]) -> dict[str, h5py.Dataset]:
    """Create the datasets that have a row per transition, by name."""
    episodes = source.episodes
    layout = {
        name: getattr(episodes, name)
        for name in ("observations", "actions", "rewards", "terminals", "timeouts")
    }
    layout["next_observations"] = episodes.observations
    layout.update({f"infos/{name}": values for name, values in source.infos().items()})
    chunk = min(_CHUNK, len(episodes))
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
        if name not in left_out
    }


def _rows(source: Source, name: str, begin: int, end: int) -> np.ndarray:
    if name == "next_observations":
        return _next_observations(source.episodes, begin, end)
    column = source.extras[name] if name in source.extras else getattr(source.episodes, name)
    return column[begin:end]


def _next_observations(episodes: Episodes, begin: int, end: int) -> np.ndarray:
    """Return the successors of rows that all have one: the stored one, or the following row."""
    following = np.empty((end - begin, episodes.observations.shape[1]), np.float32)
    rows = episodes.observations[begin + 1 : end + 1]
    following[: len(rows)] = rows
    first, last = np.searchsorted(episodes.successor_rows, [begin, end])
    following[episodes.successor_rows[first:last] - begin] = episodes.successors[first:last]
    return following
