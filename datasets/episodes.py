"""Episodes: the one form in which every dataset is held, whatever file it came from."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, SupportsIndex

import numpy as np

from datumrl.datasets import columns, reopening, views
from datumrl.datasets.columns import Column
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.infos import Infos
from datumrl.datasets.sequences import Sequences

_KINDS = {"f": "floating", "b": "bool", "i": "integer"}
TOO_WIDE = "floats of 2, 4 or 8 bytes can be worked with: store it as float64"
_ROWS_AT_ONCE = 1 << 16  # keeps temporaries small when a column is memory-mapped


@dataclass(frozen=True, eq=False)
class Episodes:
    """A dataset as contiguous columns over all rows, with episode boundaries.

    Row t holds (observation, action, reward, terminal, timeout) of one step.  The successor of a
    row is the next row's observation, unless the row is listed in ``successor_rows``: there the
    source stored a successor of its own (the final observation of an episode, or one that disagrees
    with the following row).  The last row of an episode that is not listed has no known successor.

    An episode ends at a flagged row (terminal or timeout); rows after the last flag are an episode
    too, the unfinished tail.  Where the source itself says where episodes end (``ends`` is
    ``"recorded"``), a terminal row may also lie within one.  Columns may be memory-mapped and
    read-only.

    Observations may have any shape and numeric type, or be a dict of such arrays (see `columns`);
    actions are float vectors, or integers if discrete: one a row, or several (MultiDiscrete).
    ``infos`` is what the source tells of rows beside these: D4RL's infos/qpos is ``infos["qpos"]``.
    """

    id: str
    observations: Column  # (rows, ...), or a dict of such arrays
    actions: np.ndarray  # (rows, action_dim) floating; (rows,) or (rows, k) integers if discrete
    rewards: np.ndarray  # (rows,) floating
    terminals: np.ndarray  # (rows,) bool: the process ended, do not bootstrap
    timeouts: np.ndarray  # (rows,) bool: we stopped looking
    starts: np.ndarray  # (episodes + 1,) int64: first row of each episode, then the number of rows
    successor_rows: np.ndarray  # (k,) int64, increasing
    successors: Column  # (k, ...), of the form of observations
    time_limit: int
    timeouts_recorded: bool  # False: the file had none and the time limit was used to infer them
    sha256: str | None = None  # of the file or recipe the columns came from
    notes: tuple[str, ...] = ()  # what the converter saw and the user should know
    ends: Literal["flags", "recorded"] = "flags"  # what says where episodes end
    infos: Mapping[str, np.ndarray] = field(default_factory=dict)  # name -> (rows, ...) in addition
    origin: reopening.Origin | None = None  # the folder that the columns were opened from
    content_sha256: str | None = None  # of a generated dataset's columns and infos (`content_hash`)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rewards)

    def transitions(self, view: views.View = "correct") -> views.Transitions:
        """Return single steps: ``"correct"``, or ``"d4rl-legacy"`` as D4RL's qlearning_dataset.

        The result says which rows the view dropped and why; see `views` for the two rules.
        """
        return views.transitions(self, view)

    def index(self, view: views.View = "correct") -> views.Index:
        """Return the transitions of a view without copying any: gathered when asked for."""
        return views.index(self, view)

    def sequences(self, length: int) -> Sequences:
        """Return windows of up to ``length`` steps within episodes, gathered when asked for."""
        return Sequences.of(self, length)

    def lengths(self) -> np.ndarray:
        """Return the rows of each episode, (episodes,) int64."""
        return np.diff(self.starts)

    def returns(self) -> np.ndarray:
        """Return the undiscounted return of each episode, (episodes,) float64.

        An episode that is not complete (see `complete`) has only the part that was recorded.
        """
        returns = np.zeros(len(self.starts) - 1 if len(self) else 0)
        first = 0
        while first < len(returns):  # numpy would copy the whole column to float64
            begin = self.starts[first]
            last = np.searchsorted(self.starts, begin + _ROWS_AT_ONCE, side="right") - 1
            last = max(first + 1, min(int(last), len(returns)))
            rewards = np.asarray(self.rewards[begin : self.starts[last]])
            places = self.starts[first:last] - begin
            returns[first:last] = np.add.reduceat(rewards, places, dtype=np.float64)
            first = last
        return returns

    def complete(self) -> np.ndarray:
        """Return which episodes end at a flag, (episodes,) bool.

        Only the last can be open, unless ``ends`` is ``"recorded"``: then any can.
        """
        ends = self.starts[1:] - 1
        return self.terminals[ends] | self.timeouts[ends]

    def final_observations(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the observation after each episode's last row, and which of them are known.

        Shapes (episodes, ...) and (episodes,) bool; unknown ones are NaN, or 0 where the type has
        no NaN.
        """
        ends = self.starts[1:] - 1
        known = np.isin(ends, self.successor_rows)
        listed = np.searchsorted(self.successor_rows, ends[known])

        def final(stored: np.ndarray) -> np.ndarray:
            unknown = np.nan if stored.dtype.kind == "f" else 0
            values = np.full((len(ends), *stored.shape[1:]), unknown, stored.dtype)
            values[known] = stored[listed]
            return values

        return columns.apply(final, self.successors), known

    def prefix(self, rows: int) -> Episodes:
        """Return the first whole episodes that together hold at least ``rows`` rows, uncopied.

        Its id is ``<id>@<rows>``.  Raises DatumrlError when there are not so many rows.
        """
        if not 1 <= rows <= len(self):
            raise DatumrlError(
                f"{self.id}@{rows}: the dataset holds {len(self)} rows; ask for 1 to {len(self)}"
            )
        last = int(np.searchsorted(self.starts, rows))
        end = int(self.starts[last])
        listed = int(np.searchsorted(self.successor_rows, end))
        return replace(
            self,
            id=f"{self.id}@{rows}",
            observations=columns.apply(lambda values: values[:end], self.observations),
            actions=self.actions[:end],
            rewards=self.rewards[:end],
            terminals=self.terminals[:end],
            timeouts=self.timeouts[:end],
            starts=self.starts[: last + 1],
            successor_rows=self.successor_rows[:listed],
            successors=columns.apply(lambda values: values[:listed], self.successors),
            notes=(*self.notes, f"the first {end} of {len(self)} rows"),
            infos=_first(self.infos, end),
            content_sha256=None,
        )

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[Any, ...]:
        """Pickle columns that are mapped from a folder as that folder; see `reopening`."""
        return reopening.reduced(self) or super().__reduce_ex__(protocol)

    def __copy__(self) -> Episodes:
        """Return Episodes of the same columns."""
        return replace(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Episodes:
        """Return Episodes whose columns are in memory, and their own."""
        content = {each.name: getattr(self, each.name) for each in fields(self)}
        return Episodes(**copy.deepcopy(content, memo))

    def validate(self) -> None:
        """Raise DatumrlError where the columns break the contract above, naming the row."""
        self._check_shapes()
        for name in ("observations", "actions", "rewards", "successors"):
            for column in columns.parts(getattr(self, name)).values():
                row = first_not_finite(column)
                if row is not None:
                    row = int(self.successor_rows[row]) if name == "successors" else row
                    raise DatumrlError(
                        f"{self.id}: {name} holds a value that is not finite at row {row}; mend "
                        "the source"
                    )
        self._check_starts()
        listed = self.successor_rows
        if len(listed) and (
            listed[0] < 0 or listed[-1] >= len(self) or (np.diff(listed) < 1).any()
        ):
            raise DatumrlError(f"{self.id}: successor_rows must increase within 0..{len(self) - 1}")

    def _check_starts(self) -> None:
        if self.ends == "flags":
            if not np.array_equal(self.starts, episode_starts(self.terminals, self.timeouts)):
                raise DatumrlError(
                    f"{self.id}: starts do not follow from terminals and timeouts; compute them "
                    "with episode_starts"
                )
            return
        starts = self.starts
        if not len(starts) or starts[0] or starts[-1] != len(self) or (np.diff(starts) < 1).any():
            raise DatumrlError(f"{self.id}: starts must increase from 0 to {len(self)}")
        inside = self.timeouts.copy()
        inside[starts[1:] - 1] = False
        if inside.any():
            raise DatumrlError(
                f"{self.id}: row {int(inside.argmax())} is a timeout within an episode; a timeout "
                "ends one"
            )

    def _check_shapes(self) -> None:
        self._check_actions()
        self._check_observations()
        rows = len(self.rewards)
        expected: dict[str, tuple[tuple[int, ...], str]] = {
            "rewards": ((rows,), "f"),
            "terminals": ((rows,), "b"),
            "timeouts": ((rows,), "b"),
            "starts": ((len(self.starts),), "i"),
            "successor_rows": ((len(self.successor_rows),), "i"),
        }
        for name, (shape, kind) in expected.items():
            column = getattr(self, name)
            if column.shape != shape or column.dtype.kind != kind:
                raise self._misfit(name, column, f"{_KINDS[kind]} {shape}")
        for name in ("observations", "actions", "rewards"):
            for part, column in columns.parts(getattr(self, name)).items():
                if is_too_wide(column.dtype):
                    called = f"{name} {part}".strip()
                    raise DatumrlError(f"{self.id}: {called} is {column.dtype}; {TOO_WIDE}")

    def _check_actions(self) -> None:
        rows, actions = len(self.rewards), self.actions
        discrete = actions.dtype.kind in "iu"
        if (
            len(actions) != rows
            or actions.ndim not in ((1, 2) if discrete else (2,))
            or (not discrete and actions.dtype.kind != "f")
        ):
            wanted = f"float ({rows}, any) or integer ({rows},) or ({rows}, any)"
            raise self._misfit("actions", actions, wanted)

    def _check_observations(self) -> None:
        rows, listed = len(self.rewards), len(self.successor_rows)
        observations, successors = (
            columns.parts(column) for column in (self.observations, self.successors)
        )
        for name, column in observations.items():
            if len(column) != rows or column.ndim < 2 - (column.dtype.kind in "iu"):
                raise self._misfit(f"observations {name}".strip(), column, f"({rows}, ...)")
            if column.dtype.kind not in "biuf":
                raise self._misfit(f"observations {name}".strip(), column, "numbers")
            stored = successors.get(name)
            wanted = (listed, *column.shape[1:])
            if stored is None or stored.shape != wanted or stored.dtype != column.dtype:
                raise self._misfit("successors", stored, f"{column.dtype} {wanted}")
        if set(successors) != set(observations):
            raise DatumrlError(f"{self.id}: successors {sorted(successors)} are not observations'")

    def _misfit(self, name: str, column: np.ndarray | None, wanted: str) -> DatumrlError:
        found = "missing" if column is None else f"{column.dtype} {column.shape}"
        return DatumrlError(
            f"{self.id}: {name} is {found} where {len(self.rewards)} rewards need {wanted}"
        )


def _first(infos: Mapping[str, np.ndarray], rows: int) -> Mapping[str, np.ndarray]:
    if isinstance(infos, Infos):
        return infos.first(rows)
    return {name: values[:rows] for name, values in infos.items()}


def episode_starts(terminals: np.ndarray, timeouts: np.ndarray) -> np.ndarray:
    """Return each episode's first row, then the number of rows: (episodes + 1,) int64.

    Every flagged row ends an episode; rows after the last flag are one more, the unfinished tail.
    """
    ends = np.flatnonzero(terminals | timeouts)
    starts = np.concatenate([[0], ends + 1])
    if starts[-1] != len(terminals):
        starts = np.append(starts, len(terminals))
    return starts.astype(np.int64)


def as_flags(
    name: str, values: np.ndarray, begin: int, error: Callable[[str], Exception]
) -> np.ndarray:
    """Return the flags of a block of rows, (rows,) bool; ``begin`` is the first row's number.

    Raises what ``error`` makes of the first that is neither 0 nor 1.
    """
    flat = values.reshape(-1)
    odd = np.flatnonzero((flat != 0) & (flat != 1))
    if len(odd):
        wrong = f"{name} holds {flat[odd[0]].item()} at row {begin + int(odd[0])}"
        raise error(f"{wrong} where only 0 and 1 are flags")
    return flat.astype(bool)


def is_too_wide(dtype: np.dtype) -> bool:
    """Return whether floats are of more than 8 bytes, for which there is no compiled code."""
    return dtype.kind == "f" and dtype.itemsize > 8


def first_not_finite(column: np.ndarray) -> int | None:
    """Return the first row that holds a NaN or an infinity, or None; reads a piece at a time."""
    if column.dtype.kind != "f":
        return None
    for begin in range(0, len(column), _ROWS_AT_ONCE):
        finite = np.isfinite(column[begin : begin + _ROWS_AT_ONCE])
        if not finite.all():
            return begin + int(np.argwhere(~finite)[0, 0])
    return None
