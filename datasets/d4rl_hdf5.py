"""Reader of D4RL's HDF5 files, of all families, into prepared columns.

What differs between families is where episodes end (`d4rl_boundaries`), whether actions are
discrete, and what the catalogue's errata say; values are never changed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from datumrl.datasets import d4rl_boundaries, identity
from datumrl.datasets.d4rl_boundaries import Boundaries
from datumrl.datasets.d4rl_file import D4RLFile
from datumrl.datasets.prepared import Writer, writing
from datumrl.datasets.reading import Progress, finish
from datumrl.datasets.record import DatasetRecord

_ROWS_AT_ONCE = 1 << 16


def convert(
    source: Path, record: DatasetRecord, folder: Path, progress: Progress | None = None
) -> None:
    """Convert a D4RL file into prepared columns in ``folder``, all or nothing.

    Raises DatumrlError for a file that is not the record's, is damaged, lacks keys, or holds
    lengths, widths, flags or values that cannot be right; the message names the offending row.
    """
    written_from = identity.describe(source, record)
    with D4RLFile(source, record, progress) as file, writing(folder) as writer:
        fields = _convert_columns(file, writer)
        metadata = _convert_extras(file, writer)
        finish(
            writer,
            record,
            written_from,
            rows=file.rows,
            metadata=metadata,
            notes=file.notes,
            **fields,
        )


def _convert_columns(file: D4RLFile, writer: Writer) -> dict[str, Any]:
    shape = file.datasets["observations"].shape
    with writer.column("observations", shape, file.observation_type) as observations:
        for _, values in file.numbers("observations", file.observation_type):
            observations.append(values)
    _convert_actions(file, writer)
    with writer.column("rewards", (file.rows,), np.float32) as column:
        for _, values in file.numbers("rewards"):
            column.append(values.reshape(-1))
    terminals = file.flags("terminals")
    recorded = file.flags("timeouts") if "timeouts" in file else None
    record = file.record
    found = d4rl_boundaries.boundaries(
        str(record.option.get("family", "gym-mujoco")),
        terminals,
        recorded,
        record.time_limit,
        observations.rows,
    )
    if found.note:
        file.notes.append(found.note)
    writer.array("terminals", terminals)
    writer.array("timeouts", found.timeouts)
    writer.array("starts", found.starts)
    rows, successors = _stored_successors(file, observations.rows, found)
    writer.array("successor_rows", rows)
    writer.array("successors", successors)
    _note_ends(file, terminals, found)
    return {"timeouts_recorded": recorded is not None, "ends": found.ends}


def _convert_actions(file: D4RLFile, writer: Writer) -> None:
    if file.record.discrete_actions:
        writer.array("actions", file.choices("actions"))
        return
    with writer.column("actions", (file.rows, file.record.action_dim), np.float32) as column:
        for _, values in file.numbers("actions"):
            column.append(values)


def _stored_successors(
    file: D4RLFile, observations: Callable[[int, int], np.ndarray], found: Boundaries
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows, and their successors, that the following row of the episode does not give.

    Those are the ends of episodes and the rows whose stored next observation disagrees; without
    stored next observations, the ends that go on in the following row all the same.
    """
    shape = file.datasets["observations"].shape[1:]
    rows, successors = [np.zeros(0, np.int64)], [np.zeros((0, *shape), file.observation_type)]
    if "next_observations" not in file:
        for begin in range(0, file.rows, _ROWS_AT_ONCE):
            inside = (found.following >= begin) & (found.following < begin + _ROWS_AT_ONCE)
            ends = found.following[inside]
            following = observations(begin + 1, begin + 1 + _ROWS_AT_ONCE)
            rows.append(ends)
            successors.append(following[ends - begin])
        return np.concatenate(rows), np.concatenate(successors)
    ends = found.starts[1:] - 1
    for begin, values in file.numbers("next_observations", file.observation_type):
        following = observations(begin + 1, begin + 1 + len(values))
        listed = np.ones(len(values), bool)  # the file's last row has no following one
        listed[: len(following)] = _differ(values[: len(following)], following)
        within = ends[(ends >= begin) & (ends < begin + len(values))]
        listed[within - begin] = True
        rows.append(begin + np.flatnonzero(listed))
        successors.append(values[listed])
    all_rows = np.concatenate(rows)
    disagreeing = len(all_rows) - len(ends)
    if disagreeing:
        file.notes.append(
            f"{disagreeing} stored next observations disagree with the following row of their "
            "episode; they are kept"
        )
    return all_rows, np.concatenate(successors)


def _differ(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return which rows, of any shape, differ: (rows,) bool."""
    return (values != others).any(axis=tuple(range(1, values.ndim)))


def _note_ends(file: D4RLFile, terminals: np.ndarray, found: Boundaries) -> None:
    both = int((terminals & found.timeouts).sum())
    if both:
        file.notes.append(f"{both} rows are terminal and timeout at once; they count as terminal")
    last = found.starts[-2]
    if not (terminals[-1] or found.timeouts[-1]):
        file.notes.append(f"the last {file.rows - last} rows are an episode without an end")


def _convert_extras(file: D4RLFile, writer: Writer) -> dict[str, Any]:
    """Write infos/* and the arrays of metadata/* as they are; return the scalars of metadata/*."""
    scalars: dict[str, Any] = {}
    for name, dataset in file.datasets.items():
        top, _, rest = name.partition("/")
        if top == "metadata" and dataset.shape == ():
            with file.damage():
                scalars[rest] = _json_scalar(dataset[()])
        elif name == "infos":  # kitchen: one number per row, the demonstration it came from
            _convert_extra(file, writer, name, "infos/demonstration")
        elif top == "infos" and dataset.shape[:1] != (file.rows,):
            file.notes.append(f"{name} has shape {dataset.shape} and was left out")
        elif top in ("infos", "metadata") and dataset.dtype.kind in "biuf":
            _convert_extra(file, writer, name, name)
    return scalars


def _convert_extra(file: D4RLFile, writer: Writer, name: str, extra: str) -> None:
    dataset = file.datasets[name]
    with writer.column(extra, dataset.shape, dataset.dtype, extra=True) as column:
        for _, values in file.blocks(name):
            column.append(values)


def _json_scalar(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    finite = isinstance(value, np.bool_ | np.integer | np.floating) and np.isfinite(value)
    return value.item() if finite else str(value)
