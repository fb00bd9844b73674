"""Fetching from real servers on this machine that truncate, fail, redirect, lie and hang."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from datumrl.datasets import catalogue, fetching, places
from datumrl.datasets.catalogue import DatasetRecord
from datumrl.datasets.downloading import ATTEMPTS, Step
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.fetching import Fetched

_SPEC = importlib.util.spec_from_file_location(
    "http_server", Path(__file__).parent / "http_server.py"
)
web = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(web)

FILE = "/gym_mujoco_v2/hopper_medium-v2.hdf5"
PAUSE = 0.01


def hdf5(seed: int, version: str = "earliest") -> bytes:
    """A whole HDF5 file of about 50 kB."""
    memory = io.BytesIO()
    with h5py.File(memory, "w", libver=version) as file:
        file["observations"] = np.random.default_rng(seed).random((1000, 11), np.float32)
    return memory.getvalue()


BODY, OTHER = hdf5(0), hdf5(1)
# The same size, so that nothing but a validator or a hash tells the two apart.
assert len(BODY) == len(OTHER)


@pytest.fixture
def make_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("DATUMRL_MIRRORS", raising=False)
    servers = []

    def make(**options: Any) -> Any:
        server = web.Server(**options)
        server.bodies[FILE] = BODY
        servers.append(server)
        return server

    yield make
    for server in servers:
        server.close()


@pytest.fixture
def server(make_server: Callable[[], Any]) -> Any:
    return make_server()


@pytest.fixture
def record(server: Any, home: Path) -> DatasetRecord:
    return replace(catalogue.find("d4rl/hopper-medium-v2"), urls=(server.url + FILE,))


def fetch(record: DatasetRecord, **options: Any) -> Fetched:
    return fetching.fetch(record, **{"pause": PAUSE, "timeout": 5.0, **options})


def left_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def assert_whole(fetched: Fetched, body: bytes = BODY) -> None:
    """The right bytes, the right record, and nothing else in the folder."""
    assert fetched.path.read_bytes() == body
    assert fetched.sha256 == hashlib.sha256(body).hexdigest()
    sidecar = fetching.read_sidecar(fetched.path)
    assert (sidecar.sha256, sidecar.size) == (fetched.sha256, len(body))
    assert left_in(fetched.path.parent) == {fetched.path.name, f"{fetched.path.name}.json"}


def refused(record: DatasetRecord, **options: Any) -> str:
    with pytest.raises(DatumrlError) as caught:
        fetch(record, **options)
    return str(caught.value)


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


@pytest.mark.parametrize("breaks", [web.truncate, web.reset])
def test_a_broken_download_goes_on_where_it_stopped(
    record: DatasetRecord, server: Any, breaks: Any
) -> None:
    server.replies = [breaks(10_000), breaks(5_000)]
    told: list[Step | str] = []
    assert_whole(fetch(record, progress=told.append))
    assert server.ranges == [None, "bytes=10000-", "bytes=15000-"]
    assert server.requests[1][1]["If-Range"] == '"first"'
    steps = [step for step in told if isinstance(step, Step) and step.activity.startswith("down")]
    assert steps[-1].done == steps[-1].total == len(BODY)
    assert any("15,000" in step for step in told if isinstance(step, str))


def test_a_file_that_changed_meanwhile_starts_again(record: DatasetRecord, server: Any) -> None:
    def change(handler: Any) -> None:
        web.truncate(10_000)(handler)
        server.bodies[FILE], server.etag = OTHER, '"second"'

    server.replies = [change]
    assert_whole(fetch(record), OTHER)
    assert server.ranges == [None, "bytes=10000-"]


def test_a_server_that_goes_on_with_another_file_is_noticed(
    record: DatasetRecord, server: Any
) -> None:
    def change(handler: Any) -> None:
        web.truncate(10_000)(handler)
        server.bodies[FILE], server.etag = OTHER, '"second"'

    server.replies = [change, web.ignore_validator]
    assert_whole(fetch(record), OTHER)


def test_a_server_that_cannot_go_on_starts_again(record: DatasetRecord, server: Any) -> None:
    server.replies = [web.truncate(10_000), web.ignore_range]
    assert_whole(fetch(record))


@pytest.mark.parametrize(
    ("etag", "modified", "expected"),
    [
        ('W/"weak"', web.MODIFIED, web.MODIFIED),
        (None, web.MODIFIED, web.MODIFIED),
        ('W/"weak"', None, None),
        (None, None, None),
    ],
)
def test_only_a_strong_validator_lets_a_download_go_on(
    record: DatasetRecord, server: Any, etag: str, modified: str, expected: str | None
) -> None:
    server.etag, server.last_modified = etag, modified
    server.replies = [web.truncate(10_000)]
    assert_whole(fetch(record))
    assert server.requests[1][1].get("If-Range") == expected
    assert server.ranges[1] == (expected and "bytes=10000-")


def test_an_interrupted_download_is_continued_by_the_next_call(
    record: DatasetRecord, server: Any
) -> None:
    def interrupt(step: Step | str) -> None:
        if isinstance(step, Step) and step.done:
            raise KeyboardInterrupt

    server.replies = [web.stall(20_000)]
    with pytest.raises(KeyboardInterrupt):
        fetch(record, progress=interrupt)
    path = places.raw_path(record)
    kept = path.with_name(path.name + ".part").read_bytes()
    assert kept
    assert BODY.startswith(kept)
    assert not path.exists()
    assert_whole(fetch(record))
    assert server.ranges == [None, f"bytes={len(kept)}-"]


def test_a_download_stopped_before_its_renaming_needs_no_request(
    record: DatasetRecord, server: Any
) -> None:
    def interrupt(step: Step | str) -> None:
        if isinstance(step, Step) and step.activity.startswith("verifying"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(record, progress=interrupt)
    assert_whole(fetch(record))
    assert len(server.requests) == 1


def test_a_kept_part_that_the_server_does_not_know_is_dropped(
    record: DatasetRecord, server: Any
) -> None:
    server.replies = [web.chunked(10_000), web.status(416)]
    assert_whole(fetch(record))
    assert server.ranges == [None, "bytes=10000-", None]


def test_a_body_of_unknown_size(record: DatasetRecord, server: Any) -> None:
    server.replies = [web.chunked(10_000), web.chunked()]
    assert_whole(fetch(record))
    assert server.ranges == [None, "bytes=10000-"]


@pytest.mark.parametrize("code", [429, 500, 503])
def test_a_failing_server_is_asked_again(record: DatasetRecord, server: Any, code: int) -> None:
    server.replies = [web.status(code)] * (ATTEMPTS - 1)
    assert_whole(fetch(record))


def test_a_server_that_goes_on_failing_is_given_up(record: DatasetRecord, server: Any) -> None:
    server.replies = [web.status(503)] * 20
    message = refused(record)
    assert "503" in message
    assert record.id in message
    assert "--mirror" in message
    assert len(server.requests) == ATTEMPTS
    assert left_in(places.raw_path(record).parent) == set()


def test_a_stalled_server_is_asked_again(record: DatasetRecord, server: Any) -> None:
    server.replies = [web.stall(10_000)]
    assert_whole(fetch(record, timeout=0.2))
    assert server.ranges == [None, "bytes=10000-"]


def test_a_server_that_always_breaks_off_says_what_is_kept(
    record: DatasetRecord, server: Any
) -> None:
    server.replies = [web.truncate(10_000)] + [web.truncate(0)] * 20
    message = refused(record)
    assert f"ended after 10,000 of {len(BODY):,} bytes" in message
    assert "goes on from byte 10,000" in message
    server.replies = []
    assert_whole(fetch(record))
    assert server.ranges[-1] == "bytes=10000-"


def test_mirrors_in_order(
    make_server: Callable[[], Any], record: DatasetRecord, server: Any, monkeypatch: Any
) -> None:
    missing, named, of_environment = make_server(), make_server(), make_server()
    missing.bodies.clear()
    named.bodies = {"/data" + FILE: BODY}
    monkeypatch.setenv("DATUMRL_MIRRORS", f"{of_environment.url}, http://127.0.0.1:1")
    record = replace(record, urls=(missing.url + FILE, closed_address() + FILE))
    fetched = fetch(record, mirrors=[named.url + "/data/"])
    assert_whole(fetched)
    assert fetched.origin == named.url + "/data" + FILE
    assert len(missing.requests) == 1
    assert of_environment.requests == []


def test_a_mirror_of_the_environment(record: DatasetRecord, server: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("DATUMRL_MIRRORS", server.url)
    assert_whole(fetch(replace(record, urls=(closed_address() + FILE,))))


def test_bytes_of_one_source_are_not_continued_from_another(
    make_server: Callable[[], Any], record: DatasetRecord, server: Any
) -> None:
    mirror = make_server()
    mirror.bodies[FILE] = OTHER  # under the same validators, as sources need not agree on them
    server.replies = [web.truncate(10_000), *[web.status(404)] * 20]
    assert_whole(fetch(record, mirrors=[mirror.url]), OTHER)
    assert mirror.ranges == [None]


def test_unreachable_sources_are_all_named(record: DatasetRecord) -> None:
    first, second = closed_address(), closed_address()
    message = refused(replace(record, urls=(first + FILE,)), mirrors=[second])
    assert first in message
    assert second in message
    assert "refused" in message


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("http://host", "http://host/gym_mujoco_v2/hopper_medium-v2.hdf5"),
        ("https://host:1/a/b/", "https://host:1/a/b/gym_mujoco_v2/hopper_medium-v2.hdf5"),
    ],
)
def test_a_mirror_keeps_the_last_folder_and_name(prefix: str, expected: str) -> None:
    url = catalogue.find("d4rl/hopper-medium-v2").urls[0]
    assert fetching.mirror_url(prefix, url) == expected


@pytest.mark.parametrize("prefix", ["host/data", "file:///data", "ftp://host", "http://", ""])
def test_a_mirror_that_is_no_http_address(record: DatasetRecord, prefix: str) -> None:
    assert repr(prefix) in refused(record, mirrors=[prefix])


def test_a_source_that_is_no_http_address(record: DatasetRecord, tmp_path: Path) -> None:
    secret = tmp_path / "data" / "hopper_medium-v2.hdf5"
    secret.parent.mkdir()
    secret.write_bytes(BODY)
    assert secret.as_uri() in refused(replace(record, urls=(secret.as_uri(),)))


def test_redirects_are_followed(record: DatasetRecord, server: Any) -> None:
    server.replies = [web.redirect(FILE + "?moved"), web.redirect(server.url + FILE)]
    server.bodies[FILE + "?moved"] = b""
    assert_whole(fetch(record))


def test_a_redirected_download_goes_on(record: DatasetRecord, server: Any) -> None:
    there = server.url + "/elsewhere.hdf5"
    server.bodies["/elsewhere.hdf5"] = BODY
    server.replies = [web.redirect(there), web.truncate(10_000), web.redirect(there)]
    assert_whole(fetch(record))
    assert server.ranges == [None, None, "bytes=10000-", "bytes=10000-"]


def test_a_loop_of_redirects_ends(record: DatasetRecord, server: Any) -> None:
    server.replies = [web.redirect(FILE)] * 100
    assert "infinite loop" in refused(record)
    assert len(server.requests) < 20


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x"])
def test_redirects_to_other_than_http_are_refused(
    record: DatasetRecord, server: Any, address: str
) -> None:
    server.replies = [web.redirect(address)]
    message = refused(record)
    assert address in message
    assert len(server.requests) == 1


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A new key and its certificate for 127.0.0.1."""
    if shutil.which("openssl") is None:
        pytest.skip("making a certificate needs the openssl command")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    options = (
        "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost "
        "-addext subjectAltName=IP:127.0.0.1"
    )
    subprocess.run(
        ["openssl", "req", "-x509", *options.split(), "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    both = tmp_path / "both.pem"
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    return both


def test_https_and_no_redirect_from_it_to_http(
    make_server: Callable[..., Any],
    record: DatasetRecord,
    server: Any,
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    secure = make_server(certificate=certificate)
    record = replace(record, urls=(secure.url + FILE,))
    assert "CERTIFICATE_VERIFY_FAILED" in refused(record)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    secure.replies = [web.redirect(server.url + FILE)]
    assert "from https to " + server.url in refused(record)
    assert server.requests == []
    secure.replies = [web.truncate(10_000), web.redirect(secure.url + FILE)]
    assert_whole(fetch(record))


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


def test_a_wrong_body_does_not_cost_what_had_come(record: DatasetRecord, server: Any) -> None:
    server.replies = [web.truncate(10_000), web.say(b"<html>Please log in</html>")]
    assert "Please log in" in refused(record)
    assert_whole(fetch(record))
    assert server.ranges[-1] == "bytes=10000-"


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


FETCH = """
import sys
from dataclasses import replace
from datumrl.datasets import catalogue, fetching
record = replace(catalogue.find("d4rl/hopper-medium-v2"), urls=(sys.argv[1],))
fetching.fetch(record)
"""


@pytest.fixture
def stalled(record: DatasetRecord, server: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Another process in the middle of the same download."""
    server.replies = [web.stall(20_000)]
    process = subprocess.Popen([sys.executable, "-c", FETCH, record.urls[0]])
    path = places.raw_path(record)
    part = path.with_name(path.name + ".part")
    while not (part.exists() and part.stat().st_size == 20_000):
        assert process.poll() is None
        time.sleep(0.01)
    yield process
    process.kill()
    process.wait()


def test_a_killed_download_goes_on(
    record: DatasetRecord, server: Any, stalled: subprocess.Popen[bytes]
) -> None:
    os.kill(stalled.pid, signal.SIGKILL)
    stalled.wait()
    assert not places.raw_path(record).exists()
    assert_whole(fetch(record))
    assert server.ranges == [None, "bytes=20000-"]


def test_two_processes_download_once(
    record: DatasetRecord, server: Any, stalled: subprocess.Popen[bytes]
) -> None:
    told: list[Step | str] = []

    def go_on_once_waiting(step: Step | str) -> None:
        told.append(step)
        server.released.set()

    fetched = fetch(record, progress=go_on_once_waiting)
    assert stalled.wait() == 0
    assert "another process" in str(told[0])
    assert fetched.how == "verified"
    assert_whole(fetched)
    assert len(server.requests) == 1


def test_many_at_once_download_once(record: DatasetRecord, server: Any) -> None:
    results: list[Fetched] = []
    threads = [threading.Thread(target=lambda: results.append(fetch(record))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(fetched.how for fetched in results) == ["downloaded", *["verified"] * 5]
    assert_whole(results[0])
    assert len(server.requests) == 1


@pytest.mark.parametrize("version", ["earliest", "v108", "latest"])
def test_a_cut_is_seen_in_every_version_of_hdf5(
    record: DatasetRecord, server: Any, version: str
) -> None:
    body = hdf5(2, version)
    server.replies = [web.say(body[:-1])]
    assert "cut off" in refused(record)
    server.bodies[FILE] = body
    assert_whole(fetch(record), body)


def closed_address() -> str:
    """An address of this machine at which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"
