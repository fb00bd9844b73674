"""Registered files of every format and rule of boundaries give the same episodes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from robot_files import COLUMNS, FORMATS, ROWS, columns, save

import datumrl
from datumrl.datasets import catalogue, registration
from datumrl.datasets.errors import DatumrlError
from datumrl.scripts.main import main


@pytest.mark.parametrize("format_name", FORMATS)
def test_every_format_gives_the_same_episodes(
    format_name: str, describe: Callable[..., Path], tmp_path: Path
) -> None:
    content = columns()
    save(tmp_path / f"data.{format_name}", content)
    mapping = {**COLUMNS, "next_observations": ["n0", "n1"]}
    done = registration.register(
        describe(format_name, f"data.{format_name}", columns=mapping, time_limit=5)
    )
    assert done.record.rows == ROWS
    assert (done.record.observation_dim, done.record.action_dim) == (2, 1)
    episodes = datumrl.load("user/robot-v1")
    episodes.validate()
    np.testing.assert_array_equal(
        episodes.observations, np.stack([content["s0"], content["s1"]], axis=1)
    )
    assert episodes.observations.dtype == np.float64
    np.testing.assert_array_equal(episodes.actions[:, 0], content["a0"])
    np.testing.assert_array_equal(episodes.rewards, content["reward"])
    np.testing.assert_array_equal(episodes.terminals, content["done"])
    np.testing.assert_array_equal(episodes.timeouts, content["cut"])
    assert episodes.starts.tolist() == [0, 5, 8, 12]
    assert episodes.successor_rows.tolist() == [4, 7, 11]
    assert episodes.successors[:, 0].tolist() == [7, 8, 9]
    assert (episodes.time_limit, episodes.timeouts_recorded, episodes.ends) == (5, True, "flags")


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("column", ["episode", "name"])
def test_an_episode_column(
    format_name: str, column: str, describe: Callable[..., Path], tmp_path: Path
) -> None:
    save(tmp_path / f"data.{format_name}", columns())
    mapping = {key: value for key, value in COLUMNS.items() if key != "timeouts"}
    boundaries = {"rule": "episode-column", "column": column}
    registration.register(
        describe(format_name, f"data.{format_name}", columns=mapping, boundaries=boundaries)
    )
    episodes = datumrl.load("user/robot-v1")
    assert episodes.starts.tolist() == [0, 5, 8, 12]
    assert np.flatnonzero(episodes.timeouts).tolist() == [7]
    assert np.flatnonzero(episodes.terminals).tolist() == [4, 11]
    assert any("no timeouts" in note for note in episodes.notes)


@pytest.mark.parametrize(
    ("boundaries", "starts"),
    [
        ({"rule": "fixed-length", "length": 4}, [0, 4, 8, 12]),
        ({"rule": "ends", "values": [5, 8, 12]}, [0, 5, 8, 12]),
        ({"rule": "starts", "values": [0, 5, 8]}, [0, 5, 8, 12]),
    ],
)
def test_boundaries_without_flags(
    boundaries: dict[str, Any],
    starts: list[int],
    describe: Callable[..., Path],
    tmp_path: Path,
) -> None:
    save(tmp_path / "data.csv", columns())
    mapping = {key: COLUMNS[key] for key in ("observations", "actions", "rewards")}
    registration.register(describe("csv", "data.csv", columns=mapping, boundaries=boundaries))
    episodes = datumrl.load("user/robot-v1")
    assert episodes.starts.tolist() == starts
    assert np.flatnonzero(episodes.timeouts).tolist() == [each - 1 for each in starts[1:]]
    assert not episodes.terminals.any()
    episodes.validate()


@pytest.mark.parametrize("format_name", ["hdf5", "npz"])
@pytest.mark.parametrize(("rule", "index"), [("ends", [5, 8, 12]), ("starts", [0, 5, 8])])
def test_an_index_in_the_file(
    format_name: str, rule: str, index: list[int], describe: Callable[..., Path], tmp_path: Path
) -> None:
    save(tmp_path / f"data.{format_name}", {**columns(), "index": np.array(index)})
    boundaries = {"rule": rule, "column": "index"}
    registration.register(describe(format_name, f"data.{format_name}", boundaries=boundaries))
    assert datumrl.load("user/robot-v1").starts.tolist() == [0, 5, 8, 12]


def test_timeouts_follow_from_the_time_limit(describe: Callable[..., Path], tmp_path: Path) -> None:
    save(tmp_path / "data.npz", columns())
    mapping = {key: value for key, value in COLUMNS.items() if key != "timeouts"}
    registration.register(describe("npz", "data.npz", columns=mapping, time_limit=3))
    episodes = datumrl.load("user/robot-v1")
    assert np.flatnonzero(episodes.timeouts).tolist() == [2, 7, 10]
    assert not episodes.timeouts_recorded


@pytest.mark.parametrize("format_name", FORMATS)
def test_a_pattern_names_files_in_the_order_of_their_names(
    format_name: str, describe: Callable[..., Path], tmp_path: Path
) -> None:
    content = columns()
    (tmp_path / "logs").mkdir()
    for name, part in (("b", slice(5, 12)), ("a", slice(0, 5))):
        piece = {key: values[part] for key, values in content.items()}
        save(tmp_path / "logs" / f"{name}.{format_name}", piece)
    registration.register(describe(format_name, f"logs/*.{format_name}"))
    episodes = datumrl.load("user/robot-v1")
    np.testing.assert_array_equal(episodes.rewards, content["reward"])
    assert episodes.starts.tolist() == [0, 5, 8, 12]
    (tmp_path / "logs" / f"a.{format_name}").unlink()
    with pytest.raises(DatumrlError, match="restore what was registered"):
        datumrl.load("user/robot-v1")


def test_dict_observations_images_and_discrete_actions(
    describe: Callable[..., Path], tmp_path: Path
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (ROWS, 8, 8, 3), np.uint8)
    save(tmp_path / "data.npz", {**columns(), "rgb": images})
    mapping = {
        **COLUMNS,
        "observations": {"place": ["s0", "s1"], "camera": "rgb"},
        "actions": "move",
    }
    done = registration.register(
        describe("npz", "data.npz", columns=mapping, discrete_actions=True)
    )
    episodes = datumrl.load("user/robot-v1")
    assert list(episodes.observations) == list(episodes.successors) == ["place", "camera"]
    np.testing.assert_array_equal(episodes.observations["camera"], images)
    assert episodes.observations["camera"].dtype == np.uint8
    assert episodes.observations["place"].shape == (ROWS, 2)
    assert episodes.actions.tolist() == [0, 1, 2] * 4
    assert done.record.action_dim == 3
    assert done.record.discrete_actions


def test_lists_in_parquet(describe: Callable[..., Path], tmp_path: Path) -> None:
    content = columns()
    vectors = [list(row) for row in np.stack([content["s0"], content["s1"]], axis=1)]
    frame = pd.DataFrame({key: list(values) for key, values in content.items()})
    frame["vector"] = vectors
    frame.to_parquet(tmp_path / "data.parquet")
    registration.register(
        describe("parquet", "data.parquet", columns={**COLUMNS, "observations": "vector"})
    )
    assert datumrl.load("user/robot-v1").observations.tolist() == vectors


def test_a_minari_dataset_can_be_registered(
    describe: Callable[..., Path],
    tmp_path: Path,
    make_episodes: Callable[..., Any],
) -> None:
    from datumrl.datasets import exports, minari_writer

    episodes = make_episodes("--T-O--O", {2: 90.0, 4: 91.0, 7: 92.0})
    source = exports.Source(catalogue.find("local/inverted-pendulum-mixed-v1"), episodes, {}, {})
    export = minari_writer.write(tmp_path / "minari", source, None)
    registration.register(describe("minari", export.path, columns=None, boundaries=None))
    read = datumrl.load("user/robot-v1")
    np.testing.assert_array_equal(read.observations, episodes.observations)
    assert read.starts.tolist() == [0, 3, 5, 8]


def test_a_long_csv_is_read_in_pieces(
    describe: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datumrl.datasets import user_tables

    rows = 40_000
    rng = np.random.default_rng(0)
    content = {"s0": rng.normal(size=rows), "a0": rng.normal(size=rows)}
    content |= {"reward": rng.normal(size=rows), "episode": np.arange(rows) // 700}
    mapping = {"observations": "s0", "actions": "a0", "rewards": "reward"}
    monkeypatch.setattr(user_tables, "ROWS_AT_ONCE", 1000)
    for format_name in FORMATS:
        save(tmp_path / f"data.{format_name}", content)
        registration.register(
            describe(
                format_name,
                f"data.{format_name}",
                id=f"user/long-{format_name}",
                columns=mapping,
                boundaries={"rule": "episode-column", "column": "episode"},
            )
        )
        episodes = datumrl.load(f"user/long-{format_name}")
        np.testing.assert_array_equal(episodes.observations[:, 0], content["s0"])
        assert episodes.starts.tolist() == [*range(0, rows, 700), rows]


def test_boundaries_of_a_description_are_timeouts_everywhere(
    describe: Callable[..., Path], tmp_path: Path
) -> None:
    """The D4RL file and its view of transitions cross no boundary that the description names."""
    save(tmp_path / "data.csv", columns())
    mapping = {key: COLUMNS[key] for key in ("observations", "actions", "rewards")}
    boundaries = {"rule": "fixed-length", "length": 4}
    registration.register(describe("csv", "data.csv", columns=mapping, boundaries=boundaries))
    legacy = datumrl.load("user/robot-v1").transitions("d4rl-legacy")
    assert legacy.rows.tolist() == [0, 1, 2, 4, 5, 6, 8, 9, 10]
    assert main(["convert", "user/robot-v1", "--to", "d4rl", "--out", f"{tmp_path}/a.hdf5"]) == 0
    with h5py.File(tmp_path / "a.hdf5") as file:
        assert np.flatnonzero(file["timeouts"][:]).tolist() == [3, 7, 11]


def test_without_timeouts_and_time_limit_only_terminals_end_episodes(
    describe: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "data.npz", columns())
    mapping = {key: value for key, value in COLUMNS.items() if key != "timeouts"}
    registration.register(describe("npz", "data.npz", columns=mapping))
    episodes = datumrl.load("user/robot-v1")
    assert episodes.starts.tolist() == [0, 5, 12]
    assert episodes.transitions("d4rl-legacy").rows.tolist() == list(range(ROWS - 1))
    main(["stats", "user/robot-v1", "--audit"])
    assert "neither timeouts nor a time limit" in " ".join(capsys.readouterr().out.split())
