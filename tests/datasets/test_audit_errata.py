"""The audit of sound files in the published shapes: what their errata tell of is no failure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from datumrl.datasets import catalogue, loading
from datumrl.datasets.audit import audit

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


def antmaze(dataset_id: str) -> Content:
    """The ant reaches the goal after 500 of 700 steps and stays, which is flagged at every step."""
    content = basic(dataset_id, [700] * 3)
    held = np.arange(len(content["rewards"])) % 700 >= 500
    return {**content, "terminals": held, "rewards": held.astype(np.float32)}


def demonstrations(dataset_id: str, length: int, reward: float, count: int = 3) -> Content:
    """Demonstrations that are longer than the time limit of evaluation."""
    content = basic(dataset_id, [length] * count)
    rng = np.random.default_rng(1)
    return {**content, "rewards": rng.normal(reward, 1, count * length).astype(np.float32)}


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


def ogbench(at_goal: int) -> Content:
    """Three trajectories of 1,001 states, whose last ones are at the goal of task 1."""
    rng, rows = np.random.default_rng(0), 3 * 1001
    place = np.arange(rows) % 1001
    states = rng.normal(size=(rows, 29)).astype(np.float32)
    states[place >= 1001 - at_goal, :2] = (36, 24)
    return {
        "observations": states,
        "actions": rng.uniform(-0.99, 0.99, (rows, 8)).astype(np.float32),
        "terminals": place == 1000,
        "qpos": states[:, :15],
        "qvel": states[:, 15:],
    }


# How the file of an id is made, and by check the words of the erratum that explains the finding.
SHAPES: dict[str, tuple[Callable[[str], Content], dict[str, str]]] = {
    "d4rl/antmaze-umaze-v2": (antmaze, {"terminals at the horizon": "success flag"}),
    "d4rl/hammer-human-v1": (
        lambda name: demonstrations(name, 625, 90.0),
        {"returns": "longer than the time limit"},
    ),
    "d4rl/pen-human-v1": (
        lambda name: demonstrations(name, 200, 30.0, 6),
        {"returns": "longer than the time limit"},
    ),
    "d4rl/door-cloned-v1": (cloned, {"returns": "repeated"}),
    "d4rl/minigrid-fourrooms-v0": (minigrid, {"reward values": "unless relabelled"}),
    "ogbench/antmaze-large-navigate-v0": (
        lambda _: ogbench(0),
        {"reward values": "the file has no rewards"},
    ),
    "ogbench/antmaze-large-navigate-singletask-task1-v0": (
        lambda _: ogbench(7),
        {"terminals at the horizon": "goes on after", "final rewards": "goes on after"},
    ),
}


@pytest.mark.parametrize("dataset_id", SHAPES)
def test_published_shapes_are_sound_and_other_defects_still_fail(
    home: Path, tmp_path: Path, d4rl_files: ModuleType, dataset_id: str
) -> None:
    make, foretold = SHAPES[dataset_id]
    path, content = tmp_path / "file.hdf5", make(dataset_id)
    if dataset_id.startswith("ogbench/"):
        path = tmp_path / "file.npz"
        np.savez(path, **content)
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
