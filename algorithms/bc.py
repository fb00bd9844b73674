"""BC: behavioural cloning by a deterministic policy, as corl-team/CORL has it (any_percent_bc).

The supervised half of TD3+BC (arXiv:2106.06860), with its network and its cloning term.  With
states s normalised over the dataset and policy pi:

    L(pi) = mean (pi(s) - a)^2

The mean runs over batch and action dimensions.  There is no one official code; defaults are those
of CORL, which are TD3+BC's where it has them.

Known departures from CORL: none in the mathematics for its ``frac`` of 1; for less see
`percent_bc`.  Its target network, which follows the policy and is read by nothing, is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from datumrl.algorithms.batches import Batch, Transitions
from datumrl.algorithms.stack import Networks, Stack, Task, init_mlp, mlp
from datumrl.algorithms.streams import Draw
from datumrl.datasets.episodes import Episodes
from datumrl.datasets.views import View


@dataclass(frozen=True)
class Config:
    """Hyper-parameters; defaults from CORL."""

    steps: int = 1_000_000  # gradient steps
    batch_size: int = 256
    normalize_states: bool = True
    normalize_eps: float = 1e-3  # added to the standard deviation of each state dimension
    actor_lr: float = 3e-4
    hidden_dims: tuple[int, ...] = (256, 256)  # of the actor, ReLU


def data(config: Config, episodes: Episodes, view: View, device: torch.device) -> Transitions:
    """Return the transitions to draw batches from."""
    return Transitions(
        episodes, view, device, config.normalize_eps if config.normalize_states else None
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
