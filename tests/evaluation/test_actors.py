"""The numpy actor against torch's own distributions."""

import itertools

import numpy as np
import pytest
import torch

from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import actors


def random_weights(generator: np.random.Generator, sizes=(5, 16, 8), actions=3) -> dict:
    weights = {}
    for layer, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        weights[f"hidden.{layer}.weight"] = generator.normal(size=(outputs, inputs))
        weights[f"hidden.{layer}.bias"] = generator.normal(size=outputs)
    for head in ("mean", "log_std"):
        weights[f"{head}.weight"] = 0.1 * generator.normal(size=(actions, sizes[-1]))
        weights[f"{head}.bias"] = generator.normal(size=actions)
    return {name: array.astype(np.float32) for name, array in weights.items()}


@pytest.fixture
def weights() -> dict:
    return random_weights(np.random.default_rng(0))


def stated_in_torch(weights: dict, observations: np.ndarray) -> torch.distributions.Distribution:
    features = torch.from_numpy(observations)
    for layer in range(2):
        weight = torch.from_numpy(weights[f"hidden.{layer}.weight"])
        bias = torch.from_numpy(weights[f"hidden.{layer}.bias"])
        features = torch.relu(torch.nn.functional.linear(features, weight, bias))
    mean, log_std = (
        torch.nn.functional.linear(
            features,
            torch.from_numpy(weights[f"{head}.weight"]),
            torch.from_numpy(weights[f"{head}.bias"]),
        )
        for head in ("mean", "log_std")
    )
    normal = torch.distributions.Normal(mean.double(), log_std.clamp(-20, 2).exp().double())
    return torch.distributions.TransformedDistribution(
        normal, [torch.distributions.TanhTransform(cache_size=1)]
    )


def test_samples_and_log_probabilities_are_those_of_torch(weights: dict) -> None:
    generator = np.random.default_rng(1)
    observations = generator.normal(size=(50, 5)).astype(np.float32)
    noise = generator.standard_normal((50, 3))
    actions, log_probabilities = actors.from_weights(weights, "w").sample(observations, noise)
    stated = stated_in_torch(weights, observations)
    raw = stated.base_dist.loc + stated.base_dist.scale * torch.from_numpy(noise)
    expected = torch.tanh(raw)
    assert actions.dtype == np.float32
    np.testing.assert_allclose(actions, expected.numpy(), atol=1e-5)
    inside = (expected.abs() < 1 - 1e-6).all(-1).numpy()
    assert inside.sum() > 20
    np.testing.assert_allclose(
        log_probabilities[inside], stated.log_prob(expected).sum(-1).numpy()[inside], atol=1e-3
    )
    assert np.isfinite(log_probabilities).all()


def test_the_mode_is_the_sample_without_noise(weights: dict) -> None:
    observations = np.random.default_rng(2).normal(size=(4, 5)).astype(np.float32)
    actor = actors.from_weights(weights, "w")
    np.testing.assert_allclose(
        actor.mode(observations), actor.sample(observations, np.zeros((4, 3)))[0], atol=1e-6
    )


def test_a_file_without_a_layer_is_refused(weights: dict) -> None:
    del weights["log_std.bias"]
    with pytest.raises(DatumrlError, match=r"no array 'log_std\.bias'"):
        actors.from_weights(weights, "w")


def test_a_policy_that_does_not_ship_is_an_error() -> None:
    with pytest.raises(DatumrlError, match="no behaviour policy 'best' for 'hopper'"):
        actors.shipped("hopper", "best")
