"""Reader of OGBench's ``.npz`` files, and of folders of them.

Arrays: ``observations actions terminals``, and ``qpos qvel`` and ``button_states`` where there are
such; ``terminals`` marks the last stored state of each trajectory (see `stored_states`).  Source:
seohongpark/ogbench ogbench/utils.py.  The order of rows and the kept rows equal those of its
``load_dataset``; the last states, which it holds as next observations, are stored successors here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from datumrl.datasets import identity, ogbench_goals
from datumrl.datasets.array_files import NpzFiles, in_order
from datumrl.datasets.ogbench_goals import Goal
from datumrl.datasets.prepared import Writer, writing
from datumrl.datasets.reading import Progress, finish
from datumrl.datasets.record import DatasetRecord
from datumrl.datasets.stored_states import StoredStates

_STATES = ("qpos", "qvel", "button_states")
_ROWS_AT_ONCE = 1 << 16


def convert(
    source: Path, record: DatasetRecord, folder: Path, progress: Progress | None = None
) -> None:
    """Convert an OGBench file (or folder of them) into prepared columns, all or nothing."""
    task = int(record.option["task"])
    goal = None if task < 0 else ogbench_goals.goal(str(record.option["goals"]), task)
    written_from = identity.describe(source, record)
    files = _open(_paths(source, record), record, goal, progress)
    _check(files, goal)
    states = StoredStates(files.flags("terminals"))
    _check_trajectories(files, states)
    files.notes += states.notes()
    with writing(folder) as writer:
        _write_columns(files, states, writer)
        terminals = _write_rewards(files, states, goal, writer)
        states.write_boundaries(writer, terminals)
        for name in _STATES:
            if name in files:
                kept = files.blocks(name)
                shape, dtype = files.shape(name), files.dtype(name)
                states.write_steps(writer, name, kept, shape, dtype, "outgoing", extra=True)
        finish(
            writer,
            record,
            written_from,
            rows=states.rows,
            notes=files.notes,
            timeouts_recorded=True,
            ends="recorded",
        )


def check(source: Path, record: DatasetRecord) -> None:
    """Raise DatumrlError where a folder holds no such files, or the first lacks an array."""
    _check(_open(_paths(source, record)[:1], record, None, None), None)


def _paths(source: Path, record: DatasetRecord) -> list[Path]:
    if not record.folder:
        return [source]
    paths = [path for path in in_order(source, "*.npz") if "val" not in path.stem.split("-")]
    if not paths:
        raise identity.complaint(source, record)("holds no .npz file for training")
    return paths


def _open(
    paths: list[Path], record: DatasetRecord, goal: Goal | None, progress: Progress | None
) -> NpzFiles:
    required = ("terminals", "observations", "actions", *(goal.needs if goal else ()))
    files = NpzFiles(paths, record, required, _STATES, progress)
    if record.folder:
        files.notes.append(f"{len(paths)} files, in the order of their names")
    return files


def _check(files: NpzFiles, goal: Goal | None) -> None:
    record = files.record
    if files.rows == 0:
        raise files.error("holds no rows")
    if record.observation_dim:
        files.expect("observations", [(record.observation_dim,)], "f")
    else:
        shape = tuple(map(int, record.observation_layout.removeprefix("image ").split("x")))
        files.expect("observations", [shape], "u")
        if files.dtype("observations") != np.uint8:
            raise files.error(f"observations hold {files.dtype('observations')}, not uint8 pixels")
    if record.discrete_actions:
        files.expect("actions", [(), (1,)], "iu")
    else:
        files.expect("actions", [(record.action_dim,)], "f")
    if goal is None:
        return
    if "qpos" in goal.needs:
        shape = files.shape("qpos")
        if len(shape) != 1 or shape[0] < goal.qpos_width or files.dtype("qpos").kind != "f":
            raise files.error(
                f"qpos holds {files.dtype('qpos')} {shape} where the task needs "
                f"{goal.qpos_width} values at least"
            )
    if "button_states" in goal.needs:
        files.expect("button_states", [(len(goal.buttons),)], "biuf")


def _check_trajectories(files: NpzFiles, states: StoredStates) -> None:
    if states.rows == 0:
        raise files.error("holds no transitions")
    ends = files.starts[1:-1] - 1
    if not states.last[ends].all():
        number = int(np.flatnonzero(~states.last[ends])[0])
        raise files.error("ends within a trajectory, and other files follow", files.paths[number])


def _write_columns(files: NpzFiles, states: StoredStates, writer: Writer) -> None:
    pixels = files.dtype("observations").kind == "u"
    observation_type = np.dtype(np.uint8 if pixels else np.float32)
    states.write_observations(
        writer,
        files.numbers("observations", observation_type),
        files.shape("observations"),
        observation_type,
    )
    if files.record.discrete_actions:
        choices = files.choices("actions", files.record.action_dim)
        states.write_steps(writer, "actions", choices, (), np.int64, "outgoing")
        return
    shape = files.shape("actions")
    numbers = files.numbers("actions")
    states.write_steps(writer, "actions", numbers, shape, np.float32, "outgoing")


def _write_rewards(
    files: NpzFiles, states: StoredStates, goal: Goal | None, writer: Writer
) -> np.ndarray:
    """Write rewards; return which rows are terminal, (rows,) bool."""
    if goal is None:
        with writer.column("rewards", (states.rows,), np.float32) as column:
            for begin in range(0, states.rows, _ROWS_AT_ONCE):
                column.append(np.zeros(min(_ROWS_AT_ONCE, states.rows - begin), np.float32))
        return np.zeros(states.rows, bool)
    terminals = np.empty(files.rows, bool)
    rewards = np.empty(files.rows, np.float32)
    needed = [files.numbers(name, files.dtype(name), _ROWS_AT_ONCE) for name in goal.needs]
    for blocks in zip(*needed, strict=True):  # as many rows of each at a time
        begin = blocks[0][0]
        known = dict(zip(goal.needs, (values for _, values in blocks), strict=True))
        satisfied = goal.satisfied(known.get("qpos"), known.get("button_states"))
        within = slice(begin, begin + len(satisfied))
        rewards[within] = satisfied.sum(axis=1) - satisfied.shape[1]
        terminals[within] = satisfied.all(axis=1)
    writer.array("rewards", states.of_steps(rewards, "outgoing"))
    return states.of_steps(terminals, "outgoing")
