"""IQL (Kostrikov et al. 2021, Implicit Q-Learning, arXiv:2110.06169).

Values are learned from the dataset's actions alone, the best of them by an expectile, and the
policy clones actions by their advantage.  With value V, critics Q_1, Q_2, targets Q_1', Q_2', and
Gaussian policy pi:

    L(V)        = mean |tau - 1(u < 0)| u^2,   u = min_i Q_i'(s, a) - V(s)            (equation 5)
    L(pi)       = -mean min(exp(beta (min_i Q_i'(s, a) - V(s))), 100) log pi(a | s)    (equation 7)
    L(Q_1, Q_2) = sum_i mean (Q_i(s, a) - r - gamma (1 - d) V(s'))^2                   (equation 6)

Each update takes these in this order, the policy and the critics with the V just updated, and then
moves the targets.  The policy's mean is a tanh, its standard deviation does not depend on the
state; the mean acts in evaluation.  Defaults are those of the official code for locomotion
(ikostrikov/implicit_q_learning, JAX).

Known departures from the official code: the policy and its density are in units of max_action,
which is 1 in its environments.  Rewards are scaled by the returns of complete episodes; theirs lack
rows that D4RL drops and count an unfinished tail.

Differences of corl-team/CORL (iql.py): V before its update in all losses, Q's loss halved, actions
of the data not clipped, and networks as torch initialises them.  Of its bugs none is here: its
dropout does not reach a Gaussian policy (preset "corl" has none there).  In its values, which
preset "corl" has: log standard deviations from -20, states normalised, rewards scaled for two of
the Hopper datasets only, and for these a policy without deviations, whose loss is the weighted
squared distance from the action.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from datumrl.algorithms.batches import Batch, RewardTransform, Transitions
from datumrl.algorithms.stack import (
    Networks,
    Stack,
    Task,
    cosine_decay,
    init_orthogonal_mlp,
    mlp,
)
from datumrl.algorithms.streams import Draw
from datumrl.datasets.episodes import Episodes
from datumrl.datasets.views import View

LARGEST_WEIGHT = 100.0  # of an action in the policy's loss
LARGEST_ACTION = 1 - 1e-5  # of the data, in units of max_action


@dataclass(frozen=True)
class Config:
    """Hyper-parameters; defaults from the official code, for locomotion."""

    steps: int = 1_000_000  # gradient steps
    batch_size: int = 256
    discount: float = 0.99  # gamma
    tau: float = 0.005  # rate at which targets follow
    expectile: float = 0.7  # tau in the paper; AntMaze 0.9
    beta: float = 3.0  # inverse temperature; AntMaze 10, Adroit and Kitchen 0.5
    reward_transform: RewardTransform = "return-range"  # AntMaze minus-one, Adroit, Kitchen none
    normalize_states: bool = False  # CORL does
    normalize_eps: float = 1e-3  # added to the standard deviation of each state dimension
    actor_lr: float = 3e-4  # decays to 0 by a cosine over all steps
    value_lr: float = 3e-4
    critic_lr: float = 3e-4
    actor_dropout: float = 0.0  # share of the actor's hidden units; Adroit and Kitchen 0.1
    deterministic: bool = False  # a policy without deviations; CORL on two Hopper datasets
    log_std_min: float = -5.0  # of the policy, in units of max_action
    log_std_max: float = 2.0
    hidden_dims: tuple[int, ...] = (256, 256)  # of actor, value and critics, ReLU


def data(config: Config, episodes: Episodes, view: View, device: torch.device) -> Transitions:
    """Return the transitions to draw batches from."""
    return Transitions(
        episodes,
        view,
        device,
        config.normalize_eps if config.normalize_states else None,
        reward_transform=config.reward_transform,
    )


def noise(config: Config, task: Task) -> dict[str, Draw]:
    """Return what each update draws: U[0, 1) for every hidden unit that may be dropped."""
    if config.actor_dropout == 0:
        return {}
    return {
        f"dropout_{place}": Draw((config.batch_size, width), "uniform")
        for place, width in enumerate(config.hidden_dims)
    }


# --- Networks ---


def networks(config: Config, task: Task, generator: torch.Generator) -> Networks:
    """Return one seed's initial networks; targets start as copies."""
    state, action = task.observation_dim, task.action_dim
    actor = init_orthogonal_mlp(generator, (state, *config.hidden_dims, action))
    if not config.deterministic:
        actor.append(torch.zeros(action))  # log standard deviations
    value = init_orthogonal_mlp(generator, (state, *config.hidden_dims, 1))
    critic = init_orthogonal_mlp(generator, (state + action, *config.hidden_dims, 1), members=2)
    return {"actor": actor, "value": value, "critic": critic, "critic_target": critic}


def optimisers(config: Config) -> dict[str, dict[str, float]]:
    """Return Adam's options for each network that is trained."""
    return {
        "actor": {"lr": config.actor_lr},
        "value": {"lr": config.value_lr},
        "critic": {"lr": config.critic_lr},
    }


def policy_mean(
    actor: list[torch.Tensor], states: torch.Tensor, masks: list[torch.Tensor] | None = None
) -> torch.Tensor:
    """Return the policy's mean (batch, action_dim), in units of max_action."""
    layers = actor[: len(actor) // 2 * 2]  # weights and biases, without the deviations
    return torch.tanh(mlp(layers, states, masks))


def policy_log_std(config: Config, actor: list[torch.Tensor]) -> torch.Tensor:
    """Return the policy's log standard deviations (action_dim,), in units of max_action."""
    return actor[-1].clamp(config.log_std_min, config.log_std_max)


def v_values(value: list[torch.Tensor], states: torch.Tensor) -> torch.Tensor:
    """Return the states' values (batch,)."""
    return mlp(value, states).squeeze(-1)


def q_values(
    critic: list[torch.Tensor], states: torch.Tensor, actions: torch.Tensor
) -> torch.Tensor:
    """Return the critics' values (2, batch)."""
    return mlp(critic, torch.cat([states, actions], dim=-1)).squeeze(-1)


# --- Losses, for one seed ---


def target_q(config: Config, task: Task, networks: Networks, batch: Batch) -> torch.Tensor:
    """Return min_i Q_i'(s, a), (batch,), which L(V) and L(pi) share."""
    return q_values(networks["critic_target"], batch.observations, batch.actions).amin(0)


def value_loss(
    config: Config, task: Task, networks: Networks, batch: Batch, q: torch.Tensor
) -> torch.Tensor:
    """Return L(V)."""
    difference = q - v_values(networks["value"], batch.observations)
    weight = (config.expectile - (difference < 0).to(q.dtype)).abs()
    return (weight * difference.square()).mean()


def actor_loss(
    config: Config,
    task: Task,
    networks: Networks,
    batch: Batch,
    noise: dict[str, torch.Tensor],
    q: torch.Tensor,
) -> torch.Tensor:
    """Return L(pi); a deterministic policy has |a - pi(s)|^2 for -log pi(a | s)."""
    with torch.no_grad():
        advantage = q - v_values(networks["value"], batch.observations)
        weight = (config.beta * advantage).exp().clamp(max=LARGEST_WEIGHT)
    keep = 1 - config.actor_dropout
    masks = [(uniform < keep).to(uniform.dtype) / keep for uniform in noise.values()]
    mean = policy_mean(networks["actor"], batch.observations, masks or None)
    difference = batch.actions / task.max_action - mean
    if config.deterministic:
        return (weight * difference.square().sum(dim=-1)).mean()
    log_std = policy_log_std(config, networks["actor"])
    deviation = difference / log_std.exp()
    log_prob = -(deviation.square() / 2 + log_std + math.log(2 * math.pi) / 2).sum(dim=-1)
    return -(weight * log_prob).mean()


def critic_loss(config: Config, task: Task, networks: Networks, batch: Batch) -> torch.Tensor:
    """Return L(Q_1, Q_2)."""
    with torch.no_grad():
        next_v = v_values(networks["value"], batch.next_observations)
        target = batch.rewards + config.discount * (1 - batch.terminals) * next_v
    q = q_values(networks["critic"], batch.observations, batch.actions)
    return (q - target).square().mean(dim=-1).sum()


# --- Update and act ---


def update(stack: Stack, batch: Batch, noise: dict[str, torch.Tensor], step: int) -> None:
    """Take one gradient step of the value, the actor and the critics; the targets follow."""
    bound = LARGEST_ACTION * stack.task.max_action
    batch = batch._replace(actions=batch.actions.clamp(-bound, bound))
    q = stack.compute(target_q, batch)
    stack.minimise("value", value_loss, batch, q)
    rate = cosine_decay(stack.config.actor_lr, step, stack.config.steps)
    stack.minimise("actor", actor_loss, batch, noise, q, rate=rate)
    stack.minimise("critic", critic_loss, batch)
    stack.follow("critic_target", "critic", stack.config.tau)


def act(config: Config, task: Task, networks: Networks, observations: torch.Tensor) -> torch.Tensor:
    """Return the mean actions for normalised observations."""
    return task.max_action * policy_mean(networks["actor"], observations)
