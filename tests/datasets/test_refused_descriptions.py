"""Descriptions that are nonsense or do not fit the data are refused before anything is written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from robot_files import COLUMNS, FORMATS, ROWS, columns, save

from datumrl.datasets import catalogue, registration
from datumrl.datasets.errors import DatumrlError


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
