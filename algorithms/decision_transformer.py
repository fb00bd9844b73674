"""Decision Transformer (Chen et al. 2021, arXiv:2106.01345): actions given the return wanted.

A causal transformer (GPT-2's blocks) reads the last K steps as tokens R_1, s_1, a_1, ..., R_K, s_K,
where the return-to-go R_t is the sum of rewards from step t on, and predicts each action from the
token of its state.  With f the transformer, over the steps of the dataset in K-step windows:

    L(f) = mean (f(R_{t-K+1}, s_{t-K+1}, a_{t-K+1}, ..., R_t, s_t) - a_t)^2

An evaluated policy is given a return to aim for, and R_{t+1} = R_t - r_t.  Every one of the targets
is evaluated and reported as an entry of its own; none is chosen by its score.  Defaults are those
of the official code for locomotion (kzl/decision-transformer, gym).

Known departures from the official code: windows that end with the episode are padded on the right,
where no step can see it, instead of on the left with a mask (the same predictions for every step).
In the last layer only the states' tokens go on, and the last action, which nothing predicts from,
is no token; predictions of states and returns, which it does not train, are left out.  The dropout
of embeddings follows ``dropout`` too (its code leaves it at 0.1).  Steps past ``max_timesteps`` are
an error in training, where its code clamps them; in evaluation both clamp.  An unfinished episode
at the end of a dataset is not learned from.

Differences of corl-team/CORL (dt.py): GELU, weights and embeddings from N(0, 0.02^2), K more
timestep embeddings (``max_timesteps``), the loss divided by the number of all places of a window,
also those after the episode's end (``loss_over``), evaluation always from the environment seed 42.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F

from datumrl.algorithms.sequence_batches import Subsequences, Windows
from datumrl.algorithms.stack import Layers, Networks, Stack, Task, init_mlp, linear_warmup, product
from datumrl.algorithms.streams import Draw
from datumrl.datasets.catalogue import DatasetRecord
from datumrl.datasets.episodes import Episodes
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.views import View

# environment, without its version -> returns to aim for, from the official code
RETURN_TARGETS = {
    "HalfCheetah": (12000.0, 6000.0),
    "Hopper": (3600.0, 1800.0),
    "Walker2d": (5000.0, 2500.0),
}
_EMBEDDING, _BLOCK = 9, 14  # tensors of the embedding, and of each layer
_STD = 0.02  # of the transformer's initial weights


@dataclass(frozen=True)
class Config:
    """Hyper-parameters; defaults from the official code, for locomotion."""

    steps: int = 100_000  # gradient steps
    batch_size: int = 64  # windows; CORL 4096, AntMaze 64
    context_length: int = 20  # K, in steps of three tokens
    layers: int = 3
    heads: int = 1
    embedding_dim: int = 128  # a multiple of the number of heads
    activation: Literal["relu", "gelu"] = "relu"  # CORL gelu
    dropout: float = 0.1  # of embeddings, attention weights, and what each layer adds
    max_timesteps: int = 1000  # timestep embeddings: no episode is longer
    return_targets: tuple[float, ...] | None = None  # see `completed`; every one is evaluated
    return_scale: float = 1000.0  # returns are divided by it; AntMaze 1 (CORL)
    loss_over: Literal["steps", "all"] = "steps"  # CORL all: places after the end count as zeros
    normalize_states: bool = True
    normalize_eps: float = 1e-6  # added to the standard deviation of each state dimension
    actor_lr: float = 1e-4  # CORL 8e-4, AntMaze 1e-4
    warmup_steps: int = 10_000  # over which the learning rate grows from 0
    weight_decay: float = 1e-4  # AdamW's, of all parameters
    gradient_clip: float = 0.25  # largest norm of a gradient


def completed(config: Config, dataset: DatasetRecord, episodes: Episodes | None = None) -> Config:
    """Return a configuration with targets: those given, or the official code's.

    Elsewhere they are the highest return of a complete episode and the middle between it and the
    lowest; without ``episodes`` they then stay None.
    """
    if config.return_targets is not None:
        return config
    environment = dataset.environment.id.partition("-")[0] if dataset.environment else ""
    targets = RETURN_TARGETS.get(environment)
    if targets is None:
        if episodes is None or not episodes.complete().any():
            return config
        returns = episodes.returns()[episodes.complete()]
        best, worst = float(returns.max()), float(returns.min())
        targets = (best, (best + worst) / 2)
    return dataclasses.replace(config, return_targets=targets)


def data(config: Config, episodes: Episodes, view: View, device: torch.device) -> Subsequences:
    """Return the windows to draw batches from; no view of transitions matters to them."""
    longest = int(episodes.lengths().max(initial=0))
    if longest > config.max_timesteps:
        raise DatumrlError(
            f"{episodes.id} has an episode of {longest} steps, but max_timesteps is "
            f"{config.max_timesteps}; use --set max_timesteps={longest}"
        )
    epsilon = config.normalize_eps if config.normalize_states else None
    return Subsequences(episodes, config.context_length, config.return_scale, device, epsilon)


def noise(config: Config, task: Task) -> dict[str, Draw]:
    """Return what each update draws: factors of 0 or 1 / (1 - dropout)."""
    if config.dropout == 0:
        return {}
    batch, steps = config.batch_size, config.context_length
    tokens = 3 * steps - 1
    shapes: dict[str, tuple[int, ...]] = {"embedding": (batch, tokens, config.embedding_dim)}
    for layer in range(config.layers):
        queries = steps if layer == config.layers - 1 else tokens
        shapes[f"weights_{layer}"] = (batch, config.heads, queries, tokens)
        shapes[f"attention_{layer}"] = (batch, queries, config.embedding_dim)
        shapes[f"mlp_{layer}"] = (batch, queries, config.embedding_dim)
    return {name: Draw(shape, "dropout", config.dropout) for name, shape in shapes.items()}


# --- Networks ---


def networks(config: Config, task: Task, generator: torch.Generator) -> Networks:
    """Return one seed's initial network.

    Embeddings and the action head start as torch starts them, the transformer as GPT-2 does.
    """
    width = config.embedding_dim
    if width % config.heads:
        raise DatumrlError(
            f"embedding_dim={width}: must be a multiple of heads={config.heads}, which share it"
        )

    def normal(outputs: int, inputs: int) -> Layers:
        weight = _STD * torch.randn((outputs, inputs), generator=generator)
        return [weight, torch.zeros(1, outputs)]

    def norm() -> Layers:
        return [torch.ones(width), torch.zeros(width)]

    actor = [torch.randn((config.max_timesteps, width), generator=generator)]
    for inputs in (1, task.observation_dim, task.action_dim):  # of return, state, action
        actor += init_mlp(generator, (inputs, width))
    actor += norm()
    for _ in range(config.layers):
        # Queries; keys and values; the way out of attention.
        actor += [*norm(), *normal(width, width), *normal(2 * width, width)]
        actor += [*normal(width, width), *norm()]
        actor += [*normal(4 * width, width), *normal(width, 4 * width)]
    return {"actor": [*actor, *norm(), *init_mlp(generator, (width, task.action_dim))]}


def optimisers(config: Config) -> dict[str, dict[str, Any]]:
    """Return the options that make Adam AdamW."""
    decay = {"weight_decay": config.weight_decay, "decoupled_weight_decay": True}
    return {"actor": {"lr": config.actor_lr, **decay}}


def linear(inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Return (..., out) for inputs (..., in), as one product."""
    outputs = product(inputs.flatten(0, -2), weight.mT).add_(bias)
    return outputs.unflatten(0, inputs.shape[:-1])


def norm(inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Return layer-normalised inputs (..., width)."""
    return F.layer_norm(inputs, inputs.shape[-1:], weight, bias)


def embedded(layers: Layers, windows: Windows) -> torch.Tensor:
    """Return the tokens R_1, s_1, a_1, ..., R_n, s_n: (batch, 3 n - 1, width)."""
    time, return_weight, return_bias, *others, norm_weight, norm_bias = layers
    returns = windows.returns_to_go[..., None] * return_weight[:, 0] + return_bias[0]
    states = linear(windows.observations, *others[:2])
    actions = linear(windows.actions, *others[2:])
    when = F.embedding(windows.timesteps, time)
    tokens = torch.stack([returns, states, actions], dim=-2) + when[..., None, :]
    return norm(tokens.flatten(1, 2)[:, :-1], norm_weight, norm_bias)


def attention(
    heads: int,
    queries: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    places: torch.Tensor,
    factors: torch.Tensor | None,
) -> torch.Tensor:
    """Return (batch, queries, width); a query sees the tokens up to its own place, (queries,)."""
    queries, keys, values = (
        each.unflatten(-1, (heads, -1)).transpose(1, 2) for each in (queries, keys, values)
    )
    later = torch.arange(keys.shape[2], device=places.device) > places[:, None]
    hidden = torch.zeros_like(later, dtype=queries.dtype).masked_fill_(later, -torch.inf)
    scores = product(queries, keys.mT)
    weights = torch.add(hidden, scores, alpha=queries.shape[-1] ** -0.5).softmax(dim=-1)
    if factors is not None:
        weights = weights * factors
    return product(weights, values).transpose(1, 2).flatten(2)


def block(
    config: Config,
    layers: Layers,
    tokens: torch.Tensor,
    kept: slice,
    dropout: Mapping[str, torch.Tensor],
    number: int,
) -> torch.Tensor:
    """Return one layer's output for the tokens that are kept, (batch, kept, width)."""
    norm_1, query, key_value, out, norm_2, mlp_in, mlp_out = zip(
        layers[::2], layers[1::2], strict=True
    )
    normed = norm(tokens, *norm_1)
    keys, values = linear(normed, *key_value).chunk(2, dim=-1)
    places = torch.arange(tokens.shape[1], device=tokens.device)[kept]
    factors = dropout.get(f"weights_{number}")
    queries = linear(normed[:, kept], *query)
    attended = attention(config.heads, queries, keys, values, places, factors)
    tokens = tokens[:, kept] + dropped(linear(attended, *out), dropout.get(f"attention_{number}"))
    hidden = linear(norm(tokens, *norm_2), *mlp_in)
    # Not in place: on a view, its gradient would be copied twice.
    hidden = F.relu(hidden) if config.activation == "relu" else F.gelu(hidden)
    return tokens + dropped(linear(hidden, *mlp_out), dropout.get(f"mlp_{number}"))


def dropped(values: torch.Tensor, factors: torch.Tensor | None) -> torch.Tensor:
    """Return values after dropout, if there is any."""
    return values if factors is None else values * factors


def predicted(
    config: Config,
    task: Task,
    actor: Layers,
    windows: Windows,
    dropout: Mapping[str, torch.Tensor],
    steps: slice = slice(None),
) -> torch.Tensor:
    """Return the actions (batch, steps, action_dim) that are predicted for some of the steps."""
    *body, norm_weight, norm_bias, weight, bias = actor
    tokens = dropped(embedded(body[:_EMBEDDING], windows), dropout.get("embedding"))
    length = windows.mask.shape[1]
    first, last, stride = steps.indices(length)
    of_states = slice(3 * first + 1, 3 * last, 3 * stride)
    for number in range(config.layers):
        layers = body[_EMBEDDING + _BLOCK * number :][:_BLOCK]
        kept = of_states if number == config.layers - 1 else slice(None)
        tokens = block(config, layers, tokens, kept, dropout, number)
    actions = linear(norm(tokens, norm_weight, norm_bias), weight, bias)
    return task.max_action * actions.tanh()


# --- Losses, for one seed ---


def actor_loss(
    config: Config,
    task: Task,
    networks: Networks,
    windows: Windows,
    dropout: Mapping[str, torch.Tensor],
) -> torch.Tensor:
    """Return L(f)."""
    actions = predicted(config, task, networks["actor"], windows, dropout)
    errors = (actions - windows.actions).square().mean(dim=-1) * windows.mask
    return errors.sum() / windows.mask.sum() if config.loss_over == "steps" else errors.mean()


# --- Update and act ---


def update(stack: Stack, windows: Windows, noise: dict[str, torch.Tensor], step: int) -> None:
    """Take one gradient step of the transformer."""
    rate = linear_warmup(stack.config.actor_lr, step, stack.config.warmup_steps)
    clip = stack.config.gradient_clip
    stack.minimise("actor", actor_loss, windows, noise, rate=rate, clip=clip)


def act(config: Config, task: Task, networks: Networks, windows: Windows) -> torch.Tensor:
    """Return the actions (batch, action_dim) of the last step; the last action given is unknown."""
    timesteps = windows.timesteps.clamp(max=config.max_timesteps - 1)
    windows = windows._replace(timesteps=timesteps)
    return predicted(config, task, networks["actor"], windows, {}, slice(-1, None))[:, 0]
