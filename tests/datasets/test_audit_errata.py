"""The audit of sound files in the published shapes: what their errata tell of is no failure."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import minari
import numpy as np
import pytest
from gymnasium import spaces
from minari.data_collector import EpisodeBuffer

from datumrl.datasets import catalogue, loading
from datumrl.datasets.audit import audit
from datumrl.datasets.audit_errata import recognised
from datumrl.datasets.findings import Finding

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:minari")  # of fields left out

Content = dict[str, np.ndarray]


def basic(dataset_id: str, lengths: list[int]) -> Content:
    """Return D4RL's basic columns: random, without rewards, every episode ended by a timeout."""
    record, rng, rows = catalogue.find(dataset_id), np.random.default_rng(0), sum(lengths)
    timeouts = np.zeros(rows, bool)
    timeouts[np.cumsum(lengths) - 1] = True
    return {
        "observations": rng.normal(0, 0.3, (rows, record.observation_dim)).astype(np.float32),
        "actions": rng.uniform(-0.99, 0.99, (rows, record.action_dim)).astype(np.float32),
        "rewards": np.zeros(rows, np.float32),
        "terminals": np.zeros(rows, bool),
        "timeouts": timeouts,
    }


def antmaze(dataset_id: str, length: int = 700) -> Content:
    """The ant reaches the goal after 500 steps and stays, which is flagged at every step."""
    content = basic(dataset_id, [length] * 3)
    held = np.arange(len(content["rewards"])) % length >= 500
    return {**content, "terminals": held, "rewards": held.astype(np.float32)}


def demonstrations(dataset_id: str, length: int, reward: float, count: int = 3) -> Content:
    """Demonstrations that are longer than the time limit of evaluation."""
    content = basic(dataset_id, [length] * count)
    rng = np.random.default_rng(1)
    return {**content, "rewards": rng.normal(reward, 1, count * length).astype(np.float32)}


def kitchen(dataset_id: str) -> Content:
    """Demonstrations that end in a terminal, some after the time limit of evaluation."""
    content = demonstrations(dataset_id, 300, 2.0, 6)
    return {**content, "terminals": content["timeouts"], "timeouts": content["terminals"]}


def cloned(dataset_id: str) -> Content:
    """Rollouts of 200 steps, then demonstrations of 300, repeated and cut where the file ends."""
    rollouts = {**basic(dataset_id, [200] * 6), "rewards": np.linspace(0, 1, 1200)}
    shown = demonstrations(dataset_id, 300, 40.0)
    place = np.arange(1000, 2200) % 900
    return {name: np.concatenate([rollouts[name], shown[name][place]]) for name in rollouts}


def minigrid(dataset_id: str) -> Content:
    """Images, float actions, no reward."""
    content, rng = basic(dataset_id, [50] * 20), np.random.default_rng(0)
    images = rng.integers(0, 11, (1000, 7, 7, 3), np.uint8)
    return {
        **content,
        "observations": images,
        "actions": rng.integers(0, 7, 1000).astype(np.float32),
    }


def ogbench(dataset_id: str, at_goal: int = 0, stored: int = 1001) -> Content:
    """Trajectories of 3,003 states at most, the last ones of each at the goal of task 1."""
    record, rng, rows = (
        catalogue.find(dataset_id),
        np.random.default_rng(0),
        3003 // stored * stored,
    )
    place = np.arange(rows) % stored
    states = rng.normal(size=(rows, record.observation_dim)).astype(np.float32)
    states[place >= stored - at_goal, :2] = (36, 24)
    return {
        "observations": states,
        "actions": rng.uniform(-0.99, 0.99, (rows, record.action_dim)).astype(np.float32),
        "terminals": place == stored - 1,
        "qpos": states[:, :15],
        "qvel": states[:, 15:],
    }


def pointmaze(dataset_id: str) -> Content:
    """One trajectory of a ball to goals that are drawn anew where one is reached.

    As gymnasium-robotics does, the goal is drawn after the observation of the step that reached it.
    """
    rng, place, velocity, goal = np.random.default_rng(0), np.zeros(2), np.zeros(2), np.ones(2)
    states, actions, reached = [(place, velocity, goal)], list[np.ndarray](), list[bool]()
    while len(actions) < 2000:
        actions.append(np.clip(goal - place - velocity + rng.normal(0, 0.2, 2), -1, 1))
        velocity = 0.9 * velocity + 0.1 * actions[-1]
        place = place + velocity
        states.append((place, velocity, goal))
        reached.append(bool(np.linalg.norm(place - goal) < 0.45))
        if reached[-1]:
            goal = rng.uniform(-20, 20, 2)
    places, velocities, goals = (np.array(each) for each in zip(*states, strict=True))
    return {
        "observation": np.concatenate([places, velocities], axis=1),
        "achieved_goal": places,
        "desired_goal": goals,
        "actions": np.array(actions, np.float32),
        "reached": np.array(reached),
    }


def write_minari(dataset_id: str, content: Content) -> None:
    """Write a trajectory as Minari's collector does: cut, truncated, wherever a goal is reached."""
    actions, reached = content.pop("actions"), content.pop("reached")
    starts = [0, *(np.flatnonzero(reached[:-1]) + 1), len(actions)]
    buffers = []
    for begin, end in itertools.pairwise(starts):
        buffers.append(
            EpisodeBuffer(
                observations={name: each[begin : end + 1] for name, each in content.items()},
                actions=actions[begin:end],
                rewards=reached[begin:end].astype(float),
                terminations=np.zeros(end - begin, bool),
                truncations=np.arange(begin, end) == end - 1,
            )
        )
    box = {name: spaces.Box(-99, 99, each.shape[1:], float) for name, each in content.items()}
    minari.create_dataset_from_buffers(
        dataset_id.removeprefix("minari/"),
        buffers,
        observation_space=spaces.Dict(box),
        action_space=spaces.Box(-1, 1, (2,), np.float32),
        description="made by a test",
    )


# How the file of an id is made, and by check the words of the erratum that explains the finding.
SHAPES: dict[str, tuple[Callable[[str], Content], dict[str, str]]] = {
    "d4rl/antmaze-umaze-v2": (antmaze, {"terminals at the horizon": "success flag"}),
    "d4rl/antmaze-medium-play-v2": (
        lambda name: antmaze(name, 1001),
        {"episodes beyond the horizon": "a row late"},
    ),
    "d4rl/kitchen-mixed-v0": (kitchen, {"episodes beyond the horizon": "a demonstration may be"}),
    "d4rl/hammer-human-v1": (
        lambda name: demonstrations(name, 625, 90.0),
        {"returns": "longer than the time limit"},
    ),
    "d4rl/pen-human-v1": (
        lambda name: demonstrations(name, 200, 30.0, 6),
        {"returns": "longer than the time limit"},
    ),
    "d4rl/door-cloned-v0": (cloned, {"returns": "repeated"}),
    "d4rl/door-cloned-v1": (cloned, {"returns": "repeated"}),
    "d4rl/minigrid-fourrooms-v0": (minigrid, {"reward values": "unless relabelled"}),
    "ogbench/antmaze-large-navigate-v0": (
        ogbench,
        {"reward values": "the file has no rewards"},
    ),
    "ogbench/antmaze-large-navigate-singletask-task1-v0": (
        lambda name: ogbench(name, 7),
        {"terminals at the horizon": "goes on after", "final rewards": "goes on after"},
    ),
    "ogbench/antmaze-large-stitch-v0": (
        lambda name: ogbench(name, stored=201),
        {"timeouts off the horizon": "a length of their own"},
    ),
    "ogbench/cube-single-play-v0": (
        ogbench,
        {"episodes beyond the horizon": "a length of their own"},
    ),
    "minari/D4RL/pointmaze/open-v2": (
        pointmaze,
        {
            "timeouts off the horizon": "a goal reached",
            "stored next observations": "the next one's first",
            "continuity": "may still be the one",
        },
    ),
}


@pytest.mark.parametrize("dataset_id", SHAPES)
def test_published_shapes_are_sound_and_other_defects_still_fail(
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    d4rl_files: ModuleType,
    dataset_id: str,
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    make, foretold = SHAPES[dataset_id]
    path: Path | None = tmp_path / "file.hdf5"
    content = make(dataset_id)
    if dataset_id.startswith("ogbench/"):
        path = tmp_path / "file.npz"
        np.savez(path, **content)
    elif dataset_id.startswith("minari/"):
        write_minari(dataset_id, content)
        path = None  # where Minari keeps it
    else:
        d4rl_files.write(path, content, compression=None)
    data, record = loading.load(dataset_id, path=path), catalogue.find(dataset_id)
    report = audit(data, record)
    assert report.failures() == [], [finding.check for finding in report.failures()]
    for check, words in foretold.items():
        assert words in str(report.finding(check).known_erratum)
        assert report.finding(check).remedy == ""  # it would spoil data that is meant so
    returns = report.finding("returns")
    assert (returns.verdict, returns.summary) == ("not applicable", record.returns_note)
    wild = np.array(data.rewards)
    wild[::9] += np.linspace(0, 1, len(wild[::9]))
    wild[5] = 1e9  # no erratum tells of it
    defects = audit(replace(data, rewards=wild), record)
    assert [finding.check for finding in defects.failures()] == ["reward values"]


def test_two_episodes_joined_are_no_timeout_that_is_late(
    home: Path, tmp_path: Path, d4rl_files: ModuleType
) -> None:
    content = antmaze("d4rl/antmaze-medium-play-v2", 1001)
    content["timeouts"][1000] = False
    d4rl_files.write(tmp_path / "file.hdf5", content, compression=None)
    record = catalogue.find("d4rl/antmaze-medium-play-v2")
    report = audit(loading.load(record.id, path=tmp_path / "file.hdf5"), record)
    assert [finding.check for finding in report.failures()] == ["episodes beyond the horizon"]


@pytest.mark.parametrize(("version", "seam"), [("v0", True), ("v1", False)])
def test_only_the_first_version_of_cloned_sets_has_a_seam_within_an_episode(
    version: str, seam: bool
) -> None:
    jump = recognised(
        Finding("continuity", "fail", ""), catalogue.find(f"d4rl/pen-cloned-{version}")
    )
    assert ("the seam" in str(jump.known_erratum)) == seam
