"""An MLP of many rows in float32 on the CPU: every product of its own, by oneDNN.

CQL's critics see 31 actions a state, 7,936 rows an update, and their products are three quarters of
its time.  On one core oneDNN, which PyTorch brings along for its compiler, multiplies 1.2 times as
fast as MKL, and adds biases and cuts at zero on the way; results and gradients differ from those of
plain layers in the order of sums only.  Measured as CPU time on one thread, in turns with and
without: a CQL update takes 0.88 of the time.  With fewer rows than `FEWEST` nothing is gained.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch

FEWEST = 2048  # rows


def serves(layers: list[torch.Tensor], inputs: torch.Tensor) -> bool:
    """Return whether `mlp` takes these."""
    return (
        inputs.shape[-2] >= FEWEST
        and inputs.dtype == layers[0].dtype == torch.float32
        and inputs.device.type == "cpu"
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


def mlp(layers: list[torch.Tensor], inputs: torch.Tensor) -> torch.Tensor:
    """Return what `stack.mlp` returns without masks; only within ``torch.vmap``."""
    return _Mapped.apply(inputs, *layers)


class _Mapped(torch.autograd.Function):
    """Hands the tensors of all seeds to `_Stacked`: what is kept for gradients has no such axis."""

    @staticmethod
    def forward(inputs: torch.Tensor, *layers: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError("call it within torch.vmap")

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Keep nothing."""

    @staticmethod
    def vmap(
        info: Any, axes: tuple[int | None, ...], *tensors: torch.Tensor
    ) -> tuple[torch.Tensor, int]:
        inputs, *layers = (
            tensor.expand(info.batch_size, *tensor.shape)
            if axis is None
            else tensor.movedim(axis, 0)
            for tensor, axis in zip(tensors, axes, strict=True)
        )
        members = layers[0].dim() - inputs.dim()  # an ensemble's members may share their inputs
        inputs = inputs.reshape(len(inputs), *[1] * members, *inputs.shape[1:])
        return _Stacked.apply(inputs, *layers), 0


class _Stacked(torch.autograd.Function):
    """Inputs (seeds, ..., rows, in), each axis but the last two as long as the layers' or 1."""

    @staticmethod
    def forward(ctx: Any, inputs: torch.Tensor, *layers: torch.Tensor) -> torch.Tensor:
        leading, rows = layers[0].shape[:-2], inputs.shape[-2]
        everyone = inputs.expand(*leading, *inputs.shape[-2:])
        result = inputs.new_empty(*leading, rows, layers[-1].shape[-1])
        ctx.save_for_backward(*layers)
        ctx.shape, ctx.kept = inputs.shape, {}
        for place in itertools.product(*map(range, leading)):
            hidden = [everyone[place]]
            for weight, bias in zip(layers[:-2:2], layers[1:-2:2], strict=True):
                hidden.append(_product(hidden[-1], weight[place], bias[place][0], "relu"))
            torch.addmm(layers[-1][place], hidden[-1], layers[-2][place].mT, out=result[place])
            ctx.kept[place] = hidden
        return result

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        layers = ctx.saved_tensors
        found = [torch.empty_like(layer) for layer in layers]
        wanted = ctx.needs_input_grad[0]
        of_inputs = gradient.new_empty(*layers[0].shape[:-2], *ctx.shape[-2:]) if wanted else None
        for place, hidden in ctx.kept.items():
            each = gradient[place]
            for layer in range(len(hidden) - 1, -1, -1):
                weight = layers[2 * layer][place]
                torch.mm(each.mT, hidden[layer], out=found[2 * layer][place])
                torch.sum(each, 0, keepdim=True, out=found[2 * layer + 1][place])
                if layer:
                    each = _product(each, weight.mT.contiguous())
                    each = torch.ops.aten.threshold_backward(each, hidden[layer], 0)
                elif of_inputs is not None:
                    of_inputs[place] = each @ weight
        if of_inputs is not None:
            of_inputs = of_inputs.sum_to_size(ctx.shape)
        return of_inputs, *found


def _product(
    inputs: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    after: str = "none",
) -> torch.Tensor:
    """Return inputs @ weight.mT + bias, (rows, out), or what ReLU leaves of it."""
    return torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, after, [], "")
