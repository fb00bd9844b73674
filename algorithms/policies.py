"""Trained policies of a stack, as the environment loop wants them, and from a run's folder."""

from __future__ import annotations

import functools
import itertools
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from datumrl.algorithms import checkpoints, registry, run_settings
from datumrl.algorithms.batches import Statistics
from datumrl.algorithms.sequence_batches import Windows
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

    entries = 1  # ways in which each policy is evaluated, see `registry.entries`

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
        actions = self._decide(stacked)
        self._fine &= actions.isfinite().flatten(1).all(dim=1)
        return actions.nan_to_num(0.0, 0.0, 0.0).flatten(0, 1)

    def _decide(self, observations: torch.Tensor) -> torch.Tensor:
        """Return actions (seeds, rows, action_dim) for observations (seeds, rows, ...)."""
        return self._act(self._networks, observations)

    def broken(self) -> list[bool]:
        """Return which policies gave an action that was not finite."""
        return [not fine for fine in self._fine.tolist()]


class RememberingPolicies(Policies):
    """Policies that act on their last steps and on the return they are still to earn.

    A seed's rows are those of its first return target, then those of its second...
    """

    def __init__(
        self,
        method: registry.Method,
        config: Any,
        task: Task,
        networks: Networks,
        statistics: Statistics,
        places: Sequence[int],
    ) -> None:
        super().__init__(method, config, task, networks, statistics, places)
        self._scale = config.return_scale
        self._targets = statistics.mean.new_tensor(config.return_targets) / self._scale
        self._unknown = torch.zeros_like(task.max_action)
        self._length = config.context_length
        self.entries = len(config.return_targets)
        self.reset(0)

    def reset(self, rows: int) -> None:
        """Forget everything: new episodes begin."""
        self._step = 0
        self._memory: deque[list[torch.Tensor]] = deque(maxlen=self._length)
        self._wanted: torch.Tensor | None = None  # (seeds, rows), scaled, once there are rows

    def rewarded(self, rewards: np.ndarray) -> None:
        """Take note of what the last step brought, (rows,)."""
        assert self._wanted is not None
        earned = torch.from_numpy(rewards).to(self._wanted) / self._scale
        self._wanted = self._wanted - earned.view_as(self._wanted)

    def _decide(self, observations: torch.Tensor) -> torch.Tensor:
        shape = observations.shape[:2]
        if self._wanted is None:
            targets = self._targets.repeat_interleave(shape[1] // self.entries)
            self._wanted = targets.expand(shape)
        self._memory.append([observations, self._unknown.expand(*shape, -1), self._wanted])
        seen, done, wanted = (torch.stack(each, dim=2) for each in zip(*self._memory, strict=True))
        steps = torch.arange(self._step + 1 - wanted.shape[2], self._step + 1)
        timesteps = steps.to(wanted.device).expand_as(wanted)
        windows = Windows(seen, done, wanted, timesteps, torch.ones_like(wanted))
        actions = self._act(self._networks, windows)
        self._memory[-1][1] = actions
        self._step += 1
        return actions


class StackingPolicies(Policies):
    """Policies that act on their last states as one observation, zeros before the first."""

    def __init__(
        self,
        method: registry.Method,
        config: Any,
        task: Task,
        networks: Networks,
        statistics: Statistics,
        places: Sequence[int],
    ) -> None:
        super().__init__(method, config, task, networks, statistics, places)
        self._length = config.context_length
        self.reset(0)

    def reset(self, rows: int) -> None:
        """Forget everything: new episodes begin."""
        self._memory: deque[torch.Tensor] = deque(maxlen=self._length)

    def _decide(self, observations: torch.Tensor) -> torch.Tensor:
        if not self._memory:
            self._memory.extend([torch.zeros_like(observations)] * self._length)
        self._memory.append(observations)
        return super()._decide(torch.cat(list(self._memory), dim=-1))


def acting(
    method: registry.Method,
    config: Any,
    task: Task,
    networks: Networks,
    statistics: Statistics,
    places: Sequence[int],
) -> Policies:
    """Return the policies of the seeds at some places of a stack, with memory if they need one."""
    kind = Policies
    if hasattr(config, "return_targets"):
        kind = RememberingPolicies
    elif registry.remembers(config):
        kind = StackingPolicies
    return kind(method, config, task, networks, statistics, places)


def evaluate(
    policies: Policies,
    step: int,
    environment: Environment,
    episodes: int,
    seeds: Sequence[int],
    progress: Callable[[int], None] | None = None,
    nearest: bool = False,
) -> list[Evaluation | None]:
    """Return each policy's evaluation points, one for each of its entries, policy by policy.

    A policy whose actions were not finite has None.
    """
    each = [seed for seed in seeds for _ in range(policies.entries)]
    result = rollout(policies, environment, episodes, each, progress, nearest)
    broken = [broken for broken in policies.broken() for _ in range(policies.entries)]
    rows = zip(result.returns.tolist(), result.lengths.tolist(), broken, strict=True)
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
    nearest: bool = False,
) -> list[RunRecord]:
    """Roll out the policies in a run's folder anew; see `training.reroll`."""
    saved = checkpoints.load(folder / checkpoints.FILE, torch.device(device))
    identity = saved["identity"]
    dataset = catalogue.find(identity["dataset"])
    count_each = episodes or identity["protocol"]["episodes"]
    protocol = protocol_for(dataset, count_each, nearest=nearest)
    living = [seed for seed in identity["seeds"] if seed not in saved["failures"]]
    entries = registry.entries(identity["algorithm"], identity["configuration"])
    done, total = 0, len(living) * len(entries) * protocol.episodes

    def count(ended: int) -> None:
        nonlocal done
        done += ended
        if progress is not None:
            progress(done, total)

    found: dict[tuple[int, str], Evaluation | None] = {}
    if living:
        environment, seeds = environment_of(dataset), [seed + offset for seed in living]
        trained = _restored(saved, living)
        points = evaluate(
            trained, saved["step"], environment, protocol.episodes, seeds, count, nearest
        )
        names = itertools.product(living, [entry.suffix for entry in entries])
        found = dict(zip(names, points, strict=True))
    return [
        _record(
            saved,
            protocol,
            seed,
            entry,
            found.get((seed, entry.suffix)),
            saved["failures"].get(seed),
        )
        for entry in entries
        for seed in identity["seeds"]
    ]


def _restored(saved: Mapping[str, Any], living: Sequence[int]) -> Policies:
    identity = saved["identity"]
    return acting(
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
    entry: registry.Entry,
    point: Evaluation | None,
    failure: str | None,
) -> RunRecord:
    identity, configuration = saved["identity"], saved["identity"]["configuration"]
    if point is None and failure is None:
        failure = "actions that are not finite"
    ended = "complete" if saved["step"] >= configuration["steps"] else "running"
    return RunRecord(
        algorithm=entry.algorithm,
        configuration={
            **configuration,
            **entry.settings,
            **run_settings.beside(identity),
        },
        dataset=identity["dataset"],
        dataset_sha256=identity["dataset_sha256"],
        dataset_content_sha256=identity.get("dataset_content_sha256"),
        protocol=protocol,
        budget=Budget(
            steps=configuration["steps"],
            preset=identity.get("preset", "none"),
            reward_transform=registry.reward_transform(configuration),
        ),
        seed=seed,
        status="failed" if failure else ended,  # type: ignore[arg-type]
        failure=failure,
        evaluations=() if point is None else (point,),
        software=provenance.software_versions("torch"),
        hardware=provenance.hardware(),
    )
