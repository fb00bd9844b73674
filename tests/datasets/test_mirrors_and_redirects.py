"""Where a download comes from: mirrors in order, redirects, and addresses that are refused."""

from __future__ import annotations

import errno
import http.client
import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import http_server as web
import pytest
from fetch_checks import BODY, FILE, OTHER, assert_whole, fetch, refused

from datumrl.datasets import catalogue, fetching, places
from datumrl.datasets.catalogue import DatasetRecord
from datumrl.datasets.downloading import ATTEMPTS


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


def test_one_failure_does_not_turn_a_download_from_its_source(
    make_server: Callable[[], Any], record: DatasetRecord, server: Any
) -> None:
    mirror = make_server()
    server.replies = [web.truncate(40_000), web.status(503), web.reset(0), web.truncate(100)]
    assert_whole(fetch(record, mirrors=[mirror.url]))
    assert server.ranges[1:] == [*["bytes=40000-"] * 3, "bytes=40100-"]
    assert mirror.requests == []


def test_a_failing_mirror_does_not_cost_what_came_from_the_first_source(
    make_server: Callable[[], Any], record: DatasetRecord, server: Any
) -> None:
    mirror = make_server()
    server.replies = [web.truncate(40_000), *[web.status(503)] * ATTEMPTS]
    mirror.replies = [web.truncate(1_000), *[web.status(503)] * ATTEMPTS]
    assert "goes on from byte 40,000" in refused(record, mirrors=[mirror.url])
    assert mirror.ranges == [None, *["bytes=1000-"] * ATTEMPTS]
    assert_whole(fetch(record))
    assert server.ranges[-1] == "bytes=40000-"


def test_a_mirror_goes_on_with_its_own_where_the_first_source_is_gone(
    make_server: Callable[[], Any], record: DatasetRecord, server: Any
) -> None:
    mirror = make_server()
    server.replies = [web.truncate(10_000), *[web.status(404)] * 2]
    mirror.replies = [web.truncate(1_000), *[web.status(503)] * ATTEMPTS]
    refused(record, mirrors=[mirror.url])
    assert_whole(fetch(record, mirrors=[mirror.url]))
    assert mirror.ranges[-1] == "bytes=1000-"


def test_what_came_from_a_source_given_up_makes_room(
    make_server: Callable[[], Any],
    record: DatasetRecord,
    server: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mirror = make_server()
    server.replies = [web.truncate(40_000), web.status(404)]
    folder, usage = places.raw_path(record).parent, shutil.disk_usage

    def of_a_disk_of_60_kb(path: Path) -> Any:
        used = sum(each.stat().st_size for each in folder.iterdir())
        return usage(path)._replace(free=60_000 - used)

    monkeypatch.setattr(shutil, "disk_usage", of_a_disk_of_60_kb)
    assert_whole(fetch(record, mirrors=[mirror.url]))


@pytest.mark.parametrize("code", [errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN])
def test_a_network_that_goes_away_is_asked_again(
    record: DatasetRecord, server: Any, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    read, fail = http.client.HTTPResponse.read1, [True, True]

    def failing(answer: http.client.HTTPResponse, size: int = -1) -> bytes:
        if fail:
            fail.pop()
            raise OSError(code, os.strerror(code))
        return read(answer, size)

    monkeypatch.setattr(http.client.HTTPResponse, "read1", failing)
    told: list[Any] = []
    assert_whole(fetch(record, progress=told.append))
    assert os.strerror(code) in next(step for step in told if isinstance(step, str))
    assert len(server.requests) == 3


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


def closed_address() -> str:
    """An address of this machine at which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"
