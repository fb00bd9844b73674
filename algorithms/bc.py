"""BC: behavioural cloning by a deterministic policy, as corl-team/CORL has it (any_percent_bc).

The supervised half of TD3+BC (arXiv:2106.06860), with its network and its cloning term.  With
states s normalised over the dataset and policy pi:

    L(pi) = mean (pi(s) - a)^2

The mean runs over batch and action dimensions.  There is no one official code; defaults are those
of CORL, which are TD3+BC's where it has them.  The policy of Decision Transformer's baselines
(arXiv:2106.01345, kzl/decision-transformer, the preset "official") sees its last 20 states, with
dropout, AdamW and a learning rate that grows at first; see `percent_bc` for what of it is left out.

Known departures from CORL: none in the mathematics for its ``frac`` of 1; for less see
`percent_bc`.  Its target network, which follows the policy and is read by nothing, is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from datumrl.algorithms.batches import Batch, Transitions
from datumrl.algorithms.sequence_batches import LastStates, StackedStates, Subsequences
from datumrl.algorithms.stack import Layers, Networks, Stack, Task, init_mlp, linear_warmup, mlp
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
    context_length: int = 1  # states that the policy sees; kzl/decision-transformer 20
    dropout: float = 0.0  # share of the hidden units; kzl/decision-transformer 0.1
    weight_decay: float = 0.0  # AdamW's, of all parameters; kzl/decision-transformer 1e-4
    warmup_steps: int = 0  # over which the learning rate grows from 0; 10,000 there


def data(
    config: Config, episodes: Episodes, view: View, device: torch.device
) -> Transitions | StackedStates:
    """Return the transitions to draw batches from, or the windows, which know no view."""
    epsilon = config.normalize_eps if config.normalize_states else None
    if config.context_length == 1:
        return Transitions(episodes, view, device, epsilon)
    return StackedStates(Subsequences(episodes, config.context_length, 1.0, device, epsilon))


def noise(config: Config, task: Task) -> dict[str, Draw]:
    """Return what each update draws: factors of 0 or 1 / (1 - dropout) of hidden units."""
    if config.dropout == 0:
        return {}
    return {
        f"dropout_{place}": Draw((config.batch_size, width), "dropout", config.dropout)
        for place, width in enumerate(config.hidden_dims)
    }


# --- Networks ---


def networks(config: Config, task: Task, generator: torch.Generator) -> Networks:
    """Return one seed's initial networks."""
    states, action = config.context_length * task.observation_dim, task.action_dim
    return {"actor": init_mlp(generator, (states, *config.hidden_dims, action))}


def optimisers(config: Config) -> dict[str, dict[str, Any]]:
    """Return Adam's options; with weight decay they make it AdamW."""
    decay = {"weight_decay": config.weight_decay, "decoupled_weight_decay": True}
    return {"actor": {"lr": config.actor_lr, **decay}}


def policy(
    task: Task, actor: Layers, states: torch.Tensor, masks: list[torch.Tensor] | None = None
) -> torch.Tensor:
    """Return actions (batch, action_dim)."""
    return task.max_action * torch.tanh(mlp(actor, states, masks))


# --- Losses, for one seed ---


def actor_loss(
    config: Config,
    task: Task,
    networks: Networks,
    batch: Batch | LastStates,
    noise: dict[str, torch.Tensor],
) -> torch.Tensor:
    """Return L(pi)."""
    masks = [noise[f"dropout_{place}"] for place in range(len(noise))]
    actions = policy(task, networks["actor"], batch.observations, masks or None)
    return (actions - batch.actions).square().mean()


# --- Update and act ---


def update(
    stack: Stack, batch: Batch | LastStates, noise: dict[str, torch.Tensor], step: int
) -> None:
    """Take one gradient step of the actor."""
    rate = linear_warmup(stack.config.actor_lr, step, stack.config.warmup_steps)
    stack.minimise("actor", actor_loss, batch, noise, rate=rate)


def act(config: Config, task: Task, networks: Networks, observations: torch.Tensor) -> torch.Tensor:
    """Return the policy's actions for normalised observations, or for its last ones in a row."""
    return policy(task, networks["actor"], observations)
