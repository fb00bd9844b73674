"""Environment steps per second of the rollout, against a plain loop and Gymnasium's SyncVectorEnv.

    python benchmarks/rollout_speed.py [--repeats 3] [--environments Hopper-v4] [--episodes 10]

Each evaluates the same policy for the same number of episodes, the making of its
environments included, and the steps that count are those up to the end of each episode.  The plain
loop has one environment and runs the episodes one after the other; the others run them side by
side.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
import warnings
from collections.abc import Callable

import gymnasium
import kept_results
import numpy as np

from datumrl.datasets.catalogue import Environment
from datumrl.evaluation.provenance import engine_versions, hardware
from datumrl.evaluation.rollout import rollout

SIZES = (1, 10, 50)  # episodes side by side
# Weights (action_dim, observation_dim) and bias.  Both policies last for all of the 1,000 steps;
# the hopper, found by random search, stands nearly still.
PENDULUM = (np.array([[0.5, 8.0, 0.7, 1.0]]), np.zeros(1))
HOPPER = (
    np.array(
        [
            [0.36, 2.36, 0.02, 0.26, 1.16, -1.0, -0.41, -1.08, -0.82, -0.31, -0.69],
            [-0.03, 0.11, 0.67, 1.06, 0.9, 1.29, 1.03, -0.15, 0.15, -0.72, 0.23],
            [-0.8, 0.02, -1.16, 0.08, 0.41, 0.65, 1.07, 0.38, 0.95, -1.35, 0.16],
        ]
    ),
    np.array([0.3, -0.03, 0.81]),
)
LINEAR = {"InvertedPendulum-v4": PENDULUM, "Hopper-v4": HOPPER}
# Elsewhere a policy of 256x256 that learned nothing; a walker then falls early, which is why each
# contender's steps are those of running episodes.
UNTRAINED = {"HalfCheetah-v4": (17, 6), "Walker2d-v4": (17, 6)}

Act = Callable[[np.ndarray], np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--environments", nargs="*", choices=(*LINEAR, *UNTRAINED))
    parser.add_argument("--episodes", nargs="*", type=int, help="side by side (default: 1 10 50)")
    kept_results.add_option(parser, __file__)
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message=".*is out of date", category=DeprecationWarning)
    versions = " ".join(
        f"{name} {version}" for name, version in engine_versions("Hopper-v4").items()
    )
    print(f"{hardware()}; {versions}; {options.repeats} repeats")
    print(f"{'environment':<21}{'episodes':>9}  {'':<16}{'best':>9}{'median':>9}  steps/s")
    found = {
        f"{environment}, {episodes} episodes": compare(environment, episodes, options.repeats)
        for environment in options.environments or (*LINEAR, *UNTRAINED)
        for episodes in options.episodes or SIZES
    }
    kept_results.keep(options, {"steps per second": found})


def compare(environment: str, episodes: int, repeats: int) -> dict[str, list[float]]:
    """Time the three on one environment, print their rows, and return all rates."""
    act = policy(environment)
    peers = {"datumrl": ours, "plain loop": plain_loop, "SyncVectorEnv": vector}
    rates: dict[str, list[float]] = {name: [] for name in peers}
    for _ in range(repeats):
        for name, peer in peers.items():
            start = time.perf_counter()
            steps = peer(environment, episodes, act)
            rates[name].append(steps / (time.perf_counter() - start))
    for name, found in rates.items():
        print(
            f"{environment:<21}{episodes:>9}  {name:<16}{max(found):>9,.0f}"
            f"{statistics.median(found):>9,.0f}",
            flush=True,
        )
    return rates


def policy(environment: str) -> Act:
    """Return a policy in numpy."""
    if environment in LINEAR:
        weights, bias = LINEAR[environment]
        return lambda observations: np.tanh(observations @ weights.T + bias)
    sizes = (UNTRAINED[environment][0], 256, 256, UNTRAINED[environment][1])
    rng = np.random.default_rng(0)
    layers = [
        (rng.normal(0, 1 / inputs**0.5, (inputs, outputs))).astype(np.float32)
        for inputs, outputs in itertools.pairwise(sizes)
    ]

    def act(observations: np.ndarray) -> np.ndarray:
        features = observations.astype(np.float32)
        for layer in layers[:-1]:
            features = np.maximum(features @ layer, 0)
        return np.tanh(features @ layers[-1])

    return act


def ours(environment: str, episodes: int, act: Act) -> int:
    return int(rollout(act, Environment(environment, 1000), episodes, [0]).lengths.sum())


def plain_loop(environment: str, episodes: int, act: Act) -> int:
    env = gymnasium.make(environment)
    steps = 0
    for episode in range(episodes):
        observation, _ = env.reset(seed=episode)
        ended = False
        while not ended:
            action = act(observation[None])[0].astype(np.float32)
            observation, _, terminated, truncated, _ = env.step(action)
            ended = terminated or truncated
            steps += 1
    env.close()
    return steps


def vector(environment: str, episodes: int, act: Act) -> int:
    envs = gymnasium.vector.SyncVectorEnv([lambda: gymnasium.make(environment)] * episodes)
    observations, _ = envs.reset(seed=0)
    live = np.ones(episodes, bool)
    steps = 0
    while live.any():
        actions = act(observations).astype(np.float32)
        observations, _, terminated, truncated, _ = envs.step(actions)
        steps += int(live.sum())
        live &= ~(terminated | truncated)
    envs.close()
    return steps


if __name__ == "__main__":
    main()
