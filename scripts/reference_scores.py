"""Measure what `datasets/tables/local.csv` holds: the returns that are scores 0 and 100.

python -m datumrl.scripts.reference_scores

Rolls out the random and the expert behaviour policy of InvertedPendulum-v4 as any policy is rolled
out, 1,000 episodes each, and prints the two columns and the origin to put beside them.
"""

from __future__ import annotations

import numpy as np

from datumrl.datasets import catalogue
from datumrl.evaluation import recipes
from datumrl.evaluation.environments import environment_of
from datumrl.evaluation.provenance import engine_versions
from datumrl.evaluation.rollout import rollout
from datumrl.scripts import console

EPISODES = 1_000


def measure(part: recipes.Part, dataset_id: str, episodes: int) -> np.ndarray:
    """Return the returns (episodes,) of a behaviour policy in a dataset's environment."""
    environment = environment_of(catalogue.find(dataset_id))
    generator = np.random.default_rng(0)

    def act(observations: np.ndarray) -> np.ndarray:
        noise = part.controller.noise(generator, (len(observations), 1))
        return part.controller.sample(observations, noise)[0]

    with console.progress() as display:
        task = display.add_task(part.name, total=episodes, rate="")
        return rollout(
            act, environment, episodes, [0], lambda ended: display.advance(task, ended)
        ).returns[0]


def main() -> None:
    """Print the measured reference scores."""
    ends = []
    for part in (recipes.PENDULUM_RANDOM, recipes.PENDULUM_EXPERT):
        returns = measure(part, "local/inverted-pendulum-random-v1", EPISODES)
        error = returns.std(ddof=1) / np.sqrt(EPISODES)
        console.output.print(f"{part.name}: {returns.mean():.3f} (standard error {error:.3f})")
        ends.append(f"{returns.mean():.2f}")
    versions = " ".join(f"{name} {version}" for name, version in engine_versions().items())
    console.output.print(
        f"{','.join(ends)},mean return of {EPISODES} episodes of the random and the expert "
        f"controller (python -m datumrl.scripts.reference_scores; {versions})",
        soft_wrap=True,
    )


if __name__ == "__main__":
    main()
