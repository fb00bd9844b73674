"""Datasets of the user's own: every format, every rule of boundaries, and nonsense."""

from __future__ import annotations

import json
import os
import re
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest

import datumrl
from datumrl.datasets import (
    catalogue,
    identity,
    places,
    prepared,
    registration,
    registration_examples,
    registration_schema,
    user_catalogue,
)
from datumrl.datasets.errors import DatumrlError
from datumrl.scripts.main import main

FORMATS = ("hdf5", "npz", "csv", "parquet")
ROWS = 12


def columns() -> dict[str, np.ndarray]:
    """Three episodes of 5, 3 and 4 rows: a terminal, a timeout, a terminal."""
    rng = np.random.default_rng(0)
    ends = np.array([4, 7, 11])
    s = rng.normal(size=(ROWS, 2))
    following = np.concatenate([s[1:], [[9.0, 9.0]]])
    following[[4, 7]] = [[7.0, 7.0], [8.0, 8.0]]
    flags = np.zeros((2, ROWS), np.int64)
    flags[0, ends[[0, 2]]] = 1
    flags[1, ends[1]] = 1
    return {
        "s0": s[:, 0],
        "s1": s[:, 1],
        "n0": following[:, 0],
        "n1": following[:, 1],
        "a0": rng.normal(size=ROWS),
        "move": np.arange(ROWS) % 3,
        "reward": rng.normal(size=ROWS),
        "done": flags[0],
        "cut": flags[1],
        "episode": np.repeat([7, 3, 5], [5, 3, 4]),
        "name": np.repeat(["b", "a", "c"], [5, 3, 4]),
    }


def save(path: Path, content: dict[str, Any]) -> Path:
    if path.suffix == ".npz":
        np.savez(path, **content)
    elif path.suffix == ".hdf5":
        with h5py.File(path, "w") as file:
            for name, values in content.items():
                file[name] = values.astype("S") if values.dtype.kind == "U" else values
    else:
        frame = pd.DataFrame({name: list(values) for name, values in content.items()})
        if path.suffix == ".csv":
            frame.to_csv(path, index=False)
        else:
            frame.to_parquet(path, index=False)
    return path


FLAGS = {"rule": "flags"}
COLUMNS = {
    "observations": ["s0", "s1"],
    "actions": ["a0"],
    "rewards": "reward",
    "terminals": "done",
    "timeouts": "cut",
}


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {toml(v)}" for k, v in value.items()) + "}"
    return json.dumps(value)


@pytest.fixture
def describe(tmp_path: Path, home: Path) -> Callable[..., Path]:
    """A writer of descriptions; None leaves a field out."""

    def write(format_name: str, path: str | Path, **fields: Any) -> Path:
        content = {
            "id": "user/robot-v1",
            "format": format_name,
            "path": str(path),
            "columns": COLUMNS,
            "boundaries": FLAGS,
            **fields,
        }
        lines = [f"{key} = {toml(value)}" for key, value in content.items() if value is not None]
        file = tmp_path / "robot.toml"
        file.write_text("\n".join(lines))
        return file

    return write


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


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"columns": {**COLUMNS, "rewards": "score"}}, "has no column score"),
        ({"columns": {**COLUMNS, "rewards": "name"}}, "rewards are|'name'|to double"),
        ({"columns": {**COLUMNS, "terminals": "reward"}}, "where only 0 and 1 are flags"),
        ({"columns": {**COLUMNS, "actions": "move"}}, "discrete_actions = true"),
        ({"discrete_actions": True}, "discrete|CSV"),
        ({"boundaries": {"rule": "fixed-length", "length": 5}}, "no whole number of episodes"),
        ({"boundaries": {"rule": "fixed-length", "length": 6}}, "is a timeout within an episode"),
        ({"boundaries": {"rule": "ends", "values": [5, 8]}}, "increase to 12"),
        ({"boundaries": {"rule": "ends", "values": [5, 5, 12]}}, "increase to 12"),
        ({"boundaries": {"rule": "starts", "values": [1, 5]}}, "increase from 0"),
        ({"boundaries": {"rule": "episode-column", "column": "done"}}, "goes on at row"),
        ({"boundaries": {"rule": "episode-column", "column": "gone"}}, "has no column gone"),
    ],
)
@pytest.mark.parametrize("format_name", ["npz", "csv", "parquet", "hdf5"])
def test_descriptions_that_do_not_fit_the_data(
    format_name: str,
    change: dict[str, Any],
    told: str,
    describe: Callable[..., Path],
    tmp_path: Path,
    home: Path,
) -> None:
    save(tmp_path / f"data.{format_name}", columns())
    with pytest.raises(DatumrlError, match=told):
        registration.register(describe(format_name, f"data.{format_name}", **change))
    assert not list(home.rglob("*.toml"))
    assert not list(home.rglob("meta.json"))
    with pytest.raises(DatumrlError, match="unknown dataset"):
        catalogue.find("user/robot-v1")


@pytest.mark.parametrize("format_name", FORMATS)
def test_values_that_are_not_finite_are_refused(
    format_name: str, describe: Callable[..., Path], tmp_path: Path
) -> None:
    content = columns()
    content["s1"][6] = np.nan
    save(tmp_path / f"data.{format_name}", content)
    with pytest.raises(DatumrlError, match="row 6"):
        registration.register(describe(format_name, f"data.{format_name}"))


@pytest.mark.parametrize("format_name", ["hdf5", "npz"])
def test_columns_of_unequal_lengths_are_refused(
    format_name: str, describe: Callable[..., Path], tmp_path: Path
) -> None:
    save(tmp_path / f"data.{format_name}", {**columns(), "reward": np.zeros(11)})
    with pytest.raises(DatumrlError, match=r"unequal lengths.*reward 11 rows"):
        registration.register(describe(format_name, f"data.{format_name}"))


def test_damaged_text_tables_are_refused(describe: Callable[..., Path], tmp_path: Path) -> None:
    save(tmp_path / "data.csv", columns())
    text = (tmp_path / "data.csv").read_text().splitlines()
    text[5] = text[5].rpartition(",")[0]
    (tmp_path / "data.csv").write_text("\n".join(text))
    with pytest.raises(DatumrlError, match="cannot be read as CSV"):
        registration.register(describe("csv", "data.csv"))
    for format_name in ("parquet", "hdf5", "npz"):
        (tmp_path / "data.bin").write_bytes(b"nonsense")
        with pytest.raises(DatumrlError, match=r"data\.bin"):
            registration.register(describe(format_name, "data.bin"))
    (tmp_path / "data.csv").write_text("")
    with pytest.raises(DatumrlError, match="CSV"):
        registration.register(describe("csv", "data.csv"))


def test_object_arrays_are_refused(describe: Callable[..., Path], tmp_path: Path) -> None:
    content = {**columns(), "s0": np.array([{}] * ROWS, object)}
    np.savez(tmp_path / "data.npz", **content)
    with pytest.raises(DatumrlError, match="Python objects"):
        registration.register(describe("npz", "data.npz"))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"id": "user/../evil"}, "a name is user/"),
        ({"id": "user/a/b"}, "a name is user/"),
        ({"id": "user/Upper"}, "a name is user/"),
        ({"id": "user/.hidden"}, "a name is user/"),
        ({"id": "robot"}, "a name is user/"),
        ({"id": "d4rl/hopper-medium-v2"}, "a name is user/"),
        ({"id": None}, "id is missing"),
        ({"format": "xlsx"}, "choose one of hdf5"),
        ({"path": "none.csv"}, "there is no file"),
        ({"path": "none*.csv"}, "no file is named"),
        ({"licens": "MIT"}, "unknown field licens; did you mean 'licence'"),
        ({"columns": {**COLUMNS, "observation": "s0"}}, "did you mean 'observations'"),
        ({"columns": {**COLUMNS, "actions": []}}, "columns.actions = "),
        ({"columns": {"observations": "s0"}}, "columns.actions is missing"),
        ({"columns": {**COLUMNS, "next_observations": "n0"}}, "must have the form"),
        ({"columns": None}, "is missing"),
        ({"time_limit": -1}, "a whole number, not negative"),
        ({"time_limit": True}, "a whole number, not negative"),
        ({"boundaries": {"rule": "guess"}}, "choose one of flags"),
        ({"boundaries": {"rule": "ends"}}, "needs column or values"),
        ({"boundaries": {"rule": "flags", "length": 3}}, "has no meaning"),
        ({"boundaries": {"rule": "fixed-length", "length": 0}}, "at least 1"),
        ({"environment": {"id": "Hopper-v5"}}, "time_limit is missing"),
        ({"reference": {"minimum": 0, "maximum": 1}}, "reference.origin is missing"),
        ({"reference": {"minimum": 2, "maximum": 1, "origin": "x"}}, "minimum must be below"),
    ],
)
def test_nonsense_in_a_description(
    fields: dict[str, Any], told: str, describe: Callable[..., Path], tmp_path: Path
) -> None:
    save(tmp_path / "data.csv", columns())
    given = {"format_name": "csv", "path": "data.csv", **fields}
    if "format" in given:
        given["format_name"] = given.pop("format")
    with pytest.raises(DatumrlError, match=told):
        registration.register(describe(**given))


def test_toml_that_is_none(tmp_path: Path, home: Path) -> None:
    file = tmp_path / "robot.toml"
    file.write_text("id = 'user/x\n")
    with pytest.raises(DatumrlError, match="no valid TOML"):
        registration.register(file)
    with pytest.raises(DatumrlError, match="does not exist"):
        registration.register(tmp_path / "none.toml")


def test_an_id_keeps_its_meaning(
    describe: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "data.csv", columns())
    file = describe("csv", "data.csv")
    assert main(["register", str(file)]) == 0
    assert "registered: 12 transitions" in capsys.readouterr().out
    assert main(["register", str(file)]) == 0
    assert "registered already" in capsys.readouterr().out
    first = datumrl.load("user/robot-v1")
    describe("csv", "data.csv", columns={**COLUMNS, "observations": ["s1", "s0"]})
    assert main(["register", str(file)]) == 2
    told = capsys.readouterr().err
    assert "columns was" in told
    assert "--replace" in told
    np.testing.assert_array_equal(datumrl.load("user/robot-v1").observations, first.observations)
    assert main(["register", str(file), "--replace"]) == 0
    assert "replaced: columns was" in capsys.readouterr().out
    second = datumrl.load("user/robot-v1")
    np.testing.assert_array_equal(second.observations[:, 0], first.observations[:, 1])
    content = columns()
    save(tmp_path / "data.csv", {**content, "reward": content["reward"] + 1})
    with pytest.raises(DatumrlError, match="expected sha256"):
        datumrl.load("user/robot-v1")
    assert main(["register", str(file)]) == 2
    assert "its data had sha256" in capsys.readouterr().err


def test_the_catalogue_and_other_commands_know_it(
    describe: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "data.parquet", columns())
    reference = {"minimum": 0.0, "maximum": 2.5, "origin": "a test"}
    environment = {"id": "Pendulum-v1", "time_limit": 200, "kwargs": {"g": 9.0}}
    registration.register(
        describe(
            "parquet", "data.parquet", reference=reference, environment=environment, licence="MIT"
        )
    )
    record = catalogue.find("user/robot-v1")
    assert record.environment.kwargs == (("g", 9.0),)
    assert (record.reference.maximum, record.licence) == (2.5, "MIT")
    assert main(["datasets", "--collection", "user"]) == 0
    assert "user/robot-v1" in capsys.readouterr().out
    assert main(["datasets", "user/robot-v1"]) == 0
    assert main(["fetch", "user/robot-v1"]) == 2
    assert main(["stats", "user/robot-v1"]) == 0
    assert main(["stats", "user/robot-v1", "--audit"]) in (0, 1)
    out = tmp_path / "out.hdf5"
    assert main(["convert", "user/robot-v1", "--to", "d4rl", "--out", str(out)]) == 0
    assert main(["convert", "user/robot-v1", "--to", "minari", "--out", str(tmp_path / "m")]) == 0


@pytest.mark.parametrize("format_name", registration_schema.FORMATS)
def test_examples_are_descriptions(format_name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["register", "--example", format_name]) == 0
    text = capsys.readouterr().out
    assert text == registration_examples.example(format_name)
    registration_schema.parse(text, Path("example.toml"))
    # With every comment that is a field turned into one, it still says what may be said.
    whole = "\n".join(
        line.removeprefix("# ")
        for line in text.splitlines()
        if " = " in line or line.removeprefix("# ").startswith("[")
        if "rule" not in line and "values" not in line and "length" not in line
    )
    whole = "\n".join(line for line in whole.splitlines() if not line.startswith("column ="))
    content = tomllib.loads(whole)
    assert {"environment", "reference"} <= set(content)


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


def test_training_without_an_environment(describe: Callable[..., Path], tmp_path: Path) -> None:
    pytest.importorskip("torch")
    save(tmp_path / "data.npz", columns())
    registration.register(describe("npz", "data.npz"))
    records = datumrl.train("bc", "user/robot-v1", seeds=[0, 1], steps=3, device="cpu")
    for record in records:
        assert record.status == "complete"
        assert record.protocol.environment == "none"
        assert record.evaluations == ()
    folder = next((tmp_path / "home" / "runs").rglob("seed-000.json")).parent
    assert [*folder.glob("*.pt")]
    with pytest.raises(DatumrlError, match="has no environment"):
        datumrl.evaluate(lambda observations: observations[:, :1], "user/robot-v1", seed=0)


def test_finished_runs_without_an_environment_can_be_shown_and_are_not_compared(
    describe: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "data.npz", columns())
    registration.register(describe("npz", "data.npz"))
    options = "--seeds 2 --steps 2 --set hidden_dims=4 --device cpu --workers 1 --out run"
    assert main(["train", "bc", "iql", "--on", "user/robot-v1", *options.split()]) == 0
    told = capsys.readouterr().out
    assert told.count("complete, not evaluated") == 4
    assert "failed" not in told
    assert main(["compare", "run"]) == 2
    assert "holds no evaluations" in capsys.readouterr().err
    sequential = ["--sequential", "bc", "iql", "--on", "user/robot-v1"]
    assert main(["compare", *sequential]) == 2
    assert "user/robot-v1 has no environment" in capsys.readouterr().err
    board = ["board", "run", "--out", "page", "--no-published"]
    assert main(board) == 2
    assert "no run records and no published scores" in capsys.readouterr().err


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


@pytest.mark.parametrize("path", ["logs/*.csv", "logs/a.csv"])
def test_files_that_are_gone_are_named(
    path: str, describe: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "logs").mkdir()
    file = save(tmp_path / "logs" / "a.csv", columns())
    registration.register(describe("csv", path))
    file.rename(tmp_path / "elsewhere.csv")
    with pytest.raises(DatumrlError, match=f"^{re.escape(str(file))} is gone; restore"):
        datumrl.load("user/robot-v1")


def test_names_beyond_json_escapes_are_kept_as_they_are(
    describe: Callable[..., Path], tmp_path: Path
) -> None:
    folder = tmp_path / '\U0001f916 \x7f \\ " é\n'
    folder.mkdir()
    save(folder / "data.npz", columns())
    file = describe("npz", "data.npz").rename(folder / "robot.toml")
    done = registration.register(file)
    assert registration.description("user/robot-v1")["registered"]["members"] == [
        str(folder / "data.npz")
    ]
    assert len(datumrl.load("user/robot-v1")) == ROWS
    assert registration.register(file).unchanged
    assert done.record.id in {record.id for record in user_catalogue.local_records({})}


@pytest.mark.parametrize("path", ["data.npz", "*.npz"])
def test_a_name_that_is_no_text_is_refused_before_anything_is_written(
    path: str, describe: Callable[..., Path], tmp_path: Path, home: Path
) -> None:
    content = columns()
    odd = tmp_path / os.fsdecode(b"odd-\xff")
    try:
        odd.mkdir()
    except OSError:
        pytest.skip("names must be Unicode on this file system")
    save(odd / "data.npz", content)
    described = describe("npz", path).rename(odd / "robot.toml")
    with pytest.raises(DatumrlError, match=r"odd-\\udcff.*: this name is not valid Unicode"):
        registration.register(described)
    assert not home.exists()
    mended = odd.rename(tmp_path / "mended")
    assert registration.register(mended / "robot.toml").record.rows == ROWS


@pytest.mark.parametrize(
    "damage", ["id = 'user/x", "", 'id = "user/robot-v1"\n[registered]\nsha256 = 3\n']
)
def test_an_unreadable_description_can_be_replaced(
    damage: str, describe: Callable[..., Path], tmp_path: Path
) -> None:
    save(tmp_path / "data.npz", columns())
    file = describe("npz", "data.npz")
    target = registration.register(file).path
    target.write_text(damage)
    with pytest.raises(DatumrlError, match=r"cannot be read.*or --replace it"):
        registration.register(file)
    with pytest.raises(DatumrlError, match=re.escape(str(target))):
        datumrl.load("user/robot-v1")
    assert len(registration.register(file, replace=True).changes) == 1
    assert len(datumrl.load("user/robot-v1")) == ROWS


def test_columns_of_a_path_are_of_the_description_there_is(
    describe: Callable[..., Path], tmp_path: Path
) -> None:
    save(tmp_path / "data.npz", columns())
    copy = shutil.copy(tmp_path / "data.npz", tmp_path / "copy.npz")
    registration.register(describe("npz", "data.npz"))
    first = datumrl.load("user/robot-v1", path=copy)
    swapped = {**COLUMNS, "observations": ["s1", "s0"]}
    file = describe("npz", "data.npz", columns=swapped)
    registration.register(file, replace=True)
    second = datumrl.load("user/robot-v1", path=copy)
    np.testing.assert_array_equal(second.observations, first.observations[:, ::-1])
    registration.register(describe("npz", "data.npz", columns=swapped, licence="MIT"), replace=True)
    calls: list[int] = []
    datumrl.load("user/robot-v1", path=copy, progress=lambda *_: calls.append(1))
    assert not calls  # a licence is not what columns depend on
    content = columns()
    save(tmp_path / "data.npz", {**content, "reward": content["reward"] + 1})
    registration.register(describe("npz", "data.npz", columns=swapped), replace=True)
    with pytest.raises(DatumrlError, match="expected sha256"):
        datumrl.load("user/robot-v1", path=copy)


def test_what_is_registered_survives_a_refused_replacement(
    describe: Callable[..., Path], tmp_path: Path
) -> None:
    """The links that stand for a pattern's files are those of the old description too."""
    (tmp_path / "logs").mkdir()
    save(tmp_path / "logs" / "a.npz", columns())
    done = registration.register(describe("npz", "logs/*.npz"))
    bad = {"rule": "fixed-length", "length": len(columns()["reward"]) - 1}
    with pytest.raises(DatumrlError):
        registration.register(describe("npz", "logs/*.npz", boundaries=bad), replace=True)
    assert len(datumrl.load("user/robot-v1")) == len(columns()["reward"])
    shutil.rmtree(next(done.path.parent.glob("*.files")))
    with pytest.raises(DatumrlError, match="is gone"):
        datumrl.load("user/robot-v1")
    assert registration.register(describe("npz", "logs/*.npz")).unchanged
    assert len(datumrl.load("user/robot-v1")) == len(columns()["reward"])


def test_columns_of_an_earlier_reader_are_made_anew(
    describe: Callable[..., Path], tmp_path: Path
) -> None:
    save(tmp_path / "data.npz", columns())
    done = registration.register(describe("npz", "data.npz"))
    folder = places.prepared_folder(done.record)
    known = prepared.provenance(folder)
    del known["source"]["meaning"]
    prepared.amend_provenance(folder, known)
    calls: list[int] = []
    for _ in range(2):
        datumrl.load("user/robot-v1", progress=lambda *_: calls.append(1))
    assert len(calls) == 1


def test_a_member_in_anothers_place_is_seen(describe: Callable[..., Path], tmp_path: Path) -> None:
    """Of the same sizes, and none newer than the newest was."""
    logs = tmp_path / "logs"
    logs.mkdir()
    for number, name in enumerate("ab"):
        content = columns()
        save(logs / f"{name}.npz", {**content, "reward": content["reward"] + number})
        os.utime(logs / f"{name}.npz", (1000 + number, 1000 + number))
    registration.register(describe("npz", "logs/*.npz"))
    datumrl.load("user/robot-v1")
    for source, target in (("a", "c"), ("b", "a"), ("c", "b")):
        (logs / f"{source}.npz").rename(logs / f"{target}.npz")
    with pytest.raises(DatumrlError, match="expected sha256"):
        datumrl.load("user/robot-v1")


def test_a_folder_known_by_its_newest_file_is_hashed_once(
    describe: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As columns made by an earlier datumrl have it."""
    save(tmp_path / "a.npz", columns())
    done = registration.register(describe("npz", "*.npz"))
    folder = places.prepared_folder(done.record)
    known = prepared.provenance(folder)
    del known["source"]["stamp"]
    known["source"]["mtime_ns"] = (tmp_path / "a.npz").stat().st_mtime_ns
    prepared.amend_provenance(folder, known)
    calls: list[int] = []
    datumrl.load("user/robot-v1", progress=lambda *_: calls.append(1))
    monkeypatch.setattr(identity, "sha256", None)  # a second hash would fail
    datumrl.load("user/robot-v1", progress=lambda *_: calls.append(1))
    assert not calls
