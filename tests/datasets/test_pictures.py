"""The numbers behind pictures: counts of the sample, in the frame that the labels tell of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from datumrl.datasets import catalogue, pictures
from datumrl.datasets.episodes import Episodes
from datumrl.datasets.errors import DatumrlError

MAZE = catalogue.find("local/pointmaze-umaze-v1")


@pytest.fixture
def with_columns(make_episodes: Callable[..., Episodes]) -> Callable[..., Episodes]:
    def make(observations: object, actions: np.ndarray | None = None, **more: object) -> Episodes:
        first = next(iter(observations.values())) if isinstance(observations, dict) else None
        rows = len(observations if first is None else first)
        empty = (
            {name: part[:0] for name, part in observations.items()}
            if isinstance(observations, dict)
            else observations[:0]
        )
        made = make_episodes("-" * rows, **more)
        actions = np.zeros((rows, 1), np.float32) if actions is None else actions
        return replace(made, observations=observations, successors=empty, actions=actions)

    return make


def normal(rows: int, dims: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(rows, dims)) @ rng.normal(size=(dims, dims))).astype(np.float32)


def test_components_are_those_of_a_singular_value_decomposition(with_columns) -> None:
    states = normal(3000, 4)
    states[:, 2] = 7.0  # constant: left out
    (found,) = pictures.pictures([with_columns(states)], [None])
    kept = states[:, [0, 1, 3]].astype(np.float64)
    standard = (kept - kept.mean(0)) / kept.std(0)
    _, values, axes = np.linalg.svd(standard, full_matrices=False)
    axes = axes[:2] * np.sign([axis[np.abs(axis).argmax()] for axis in axes[:2]])[:, None]
    projected = standard @ axes.T
    share = 100 * values[0] ** 2 / (values**2).sum()
    assert found.plane.labels[0] == f"component 1, deviations ({share:.0f} % of variance)"
    counts = np.zeros((pictures.CELLS, pictures.CELLS), int)
    x_edges, y_edges = (
        np.linspace(*np.quantile(column, [0.001, 0.999]), pictures.CELLS + 1)
        for column in projected.T
    )
    for x, y in projected:
        column = min(max(np.searchsorted(x_edges, x, side="right") - 1, 0), pictures.CELLS - 1)
        row = min(max(np.searchsorted(y_edges, y, side="right") - 1, 0), pictures.CELLS - 1)
        counts[row, column] += 1
    assert np.abs(np.array(found.plane.counts) - counts).sum() <= 4  # ties of rounding at edges
    assert np.sum(found.plane.counts) == 3000
    np.testing.assert_allclose(found.plane.x_edges, x_edges, rtol=1e-3, atol=1e-3)


def test_a_maze_is_seen_from_above(with_columns) -> None:
    states = normal(500, 4)
    (found,) = pictures.pictures([with_columns(states, id=MAZE.id)], [MAZE])
    assert found.plane.labels == ("x, units of the environment", "y, units of the environment")
    assert found.plane.square
    low, high = states[:, 0].min(), states[:, 0].max()
    np.testing.assert_allclose([found.plane.x_edges[0], found.plane.x_edges[-1]], [low, high], 1e-4)
    by_column = np.histogram(states[:, 0], np.linspace(low, high, pictures.CELLS + 1))[0]
    assert np.abs(np.sum(found.plane.counts, axis=0) - by_column).sum() <= 4


def test_a_maze_with_named_observations_shows_the_position(with_columns) -> None:
    named = {"achieved_goal": normal(50, 2), "observation": 100 * normal(50, 4)}
    (found,) = pictures.pictures([with_columns(named, id="mine/pointmaze-v0")], [None])
    assert found.plane.square
    assert abs(found.plane.x_edges[0]) < 20


def test_sets_side_by_side_share_one_plane(with_columns) -> None:
    sets = [with_columns(normal(600, 3, seed), id=f"mine/a-v{seed}") for seed in (1, 2)]
    record = catalogue.find("d4rl/hopper-medium-v2")
    first, second = pictures.pictures(sets, [record, record])
    assert first.plane.x_edges == second.plane.x_edges
    assert first.plane.counts != second.plane.counts
    assert "all sets" in first.plane.labels[0]
    (alone,) = pictures.pictures(sets[:1], [record])
    assert alone.plane.labels != first.plane.labels
    # Of other environments, they do not.
    apart = pictures.pictures(sets, [None, None])
    assert apart[0].plane == alone.plane


def test_the_sample_is_seeded(with_columns, monkeypatch) -> None:
    monkeypatch.setattr(pictures, "SAMPLE", 100)
    states = with_columns(normal(1000, 3))
    one, again, other = (pictures.pictures([states], [None], seed)[0] for seed in (0, 0, 1))
    assert one == again
    assert one.plane != other.plane
    assert (one.sampled_rows, np.sum(one.plane.counts)) == (100, 100)


@pytest.mark.parametrize(
    ("observations", "why"),
    [
        (np.zeros((9, 8, 8, 3), np.uint8), "uint8 (8, 8, 3), no vectors"),
        (np.arange(9), "int64 scalar, no vectors"),
        (np.zeros((9, 3), np.float32), "0 dimensions of the observations vary"),
        (np.arange(9, dtype=np.float32)[:, None], "1 dimensions of the observations vary"),
        (np.full((9, 2), np.nan, np.float32), "0 sampled observations are finite"),
        ({"image": np.zeros((9, 4, 4), np.uint8)}, "image uint8 (4, 4), no vectors"),
    ],
)
def test_what_has_no_plane_says_why(with_columns, observations, why) -> None:
    (found,) = pictures.pictures([with_columns(observations)], [None])
    assert found.plane is None
    assert any(why in note for note in found.notes)


def test_marginals_of_continuous_actions(with_columns) -> None:
    actions = np.random.default_rng(0).uniform(-0.99, 0.97, (400, 2)).astype(np.float32)
    actions[0, 1] = np.nan
    (found,) = pictures.pictures([with_columns(normal(400, 3), actions)], [None])
    assert (found.actions.edges[0], found.actions.edges[-1]) == (-1.0, 1.0)
    assert [sum(counts) for counts in found.actions.counts] == [400, 399]
    below = int((actions[:, 0] < found.actions.edges[1]).sum())
    assert found.actions.counts[0][0] == below
    assert "1 sampled action values are not finite and left out" in found.notes


def test_marginals_of_discrete_actions(with_columns) -> None:
    actions = np.array([3, 3, 5, 7, 3, 5])
    (found,) = pictures.pictures([with_columns(normal(6, 2), actions)], [None])
    assert found.actions.discrete
    assert found.actions.edges == (2.5, 3.5, 4.5, 5.5, 6.5, 7.5)
    assert found.actions.counts == ((3, 0, 2, 0, 1),)
    many = np.array([0, 1, 1000, 5, 7, 9])
    (found,) = pictures.pictures([with_columns(normal(6, 2), many)], [None])
    assert len(found.actions.counts[0]) <= pictures.BINS + 1
    assert sum(found.actions.counts[0]) == 6


def test_a_constant_action_has_room(with_columns) -> None:
    (found,) = pictures.pictures([with_columns(normal(9, 2))], [None])
    assert np.diff(found.actions.edges).min() > 0
    assert sum(found.actions.counts[0]) == 9


def test_no_rows_are_refused(make_episodes) -> None:
    with pytest.raises(DatumrlError, match="has no rows"):
        pictures.pictures([make_episodes("")], [None])
