"""Loading by id: converts once, opens afterwards, and knows whose columns are there."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from datumrl.datasets import (
    catalogue,
    fetching,
    identity,
    leftovers,
    loading,
    places,
    prepared,
    registration,
)
from datumrl.datasets.errors import DatumrlError

ID = "d4rl/hopper-medium-v2"
HOPPER = catalogue.find(ID)
PENDULUM = "local/inverted-pendulum-mixed-v1"


@pytest.fixture
def describe_robot(home, tmp_path):
    """Register a file of one's own under an id."""

    def register(dataset_id):
        rows = np.arange(4.0)
        columns = {"observations": rows, "actions": rows / 10, "rewards": rows}
        np.savez(tmp_path / "robot.npz", terminals=rows == 3, **columns)
        names = "".join(f'{name} = "{name}"\n' for name in [*columns, "terminals"])
        (tmp_path / "robot.toml").write_text(
            f'id = "{dataset_id}"\nformat = "npz"\npath = "robot.npz"\n[columns]\n{names}'
            '[boundaries]\nrule = "flags"\n'
        )
        return registration.register(tmp_path / "robot.toml")

    return register


@pytest.fixture
def raw(home, d4rl_files):
    content = d4rl_files.columns(np.random.default_rng(0), 200, terminals=0.05, timeouts=0.02)
    return d4rl_files.write(places.raw_path(HOPPER), content)


class Conversions(list):
    """A progress callback: empty means that nothing was converted."""

    def __call__(self, done, total):
        self.append((done, total))


def test_the_first_load_converts_and_later_ones_open(raw):
    first, second = Conversions(), Conversions()
    episodes = loading.load(ID, progress=first)
    again = loading.load(ID, progress=second)
    assert len(first) > 0
    assert not second
    assert isinstance(episodes.observations, np.memmap)
    np.testing.assert_array_equal(episodes.observations, again.observations)
    assert (
        episodes.sha256 == prepared.provenance(places.prepared_folder(HOPPER))["source"]["sha256"]
    )


def test_prepared_columns_are_enough_without_the_file(raw):
    loading.load(ID)
    raw.unlink()
    assert len(loading.load(ID)) == 200


def test_a_file_with_other_content_is_converted_anew(raw, d4rl_files):
    loading.load(ID)
    content = d4rl_files.columns(np.random.default_rng(1), 300, timeouts=0.02)
    d4rl_files.write(raw, content)
    assert len(loading.load(ID)) == 300


def test_the_same_file_with_another_date_is_recognised_and_remembered(raw, monkeypatch):
    loading.load(ID)
    os.utime(raw, (1, 1))
    again = Conversions()
    loading.load(ID, progress=again)
    assert not again
    monkeypatch.setattr(loading.identity, "sha256", None)  # a second hash would fail
    loading.load(ID)


def test_d4rls_own_cache_is_used(raw, tmp_path, monkeypatch):
    cache = tmp_path / "d4rl"
    cache.mkdir()
    shutil.move(raw, cache / "hopper_medium-v2.hdf5")
    monkeypatch.setenv("D4RL_DATASET_DIR", str(cache))
    assert len(loading.load(ID)) == 200


def test_the_default_of_d4rls_cache_is_in_the_users_home(raw, tmp_path, monkeypatch):
    monkeypatch.delenv("D4RL_DATASET_DIR")
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    cache = tmp_path / "user" / ".d4rl" / "datasets"
    cache.mkdir(parents=True)
    shutil.move(raw, cache / "hopper_medium-v2.hdf5")
    assert len(loading.load(ID)) == 200


def test_a_file_given_by_path_does_not_become_what_the_id_means(raw, tmp_path, d4rl_files):
    mine = tmp_path / "mine.hdf5"
    d4rl_files.write(mine, d4rl_files.columns(np.random.default_rng(2), 50, timeouts=0.1))
    assert len(loading.load(ID, path=mine)) == 50
    assert len(loading.load(ID)) == 200
    again = Conversions()
    assert len(loading.load(ID, path=str(mine), progress=again)) == 50
    assert not again


def test_qlearning_dataset_is_d4rls_dict(raw):
    found = loading.qlearning_dataset(ID)
    legacy = loading.load(ID).transitions("d4rl-legacy")
    assert list(found) == ["observations", "actions", "next_observations", "rewards", "terminals"]
    for name, values in found.items():
        np.testing.assert_array_equal(values, getattr(legacy, name))


def test_opening_prepared_columns_does_not_import_h5py(raw):
    loading.load(ID)
    code = f"import sys, datumrl; datumrl.load({ID!r}); sys.exit('h5py' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_conversion_killed_midway_leaves_nothing_that_counts(raw):
    code = (
        "import os, signal, datumrl\n"
        f"datumrl.load({ID!r}, progress=lambda done, total: os.kill(os.getpid(), {signal.SIGKILL}))"
    )
    process = subprocess.run([sys.executable, "-c", code], check=False)
    assert process.returncode == -signal.SIGKILL
    folder = places.prepared_folder(HOPPER)
    assert not folder.exists()
    assert len(list(folder.parent.glob(".*.tmp"))) == 1
    assert len(loading.load(ID)) == 200
    assert list(folder.parent.glob("*.tmp")) == []


def test_first_loads_at_once_convert_once(raw):
    code = (
        "import datumrl\n"
        "calls = []\n"
        f"rows = len(datumrl.load({ID!r}, progress=lambda *call: calls.append(call)))\n"
        "print(rows, len(calls) > 0)"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    answers = sorted(process.communicate(timeout=60)[0].split() for process in processes)
    assert answers == [["200", "False"], ["200", "False"], ["200", "True"]]


def test_columns_of_another_option_of_the_record_are_converted_anew(raw, monkeypatch):
    loading.load(ID)
    folder = places.prepared_folder(HOPPER)
    other = dataclasses.replace(HOPPER, options=(("family", "gym-mujoco"), ("told", True)))
    monkeypatch.setattr(loading, "find", lambda _: other)
    calls = [Conversions(), Conversions()]
    for call in calls:
        loading.load(ID, progress=call)
    assert [len(call) > 0 for call in calls] == [True, False]
    assert len(prepared.provenance(folder)["source"]["meaning"]) == 64


def test_columns_of_antmaze_made_by_the_first_reader_are_converted_anew():
    known = {"size": 1, "mtime_ns": 2, "sha256": "0"}
    antmaze = catalogue.find("d4rl/antmaze-umaze-v2")
    assert identity.is_current((1, 2), antmaze, known) is False  # its resets were told by x or y
    assert identity.is_current((1, 2), HOPPER, known) is True


def test_columns_made_before_meanings_were_kept_are_opened(raw, monkeypatch):
    loading.load(ID)
    folder = places.prepared_folder(HOPPER)
    known = prepared.provenance(folder)
    known["source"] = {
        "size": raw.stat().st_size,
        "mtime_ns": raw.stat().st_mtime_ns,
        "sha256": known["source"]["sha256"],
    }
    prepared.amend_provenance(folder, known)
    monkeypatch.setattr(loading.identity, "sha256", None)  # nor is a file hashed for it
    again = Conversions()
    loading.load(ID, progress=again)
    assert not again


def test_a_conversion_of_another_name_goes_on(home, tmp_path, describe_robot):
    """Of user/robot.v2, while user/robot is converted."""
    folder = home / "prepared" / "user" / "robot"
    folder.parent.mkdir(parents=True)
    other, lock = leftovers.new_folder(folder.with_name("robot.v2"))
    abandoned, gone = leftovers.new_folder(folder)
    leftovers.release(gone)
    describe_robot("user/robot")
    shutil.rmtree(folder)
    loading.load("user/robot")
    assert other.is_dir()
    assert not abandoned.exists()
    leftovers.release(lock)


@pytest.mark.parametrize("beside", ['{"made": "by a logger"}', "[]", "{"])
def test_what_lies_beside_a_file_given_by_path_is_not_ours(raw, tmp_path, beside):
    mine = shutil.copy(raw, tmp_path / "mine.hdf5")
    (tmp_path / "mine.hdf5.json").write_text(beside)
    assert len(loading.load(ID, path=mine)) == 200


def test_home_may_be_given_by_the_users_folder(raw, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DATUMRL_HOME", "~/home")
    assert len(loading.load(ID)) == 200
    assert (tmp_path / "home" / "prepared").is_dir()
    monkeypatch.setenv("DATUMRL_HOME", "~nobody-of-that-name/home")
    with pytest.raises(DatumrlError, match="DATUMRL_HOME=~nobody-of-that-name/home: no such user"):
        loading.load(ID)


@pytest.fixture
def pendulum(home, make_episodes):
    record = catalogue.find(PENDULUM)
    episodes = make_episodes("--T-O----O-", id=PENDULUM)
    prepared.write(places.prepared_folder(record), episodes, {"made": "by hand"})
    return episodes


def test_a_local_dataset_opens_from_its_folder(pendulum, home):
    assert len(loading.load(PENDULUM)) == 11
    assert len(loading.load(PENDULUM, path=home / PENDULUM)) == 11


def test_a_prefix_is_cut_from_the_whole_unless_it_was_collected_itself(
    pendulum, home, make_episodes
):
    prefix = loading.load(f"{PENDULUM}@4")
    assert prefix.id == f"{PENDULUM}@4"
    assert prefix.starts.tolist() == [0, 3, 5]
    own = make_episodes("----T", id=f"{PENDULUM}@4")
    prepared.write(home / f"{PENDULUM}@4", own, {})
    assert loading.load(f"{PENDULUM}@4").starts.tolist() == [0, 5]
    with pytest.raises(DatumrlError, match="@10000: the dataset holds 11 rows"):
        loading.load(f"{PENDULUM}@10k")


def test_what_is_not_here_is_told_with_the_command_that_gets_it(home):
    with pytest.raises(DatumrlError, match=f"{ID} is not here; run `datumrl fetch {ID}`"):
        loading.load(ID)
    with pytest.raises(DatumrlError, match=f"`datumrl collect {PENDULUM}@10k`"):
        loading.load(f"{PENDULUM}@10k")
    with pytest.raises(DatumrlError, match=f"`datumrl collect {PENDULUM}`"):
        places.raw_path(catalogue.find(PENDULUM))


def test_a_file_changed_since_it_was_fetched_is_refused(home, tmp_path, d4rl_files):
    contents = [d4rl_files.columns(np.random.default_rng(seed), 30) for seed in (0, 1)]
    at_hand = d4rl_files.write(tmp_path / "hopper_medium-v2.hdf5", contents[0])
    fetched = fetching.fetch(HOPPER, source=at_hand)
    d4rl_files.write(fetched.path, contents[1])
    with pytest.raises(DatumrlError, match=f"expected sha256 {fetched.sha256}"):
        loading.load(ID)
