"""Reader of RL Unplugged's control suite: a folder of TFRecord shards, an episode per record.

An episode has ``observation/<name>`` (T, d), ``action`` (T, a), ``reward``, ``discount`` and
``step_type`` (T) as floats, ``episode_id`` and ``timestamp``.  Reward t and discount t belong to
the step *into* observation t::

    row         0     1     2    ...   T-1
    stored    r0 s0 a0   r1 s1 a1   ...   r' s' a'      r0 and a' mean nothing
    here      s0 a0 r1   s1 a1 r2   ...                 T - 1 rows, and s' as the last successor

Source: tensorflow/datasets tensorflow_datasets/rl_unplugged/rlu_control_suite/
rlu_control_suite.py.  No published file was at hand; the reader says where one differs.
"""

from __future__ import annotations

import collections
import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datumrl.datasets import identity, tfrecord
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.prepared import GrowingFile, Writer, writing
from datumrl.datasets.reading import Progress, finish
from datumrl.datasets.record import DatasetRecord
from datumrl.datasets.rlu_catalogue import SHARDS

Error = Callable[[str], DatumrlError]
_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<total>\d{5})")
_NAMED = 5  # of the shards that are missing
_FIRST, _LAST = 0, 2  # of step_type, as dm_env numbers them


def convert(
    source: Path, record: DatasetRecord, folder: Path, progress: Progress | None = None
) -> None:
    """Convert a folder of shards into prepared columns in ``folder``, all or nothing.

    Extras: ``infos/discount`` per row, ``metadata/episode_id`` and ``metadata/timestamp`` per
    episode.
    """
    written_from = identity.describe(source, record)

    error = identity.complaint(source, record)

    seen: collections.Counter[str] = collections.Counter()
    shards = _shards(source, seen, error)
    with writing(folder) as writer, contextlib.ExitStack() as stack:
        columns = _Columns(writer, stack, record)
        for episode in _episodes(shards, record, seen, error, progress):
            columns.append(episode)
        if columns.rows == 0:
            raise error("holds no steps")
        stack.close()
        columns.finish()
        finish(
            writer,
            record,
            written_from,
            rows=columns.rows,
            notes=[f"{count} {what}" for what, count in seen.items() if count],
            timeouts_recorded=True,
            ends="recorded",
        )


def check(source: Path, record: DatasetRecord) -> None:
    """Raise DatumrlError where a folder lacks shards; it says which."""
    _shards(source, collections.Counter(), identity.complaint(source, record))


@dataclass
class _Episode:
    observations: np.ndarray  # (T, dim) float32, the final one included
    actions: np.ndarray  # (T - 1, action_dim) float32
    rewards: np.ndarray  # (T - 1,) float32
    discounts: np.ndarray  # (T - 1,) float32
    number: int
    timestamp: int


def _shards(source: Path, seen: collections.Counter[str], error: Error) -> list[Path]:
    """Return the shards in their order; all of them must be there."""
    paths = [path for path in identity.members(source) if not path.name.startswith(".")]
    matches = {path: _SHARD.fullmatch(path.name) for path in paths}
    named = {path: match for path, match in matches.items() if match}
    seen["files are no shards"] += len(paths) - len(named)
    sets = {(match["stem"], match["total"]) for match in named.values()}
    if len(sets) != 1:
        found = ", ".join(f"{stem}-*-of-{total}" for stem, total in sorted(sets)) or "none"
        raise error(f"holds shards of {len(sets)} sets where one is needed ({found})")
    ((stem, total),) = sets
    numbers = {int(match["number"]): path for path, match in named.items()}
    missing = [number for number in range(int(total)) if number not in numbers]
    if missing or len(numbers) != int(total) or len(named) != len(numbers):
        names = ", ".join(f"{stem}-{number:05d}-of-{total}" for number in missing[:_NAMED])
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        lacking = f", lacking {names}{more}" if missing else ", some of them twice"
        raise error(f"holds {len(named)} of {int(total)} shards{lacking}")
    seen["shards, where 100 are published"] += len(numbers) if len(numbers) != SHARDS else 0
    return [numbers[number] for number in range(len(numbers))]


def _episodes(
    shards: list[Path],
    record: DatasetRecord,
    seen: collections.Counter[str],
    error: Error,
    progress: Progress | None,
) -> Iterator[_Episode]:
    sizes = [path.stat().st_size for path in shards]
    for number, path in enumerate(shards):

        def wrong(problem: str, name: str = path.name) -> DatumrlError:
            return error(f"{name}: {problem}")

        if sizes[number] == 0:
            raise wrong("is empty")
        plain = not tfrecord.is_compressed(path)
        seen["shards are not compressed, so that a cut between episodes would not show"] += plain
        for count, message in enumerate(tfrecord.records(path, wrong)):
            try:
                features = tfrecord.example(message)
            except ValueError as problem:
                raise wrong(f"record {count} is no Example ({problem})") from problem
            yield from _episode(features, f"record {count}", record, seen, wrong)
        if progress is not None:
            progress(sum(sizes[: number + 1]), sum(sizes))


def _episode(
    features: dict[str, tfrecord.Feature],
    name: str,
    record: DatasetRecord,
    seen: collections.Counter[str],
    error: Error,
) -> Iterator[_Episode]:
    """Yield the episode of a record, or nothing for one without a step."""

    def column(key: str, width: int) -> np.ndarray:
        values = features.get(key)
        if not isinstance(values, np.ndarray) or values.dtype != np.float32:
            raise error(f"{name} has no floats {key} (it has {', '.join(sorted(features))})")
        if len(values) != rows * width:
            raise error(f"{name} has {len(values)} numbers of {key} for {rows} steps of {width}")
        if not np.isfinite(values).all():
            raise error(f"{name} has {key} with a value that is not finite")
        return values.reshape(rows, width)

    rewards = features.get("reward")
    rows = len(rewards) if rewards is not None else 0
    parts = _parts(record)
    _check_names(features, parts, name, record, error)
    observations = [column(f"observation/{part}", width) for part, width in parts]
    actions, rewards = column("action", record.action_dim), column("reward", 1)[:, 0]
    discounts = column("discount", 1)[:, 0]
    _look(discounts, column("step_type", 1)[:, 0], seen)
    if rows < 2:
        seen["episodes have no step and are left out"] += 1
        return
    yield _Episode(
        observations=np.concatenate(observations, axis=1),
        actions=actions[:-1],
        rewards=rewards[1:],
        discounts=discounts[1:],
        number=_integer(features.get("episode_id"), seen),
        timestamp=_integer(features.get("timestamp"), seen),
    )


def _check_names(
    features: dict[str, tfrecord.Feature],
    parts: list[tuple[str, int]],
    name: str,
    record: DatasetRecord,
    error: Error,
) -> None:
    known = {f"observation/{part}" for part, _ in parts}
    unknown = {key for key in features if key.startswith("observation/")} - known
    if unknown:
        raise error(f"{name} has {', '.join(sorted(unknown))}, which {record.id} has not")


def _look(discounts: np.ndarray, kinds: np.ndarray, seen: collections.Counter[str]) -> None:
    """Count what differs from an episode as it should be."""
    seen["episodes do not begin and end as their step types say"] += len(kinds) > 0 and (
        kinds[0] != _FIRST or kinds[-1] != _LAST or bool(np.isin(kinds[1:-1], (0, 2)).any())
    )
    seen["steps end the process (discount 0) within an episode"] += int(
        (discounts[1:-1] == 0).sum()
    )
    seen["discounts are neither 0 nor 1; see infos/discount"] += int(
        (~np.isin(discounts[1:], (0, 1))).sum()
    )


def _integer(values: tfrecord.Feature | None, seen: collections.Counter[str]) -> int:
    if isinstance(values, np.ndarray) and values.dtype == np.int64 and len(values) == 1:
        return int(values[0])
    seen["numbers of episodes, or times, are missing (-1)"] += 1
    return -1


def _parts(record: DatasetRecord) -> list[tuple[str, int]]:
    """Return (name, width) of the parts of an observation, in their order in the vector."""
    pairs = (part.split() for part in str(record.option["parts"]).split(", "))
    return [(name, int(width)) for name, width in pairs]


class _Columns:
    """The columns under way."""

    def __init__(self, writer: Writer, stack: contextlib.ExitStack, record: DatasetRecord) -> None:
        def column(name: str, *shape: int, extra: bool = False) -> GrowingFile:
            return stack.enter_context(writer.growing(name, shape, np.float32, extra=extra))

        self._writer = writer
        self._observations = column("observations", record.observation_dim)
        self._actions = column("actions", record.action_dim)
        self._rewards = column("rewards")
        self._discounts = column("infos/discount", extra=True)
        self._starts = [0]
        self._terminals: list[np.ndarray] = []
        self._finals: list[np.ndarray] = []
        self._known: list[tuple[int, int]] = []

    @property
    def rows(self) -> int:
        return self._starts[-1]

    def append(self, episode: _Episode) -> None:
        self._observations.append(episode.observations[:-1])
        self._actions.append(episode.actions)
        self._rewards.append(episode.rewards)
        self._discounts.append(episode.discounts)
        self._starts.append(self.rows + len(episode.rewards))
        self._terminals.append(episode.discounts == 0)
        self._finals.append(episode.observations[-1].copy())  # a view would keep them all
        self._known.append((episode.number, episode.timestamp))

    def finish(self) -> None:
        """Write what is known only at the end."""
        array, starts = self._writer.array, np.array(self._starts, np.int64)
        ends, terminals = starts[1:] - 1, np.concatenate(self._terminals)
        timeouts = np.zeros(self.rows, bool)
        timeouts[ends] = ~terminals[ends]
        array("terminals", terminals)
        array("timeouts", timeouts)
        array("starts", starts)
        array("successor_rows", ends)
        array("successors", np.array(self._finals, np.float32))
        numbers, times = np.array(self._known, np.int64).T
        array("metadata/episode_id", np.ascontiguousarray(numbers), extra=True)
        array("metadata/timestamp", np.ascontiguousarray(times), extra=True)
