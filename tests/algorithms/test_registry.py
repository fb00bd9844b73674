"""Names and settings: the nearest is named, values are read as their field's type."""

from __future__ import annotations

import pytest

from datumrl.algorithms import registry, training
from datumrl.datasets import catalogue
from datumrl.datasets.errors import DatumrlError


@pytest.mark.parametrize("name", ["td3bc", "TD3+BC", "td3-bc", "td3_cb"])
def test_an_unknown_algorithm_names_the_nearest(name):
    with pytest.raises(DatumrlError, match=r"did you mean 'td3_bc'\?"):
        registry.find(name)


@pytest.mark.parametrize(
    ("name", "method"), [("10% BC", "percent_bc"), ("%BC", "percent_bc"), ("IQL", "iql")]
)
def test_a_name_of_the_papers_is_understood(name, method):
    with pytest.raises(DatumrlError, match=rf"did you mean '{method}'\?"):
        registry.find(name)


@pytest.mark.parametrize("name", ["xyz", "rebrac"])
def test_an_algorithm_like_none_lists_them(name):
    with pytest.raises(DatumrlError, match=f"'{name}'; known are td3_bc"):
        registry.find(name)


def test_text_is_read_as_the_type_of_its_field():
    config = registry.resolve(
        "td3_bc",
        {"alpha": "1", "batch_size": "64", "normalize_states": "False", "hidden_dims": "8,4"},
    )
    assert (config.alpha, config.batch_size, config.hidden_dims) == (1.0, 64, (8, 4))
    assert config.normalize_states is False
    assert registry.resolve("td3_bc", registry.configuration(config)) == config


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("alhpa", "1", "did you mean 'alpha'"),
        ("alpha", "big", "alpha=big: not of type float"),
        ("alpha", "nan", "finite"),
        ("alpha", -1.0, "not negative"),
        ("alpha", "-5", "alpha=-5: must be finite and not negative"),
        ("steps", "1.5e0", "not of type int"),
        ("batch_size", "0", "at least 1"),
        ("batch_size", 2.5, "not of type int"),
        ("batch_size", True, "not of type int"),
        ("discount", "1.5", "at most 1"),
        ("normalize_states", "maybe", "not of type bool"),
        ("hidden_dims", "8,x", "int,int"),
        ("hidden_dims", "", "int,int"),
        ("steps", float("inf"), "not of type int"),
    ],
)
def test_a_bad_setting_is_one_clear_error(field, value, message):
    with pytest.raises(DatumrlError, match=message):
        registry.resolve("td3_bc", {field: value})


@pytest.mark.parametrize("text", ["8,4", "[8,4]", "[8, 4]", "(8, 4)", "8,4,"])
def test_lists_with_and_without_brackets(text):
    assert registry.resolve("td3_bc", {"hidden_dims": text}).hidden_dims == (8, 4)


def test_scientific_notation():
    config = registry.resolve("td3_bc", {"steps": "1e6", "actor_lr": "3e-4", "alpha": "1E+1"})
    assert (config.steps, config.actor_lr, config.alpha) == (1_000_000, 0.0003, 10.0)
    assert type(config.steps) is int


def test_settings_are_field_equals_value_once():
    assert registry.parse_settings(["a=1", "b=x=y"]) == {"a": "1", "b": "x=y"}
    with pytest.raises(DatumrlError, match="no setting"):
        registry.parse_settings(["alpha"])
    with pytest.raises(DatumrlError, match="set it once"):
        registry.parse_settings(["alpha=1", "alpha=2"])


def test_a_choice_is_one_of_those_named():
    assert registry.resolve("iql", {"reward_transform": "none"}).reward_transform == "none"
    for value in ("nine", 3, None):
        with pytest.raises(DatumrlError, match="choose none or return-range or minus-one"):
            registry.resolve("iql", {"reward_transform": value})
    with pytest.raises(DatumrlError, match="fraction=10: must be at most 1"):
        registry.resolve("percent_bc", {"fraction": "10"})


@pytest.mark.parametrize(
    ("name", "settings", "fitting", "message"),
    [
        ("cql", {"steps": 20_000}, {"bc_steps": 0}, "bc_steps=40,000: cql .* bc_steps=0, as CORL"),
        ("dt", {"steps": 10_000}, {"warmup_steps": 1000}, "warmup_steps=10,000: .*steps=1000, a t"),
        ("bc", {"steps": 9, "warmup_steps": 9}, {"warmup_steps": 8}, "in all of its 9 steps"),
    ],
)
def test_a_run_that_ends_before_its_own_training_is_refused(name, settings, fitting, message):
    dataset = catalogue.find("local/hopper-medium-v1")
    with pytest.raises(DatumrlError, match=message):
        registry.completed(name, registry.resolve(name, settings), dataset)
    with pytest.raises(DatumrlError, match=message):
        training.plan(name, dataset.id, settings=settings)
    config = training.plan(name, dataset.id, settings={**settings, **fitting}).config
    assert vars(config).items() >= fitting.items()


def test_a_setting_may_be_for_one_of_several_methods():
    given = registry.parse_settings(["batch_size=64", "cql.bc_steps=0", "cql.batch_size=8"])
    assert registry.of_method("td3_bc", given) == {"batch_size": "64"}
    assert registry.of_method("cql", given) == {"batch_size": "8", "bc_steps": "0"}
    for method, size in (("td3_bc", 64), ("cql", 8)):
        planned = training.plan(method, "local/hopper-medium-v1", steps=20_000, settings=given)
        assert planned.config.batch_size == size
    with pytest.raises(DatumrlError, match="'cql' is none of td3_bc, iql"):
        registry.parse_settings(["cql.bc_steps=0"], ["td3_bc", "iql"])
