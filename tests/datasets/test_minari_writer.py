"""Minari datasets as the minari package itself loads them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import minari
import numpy as np
import pytest
from minari.dataset.minari_dataset import parse_dataset_id
from minari.namespace import list_local_namespaces

import datumrl
from datumrl.datasets import catalogue, exports, minari_writer, scores
from datumrl.datasets.episodes import Episodes, episode_starts
from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation.environment_facts import environment_facts

PENDULUM = catalogue.find("local/inverted-pendulum-mixed-v1")
ID = "datumrl/inverted-pendulum/mixed-v1"


@pytest.fixture
def root(minari_root: Path) -> Path:
    return minari_root


def source_of(episodes: Episodes, **provenance: Any) -> exports.Source:
    rows = len(episodes)
    infos = {
        "qpos": np.linspace(0, 1, 2 * rows).reshape(rows, 2),
        "policy": np.arange(rows, dtype=np.int16),
    }
    told = replace(episodes, id=PENDULUM.id, infos=infos)
    return exports.Source(PENDULUM, told, {}, provenance)


def written(root: Path, episodes: Episodes, **provenance: Any) -> minari.MinariDataset:
    export = minari_writer.write(root, source_of(episodes, **provenance), None)
    assert export.name == ID
    dataset = minari.load_dataset(ID)
    assert (export.transitions, export.episodes) == (dataset.total_steps, dataset.total_episodes)
    return dataset


def transitions_of(dataset: minari.MinariDataset) -> dict[str, np.ndarray]:
    """The single steps that minari's episodes hold."""
    steps: dict[str, list[np.ndarray]] = {}
    for episode in dataset.iterate_episodes():
        assert len(episode.observations) == len(episode.rewards) + 1
        for name, values in {
            "observations": episode.observations[:-1],
            "actions": episode.actions,
            "rewards": episode.rewards,
            "next_observations": episode.observations[1:],
            "terminals": episode.terminations,
            "rows": episode.infos["policy"],  # holds the row's number
        }.items():
            steps.setdefault(name, []).append(values)
    return {name: np.concatenate(values) for name, values in steps.items()}


def test_minari_loads_its_episodes(make_episodes: Callable[..., Episodes], root: Path) -> None:
    episodes = make_episodes("--T-O--O", {2: 90.0, 4: 91.0, 7: 92.0})
    dataset = written(root, episodes)
    assert (dataset.total_episodes, dataset.total_steps) == (3, 8)
    first, second, third = dataset.iterate_episodes()
    assert first.observations[:, 0].tolist() == [0, 1, 2, 90]
    assert second.observations[:, 0].tolist() == [3, 4, 91]
    assert third.observations[:, 0].tolist() == [5, 6, 7, 92]
    assert first.rewards.tolist() == [1, 2, 3]
    assert first.actions.tolist() == [[0], [-1], [-2]]
    assert first.terminations.tolist() == [False, False, True]
    assert not first.truncations.any()
    assert second.truncations.tolist() == [False, True]
    assert not second.terminations.any()
    assert third.infos["policy"].tolist() == [5, 6, 7]
    np.testing.assert_array_equal(third.infos["qpos"][-1], [14 / 15, 1.0])
    assert first.observations.dtype == np.float32
    assert dataset.observation_space.contains(first.observations[0])
    assert dataset.action_space.contains(first.actions[0])


def test_minari_lists_and_samples_it(make_episodes: Callable[..., Episodes], root: Path) -> None:
    dataset = written(root, make_episodes("--T-O--O", {2: 90.0, 4: 91.0, 7: 92.0}))
    assert list(minari.list_local_datasets()) == [ID]
    assert list_local_namespaces() == ["datumrl", "datumrl/inverted-pendulum"]
    short = dataset.filter_episodes(lambda episode: len(episode) < 3)
    assert short.total_steps == 2
    combined = minari.combine_datasets([dataset, dataset], "datumrl/twice-v0")
    assert combined.total_steps == 16


@pytest.mark.parametrize(
    ("flags", "stored", "lengths", "note"),
    [
        # A terminal step without a final observation stays; its own observation stands in.
        ("--T-T", {}, [3, 2], "2 episodes ended by the process"),
        # A timeout row without one cannot: who reads it would bootstrap from what is not known.
        ("--O-T", {4: 9.0}, [2, 2], "1 last steps of episodes are left out"),
        ("--OO-T", {5: 9.0}, [2, 2], "1 episodes of one such step"),
        ("--T--", {2: 9.0}, [3, 1], "1 episodes without a flag at their end"),
        ("--T--", {2: 9.0, 4: 9.0}, [3, 2], "1 episodes without a flag at their end"),
        ("--T-O", {0: 7.0, 2: 9.0, 4: 9.0}, [3, 2], "1 stored next observations disagree"),
    ],
)
def test_what_minari_cannot_hold_is_said(
    flags: str,
    stored: dict[int, float],
    lengths: list[int],
    note: str,
    make_episodes: Callable[..., Episodes],
    root: Path,
) -> None:
    source = source_of(make_episodes(flags, stored))
    export = minari_writer.write(root, source, None)
    dataset = minari.load_dataset(ID)
    assert [len(episode) for episode in dataset] == lengths
    assert any(told.startswith(note) for told in export.notes), export.notes
    assert note in dataset.storage.metadata["description"]
    for episode in dataset:
        assert episode.terminations[-1] or episode.truncations[-1]
        assert not (episode.terminations | episode.truncations)[:-1].any()


@pytest.mark.parametrize("seed", range(5))
def test_its_steps_are_those_of_the_correct_view(seed: int, root: Path) -> None:
    rng = np.random.default_rng(seed)
    rows = 300
    terminals, timeouts = rng.random(rows) < 0.1, rng.random(rows) < 0.1
    starts = episode_starts(terminals, timeouts)
    known = rng.random(len(starts) - 1) < 0.5
    episodes = Episodes(
        id=PENDULUM.id,
        observations=rng.normal(size=(rows, 4)).astype(np.float32),
        actions=rng.normal(size=(rows, 1)).astype(np.float32),
        rewards=rng.normal(size=rows).astype(np.float32),
        terminals=terminals,
        timeouts=timeouts,
        starts=starts,
        successor_rows=starts[1:][known] - 1,
        successors=rng.normal(size=(int(known.sum()), 4)).astype(np.float32),
        time_limit=1000,
        timeouts_recorded=True,
    )
    correct = episodes.transitions("correct")
    for name, values in transitions_of(written(root, episodes)).items():
        np.testing.assert_array_equal(values, getattr(correct, name), err_msg=name)


def test_the_environment_and_the_scores_are_recoverable(
    make_episodes: Callable[..., Episodes], root: Path
) -> None:
    facts = environment_facts(PENDULUM.environment)
    source = source_of(make_episodes("--T", {2: 9.0}))
    minari_writer.write(root, source, facts)
    dataset = minari.load_dataset(ID)
    env = dataset.recover_environment()
    assert env.spec.id == "InvertedPendulum-v4"
    assert env.spec.max_episode_steps == 1000
    env.reset(seed=0)
    env.close()
    assert dataset.action_space == env.action_space
    found = minari.get_normalized_score(dataset, np.array([0.0, 321.0]))
    expected = scores.normalize(np.array([0.0, 321.0]), PENDULUM) / 100
    np.testing.assert_allclose(found, expected)


def test_an_environment_that_is_only_near_is_for_evaluation_alone(
    make_episodes: Callable[..., Episodes], root: Path
) -> None:
    facts = environment_facts(PENDULUM.environment)
    source = source_of(make_episodes("--T", {2: 9.0}))
    near = replace(PENDULUM, environment=replace(PENDULUM.environment, equivalent=False))
    minari_writer.write(root, replace(source, record=near), facts)
    dataset = minari.load_dataset(ID)
    assert dataset.env_spec is None
    env = dataset.recover_environment(eval_env=True)
    env.close()
    assert env.spec.id == "InvertedPendulum-v4"


def test_metadata_says_who_made_it_and_how(
    make_episodes: Callable[..., Episodes], root: Path
) -> None:
    part = {"name": "random", "weight": 1, "policy": {"kind": "uniform", "bound": 3.0}}
    recipe = {"parts": [part], "engine": {"numpy": np.__version__}}
    episodes = make_episodes("--T", {2: 9.0}, sha256="abcd", notes=("seen by hand",))
    dataset = written(root, episodes, recipe=recipe, command="datumrl collect it")
    metadata = dataset.storage.metadata
    assert metadata["author"] == {"datumrl contributors"}
    assert metadata["algorithm_name"] == "random (uniform)"
    assert metadata["requirements"] == [f"numpy=={np.__version__}"]
    assert metadata["ref_min_score"] == PENDULUM.reference.minimum
    for text in ("abcd", "`datumrl collect it`", "seen by hand", PENDULUM.reference.origin):
        assert text in metadata["description"]
    assert not {"code_permalink", "author_email", "env_spec"} & set(metadata)


def test_an_environment_of_ours_needs_this_package(
    make_episodes: Callable[..., Episodes], root: Path
) -> None:
    maze = catalogue.find("local/pointmaze-umaze-v1")
    provenance = {"software": {"datumrl": datumrl.__version__}}
    source = source_of(make_episodes("--O", {2: 9.0}, actions=np.zeros((3, 2), np.float32)))
    source = replace(source, record=maze, provenance=provenance)
    export = minari_writer.write(root, source, environment_facts(maze.environment))
    dataset = minari.load_dataset(export.name)
    assert dataset.storage.metadata["requirements"] == [f"datumrl=={datumrl.__version__}"]
    env = dataset.recover_environment()
    env.reset(seed=0)
    env.close()
    assert env.spec.max_episode_steps == maze.time_limit


@pytest.mark.parametrize(
    ("dataset_id", "expected"),
    [
        ("local/inverted-pendulum-mixed-v1", ID),
        ("local/inverted-pendulum-mixed-v1@20k", "datumrl/inverted-pendulum/mixed-20k-v1"),
        ("d4rl/hopper-medium-v2", "datumrl/d4rl/hopper/medium-v2"),
        ("d4rl/halfcheetah-medium-replay-v0", "datumrl/d4rl/halfcheetah/medium-replay-v0"),
        ("local/pointmaze-umaze-v1", "datumrl/pointmaze/umaze-v1"),
    ],
)
def test_ids_are_minaris(dataset_id: str, expected: str) -> None:
    assert minari_writer.minari_id(catalogue.find(dataset_id)) == expected


def test_every_dataset_has_an_id_of_its_own() -> None:
    ids = [minari_writer.minari_id(record) for record in catalogue.all_records()]
    assert len(set(ids)) == len(ids)
    for name in ids:
        namespace, kind, _ = parse_dataset_id(name)
        assert namespace.startswith("datumrl/")
        assert kind


def test_what_exists_is_kept_unless_forced(
    make_episodes: Callable[..., Episodes], root: Path
) -> None:
    written(root, make_episodes("--T", {2: 9.0}))
    other = source_of(make_episodes("-T", {1: 9.0}))
    with pytest.raises(DatumrlError, match=r"mixed-v1 exists; .*--force"):
        minari_writer.write(root, other, None)
    assert minari.load_dataset(ID).total_steps == 3
    minari_writer.write(root, other, None, force=True)
    assert minari.load_dataset(ID).total_steps == 2


def test_a_dataset_without_any_known_successor_is_refused(
    make_episodes: Callable[..., Episodes], root: Path
) -> None:
    with pytest.raises(DatumrlError, match="no step has a known next observation"):
        minari_writer.write(root, source_of(make_episodes("OOO")), None)
    assert not list(root.rglob("*.hdf5"))


def test_a_full_disk_is_an_error_and_leaves_nothing(
    make_episodes: Callable[..., Episodes], small_disk: Path
) -> None:
    source = source_of(make_episodes("-----T" * 2_000))
    with pytest.raises(DatumrlError, match="the disk is full"):
        minari_writer.write(small_disk, source, None)
    assert not [path for path in small_disk.rglob("*") if path.is_file()]


def test_minari_need_not_be_installed(make_episodes: Callable[..., Episodes], root: Path) -> None:
    code = (
        "import sys\n"
        "sys.modules['minari'] = sys.modules['gymnasium'] = None\n"
        "import numpy as np\n"
        "from pathlib import Path\n"
        "from datumrl.datasets import catalogue, exports, minari_writer\n"
        "from datumrl.datasets.episodes import Episodes\n"
        "one = np.ones((1, 4), np.float32)\n"
        "flags = np.ones(1, bool)\n"
        f"record = catalogue.find({PENDULUM.id!r})\n"
        "episodes = Episodes(record.id, one, one[:, :1], one[0, :1], flags, ~flags,\n"
        "    np.array([0, 1]), np.array([0]), 2 * one, 1000, True)\n"
        "source = exports.Source(record, episodes, {}, {})\n"
        f"print(minari_writer.write(Path({str(root)!r}), source, None).name)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == ID, done.stderr
    (episode,) = minari.load_dataset(ID)
    assert episode.observations.tolist() == [[1] * 4, [2] * 4]


def test_every_end_without_a_flag_is_told(
    make_episodes: Callable[..., Episodes], root: Path
) -> None:
    starts = np.arange(0, 10, 3)
    stored = {2: 90.0, 5: 91.0, 8: 92.0}
    episodes = make_episodes("-----O---", stored, starts=starts, ends="recorded")
    export = minari_writer.write(root, source_of(episodes), None)
    assert "2 episodes without a flag at their end are marked truncated" in export.notes
    assert [len(episode) for episode in minari.load_dataset(ID)] == [3, 3, 3]
