"""OGBench: the last stored state, rewards of single tasks, pixels, discrete actions, and damage."""

from __future__ import annotations

import io
import tracemalloc

import numpy as np
import pytest

from datumrl.datasets import (
    catalogue,
    fact_tables,
    ogbench_catalogue,
    ogbench_goals,
    ogbench_npz,
    prepared,
)
from datumrl.datasets.errors import DatumrlError


def content(lengths, observation, action_dim, **states):
    """Return the arrays of a published file (code: seohongpark/ogbench data_gen_scripts).

    ``lengths`` are stored rows of trajectories, ``observation`` the shape of one (uint8 if of three
    dimensions), ``states`` the widths of qpos, qvel and button_states.
    """
    rows, rng = sum(lengths), np.random.default_rng(7)
    terminals = np.zeros(rows, bool)  # code: bool, on the last stored state
    terminals[np.cumsum(lengths) - 1] = True
    if len(observation) == 3:
        observations = rng.integers(0, 256, (rows, *observation), np.uint8)
    else:
        observations = rng.normal(size=(rows, *observation)).astype(np.float32)
    arrays = {"observations": observations, "terminals": terminals}
    if action_dim:
        arrays["actions"] = rng.uniform(-1, 1, (rows, action_dim)).astype(np.float32)
    else:
        arrays["actions"] = rng.integers(0, 8, rows).astype(np.int32)  # code: powderworld
    for name, width in states.items():
        if name == "button_states":  # code: 0 and 1; unverified: the type on disk
            arrays[name] = rng.integers(0, 2, (rows, width))
        else:
            arrays[name] = rng.normal(size=(rows, width)).astype(np.float32)
    return arrays


@pytest.fixture
def convert(tmp_path):
    def made(dataset_id, arrays, progress=None):
        file = tmp_path / "file.npz"
        np.savez_compressed(file, **arrays)
        ogbench_npz.convert(file, catalogue.find(dataset_id), tmp_path / "columns", progress)
        episodes = prepared.read(tmp_path / "columns", dataset_id)
        episodes.validate()
        return episodes

    return made


def test_a_thousand_and_one_stored_rows_are_a_thousand_transitions(convert, tmp_path):
    arrays = content([1001, 1001, 5], (29,), 8, qpos=15, qvel=14)
    episodes = convert("ogbench/antmaze-large-navigate-v0", arrays)
    assert episodes.lengths().tolist() == [1000, 1000, 4]
    steps = episodes.transitions()
    assert len(steps) == 2004
    row = 0
    for stored in range(2007):  # the rule, row by row
        if arrays["terminals"][stored]:
            continue
        np.testing.assert_array_equal(steps.observations[row], arrays["observations"][stored])
        np.testing.assert_array_equal(steps.actions[row], arrays["actions"][stored])
        following = arrays["observations"][stored + 1]
        np.testing.assert_array_equal(steps.next_observations[row], following)
        assert episodes.timeouts[row] == arrays["terminals"][stored + 1]
        row += 1
    assert row == 2004
    assert not steps.terminals.any()
    assert not steps.rewards.any()
    extras = prepared.read_extras(tmp_path / "columns")
    np.testing.assert_array_equal(extras["qpos"], arrays["qpos"][~arrays["terminals"]])


def test_pixels_and_discrete_actions_keep_their_kind(convert):
    arrays = content([4, 3], (64, 64, 3), 5, qpos=21)
    visual = convert("ogbench/visual-cube-single-play-v0", arrays)
    assert visual.observations.dtype == np.uint8
    steps = visual.transitions()
    assert steps.next_observations[2].tobytes() == arrays["observations"][3].tobytes()
    arrays = content([4, 4], (32, 32, 6), 0)
    powder = convert("ogbench/powderworld-easy-play-v0-val", arrays)
    assert powder.actions.tolist() == [*arrays["actions"][:3], *arrays["actions"][4:7]]


def by_hand(dataset_id, arrays):
    """Return rewards and ends of every stored row by OGBench's rule, with goals written out."""
    rewards, ends = [], []
    for row in range(len(arrays["terminals"])):
        qpos = arrays.get("qpos", np.zeros((row + 1, 0)))[row].astype(float)
        if "antmaze-large" in dataset_id:  # task 1 of large: cell (7, 10), 4 units, offset 4
            done = [np.hypot(qpos[0] - 36, qpos[1] - 24) <= 0.5]
        elif "antsoccer-arena" in dataset_id:  # task 4, the default: cell (6, 1), of the ball
            done = [np.hypot(qpos[15] - 0, qpos[16] - 20) <= 0.5]
        elif "cube-double" in dataset_id:  # task 5: a stack
            goals = [[0.425, 0.0, 0.02], [0.425, 0.0, 0.06]]
            done = [
                np.linalg.norm(qpos[14 + 7 * i : 17 + 7 * i] - g) <= 0.04
                for i, g in enumerate(goals)
            ]
        elif "scene" in dataset_id:  # task 3
            buttons = arrays["button_states"][row]
            done = [
                np.linalg.norm(qpos[14:17] - [0.4, 0.15, 0.02]) <= 0.04,
                buttons[0] == 1,
                buttons[1] == 1,
                abs(qpos[23] + 0.16) <= 0.04,
                abs(qpos[24]) <= 0.04,
            ]
        else:  # puzzle-3x3, task 5
            done = [
                a == b for a, b in zip(arrays["button_states"][row], [1, 0, 1] * 3, strict=True)
            ]
        rewards.append(sum(map(bool, done)) - len(done))
        ends.append(all(done))
    return np.array(rewards, np.float32), np.array(ends)


SINGLE_TASKS = [
    (
        "antmaze-large-navigate-singletask-task1-v0",
        29,
        8,
        {"qpos": 15},
        {},
        {"qpos": {0: 36, 1: 24}},
    ),
    (
        "antsoccer-arena-navigate-singletask-v0",
        42,
        8,
        {"qpos": 22},
        {"qpos": {0: 0, 1: 20}},  # the ant at the goal is no success
        {"qpos": {15: 0, 16: 20}},
    ),
    (
        "cube-double-play-singletask-task5-v0",
        37,
        5,
        {"qpos": 28},
        {"qpos": {14: 0.425, 15: 0, 16: 0.02}},
        {"qpos": {14: 0.425, 15: 0, 16: 0.02, 21: 0.425, 22: 0, 23: 0.06}},
    ),
    (
        "scene-play-singletask-task3-v0",
        40,
        5,
        {"qpos": 25, "button_states": 2},
        {"qpos": {24: 0.03}},
        {"qpos": {14: 0.4, 15: 0.15, 16: 0.02, 23: -0.16, 24: 0}, "button_states": {0: 1, 1: 1}},
    ),
    (
        "puzzle-3x3-play-singletask-task5-v0",
        55,
        5,
        {"button_states": 9},
        {},
        {"button_states": dict(enumerate([1, 0, 1] * 3))},
    ),
]


@pytest.mark.parametrize(("name", "width", "actions", "states", "partly", "wholly"), SINGLE_TASKS)
def test_rewards_of_a_single_task_are_those_of_the_state_acted_in(
    convert, name, width, actions, states, partly, wholly
):
    arrays = content([40, 30], (width,), actions, **states)
    for row, values in ((3, partly), (10, wholly), (11, wholly), (39, wholly), (40, wholly)):
        for array, columns in values.items():
            for column, value in columns.items():
                arrays[array][row, column] = value
    episodes = convert(f"ogbench/{name}", arrays)
    rewards, ends = by_hand(name, arrays)
    kept = ~arrays["terminals"]
    np.testing.assert_array_equal(episodes.rewards, rewards[kept])
    np.testing.assert_array_equal(episodes.terminals, ends[kept])
    assert {10, 11, 39} <= set(np.flatnonzero(episodes.terminals))  # row 39 is the first of two
    assert episodes.lengths().tolist() == [39, 29]  # and none ends where it succeeds
    assert episodes.timeouts[[38, 67]].all()
    assert len(episodes.transitions()) == 68


def test_goals_of_every_task_are_there_and_tell_the_default():
    rows = list(fact_tables.rows("ogbench_goals.csv"))
    environments = {row["environment"] for row in rows}
    assert len(rows) == 5 * len(environments) == 5 * 22
    for environment in environments:
        default = ogbench_goals.goal(environment, 0)
        every = [ogbench_goals.goal(environment, task) for task in range(1, 6)]
        assert default in every
        assert len(set(every)) >= 2  # some tasks differ only in where they begin
    assert ogbench_goals.goal("antsoccer-arena", 0) == ogbench_goals.goal("antsoccer-arena", 4)
    assert ogbench_goals.goal("cube-single", 0) == ogbench_goals.goal("cube-single", 2)
    with pytest.raises(DatumrlError, match=r"task 6 is not known.*guesses"):
        ogbench_goals.goal("antmaze-large", 6)


def test_the_catalogue_names_every_file_task_and_split():
    records = list(ogbench_catalogue.records())
    assert len(records) == 85 * 2 + 82 * 6 * 2 + 11
    files = {each.urls[0] for each in records if each.urls}
    assert len(files) == 85 * 2
    for each in records:
        if each.validation:
            split = catalogue.find(each.validation)
            assert split.urls[0] == each.urls[0].replace(".npz", "-val.npz")
            assert split.options == each.options
        assert each.returns_note
        if each.option["task"] >= 0:
            ogbench_goals.goal(each.option["goals"], each.option["task"])
    record = catalogue.find("ogbench/humanoidmaze-giant-stitch-v0")
    assert (record.observation_dim, record.action_dim, record.rows) == (69, 21, 10_000 * 400)
    assert catalogue.find("ogbench/scene-play-singletask-v0").option["task"] == 0


def test_a_trajectory_without_a_last_state_and_one_of_a_single_state(convert):
    arrays = content([3, 1, 4], (2,), 2)
    arrays["terminals"][7] = False
    episodes = convert("ogbench/pointmaze-medium-navigate-v0", arrays)
    assert episodes.lengths().tolist() == [2, 4]
    assert episodes.complete().tolist() == [True, False]
    assert len(episodes.transitions()) == 5
    assert any("single state" in note for note in episodes.notes)
    assert any("without a last state" in note for note in episodes.notes)


def test_a_folder_of_shards_is_read_in_the_order_of_numbers(tmp_path):
    folder = tmp_path / "cube-double-play-100m-v0"
    folder.mkdir()
    shards = [content([3, 4], (37,), 5, qpos=28) for _ in range(3)]
    for number, name in enumerate(("a-2", "a-10", "a-1-val")):
        shards[number]["observations"][:] = number
        np.savez(folder / f"{name}.npz", **shards[number])
    record = catalogue.find("ogbench/cube-double-play-100m-v0")
    ogbench_npz.convert(folder, record, tmp_path / "columns")
    episodes = prepared.read(tmp_path / "columns", record.id)
    assert episodes.observations[:, 0].tolist() == [0] * 5 + [1] * 5
    shards[0]["terminals"][-1] = False
    np.savez(folder / "a-2.npz", **shards[0])
    with pytest.raises(DatumrlError, match=r"a-2.npz: ends within a trajectory"):
        ogbench_npz.convert(folder, record, tmp_path / "columns")


SMALL = content([5, 5], (29,), 8, qpos=15)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"observations": SMALL["observations"][:, :28]}, r"a row of observations has shape \(28,"),
        ({"observations": SMALL["observations"][:9]}, r"has shape \(9, 29\) where terminals has"),
        ({"observations": SMALL["observations"].astype(np.uint8)}, "needs floating"),
        ({"terminals": SMALL["terminals"] * 2.0}, "terminals holds 2.0 at row 4"),
        ({"terminals": np.ones(10, bool)}, "holds no transitions"),
        ({"actions": np.full_like(SMALL["actions"], np.inf)}, "actions holds .* at row 0"),
        ({"qpos": SMALL["qpos"][:, :1]}, "qpos holds .* needs 2 values"),
        ({"qpos": SMALL["qpos"].astype(object)}, "lacks qpos"),
    ],
)
def test_what_cannot_be_right_is_refused(convert, tmp_path, wrong, message):
    with pytest.raises(DatumrlError, match=message):
        convert("ogbench/antmaze-large-navigate-singletask-v0", {**SMALL, **wrong})
    assert not (tmp_path / "columns").exists()


def test_damage_anywhere_is_an_error_or_changes_nothing(tmp_path):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **SMALL)
    whole, rng, refused = buffer.getvalue(), np.random.default_rng(0), 0
    record = catalogue.find("ogbench/antmaze-large-navigate-v0")
    file = tmp_path / "file.npz"
    for trial in range(60):
        data = bytearray(whole)
        if trial % 3 == 0:
            del data[int(rng.integers(0, len(data))) :]
        else:
            for place in rng.integers(0, len(data), 4):
                data[place] ^= 1 << int(rng.integers(0, 8))
        file.write_bytes(bytes(data))
        try:
            ogbench_npz.convert(file, record, tmp_path / "columns")
        except DatumrlError:
            refused += 1
            continue
        episodes = prepared.read(tmp_path / "columns", record.id)
        kept = SMALL["observations"][~SMALL["terminals"]]
        np.testing.assert_array_equal(episodes.observations, kept)
    assert refused > 40


def test_memory_does_not_grow_with_the_file(tmp_path):
    arrays = content([1001] * 8, (64, 64, 3), 5)  # 98 MB of pixels
    file = tmp_path / "file.npz"
    np.savez(file, **arrays)
    record = catalogue.find("ogbench/visual-cube-single-play-v0")
    seen = []
    tracemalloc.start()
    ogbench_npz.convert(file, record, tmp_path / "columns", lambda *done: seen.append(done))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 << 20
    assert seen[-1][0] == seen[-1][1]
