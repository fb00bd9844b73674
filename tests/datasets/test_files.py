"""Files appear whole or not at all, and storage that fails says what to do."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from datumrl.datasets import files, leftovers, locking
from datumrl.datasets.errors import DatumrlError


def test_a_file_is_replaced_only_when_all_went_well(tmp_path):
    path = tmp_path / "deep" / "file.txt"
    with files.replacing(path, "w") as handle:
        handle.write("one")
        assert not path.exists()
    assert path.read_text() == "one"

    def interrupted():
        with files.replacing(path, "w") as handle:
            handle.write("two")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "one"
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_is_replaced_only_when_all_went_well(tmp_path):
    path = tmp_path / "folder"
    for text in ("one", "two"):
        with files.replacing_folder(path) as temporary:
            (temporary / text).write_text(text)
    assert [child.name for child in path.iterdir()] == ["two"]

    def failing():
        with files.replacing_folder(path) as temporary:
            (temporary / "three").write_text("three")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        failing()
    assert [child.name for child in path.iterdir()] == ["two"]
    assert list(tmp_path.iterdir()) == [path]


KILLED = """
import os, pathlib, signal, sys
from datumrl.datasets import files, leftovers, locking
path = pathlib.Path(sys.argv[2])
with getattr(files, sys.argv[1])(path) as made:
    if sys.argv[1] == "replacing_folder":
        (made / "half").write_text("half")
    print(flush=True)
    if sys.argv[3] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    sys.stdin.read()
"""


@pytest.mark.parametrize("what", ["replacing", "replacing_folder"])
def test_what_a_killed_process_left_is_removed_and_work_going_on_is_not(what, tmp_path):
    path = tmp_path / "thing"
    command = [sys.executable, "-c", KILLED, what, str(path)]
    going_on = subprocess.Popen(
        [*command, "alive"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    going_on.stdout.readline()
    (alive,) = tmp_path.iterdir()
    done = subprocess.run([*command, "killed"], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 2
    with getattr(files, what)(path):
        pass
    assert set(tmp_path.iterdir()) == {path, alive}
    going_on.communicate("")
    assert going_on.returncode == 0
    assert list(tmp_path.iterdir()) == [path]
    assert not path.is_dir() or [each.name for each in path.iterdir()] == ["half"]


def test_a_scratch_folder_is_gone_afterwards(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with files.scratch_folder("test") as folder:
        (folder / "file").write_text("text")
        assert folder.parent == tmp_path
    assert list(tmp_path.iterdir()) == []


def test_json_is_strict_both_ways(tmp_path):
    files.write_json(tmp_path / "a.json", {"b": [1, None]})
    assert files.read_json(tmp_path / "a.json") == {"b": [1, None]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "a.json", float("nan"))
    assert files.read_json(tmp_path / "a.json") == {"b": [1, None]}
    (tmp_path / "a.json").write_text("[NaN]")
    with pytest.raises(DatumrlError, match=r"a\.json is not valid JSON"):
        files.read_json(tmp_path / "a.json")
    with pytest.raises(DatumrlError, match=r"b\.json does not exist"):
        files.read_json(tmp_path / "b.json")


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "the disk is full; free some space"),
        (errno.EFBIG, "limit on file sizes; raise it"),
        (errno.EROFS, "read-only; point DATUMRL_HOME"),
        (errno.EACCES, "permission denied; point DATUMRL_HOME"),
    ],
)
def test_storage_that_fails_says_what_to_do(number, remedy, tmp_path, monkeypatch):
    monkeypatch.setenv("DATUMRL_HOME", str(tmp_path))
    with pytest.raises(DatumrlError, match=remedy), files.storage_errors(tmp_path):
        raise OSError(number, "said by the system")


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "free some space or name another place"),
        (errno.ENOTDIR, "a part of this path is a file; name a folder"),
        (errno.EACCES, "permission denied; name a folder you may write"),
    ],
)
def test_a_place_that_the_user_named_is_not_blamed_on_home(number, remedy, tmp_path, monkeypatch):
    monkeypatch.setenv("DATUMRL_HOME", str(tmp_path / "home"))
    with pytest.raises(DatumrlError, match=remedy), files.storage_errors(tmp_path / "out"):
        raise OSError(number, "said by the system")


def test_other_system_errors_pass_as_they_are(tmp_path):
    with pytest.raises(ConnectionResetError), files.storage_errors(tmp_path):
        raise ConnectionResetError(errno.ECONNRESET, "reset")


def test_sha256_of_a_file(tmp_path):
    (tmp_path / "file").write_bytes(b"datum" * 100_000)
    assert files.sha256(tmp_path / "file") == hashlib.sha256(b"datum" * 100_000).hexdigest()


def test_home_is_the_variable_or_the_users_data_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("DATUMRL_HOME", str(tmp_path))
    assert files.home() == tmp_path
    monkeypatch.setenv("DATUMRL_HOME", "")
    assert files.home().name == "datumrl"


ABORTED = """
import os, pathlib, signal, sys
from datumrl.datasets import files, leftovers, locking
path = pathlib.Path(sys.argv[1])
replace = pathlib.Path.replace
def killed(self, target):
    os.kill(os.getpid(), signal.SIGKILL)
pathlib.Path.replace = killed
with files.replacing_folder(path) as made:
    (made / "new").write_text("new")
"""


def aborted_replacement(tmp_path):
    """Return a folder that a killed process had just put aside."""
    path = tmp_path / "folder"
    with files.replacing_folder(path) as temporary:
        (temporary / "old").write_text("old")
        (temporary / "folder").mkdir()  # named as the whole
    done = subprocess.run([sys.executable, "-c", ABORTED, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not path.exists()
    return path


def test_a_kill_between_old_and_new_loses_neither_before_the_next_write(tmp_path):
    path = aborted_replacement(tmp_path)

    def failing():
        with files.replacing_folder(path):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        failing()
    assert sorted(child.name for child in path.iterdir()) == ["folder", "old"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_lock_brings_back_what_a_killed_process_put_aside(tmp_path):
    path = aborted_replacement(tmp_path)
    leftovers.sweep(tmp_path / "folder.other")  # of another name
    assert not path.exists()
    with locking.locked(path, waiting=pytest.fail):
        assert (path / "old").read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interruption_between_old_and_new_puts_the_old_back(tmp_path, monkeypatch):
    path = tmp_path / "folder"
    with files.replacing_folder(path) as temporary:
        (temporary / "old").write_text("old")

    def interrupted(self, target):
        assert not path.exists()
        raise KeyboardInterrupt

    def replaced():
        with files.replacing_folder(path) as temporary:
            (temporary / "new").write_text("new")

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        replaced()
    assert [child.name for child in path.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_worked_on_all_the_same(number, tmp_path, monkeypatch):
    def refused(handle, how):
        raise OSError(number, "no locks here")

    monkeypatch.setattr(fcntl, "flock", refused)
    path = tmp_path / "file"
    with locking.locked(path, waiting=pytest.fail), files.replacing(path, "w") as handle:
        handle.write("text")
    assert path.read_text() == "text"
    assert list(tmp_path.iterdir()) == [path]


def test_without_posix_a_lock_file_is_closed_before_it_is_removed(tmp_path, monkeypatch):
    opened, open_file, unlink = [], Path.open, Path.unlink

    def remembered(self, *arguments, **more):
        opened.append(open_file(self, *arguments, **more))
        return opened[-1]

    def unlinked(self, missing_ok=False):
        assert all(handle.closed for handle in opened), "PermissionError on Windows"
        unlink(self, missing_ok=missing_ok)

    monkeypatch.setattr(locking, "fcntl", None)
    monkeypatch.setattr(Path, "open", remembered)
    monkeypatch.setattr(Path, "unlink", unlinked)
    with locking.locked(tmp_path / "file", waiting=pytest.fail):
        assert len(opened) == 1
    assert list(tmp_path.iterdir()) == []


def test_files_below_folders_are_found_by_links_too_and_once(tmp_path):
    scratch, runs = tmp_path / "scratch", tmp_path / "runs"
    for folder in (scratch / "far", runs / "near"):
        folder.mkdir(parents=True)
        (folder / "a.json").write_text("")
    (scratch / "far" / "b.txt").write_text("")
    for link, target in (("link", scratch), ("again", runs / "near"), ("near/up", runs)):
        (runs / link).symlink_to(target)
    found = [runs / "link" / "far" / "a.json", runs / "near" / "a.json"]
    assert files.below([runs], "*.json") == found
    both = [found[1], scratch / "far" / "a.json"]
    assert files.below([runs, runs / "near", scratch], "a.json") == both
    assert files.below([runs / "again"], "a*")[0] == runs / "again" / "a.json"
    assert files.below([tmp_path / "none", runs / "near" / "a.json"], "*") == []
