"""`datumrl datasets`: filters, the facts of one dataset, nothing cut off."""

from __future__ import annotations

import json

import numpy as np
import pytest

from datumrl.datasets import catalogue
from datumrl.evaluation import recipes
from datumrl.scripts import console
from datumrl.scripts.main import main


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("DATUMRL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("D4RL_DATASET_DIR", str(tmp_path / "none"))
    monkeypatch.setenv("COLUMNS", "80")


def listed(capsys, *options):
    assert main(["datasets", "--json", *options]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("options", "holds"),
    [
        (["--collection", "neorl2"], lambda r: r["id"].startswith("neorl2/")),
        (["--actions", "discrete"], lambda r: r["discrete_actions"]),
        (["--environment", "HOPPER"], lambda r: "hopper" in json.dumps(r).lower()),
        (["--max-rows", "100000"], lambda r: r["rows"] <= 100_000),
    ],
)
def test_filters_keep_what_they_name_and_drop_the_rest(options, holds, capsys):
    some, everything = listed(capsys, *options), listed(capsys)
    assert 0 < len(some) < len(everything)
    assert all(holds(record) for record in some)


def test_only_what_is_here(capsys):
    assert listed(capsys, "--here") == []
    assert main(["collect", "local/inverted-pendulum-random-v1@1k"]) == 0
    capsys.readouterr()
    assert listed(capsys, "--here") == []  # a prefix is not the dataset


@pytest.mark.slow
def test_ids_are_never_cut_off(capsys):
    assert main(["datasets", "--all"]) == 0
    shown = capsys.readouterr().out
    for record in catalogue.all_records():
        assert record.id in shown


def test_without_a_filter_the_collections_are_listed(capsys):
    assert main(["datasets"]) == 0
    shown = capsys.readouterr().out
    for collection in {record.collection for record in catalogue.all_records()}:
        assert collection in shown
    assert len(shown.splitlines()) < 30


def test_all_that_is_known_of_one(capsys):
    assert main(["datasets", "d4rl/antmaze-umaze-v2"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "only the nearest, not equivalent" in shown
    assert "its publisher's antmaze-umaze-v2" in shown
    assert "@article{fu2020d4rl," in shown
    assert "repeated while the ant stays at the goal" in shown


@pytest.mark.parametrize("terminal", [False, True])
def test_what_one_would_copy_is_on_one_line(terminal, capsys, monkeypatch):
    monkeypatch.setattr(console.output, "_force_terminal", terminal)
    monkeypatch.setattr(console.output, "width", 80)
    assert main(["datasets", "d4rl/hopper-medium-v2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for url in catalogue.find("d4rl/hopper-medium-v2").urls:
        assert any(line.split() == ["url", url] for line in lines)
    wide = [line for line in lines if len(line) > 80]
    assert all("http" in line for line in wide) == terminal  # prose is folded for eyes only
    assert any(line == " " * 19 + "  year = {2020}" for line in lines)
    assert main(["datasets"]) == 0
    table = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert table[0] == ["collection", "datasets", "here", "for", "example"]
    for name, *_, example in table[1:]:
        assert catalogue.find(example).collection == name


def test_an_unknown_collection_is_refused(capsys):
    assert main(["datasets", "--collection", "d5rl2"]) == 2
    assert "is none of d4rl" in capsys.readouterr().err


def test_sizes_of_local_datasets_are_those_of_their_recipes():
    for record in catalogue.all_records():
        if record.collection == "local":
            assert record.rows == recipes.recipe_for(record).transitions


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["d4rl"], "that is a collection: `datumrl datasets --collection d4rl` lists it"),
        (["nope"], "the nearest is"),
        (["--max-rows", "-1"], "--max-rows -1: give 1 transition"),
    ],
)
def test_nonsense_is_answered_with_what_to_do(arguments, said, capsys):
    assert main(["datasets", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_the_hash_of_what_was_fetched_is_shown(tmp_path, capsys):
    (tmp_path / "folder").mkdir()
    arrays = {name: np.zeros(2) for name in ("reward", "action", "image")}
    np.savez(tmp_path / "folder" / "0.npz", **arrays)
    name = "vd4rl/main/cheetah_run/medium/64px"
    assert main(["fetch", name, "--from", str(tmp_path / "folder"), "--json"]) == 0
    fetched = json.loads(capsys.readouterr().out)
    assert main(["datasets", name]) == 0
    told = "".join(capsys.readouterr().out.split())
    assert (fetched[0] if isinstance(fetched, list) else fetched)["sha256"] in told


def test_a_pipe_gets_a_line_per_dataset_and_a_narrow_terminal_the_first_columns(
    capsys, monkeypatch
):
    monkeypatch.setattr(console.output, "width", 70)
    assert main(["datasets", "--collection", "vd4rl"]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split() == ["dataset", "environment", "obs", "act", "reference"]
    assert len(lines) == sum(each.collection == "vd4rl" for each in catalogue.all_records())
    assert all(line.endswith("1000") for line in lines)
    monkeypatch.setattr(console.output, "_force_terminal", True)
    assert main(["datasets", "--collection", "vd4rl"]) == 0
    told = capsys.readouterr()
    assert told.out.splitlines()[0].split() == ["dataset", "environment"]
    assert all(len(line) <= 70 for line in told.out.splitlines())
    assert "not shown in 70 columns: obs, act, reference" in told.err


@pytest.mark.parametrize(
    ("dataset", "told"),
    [
        ("neorl/Hopper-v3-low-100", "at most 100,000"),  # an episode may end by a fall
        ("neorl/HalfCheetah-v3-low-100", "about 100,000"),
        ("neorl2/RocketRecovery", "at most 50,000"),
    ],
)
def test_transitions_are_a_bound_where_episodes_end_early(dataset, told, capsys):
    assert main(["datasets", dataset]) == 0
    assert told in capsys.readouterr().out
    assert listed(capsys, "--environment", dataset)[0]["rows_at_most"] == told.startswith("at most")
