"""Trained policies of a stack, as the environment loop wants them, and from a run's folder."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from datumrl.algorithms import checkpoints, registry
from datumrl.algorithms.batches import Statistics
from datumrl.algorithms.stack import Networks, Task
from datumrl.datasets import catalogue
from datumrl.evaluation import provenance
from datumrl.evaluation.environments import environment_of
from datumrl.evaluation.recorder import protocol_for
from datumrl.evaluation.records import Budget, Evaluation, RunRecord
from datumrl.evaluation.rollout import Rollout, rollout


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


def points(step: int, result: Rollout) -> list[Evaluation]:
    """Return one evaluation point per policy."""
    return [
        Evaluation(step=step, returns=tuple(returns), lengths=tuple(lengths))
        for returns, lengths in zip(result.returns.tolist(), result.lengths.tolist(), strict=True)
    ]


def reroll(
    folder: Path,
    episodes: int | None = None,
    offset: int = 10_000,
    device: str = "cpu",
    progress: Callable[[int], None] | None = None,
) -> list[RunRecord]:
    """Roll out the policies in a run's folder anew; returns one record per seed, failed ones too.

    Policy of seed s meets the episodes of evaluation seed s + ``offset``; with 0 they are those of
    its training run, and so are the returns.  ``episodes`` defaults to the run's own number.
    """
    saved = checkpoints.load(folder / checkpoints.FILE, torch.device(device))
    identity, failures = saved["identity"], saved["failures"]
    method = registry.find(identity["algorithm"])
    config = registry.resolve(identity["algorithm"], identity["configuration"])
    record = catalogue.find(identity["dataset"])
    protocol = protocol_for(record, episodes or identity["protocol"]["episodes"])
    living = [seed for seed in identity["seeds"] if seed not in failures]
    evaluations: dict[int, Evaluation] = {}
    if living:
        policies = Policies(
            method,
            config,
            Task(**saved["task"]),
            saved["stack"]["networks"],
            Statistics(**saved["statistics"]),
            [identity["seeds"].index(seed) for seed in living],
        )
        seeds = [seed + offset for seed in living]
        result = rollout(policies, environment_of(record), protocol.episodes, seeds, progress)
        evaluations = dict(zip(living, points(saved["step"], result), strict=True))
        for seed, broken in zip(living, policies.broken(), strict=True):
            if broken:
                del evaluations[seed]
                failures[seed] = "actions that are not finite"
    return [
        RunRecord(
            algorithm=identity["algorithm"],
            configuration={**identity["configuration"], "view": identity["view"]},
            dataset=record.id,
            dataset_sha256=identity["dataset_sha256"],
            protocol=protocol,
            budget=Budget(steps=saved["step"]),
            seed=seed,
            status="complete" if seed in evaluations else "failed",
            failure=failures.get(seed),
            evaluations=(evaluations[seed],) if seed in evaluations else (),
            software=provenance.software_versions("torch"),
            hardware=provenance.hardware(),
        )
        for seed in identity["seeds"]
    ]
