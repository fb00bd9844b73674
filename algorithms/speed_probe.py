"""How long a job takes on this machine and how much memory, measured before any of it is trained.

A stack like the job's is trained for half a second on made-up rows of the dataset's sizes, so
that the dataset need not be here, and its policies are rolled out for a few steps.  What is timed
is thus this machine as it is now, with whatever else it does.
"""

from __future__ import annotations

import dataclasses
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from datumrl.algorithms import policies, registry
from datumrl.algorithms.batches import Source
from datumrl.algorithms.stack import Stack, Task
from datumrl.algorithms.streams import Streams
from datumrl.algorithms.training import Job
from datumrl.datasets import catalogue
from datumrl.datasets.catalogue import DatasetRecord
from datumrl.datasets.episodes import Episodes, episode_starts
from datumrl.datasets.errors import DatumrlError

SECONDS = 0.5  # of updates, after the first ones
_FIRST = 2  # updates that also prepare
_LEAST = 3  # updates timed, however long they take
_LATE = 1 << 20  # a step past what only the first updates do
_ROWS, _LENGTH = 10_000, 100  # made up, in episodes of so many
_STEPS = 50  # of a short roll-out
# At most so many are tried, and scaled: the probe itself must not run out of memory.
_EPISODES, _BATCH = 10, 256


@dataclass(frozen=True)
class Speed:
    """What one job takes in one process."""

    update: float  # seconds of one gradient step of the whole stack; large batches: at most
    evaluation: float  # seconds of one evaluation point, at most: every episode at full length
    process: int  # bytes of the process, without the dataset
    data: int | None  # bytes of the packed dataset; None where its size is not known

    def seconds(self, job: Job) -> float:
        """Return what a job like the one that was measured takes."""
        points = -(-job.config.steps // job.evaluate_every)
        return self.update * job.config.steps + self.evaluation * points


def measure(job: Job, threads: int | None = None, seconds: float = SECONDS) -> Speed:
    """Time a job's updates and evaluation; ``threads`` of torch on the CPU, None: as they are.

    Raises DatumrlError for a dataset of whose sizes the catalogue does not tell.
    """
    dataset = catalogue.find(job.dataset)
    if not (dataset.observation_dim and dataset.action_dim):
        raise DatumrlError(
            f"{dataset.id}: the catalogue does not tell the sizes of its observations and actions, "
            "so nothing can be estimated"
        )
    with _threads(threads):
        return _measured(job, dataset, seconds)


def _measured(job: Job, dataset: DatasetRecord, seconds: float) -> Speed:
    episodes = _made_up(dataset)
    method = registry.find(job.algorithm)
    config = registry.completed(job.algorithm, job.config, dataset, episodes)
    batch, episodes_each = min(config.batch_size, _BATCH), min(job.episodes, _EPISODES)
    larger, more = config.batch_size / batch, job.episodes / episodes_each
    config = dataclasses.replace(config, batch_size=batch)
    device = torch.device(job.device)
    task = Task(
        dataset.observation_dim, dataset.action_dim, torch.ones(dataset.action_dim, device=device)
    )
    source = method.data(config, episodes, job.view, device)
    stack = Stack.create(method, config, task, job.seeds)
    if job.matmul_precision == "medium":
        stack.products = torch.bfloat16
    noise = method.noise(config, task)
    streams = Streams(job.seeds, len(source), config.batch_size, noise, device)

    def update(step: int) -> None:
        rows, drawn = streams.at(step)
        method.update(stack, source.gather(rows), drawn, step)

    idle = _resident()
    per_update = larger * _timed(update, device, seconds)
    trained = _resident()
    short = dataclasses.replace(job, config=config, episodes=episodes_each)
    evaluation = more * _evaluation(short, dataset, method, task, stack, source)
    growth = max(larger * (trained - idle), more * (_resident() - trained))
    return Speed(per_update, evaluation, idle + int(growth), data_bytes(dataset))


def _timed(update: object, device: torch.device, seconds: float) -> float:
    """Return the seconds of one update."""
    assert callable(update)
    step = _LATE
    for step in range(_LATE, _LATE + _FIRST):
        update(step)
    _wait(device)
    began, count = time.perf_counter(), 0
    while count < _LEAST or time.perf_counter() - began < seconds:
        count += 1
        update(step + count)
    _wait(device)
    return (time.perf_counter() - began) / count


def _evaluation(
    job: Job,
    dataset: DatasetRecord,
    method: registry.Method,
    task: Task,
    stack: Stack,
    source: Source,
) -> float:
    """Return the seconds of one evaluation point: a short one, scaled to full episodes."""
    if dataset.environment is None:
        return 0.0
    places = range(len(job.seeds))
    made = policies.acting(method, job.config, task, stack.networks, source.statistics, places)
    began = time.perf_counter()
    for limit in (1, _STEPS):  # the first one loads what is needed
        short = dataclasses.replace(dataset.environment, time_limit=limit)
        began = time.perf_counter()
        points = policies.evaluate(made, 0, short, job.episodes, job.seeds, nearest=job.nearest)
    taken = time.perf_counter() - began
    steps = sum(sum(point.lengths) for point in points if point is not None)
    rows = job.episodes * len(points)
    return taken / max(1, steps) * rows * dataset.environment.time_limit


def _made_up(dataset: DatasetRecord) -> Episodes:
    rng = np.random.default_rng(0)
    ends = np.arange(_ROWS) % _LENGTH == _LENGTH - 1
    nothing = np.zeros(_ROWS, bool)
    actions = np.tanh(rng.standard_normal((_ROWS, dataset.action_dim), np.float32))
    successors = np.flatnonzero(ends)
    return Episodes(
        id=dataset.id,
        observations=rng.standard_normal((_ROWS, dataset.observation_dim), np.float32),
        actions=actions,
        rewards=rng.standard_normal(_ROWS, np.float32),
        terminals=nothing,
        timeouts=ends,
        starts=episode_starts(nothing, ends),
        successor_rows=successors,
        successors=rng.standard_normal((len(successors), dataset.observation_dim), np.float32),
        time_limit=_LENGTH,
        timeouts_recorded=True,
    )


def data_bytes(dataset: DatasetRecord) -> int | None:
    """Return what all transitions take, packed as `packed_rows` does."""
    if dataset.rows is None:
        return None
    rows = min(dataset.rows, dataset.prefix or dataset.rows)
    return rows * (2 * dataset.observation_dim + dataset.action_dim + 2) * 4


def _resident() -> int:
    """Return the most memory that this process has held, in bytes."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
