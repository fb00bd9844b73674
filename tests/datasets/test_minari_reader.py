"""Minari datasets: written by the minari package, by our own writer, and by hand; read as ours."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import h5py
import minari
import numpy as np
import pytest
from gymnasium import spaces
from minari.data_collector import EpisodeBuffer

import datumrl
from datumrl.datasets import (
    catalogue,
    exports,
    hdf5_chunks,
    minari_columns,
)
from datumrl.datasets.columns import parts
from datumrl.datasets.episodes import Episodes
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.returns_quality import score_refusal, scores
from datumrl.scripts.main import main

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:minari")  # of fields left out

STORAGES = ("hdf5", "arrow", "parquet")
PENDULUM = catalogue.find("local/inverted-pendulum-mixed-v1")


@pytest.fixture
def root(home: Path, minari_root: Path) -> Path:
    """An empty folder of Minari's datasets, and a home."""
    return minari_root


def observations_of(space: spaces.Space, rows: int, rng: np.random.Generator) -> Any:
    """Random observations as minari's buffers hold them."""
    if isinstance(space, spaces.Dict):
        return {key: observations_of(each, rows, rng) for key, each in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(observations_of(each, rows, rng) for each in space.spaces)
    if isinstance(space, spaces.Text):
        return ["".join(rng.choice(list("aé go"), rng.integers(1, 7))) for _ in range(rows)]
    space.seed(int(rng.integers(1 << 30)))
    return np.stack([space.sample() for _ in range(rows)])


def write(
    name: str,
    storage: str,
    observation_space: spaces.Space,
    action_space: spaces.Space,
    lengths: tuple[int, ...] = (4, 1, 6),
    infos: Callable[[int], dict[str, Any]] = lambda rows: {},
    **stated: Any,
) -> minari.MinariDataset:
    rng = np.random.default_rng(0)
    buffers = []
    for number, length in enumerate(lengths):
        last = np.arange(length) == length - 1
        buffers.append(
            EpisodeBuffer(
                id=number,
                observations=observations_of(observation_space, length + 1, rng),
                actions=observations_of(action_space, length, rng),
                rewards=rng.normal(size=length),
                terminations=last & (number % 2 == 0),
                truncations=last & (number % 2 == 1),
                infos=infos(length),
            )
        )
    return minari.create_dataset_from_buffers(
        name,
        buffers,
        observation_space=observation_space,
        action_space=action_space,
        data_format=storage,
        description="made by a test",
        **stated,
    )


def flat(observations: Any, prefix: str = "") -> dict[str, Any]:
    """The arrays of minari's observations by our names."""
    if isinstance(observations, tuple):
        observations = dict(enumerate(observations))
    if not isinstance(observations, dict):
        return {prefix: observations}
    named: dict[str, Any] = {}
    for key, each in observations.items():
        named.update(flat(each, f"{prefix}/{key}".strip("/")))
    return named


def assert_equal(episodes: Episodes, dataset: minari.MinariDataset) -> None:
    """Whether what we read is what minari itself iterates over."""
    episodes.validate()
    assert len(episodes) == dataset.total_steps
    assert len(episodes.starts) == dataset.total_episodes + 1
    finals, known = episodes.final_observations()
    assert known.all()
    finals, observations = parts(finals), parts(episodes.observations)
    for number, theirs in enumerate(dataset.iterate_episodes()):
        rows = slice(*episodes.starts[number : number + 2])
        np.testing.assert_array_equal(episodes.actions[rows], theirs.actions)
        assert episodes.actions.dtype == theirs.actions.dtype
        np.testing.assert_array_equal(episodes.rewards[rows], theirs.rewards)
        np.testing.assert_array_equal(episodes.terminals[rows], theirs.terminations)
        np.testing.assert_array_equal(episodes.timeouts[rows], theirs.truncations)
        named = flat(theirs.observations)
        assert set(named) == set(observations)
        for name, values in named.items():
            ours = np.concatenate([observations[name][rows], finals[name][number][None]])
            if isinstance(values, list):
                texts = [row.tobytes().rstrip(b"\0").decode() for row in ours]
                assert texts == values
            else:
                np.testing.assert_array_equal(ours, values)
                assert ours.dtype == values.dtype


NESTED = spaces.Dict(
    {
        "image": spaces.Box(0, 255, (33, 40, 3), np.uint8),
        "small": spaces.Box(0, 255, (7, 7, 3), np.uint8),
        "direction": spaces.Discrete(4),
        "mission": spaces.Text(12, charset="aé go"),
        "inner": spaces.Tuple(
            (spaces.Box(-1, 1, (2,), np.float32), spaces.Dict({"bits": spaces.MultiBinary(3)}))
        ),
    }
)


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize(
    ("observation_space", "action_space", "discrete"),
    [
        (spaces.Box(-5, 5, (3,), np.float64), spaces.Box(-1, 1, (2,), np.float32), False),
        (spaces.Discrete(9), spaces.Discrete(4), True),
        (spaces.Box(0, 255, (40, 33), np.uint8), spaces.MultiDiscrete([3, 4]), True),
        (NESTED, spaces.MultiBinary(2), True),
    ],
    ids=["flat", "discrete", "image", "nested"],
)
def test_what_minari_writes_is_read_as_minari_reads_it(
    storage: str,
    observation_space: spaces.Space,
    action_space: spaces.Space,
    discrete: bool,
    root: Path,
) -> None:
    dataset = write("test/one-v0", storage, observation_space, action_space)
    record = catalogue.find("minari/test/one-v0")
    assert record.discrete_actions == discrete
    assert record.rows == 11
    assert_equal(datumrl.load("minari/test/one-v0"), dataset)
    assert datumrl.load("minari/test/one-v0").transitions().terminals.sum() == 2


@pytest.mark.parametrize("storage", STORAGES)
def test_infos_with_a_row_per_step_are_extras(storage: str, root: Path) -> None:
    def infos(length: int) -> dict[str, Any]:
        return {
            "qpos": np.arange(2.0 * (length + 1)).reshape(-1, 2),
            "deep": {"count": np.arange(length + 1)},
            "words": ["text"] * (length + 1),
        }

    box = spaces.Box(-1, 1, (1,), np.float32)
    write("test/infos-v0", storage, box, box, infos=infos)
    episodes = datumrl.load("minari/test/infos-v0")
    source = exports.open_source("minari/test/infos-v0")
    assert set(source.episodes.infos) == {"qpos", "deep/count"}
    assert source.episodes.infos["deep/count"].tolist() == [0, 1, 2, 3, 0, 0, 1, 2, 3, 4, 5]
    assert any("infos have a row per observation" in note for note in episodes.notes)


def test_a_dataset_has_the_environment_and_scores_that_it_states(root: Path) -> None:
    environment = gymnasium.make("CartPole-v1", max_episode_steps=20)
    dataset = write(
        "test/cartpole-v0",
        "hdf5",
        environment.observation_space,
        environment.action_space,
        env=environment,
    )
    environment.close()
    edit_metadata(root / "test/cartpole-v0", ref_min_score=9.5, ref_max_score=20.0)
    record = catalogue.find("minari/test/cartpole-v0")
    assert (record.environment.id, record.environment.time_limit) == ("CartPole-v1", 20)
    assert record.environment.equivalent
    assert (record.reference.minimum, record.reference.maximum) == (9.5, 20.0)
    assert record.action_dim == 2
    assert_equal(datumrl.load(record.id), dataset)


def edit_metadata(folder: Path, **fields: Any) -> None:
    path = folder / "data" / "metadata.json"
    metadata = {**json.loads(path.read_text()), **fields}
    path.write_text(json.dumps({key: each for key, each in metadata.items() if each is not None}))


def test_the_catalogue_lists_what_lies_in_minaris_folder(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    box = spaces.Box(-1, 1, (2,), np.float32)
    write("test/deep/er/one-v3", "hdf5", box, box)
    write("D4RL/door/human-v2", "hdf5", box, box)
    broken = root / "broken-v0" / "data"
    broken.mkdir(parents=True)
    (broken / "metadata.json").write_text("{")
    assert main(["datasets", "--collection", "minari", "--json"]) == 0
    listed = {each["id"]: each for each in json.loads(capsys.readouterr().out)}
    assert listed["minari/test/deep/er/one-v3"]["observation_dim"] == 2
    assert listed["minari/D4RL/door/human-v2"]["rows"] == 11  # of the dataset that is here
    assert listed["minari/D4RL/pen/expert-v2"]["rows"] == 499206  # of the table
    assert "minari/broken-v0" not in listed
    with pytest.raises(DatumrlError, match="is not valid JSON"):
        catalogue.find("minari/broken-v0")
    for unknown in ("minari/test/none-v0", "minari/../../etc-v0", "minari/test"):
        with pytest.raises(DatumrlError, match="unknown dataset"):
            catalogue.find(unknown)


def test_minaris_d4rl_is_not_d4rl(root: Path) -> None:
    minaris = [each for each in catalogue.all_records() if each.id.startswith("minari/D4RL/")]
    assert len(minaris) == 31
    for record in minaris:
        assert "not D4RL's" in record.errata[0]
        name = record.errata[0].split()[2].rstrip(":,")
        d4rl = catalogue.find(f"d4rl/{name}")
        if "minigrid" not in record.id:  # whose script writes D4RL's pair
            assert record.reference is None
        assert record.environment is None or not record.environment.equivalent
        assert d4rl.id != record.id


@pytest.mark.parametrize("gathered", [True, False])
def test_copied_final_observations_are_no_successors_and_returns_no_scores(
    root: Path, monkeypatch: pytest.MonkeyPatch, gathered: bool
) -> None:
    if not gathered:
        monkeypatch.setattr(minari_columns, "block_for", lambda *_: None)
    images, name = spaces.Box(0, 10, (7, 7, 3), np.uint8), "minari/D4RL/minigrid/fourrooms-v0"
    dataset = write("D4RL/minigrid/fourrooms-v0", "hdf5", images, spaces.Discrete(7))
    with h5py.File(root / "D4RL/minigrid/fourrooms-v0/data/main_data.hdf5", "a") as file:
        for episode in file.values():
            episode["observations"][-1] = episode["observations"][-2]
    episodes = datumrl.load(name)
    episodes.validate()
    assert len(episodes.successor_rows) == len(episodes.successors) == 0
    assert any("copies of those before them" in note for note in episodes.notes)
    # As D4RL's file is read: the truncated row, 4, has no successor; terminal ones need none.
    assert episodes.transitions().rows.tolist() == [*range(4), *range(5, 11)]
    np.testing.assert_array_equal(
        episodes.observations, np.concatenate([e.observations[:-1] for e in dataset])
    )
    record = catalogue.find(name)
    assert record.reference is not None
    assert "0 unless relabelled" in score_refusal(record)
    assert scores(episodes, record, episodes.returns()).tq is None


def test_returns_up_to_the_first_goal_are_no_scores_of_a_maze(root: Path) -> None:
    box = spaces.Box(-1, 1, (2,), np.float32)
    mazes = [each.id for each in catalogue.all_records() if "/pointmaze/" in each.id]
    assert len(mazes) == 8
    write("D4RL/pointmaze/open-v2", "hdf5", box, box)
    edit_metadata(root / "D4RL/pointmaze/open-v2", ref_min_score=1.0, ref_max_score=200.0)
    assert catalogue.find("minari/D4RL/pointmaze/open-v2").reference is not None
    for name in mazes:
        assert "ends at the first goal" in score_refusal(catalogue.find(name))


def test_old_metadata_is_enough(root: Path) -> None:
    box = spaces.Box(-1, 1, (2,), np.float32)
    dataset = write("test/old-v0", "hdf5", box, box)
    spec = {
        "id": "Hopper-v4",
        "entry_point": "gone.module:Class",
        "max_episode_steps": 1000,
        "order_enforce": True,
        "autoreset": False,
        "apply_api_compatibility": False,
        "kwargs": {"a": 1, "maze": [[0, "g"], [1.5]], "odd": [None], "named": {"b": 1}},
    }
    edit_metadata(
        root / "test/old-v0",
        data_format=None,
        jpeg_encoding=None,
        description=None,
        author=None,
        total_steps=None,
        env_spec=json.dumps(spec),
    )
    record = catalogue.find("minari/test/old-v0")
    assert record.environment.id == "Hopper-v4"
    assert record.environment.kwargs == (("a", 1), ("maze", ((0, "g"), (1.5,))))
    assert hash(record.environment) == hash(replace(record.environment))
    assert record.environment.settings == {"a": 1, "maze": [[0, "g"], [1.5]]}
    assert not record.environment.equivalent
    assert record.environment.note.startswith("its named, odd are no plain values")
    assert_equal(datumrl.load("minari/test/old-v0"), dataset)


@pytest.fixture
def small(root: Path) -> Path:
    """A whole HDF5 dataset of three episodes."""
    box = spaces.Box(-1, 1, (2,), np.float32)
    write("test/small-v0", "hdf5", box, box)
    return root / "test/small-v0"


def damaged(small: Path, change: Callable[[h5py.File], None]) -> str:
    with h5py.File(small / "data" / "main_data.hdf5", "a") as file:
        change(file)
    with pytest.raises(DatumrlError) as caught:
        datumrl.load("minari/test/small-v0")
    assert not list((small.parents[1].parent / "home").rglob("meta.json"))
    return str(caught.value)


def put(name: str, values: Any) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[name]
        if values is not None:
            file[name] = values

    return change


@pytest.mark.parametrize(
    ("name", "values", "told"),
    [
        ("episode_1", None, "says it has 3 episodes, and holds 2"),
        ("episode_0/rewards", None, "episode 0 has no rewards"),
        ("episode_0/rewards", np.zeros(3), "for 3 rewards"),
        ("episode_0/rewards", 1.0, "one number as rewards"),
        ("episode_0/rewards", np.full(4, np.nan), "rewards that are not finite"),
        ("episode_0/rewards", [b"a"] * 4, "not numbers"),
        ("episode_0/observations", np.zeros((9, 2), "f4"), "has 9 observations for 4 steps"),
        ("episode_0/observations", np.zeros((5, 3), "f4"), "where the space says"),
        ("episode_2/observations", np.full((7, 2), 0.1), "where the first episode has float32"),
        ("episode_2/observations", np.full((7, 2), np.inf, "f4"), "not finite"),
        ("episode_1/terminations", [2], "other than 0 and 1"),
        ("episode_1/actions", np.zeros((1, 5), "f4"), "holds actions of shape (5,)"),
    ],
)
def test_what_cannot_be_is_refused(name: str, values: Any, told: str, small: Path) -> None:
    assert told in damaged(small, put(name, values))


def never_written(name: str, chunk: int) -> Callable[[h5py.File], None]:
    """Give a column its shape anew, with all but its first chunk never written."""

    def change(file: h5py.File) -> None:
        values = file[name][:]
        del file[name]
        chunks = (chunk, *values.shape[1:])
        file.create_dataset(name, values.shape, values.dtype, chunks=chunks)[:chunk] = values[
            :chunk
        ]

    return change


@pytest.mark.parametrize("episode", [0, 2])
@pytest.mark.parametrize("name", ["rewards", "observations", "truncations"])
def test_rows_never_written_are_no_zeros(name: str, episode: int, small: Path) -> None:
    told = damaged(small, never_written(f"episode_{episode}/{name}", 2))
    assert f"episode {episode} holds {name} of which" in told
    assert "chunks were never written" in told


def test_a_nan_where_the_first_episode_has_whole_numbers_is_refused(root: Path) -> None:
    write("test/small-v0", "hdf5", spaces.Box(0, 9, (2,), np.int64), spaces.Discrete(3))
    folder = root / "test/small-v0"
    with h5py.File(folder / "data" / "main_data.hdf5") as file:
        values = file["episode_2/observations"][:].astype(float)
    values[1, 0] = np.nan
    told = damaged(folder, put("episode_2/observations", values))
    assert "holds observations of float64 (2,) where the first episode has int64" in told


def test_lies_of_the_metadata_are_told(small: Path) -> None:
    edit_metadata(small, total_steps=12)
    assert "says it has 12 steps, and holds 11" in damaged(small, lambda file: None)
    edit_metadata(small, total_steps=11, total_episodes=2)
    assert "says it has 2 episodes, and holds 3" in damaged(small, lambda file: None)
    edit_metadata(small, total_episodes=-1)
    assert "no number of them" in damaged(small, lambda file: None)
    edit_metadata(small, total_episodes=3, observation_space='{"type": "Graph"}')
    assert "'Graph' is not known" in damaged(small, lambda file: None)
    edit_metadata(small, data_format="zarr")
    assert "data_format is 'zarr'" in damaged(small, lambda file: None)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("storage", STORAGES)
def test_a_truncated_file_is_told(storage: str, share: float, root: Path) -> None:
    box = spaces.Box(-1, 1, (2,), np.float32)
    write("test/cut-v0", storage, box, box)
    data = root / "test/cut-v0" / "data"
    file = data / "main_data.hdf5" if storage == "hdf5" else next((data / "1").glob("*-0.*"))
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    with pytest.raises(DatumrlError, match="truncated or damaged"):
        datumrl.load("minari/test/cut-v0")


def test_flipped_bytes_are_told_or_read(small: Path) -> None:
    whole = (small / "data" / "main_data.hdf5").read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(30):
        spoilt = bytearray(whole)
        for place in rng.integers(len(spoilt), size=8):
            spoilt[place] ^= 1 << int(rng.integers(8))
        (small / "data" / "main_data.hdf5").write_bytes(spoilt)
        with contextlib.suppress(DatumrlError):
            datumrl.load("minari/test/small-v0").validate()


def test_dict_actions_are_refused(root: Path) -> None:
    box = spaces.Box(-1, 1, (2,), np.float32)
    write("test/acts-v0", "hdf5", box, spaces.Dict({"arm": box, "hand": spaces.Discrete(2)}))
    with pytest.raises(DatumrlError, match=r"several arrays \(arm, hand\)"):
        datumrl.load("minari/test/acts-v0")


def test_episodes_without_a_final_observation_and_truncations_within(small: Path) -> None:
    with h5py.File(small / "data" / "main_data.hdf5", "a") as file:
        kept = file["episode_0/observations"][:4]
        put("episode_0/observations", kept)(file)
        file["episode_2/truncations"][2] = True
    episodes = datumrl.load("minari/test/small-v0")
    assert episodes.successor_rows.tolist() == [4, 10]
    assert not episodes.timeouts[7]
    assert "1 episodes have no final observation" in episodes.notes
    assert any("1 truncations within episodes" in note for note in episodes.notes)


def test_a_large_episode_is_read_in_pieces(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from datumrl.datasets import minari_columns

    monkeypatch.setattr(minari_columns, "_BYTES_AT_ONCE", 100)
    for storage in ("hdf5", "parquet"):
        dataset = write("test/large-v0", storage, NESTED, spaces.Discrete(3), (50, 7))
        assert_equal(datumrl.load("minari/test/large-v0"), dataset)
        shutil.rmtree(root / "test")


def test_an_array_read_in_pieces_is_asked_once_for_rows_never_written(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HDF5 walks through all its chunks for that, of which there may be as many as rows."""
    from datumrl.datasets import minari_blocks, minari_columns, minari_hdf5

    asked = []

    def ask(dataset: h5py.h5d.DatasetID) -> int:
        asked.append(h5py.h5i.get_name(dataset))
        return hdf5_chunks.never_written(dataset)

    monkeypatch.setattr(minari_columns, "_BYTES_AT_ONCE", 100)
    monkeypatch.setattr(minari_blocks, "_BYTES", 100)
    monkeypatch.setattr(minari_hdf5, "never_written", ask)
    write("test/large-v0", "hdf5", spaces.Box(-1, 1, (2,)), spaces.Discrete(3), (50, 40))
    datumrl.load("minari/test/large-v0")
    assert asked.count(b"/episode_1/terminations") == asked.count(b"/episode_1/truncations") == 1


def test_fetching_takes_a_folder_at_hand(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.move(small, elsewhere)
    with pytest.raises(DatumrlError, match="unknown dataset"):
        catalogue.find("minari/test/small-v0")
    command = ["fetch", "minari/D4RL/door/human-v2", "--from", str(elsewhere)]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "imported from" in out
    assert len(datumrl.load("minari/D4RL/door/human-v2")) == 11
    assert main(["fetch", "minari/D4RL/door/human-v2"]) == 0
    assert "unchanged" in capsys.readouterr().out
    placed = small.parents[1] / "D4RL/door/human-v2"
    edit_metadata(placed, description="changed")
    assert main(["fetch", "minari/D4RL/door/human-v2"]) == 2
    assert "changed since" in capsys.readouterr().err
    assert main([*command, "--force"]) == 0
