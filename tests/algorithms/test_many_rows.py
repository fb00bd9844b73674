"""Networks of many rows give what plain layers give, forwards and backwards."""

from __future__ import annotations

import pytest
import torch

from datumrl.algorithms import many_rows, registry, stack
from datumrl.algorithms.batches import Batch
from datumrl.algorithms.stack import Layers, Stack, Task

ROWS = many_rows.FEWEST
STATES = 16


def stacked_layers(members: tuple[int, ...], sizes: tuple[int, ...]) -> Layers:
    generator = torch.Generator().manual_seed(0)
    drawn = [stack.init_mlp(generator, sizes, members[0] if members else None) for _ in range(3)]
    return [torch.stack(tensors).requires_grad_() for tensors in zip(*drawn, strict=True)]


def plainly(layers: Layers, inputs: torch.Tensor) -> torch.Tensor:
    """Return the networks' values by whole products in float64."""
    for place in range(0, len(layers), 2):
        inputs = inputs @ layers[place].mT + layers[place + 1]
        if place < len(layers) - 2:
            inputs = inputs.relu()
    return inputs


@pytest.mark.parametrize("members", [(), (2,)])
@pytest.mark.parametrize("shared", [True, False], ids=["one batch", "a batch each"])
def test_values_and_gradients_are_those_of_plain_layers(members, shared):
    layers = stacked_layers(members, (5, 16, 8, 2))
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn((3, ROWS + 3, 5), generator=generator)[: 1 if shared else 3]
    inputs.requires_grad_()
    axes = (0, None) if shared else (0, 0)
    given = inputs[0] if shared else inputs
    values = torch.vmap(many_rows.mlp, in_dims=axes)(layers, given)
    exact = [layer.detach().double().requires_grad_() for layer in layers]
    exact_inputs = inputs.detach().double().requires_grad_()
    spread = exact_inputs.view(-1, *[1] * len(members), *inputs.shape[1:])
    expected = plainly(exact, spread)
    torch.testing.assert_close(values.double(), expected, rtol=1e-5, atol=1e-6)
    found = torch.autograd.grad(values.square().mean(), [*layers, inputs])
    wanted = torch.autograd.grad(expected.square().mean(), [*exact, exact_inputs])
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-7)


def test_a_loss_takes_it_and_comes_to_the_same_parameters(monkeypatch):
    small = {"hidden_dims": "16,16", "critic_hidden_dims": "32,32", "batch_size": str(STATES)}
    method, config = registry.find("cql"), registry.resolve("cql", small)
    taken = []
    mlp = many_rows.mlp
    monkeypatch.setattr(many_rows, "mlp", lambda *given: taken.append(1) or mlp(*given))
    results = []
    for fewest in (31 * STATES, 10**9):
        monkeypatch.setattr(many_rows, "FEWEST", fewest)
        results.append(updated(method, config))
    assert len(taken) == 3  # the critics of each of three updates, with 31 actions a state
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


def updated(method, config) -> Layers:
    """Return the critics of two seeds after three updates with so many states."""
    task = Task(3, 2, torch.ones(2))
    trained = Stack.create(method, config, task, (0, 1))
    generator = torch.Generator().manual_seed(2)
    for step in range(3):
        batch = random_batch(generator)
        noise = {
            name: torch.randn((2, *draw.shape), generator=generator).sigmoid()
            for name, draw in method.noise(config, task).items()
        }
        method.update(trained, batch, noise, 10**6 + step)
    return [layer.detach().clone() for layer in trained.networks["critic"]]


def random_batch(generator: torch.Generator) -> Batch:
    def draw(*shape: int) -> torch.Tensor:
        return torch.randn((2, STATES, *shape), generator=generator)

    return Batch(draw(3), draw(2).tanh(), draw(), draw(3), torch.zeros(2, STATES))


@pytest.mark.parametrize(
    ("rows", "dtype"), [(ROWS - 1, torch.float32), (ROWS, torch.float64)], ids=["few", "float64"]
)
def test_other_inputs_take_plain_layers(rows, dtype):
    layers = [layer[0].detach().to(dtype) for layer in stacked_layers((), (5, 16, 2))]
    assert not many_rows.serves(layers, torch.zeros(rows, 5, dtype=dtype))
