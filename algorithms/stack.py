"""A stack of seeds: every parameter with a leading axis of seeds, every loss written without it.

A method's losses take one seed's networks and batch.  `Stack.minimise` maps them over the seeds
(``torch.vmap``), sums the losses, whose gradients do not mix, and takes one optimiser step for all.
Measured on TD3+BC (256x256, batch 256, CPU), a stack of 1 is 5% slower and stacks of 5 and 10 are
no slower than losses and layers written for stacks by hand (``baddbmm`` and means over the right
axes), and the losses read as the papers have them.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from datumrl.algorithms import allocator, many_rows, streams
from datumrl.algorithms.registry import Method

Layers = list[torch.Tensor]  # weight (out, in), bias (1, out), weight, bias...
Networks = dict[str, Layers]


@dataclass(frozen=True)
class Task:
    """What a method may know of the task beside its data."""

    observation_dim: int
    action_dim: int
    max_action: torch.Tensor  # (action_dim,): actions lie within plus and minus this


@dataclass
class Stack:
    """The state of training: one method's networks and optimisers for all seeds together."""

    config: Any
    task: Task
    seeds: tuple[int, ...]
    networks: Networks  # every tensor (seeds, ...)
    optimisers: dict[str, torch.optim.Adam]  # of the networks that are trained
    losses: dict[str, torch.Tensor] = field(default_factory=dict)  # the last ones, (seeds,) each
    products: torch.dtype | None = None  # factors of matrix products are rounded to this

    @classmethod
    def create(
        cls,
        method: Method,
        config: Any,
        task: Task,
        seeds: Sequence[int],
        dtype: torch.dtype = torch.float32,
    ) -> Stack:
        """Return untrained networks, each seed's from its own stream, on the device of the task."""
        device = task.max_action.device
        if device.type == "cpu":
            allocator.keep_freed_memory()
        # Always drawn on the CPU and in float32: a seed starts from the same point everywhere.
        each = [
            method.networks(
                config, task, streams.generator(seed, "networks", 0, torch.device("cpu"))
            )
            for seed in seeds
        ]
        networks = {
            name: [
                torch.stack(tensors).to(device, dtype)
                for tensors in zip(*(one[name] for one in each), strict=True)
            ]
            for name in each[0]
        }
        optimisers = {}
        for name, options in method.optimisers(config).items():
            parameters = [tensor.requires_grad_() for tensor in networks[name]]
            optimisers[name] = torch.optim.Adam(parameters, fused=True, **options)
        return cls(config, task, tuple(seeds), networks, optimisers)

    def minimise(
        self,
        name: str,
        loss: Callable[..., torch.Tensor],
        *inputs: Any,
        rate: float | None = None,
        clip: float | None = None,
    ) -> torch.Tensor | None:
        """Take one step of network ``name`` down ``loss(config, task, networks, *inputs)``.

        ``loss`` is written for one seed and returns a scalar; ``inputs`` have the axis of seeds.
        It may return a second tensor too, which is then returned for all seeds, detached.
        ``rate`` is this step's learning rate, where that changes from step to step; each seed's
        gradient is shortened to the norm ``clip`` where it is longer.
        """
        if rate is not None:
            for group in self.optimisers[name].param_groups:
                group["lr"] = rate
        one_seed = functools.partial(loss, self.config, self.task)
        with _products_in(self.products, learning=True):
            result = torch.vmap(one_seed)(self.networks, *inputs)
        values, more = result if isinstance(result, tuple) else (result, None)
        self.optimisers[name].zero_grad()
        # Other networks in the loss are constants: no gradients are computed for their weights.
        torch.autograd.backward(values.sum(), inputs=self.networks[name])
        if clip is not None:
            _clip_each([tensor.grad for tensor in self.networks[name]], clip)
        self.optimisers[name].step()
        self.losses[name] = values.detach()
        return None if more is None else more.detach()

    @torch.no_grad()
    def compute(self, function: Callable[..., Any], *inputs: Any) -> Any:
        """Return ``function(config, task, networks, *inputs)``, written for one seed, of all."""
        one_seed = functools.partial(function, self.config, self.task)
        with _products_in(self.products):
            return torch.vmap(one_seed)(self.networks, *inputs)

    @torch.no_grad()
    def follow(self, target: str, source: str, rate: float) -> None:
        """Move a target network towards its source: target <- (1 - rate) target + rate source."""
        torch._foreach_lerp_(self.networks[target], self.networks[source], rate)

    @torch.no_grad()
    def finite(self) -> torch.Tensor:
        """Return which seeds' parameters and last losses are all finite, (seeds,) bool."""
        fine = torch.ones(len(self.seeds), dtype=torch.bool, device=self.task.max_action.device)
        for tensor in self._tensors():
            fine &= tensor.isfinite().flatten(1).all(dim=1)
        return fine

    def _tensors(self) -> Iterator[torch.Tensor]:
        for layers in self.networks.values():
            yield from layers
        for values in self.losses.values():
            yield values[:, None]

    def state(self) -> dict[str, Any]:
        """Return everything that training changes, as tensors and plain values."""
        return {
            "networks": {
                name: [tensor.detach() for tensor in layers]
                for name, layers in self.networks.items()
            },
            "optimisers": {name: each.state_dict() for name, each in self.optimisers.items()},
            "losses": self.losses,
        }

    @torch.no_grad()
    def restore(self, state: dict[str, Any]) -> None:
        """Go back to what `state` returned."""
        for name, layers in self.networks.items():
            for tensor, saved in zip(layers, state["networks"][name], strict=True):
                tensor.copy_(saved)
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])
        self.losses = dict(state["losses"])


def init_mlp(
    generator: torch.Generator, sizes: Sequence[int], members: int | None = None
) -> Layers:
    """Return the layers of an MLP as ``torch.nn.Linear`` starts them: U(-1/sqrt(in), 1/sqrt(in)).

    With ``members``, an ensemble: every tensor has a leading axis of so many.
    """
    ensemble = () if members is None else (members,)
    layers = []
    for inputs, outputs in itertools.pairwise(sizes):
        for shape in ((outputs, inputs), (1, outputs)):
            uniform = torch.rand((*ensemble, *shape), generator=generator)
            layers.append((2 * uniform - 1) / inputs**0.5)
    return layers


def init_orthogonal_mlp(
    generator: torch.Generator, sizes: Sequence[int], members: int | None = None
) -> Layers:
    """Return the layers of an MLP with orthogonal weights of gain sqrt(2) and biases of zero.

    With ``members``, an ensemble: every tensor has a leading axis of so many.
    """
    ensemble = () if members is None else (members,)
    layers = []
    for inputs, outputs in itertools.pairwise(sizes):
        # In float64, whose rounding by machine and threads does not show in float32.
        weight = torch.empty((*ensemble, outputs, inputs), dtype=torch.float64)
        for member in weight.view(-1, outputs, inputs):
            torch.nn.init.orthogonal_(member, 2**0.5, generator)
        layers += [weight.float(), torch.zeros((*ensemble, 1, outputs))]
    return layers


def linear_warmup(rate: float, step: int, steps: int) -> float:
    """Return the learning rate of ``step``, from 1: it grows to ``rate`` over ``steps`` steps."""
    return rate if step >= steps else rate * (step / steps)


def cosine_decay(rate: float, step: int, steps: int) -> float:
    """Return the learning rate of ``step`` out of ``steps``: from ``rate`` at step 1 towards 0."""
    return rate * (1 + math.cos(math.pi * (step - 1) / steps)) / 2


def mlp(
    layers: Layers, inputs: torch.Tensor, masks: Sequence[torch.Tensor] | None = None
) -> torch.Tensor:
    """Return (rows, out) for inputs (rows, in): linear layers with ReLU between.

    An ensemble's layers give (members, rows, out).  ``masks``, (rows, width) for each hidden
    layer, multiply what its ReLU gives: dropout.
    """
    if _learning and masks is None and many_rows.serves(layers, inputs):
        return many_rows.mlp(layers, inputs)
    last = len(layers) - 2
    for place in range(0, last + 1, 2):
        # In place on a fresh product, which nothing else reads: less memory to go through.
        inputs = _rounded(inputs) @ _rounded(layers[place].mT)
        if place == last:  # before that, what the next product rounds may stay as it is
            inputs = inputs.to(layers[place].dtype)
        inputs = inputs.add_(layers[place + 1])
        if place < last:
            inputs = inputs.relu_()
            if masks is not None:
                inputs = inputs * masks[place // 2]
    return inputs


def product(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Return ``one @ other`` as exact as the stack asks; methods write their products with it.

    In bfloat16 the factors are rounded to 8 bits, sums are kept in float32, and the result is
    rounded before it becomes float32 again; so it is with the products of the gradients.
    """
    return (_rounded(one) @ _rounded(other)).to(one.dtype)


_product_type: torch.dtype | None = None  # what `_products_in` says
_learning = False  # whether a loss of whole float32 products is being mapped


@contextlib.contextmanager
def _products_in(dtype: torch.dtype | None, learning: bool = False) -> Iterator[None]:
    global _product_type, _learning
    before = _product_type, _learning
    _product_type, _learning = dtype, learning and dtype is None
    try:
        yield
    finally:
        _product_type, _learning = before


def _rounded(factor: torch.Tensor) -> torch.Tensor:
    return factor if _product_type is None else factor.to(_product_type)


@torch.no_grad()
def _clip_each(gradients: Sequence[torch.Tensor | None], largest: float) -> None:
    """Scale each seed's gradients, (seeds, ...), to a joint norm of at most ``largest``."""
    given = [gradient for gradient in gradients if gradient is not None]
    norms = torch.stack([torch.linalg.vector_norm(each.flatten(1), dim=1) for each in given])
    # As torch.nn.utils.clip_grad_norm_ does, 1e-6 included.
    factors = (largest / (torch.linalg.vector_norm(norms, dim=0) + 1e-6)).clamp(max=1.0)
    for each in given:
        each.mul_(factors.view(-1, *[1] * (each.dim() - 1)))
