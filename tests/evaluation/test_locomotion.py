"""The locomotion suite: its policies ship, score what their cards say, and can be replayed."""

import importlib.resources
import json
from pathlib import Path

import numpy as np
import pytest

from datumrl.datasets import catalogue, files, prepared, scores
from datumrl.evaluation import actors, environments, locomotion, recipes
from datumrl.evaluation.collector import collect
from datumrl.evaluation.replay import replay
from datumrl.evaluation.rollout import rollout

POLICIES = Path(str(importlib.resources.files("datumrl.datasets"))) / "policies"
IDS = [record.id for record in catalogue.all_records() if record.id[6:] in locomotion.names()]
ENVIRONMENTS = sorted({locomotion.names()[name[6:]][0] for name in IDS})


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATUMRL_HOME", str(tmp_path))


def test_every_catalogued_dataset_has_a_recipe_of_policies_that_ship() -> None:
    assert len(IDS) == 5 * len(ENVIRONMENTS) > 0
    for name in IDS:
        recipe = recipes.recipe_for(catalogue.find(name))
        described = json.dumps(recipe.describe())
        assert described.count("sha256:") == sum(part.name != "random" for part in recipe.parts)
    assert len({recipes.recipe_for(catalogue.find(name)).seed for name in IDS}) == len(IDS)


def test_the_weights_are_small_and_the_ones_that_were_scored() -> None:
    shipped = list(POLICIES.rglob("*.safetensors"))
    assert sum(path.stat().st_size for path in shipped) < 6_000_000
    for environment in ENVIRONMENTS:
        card = files.read_json(POLICIES / environment / "card.json")
        for name, facts in card["policies"].items():
            assert files.sha256(POLICIES / environment / f"{name}.safetensors") == facts["sha256"]
        assert card["policies"]["expert"]["normalised_score"] >= 60
        third = card["policies"]["expert"]["normalised_score"] / 3
        assert abs(card["policies"]["medium"]["normalised_score"] - third) < 15


@pytest.mark.slow
@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("policy", ["medium", "expert"])
def test_a_policy_scores_what_its_card_says(environment: str, policy: str) -> None:
    record = catalogue.find(f"local/{environment}-{policy}-v1")
    facts = files.read_json(POLICIES / environment / "card.json")["policies"][policy]
    actor = actors.shipped(environment, policy)
    generator = np.random.default_rng(3)

    def act(observations: np.ndarray) -> np.ndarray:
        noise = actor.noise(generator, (len(observations), record.action_dim))
        return actor.sample(observations, noise)[0]

    returns = rollout(act, environments.environment_of(record), 20, [77]).returns[0]
    error = facts["std_return"] / np.sqrt(20)
    assert abs(returns.mean() - facts["mean_return"]) < 4 * error + 0.02 * facts["mean_return"]
    stated = scores.normalize(facts["mean_return"], record)
    assert stated == pytest.approx(facts["normalised_score"])


@pytest.mark.slow
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_replaying_stored_states_gives_the_stored_rewards(environment: str) -> None:
    record = catalogue.find(f"local/{environment}-medium-expert-v1@2k")
    collected = collect(record)
    episodes, extras = collected.episodes, prepared.read_extras(collected.folder)
    result = replay(episodes, extras, environments.environment_of(record), rows=200)
    assert result.quantiles("reward")["largest"] < 1e-9
    assert not result.termination.any()
    stored = np.asarray(extras["infos/reward"])[result.rows].astype(np.float32)
    np.testing.assert_array_equal(stored, episodes.rewards[result.rows])
