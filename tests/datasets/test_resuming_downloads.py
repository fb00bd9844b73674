"""Downloads that servers break off, stall or change, or that are killed, go on or start again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import http_server as web
import pytest
from fetch_checks import BODY, FILE, OTHER, assert_whole, fetch, left_in, refused

from datumrl.datasets import places
from datumrl.datasets.catalogue import DatasetRecord
from datumrl.datasets.downloading import ATTEMPTS, Step
from datumrl.datasets.fetching import Fetched


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


def test_a_wrong_body_does_not_cost_what_had_come(record: DatasetRecord, server: Any) -> None:
    server.replies = [web.truncate(10_000), web.say(b"<html>Please log in</html>")]
    assert "Please log in" in refused(record)
    assert_whole(fetch(record))
    assert server.ranges[-1] == "bytes=10000-"


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
