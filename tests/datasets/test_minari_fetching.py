"""Minari's own download into a folder of this machine, from a remote of this machine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import minari
import numpy as np
import pytest
from gymnasium import spaces
from minari.data_collector import EpisodeBuffer
from minari.storage import remotes
from minari.storage.remotes.cloud_storage import CloudStorage

import datumrl
from datumrl.datasets import catalogue
from datumrl.datasets.errors import DatumrlError
from datumrl.scripts.main import main

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:minari")  # of fields left out

NAME, OTHER = "D4RL/pen/human-v2", "D4RL/pen/expert-v2"


class Remote(CloudStorage):
    """A folder as a remote: files are written straight to their places, as minari's GCP does."""

    folder: Path
    stop: tuple[str, BaseException] | None = None  # before which file, and how

    def __init__(self, name: str, token: str | None = None) -> None:
        pass

    def list_datasets(self, prefix: str | None = None) -> Iterator[str]:
        for path in self.folder.rglob("data/metadata.json"):
            dataset_id = path.parents[1].relative_to(self.folder).as_posix()
            if dataset_id.startswith(prefix or ""):
                yield dataset_id

    def get_dataset_metadata(self, dataset_id: str) -> dict[str, Any]:
        return json.loads((self.folder / dataset_id / "data" / "metadata.json").read_text())

    def download_dataset(self, dataset_id: str, path: Path) -> None:
        for source in sorted((self.folder / dataset_id).rglob("*")):
            if source.is_dir():
                continue
            if self.stop and source.name == self.stop[0]:
                raise self.stop[1]
            target = path / source.relative_to(self.folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            print("Downloading data file", source.name)
            shutil.copyfile(source, target)

    def list_namespaces(self) -> Iterable[str]:
        parents = {parent for each in self.list_datasets() for parent in Path(each).parents}
        return sorted(each.as_posix() for each in parents - {Path()})

    def download_namespace_metadata(self, namespace: str, path: Path) -> None:
        target = path / namespace / "namespace_metadata.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("{}")

    def upload_dataset(self, dataset_id: str) -> None:
        raise NotImplementedError

    def upload_namespace(self, namespace: str) -> None:
        raise NotImplementedError


def write(name: str, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    box = spaces.Box(-1, 1, (2,), np.float32)
    buffers = [
        EpisodeBuffer(
            id=number,
            observations=rng.random((4, 2), np.float32),
            actions=rng.random((3, 2), np.float32),
            rewards=rng.random(3),
            terminations=np.array([False, False, True]),
            truncations=np.zeros(3, bool),
        )
        for number in range(2)
    ]
    minari.create_dataset_from_buffers(
        name, buffers, observation_space=box, action_space=box, description="made by a test"
    )


@pytest.fixture
def root(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of Minari's datasets; the remote has two."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "remote"))
    write(NAME)
    write(OTHER)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    monkeypatch.setenv("MINARI_REMOTE", "folder://here")
    monkeypatch.setitem(remotes._registry, "folder", lambda: Remote)
    monkeypatch.setattr(Remote, "folder", tmp_path / "remote", raising=False)
    return tmp_path / "minari"


def fetch(*arguments: str) -> int:
    return main(["fetch", f"minari/{NAME}", *arguments])


def files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


WHOLE = {f"{NAME}/data/main_data.hdf5", f"{NAME}/data/metadata.json"}
NAMESPACES = {"D4RL/namespace_metadata.json", "D4RL/pen/namespace_metadata.json"}


def test_minaris_download_is_moved_to_its_place(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetch("--json") == 0
    shown = capsys.readouterr()
    told = json.loads(shown.out)  # and nothing of what minari prints
    assert told["url"] == f"folder://here/{NAME}"
    assert "Downloading data file" in shown.err
    assert files_below(root) == WHOLE | NAMESPACES
    assert list(minari.list_local_datasets()) == [NAME]
    assert minari.load_dataset(NAME).total_steps == 6
    assert len(datumrl.load(f"minari/{NAME}")) == 6
    assert os.environ["MINARI_DATASETS_PATH"] == str(root)


def test_a_remote_need_not_declare_the_namespaces_that_are_here(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetch() == 0
    monkeypatch.setattr(Remote, "list_namespaces", lambda remote: [])
    (root / "D4RL" / "namespace_metadata.json").write_text('{"description": "mine"}')
    assert fetch("--force") == 0
    assert "mine" in (root / "D4RL" / "namespace_metadata.json").read_text()
    shutil.rmtree(root)
    assert fetch() == 2
    assert "same command goes on" not in capsys.readouterr().err
    assert files_below(root) == set()


@pytest.mark.parametrize("file", ["main_data.hdf5", "metadata.json"])
def test_an_interrupted_download_does_not_count_and_is_gone_on_with(
    file: str, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as interrupted:
        interrupted.setattr(Remote, "stop", (file, KeyboardInterrupt()))
        assert fetch() == 130
        assert not (root / NAME).exists()
        assert minari.list_local_datasets() == {}
        interrupted.setattr(Remote, "stop", (file, ConnectionError("no such host")))
        assert fetch() == 2
        assert "no such host" in capsys.readouterr().err
        assert not (root / NAME).exists()
    assert fetch() == 0
    assert "downloaded from" in capsys.readouterr().out
    assert files_below(root) == WHOLE | NAMESPACES
    assert len(datumrl.load(f"minari/{NAME}")) == 6


KILLED = """
import os, signal, sys, minari
def download(name, force_download):
    folder = os.path.join(os.environ["MINARI_DATASETS_PATH"], name, "data")
    os.makedirs(folder)
    open(os.path.join(folder, "metadata.json"), "w").write("{}")
    os.kill(os.getpid(), signal.SIGKILL)
minari.download_dataset = download
from datumrl.scripts.main import main
main(["fetch", sys.argv[1]])
"""


def test_a_killed_download_does_not_count(root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, f"minari/{NAME}"], capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert not (root / NAME).exists()
    assert fetch() == 0
    assert files_below(root) == WHOLE | NAMESPACES


@pytest.mark.parametrize("problem", [KeyboardInterrupt(), ConnectionError("gone")])
def test_what_was_there_before_a_forced_download_failed_still_is(
    problem: BaseException,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert fetch() == 0
    before = (root / NAME / "data" / "main_data.hdf5").read_bytes()
    replace_remote(write_again=lambda: write(NAME, seed=1), monkeypatch=monkeypatch)
    with monkeypatch.context() as failing:
        failing.setattr(Remote, "stop", ("metadata.json", problem))
        assert fetch("--force") in (2, 130)
    assert (root / NAME / "data" / "main_data.hdf5").read_bytes() == before
    capsys.readouterr()
    assert fetch() == 0
    assert "unchanged" in capsys.readouterr().out
    assert fetch("--force") == 0
    assert "replaces a different file" in capsys.readouterr().out
    assert (root / NAME / "data" / "main_data.hdf5").read_bytes() != before


def replace_remote(write_again: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(Remote.folder / NAME)
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("MINARI_DATASETS_PATH", str(Remote.folder))
        write_again()


def test_a_dataset_that_is_not_whole_is_refused_wherever_it_lies(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main_file = Remote.folder / NAME / "data" / "main_data.hdf5"
    content = main_file.read_bytes()
    main_file.unlink()
    assert fetch() == 2  # minari has no complaint
    assert "has no main_data.hdf5" in capsys.readouterr().err
    assert not (root / NAME).exists()
    assert fetch("--from", str(Remote.folder / NAME)) == 2
    shutil.copytree(Remote.folder / NAME, root / NAME)  # as an interrupted `minari download` does
    assert fetch() == 2
    assert "--force` gets it anew" in capsys.readouterr().err
    main_file.write_bytes(content)
    metadata = json.loads((main_file.parent / "metadata.json").read_text())
    stated = json.dumps({**metadata, "total_episodes": 3})
    (main_file.parent / "metadata.json").write_text(stated)
    assert fetch("--force") == 2
    assert "says it has 3 episodes, and holds 2" in capsys.readouterr().err
    (main_file.parent / "metadata.json").write_text(json.dumps(metadata))
    assert fetch("--force") == 0
    assert files_below(root) == WHOLE | NAMESPACES


# --- Ids that no catalogue has ---

UNLISTED = ["my/remote/thing-v0", "thing-v3", "minigrid/BabyAI-GoToObj/optimal-v0"]


@pytest.mark.parametrize("name", UNLISTED)
def test_any_dataset_of_the_remote_is_fetched_and_then_known(
    name: str, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("MINARI_DATASETS_PATH", str(Remote.folder))
        write(name)
    with pytest.raises(DatumrlError, match=f"unknown dataset.*`datumrl fetch minari/{name}`"):
        datumrl.load(f"minari/{name}")
    assert main(["fetch", f"minari/{name}"]) == 0
    assert f"downloaded from folder://here/{name}" in capsys.readouterr().out
    assert catalogue.find(f"minari/{name}").rows == 6
    assert len(datumrl.load(f"minari/{name}")) == 6
    assert list(minari.list_local_datasets()) == [name]
    assert main(["fetch", f"minari/{name}"]) == 0
    assert "unchanged" in capsys.readouterr().out


@pytest.mark.parametrize("name", UNLISTED)
def test_any_dataset_is_imported_under_an_id_of_minaris(name: str, root: Path) -> None:
    source = ["--from", str(Remote.folder / OTHER)]
    assert main(["fetch", f"minari/{name}", *source]) == 0
    assert catalogue.find(f"minari/{name}").rows == 6
    assert len(datumrl.load(f"minari/{name}")) == 6


def lost(remote: Remote, prefix: str | None = None) -> Iterator[str]:
    raise ConnectionError("no such host")


@pytest.mark.parametrize("reachable", [True, False])
def test_an_id_that_the_remote_does_not_give_is_told_with_the_nearest_of_the_catalogue(
    reachable: bool,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if not reachable:
        monkeypatch.setattr(Remote, "list_datasets", lost)
    assert main(["fetch", "minari/D4RL/pen/humann-v2"]) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert "could not download it from folder://here" in told
    reason = "any version for dataset D4RL/pen/humann" if reachable else "no such host"
    assert reason in told
    assert "the id is in no catalogue: the nearest are minari/D4RL/pen/human-v2" in told
    assert files_below(root) == set()
    assert main(["fetch", f"minari/{NAME}"]) == (0 if reachable else 2)
    assert "in no catalogue" not in capsys.readouterr().err


@pytest.mark.parametrize("name", ["minari/../thing-v0", "minari/my/thing", "minari/.my/thing-v0"])
def test_what_cannot_be_an_id_of_minaris_is_not_asked_for(
    name: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fetch", name]) == 2
    told = capsys.readouterr().err
    assert f"unknown dataset '{name}'" in told
    assert "asks Minari's remote" not in told


def test_a_dataset_brings_what_it_was_combined_from(root: Path) -> None:
    path = Remote.folder / NAME / "data" / "metadata.json"
    metadata = json.loads(path.read_text())
    path.write_text(json.dumps({**metadata, "combined_datasets": [OTHER]}))
    assert fetch() == 0
    assert set(minari.list_local_datasets()) == {NAME, OTHER}
    assert not [name for name in files_below(root) if "fetching" in name]


def test_an_import_to_a_full_disk(
    root: Path,
    tmp_path: Path,
    small_disk: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = tmp_path / "remote" / NAME
    (source / "data" / "notes.txt").write_bytes(bytes(2**19))
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(small_disk))
    assert fetch("--from", str(source)) == 2
    told = capsys.readouterr().err
    assert f"cannot write {small_disk / NAME}: the disk is full" in told
    assert files_below(small_disk) == set()


def test_an_import_follows_links(root: Path, tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.mkdir()
    (given / "data").symlink_to(tmp_path / "remote" / NAME / "data")
    assert fetch("--from", str(given)) == 0
    assert files_below(root) == WHOLE
    assert not (root / NAME / "data").is_symlink()
