"""TD3+BC (Fujimoto and Gu 2021, A Minimalist Approach to Offline RL, arXiv:2106.06860).

TD3 (arXiv:1802.09477) with a behaviour cloning term in the actor's loss.  With states s normalised
over the dataset, policy pi, critics Q_1, Q_2, and targets pi', Q_1', Q_2':

    y           = r + gamma (1 - d) min_i Q_i'(s', pi'(s') + e),   e ~ clip(N(0, sigma), -c, c)
    L(Q_1, Q_2) = sum_i mean (Q_i(s, a) - y)^2
    L(pi)       = -lambda mean Q_1(s, pi(s)) + mean (pi(s) - a)^2                     (equation 5)
    lambda      = alpha / mean |Q_1(s, pi(s))|, a constant for the gradient           (equation 4)

Every `policy_freq` updates of the critics the actor is updated and all targets follow.  The mean
of the cloning term runs over batch and action dimensions, and Q_1's over the batch.  Defaults are
those of the official code (sfujim/TD3_BC).

Known departures from the official code: none in the mathematics.  Targets move by a linear
interpolation and both critics are computed as one batched product, which rounds differently.
max_action is a bound per action dimension; theirs is a number, equal for all their environments.

Differences of corl-team/CORL (td3_bc.py): none in an update; a run that it resumes goes on with
targets that are copies of the trained networks.  Of its values, which preset "corl" has, rewards
less 1 on AntMaze are not the paper's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from datumrl.algorithms.batches import Batch, RewardTransform, Transitions
from datumrl.algorithms.stack import Networks, Stack, Task, init_mlp, mlp
from datumrl.algorithms.streams import Draw
from datumrl.datasets.episodes import Episodes
from datumrl.datasets.views import View


@dataclass(frozen=True)
class Config:
    """Hyper-parameters; defaults from the official code."""

    steps: int = 1_000_000  # gradient steps of the critics
    batch_size: int = 256
    discount: float = 0.99  # gamma
    tau: float = 0.005  # rate at which targets follow
    policy_noise: float = 0.2  # sigma, in units of max_action
    noise_clip: float = 0.5  # c, in units of max_action
    policy_freq: int = 2  # critic updates per update of the actor and of all targets
    alpha: float = 2.5  # weight of the critic against behaviour cloning
    reward_transform: RewardTransform = "none"  # CORL: minus-one on AntMaze
    normalize_states: bool = True  # off for AntMaze (sfujim/TD3_BC#2)
    normalize_eps: float = 1e-3  # added to the standard deviation of each state dimension
    actor_lr: float = 3e-4
    critic_lr: float = 3e-4
    hidden_dims: tuple[int, ...] = (256, 256)  # of actor and critics, ReLU


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
    """Return what each update draws."""
    return {"target_policy": Draw((config.batch_size, task.action_dim))}


# --- Networks ---


def networks(config: Config, task: Task, generator: torch.Generator) -> Networks:
    """Return one seed's initial networks; targets start as copies."""
    state, action = task.observation_dim, task.action_dim
    actor = init_mlp(generator, (state, *config.hidden_dims, action))
    critic = init_mlp(generator, (state + action, *config.hidden_dims, 1), members=2)
    return {"actor": actor, "critic": critic, "actor_target": actor, "critic_target": critic}


def optimisers(config: Config) -> dict[str, dict[str, float]]:
    """Return Adam's options for each network that is trained."""
    return {"actor": {"lr": config.actor_lr}, "critic": {"lr": config.critic_lr}}


def policy(task: Task, actor: list[torch.Tensor], states: torch.Tensor) -> torch.Tensor:
    """Return actions (batch, action_dim)."""
    return task.max_action * torch.tanh(mlp(actor, states))


def q_values(
    critic: list[torch.Tensor], states: torch.Tensor, actions: torch.Tensor
) -> torch.Tensor:
    """Return the critics' values (2, batch), or (batch,) for the layers of one critic."""
    return mlp(critic, torch.cat([states, actions], dim=-1)).squeeze(-1)


# --- Losses, for one seed ---


def critic_loss(
    config: Config, task: Task, networks: Networks, batch: Batch, noise: dict[str, torch.Tensor]
) -> torch.Tensor:
    """Return L(Q_1, Q_2)."""
    with torch.no_grad():
        clip = config.noise_clip
        smoothing = (config.policy_noise * noise["target_policy"]).clamp(-clip, clip)
        following = policy(task, networks["actor_target"], batch.next_observations)
        following = following + task.max_action * smoothing
        following = torch.minimum(torch.maximum(following, -task.max_action), task.max_action)
        next_q = q_values(networks["critic_target"], batch.next_observations, following).amin(0)
        target = batch.rewards + config.discount * (1 - batch.terminals) * next_q
    q = q_values(networks["critic"], batch.observations, batch.actions)
    return (q - target).square().mean(dim=-1).sum()


def actor_loss(config: Config, task: Task, networks: Networks, batch: Batch) -> torch.Tensor:
    """Return L(pi)."""
    first_critic = [layer[0] for layer in networks["critic"]]
    actions = policy(task, networks["actor"], batch.observations)
    q = q_values(first_critic, batch.observations, actions)
    weight = config.alpha / q.abs().mean().detach()
    return -weight * q.mean() + (actions - batch.actions).square().mean()


# --- Update and act ---


def update(stack: Stack, batch: Batch, noise: dict[str, torch.Tensor], step: int) -> None:
    """Take one gradient step of the critics and, every ``policy_freq`` steps, of all the rest."""
    stack.minimise("critic", critic_loss, batch, noise)
    if step % stack.config.policy_freq == 0:
        stack.minimise("actor", actor_loss, batch)
        stack.follow("critic_target", "critic", stack.config.tau)
        stack.follow("actor_target", "actor", stack.config.tau)


def act(config: Config, task: Task, networks: Networks, observations: torch.Tensor) -> torch.Tensor:
    """Return the policy's actions for normalised observations."""
    return policy(task, networks["actor"], observations)
