"""The front door of the measures: datumrl.stats on catalogued datasets and on Episodes."""

import dataclasses
import json

import numpy as np
import pytest

import datumrl
from datumrl.datasets import catalogue, dataset_statistics, measures, places, prepared
from datumrl.datasets.episodes import episode_starts
from datumrl.datasets.errors import DatumrlError

MEDIUM, REPLAY = "local/hopper-medium-v1", "local/hopper-medium-replay-v1"


@pytest.fixture
def hopper(make_episodes):
    """A maker of Episodes of Hopper's widths: normal columns, episodes of 25 rows and a tail."""

    def make(name: str, rows: int = 210, seed: int = 0, **fields: object):
        rng = np.random.default_rng(seed)
        terminals = np.arange(rows) % 25 == 24
        content = {
            "id": name,
            "observations": rng.normal(size=(rows, 11)).astype(np.float32),
            "actions": rng.uniform(-1, 1, (rows, 3)).astype(np.float32),
            "rewards": rng.random(rows).astype(np.float32),
            "terminals": terminals,
            "timeouts": np.zeros(rows, bool),
            "starts": episode_starts(terminals, np.zeros(rows, bool)),
            "successors": np.zeros((0, 11), np.float32),
        }
        return make_episodes("", **{**content, **fields})

    return make


@pytest.fixture
def install(home, hopper):
    """Put generated columns where a local dataset's belong."""

    def write(name: str, **fields: object):
        episodes = hopper(name, **fields)
        prepared.write(places.local_folder(catalogue.find(name)), episodes, {})
        return episodes

    return write


def test_everything_of_a_catalogued_dataset(install):
    episodes, reference = install(MEDIUM, seed=1), install(REPLAY, seed=2)
    found = datumrl.stats(MEDIUM)
    assert (found.id, found.rows, found.episodes) == (MEDIUM, 210, 9)
    assert found.returns.distribution.count == 8
    assert found.returns.unfinished_rows == 10
    returns = episodes.returns()[:8]
    assert found.returns.distribution.mean == pytest.approx(returns.mean())
    scale = catalogue.find(MEDIUM).reference
    tq = (returns.mean() - scale.minimum) / (scale.maximum - scale.minimum)
    assert found.scores.tq == pytest.approx(tq)
    assert found.coverage.reference == found.imitation.reference == REPLAY
    assert found.dropped == {
        view: dict(episodes.transitions(view).dropped) for view in ("correct", "d4rl-legacy")
    }
    assert found == datumrl.stats(episodes, reference=reference)
    parsed = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert parsed["coverage"]["saco"] == found.coverage.saco
    assert parsed["entropy"] is None


def test_the_usual_reference_and_what_is_said_without_it(install):
    install(MEDIUM)
    found = datumrl.stats(MEDIUM)
    assert found.coverage.saco == 1.0
    assert found.coverage.reference == MEDIUM
    assert any(f"{REPLAY} is not here" in note for note in found.notes)
    usual = dataset_statistics.default_reference
    assert usual("d4rl/hopper-expert-v2") == "d4rl/hopper-medium-replay-v2"
    assert usual("d4rl/halfcheetah-medium-expert-v0") == "d4rl/halfcheetah-medium-replay-v0"
    assert usual("local/hopper-random-v1@100k") == "local/hopper-medium-replay-v1@100k"
    assert usual("local/hopper-random-v1@399k") == "local/hopper-medium-replay-v1@399k"
    for more in ("400k", "500k"):  # it has 400,000 rows
        assert usual(f"local/hopper-random-v1@{more}") == "local/hopper-medium-replay-v1"
    assert usual("d4rl/hopper-medium-replay-v2") is None
    assert usual("local/pointmaze-umaze-v1") is None
    assert usual("mine/anything") is None


def test_episodes_of_the_user_s_own(hopper):
    found = datumrl.stats(hopper("mine/hopper"), preset="paper", seed=3)
    assert "not in the catalogue" in found.scores.refused
    assert found.scores.tq is None
    assert (found.coverage.preset, found.imitation.seed) == ("paper", 3)
    policy = lambda states: (states[:, :3], np.ones((len(states), 3)))  # noqa: E731
    bounds = (np.full(3, -1.0), np.full(3, 1.0))
    found = datumrl.stats(hopper("mine/hopper"), policy=policy, action_bounds=bounds)
    assert 0 < found.entropy.value <= 1


def test_named_observations_with_images_and_discrete_actions(hopper):
    rng = np.random.default_rng(0)
    named = {
        "image": rng.integers(0, 3, (210, 4, 4, 3), dtype=np.uint8),
        "position": rng.normal(size=(210, 2)).astype(np.float32),
    }
    none = {name: values[:0] for name, values in named.items()}
    episodes = hopper(
        "mine/seen", observations=named, successors=none, actions=rng.integers(0, 4, 210)
    )
    found = datumrl.stats(episodes)
    assert found.coverage.unique_states == 210
    assert 0.5 < found.imitation.action_variance.value < 1
    assert found.duplicates.rows == 0
    for other in (hopper("mine/flat"), hopper("mine/flat", actions=np.zeros(210, np.int64))):
        with pytest.raises(DatumrlError, match="use a reference of the same environment"):
            datumrl.stats(episodes, reference=other)


def test_columns_in_memory_may_be_of_another_byte_order(hopper):
    ours = hopper("mine/here")
    names = ("observations", "actions", "rewards", "successors")
    swapped = {name: getattr(ours, name).astype(">f4") for name in names}
    assert datumrl.stats(dataclasses.replace(ours, **swapped)) == datumrl.stats(ours)


def test_a_similarity_that_is_not_so_by_construction_is_not_called_so(hopper):
    """Of few different states, which lie at distance 0 from many others."""
    told = ", so state similarity is that by construction"
    places = np.random.default_rng(0).integers(0, 9, 210)
    tied = hopper("mine/tied", observations=places, successors=places[:0])
    for episodes, expected in ((hopper("mine/hopper"), True), (tied, False)):
        found = datumrl.stats(episodes)
        (note,) = (each for each in measures.notes(found) if each.startswith("imitation:"))
        assert note.endswith(told) == expected
    assert (found.imitation.epsilon, found.imitation.state_similarity.value > 0.05) == (0, True)


@pytest.mark.parametrize(
    ("value", "error", "shown"),
    [
        (0.0123, 0.0004, "0.0123 ± 0.0004"),
        (3.2e-5, 1e-6, "0.000032 ± 0.000001"),
        (0.0, 0.0, "0.0000 ± 0.0000"),
        (0.25, 0.0, "0.2500 ± 0.0000"),
        (3.21e-9, 2e-10, "3.2e-09 ± 2e-10"),
        (1e-12, 2e-9, "1e-12 ± 2e-09"),
        (0.0, 2e-9, "0 ± 2e-09"),
        (0.5, 3e-10, "0.5 ± 3e-10"),
        (12.5, 3.0, "12.5000 ± 3.0000"),
    ],
)
def test_an_estimate_has_the_digits_that_its_error_needs(value, error, shown):
    assert measures.with_error(value, error) == shown


def test_one_row_and_no_rows(hopper):
    found = datumrl.stats(hopper("mine/one", rows=1))
    assert found.imitation is None
    assert found.returns.distribution.mean is None
    assert found.returns.unfinished_rows == 1
    assert found.coverage.unique_state_actions == 1
    with pytest.raises(DatumrlError, match="mine/none: has no rows"):
        datumrl.stats(hopper("mine/none", rows=0))
    with pytest.raises(DatumrlError, match="mine/none: has no rows to take limits from"):
        datumrl.stats(hopper("mine/some"), reference=hopper("mine/none", rows=0))


def test_references_that_do_not_fit(install, hopper):
    install(MEDIUM)
    with pytest.raises(DatumrlError, match=r"is of HalfCheetah-v4, no reference for .* of Hopper"):
        datumrl.stats(MEDIUM, reference="local/halfcheetah-medium-v1")
    with pytest.raises(DatumrlError, match="is of Walker2d-v4, no reference"):
        datumrl.stats(hopper(MEDIUM), reference=hopper("d4rl/walker2d-medium-v2"))
    with pytest.raises(DatumrlError, match="is not here; run `datumrl collect"):
        datumrl.stats(MEDIUM, reference=REPLAY)
    with pytest.raises(DatumrlError, match="unknown preset"):
        datumrl.stats(MEDIUM, preset="study")
    own = datumrl.stats(MEDIUM, reference=MEDIUM)
    assert own.coverage.saco == 1.0


def test_nans(hopper):
    episodes = hopper("mine/broken")
    observations, rewards = episodes.observations.copy(), episodes.rewards.copy()
    observations[4, 2], rewards[7] = np.nan, np.nan
    broken = dataclasses.replace(episodes, observations=observations)
    with pytest.raises(DatumrlError, match="no limits can be taken from it"):
        datumrl.stats(broken)
    found = datumrl.stats(broken, reference=hopper("mine/whole"))
    assert found.coverage.nan_values == 1
    assert found.imitation.left_out == 1
    with pytest.raises(DatumrlError, match="reward nan at row 7"):
        datumrl.stats(dataclasses.replace(episodes, rewards=rewards))


def test_progress_is_told_of(hopper):
    told = []
    datumrl.stats(
        hopper("mine/hopper"), progress=lambda what: lambda done, of: told.append((what, done, of))
    )
    assert ("mine/hopper: coverage", 210, 210) in told
    assert ("mine/hopper: duplicates", 210, 210) in told


@pytest.mark.parametrize("given", [np.zeros((3, 2)), 3, None])
def test_what_is_no_dataset_is_refused_by_name(hopper, given):
    with pytest.raises(DatumrlError, match="is no dataset; give its id, or the Episodes"):
        datumrl.stats(given)
    with pytest.raises(DatumrlError, match="5: is no dataset"):
        datumrl.stats(hopper("mine/some"), reference=5)
