"""Fixtures of the trainers' tests: one thread, a small dataset, a toy problem."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from datumrl.algorithms.batches import Batch
from datumrl.datasets import catalogue
from datumrl.datasets.episodes import Episodes, episode_starts

DATASET = "local/inverted-pendulum-mixed-v1@2k"


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that holds DATASET."""
    from datumrl.evaluation.collector import collect

    home = tmp_path_factory.mktemp("collected")
    before = os.environ.get("DATUMRL_HOME")
    os.environ["DATUMRL_HOME"] = str(home)
    try:
        collect(catalogue.find(DATASET))
    finally:
        os.environ.pop("DATUMRL_HOME")
        if before is not None:
            os.environ["DATUMRL_HOME"] = before
    return home


@pytest.fixture
def home(collected: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DATUMRL_HOME of the test's own that holds DATASET."""
    folder = tmp_path / "home"
    shutil.copytree(collected, folder)
    monkeypatch.setenv("DATUMRL_HOME", str(folder))
    return folder


def toy_optimum(observations: np.ndarray) -> np.ndarray:
    """Return the best actions (n, 2) of the toy problem for observations (n, 2)."""
    return np.stack([observations[:, 0] - observations[:, 1], observations[:, 1]], axis=1) / 2


@pytest.fixture(scope="session")
def toy() -> Episodes:
    """A problem of single decisions: reward -|a - optimum(s)|^2, behaviour optimum + noise."""
    rng = np.random.default_rng(0)
    rows = 2000
    observations = rng.uniform(-1, 1, (rows, 2)).astype(np.float32)
    best = toy_optimum(observations)
    actions = np.clip(best + rng.normal(0, 0.4, best.shape), -1, 1).astype(np.float32)
    ends = np.arange(rows) % 5 == 4
    return Episodes(
        id="toy",
        observations=observations,
        actions=actions,
        rewards=-((actions - best) ** 2).sum(axis=1).astype(np.float32),
        terminals=np.ones(rows, bool),
        timeouts=np.zeros(rows, bool),
        starts=episode_starts(np.ones(rows, bool), ends),
        successor_rows=np.empty(0, np.int64),
        successors=np.empty((0, 2), np.float32),
        time_limit=5,
        timeouts_recorded=True,
    )


class Plain:
    """Pieces of plain statements: networks are lists [(W, b), ...] with W (out, in), float64."""

    class Adam:
        """Adam (arXiv:1412.6980, algorithm 1) on a list of tensors."""

        def __init__(self, parameters: list[torch.Tensor]) -> None:
            self.parameters, self.count = parameters, 0
            self.first = [torch.zeros_like(p) for p in parameters]
            self.second = [torch.zeros_like(p) for p in parameters]

        def descend(self, loss: torch.Tensor, rate: float) -> list[torch.Tensor]:
            """Take one step and return the gradients."""
            gradients = list(torch.autograd.grad(loss, self.parameters))
            self.count += 1
            for i, (p, g) in enumerate(zip(self.parameters, gradients, strict=True)):
                self.first[i] = 0.9 * self.first[i] + 0.1 * g
                self.second[i] = 0.999 * self.second[i] + 0.001 * g * g
                mean = self.first[i] / (1 - 0.9**self.count)
                square = self.second[i] / (1 - 0.999**self.count)
                with torch.no_grad():
                    p -= rate * mean / (square.sqrt() + 1e-8)
            return gradients

    @staticmethod
    def forward(net: list, x: torch.Tensor) -> torch.Tensor:
        """Return the output (out,) of one input (in,)."""
        for place, (weight, bias) in enumerate(net):
            x = torch.stack([(row * x).sum() for row in weight]) + bias
            if place < len(net) - 1:
                x = torch.where(x > 0, x, torch.zeros_like(x))
        return x

    @staticmethod
    def flat(net: list) -> list[torch.Tensor]:
        """Return W, b, W, b..."""
        return [p for pair in net for p in pair]

    @staticmethod
    def one_net(layers: list[torch.Tensor], *index: int) -> list:
        """Cut one network out of stacked layers."""
        tensors = [layer[index].detach().clone() for layer in layers]
        return [
            (w.requires_grad_(), b[0].clone().requires_grad_())
            for w, b in zip(tensors[::2], tensors[1::2], strict=True)
        ]

    @staticmethod
    def assert_same(layers: list[torch.Tensor], index: tuple, expected: list[torch.Tensor]) -> None:
        """Compare stacked tensors at an index with W, b, W, b... to 1e-8."""
        for layer, plain in zip(layers, expected, strict=True):
            found = layer[index].detach().reshape(plain.shape)
            np.testing.assert_allclose(found, plain.detach(), rtol=0, atol=1e-8)

    @staticmethod
    def random_batch(
        rng: np.random.Generator, seeds: int, batch: int, state: int, bounds: list[float]
    ) -> Batch:
        """Return a float64 batch for each seed; some actions lie at their bounds."""
        draw = torch.as_tensor
        actions = np.clip(1.2 * rng.uniform(-1, 1, (seeds, batch, len(bounds))), -1, 1) * bounds
        return Batch(
            draw(rng.normal(size=(seeds, batch, state))),
            draw(actions),
            draw(rng.normal(size=(seeds, batch))),
            draw(rng.normal(size=(seeds, batch, state))),
            draw((rng.random((seeds, batch)) < 0.3).astype(np.float64)),
        )


@pytest.fixture
def plain() -> type[Plain]:
    """Return what plain statements of methods are written with."""
    return Plain
