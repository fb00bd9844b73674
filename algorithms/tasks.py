"""What a run trains for: the sizes of its task, and how its returns are measured, if they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from datumrl.algorithms.stack import Task
from datumrl.algorithms.training import Job
from datumrl.datasets.audit_values import OUTSIDE
from datumrl.datasets.catalogue import DatasetRecord
from datumrl.datasets.episodes import Episodes
from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import environments
from datumrl.evaluation.recorder import protocol_for
from datumrl.evaluation.records import Protocol


def protocol(job: Job, dataset: DatasetRecord) -> Protocol:
    """Return how returns are measured; without an environment, that they are not."""
    if dataset.environment is None:
        return Protocol.unmeasured(dataset.id)
    return protocol_for(dataset, job.episodes, nearest=job.nearest)


def of(dataset: DatasetRecord, episodes: Episodes, device: torch.device, nearest: bool) -> Task:
    """Return the task; actions are bounded by the environment's action space.

    Without an environment, by the largest that the dataset holds.
    """
    if dataset.environment is None:
        return _of_data(dataset, episodes, device)
    environment = environments.make_flat(environments.environment_of(dataset), nearest)
    space: Any = environment.action_space
    seen: Any = environment.observation_space
    environment.close()
    observation_dim, action_dim = episodes.observations.shape[1], episodes.actions.shape[1]
    if seen.shape != (observation_dim,):
        raise DatumrlError(
            f"{dataset.id}: its observations have {observation_dim} dimensions, but "
            f"{dataset.environment.id} gives observations of shape {seen.shape}; policies act "
            "there on what they were trained on, so name the environment of the data, or none"
        )
    bounded = space.shape == (action_dim,) and bool(np.isfinite(space.high).all())
    if not bounded or not np.array_equal(space.low, -space.high):
        raise DatumrlError(
            f"{dataset.id}: its actions have {action_dim} dimensions, but {dataset.environment.id} "
            f"takes {space}; a trainer needs as many, with finite bounds symmetric about zero"
        )
    max_action = torch.as_tensor(space.high, dtype=torch.float32, device=device)
    return Task(observation_dim, action_dim, max_action)


def beyond_bounds(episodes: Episodes, task: Task) -> str | None:
    """Say by which row an action is beyond what the task's policies can do, if one is."""
    bounds = task.max_action.cpu().numpy().astype(np.float64)
    low, high = (f(episodes.actions, axis=0, initial=0.0) for f in (np.min, np.max))
    excess = np.maximum(-bounds - low, high - bounds)
    place = int(np.argmax(excess))
    if not excess[place] > OUTSIDE * 2 * bounds[place]:
        return None
    column = episodes.actions[:, place]
    row = int(column.argmax() if high[place] - bounds[place] == excess[place] else column.argmin())
    return (
        f"action {place} of row {row} is {column[row]:.6g}, beyond the bound of "
        f"{bounds[place]:.6g}: no policy can do that, and the environment clips it; look at "
        f"`datumrl stats {episodes.id} --audit`, and clip or rescale such actions"
    )


def _of_data(dataset: DatasetRecord, episodes: Episodes, device: torch.device) -> Task:
    actions, observations = episodes.actions, episodes.observations
    if isinstance(observations, dict) or observations.ndim != 2 or actions.dtype.kind != "f":
        raise DatumrlError(
            f"{dataset.id}: without an environment, trainers need flat observations and continuous "
            "actions; this dataset has others"
        )
    bounds = np.maximum(np.abs(actions.max(axis=0)), np.abs(actions.min(axis=0)))
    if not bounds.all():
        raise DatumrlError(
            f"{dataset.id}: action {int(bounds.argmin())} is 0 in every row, which bounds no "
            "policy; leave that column out"
        )
    max_action = torch.as_tensor(bounds.astype(np.float32), device=device)
    return Task(observations.shape[1], actions.shape[1], max_action)
