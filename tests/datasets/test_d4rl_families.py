"""Families of D4RL beside gym-mujoco: their boundaries, flags, types, and records."""

from __future__ import annotations

import collections

import numpy as np
import pytest

from datumrl.datasets import catalogue, d4rl_hdf5, prepared
from datumrl.datasets.errors import DatumrlError


@pytest.fixture
def convert(tmp_path, d4rl_files):
    """Write a file of that content and return what the reader makes of it."""

    def made(dataset_id, content):
        record = catalogue.find(dataset_id)
        file = d4rl_files.write(tmp_path / "file.hdf5", content)
        d4rl_hdf5.convert(file, record, tmp_path / "columns")
        episodes = prepared.read(tmp_path / "columns", dataset_id)
        episodes.validate()
        return episodes

    return made


def basic(rows, observation_dim, action_dim, **columns):
    """Return the basic columns of the published layout (code: the family's generator)."""
    rng = np.random.default_rng(rows)
    return {
        "observations": rng.normal(size=(rows, observation_dim)).astype(np.float32),
        "actions": rng.uniform(-1, 1, (rows, action_dim)).astype(np.float32),
        "rewards": rng.random(rows).astype(np.float32),
        "terminals": np.zeros(rows, bool),
        **columns,
    }


def at(rows, *places):
    flags = np.zeros(rows, bool)
    flags[list(places)] = True
    return flags


def test_every_published_id_of_d4rl_is_here():
    ids = [record.id for record in catalogue.all_records() if record.collection == "d4rl"]
    families = collections.Counter(
        str(catalogue.find(name).option.get("family", "gym-mujoco")) for name in ids
    )
    assert families == {
        "gym-mujoco": 69,
        "maze2d": 20,
        "maze2d-bullet": 4,
        "antmaze": 24,
        "adroit": 32,
        "kitchen": 3,
        "minigrid": 2,
        "carla": 5,
        "flow": 4,
        "gym-bullet": 20,
    }


def test_only_gym_mujoco_has_the_environment_of_its_scores():
    for record in catalogue.all_records():
        if record.collection != "d4rl" or record.environment is None:
            continue
        assert record.environment.equivalent == (record.reader == "d4rl-gym-mujoco"), record.id
        assert record.environment.equivalent or record.environment.note


@pytest.mark.parametrize(
    ("dataset", "environment", "limit"),
    [
        ("d4rl/pen-human-v1", "pen-v0", 100),
        ("d4rl/door-human-longhorizon-v1", "door-human-longhorizon-v1", 300),  # door-v0 has 200
        ("d4rl/antmaze-umaze-v2", "antmaze-umaze-v2", 700),
        ("d4rl/antmaze-eval-large-play-v0", "antmaze-eval-large-play-v0", 1000),
        ("d4rl/maze2d-large-v1", "maze2d-large-v1", 800),
        ("d4rl/kitchen-mixed-v0", "kitchen-mixed-v0", 280),
        ("d4rl/flow-ring-random-v0", "flow-ring-v0", 500),
        ("d4rl/hopper-medium-v2", "Hopper-v2", 1000),
        ("d4rl/ant-medium-v2", "Ant-v2", 1000),
        ("neorl2/Pipeline", "Pipeline", 1000),
        ("neorl2/Simglucose", "Simglucose", 480),
        ("neorl/Hopper-v3-low-100", "Hopper-v3", 1000),
    ],
)
def test_the_publishers_own_environment_is_on_record(dataset, environment, limit):
    record = catalogue.find(dataset)
    names = {environment}
    if record.collection == "d4rl":
        names.add(dataset.partition("/")[2])  # D4RL registers every dataset's name
    assert set(record.publisher_environments) == names
    for name in names:
        known = record.environment_called(name)
        assert (known.id, known.time_limit, known.equivalent) == (environment, limit, True)
    assert record.environment_called("CartPole-v1") is None
    assert record.environment_called("door-v0") is None
    if record.environment is not None:
        assert record.environment_called(record.environment.id) is record.environment


def test_names_of_one_publishers_environment_have_one_time_limit():
    limits = collections.defaultdict(set)
    for record in catalogue.all_records():
        for name in record.publisher_environments:
            limits[record.collection, name].add(record.time_limit)
    assert {name: found for name, found in limits.items() if len(found) > 1} == {}
    longer = {"door": 300, "hammer": 600, "pen": 200, "relocate": 500}
    for task, limit in longer.items():
        for version in ("v0", "v1"):
            name = f"{task}-human-longhorizon-{version}"
            assert catalogue.find(f"d4rl/{name}").publisher_environments == (name,)
            assert limits["d4rl", name] == {limit}
        assert limits["d4rl", f"{task}-v0"] == {100 if task == "pen" else 200}


@pytest.mark.parametrize(
    ("agent", "environment"),
    [("hopper", "HopperBulletEnv-v0"), ("halfcheetah", "HalfCheetahBulletEnv-v0")],
)
def test_d4rl_registers_its_bullet_environments_by_names_of_its_own(agent, environment):
    record = catalogue.find(f"d4rl/bullet-{agent}-medium-v0")
    for name in (environment, f"bullet-{agent}-v0", f"bullet-{agent}-medium-v0"):
        known = record.environment_called(name)
        assert (known.id, known.time_limit) == (environment, 1000)


def test_every_dataset_of_d4rl_names_its_publishers_environment():
    for record in catalogue.all_records():
        assert (record.collection != "d4rl") or record.publisher_environments, record.id


def test_references_of_other_families_are_those_published():
    umaze = catalogue.find("d4rl/maze2d-umaze-v1")
    assert (umaze.reference.minimum, umaze.reference.maximum) == (23.85, 161.86)
    pen = catalogue.find("d4rl/pen-human-v1")
    assert pen.reference.maximum == pytest.approx(3076.8331017826877)
    assert catalogue.find("d4rl/carla-town-render-v0").reference is None
    assert catalogue.find("d4rl/pen-human-longhorizon-v1").time_limit == 200


def test_a_goal_reached_in_maze2d_is_no_end_of_the_trajectory(convert):
    content = basic(12, 4, 2, timeouts=at(12, 3, 7)) | {  # log: dict_keys of maze2d-large-v1
        "infos/goal": np.zeros((12, 2), np.float32),
        "infos/qpos": np.zeros((12, 2)),
        "infos/qvel": np.zeros((12, 2)),
    }
    episodes = convert("d4rl/maze2d-umaze-v1", content)
    assert episodes.starts.tolist() == [0, 4, 8, 12]
    steps = episodes.transitions()
    assert steps.rows.tolist() == list(range(11))
    np.testing.assert_array_equal(steps.next_observations, content["observations"][1:])
    assert episodes.transitions("d4rl-legacy").rows.tolist() == [0, 1, 2, 4, 5, 6, 8, 9, 10]
    assert "goal" in catalogue.find("d4rl/maze2d-umaze-v1").returns_note


def test_maze2d_without_timeouts_is_one_trajectory_and_d4rl_counts_steps(convert):
    episodes = convert("d4rl/maze2d-umaze-v1", basic(700, 4, 2))
    assert episodes.starts.tolist() == [0, 700]
    assert len(episodes.transitions()) == 699
    # D4RL drops a row every 300 steps, and the last.
    legacy = episodes.transitions("d4rl-legacy")
    assert set(range(700)) - set(legacy.rows.tolist()) == {299, 599, 699}


def test_antmaze_ends_at_timeouts_and_leaps_and_not_at_success(convert):
    rows = 12
    # code: the generator's keys; the relabelling script writes flags as float32
    content = basic(rows, 29, 8, timeouts=at(rows, 7).astype(np.float32))
    content["terminals"] = at(rows, 2, 3, 4, 10).astype(np.float32)
    content["rewards"] = content["terminals"].astype(np.float32)
    place = np.zeros((rows, 2), np.float32)
    place[5:, 0] = 20.0  # a reset that no flag tells of, after row 4
    place[8:, 1] = 9.0  # the reset after the timeout
    place[10:] += 4.0  # to the diagonal neighbour: a distance of 5.66, 4 either way
    place[11] += (3.0, 4.0)  # a distance of 5 is none
    content["observations"][:, :2] = place
    episodes = convert("d4rl/antmaze-umaze-v0", content)
    assert episodes.starts.tolist() == [0, 5, 8, 10, 12]
    assert episodes.ends == "recorded"
    assert any("2 resets without a timeout" in note for note in episodes.notes)
    steps = episodes.transitions()
    # The timeout, row 9 and the end of the tail have no successor; row 4 is terminal, which needs
    # none.
    assert steps.rows.tolist() == [0, 1, 2, 3, 4, 5, 6, 8, 10]
    assert steps.terminals.tolist() == [row in (2, 3, 4, 10) for row in steps.rows]
    np.testing.assert_array_equal(steps.next_observations[2], content["observations"][3])
    assert episodes.transitions("d4rl-legacy").rows.tolist() == [0, 1, 2, 3, 4, 5, 6, 8, 9, 10]


def test_adroit_demonstrations_are_longer_than_the_time_limit(convert):
    content = basic(450, 39, 28, timeouts=at(450, 224, 449).astype(np.float32))
    content["rewards"] = content["rewards"][:, None]  # code: (N,) or (N, 1)
    content["infos/qpos"] = np.zeros((450, 30))  # code: tfds; unverified: door's width
    content["infos/door_body_pos"] = np.zeros((450, 3))  # code: tfds
    episodes = convert("d4rl/door-human-v1", content)
    assert episodes.lengths().tolist() == [225, 225]
    assert episodes.complete().all()


def test_kitchen_keeps_its_flags_and_the_number_of_the_demonstration(convert, tmp_path):
    demonstration = np.repeat([3, 8], 5)  # code: infos is one array; unverified: timeouts
    content = basic(10, 60, 9, terminals=at(10, 4, 9).astype(np.float32), infos=demonstration)
    episodes = convert("d4rl/kitchen-complete-v0", content)
    assert episodes.starts.tolist() == [0, 5, 10]
    assert not episodes.timeouts_recorded
    extras = prepared.read_extras(tmp_path / "columns")
    assert extras["infos/demonstration"].tolist() == demonstration.tolist()


def minigrid(rows=9, **columns):
    rng = np.random.default_rng(0)
    content = basic(rows, 1, 1, timeouts=at(rows, 4).astype(np.float32))
    content["observations"] = rng.integers(0, 11, (rows, 7, 7, 3), dtype=np.uint8)  # code
    content["actions"] = rng.integers(0, 7, rows).astype(np.float32)  # code: float in the file
    return content | columns


def test_minigrid_has_images_and_discrete_actions(convert):
    content = minigrid()
    episodes = convert("d4rl/minigrid-fourrooms-v0", content)
    assert episodes.observations.dtype == np.uint8
    assert episodes.observations.shape == (9, 7, 7, 3)
    assert episodes.actions.dtype == np.int64
    assert episodes.actions.tolist() == content["actions"].tolist()
    assert episodes.transitions().next_observations.shape == (7, 7, 7, 3)


def test_stored_successors_of_images_are_compared_with_the_following_row(convert):
    content = minigrid()
    content["next_observations"] = np.roll(content["observations"], -1, axis=0)
    content["next_observations"][2, 3, 3, 0] += 1
    episodes = convert("d4rl/minigrid-fourrooms-v0", content)
    assert episodes.successor_rows.tolist() == [2, 4, 8]
    np.testing.assert_array_equal(episodes.successors, content["next_observations"][[2, 4, 8]])


@pytest.mark.parametrize("wrong", [7.0, -1.0, 2.5, np.nan, 1e30])
def test_an_action_that_is_none_of_the_seven_is_refused(convert, wrong):
    actions = np.zeros((9, 1), np.float32)
    actions[6] = wrong
    with pytest.raises(DatumrlError, match=r"actions holds .* at row 6 where only 0 to 6"):
        convert("d4rl/minigrid-fourrooms-v0", minigrid(actions=actions))


def test_images_of_another_shape_are_refused(convert):
    images = np.zeros((9, 7, 7), np.uint8)
    with pytest.raises(DatumrlError, match=r"observations has shape \(9, 7, 7\)"):
        convert("d4rl/minigrid-fourrooms-v0", minigrid(observations=images))


def test_flow_without_timeouts_ends_at_its_time_limit(convert):
    episodes = convert("d4rl/flow-ring-random-v0", basic(1200, 3, 1))
    assert episodes.lengths().tolist() == [500, 500, 200]
    assert any("no timeouts" in note for note in episodes.notes)


def test_a_layout_that_nobody_documents_is_found_and_said(convert):
    content = basic(4, 1, 2)
    content["observations"] = np.zeros((4, 48, 48, 3), np.uint8)  # unverified
    episodes = convert("d4rl/carla-lane-render-v0", content)
    assert episodes.observations.shape == (4, 48, 48, 3)
    assert any("(48, 48, 3); their layout is unverified" in note for note in episodes.notes)
