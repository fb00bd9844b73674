"""CQL (Kumar et al. 2020, Conservative Q-Learning, arXiv:2006.04779), the variant CQL(H).

SAC (arXiv:1812.05905) whose critics are pushed down where the policy or chance would act and up
at the dataset's actions.  With policy pi, a Gaussian under a tanh, critics Q_1, Q_2, targets Q_1',
Q_2', temperature alpha, H = -action_dim, and samples a ~ pi(s), a' ~ pi(s'):

    L(alpha)    = -log alpha mean (log pi(a|s) + H)
    L(pi)       = mean (alpha log pi(a|s) - min_i Q_i(s, a)); while it clones,
                  mean (alpha log pi(a|s) - log pi(a_data|s))
    y           = r + gamma (1 - d) min_i Q_i'(s', a')
    D_i         = mean (log sum_j exp(Q_i(s, a_j) - log p_j(a_j)) - Q_i(s, a_data))  (equation 4)
    L(Q_1, Q_2) = sum_i mean (Q_i(s, a_data) - y)^2 + w D_i
    with Lagrange's multiplier: alpha' (w D_i - tau) in place of w D_i
    L(alpha')   = -alpha' mean_i (w D_i - tau)

The a_j are `n_actions` uniform ones, as many of pi(s), and as many of pi(s'), which are scored at s
too (aviralkumar2907/CQL#4), each with the density p_j it was drawn by; gradients pass through Q
only.  Each update takes alpha, then the policy with this alpha and the critics of before, then the
critics with the policy's samples of before, and alpha' with their D_i of before.  The policy's mean
acts in evaluation.  Defaults are the values that the official README recommends for locomotion.

Known departures from the official code (aviralkumar2907/CQL, d4rl): none in the mathematics for
max_action 1, but that targets start as copies, as CORL's do: its script makes them networks of
their own and never copies the critics into them.  The policy and its density are in units of
max_action.  Only the importance-sampled form with two critics, a tuned alpha and temperature 1 of
the log-sum-exp is kept: for another T the usual (Q - log p) / T does not weigh samples rightly
(young-geng/CQL#3).

Differences of corl-team/CORL (cql.py): alpha before its update in the policy's loss; alpha'
multiplies w (D_i - gap), which is tau = w gap here; the target of the backup by ten actions is the
largest of their smallest Q_i' (here and officially the smallest of the critics' largest); the exact
density of the tanh, the mean not bounded for cloning; orthogonal critics, biases from 0; an actor
as torch initialises it but for the last layer, Xavier's uniform of gain 0.01 (here rlkit's).  Of
its bugs none is here: its log_prob ignores the actions it is given, so that its warm-up cannot
clone; its `q_n_hidden_layers` reaches one critic of two; its reward scale and bias act only along
with `normalize_reward`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from datumrl.algorithms.batches import Batch, RewardTransform, Transitions
from datumrl.algorithms.stack import Layers, Networks, Stack, Task, mlp
from datumrl.algorithms.streams import Draw
from datumrl.datasets.episodes import Episodes
from datumrl.datasets.views import View

LOG_STD_MAX = 2.0  # in units of max_action
LARGEST_CLONED_MEAN = 9.0  # before the tanh
TANH_EPSILON = 1e-6  # keeps densities finite at actions of plus and minus max_action
LARGEST_ALPHA_PRIME = 1e6


@dataclass(frozen=True)
class Config:
    """Hyper-parameters; defaults from the official code, for locomotion."""

    steps: int = 1_000_000  # gradient steps; the official scripts take 3 million
    batch_size: int = 256
    discount: float = 0.99  # gamma
    tau: float = 0.005  # rate at which targets follow
    min_q_weight: float = 5.0  # w, alpha in the paper; or 10
    n_actions: int = 10  # of each of the three kinds, per state
    bc_steps: int = 40_000  # the policy clones before this step
    max_backup: bool = False  # y by the best of n_actions from pi(s'); CORL's AntMaze True
    backup_entropy: bool = False  # y less gamma (1 - d) alpha log pi(a'|s'), unless max_backup
    lagrange: bool = False  # tune alpha'; AntMaze True
    lagrange_threshold: float = 10.0  # tau in the paper; AntMaze 5
    log_alpha_prime_init: float = 0.0  # CORL 1
    clip_diff_min: float | None = (
        None  # lower bound of each state's term of D_i; CORL's AntMaze -200
    )
    log_std_min: float = -5.0  # in units of max_action; CORL -20
    log_std_offset: float = 0.0  # added to the network's log standard deviation; CORL -1
    reward_transform: RewardTransform = "none"  # CORL's hopper-medium return-range
    reward_scale: float = 1.0  # factor of transformed rewards; AntMaze 4, CORL's 10
    reward_bias: float = 0.0  # added after that; AntMaze -2, CORL's -5
    normalize_states: bool = False  # CORL does, but for AntMaze
    normalize_eps: float = 1e-3  # added to the standard deviation of each state dimension
    policy_lr: float = 1e-4  # of policy and alpha; or 3e-4, the paper 3e-5
    critic_lr: float = 3e-4  # of critics and alpha'
    hidden_dims: tuple[int, ...] = (256, 256, 256)  # of the actor, ReLU
    critic_hidden_dims: tuple[int, ...] = (256, 256, 256)  # ReLU


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
    batch, several, action = config.batch_size, config.n_actions, task.action_dim
    return {
        "policy": Draw((batch, action)),
        "backup": Draw((batch, several if config.max_backup else 1, action)),
        "uniform": Draw((batch, several, action), "uniform"),
        "current": Draw((batch, several, action)),
        "next": Draw((batch, several, action)),
    }


# --- Networks ---


def networks(config: Config, task: Task, generator: torch.Generator) -> Networks:
    """Return one seed's initial networks; targets start as copies."""
    state, action = task.observation_dim, task.action_dim
    sizes = (state + action, *config.critic_hidden_dims, 1)
    critic = init_rlkit_mlp(generator, sizes, last=3e-3, members=2)
    result = {
        "actor": init_rlkit_mlp(generator, (state, *config.hidden_dims, 2 * action), last=1e-3),
        "critic": critic,
        "critic_target": critic,
        "log_alpha": [torch.zeros(1)],
    }
    if config.lagrange:
        result["log_alpha_prime"] = [torch.full((1,), config.log_alpha_prime_init)]
    return result


def init_rlkit_mlp(
    generator: torch.Generator, sizes: Sequence[int], last: float, members: int | None = None
) -> Layers:
    """Return an MLP as rlkit starts them: U(-1/sqrt(out), 1/sqrt(out)), biases 0.1.

    The last layer is U(-last, last) with its bias.  With ``members``, an ensemble.
    """
    ensemble = () if members is None else (members,)
    layers = []
    for inputs, outputs in itertools.pairwise(sizes):
        shape = (*ensemble, outputs, inputs)
        weight = (2 * torch.rand(shape, generator=generator) - 1) / outputs**0.5
        layers += [weight, torch.full((*ensemble, 1, outputs), 0.1)]
    return layers[:-2] + [
        last * (2 * torch.rand(layer.shape, generator=generator) - 1) for layer in layers[-2:]
    ]


def optimisers(config: Config) -> dict[str, dict[str, float]]:
    """Return Adam's options for each network that is trained."""
    result = {
        "log_alpha": {"lr": config.policy_lr},
        "actor": {"lr": config.policy_lr},
        "critic": {"lr": config.critic_lr},
    }
    if config.lagrange:
        result["log_alpha_prime"] = {"lr": config.critic_lr}
    return result


def policy(
    config: Config, actor: Layers, states: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and log-std before the tanh, (batch, action_dim) each, in units of max_action."""
    mean, log_std = mlp(actor, states).chunk(2, dim=-1)
    return mean, (log_std + config.log_std_offset).clamp(config.log_std_min, LOG_STD_MAX)


def q_values(critic: Layers, states: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
    """Return the critics' values (2, batch, n) of n actions (batch, n, action_dim) per state."""
    batch, n, _ = actions.shape
    repeated = states[:, None, :].expand(batch, n, states.shape[-1])
    inputs = torch.cat([repeated, actions], dim=-1).flatten(0, 1)
    return mlp(critic, inputs).unflatten(-2, (batch, n)).squeeze(-1)


# --- Samples, for one seed ---


class Samples(NamedTuple):
    """Actions of the policy before the update, and what they were drawn with; no gradients."""

    log_prob: torch.Tensor  # (batch,) of the action that alpha and the policy learn from
    backup: torch.Tensor  # (batch, 1 or n_actions, action_dim) at the next states
    backup_log_prob: torch.Tensor  # (batch, 1 or n_actions)
    actions: torch.Tensor  # (batch, 3 n_actions, action_dim): uniform, of pi(s), of pi(s')
    log_density: torch.Tensor  # (batch, 3 n_actions)


def squashed(
    mean: torch.Tensor, log_std: torch.Tensor, noise: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return tanh(mean + std noise) (..., action_dim), within +-1, and its log density (...)."""
    actions = torch.tanh(mean + log_std.exp() * noise)
    return actions, log_density(noise, log_std, actions)


def log_density(
    deviation: torch.Tensor, log_std: torch.Tensor, actions: torch.Tensor
) -> torch.Tensor:
    """Return log pi (...) of actions within +-1 that lie ``deviation`` standard deviations off."""
    normal = -deviation.square() / 2 - log_std - math.log(2 * math.pi) / 2
    return (normal - torch.log(1 - actions.square() + TANH_EPSILON)).sum(dim=-1)


def sample(
    config: Config, task: Task, networks: Networks, batch: Batch, noise: dict[str, torch.Tensor]
) -> Samples:
    """Return every sample of an update, by one product of the actor for both kinds of states."""
    states = torch.cat([batch.observations, batch.next_observations])
    mean, log_std = policy(config, networks["actor"], states)
    size = len(batch.observations)
    here = mean[:size, None], log_std[:size, None]
    there = mean[size:, None], log_std[size:, None]
    _, log_prob = squashed(*here, noise["policy"][:, None])
    backup, backup_log_prob = squashed(*there, noise["backup"])
    uniform = 2 * noise["uniform"] - 1
    current, current_log_prob = squashed(*here, noise["current"])
    following, following_log_prob = squashed(*there, noise["next"])
    uniform_log_prob = torch.full_like(current_log_prob, -task.action_dim * math.log(2))
    return Samples(
        log_prob.squeeze(-1),
        task.max_action * backup,
        backup_log_prob,
        task.max_action * torch.cat([uniform, current, following], dim=-2),
        torch.cat([uniform_log_prob, current_log_prob, following_log_prob], dim=-1),
    )


# --- Losses, for one seed ---


def alpha_loss(config: Config, task: Task, networks: Networks, samples: Samples) -> torch.Tensor:
    """Return L(alpha)."""
    (log_alpha,) = networks["log_alpha"]
    return -(log_alpha * (samples.log_prob - task.action_dim)).mean()


def actor_loss(
    config: Config, task: Task, networks: Networks, batch: Batch, noise: dict[str, torch.Tensor]
) -> torch.Tensor:
    """Return L(pi) by the critics."""
    mean, log_std = policy(config, networks["actor"], batch.observations)
    actions, log_prob = squashed(mean, log_std, noise["policy"])
    proposed = (task.max_action * actions)[:, None]
    q = q_values(networks["critic"], batch.observations, proposed).amin(0).squeeze(-1)
    return (networks["log_alpha"][0].exp() * log_prob - q).mean()


def clone_loss(
    config: Config, task: Task, networks: Networks, batch: Batch, noise: dict[str, torch.Tensor]
) -> torch.Tensor:
    """Return L(pi) while it clones."""
    mean, log_std = policy(config, networks["actor"], batch.observations)
    _, log_prob = squashed(mean, log_std, noise["policy"])
    # Beyond the bound none has a density. No REVISION: without this, such a run has only failed.
    actions = (batch.actions / task.max_action).clamp(-1, 1)
    up, down = (1 + actions).clamp(min=TANH_EPSILON), (1 - actions).clamp(min=TANH_EPSILON)
    before_tanh = torch.log(up / down) / 2
    bounded = mean.clamp(-LARGEST_CLONED_MEAN, LARGEST_CLONED_MEAN)
    cloned = log_density((before_tanh - bounded) / log_std.exp(), log_std, actions)
    return (networks["log_alpha"][0].exp() * log_prob - cloned).mean()


def backup(
    config: Config, task: Task, networks: Networks, batch: Batch, samples: Samples
) -> torch.Tensor:
    """Return y, (batch,)."""
    target = networks["critic_target"]
    next_q = q_values(target, batch.next_observations, samples.backup).amax(-1).amin(0)
    if config.backup_entropy and not config.max_backup:
        next_q = next_q - networks["log_alpha"][0].exp() * samples.backup_log_prob.squeeze(-1)
    rewards = config.reward_scale * batch.rewards + config.reward_bias
    return rewards + config.discount * (1 - batch.terminals) * next_q


def critic_loss(
    config: Config,
    task: Task,
    networks: Networks,
    batch: Batch,
    samples: Samples,
    target: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return L(Q_1, Q_2), and w D_i - tau (2,), or w D_i without Lagrange's multiplier."""
    actions = torch.cat([batch.actions[:, None], samples.actions], dim=-2)
    q = q_values(networks["critic"], batch.observations, actions)
    data_q, other_q = q[..., 0], q[..., 1:]
    difference = torch.logsumexp(other_q - samples.log_density, dim=-1) - data_q
    if config.clip_diff_min is not None:
        difference = difference.clamp(min=config.clip_diff_min)
    penalty = config.min_q_weight * difference.mean(dim=-1)
    error = (data_q - target).square().mean(dim=-1)
    if not config.lagrange:
        return (error + penalty).sum(), penalty
    penalty = penalty - config.lagrange_threshold
    return (error + alpha_prime(networks).detach() * penalty).sum(), penalty


def alpha_prime(networks: Networks) -> torch.Tensor:
    """Return alpha', (1,)."""
    return networks["log_alpha_prime"][0].exp().clamp(max=LARGEST_ALPHA_PRIME)


def alpha_prime_loss(
    config: Config, task: Task, networks: Networks, penalty: torch.Tensor
) -> torch.Tensor:
    """Return L(alpha')."""
    return -(alpha_prime(networks) * penalty).mean()


# --- Update and act ---


def update(stack: Stack, batch: Batch, noise: dict[str, torch.Tensor], step: int) -> None:
    """Take one gradient step of alpha, the policy, the critics and alpha'; the targets follow."""
    samples = stack.compute(sample, batch, noise)
    stack.minimise("log_alpha", alpha_loss, samples)
    cloning = step < stack.config.bc_steps
    stack.minimise("actor", clone_loss if cloning else actor_loss, batch, noise)
    target = stack.compute(backup, batch, samples)
    penalty = stack.minimise("critic", critic_loss, batch, samples, target)
    if stack.config.lagrange:
        stack.minimise("log_alpha_prime", alpha_prime_loss, penalty)
    stack.follow("critic_target", "critic", stack.config.tau)


def act(config: Config, task: Task, networks: Networks, observations: torch.Tensor) -> torch.Tensor:
    """Return the mean actions for normalised observations."""
    return task.max_action * torch.tanh(policy(config, networks["actor"], observations)[0])
