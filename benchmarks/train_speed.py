"""Seed-updates per second of every method in stacks, TD3+BC beside plain single-seed PyTorch.

The peer is written the way the official code is: one seed, replay buffer in numpy with five gathers
a batch, two critic modules, torch.optim.Adam and Polyak averaging parameter by parameter.  Both
sample their batches; neither evaluates or logs.  Contenders take turns, so that whatever else the
machine does meets all of them; a ratio is taken within each turn.

    python benchmarks/train_speed.py [--threads 2] [--methods td3_bc] [--stacks 1 5 10] [--turns 5]
"""

from __future__ import annotations

import argparse
import copy
import os
import statistics
import time
from collections.abc import Callable

import kept_results
import numpy as np
import torch
import torch.nn.functional as F

from datumrl.algorithms import registry
from datumrl.algorithms.stack import Stack, Task
from datumrl.algorithms.streams import Streams
from datumrl.datasets.episodes import Episodes, episode_starts

OBSERVATION, ACTION = 17, 6  # as halfcheetah
PLAIN = "plain PyTorch TD3+BC, 1 seed"


def synthetic(rows: int) -> Episodes:
    """Return episodes of 1000 random steps that end by timeout."""
    rng = np.random.default_rng(0)
    return episodes_of(
        {
            "observations": rng.standard_normal((rows, OBSERVATION), np.float32),
            "actions": np.tanh(rng.standard_normal((rows, ACTION), np.float32)),
            "rewards": rng.standard_normal(rows, np.float32),
            "terminals": np.zeros(rows),
            "timeouts": np.arange(rows) % 1000 == 999,
        }
    )


def episodes_of(columns: dict[str, np.ndarray]) -> Episodes:
    """Return columns as episodes; what follows a timeout is random."""
    rng = np.random.default_rng(1)
    terminals, timeouts = (columns[name].astype(bool) for name in ("terminals", "timeouts"))
    starts = episode_starts(terminals, timeouts)
    ends = starts[1:] - 1
    return Episodes(
        id="synthetic",
        observations=columns["observations"],
        actions=columns["actions"],
        rewards=columns["rewards"],
        terminals=terminals,
        timeouts=timeouts,
        starts=starts,
        successor_rows=ends,
        successors=rng.standard_normal((len(ends), OBSERVATION), np.float32),
        time_limit=1000,
        timeouts_recorded=True,
    )


def stacked(
    name: str, episodes: Episodes, seeds: int, device: torch.device, precision: str = "highest"
) -> Callable[[], None]:
    """Return one update of a stack of ours, sampling included."""
    method, config = registry.find(name), registry.resolve(name, {})
    task = Task(OBSERVATION, ACTION, torch.ones(ACTION, device=device))
    source = method.data(config, episodes, "correct", device)
    stack = Stack.create(method, config, task, range(seeds))
    stack.products = torch.bfloat16 if precision == "medium" else None
    noise = method.noise(config, task)
    streams = Streams(range(seeds), len(source), config.batch_size, noise, device)
    step = 100_000  # past what only the first updates do

    def update() -> None:
        nonlocal step
        step += 1
        rows, drawn = streams.at(step)
        method.update(stack, source.gather(rows), drawn, step)

    return update


class _Critic(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = (_mlp(OBSERVATION + ACTION, 1) for _ in range(2))

    def forward(self, state: torch.Tensor, action: torch.Tensor) -> tuple[torch.Tensor, ...]:
        both = torch.cat([state, action], 1)
        return self.first(both), self.second(both)


def _mlp(inputs: int, outputs: int) -> torch.nn.Sequential:
    return torch.nn.Sequential(
        torch.nn.Linear(inputs, 256),
        torch.nn.ReLU(),
        torch.nn.Linear(256, 256),
        torch.nn.ReLU(),
        torch.nn.Linear(256, outputs),
    )


class Plain:
    """One seed in plain PyTorch."""

    def __init__(self, episodes: Episodes, device: torch.device) -> None:
        steps = episodes.transitions("correct")
        columns = (steps.observations, steps.actions, steps.next_observations)
        self.buffer = [*columns, steps.rewards[:, None], 1.0 - steps.terminals[:, None]]
        self.device = device
        self.actor = torch.nn.Sequential(_mlp(OBSERVATION, ACTION), torch.nn.Tanh()).to(device)
        self.critic = _Critic().to(device)
        self.actor_target = copy.deepcopy(self.actor)
        self.critic_target = copy.deepcopy(self.critic)
        self.actor_optimizer = torch.optim.Adam(self.actor.parameters(), lr=3e-4)
        self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), lr=3e-4)
        self.step = 0

    def __call__(self) -> None:
        self.step += 1
        rows = np.random.randint(0, len(self.buffer[0]), size=256)  # noqa: NPY002
        state, action, next_state, reward, not_done = (
            torch.as_tensor(column[rows], dtype=torch.float32, device=self.device)
            for column in self.buffer
        )
        with torch.no_grad():
            noise = (torch.randn_like(action) * 0.2).clamp(-0.5, 0.5)
            next_action = (self.actor_target(next_state) + noise).clamp(-1, 1)
            q = torch.min(*self.critic_target(next_state, next_action))
            target = reward + not_done * 0.99 * q
        first, second = self.critic(state, action)
        loss = F.mse_loss(first, target) + F.mse_loss(second, target)
        self.critic_optimizer.zero_grad()
        loss.backward()
        self.critic_optimizer.step()
        if self.step % 2 == 0:
            chosen = self.actor(state)
            q = self.critic.first(torch.cat([state, chosen], 1))
            loss = -2.5 / q.abs().mean().detach() * q.mean() + F.mse_loss(chosen, action)
            self.actor_optimizer.zero_grad()
            loss.backward()
            self.actor_optimizer.step()
            pairs = ((self.critic, self.critic_target), (self.actor, self.actor_target))
            for source, target_net in pairs:
                for p, t in zip(source.parameters(), target_net.parameters(), strict=True):
                    t.data.copy_(0.005 * p.data + 0.995 * t.data)


def rate(update: Callable[[], None], seeds: int, seconds: float, device: torch.device) -> float:
    """Return seed-updates per second over about so many seconds."""
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        for _ in range(2):  # TD3+BC updates its actor every second time
            update()
        done += 2
    if device.type == "cuda":
        torch.cuda.synchronize()
    return done * seeds / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="per contender and turn")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--methods", nargs="+", default=[*registry.ALGORITHMS])
    parser.add_argument("--stacks", nargs="+", type=int, default=[1, 5])
    parser.add_argument("--matmul-precision", choices=("highest", "medium"), default="highest")
    kept_results.add_option(parser, __file__)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    episodes = synthetic(options.rows)
    contenders: dict[str, tuple[Callable[[], None], int]] = {}
    if "td3_bc" in options.methods:
        contenders[PLAIN] = Plain(episodes, device), 1
    for method in options.methods:
        for seeds in options.stacks:
            update = stacked(method, episodes, seeds, device, options.matmul_precision)
            contenders[f"{method}, stack of {seeds}"] = update, seeds
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(options.turns + 1):
        for name, (update, seeds) in contenders.items():
            measured = rate(update, seeds, options.seconds if turn else 0.2, device)
            if turn:  # the first is for warming up
                rates[name].append(measured)
    print(
        f"batch 256 (dt 64), networks of the defaults, {options.rows:,} rows of "
        f"{OBSERVATION}+{ACTION}, {options.threads} threads, torch {torch.__version__}, "
        f"{device.type}, products {options.matmul_precision}"
    )
    print(f"{'':32}{'median':>9}{'best':>9}{'to plain':>10}   seed-updates/s")
    for name, values in rates.items():
        shown = f"{statistics.median(values):9,.1f}{max(values):9,.1f}"
        if name == PLAIN or name.startswith("td3_bc"):
            pairs = zip(values, rates[PLAIN], strict=True)
            shown += f"{statistics.median(a / b for a, b in pairs):10.2f}"
        print(f"{name:32}{shown}")
    kept_results.keep(options, {"seed-updates per second": rates})


if __name__ == "__main__":
    main()
