"""What is fetched, from servers and from disks, is checked, recorded and kept."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import http_server as web
import pytest
from fetch_checks import BODY, FILE, OTHER, assert_whole, fetch, hdf5, left_in, refused

from datumrl.datasets import catalogue, fetching, places
from datumrl.datasets.catalogue import DatasetRecord
from datumrl.datasets.downloading import Step


def test_a_download_is_recorded_as_unconfirmed(record: DatasetRecord, server: Any) -> None:
    fetched = fetch(record)
    assert_whole(fetched)
    assert fetched.path == places.raw_path(record)
    assert (fetched.how, fetched.confirmed, fetched.origin) == (
        "downloaded",
        False,
        server.url + FILE,
    )
    recorded = json.loads(fetching.sidecar_path(fetched.path).read_text())
    assert recorded["url"] == server.url + FILE
    assert recorded["etag"] == '"first"'
    assert recorded["last_modified"] == web.MODIFIED
    assert recorded["confirmed"] is False
    assert recorded["dataset"] == record.id


def test_the_next_fetch_verifies_and_downloads_nothing(record: DatasetRecord, server: Any) -> None:
    first = fetch(record)
    assert fetch(record) == replace(first, how="verified")
    assert len(server.requests) == 1


def test_a_file_changed_since_is_refused_until_forced(record: DatasetRecord) -> None:
    path = fetch(record).path
    path.write_bytes(OTHER)
    message = refused(record)
    for body in (BODY, OTHER):
        assert hashlib.sha256(body).hexdigest() in message
    assert "--force" in message
    assert path.read_bytes() == OTHER
    assert_whole(fetch(record, force=True))


def test_a_forced_fetch_tells_that_the_source_has_changed(
    record: DatasetRecord, server: Any
) -> None:
    first = fetch(record)
    server.bodies[FILE] = OTHER
    second = fetch(record, force=True)
    assert_whole(second, OTHER)
    assert second.replaced == first.sha256
    assert fetch(record, force=True).replaced is None


def test_a_failed_forced_fetch_leaves_what_was_there(record: DatasetRecord, server: Any) -> None:
    first = fetch(record)
    server.replies = [web.status(404)]
    assert "404" in refused(record, force=True)
    assert_whole(first)


@pytest.mark.parametrize(
    ("reply", "shown"),
    [
        (web.say(b"<!DOCTYPE html><html>Sign in</html>"), "<!DOCTYPE html><html>Sign in"),
        (web.say(b"\x89HDF"), "no HDF5 file"),
        (web.say(b""), "empty body"),
        (web.say(b"", announced=5000), "empty body"),
        (web.say(BODY[:-1]), f"cut off: {len(BODY) - 1:,} of {len(BODY):,} bytes"),
        (web.say(BODY, Content_Encoding="gzip"), "compresses"),
        (web.status(204), "204"),
    ],
)
def test_a_wrong_body_is_not_kept(
    record: DatasetRecord, server: Any, reply: Any, shown: str
) -> None:
    server.replies = [reply] * 20
    assert shown in refused(record)
    assert left_in(places.raw_path(record).parent) == set()


def test_the_catalogues_hash_confirms(record: DatasetRecord) -> None:
    fetched = fetch(replace(record, sha256=hashlib.sha256(BODY).hexdigest()))
    assert_whole(fetched)
    assert fetched.confirmed
    assert fetching.read_sidecar(fetched.path).confirmed


def test_a_source_against_the_catalogues_hash_is_refused(
    make_server: Callable[[], Any], record: DatasetRecord, server: Any
) -> None:
    record = replace(record, sha256=hashlib.sha256(OTHER).hexdigest())
    message = refused(record)
    assert record.sha256 in message
    assert hashlib.sha256(BODY).hexdigest() in message
    assert left_in(places.raw_path(record).parent) == set()
    mirror = make_server()
    mirror.bodies[FILE] = OTHER
    fetched = fetch(record, mirrors=[mirror.url])
    assert_whole(fetched, OTHER)
    assert fetched.confirmed


def test_a_hash_that_the_catalogue_learns_later(record: DatasetRecord) -> None:
    path = fetch(record).path
    assert "catalogue" in refused(replace(record, sha256=hashlib.sha256(OTHER).hexdigest()))
    assert fetch(replace(record, sha256=hashlib.sha256(BODY).hexdigest())).confirmed
    assert fetching.read_sidecar(path).confirmed


def test_an_imported_file_is_a_copy(record: DatasetRecord, server: Any, tmp_path: Path) -> None:
    source = tmp_path / "downloaded with a browser"
    source.write_bytes(BODY)
    fetched = fetch(record, source=source)
    assert_whole(fetched)
    assert (fetched.how, fetched.origin) == ("imported", str(source))
    source.write_bytes(b"edited")
    assert fetch(record).how == "verified"
    assert server.requests == []


def test_an_import_from_a_folder_takes_the_publishers_name(
    record: DatasetRecord, tmp_path: Path
) -> None:
    folder = tmp_path / "usb stick"
    folder.mkdir()
    assert "hopper_medium-v2.hdf5" in refused(record, source=folder)
    (folder / "hopper_medium-v2.hdf5").write_bytes(BODY)
    assert_whole(fetch(record, source=folder))


@pytest.mark.parametrize(
    ("content", "shown"),
    [(b"", "empty"), (b"PK\x03\x04 a zip", "PK"), (BODY[:40_000], "cut off"), (None, "no such")],
)
def test_a_bad_import_leaves_nothing(
    record: DatasetRecord, tmp_path: Path, content: bytes | None, shown: str
) -> None:
    source = tmp_path / "at-hand.hdf5"
    if content is not None:
        source.write_bytes(content)
    message = refused(record, source=source)
    assert shown in message
    assert str(source) in message
    assert left_in(places.raw_path(record).parent) == set()


def test_an_import_against_the_catalogues_hash(record: DatasetRecord, tmp_path: Path) -> None:
    source = tmp_path / "at-hand.hdf5"
    source.write_bytes(BODY)
    record = replace(record, sha256=hashlib.sha256(OTHER).hexdigest())
    assert record.sha256 in refused(record, source=source)
    assert left_in(places.raw_path(record).parent) == set()


def test_an_import_over_another_file_wants_force(record: DatasetRecord, tmp_path: Path) -> None:
    source = tmp_path / "at-hand.hdf5"
    source.write_bytes(BODY)
    fetch(record)
    assert fetch(record, source=source).how == "verified"
    source.write_bytes(OTHER)
    assert "--force" in refused(record, source=source)
    fetched = fetch(record, source=source, force=True)
    assert_whole(fetched, OTHER)
    assert fetched.replaced == hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def d4rl_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path) -> Path:
    monkeypatch.setenv("D4RL_DATASET_DIR", str(tmp_path / "d4rl"))
    (tmp_path / "d4rl").mkdir()
    return tmp_path / "d4rl" / "hopper_medium-v2.hdf5"


def test_d4rls_own_cache_is_used(record: DatasetRecord, server: Any, d4rl_cache: Path) -> None:
    d4rl_cache.write_bytes(OTHER)
    fetched = fetch(record)
    assert_whole(fetched, OTHER)
    assert (fetched.how, fetched.origin) == ("d4rl-cache", str(d4rl_cache))
    assert fetched.path.samefile(d4rl_cache)
    assert server.requests == []
    assert_whole(fetch(record, force=True))
    assert d4rl_cache.read_bytes() == OTHER


@pytest.mark.parametrize("target", ["../store/a.hdf5", "{}/store/a.hdf5"])
def test_links_in_d4rls_cache_are_followed(
    record: DatasetRecord, server: Any, d4rl_cache: Path, tmp_path: Path, target: str
) -> None:
    store = tmp_path / "store"
    store.mkdir()
    (store / "a.hdf5").write_bytes(BODY)
    d4rl_cache.symlink_to(target.format(tmp_path))
    # Where a link of that text would lead from our own folder; nothing is to be written there.
    (places.raw_path(record).parent.parent / "store").mkdir(parents=True)
    fetched = fetch(record)
    assert fetched.how == "d4rl-cache"
    assert fetched.path.samefile(store / "a.hdf5")
    (store / "a.hdf5").unlink()
    assert_whole(fetched)
    assert left_in(places.raw_path(record).parent.parent / "store") == set()
    assert server.requests == []


def test_d4rls_cache_in_its_default_place(
    record: DatasetRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("D4RL_DATASET_DIR")
    monkeypatch.setenv("HOME", str(tmp_path))
    cached = tmp_path / ".d4rl" / "datasets" / "hopper_medium-v2.hdf5"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(BODY)
    assert fetch(record).origin == str(cached)


def test_a_download_that_d4rl_left_cut_off_is_not_used(
    record: DatasetRecord, d4rl_cache: Path
) -> None:
    d4rl_cache.write_bytes(BODY[:30_000])
    told: list[Step | str] = []
    fetched = fetch(record, progress=told.append)
    assert_whole(fetched)
    assert fetched.how == "downloaded"
    assert any("cut off" in step for step in told if isinstance(step, str))
    assert d4rl_cache.read_bytes() == BODY[:30_000]


def test_a_file_without_a_record_is_recorded(record: DatasetRecord, server: Any) -> None:
    path = places.raw_path(record)
    path.parent.mkdir(parents=True)
    path.write_bytes(BODY[:-5])
    assert "cut off" in refused(record)
    path.write_bytes(BODY)
    assert fetch(record).how == "verified"
    assert_whole(fetch(record))
    assert server.requests == []


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"sha256": "00"}'])
def test_a_damaged_record(record: DatasetRecord, content: str) -> None:
    path = fetch(record).path
    fetching.sidecar_path(path).write_text(content)
    message = refused(record)
    assert str(fetching.sidecar_path(path)) in message
    assert "delete" in message
    assert_whole(fetch(record, force=True))


def test_a_local_dataset_is_collected() -> None:
    message = refused(catalogue.find("local/inverted-pendulum-medium-v1"))
    assert "datumrl collect local/inverted-pendulum-medium-v1" in message


def test_a_disk_too_small_for_what_is_announced(record: DatasetRecord, server: Any) -> None:
    server.replies = [web.say(BODY, announced=10**16)]
    message = refused(record)
    assert "free some space" in message
    assert "10,000,000,000 MB" in message


@pytest.mark.parametrize("by_import", [False, True])
def test_a_full_disk(
    record: DatasetRecord,
    server: Any,
    small_disk: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    by_import: bool,
) -> None:
    monkeypatch.setenv("DATUMRL_HOME", str(small_disk))
    big = BODY + bytes(2**19)
    source = tmp_path / "big.hdf5"
    source.write_bytes(big)
    server.bodies[FILE] = big
    server.replies = [web.chunked()]
    message = refused(record, source=source if by_import else None)
    assert "the disk is full" in message
    assert not places.raw_path(record).exists()


def test_a_folder_that_may_not_be_written(
    record: DatasetRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not Path("/sys").exists():
        pytest.skip("needs a folder that not even root may write")
    monkeypatch.setenv("DATUMRL_HOME", "/sys/datumrl")
    assert "DATUMRL_HOME" in refused(record)


def test_a_read_only_folder_can_be_verified(record: DatasetRecord, small_disk: Path) -> None:
    small = small_disk / "home"
    shutil.copytree(fetch(record).path.parents[2], small)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATUMRL_HOME", str(small))
        assert fetch(record).how == "verified"
        assert "read-only" in refused(record, force=True)


@pytest.mark.parametrize("version", ["earliest", "v108", "latest"])
def test_a_cut_is_seen_in_every_version_of_hdf5(
    record: DatasetRecord, server: Any, version: str
) -> None:
    body = hdf5(2, version)
    server.replies = [web.say(body[:-1])]
    assert "cut off" in refused(record)
    server.bodies[FILE] = body
    assert_whole(fetch(record), body)


@pytest.mark.parametrize(
    "dataset", ["d4rl/hopper-medium-v2", "rlu/cartpole_swingup", "minari/D4RL/door/human-v2"]
)
def test_a_path_below_a_user_that_does_not_exist(dataset: str, home: Path) -> None:
    path = Path("~nobody-of-that-name/data")
    message = refused(catalogue.find(dataset), source=path)
    assert f"--from {path}: no such user" in message


def test_a_cache_of_d4rls_below_a_user_that_does_not_exist(
    record: DatasetRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("D4RL_DATASET_DIR", "~nobody-of-that-name/d")
    assert "D4RL_DATASET_DIR=~nobody-of-that-name/d: no such user" in refused(record)
