"""Trained policies of a stack, as the environment loop wants them, and from a run's folder."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from datumrl.algorithms import checkpoints, registry
from datumrl.algorithms.batches import Statistics
from datumrl.algorithms.stack import Networks, Task
from datumrl.datasets import catalogue
from datumrl.datasets.catalogue import Environment
from datumrl.evaluation import provenance
from datumrl.evaluation.environments import environment_of
from datumrl.evaluation.recorder import protocol_for
from datumrl.evaluation.records import Budget, Evaluation, Protocol, RunRecord
from datumrl.evaluation.rollout import rollout


class Policies:
    """The policies of some seeds of a stack: observations of all, seed by seed, to actions."""

    def __init__(
        self,
        method: registry.Method,
        config: Any,
        task: Task,
        networks: Networks,
        statistics: Statistics,
        places: Sequence[int],
    ) -> None:
        """``places`` are the seeds' places in the stack."""
        device = task.max_action.device
        index = torch.tensor(list(places), device=device)
        self._networks = {
            name: [tensor.detach().index_select(0, index) for tensor in layers]
            for name, layers in networks.items()
        }
        self._act = torch.vmap(functools.partial(method.act, config, task))
        self._statistics = statistics
        self._fine = torch.ones(len(places), dtype=torch.bool, device=device)

    @torch.inference_mode()
    def __call__(self, observations: np.ndarray) -> torch.Tensor:
        """Return actions (rows, action_dim) for observations (rows, observation_dim), policy-major.

        A policy whose actions are not finite is noted in `broken` and acts with zeros instead.
        """
        raw = torch.from_numpy(observations).to(self._statistics.mean)
        stacked = self._statistics.normalized(raw).view(len(self._fine), -1, raw.shape[-1])
        actions = self._act(self._networks, stacked)
        self._fine &= actions.isfinite().flatten(1).all(dim=1)
        return actions.nan_to_num(0.0, 0.0, 0.0).flatten(0, 1)

    def broken(self) -> list[bool]:
        """Return which policies gave an action that was not finite."""
        return [not fine for fine in self._fine.tolist()]


def evaluate(
    policies: Policies,
    step: int,
    environment: Environment,
    episodes: int,
    seeds: Sequence[int],
    progress: Callable[[int], None] | None = None,
) -> list[Evaluation | None]:
    """Return each policy's evaluation point; None for one whose actions were not finite."""
    result = rollout(policies, environment, episodes, seeds, progress)
    rows = zip(result.returns.tolist(), result.lengths.tolist(), policies.broken(), strict=True)
    return [
        None if broken else Evaluation(step=step, returns=tuple(returns), lengths=tuple(lengths))
        for returns, lengths, broken in rows
    ]


def reroll(
    folder: Path,
    episodes: int | None,
    offset: int,
    device: str,
    progress: Callable[[int, int], None] | None,
) -> list[RunRecord]:
    """Roll out the policies in a run's folder anew; see `training.reroll`."""
    saved = checkpoints.load(folder / checkpoints.FILE, torch.device(device))
    identity = saved["identity"]
    dataset = catalogue.find(identity["dataset"])
    protocol = protocol_for(dataset, episodes or identity["protocol"]["episodes"])
    living = [seed for seed in identity["seeds"] if seed not in saved["failures"]]
    done, total = 0, len(living) * protocol.episodes

    def count(ended: int) -> None:
        nonlocal done
        done += ended
        if progress is not None:
            progress(done, total)

    found: dict[int, Evaluation | None] = {}
    if living:
        environment, seeds = environment_of(dataset), [seed + offset for seed in living]
        acting = _restored(saved, living)
        points = evaluate(acting, saved["step"], environment, protocol.episodes, seeds, count)
        found = dict(zip(living, points, strict=True))
    return [
        _record(saved, protocol, seed, found.get(seed), saved["failures"].get(seed))
        for seed in identity["seeds"]
    ]


def _restored(saved: Mapping[str, Any], living: Sequence[int]) -> Policies:
    identity = saved["identity"]
    return Policies(
        registry.find(identity["algorithm"]),
        registry.resolve(identity["algorithm"], identity["configuration"]),
        Task(**saved["task"]),
        saved["stack"]["networks"],
        Statistics(**saved["statistics"]),
        [identity["seeds"].index(seed) for seed in living],
    )


def _record(
    saved: Mapping[str, Any],
    protocol: Protocol,
    seed: int,
    point: Evaluation | None,
    failure: str | None,
) -> RunRecord:
    identity = saved["identity"]
    if point is None and failure is None:
        failure = "actions that are not finite"
    return RunRecord(
        algorithm=identity["algorithm"],
        configuration={**identity["configuration"], "view": identity["view"]},
        dataset=identity["dataset"],
        dataset_sha256=identity["dataset_sha256"],
        protocol=protocol,
        budget=Budget(
            steps=saved["step"],
            preset=identity.get("preset", "none"),
            reward_transform=identity["configuration"].get("reward_transform", "none"),
        ),
        seed=seed,
        status="failed" if failure else "complete",
        failure=failure,
        evaluations=() if point is None else (point,),
        software=provenance.software_versions("torch"),
        hardware=provenance.hardware(),
    )
