"""Presets are the published values, every row of them can be used, and each value has a source."""

from __future__ import annotations

import itertools
from typing import get_type_hints

import pytest

from datumrl.algorithms import presets, registry
from datumrl.datasets.errors import DatumrlError

LOCOMOTION = ("halfcheetah", "hopper", "walker2d")


@pytest.mark.parametrize("table", [*presets.PRESETS, "defaults"])
def test_every_row_names_a_field_and_a_value_of_its_type(table):
    seen = set()
    for row in presets.rows(table):
        if row.field not in presets.RUN_DEFAULTS:
            registry.resolve(row.algorithm, {row.field: row.value})
        else:
            kind = type(presets.RUN_DEFAULTS[row.field])
            assert registry.checked(row.field, row.value, kind) == kind(row.value)
        assert row.source
        assert row.datasets
        key = (row.algorithm, row.datasets, row.field)
        assert key not in seen
        seen.add(key)


def test_the_sources_of_defaults_are_of_the_defaults():
    for row in presets.rows("defaults"):
        if row.field in presets.RUN_DEFAULTS:
            assert str(presets.RUN_DEFAULTS[row.field]) == row.value
        else:
            kind = get_type_hints(registry.find(row.algorithm).Config)[row.field]
            own = getattr(registry.resolve(row.algorithm, {}), row.field)
            assert own == registry.checked(row.field, row.value, kind), row


# From the published configuration files: what differs between datasets.
CORL = [
    ("iql", "d4rl/hopper-medium-v2", "tau", 0.001),
    ("iql", "d4rl/hopper-medium-v2", "deterministic", True),
    ("iql", "d4rl/hopper-medium-v2", "reward_transform", "return-range"),
    ("iql", "d4rl/hopper-medium-v2", "expectile", 0.7),
    ("iql", "d4rl/hopper-medium-v2", "beta", 3.0),
    ("iql", "d4rl/hopper-medium-v2", "normalize_states", True),
    ("iql", "d4rl/hopper-medium-v2", "log_std_min", -20.0),
    ("iql", "d4rl/hopper-medium-replay-v2", "tau", 0.001),
    ("iql", "d4rl/hopper-medium-expert-v2", "tau", 0.005),
    ("iql", "d4rl/hopper-medium-expert-v2", "beta", 6.0),
    ("iql", "d4rl/hopper-medium-expert-v2", "expectile", 0.5),
    ("iql", "d4rl/hopper-medium-expert-v2", "reward_transform", "none"),
    ("iql", "d4rl/walker2d-medium-v2", "reward_transform", "none"),
    ("iql", "d4rl/walker2d-medium-v2", "deterministic", False),
    ("iql", "d4rl/antmaze-umaze-v2", "reward_transform", "minus-one"),
    ("iql", "d4rl/antmaze-umaze-v2", "beta", 10.0),
    ("iql", "d4rl/antmaze-large-play-v2", "expectile", 0.9),
    ("iql", "d4rl/pen-human-v1", "actor_dropout", 0.0),  # its 0.1 reaches no Gaussian policy
    ("iql", "d4rl/pen-human-v1", "expectile", 0.8),
    ("iql", "d4rl/maze2d-umaze-v1", "actor_dropout", 0.0),
    ("td3_bc", "d4rl/antmaze-umaze-v2", "reward_transform", "minus-one"),
    ("td3_bc", "d4rl/antmaze-umaze-v2", "normalize_states", True),
    ("td3_bc", "d4rl/hopper-medium-v2", "reward_transform", "none"),
    ("percent_bc", "d4rl/hopper-medium-v2", "fraction_of", "episodes"),
    ("cql", "d4rl/hopper-medium-v2", "reward_transform", "return-range"),
    ("cql", "d4rl/walker2d-medium-v2", "min_q_weight", 10.0),
    ("cql", "d4rl/walker2d-medium-v2", "policy_lr", 3e-5),
    ("cql", "d4rl/antmaze-umaze-v2", "lagrange_threshold", 4.0),
    ("cql", "d4rl/antmaze-umaze-v2", "clip_diff_min", -200.0),
    ("cql", "d4rl/antmaze-umaze-v2", "critic_hidden_dims", (256, 256, 256)),
    ("cql", "d4rl/maze2d-large-v1", "lagrange_threshold", 50.0),
    ("cql", "d4rl/pen-human-v1", "min_q_weight", 1.0),
    ("dt", "d4rl/hopper-medium-v2", "batch_size", 4096),
    ("dt", "d4rl/hopper-medium-v2", "return_targets", (3600.0, 1800.0)),
    ("dt", "d4rl/antmaze-large-diverse-v2", "actor_lr", 1e-4),
    ("dt", "d4rl/antmaze-umaze-v2", "return_targets", (1.0, 0.5)),
    ("dt", "d4rl/pen-human-v1", "return_scale", 1.0),
    ("dt", "d4rl/antmaze-umaze-v2", "max_timesteps", 1020),  # its episodes have 1,001 rows
]
OFFICIAL = [
    ("iql", "d4rl/hopper-medium-v2", "reward_transform", "return-range"),
    ("iql", "d4rl/hopper-medium-v2", "normalize_states", False),
    ("iql", "d4rl/hopper-medium-v2", "tau", 0.005),
    ("iql", "d4rl/antmaze-umaze-v0", "expectile", 0.9),
    ("iql", "d4rl/antmaze-umaze-v0", "beta", 10.0),
    ("iql", "d4rl/antmaze-umaze-v0", "reward_transform", "minus-one"),
    ("iql", "d4rl/kitchen-complete-v0", "beta", 0.5),
    ("iql", "d4rl/door-human-v0", "actor_dropout", 0.1),
    ("td3_bc", "d4rl/antmaze-umaze-v0", "normalize_states", False),
    ("td3_bc", "d4rl/walker2d-random-v0", "normalize_states", True),
    ("cql", "d4rl/hopper-medium-v0", "steps", 3_000_000),
    ("cql", "d4rl/antmaze-umaze-v0", "reward_bias", -2.0),
    ("dt", "d4rl/walker2d-medium-v2", "return_targets", (5000.0, 2500.0)),
    ("bc", "d4rl/hopper-medium-v2", "context_length", 20),
    ("percent_bc", "d4rl/hopper-medium-v2", "dropout", 0.1),
    ("percent_bc", "d4rl/hopper-medium-v2", "hidden_dims", (128, 128, 128)),
    ("percent_bc", "d4rl/hopper-medium-v2", "statistics_of", "all"),
    ("percent_bc", "d4rl/hopper-medium-v2", "weight_decay", 1e-4),
    ("percent_bc", "d4rl/hopper-medium-v2", "warmup_steps", 10_000),
]


@pytest.mark.parametrize(
    ("preset", "algorithm", "dataset", "field", "value"),
    [("corl", *each) for each in CORL] + [("official", *each) for each in OFFICIAL],
)
def test_values_are_those_published(preset, algorithm, dataset, field, value):
    assert getattr(presets.choose(algorithm, dataset, preset).config, field) == value


def test_evaluation_is_as_published():
    told = presets.choose("iql", "d4rl/hopper-medium-v2", "corl")
    assert (told.evaluate_every, told.episodes, told.view) == (5000, 10, "d4rl-legacy")
    assert presets.choose("iql", "d4rl/antmaze-umaze-v2", "corl").episodes == 100
    assert presets.choose("td3_bc", "d4rl/maze2d-large-v1", "corl").episodes == 100
    official = presets.choose("iql", "d4rl/antmaze-umaze-v0", "official")
    assert (official.evaluate_every, official.episodes) == (100_000, 100)
    plain = presets.choose("iql", "d4rl/hopper-medium-v2")
    assert (plain.evaluate_every, plain.episodes, plain.view) == (5000, 10, "correct")


def test_the_42_datasets_of_corl_are_covered_and_nothing_else():
    kinds = ("random", "medium", "medium-replay", "medium-expert", "expert", "full-replay")
    ids = [f"d4rl/{body}-{kind}-v2" for body, kind in itertools.product(LOCOMOTION, kinds)]
    sizes = ("umaze", "umaze-diverse", "medium-play", "medium-diverse", "large-play")
    ids += [f"d4rl/antmaze-{size}-v2" for size in (*sizes, "large-diverse")]
    tasks = itertools.product(("pen", "door", "hammer", "relocate"), ("human", "cloned", "expert"))
    ids += [f"d4rl/{task}-{kind}-v1" for task, kind in tasks]
    ids += [f"d4rl/maze2d-{size}{d}-v1" for size in ("umaze", "large") for d in ("", "-dense")]
    for algorithm in ("td3_bc", "iql", "bc", "percent_bc", "cql"):
        for dataset in ids:
            fields = presets.values("corl", algorithm, dataset)
            assert {"steps", "batch_size", "episodes", "evaluate_every"} <= fields.keys()
    for dataset in ("d4rl/hopper-medium-v0", "d4rl/ant-medium-v2", "local/pointmaze-umaze-v1"):
        with pytest.raises(DatumrlError, match=rf"on {dataset}; it covers d4rl/halfcheetah-\*-v2"):
            presets.values("corl", "iql", dataset)


def test_an_algorithm_without_rows_and_an_unknown_preset_are_errors():
    with pytest.raises(DatumrlError, match="no values for my_own; it has them for td3_bc, iql"):
        presets.values("official", "my_own", "d4rl/hopper-medium-v2")
    with pytest.raises(DatumrlError, match="unknown preset 'coral'; did you mean 'corl'"):
        presets.choose("bc", "d4rl/hopper-medium-v2", "coral")


def test_what_is_given_goes_before_the_preset_and_is_recorded():
    dataset = "local/hopper-medium-v1@2k"
    told = presets.choose("iql", dataset, "corl", {"tau": "0.01", "beta": 3}, {"episodes": 5})
    assert (told.config.tau, told.config.deterministic, told.episodes) == (0.01, True, 5)
    assert told.preset == "corl except tau, episodes"  # beta is what the preset has
    assert told.origins["tau"] == presets.GIVEN
    assert told.origins["deterministic"].startswith("preset corl (corl-team/CORL@")
    assert "hopper/medium_v2.yaml" in told.origins["deterministic"]
    assert presets.choose("iql", dataset, "corl").preset == "corl"
    assert presets.choose("iql", dataset, None, {"tau": 1}).preset == "none"


def test_defaults_name_their_source():
    told = presets.choose("iql", "d4rl/hopper-medium-v2")
    assert told.origins["expectile"].startswith("default (ikostrikov/implicit_q_learning@")
    assert told.origins["view"] == "default, datumrl's own"
