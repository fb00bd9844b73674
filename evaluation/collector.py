"""Collects a local dataset: independent streams of whole episodes, interleaved in a fixed order.

Each part of a recipe has streams 0, 1, 2...; a stream is whole episodes until it has
``stream_rows`` transitions.  ``lanes`` neighbouring streams run side by side as one *chunk*, the
unit of work: a chunk depends on nothing but the recipe and its number, so any number of workers
gives the same bits, and a killed collection goes on from the chunks that are on disk.  The dataset
takes episodes in stream order within a part, and between parts always from the one that is furthest
behind its share, so every prefix has the mixture of the whole.
"""

from __future__ import annotations

import concurrent.futures
import concurrent.futures.process
import contextlib
import math
import multiprocessing
import os
import signal
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from datumrl.datasets import cards, content_hash, files, places, prepared
from datumrl.datasets.catalogue import DatasetRecord
from datumrl.datasets.episodes import Episodes, episode_starts
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.locking import locked
from datumrl.evaluation import chunk_folders, provenance, streams
from datumrl.evaluation.provenance import hardware, software_versions, usable_cores
from datumrl.evaluation.recipes import Recipe, recipe_for

Progress = Callable[[int, int], None]  # transitions done, transitions planned

_WORTH_PROCESSES = 50_000  # transitions


@dataclass(frozen=True)
class Collected:
    """What `collect` made, or found already made."""

    folder: Path
    episodes: Episodes
    parts: list[dict[str, Any]]  # name, episodes and transitions of each behaviour policy
    made: bool  # False: it was there, and was verified


@dataclass(frozen=True)
class _Material:
    """Chunks on disk, and the order in which their episodes make the dataset."""

    folder: Path
    counts: list[int]  # chunks per part
    lengths: list[np.ndarray]  # of the episodes in them, per part
    order: list[tuple[int, int]]  # part, number within the part

    def column(self, name: str) -> np.ndarray:
        """Return a column of all chunks: part 0, then part 1..."""
        return np.concatenate(
            [
                piece
                for part, count in enumerate(self.counts)
                for piece in _stored(self.folder, part, count, name)
            ]
        )


def collect(
    record: DatasetRecord,
    workers: int | None = None,
    force: bool = False,
    progress: Progress | None = None,
    waiting: Callable[[], None] = lambda: None,
) -> Collected:
    """Make a local dataset (or the prefix that ``record`` is) with ``workers`` processes.

    Without a number it is one per core, where the work is worth the seconds that starting takes.
    A dataset that is already there is verified instead, unless ``force`` is set.  Where another
    process is collecting it, ``waiting`` is called, and its end awaited.  Raises DatumrlError if
    what is there is damaged or was made by another recipe.
    """
    recipe = recipe_for(record)
    rows = record.prefix or recipe.transitions
    if rows > recipe.transitions:
        raise DatumrlError(
            f"{record.id}: the whole dataset has {recipe.transitions} transitions; ask for fewer"
        )
    if workers is None:
        workers = usable_cores() if rows >= _WORTH_PROCESSES else 1
    if workers < 1:
        raise DatumrlError(f"{workers} workers: at least one is needed")
    folder = places.local_folder(record)
    with locked(folder, waiting):
        if folder.exists() and not force:
            return _verified(folder, record, recipe)
        made_of = f"{recipe.sha256[:12]}.{provenance.arithmetic_digest()}"
        chunks = chunk_folders.folder_for(folder, made_of)
        parts = _write(folder, record, recipe, _run(recipe, rows, workers, chunks, progress))
        _tidy(folder, record)
        return Collected(folder, prepared.read(folder, record.id), parts, made=True)


def _write(
    folder: Path, record: DatasetRecord, recipe: Recipe, material: _Material
) -> list[dict[str, Any]]:
    """Write the columns and how they came about; return what each policy contributed."""
    episodes, extras = _gather(record.id, recipe, material)
    parts = _parts(recipe, episodes, extras)
    origin = {
        "command": f"datumrl collect {record.id}",
        "recipe": recipe.describe(),
        "recipe_sha256": recipe.sha256,
        "parts": parts,
        "content_sha256": content_hash.of_columns(episodes, extras),
        "software": software_versions("gymnasium", "mujoco"),
        "hardware": hardware(),
        "arithmetic": provenance.arithmetic(),
    }
    prepared.write(folder, episodes, origin, extras)
    return parts


def _tidy(folder: Path, record: DatasetRecord) -> None:
    """Do what comes after the columns; the card is last, so where it is, all is done."""
    chunk_folders.remove(folder, whole=record.prefix is None)
    if not (folder / cards.NAME).exists():
        cards.write(folder, record)


def _verified(folder: Path, record: DatasetRecord, recipe: Recipe) -> Collected:
    """Return a dataset that is there, after checking its recipe and every byte of its columns."""
    origin = prepared.provenance(folder)
    if origin.get("recipe_sha256") != recipe.sha256:
        made, now = origin.get("recipe", {}), recipe.describe()
        changed = [key for key in now if made.get(key) != now[key]]
        shown = "; ".join(f"{key} {made.get(key)} there, {now[key]} here" for key in changed)
        raise DatumrlError(
            f"{folder} was made by another recipe ({shown[:300]}); use --force to replace it"
        )
    episodes = prepared.read(folder, record.id)
    found = content_hash.of_columns(episodes, prepared.read_extras(folder))
    if origin.get("content_sha256") != found:
        raise DatumrlError(
            f"{folder} is not what was collected: its content has changed; use --force to "
            "collect it again"
        )
    with contextlib.suppress(DatumrlError):  # a read-only folder needs none
        _tidy(folder, record)  # which a kill may have come before
    return Collected(folder, episodes, origin["parts"], made=False)


def _parts(
    recipe: Recipe, episodes: Episodes, extras: dict[str, np.ndarray]
) -> list[dict[str, Any]]:
    by_row = extras["infos/policy"]
    by_episode = by_row[episodes.starts[:-1]]
    return [
        {
            "name": part.name,
            "episodes": int((by_episode == index).sum()),
            "transitions": int((by_row == index).sum()),
        }
        for index, part in enumerate(recipe.parts)
    ]


def interleave(lengths: list[np.ndarray], weights: list[int], rows: int) -> list[tuple[int, int]]:
    """Return the fixed order of episodes, as (part, number), up to the one that reaches ``rows``.

    ``lengths`` holds the lengths of the episodes at hand, per part: together at least each part's
    share of ``rows``.  The next episode is always of the part with the fewest transitions for its
    weight, which has less than its share of ``rows`` and so at least one episode left.
    """
    at_hand = [part.tolist() for part in lengths]
    taken, counts, total = [0] * len(lengths), [0] * len(lengths), 0
    order: list[tuple[int, int]] = []
    while total < rows:
        part = min(range(len(weights)), key=lambda part: (taken[part] / weights[part], part))
        length = at_hand[part][counts[part]]
        order.append((part, counts[part]))
        counts[part] += 1
        taken[part] += length
        total += length
    return order


def _run(
    recipe: Recipe, rows: int, workers: int, folder: Path, progress: Progress | None
) -> _Material:
    """Make the chunks that hold each part's share of ``rows``.

    First a few, then as many as their sizes promise to be enough: a chunk may be much larger than
    the least it can be, and the number of chunks made does not reach the dataset.
    """
    weights = [part.weight for part in recipe.parts]
    shares = [rows * weight / sum(weights) for weight in weights]
    least = recipe.lanes * recipe.stream_rows  # rows that a chunk has at least
    made = [0] * len(weights)
    counts = [0] * len(weights)
    with _pool(workers) as submit:
        while any(have < share for have, share in zip(made, shares, strict=True)):
            work = []
            for part, share in enumerate(shares):
                typical = made[part] / counts[part] if counts[part] else least
                missing = math.ceil(max(0.0, share - made[part]) / typical)
                if not counts[part]:
                    missing = min(missing, max(1, workers // len(shares)))
                work += [(part, counts[part] + number) for number in range(missing)]
                counts[part] += missing
            for (part, _), size in submit(recipe, work, folder):
                made[part] += size
                if progress is not None:
                    progress(sum(made), max(rows, sum(made)))
    lengths = [
        np.concatenate(list(_stored(folder, part, count, "lengths")))
        for part, count in enumerate(counts)
    ]
    return _Material(folder, counts, lengths, interleave(lengths, weights, rows))


_Work = tuple[int, int]  # part, number of the chunk
_Submit = Callable[[Recipe, list[_Work], Path], Iterable[tuple[_Work, int]]]


@contextlib.contextmanager
def _pool(workers: int) -> Iterator[_Submit]:
    """Yield what makes chunks, here or in processes, and gives each one's rows when it is done."""
    if workers == 1:
        yield lambda recipe, work, folder: ((item, _make(recipe, *item, folder)) for item in work)
        return
    # Spawned, not forked: the parent may hold threads (torch, BLAS) that a fork would break.
    executor = concurrent.futures.ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), initializer=_leave_with_parent
    )

    def submit(recipe: Recipe, work: list[_Work], folder: Path) -> Iterator[tuple[_Work, int]]:
        futures = {executor.submit(_make, recipe, *item, folder): item for item in work}
        for future in concurrent.futures.as_completed(futures):
            try:
                rows = future.result()
            except concurrent.futures.process.BrokenProcessPool:
                raise DatumrlError(
                    f"{recipe.dataset}: a worker was killed (is memory short?); run it again, with "
                    "fewer --workers if it happens again; what is done is kept"
                ) from None
            yield futures[future], rows

    try:
        yield submit
    finally:
        executor.shutdown(cancel_futures=True)


def _leave_with_parent() -> None:
    """End this worker when its parent is killed, instead of waiting for work for ever.

    An interruption from the terminal goes to all processes; the parent answers it, the worker goes
    at once: a chunk that is half made is not on disk.
    """
    signal.signal(signal.SIGINT, lambda *_: os._exit(1))
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _make(recipe: Recipe, part: int, number: int, folder: Path) -> int:
    """Make one chunk, unless it is on disk and whole; return its number of rows."""
    path = _chunk_path(folder, part, number)
    if not _is_whole(path):
        chunk = streams.collect_chunk(recipe, part, number)
        arrays: dict[str, Any] = {"lengths": chunk.lengths, "finals": chunk.finals}
        arrays.update(chunk.columns)
        with files.replacing(path) as handle:
            np.savez(handle, **arrays)
    with np.load(path, allow_pickle=False) as stored:
        return int(stored["lengths"].sum())


def _is_whole(path: Path) -> bool:
    """Return whether a chunk of an earlier start is there, and every byte of it is as written."""
    try:
        # Opened here, since numpy does not close what it then finds to be no archive.
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as stored:
            return {"lengths", "finals", *streams.COLUMNS} == {
                name for name in stored.files if stored[name] is not None
            }
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):
        return False


def _chunk_path(folder: Path, part: int, number: int) -> Path:
    return folder / f"part-{part:03d}-chunk-{number:05d}.npz"


def _stored(folder: Path, part: int, count: int, name: str) -> Iterator[np.ndarray]:
    for number in range(count):
        with np.load(_chunk_path(folder, part, number), allow_pickle=False) as stored:
            yield stored[name]


def _gather(
    dataset_id: str, recipe: Recipe, material: _Material
) -> tuple[Episodes, dict[str, np.ndarray]]:
    """Put the episodes in their order: the dataset's columns, and its extras by name."""
    parts, numbers = np.asarray(material.order, np.int64).T
    lengths = np.concatenate(material.lengths)
    picked = np.cumsum([0] + [len(part) for part in material.lengths])[parts] + numbers
    begins = (np.cumsum(lengths) - lengths)[picked]
    taken = lengths[picked]
    ends = np.cumsum(taken)
    rows = np.repeat(begins - (ends - taken), taken) + np.arange(ends[-1])
    columns = {name: material.column(name)[rows] for name in streams.COLUMNS}
    extras = {name: columns.pop(key) for key, name in streams.EXTRAS.items()}
    if extras["infos/goal"].shape[1] == 0:
        del extras["infos/goal"]
    extras["infos/policy"] = np.repeat(parts, taken).astype(np.int16)  # index in the recipe's parts
    episodes = Episodes(
        id=dataset_id,
        **columns,
        starts=episode_starts(columns["terminals"], columns["timeouts"]),
        successor_rows=ends - 1,
        successors=material.column("finals")[picked],
        time_limit=recipe.environment.time_limit,
        timeouts_recorded=True,
        sha256=recipe.sha256,
    )
    return episodes, extras
