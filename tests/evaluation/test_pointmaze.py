import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gymnasium_robotics.envs.maze import maps
from gymnasium_robotics.envs.maze.point_maze import PointMazeEnv

import datumrl
from datumrl.datasets import catalogue, prepared, scores
from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import collector, environments, pointmaze, recipes, recorder
from datumrl.evaluation.mazes import MAZES
from datumrl.evaluation.rollout import rollout
from datumrl.evaluation.waypoints import WaypointWalker, feedback

MAPS = {"umaze": maps.U_MAZE, "medium": maps.MEDIUM_MAZE, "large": maps.LARGE_MAZE}
GOALS = {"umaze": (-1.0, 1.0), "medium": (2.5, -2.5), "large": (3.5, -3.0)}
LIMITS = {"umaze": 300, "medium": 600, "large": 800}

Collect = Callable[..., tuple[collector.Collected, dict[str, np.ndarray]]]


def record_of(maze: str, prefix: str = "") -> catalogue.DatasetRecord:
    return catalogue.find(f"local/pointmaze-{maze}-v1{prefix}")


@pytest.fixture
def collect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Collect:
    """Collect with short streams, so that small prefixes need several chunks."""
    monkeypatch.setattr(
        collector,
        "recipe_for",
        lambda record: replace(recipes.recipe_for(record), lanes=2, stream_rows=1_000),
    )

    def run(maze: str, prefix: str, workers: int = 1, home: str = "home") -> object:
        monkeypatch.setenv("DATUMRL_HOME", str(tmp_path / home))
        collected = collector.collect(record_of(maze, prefix), workers)
        return collected, prepared.read_extras(collected.folder)

    return run


def to_the_goal(maze: str) -> Callable[[np.ndarray], np.ndarray]:
    return lambda rows: feedback(MAZES[maze], rows, np.tile(GOALS[maze], (len(rows), 1)))


# --- Maps and paths ---


@pytest.mark.parametrize("maze", MAZES)
def test_maps_are_those_of_the_engine(maze: str) -> None:
    ours = MAZES[maze]
    assert [[int(cell == "#") for cell in row] for row in ours.rows] == MAPS[maze]
    engine = PointMazeEnv(MAPS[maze])
    for number, cell in enumerate(ours.cells):
        centre = engine.maze.cell_rowcol_to_xy(cell)
        np.testing.assert_array_equal(ours.centres[number], centre)
        assert ours.cell_of(centre[None] + [[-0.4, 0.4]])[0] == number
    np.testing.assert_array_equal(ours.goal, GOALS[maze])
    Path(engine.tmp_xml_file_path).unlink()


@pytest.mark.parametrize("maze", MAZES)
def test_paths_are_shortest_and_join_all_free_cells(maze: str) -> None:
    free = [(i, j) for i, row in enumerate(MAPS[maze]) for j, cell in enumerate(row) if cell == 0]
    adjacent = np.array([[abs(a - c) + abs(b - d) == 1 for c, d in free] for a, b in free])
    # Floyd and Warshall's algorithm as the independent statement of what shortest is.
    shortest = np.where(adjacent, 1.0, np.inf)
    np.fill_diagonal(shortest, 0.0)
    for k in range(len(free)):
        shortest = np.minimum(shortest, shortest[:, k : k + 1] + shortest[k : k + 1])
    next_steps, lengths = MAZES[maze].paths
    assert np.isfinite(shortest).all()
    np.testing.assert_array_equal(lengths, shortest)
    for goal in range(len(free)):
        for cell in set(range(len(free))) - {goal}:
            assert adjacent[cell, next_steps[goal, cell]]
            assert lengths[goal, next_steps[goal, cell]] == lengths[goal, cell] - 1


# --- The environment ---


@pytest.mark.parametrize("maze", MAZES)
def test_starts_are_spread_over_all_cells_but_the_goals(maze: str) -> None:
    env = environments.make(record_of(maze).environment)
    starts = np.array([env.reset(seed=seed)[0] for seed in range(600)])
    middle = MAZES[maze].centres[MAZES[maze].cell_of(starts[:, :2])]
    assert len(np.unique(middle, axis=0)) == len(MAZES[maze].cells) - 1
    assert not (middle == GOALS[maze]).all(axis=1).any()
    offsets = np.abs(starts[:, :2] - middle)
    assert 0.24 < offsets.max() <= 0.25 + 1e-6
    assert not starts[:, 2:].any()
    assert env.observation_space.contains(starts[0])
    assert env.action_space.shape == (2,)
    np.testing.assert_array_equal(env.reset(seed=7)[0], starts[7])


@pytest.mark.parametrize("maze", MAZES)
def test_the_controller_reaches_the_evaluation_goal_and_stays(maze: str) -> None:
    env = environments.make(record_of(maze).environment)
    act = to_the_goal(maze)
    for seed in range(6):
        observation, _ = env.reset(seed=seed)
        rewards, ended = [], False
        while not ended:
            observation, reward, terminated, ended, _ = env.step(act(observation[None])[0])
            assert not terminated
            rewards.append(reward)
        assert len(rewards) == LIMITS[maze]
        arrival = rewards.index(1.0)
        assert arrival < LIMITS[maze] / 2 + 50
        assert set(rewards[arrival:]) == {1.0}


@pytest.mark.slow
def test_references_are_what_the_two_ends_reach() -> None:
    record = record_of("umaze")
    generator = np.random.default_rng(5)
    random = rollout(
        lambda rows: generator.uniform(-1, 1, (len(rows), 2)), record.environment, 60, [9]
    )
    expert = rollout(to_the_goal("umaze"), record.environment, 60, [9])
    assert scores.normalize(random.returns.mean(), record) == pytest.approx(0, abs=8)
    assert scores.normalize(expert.returns.mean(), record) == pytest.approx(100, abs=8)


def test_it_is_quiet_and_leaves_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    pointmaze._model.cache_clear()
    pointmaze.make("umaze").close()
    assert list(tmp_path.iterdir()) == []
    code = "from datumrl.evaluation import pointmaze; pointmaze.make('umaze')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""


def test_without_gymnasium_robotics_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pointmaze._robotics.cache_clear()
    monkeypatch.setitem(sys.modules, "gymnasium_robotics.envs.maze.point", None)
    with pytest.raises(DatumrlError, match=r"pip install -e '\.\[envs\]'"):
        environments.make(record_of("umaze").environment)
    pointmaze._robotics.cache_clear()


def test_the_protocol_names_gymnasium_robotics_only_for_mazes() -> None:
    maze = recorder.protocol_for(record_of("large"), episodes=10)
    assert set(maze.engine) == {"gymnasium", "mujoco", "gymnasium-robotics"}
    hopper = recorder.protocol_for(catalogue.find("d4rl/hopper-medium-v2"), episodes=10)
    assert set(hopper.engine) == {"gymnasium", "mujoco"}
    engine = recipes.recipe_for(record_of("large")).describe()["engine"]
    assert set(engine) == set(maze.engine)


def test_any_policy_is_evaluated_in_a_maze() -> None:
    run = datumrl.evaluate(to_the_goal("medium"), "local/pointmaze-medium-v1", episodes=3)
    (point,) = run.evaluations
    assert point.lengths == (600, 600, 600)
    assert min(point.returns) > 350


# --- The walker ---


def test_the_walker_turns_where_the_corridor_does() -> None:
    maze = MAZES["umaze"]
    rows = np.array([[-1, -1, 0, 0], [1, -1, 0, 0], [1, 1, 0, 0], [-0.9, 1, 0, 0]], np.float32)
    forces = feedback(maze, rows, np.tile(maze.goal, (4, 1)))
    np.testing.assert_allclose(forces, [[1, 0], [0, 1], [-1, 0], [-1, 0]], atol=1e-6)
    # Near its goal it also brakes: 10 x distance - velocity.
    near = feedback(maze, np.float32([[-0.95, 1.0, -0.2, 0.3]]), maze.goal[None])
    np.testing.assert_allclose(near, [[-0.3, -0.3]], atol=1e-6)


def test_goals_are_drawn_anew_only_where_reached_and_over_the_whole_maze() -> None:
    walker = WaypointWalker("medium")
    noise = walker.noise(np.random.default_rng(0), (4_000, 2))
    rows = np.zeros((4_000, 4), np.float32)
    rows[:, :2] = (-0.5, 0.5)
    *_, goals = walker.pursue(rows, noise, None)
    counts = np.bincount(MAZES["medium"].cell_of(goals))
    assert counts.min() > 4_000 / len(counts) * 0.6
    distance = np.linalg.norm(goals - rows[:, :2], axis=1)
    *_, after = walker.pursue(rows, noise[::-1], goals)
    np.testing.assert_array_equal((after != goals).any(axis=1), distance <= 0.2)


# --- Collected data ---


@pytest.mark.parametrize("maze", MAZES)
def test_collected_data_is_what_it_says(collect: Collect, maze: str) -> None:
    collected, extras = collect(maze, "@2k")
    data = collected.episodes
    data.validate()
    assert not data.terminals.any()
    assert (data.lengths() == LIMITS[maze]).all()
    np.testing.assert_array_equal(np.flatnonzero(data.timeouts), data.starts[1:] - 1)
    qpos, qvel = extras["infos/qpos"], extras["infos/qvel"]
    assert qpos.dtype == qvel.dtype == extras["infos/goal"].dtype == np.float64
    np.testing.assert_array_equal(data.observations, np.hstack([qpos, qvel]).astype(np.float32))
    # The reward of a step is that of the state after it.
    after = np.vstack([qpos[1:], np.zeros((1, 2))])
    after[data.successor_rows] = data.successors[:, :2]
    expected = np.linalg.norm(after - GOALS[maze], axis=1) <= 0.5
    np.testing.assert_array_equal(data.rewards, expected.astype(np.float32))
    check_log_probabilities(maze, data.observations, data.actions, extras)
    check_goals(data.observations, data.starts, extras["infos/goal"])


def check_log_probabilities(
    maze: str, observations: np.ndarray, actions: np.ndarray, extras: dict[str, np.ndarray]
) -> None:
    """Gaussian in front of tanh, around the force towards the recorded goal."""
    actions = actions.astype(np.float64)
    mean = feedback(MAZES[maze], observations, extras["infos/goal"])
    gaussian = -0.5 * ((np.arctanh(actions) - mean) / 0.5) ** 2 - np.log(0.5 * np.sqrt(2 * np.pi))
    expected = (gaussian - np.log(1 - actions**2)).sum(axis=1)
    exact = (np.abs(actions) < 0.99).all(axis=1)  # float32 is too coarse next to 1
    assert exact.mean() > 0.8
    found = extras["infos/action_log_probs"]
    np.testing.assert_allclose(found[exact], expected[exact], atol=1e-3)


def check_goals(observations: np.ndarray, starts: np.ndarray, goals: np.ndarray) -> None:
    """Within an episode, goals change exactly where the point has come within 0.2 of them."""
    changed = (goals[1:] != goals[:-1]).any(axis=1)
    reached = np.linalg.norm(observations[1:, :2] - goals[:-1], axis=1) <= 0.2
    inside = ~np.isin(np.arange(1, len(goals)), starts)
    np.testing.assert_array_equal(changed[inside], reached[inside])
    assert changed.sum() >= 4


@pytest.mark.parametrize("maze", MAZES)
def test_stored_states_replay_in_the_engine_itself(collect: Collect, maze: str) -> None:
    collected, extras = collect(maze, "@1k")
    data, qpos, qvel = collected.episodes, extras["infos/qpos"], extras["infos/qvel"]
    engine = PointMazeEnv(MAPS[maze])  # not through any code of ours
    Path(engine.tmp_xml_file_path).unlink()
    engine.reset(seed=0)
    ours = environments.make(record_of(maze).environment)
    ours.reset(seed=0)
    inside = np.setdiff1d(np.arange(len(data)), data.starts[1:] - 1)
    for row in np.random.default_rng(0).choice(inside, 400, replace=False):
        engine.point_env.set_state(qpos[row], qvel[row])
        observation, *_ = engine.step(data.actions[row])
        following = np.concatenate([qpos[row + 1], qvel[row + 1]])
        np.testing.assert_allclose(observation["observation"], following, atol=1e-9, rtol=0)
    for row in inside[:100]:
        ours.reset()
        ours.unwrapped.set_state(qpos[row], qvel[row])
        _, reward, *_ = ours.step(data.actions[row])
        assert reward == data.rewards[row]
        np.testing.assert_allclose(ours.unwrapped.data.qpos, qpos[row + 1], atol=1e-9, rtol=0)
        np.testing.assert_allclose(ours.unwrapped.data.qvel, qvel[row + 1], atol=1e-9, rtol=0)


@pytest.mark.slow
def test_any_number_of_workers_makes_the_same_bits_and_prefixes(collect: Collect) -> None:
    alone, extras_alone = collect("umaze", "@5k", workers=1, home="one")
    shared, extras_shared = collect("umaze", "@5k", workers=2, home="two")
    begun, extras_begun = collect("umaze", "@2k", workers=1, home="one")
    assert len(begun.episodes) == 2_100
    for name in prepared.COLUMNS[:5]:
        whole = getattr(alone.episodes, name)
        np.testing.assert_array_equal(getattr(shared.episodes, name), whole)
        np.testing.assert_array_equal(getattr(begun.episodes, name), whole[:2_100])
    assert set(extras_alone) >= {"infos/goal", "infos/qpos", "infos/qvel"}
    for name, whole in extras_alone.items():
        np.testing.assert_array_equal(extras_shared[name], whole)
        np.testing.assert_array_equal(extras_begun[name], whole[:2_100])


def test_policies_without_goals_record_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATUMRL_HOME", str(tmp_path))
    record = catalogue.find("local/inverted-pendulum-random-v1@100")
    assert "infos/goal" not in prepared.read_extras(collector.collect(record).folder)
