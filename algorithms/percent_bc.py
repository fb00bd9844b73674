"""10% BC (Chen et al. 2021, Decision Transformer, arXiv:2106.01345): BC on the best episodes only.

Behavioural cloning as in `bc`, on the complete episodes of highest undiscounted return that make
up a fraction of the dataset.  With states s normalised over these episodes and policy pi:

    L(pi) = mean (pi(s) - a)^2

Which episodes: from the best downwards while they together have at most ``fraction`` of all rows
(the paper's code, kzl/decision-transformer), or that fraction of the number of episodes (CORL's
any_percent_bc.py); in both cases at least the best one.  Network and defaults are CORL's.

Known departures: the paper's code clones from the last 20 states with dropout 0.1 and normalises
by the whole dataset; here as in CORL a policy sees one state and is normalised by what it is
trained on.  CORL cuts episodes every 1000 rows; here they are the dataset's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from datumrl.algorithms.batches import Batch, Transitions, best_rows
from datumrl.algorithms.stack import Networks, Stack, Task, init_mlp, mlp
from datumrl.algorithms.streams import Draw
from datumrl.datasets.episodes import Episodes
from datumrl.datasets.views import View


@dataclass(frozen=True)
class Config:
    """Hyper-parameters; defaults from CORL, the choice of episodes from the paper's code."""

    steps: int = 1_000_000  # gradient steps
    batch_size: int = 256
    fraction: float = 0.1  # of the dataset, its best episodes
    fraction_of: Literal["rows", "episodes"] = "rows"  # the paper's code, or CORL
    normalize_states: bool = True
    normalize_eps: float = 1e-3  # added to the standard deviation of each state dimension
    actor_lr: float = 3e-4
    hidden_dims: tuple[int, ...] = (256, 256)  # of the actor, ReLU


def data(config: Config, episodes: Episodes, view: View, device: torch.device) -> Transitions:
    """Return the transitions to draw batches from."""
    best = best_rows(episodes, config.fraction, config.fraction_of)
    return Transitions(
        episodes, view, device, config.normalize_eps if config.normalize_states else None, keep=best
    )


def noise(config: Config, task: Task) -> dict[str, Draw]:
    """Return what each update draws: nothing."""
    return {}


# --- Networks ---


def networks(config: Config, task: Task, generator: torch.Generator) -> Networks:
    """Return one seed's initial networks."""
    state, action = task.observation_dim, task.action_dim
    return {"actor": init_mlp(generator, (state, *config.hidden_dims, action))}


def optimisers(config: Config) -> dict[str, dict[str, float]]:
    """Return Adam's options for each network that is trained."""
    return {"actor": {"lr": config.actor_lr}}


def policy(task: Task, actor: list[torch.Tensor], states: torch.Tensor) -> torch.Tensor:
    """Return actions (batch, action_dim)."""
    return task.max_action * torch.tanh(mlp(actor, states))


# --- Losses, for one seed ---


def actor_loss(config: Config, task: Task, networks: Networks, batch: Batch) -> torch.Tensor:
    """Return L(pi)."""
    actions = policy(task, networks["actor"], batch.observations)
    return (actions - batch.actions).square().mean()


# --- Update and act ---


def update(stack: Stack, batch: Batch, noise: dict[str, torch.Tensor], step: int) -> None:
    """Take one gradient step of the actor."""
    stack.minimise("actor", actor_loss, batch)


def act(config: Config, task: Task, networks: Networks, observations: torch.Tensor) -> torch.Tensor:
    """Return the policy's actions for normalised observations."""
    return policy(task, networks["actor"], observations)
