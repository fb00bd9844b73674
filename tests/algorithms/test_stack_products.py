"""Products of rounded factors: how close they are, and that parameters stay exact."""

from __future__ import annotations

import numpy as np
import torch

from datumrl.algorithms import stack, td3_bc
from datumrl.algorithms.stack import Stack, Task


def created(seeds=(0, 1), products=None):
    config = td3_bc.Config(hidden_dims=(64, 64), batch_size=32)
    result = Stack.create(td3_bc, config, Task(5, 2, torch.ones(2)), seeds)
    result.products = products
    return result


def test_rounded_products_are_within_the_precision_of_bfloat16():
    factors = torch.randn(2, 300, 200), torch.randn(2, 200, 100)
    exact = stack.product(*factors)
    assert torch.equal(exact, factors[0] @ factors[1])
    with stack._products_in(torch.bfloat16):
        rounded = stack.product(*factors)
    assert rounded.dtype == torch.float32
    error = ((rounded - exact).norm() / exact.norm()).item()
    assert 1e-4 < error < 2**-8


def test_updates_stay_close_and_in_float32(plain):
    # The batch is the same; so are the first losses, up to rounding, and the sign of Adam's step.
    exact, rounded = created(), created(products=torch.bfloat16)
    rng = np.random.default_rng(0)
    batch = type(plain.random_batch(rng, 2, 32, 5, [1.0, 1.0]))(
        *(field.float() for field in plain.random_batch(rng, 2, 32, 5, [1.0, 1.0]))
    )
    noise = {"target_policy": torch.zeros(2, 32, 2)}
    for step in (1, 2):
        for each in (exact, rounded):
            td3_bc.update(each, batch, noise, step)
    for name, values in exact.losses.items():
        torch.testing.assert_close(rounded.losses[name], values, rtol=0.03, atol=0.01)
        assert not torch.equal(rounded.losses[name], values)
    for name, layers in rounded.networks.items():
        for tensor, other in zip(layers, exact.networks[name], strict=True):
            assert tensor.dtype == torch.float32
            assert (tensor - other).abs().max() <= 4 * 3e-4  # two steps of Adam, each way
