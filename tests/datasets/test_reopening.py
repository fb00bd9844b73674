"""Episodes on their way to another process: small where a folder holds them, always equal."""

from __future__ import annotations

import copy
import pickle
import shutil
from dataclasses import fields, replace

import numpy as np
import pytest

from datumrl.datasets import columns, prepared
from datumrl.datasets.episodes import Episodes
from datumrl.datasets.errors import DatumrlError

ID = "d4rl/hopper-medium-v2"
FLAGS = "----T---O-----" * 2000


@pytest.fixture
def folder(tmp_path, make_episodes):
    made = make_episodes(FLAGS, stored={8: 44, 22: 7}, sha256="ab", notes=("one",))
    extras = {"infos/qpos": np.arange(2.0 * len(made)).reshape(-1, 2)}
    prepared.write(tmp_path / "columns", made, {"source": {"sha256": "ab"}}, extras)
    return tmp_path / "columns"


@pytest.fixture
def opened(folder):
    return prepared.read(folder, ID)


def passed_on(thing):
    """Return what another process would get, and in how many bytes."""
    sent = pickle.dumps(thing)
    return pickle.loads(sent), len(sent)


def assert_equal(one: Episodes, other: Episodes):
    for each in fields(Episodes):
        here, there = getattr(one, each.name), getattr(other, each.name)
        if each.name == "infos":
            assert list(here) == list(there)
            for name in here:
                np.testing.assert_array_equal(here[name], there[name])
        elif isinstance(here, np.ndarray | dict):
            pairs = zip(columns.parts(here).items(), columns.parts(there).items(), strict=True)
            for (name, values), (called, found) in pairs:
                assert (name, values.dtype) == (called, found.dtype)
                np.testing.assert_array_equal(values, found)
        else:
            assert here == there, each.name


def in_file(values):
    return isinstance(values, np.memmap) and values.filename is not None


def test_untouched_columns_are_passed_on_as_their_folder(opened):
    again, size = passed_on(opened)
    assert size < 3000 < opened.observations.nbytes
    assert_equal(again, opened)
    assert in_file(again.observations)
    assert not again.observations.flags.writeable
    again.validate()
    assert passed_on(again)[1] == size


@pytest.mark.parametrize("rows", [1, 7, 10_000, 28_000])
def test_a_prefix_is_passed_on_as_rows_of_the_folder(opened, rows):
    cut = replace(opened.prefix(rows), id="local/mine@1k")
    again, size = passed_on(cut)
    assert size < 3000
    assert_equal(again, cut)
    assert in_file(again.actions)
    assert passed_on(again)[1] == size


def test_windows_and_transitions_by_number_follow(opened):
    for view in ("correct", "d4rl-legacy"):
        index = opened.index(view)
        again, size = passed_on(index)
        assert size < 4000 + index.skipped.nbytes
        asked = np.array([0, 5, 25_000])
        np.testing.assert_array_equal(
            again.gather(asked).next_observations, index.gather(asked).next_observations
        )
    windows = opened.sequences(20)
    assert windows.returns_to_go[8] == opened.rewards[8]  # and is kept from now on
    again, size = passed_on(windows)
    assert size < 3000
    np.testing.assert_array_equal(again.returns_to_go, windows.returns_to_go)
    np.testing.assert_array_equal(again.gather([3]).actions, windows.gather([3]).actions)


def test_whatever_is_not_the_folders_is_passed_on_itself(opened):
    half = len(opened) // 2
    changed = [
        replace(opened, rewards=opened.rewards / 2),
        replace(opened, rewards=opened.rewards[::-1]),
        replace(opened, actions=opened.observations[:, :1]),
        replace(opened, observations=np.zeros_like(opened.observations)),
        replace(opened, observations={"all": opened.observations}, successors=opened.successors),
        replace(opened, terminals=opened.timeouts, timeouts=opened.terminals),
        replace(opened, rewards=opened.rewards.view("i4")),
        replace(opened, infos={"qpos": np.ones(3)}, origin=None),
    ]
    for each in changed:
        again, size = passed_on(each)
        assert_equal(again, each)
        assert size > len(opened) // 2
    second = replace(opened, rewards=opened.rewards[half:], sha256=None, notes=())
    again, size = passed_on(second)
    assert size < 3000
    assert_equal(again, second)


def test_dicts_of_columns_and_none_at_all_are_passed_on(tmp_path, make_episodes):
    plain = make_episodes(FLAGS, stored={8: 44})
    named = {"a/b": plain.observations, "image": np.ones((len(plain), 3, 3), np.uint8)}
    stored = {"a/b": plain.successors, "image": np.zeros((1, 3, 3), np.uint8)}
    made = replace(plain, observations=named, successors=stored)
    for name, episodes in (("dict", made), ("none", make_episodes(""))):
        prepared.write(tmp_path / name, episodes, {})
        opened = prepared.read(tmp_path / name, ID)
        again, size = passed_on(opened)
        assert size < 3000
        assert_equal(again, opened)
        own = replace(opened, observations={"x": opened.rewards[:, None]})
        assert_equal(passed_on(own)[0], own)


def test_a_folder_that_holds_something_else_is_not_reopened(folder, opened, make_episodes):
    sent = pickle.dumps(opened)
    prepared.amend_provenance(folder, {"source": {"sha256": "ab", "stamp": [1, 2]}})
    assert_equal(pickle.loads(sent), opened)  # it was only looked at
    shutil.rmtree(folder)
    with pytest.raises(DatumrlError, match="does not exist"):
        pickle.loads(sent)
    other = make_episodes(FLAGS, stored={8: 44, 22: 7}, sha256="cd", notes=("one",))
    prepared.write(folder, other, {"source": {"sha256": "cd"}})
    with pytest.raises(DatumrlError, match=f"is not what it was when {ID} was pickled; load"):
        pickle.loads(sent)
    assert_equal(pickle.loads(pickle.dumps(replace(opened, infos={}))), replace(opened, infos={}))


def test_copies_in_memory_are_the_users_own(opened):
    assert copy.copy(opened).rewards is opened.rewards
    own = copy.deepcopy(opened)
    assert_equal(own, opened)
    own.rewards[0] = 99
    assert opened.rewards[0] != 99
    again, _ = passed_on(own)
    assert again.rewards[0] == 99
