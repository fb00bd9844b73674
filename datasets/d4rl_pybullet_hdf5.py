"""Reader of d4rl-pybullet's HDF5 files, in either of two layouts.

::

    collector's   row t: (s_t, a_t, r_t, e_t)  reward and end of what led into s_t; an episode of n
                  steps is n + 1 rows, the last with an action of zeros (see `stored_states`)
    D4RL's        row t: (s_t, a_t, r_t+1, e_t+1), and no row for the last state

The first is what takuseno/d4rl-pybullet collect.py and train.py write; no published file was at
hand, so the reader looks whether every terminal row has an action of zeros and every row that
begins an episode a reward of 0, and says what it found.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from datumrl.datasets import d4rl_hdf5, identity
from datumrl.datasets.array_files import Hdf5Files
from datumrl.datasets.prepared import Writer, writing
from datumrl.datasets.reading import Progress, finish
from datumrl.datasets.record import DatasetRecord
from datumrl.datasets.stored_states import StoredStates

_REQUIRED = ("terminals", "observations", "actions", "rewards")


def convert(
    source: Path, record: DatasetRecord, folder: Path, progress: Progress | None = None
) -> None:
    """Convert a d4rl-pybullet file into prepared columns in ``folder``, all or nothing."""
    written_from = identity.describe(source, record)
    files = Hdf5Files([source], record, _REQUIRED, ("timeouts",), progress)
    files.expect("observations", [(record.observation_dim,)], "f")
    files.expect("actions", [(record.action_dim,)], "f")
    files.expect("rewards", [(), (1,)], "f")
    last = files.flags("terminals")
    if not _is_collectors(files, last):
        d4rl_hdf5.convert(source, record, folder, progress)
        return
    files.notes.append(
        "the layout of the publisher's collector: rewards and terminals of a row led into it"
    )
    cut = not last[-2:].any()  # a lone first state holds no step
    last[-1] = True  # its action leads nowhere in the file either
    states = StoredStates(last)
    if states.rows == 0:
        raise files.error("holds no transitions")
    if cut:
        files.notes.append("the last episode is unfinished")
    with writing(folder) as writer:
        _write_columns(files, states, writer, cut)
        finish(
            writer,
            record,
            written_from,
            rows=states.rows,
            notes=[*files.notes, *states.notes()],
            timeouts_recorded=False,
            ends="recorded",
        )


def _is_collectors(files: Hdf5Files, last: np.ndarray) -> bool:
    """Return whether terminal rows have no action and rows that begin an episode no reward."""
    if not last.any() or "timeouts" in files:
        return False
    first = np.concatenate([[True], last[:-1]])
    for begin, values in files.blocks("actions"):
        if values[last[begin : begin + len(values)]].any():
            return False
    for begin, values in files.blocks("rewards"):
        if values[first[begin : begin + len(values)]].any():
            return False
    return True


def _write_columns(files: Hdf5Files, states: StoredStates, writer: Writer, cut: bool) -> None:
    record = files.record
    observations = files.numbers("observations")
    shape = (record.observation_dim,)
    states.write_observations(writer, observations, shape, np.dtype(np.float32))
    actions = files.numbers("actions")
    states.write_steps(writer, "actions", actions, (record.action_dim,), np.float32, "outgoing")
    states.write_steps(writer, "rewards", files.numbers("rewards"), (), np.float32, "incoming")
    terminals = np.zeros(states.rows, bool)
    short = np.diff(states.starts) < record.time_limit
    terminals[states.successor_rows[short]] = True
    if cut:
        terminals[-1] = False
    states.write_boundaries(writer, terminals, unfinished=cut)
