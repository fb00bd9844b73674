"""The catalogue: ids, prefixes, facts of records, and errors that name the nearest."""

from __future__ import annotations

import re

import pytest

from datumrl.datasets import catalogue, places
from datumrl.datasets.errors import DatumrlError


def test_every_id_finds_its_record():
    records = catalogue.all_records()
    assert len({record.id for record in records}) == len(records) > 190
    for record in records:
        assert catalogue.find(record.id) is record
        if record.reference is not None:
            assert record.reference.minimum < record.reference.maximum
            assert record.reference.origin
        assert record.observation_dim > 0 or record.observation_layout != "flat"
        assert record.action_dim >= 0  # 0: not known, or another number in every row
        assert record.licence
        assert record.citation


def test_facts_of_one_record_are_those_published():
    record = catalogue.find("d4rl/hopper-medium-v2")
    assert (record.observation_dim, record.action_dim, record.time_limit) == (11, 3, 1000)
    assert record.environment.id == "Hopper-v4"
    assert record.reference.minimum == pytest.approx(-20.272305)
    assert record.reference.maximum == pytest.approx(3234.3)
    assert record.urls[0].endswith("/gym_mujoco_v2/hopper_medium-v2.hdf5")


def test_ant_is_evaluated_without_contact_forces_as_its_data_were_collected():
    ants = [r for r in catalogue.all_records() if re.match("d4rl/ant-", r.id)]
    assert len(ants) == 18
    for record in ants:
        assert record.environment.id == "datumrl/AntZeroContact-v1"
        assert record.environment.equivalent
        assert "MuJoCo 2.0" in record.environment.note
        assert any("openai/gym#1541" in erratum for erratum in record.errata)
        assert record.observation_dim == 111


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [
        ("hopper-medium-v2", "did you mean 'd4rl/hopper-medium-v2'"),
        ("d4rl/hopper-medium-v3", "d4rl/hopper-medium-v2"),
        ("halfchetah-medium-v2", "d4rl/halfcheetah-medium-v2"),
        ("", "`datumrl datasets`"),
        ("zzz", "`datumrl datasets`"),
    ],
)
def test_an_unknown_id_is_answered_with_the_nearest(wrong, nearest):
    with pytest.raises(DatumrlError, match=nearest):
        catalogue.find(wrong)


@pytest.mark.parametrize(
    ("size", "rows"), [("100k", 100_000), ("1M", 1_000_000), ("50000", 50_000)]
)
def test_prefixes_of_local_datasets(size, rows):
    record = catalogue.find(f"local/inverted-pendulum-medium-v1@{size}")
    assert record.prefix == rows
    assert record.full_id == "local/inverted-pendulum-medium-v1"


@pytest.mark.parametrize("size", ["", "0", "-1", "1e5", "10kk", "k", "9999999999"])
def test_a_prefix_that_is_no_size_is_refused(size):
    with pytest.raises(DatumrlError, match="no number of transitions"):
        catalogue.find(f"local/inverted-pendulum-medium-v1@{size}")


def test_downloaded_datasets_have_no_prefixes():
    with pytest.raises(DatumrlError, match="only local datasets have prefixes"):
        catalogue.find("d4rl/hopper-medium-v2@100k")


def test_no_two_datasets_share_a_place(home):
    records = catalogue.all_records()
    folders = {places.prepared_folder(record) for record in records}
    # Some ids differ in their time limit only and share a file.
    raw = {record.urls[0]: places.raw_path(record) for record in records if record.urls}
    assert len(folders) == len(records)
    assert len(set(raw.values())) == len(raw)
    assert all(path.is_relative_to(home) for path in [*folders, *raw.values()])


def test_places_of_each_kind(home, tmp_path):
    hopper = catalogue.find("d4rl/hopper-medium-v2")
    assert places.raw_path(hopper) == home / "raw/d4rl/hopper_medium-v2.hdf5"
    assert places.prepared_folder(hopper) == home / "prepared/d4rl/hopper-medium-v2"
    assert places.d4rl_cache_path(hopper) == tmp_path / "no-d4rl-cache/hopper_medium-v2.hdf5"
    prefix = catalogue.find("local/inverted-pendulum-medium-v1@10k")
    assert places.local_folder(prefix) == home / "local/inverted-pendulum-medium-v1@10k"
    assert places.prepared_folder(prefix) == places.local_folder(prefix)


def test_what_is_known_is_asked_without_a_search_for_names_alike() -> None:
    assert catalogue.known("d4rl/hopper-medium-v2") == catalogue.find("d4rl/hopper-medium-v2")
    assert catalogue.known("ant-random-medium-1%-v2") is None
    with pytest.raises(DatumrlError, match="prefix"):
        catalogue.known("d4rl/hopper-medium-v2@10k")


def test_an_unknown_name_of_one_s_own_is_sent_to_register() -> None:
    with pytest.raises(DatumrlError, match=r"`datumrl register FILE\.toml` adds your own data"):
        catalogue.find("user/grasping")
