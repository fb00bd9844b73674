"""Measure what `datasets/tables/local.csv` holds: the returns that are scores 0 and 100.

python -m datumrl.scripts.reference_scores

Rolls out a policy of uniform random actions and an expert in each environment of our own, as any
policy is rolled out, 1,000 episodes each, and prints the two columns and the origin to put beside
them.  Experts are the expert controller of InvertedPendulum-v4 and, in the mazes, the waypoint
controller without noise on its way to the evaluation goal.
"""

from __future__ import annotations

import numpy as np

from datumrl.datasets import catalogue
from datumrl.evaluation import recipes
from datumrl.evaluation.controllers import Controller, Seeker, Uniform
from datumrl.evaluation.environments import environment_of
from datumrl.evaluation.mazes import MAZES
from datumrl.evaluation.provenance import engine_versions
from datumrl.evaluation.rollout import Act, rollout
from datumrl.evaluation.waypoints import feedback
from datumrl.scripts import console

EPISODES = 1_000


def sampling(controller: Controller | Seeker, action_dim: int) -> Act:
    """Return a policy that draws the noise of a controller from one generator."""
    assert not isinstance(controller, Seeker)
    generator = np.random.default_rng(0)

    def act(observations: np.ndarray) -> np.ndarray:
        noise = controller.noise(generator, (len(observations), action_dim))
        return controller.sample(observations, noise)[0]

    return act


def straight(maze: str) -> Act:
    """Return the waypoint controller that walks to a maze's evaluation goal and stays there."""

    def act(observations: np.ndarray) -> np.ndarray:
        goals = np.tile(MAZES[maze].goal, (len(observations), 1))
        return feedback(MAZES[maze], observations, goals)

    return act


def measure(act: Act, name: str, dataset_id: str) -> float:
    """Return the mean return of a policy in a dataset's environment, and show its error."""
    environment = environment_of(catalogue.find(dataset_id))
    with console.progress() as display:
        task = display.add_task(f"{dataset_id} {name}", total=EPISODES, rate="")
        rolled = rollout(
            act, environment, EPISODES, [0], lambda ended: display.advance(task, ended)
        )
    returns = rolled.returns[0]
    error = returns.std(ddof=1) / np.sqrt(EPISODES)
    console.output.print(f"{dataset_id} {name}: {returns.mean():.3f} (standard error {error:.3f})")
    return float(returns.mean())


def report(dataset_id: str, random: Act, expert: Act, experts_name: str) -> None:
    """Measure both ends and print the columns of one environment."""
    low, high = measure(random, "random", dataset_id), measure(expert, "expert", dataset_id)
    engine = engine_versions(environment_of(catalogue.find(dataset_id)).id)
    versions = " ".join(f"{name} {version}" for name, version in engine.items())
    console.output.print(
        f"{low:.2f},{high:.2f},mean return of {EPISODES} episodes of the random and the "
        f"{experts_name} controller (python -m datumrl.scripts.reference_scores; {versions})",
        soft_wrap=True,
    )


def main() -> None:
    """Print the measured reference scores."""
    random = sampling(recipes.PENDULUM_RANDOM.controller, 1)
    expert = sampling(recipes.PENDULUM_EXPERT.controller, 1)
    report("local/inverted-pendulum-random-v1", random, expert, "expert")
    for maze in MAZES:
        random = sampling(Uniform(bound=1.0, action_dim=2), 2)
        report(f"local/pointmaze-{maze}-v1", random, straight(maze), "noiseless waypoint")


if __name__ == "__main__":
    main()
