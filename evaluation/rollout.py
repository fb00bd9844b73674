"""The one environment loop: policies x episodes side by side, each seeded by itself.

Actions are clipped to the action space, as D4RL's evaluation does (its NormalizedBoxEnv also maps
[-1, 1] to the action space, which is the identity for its gym-mujoco tasks; here actions are in the
environment's own units).  Observations are cast to float32, what datasets hold and policies expect.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from datumrl.datasets.catalogue import Environment
from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import environments, fast_locomotion
from datumrl.evaluation.fast_locomotion import Locomotion
from datumrl.evaluation.policy_modules import as_act, evaluating

if TYPE_CHECKING:
    import gymnasium

Act = Callable[[np.ndarray], Any]


@dataclass(frozen=True)
class Rollout:
    """What each episode of each policy brought."""

    returns: np.ndarray  # (policies, episodes) float64, undiscounted
    lengths: np.ndarray  # (policies, episodes) int64, environment steps


def rollout(
    act: Act,
    environment: Environment,
    episodes: int,
    seeds: Sequence[int],
    progress: Callable[[int], None] | None = None,
    nearest: bool = False,
) -> Rollout:
    """Roll out ``len(seeds)`` policies for ``episodes`` episodes each, all side by side.

    ``act`` gets observations (rows, observation_dim) float32 and returns actions
    (rows, action_dim), as numpy or as a torch tensor.  A torch module gets a tensor, and is in eval
    mode meanwhile, see `policy_modules`.  There are ``len(seeds) * episodes`` rows at every call;
    row ``p * episodes + e`` is episode e of policy p, and a finished row keeps its last observation
    while its action is ignored.  Episode e of seed s starts from a state that depends on (s, e)
    only, so a policy meets the same episodes alone, in a stack, or among more episodes.
    A policy with memory, be it an object, a torch module or a method of either, may have a method
    ``reset(rows)``, called once at the start, and a method ``rewarded(rewards)``, called after
    every step with what it brought each row, (rows,) float64, 0 for finished ones.  Methods of
    these names that cannot be called with one argument are something else, and are not called.

    ``progress`` is called with the number of episodes that have just ended.  Raises DatumrlError,
    naming policy and episode, for actions of a wrong shape or that are not finite.
    """
    if episodes < 1 or not seeds:
        raise DatumrlError(
            f"{episodes} episodes of {len(seeds)} policies: at least one of each is needed"
        )
    names = [(seed, episode) for seed in seeds for episode in range(episodes)]
    starts = [episode_seed(*name) for name in names]
    started = contextlib.closing(_started(environment, nearest, starts))
    with started as rows, evaluating(act):
        reset, rewarded = _of_memory(act, "reset"), _of_memory(act, "rewarded")
        if reset is not None:
            reset(len(names))
        returns, lengths = _run(as_act(act), rows, names, progress, rewarded)
    shape = (len(seeds), episodes)
    return Rollout(returns.reshape(shape), lengths.reshape(shape))


def _of_memory(act: Act, name: str) -> Callable[[Any], Any] | None:
    """Return a method of a policy, or of what it is a method of, if it takes one argument."""
    method: Any = getattr(getattr(act, "__self__", act), name, None)
    try:
        inspect.signature(method).bind(None)
    except (TypeError, ValueError):
        return None
    return method


def episode_seed(seed: int, episode: int) -> int:
    """Return the environment seed of one episode; a function of these two numbers only."""
    return int(np.random.SeedSequence((seed, episode)).generate_state(1, np.uint64)[0])


class _Rows:
    """Environments side by side, stepped one after the other."""

    def __init__(self, made: list[gymnasium.Env], seeds: Sequence[int]) -> None:
        self._made, self.space = made, made[0].action_space
        self._step = [env.step for env in made]
        starts = [env.reset(seed=seed)[0] for env, seed in zip(made, seeds, strict=True)]
        self.observations = np.stack(starts)

    def step(
        self, live: Sequence[int], actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return observations, rewards and ends of the rows ``live``; see `Locomotion.step`."""
        results = [self._step[row](actions[row]) for row in live]
        ended = np.array([bool(each[2] or each[3]) for each in results])
        rewards = np.array([each[1] for each in results], np.float64)
        return np.array([each[0] for each in results]), rewards, ended

    def close(self) -> None:
        for env in self._made:
            env.close()


def _started(environment: Environment, nearest: bool, seeds: Sequence[int]) -> _Rows | Locomotion:
    """Return an environment for each seed, at its start."""
    with contextlib.ExitStack() as stack:
        made = []
        for _ in seeds[:1] if fast_locomotion.knows(environment) else seeds:
            made.append(environments.make_flat(environment, nearest))
            stack.callback(made[-1].close)
        if fast_locomotion.knows(environment):
            rows: _Rows | Locomotion = Locomotion(made[0], environment, seeds)
        else:
            rows = _Rows(made, seeds)
        stack.pop_all()  # closed by the rows from now on
    return rows


def _run(
    act: Act,
    rows: _Rows | Locomotion,
    names: list[tuple[int, int]],
    progress: Callable[[int], None] | None,
    rewarded: Callable[[np.ndarray], Any] | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return each row's return and length."""
    observations, space = rows.observations.astype(np.float32), rows.space
    returns, lengths = np.zeros(len(names)), np.zeros(len(names), np.int64)
    live = list(range(len(names)))
    while live:
        # A copy: the policy may keep or change what it is given.
        actions = _checked(act(observations.copy()), space, live, names)
        rewards = np.zeros(len(names))
        # A slice while all are: of one row, a list takes as long as a small environment's step.
        at = live if len(live) < len(names) else slice(None)
        observations[at], rewards[at], ended = rows.step(live, actions)
        returns += rewards
        lengths[at] += 1
        if rewarded is not None:
            rewarded(rewards)
        if ended.any():
            still = [row for row, end in zip(live, ended.tolist(), strict=True) if not end]
            if progress is not None:
                progress(len(live) - len(still))
            live = still
    if not np.isfinite(returns).all():
        row = int(np.flatnonzero(~np.isfinite(returns))[0])
        raise DatumrlError(
            f"{_named(row, names)}: the environment returned a reward that is not finite"
        )
    return returns, lengths


def _checked(actions: Any, space: Any, live: list[int], names: list[tuple[int, int]]) -> np.ndarray:
    """Return actions (rows, action_dim) clipped to the space, in the floating type they came in."""
    actions = as_array(actions)
    expected = (len(names), *space.shape)
    if actions.shape != expected or actions.dtype.kind not in "fiu":
        raise DatumrlError(
            f"{_named(live[0], names)}: the policy returned {actions.dtype} of shape "
            f"{actions.shape} for {len(names)} observations; return numbers of shape {expected}, "
            "one row per observation"
        )
    if not np.isfinite(actions).all():
        for row in live:
            if not np.isfinite(actions[row]).all():
                raise DatumrlError(
                    f"{_named(row, names)}: the policy returned the action "
                    f"{np.array2string(actions[row], threshold=8)}, which is not finite; has its "
                    "training diverged?"
                )
    return np.clip(actions, space.low, space.high)


def as_array(values: Any) -> np.ndarray:
    """Return a policy's answer as a numpy array, a torch tensor's without importing torch."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
    return np.asarray(values)


def _named(row: int, names: list[tuple[int, int]]) -> str:
    seed, episode = names[row]
    episodes = 1 + max(number for _, number in names)
    return f"policy {row // episodes} (seed {seed}), episode {episode}"
