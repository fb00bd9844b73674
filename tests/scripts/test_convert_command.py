import json
import subprocess
import sys
from pathlib import Path

import h5py
import minari
import numpy as np
import pytest

import datumrl
from datumrl.datasets import catalogue, places, prepared
from datumrl.datasets.episodes import Episodes
from datumrl.scripts import main

MIXED = "local/inverted-pendulum-mixed-v1"
MINARI = "datumrl/inverted-pendulum/mixed-v1"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder, with a home and minari's folder inside it."""
    monkeypatch.setenv("DATUMRL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def mixed() -> Episodes:
    """Three rows that end by the process, two cut off; the last final observation is not known."""
    rng = np.random.default_rng(0)
    episodes = Episodes(
        id=MIXED,
        observations=rng.normal(size=(5, 4)).astype(np.float32),
        actions=rng.normal(size=(5, 1)).astype(np.float32),
        rewards=np.ones(5, np.float32),
        terminals=np.array([0, 0, 1, 0, 0], bool),
        timeouts=np.array([0, 0, 0, 0, 1], bool),
        starts=np.array([0, 3, 5]),
        successor_rows=np.array([2]),
        successors=rng.normal(size=(1, 4)).astype(np.float32),
        time_limit=1000,
        timeouts_recorded=True,
    )
    prepared.write(places.prepared_folder(catalogue.find(MIXED)), episodes, {})
    return episodes


def test_writes_a_d4rl_file_here(mixed: Episodes, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["convert", MIXED, "--to", "d4rl"]) == 0
    first, note, _ = capsys.readouterr().out.splitlines()
    assert first.startswith("wrote inverted-pendulum-mixed-v1.hdf5: 5 transitions in 2 episodes")
    assert note.startswith("  note: next_observations is left out: 1 rows")
    with h5py.File("inverted-pendulum-mixed-v1.hdf5", "r") as file:
        np.testing.assert_array_equal(file["observations"][:], mixed.observations)


def test_the_file_goes_where_it_should(mixed: Episodes, here: Path) -> None:
    (here / "folder").mkdir()
    assert main.main(["convert", MIXED, "--to", "d4rl", "--out", "folder"]) == 0
    assert (here / "folder" / "inverted-pendulum-mixed-v1.hdf5").exists()
    assert main.main(["convert", f"{MIXED}@2", "--to", "d4rl", "--out", "new/mine.hdf5"]) == 0
    with h5py.File(here / "new" / "mine.hdf5", "r") as file:
        assert len(file["next_observations"]) == 3


def test_writes_what_minari_loads(mixed: Episodes, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["convert", MIXED, "--to", "minari"]) == 0
    shown = capsys.readouterr().out
    assert f"load it with minari.load_dataset('{MINARI}')" in shown
    assert "note: 1 last steps of episodes are left out" in shown
    dataset = minari.load_dataset(MINARI)
    assert dataset.total_steps == 4
    assert dataset.env_spec.id == "InvertedPendulum-v4"
    assert dataset.action_space.high.tolist() == [3.0]


def test_json_tells_all(mixed: Episodes, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = here / "elsewhere"
    assert main.main(["convert", MIXED, "--to", "minari", "--out", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["path"] == str(out / MINARI)
    written = [path for path in (out / MINARI).rglob("*") if path.is_file()]
    assert told["bytes"] == sum(path.stat().st_size for path in written)
    assert (told["dataset"], told["name"], told["format"]) == (MIXED, MINARI, "minari")
    assert (told["transitions"], told["episodes"], len(told["notes"])) == (4, 2, 1)


def error_of(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert main.main(["convert", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize("to", ["d4rl", "minari"])
def test_what_exists_is_kept_unless_forced(
    to: str, mixed: Episodes, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["convert", MIXED, "--to", to]) == 0
    assert "exists; choose another --out, or --force" in error_of([MIXED, "--to", to], capsys)
    assert main.main(["convert", MIXED, "--to", to, "--force"]) == 0


def test_errors_are_one_line_with_the_remedy(
    mixed: Episodes, capsys: pytest.CaptureFixture[str]
) -> None:
    other = "local/inverted-pendulum-expert-v1"
    assert f"datumrl collect {other}" in error_of([other, "--to", "d4rl"], capsys)
    assert "d4rl/hopper-medium-v2" in error_of(["d4rl/hoper-medium-v2", "--to", "d4rl"], capsys)
    assert "ends in .hdf5" in error_of([MIXED, "--to", "d4rl", "--out", "a.zip"], capsys)
    with pytest.raises(SystemExit) as ended:
        main.main(["convert", MIXED, "--to", "rlds"])
    assert ended.value.code == 2
    assert "Expected one of ('d4rl'," in capsys.readouterr().err


def test_without_gymnasium_minari_datasets_lack_the_environment(mixed: Episodes) -> None:
    code = (
        "import sys\n"
        "sys.modules['gymnasium'] = sys.modules['minari'] = None\n"
        "from datumrl.scripts import main\n"
        f"sys.exit(main.main(['convert', {MIXED!r}, '--to', 'minari']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "pip install -e '.[envs]'" in done.stdout
    dataset = minari.load_dataset(MINARI)
    assert dataset.env_spec is None
    assert dataset.action_space.high.tolist() == [np.inf]


def test_a_collected_dataset_is_the_same_in_all_formats() -> None:
    dataset_id = "local/inverted-pendulum-random-v1@500"
    assert main.main(["collect", dataset_id]) == 0
    assert main.main(["convert", dataset_id, "--to", "d4rl", "--out", "a.hdf5"]) == 0
    assert main.main(["convert", dataset_id, "--to", "minari"]) == 0
    steps = datumrl.load(dataset_id).transitions()
    dataset = minari.load_dataset("datumrl/inverted-pendulum/random-500-v1")
    episodes = list(dataset)
    with h5py.File("a.hdf5", "r") as file:
        pairs = {
            "observations": [episode.observations[:-1] for episode in episodes],
            "next_observations": [episode.observations[1:] for episode in episodes],
            "actions": [episode.actions for episode in episodes],
            "rewards": [episode.rewards for episode in episodes],
            "terminals": [episode.terminations for episode in episodes],
        }
        for name, pieces in pairs.items():
            np.testing.assert_array_equal(file[name][:], getattr(steps, name), err_msg=name)
            np.testing.assert_array_equal(np.concatenate(pieces), file[name][:], err_msg=name)
        np.testing.assert_array_equal(
            np.concatenate([episode.infos["qpos"] for episode in episodes]), file["infos/qpos"][:]
        )
    recipe = prepared.provenance(places.local_folder(catalogue.find(dataset_id)))["recipe"]
    engine = recipe["engine"]
    assert f"mujoco=={engine['mujoco']}" in dataset.storage.metadata["requirements"]
