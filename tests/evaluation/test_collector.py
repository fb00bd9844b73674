import io
import math
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import gymnasium
import numpy as np
import pytest

import datumrl
from datumrl.datasets import catalogue, places, prepared
from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import collector, controllers, provenance, recipes, streams

MIXED = "local/inverted-pendulum-mixed-v1"


@pytest.fixture(scope="module")
def mixed_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that holds the first 12,000 transitions of the mixed dataset, made by one process."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATUMRL_HOME", str(home))
        assert collector.collect(catalogue.find(f"{MIXED}@12k")).made
    return home


@pytest.fixture
def mixed(mixed_home: Path, monkeypatch: pytest.MonkeyPatch) -> collector.Collected:
    monkeypatch.setenv("DATUMRL_HOME", str(mixed_home))
    collected = collector.collect(catalogue.find(f"{MIXED}@12k"))
    assert not collected.made
    return collected


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.npy")}


# --- Behaviour policies ---


def feedback_cdf(action: float, mean: float, controller: controllers.SquashedFeedback) -> float:
    raw = controller.bound * math.atanh(action / controller.bound)
    return 0.5 * (1 + math.erf((raw - mean) / (controller.deviation * math.sqrt(2))))


def test_log_probabilities_of_feedback_are_the_slope_of_its_distribution() -> None:
    controller = controllers.SquashedFeedback(((0.1, 6.0, 0.2, 0.8),), 0.66, bound=3.0)
    generator = np.random.default_rng(0)
    observations = generator.normal(0, 0.3, (200, 4)).astype(np.float32)
    noise = controller.noise(generator, (200, 1))
    actions, log_probabilities = controller.sample(observations, noise)
    assert actions.dtype == np.float32
    means = observations.astype(float) @ np.array([0.1, 6.0, 0.2, 0.8])
    for action, mean, found in zip(actions[:, 0], means, log_probabilities, strict=True):
        step = 1e-5
        below, above = (feedback_cdf(float(action) + d, mean, controller) for d in (-step, step))
        assert found == pytest.approx(math.log((above - below) / (2 * step)), abs=2e-4)


def test_uniform_actions_fill_the_action_space() -> None:
    controller = controllers.Uniform(bound=3.0, action_dim=2)
    noise = controller.noise(np.random.default_rng(0), (5_000, 2))
    actions, log_probabilities = controller.sample(np.zeros((5_000, 4)), noise)
    assert np.abs(actions).max() == pytest.approx(3.0, abs=0.01)
    assert np.histogram(actions, bins=6, range=(-3, 3))[0].min() > 1_500
    np.testing.assert_allclose(log_probabilities, math.log(1 / 36))


# --- The fixed order ---


def test_episodes_are_taken_where_a_part_is_behind_its_share() -> None:
    lengths = [np.array([4, 4, 4, 4]), np.array([1, 1, 1, 1, 1])]
    order = collector.interleave(lengths, [2, 1], rows=9)
    assert order == [(0, 0), (1, 0), (1, 1), (0, 1)]


def test_each_parts_share_of_episodes_is_always_enough() -> None:
    generator = np.random.default_rng(0)
    for _ in range(200):
        weights = generator.integers(1, 5, 3).tolist()
        rows = int(generator.integers(1, 500))
        lengths = []
        for weight in weights:
            drawn = generator.integers(1, 40, 500)
            share = rows * weight / sum(weights)
            lengths.append(drawn[: 1 + int(np.searchsorted(np.cumsum(drawn), share))])
        order = collector.interleave(lengths, weights, rows)
        taken = [int(lengths[part][number]) for part, number in order]
        assert sum(taken[:-1]) < rows <= sum(taken)


# --- What is collected ---


def test_every_prefix_has_the_mixture_of_the_whole(mixed: collector.Collected) -> None:
    policy = prepared.read_extras(mixed.folder)["infos/policy"]
    shares = np.stack([np.cumsum(policy == part) for part in range(3)])
    assert (shares.max(axis=0) - shares.min(axis=0)).max() <= 1_000  # the longest episode
    assert [part["name"] for part in mixed.parts] == ["random", "medium", "expert"]
    assert sum(part["transitions"] for part in mixed.parts) == len(mixed.episodes)
    assert sum(part["episodes"] for part in mixed.parts) == len(mixed.episodes.lengths())


def test_terminals_and_timeouts_say_how_each_episode_ended(mixed: collector.Collected) -> None:
    episodes = mixed.episodes
    episodes.validate()
    final, known = episodes.final_observations()
    assert known.all()
    ends = episodes.starts[1:] - 1
    fallen = np.abs(final[:, 1]) > 0.2  # the environment's own rule
    np.testing.assert_array_equal(episodes.terminals[ends], fallen)
    np.testing.assert_array_equal(episodes.timeouts[ends], ~fallen)
    assert (episodes.lengths()[~fallen] == 1_000).all()
    assert 0 < fallen.sum() < len(fallen)
    assert (np.abs(episodes.observations[:, 1]) <= 0.2).all()


def test_states_and_actions_replay_in_a_fresh_environment(mixed: collector.Collected) -> None:
    episodes, extras = mixed.episodes, prepared.read_extras(mixed.folder)
    qpos, qvel = extras["infos/qpos"], extras["infos/qvel"]
    assert qpos.dtype == qvel.dtype == np.float64
    np.testing.assert_array_equal(episodes.observations, np.hstack([qpos, qvel]).astype(np.float32))
    steps = episodes.transitions("correct")
    rows = np.random.default_rng(0).choice(len(episodes), 500, replace=False)
    ends = set(episodes.starts[1:] - 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        env = gymnasium.make("InvertedPendulum-v4").unwrapped
    env.reset(seed=0)
    for row in [*rows, *list(ends)[:20]]:
        env.set_state(qpos[row], qvel[row])
        observation, reward, terminated, _, _ = env.step(episodes.actions[row])
        assert reward == episodes.rewards[row]
        assert terminated == episodes.terminals[row]
        if row not in ends:
            np.testing.assert_allclose(episodes.observations[row + 1], observation, atol=1e-6)
    assert len(steps.rewards) == len(episodes)  # every successor is known
    env.close()


def test_log_probabilities_belong_to_the_stored_actions(mixed: collector.Collected) -> None:
    episodes, extras = mixed.episodes, prepared.read_extras(mixed.folder)
    stored, policy = extras["infos/action_log_probs"], extras["infos/policy"]
    np.testing.assert_allclose(stored[policy == 0], -math.log(6.0))
    for index, part in ((1, recipes.PENDULUM_MEDIUM), (2, recipes.PENDULUM_EXPERT)):
        chosen = policy == index
        gains, deviation = np.array(part.controller.gains[0]), part.controller.deviation
        actions = episodes.actions[chosen, 0].astype(float)
        noise = 3.0 * np.arctanh(actions / 3.0) - episodes.observations[chosen] @ gains
        density = np.exp(-0.5 * (noise / deviation) ** 2) / (deviation * math.sqrt(2 * math.pi))
        density /= 1 - (actions / 3.0) ** 2
        np.testing.assert_allclose(stored[chosen], np.log(density), atol=1e-3)


def test_streams_are_independent_of_each_other() -> None:
    recipe = recipes.recipe_for(catalogue.find("local/inverted-pendulum-random-v1"))
    small = replace(recipe, lanes=4, stream_rows=20)
    chunks = [streams.collect_chunk(small, 0, number) for number in (0, 1)]
    first = np.concatenate([chunk.columns["observations"] for chunk in chunks])
    actions = np.concatenate([chunk.columns["actions"] for chunk in chunks])
    assert len(np.unique(first, axis=0)) == len(first)
    assert len(np.unique(actions)) == len(actions)
    other = streams.collect_chunk(replace(small, seed=small.seed + 1), 0, 0)
    assert not np.isin(other.columns["actions"], actions).any()


# --- The same bits, however it was made ---


@pytest.mark.slow
def test_workers_do_not_change_a_bit(
    mixed: collector.Collected, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATUMRL_HOME", str(tmp_path))
    seen: list[tuple[int, int]] = []
    record = catalogue.find(f"{MIXED}@12k")
    again = collector.collect(record, workers=2, progress=lambda *counts: seen.append(counts))
    assert again.made
    assert content(again.folder) == content(mixed.folder)
    assert prepared.provenance(again.folder) == prepared.provenance(mixed.folder)
    assert seen[-1][0] == seen[-1][1] >= 12_000
    assert [entry.name for entry in again.folder.parent.iterdir()] == [again.folder.name]


@pytest.mark.slow
def test_a_shorter_prefix_is_the_beginning_of_a_longer_one(
    mixed: collector.Collected, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATUMRL_HOME", str(tmp_path))
    short = collector.collect(catalogue.find(f"{MIXED}@5k")).episodes
    assert 5_000 <= len(short) < 6_000
    beginning = mixed.episodes.prefix(5_000)
    for name in prepared.COLUMNS:
        np.testing.assert_array_equal(getattr(short, name), getattr(beginning, name))
    assert short.sha256 == mixed.episodes.sha256
    assert datumrl.load(f"{MIXED}@5k").id == f"{MIXED}@5k"


@pytest.mark.slow
def test_a_prefix_of_the_whole_dataset_is_the_one_collected_alone(
    mixed: collector.Collected, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATUMRL_HOME", str(tmp_path))
    whole = collector.collect(catalogue.find(MIXED), workers=2)
    assert len(whole.episodes) >= 100_000
    loaded = datumrl.load(f"{MIXED}@12k")
    for name in prepared.COLUMNS:
        np.testing.assert_array_equal(getattr(loaded, name), getattr(mixed.episodes, name))


def test_the_recipe_is_the_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = recipes.recipe_for(catalogue.find(MIXED))
    assert recipe.sha256 == recipes.recipe_for(catalogue.find(f"{MIXED}@12k")).sha256
    assert recipe.sha256 != replace(recipe, seed=recipe.seed + 1).sha256
    assert recipe.sha256 != replace(recipe, parts=recipe.parts[:2]).sha256
    here = recipe.sha256
    monkeypatch.setattr(recipes.provenance, "engine_versions", lambda *_: {"mujoco": "4.0"})
    assert recipe.sha256 != here


# --- What is there already, and what was cut off ---


def tamper_column(folder: Path) -> None:
    column = np.load(folder / "rewards.npy", mmap_mode="r+")
    column[7] = 5.0
    column.flush()


def tamper_recipe(folder: Path) -> None:
    origin = prepared.provenance(folder)
    origin["recipe"]["engine"]["mujoco"] = "2.3.7"
    prepared.amend_provenance(folder, {**origin, "recipe_sha256": "0" * 64})


@pytest.mark.parametrize(
    ("tamper", "message"),
    [
        (tamper_column, "its content has changed; use --force"),
        (tamper_recipe, r"another recipe \(engine .*2\.3\.7.* there, .*--force"),
    ],
)
def test_what_is_there_is_verified_and_force_makes_it_again(
    tamper: Callable[[Path], None],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATUMRL_HOME", str(tmp_path))
    record = catalogue.find("local/inverted-pendulum-expert-v1@100")
    first = content(collector.collect(record).folder)
    folder = places.local_folder(record)
    tamper(folder)
    with pytest.raises(DatumrlError, match=message):
        collector.collect(record)
    assert collector.collect(record, force=True).made
    assert content(folder) == first


def test_the_end_of_a_collection_that_was_killed_is_made_up_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATUMRL_HOME", str(tmp_path))
    record = catalogue.find("local/inverted-pendulum-expert-v1@100")
    folder = collector.collect(record).folder
    made = {path: path.read_bytes() for path in folder.iterdir()}
    (folder / "CARD.md").unlink()
    (folder / ".CARD.md.half.tmp").write_text("half")
    made_of = f"{recipes.recipe_for(record).sha256[:12]}.{provenance.arithmetic_digest()}"
    chunks = folder.with_name(f".inverted-pendulum-expert-v1@100.{made_of}.chunks")
    chunks.mkdir()
    (chunks / "part-000-chunk-00000.npz").write_bytes(b"")
    assert not collector.collect(record).made
    assert {path: path.read_bytes() for path in folder.iterdir()} == made
    assert list(folder.parent.iterdir()) == [folder]


@pytest.mark.parametrize("damage", [b"", b"no archive", "cut", "flipped"])
def test_a_damaged_piece_of_an_earlier_start_is_made_again(
    damage: bytes | str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipes.recipe_for(catalogue.find("local/inverted-pendulum-random-v1"))
    recipe = replace(recipe, stream_rows=20, lanes=2)
    rows = collector._make(recipe, 0, 0, tmp_path)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    if damage == "cut":
        damage = whole[: len(whole) // 2]
    elif damage == "flipped":
        place = whole.index(b"observations") + 300
        damage = whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :]
    assert isinstance(damage, bytes)
    path.write_bytes(damage)
    assert collector._make(recipe, 0, 0, tmp_path) == rows
    with np.load(path) as found, np.load(io.BytesIO(whole)) as expected:
        for name in expected.files:
            np.testing.assert_array_equal(found[name], expected[name])


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in tasks.read_text().split()] if tasks.exists() else []


def running(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_collection_goes_on_where_it_was(
    workers: int, mixed: collector.Collected, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATUMRL_HOME", str(tmp_path))
    command = [sys.executable, "-m", "datumrl.scripts.main", "collect", MIXED]
    process = subprocess.Popen(
        [*command, "--workers", str(workers)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while len(done := list(tmp_path.rglob("*chunk-*.npz"))) < 2:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    helpers = children(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not places.local_folder(catalogue.find(MIXED)).exists()
    while any(running(pid) for pid in helpers):
        assert time.monotonic() < deadline, "workers outlive the process that started them"
        time.sleep(0.05)
    stamps = {path: path.stat().st_mtime_ns for path in done}

    kept: list[dict[Path, int]] = []

    def look(made: int, planned: int) -> None:
        kept.append({path: path.stat().st_mtime_ns for path in stamps})

    whole = collector.collect(catalogue.find(MIXED), progress=look)
    assert kept[-1] == stamps  # what was finished was not made again
    for name in prepared.COLUMNS:
        beginning = whole.episodes.prefix(12_000)
        np.testing.assert_array_equal(getattr(beginning, name), getattr(mixed.episodes, name))
    assert [entry.name for entry in (tmp_path / "local").iterdir()] == [whole.folder.name]


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs process groups")
@pytest.mark.parametrize(
    ("to", "code", "message"),
    [
        ("all", 130, "interrupted; what is done is kept"),
        ("a worker", 2, "a worker was killed (is memory short?)"),
    ],
)
def test_an_end_before_the_end_is_told_in_one_line(
    to: str, code: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATUMRL_HOME", str(tmp_path))
    process = subprocess.Popen(
        [sys.executable, "-m", "datumrl.scripts.main", "collect", MIXED, "--workers", "2"],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while len(list(tmp_path.rglob("*chunk-*.npz"))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    if to == "all":  # as a terminal does
        os.killpg(process.pid, signal.SIGINT)
    else:
        os.kill(max(children(process.pid)), signal.SIGKILL)
    _, told = process.communicate(timeout=60)
    assert process.returncode == code
    assert message in told
    assert "Traceback" not in told


@pytest.mark.skipif(os.name != "posix", reason="needs file size limits")
def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path) -> None:
    """A limit on the size of any file stands for a disk that is full (both end in OSError)."""
    script = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from datumrl.scripts.main import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "sys.exit(main(['collect', 'local/inverted-pendulum-expert-v1@100']))\n"
    )
    environment = {**os.environ, "DATUMRL_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode != 0
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("dataset", "options", "message"),
    [
        ("d4rl/hopper-medium-v2", {}, "datumrl fetch d4rl/hopper-medium-v2"),
        (f"{MIXED}@1M", {}, "has 100000 transitions; ask for fewer"),
        (MIXED, {"workers": 0}, "0 workers"),
    ],
)
def test_what_cannot_be_collected_says_why(
    dataset: str, options: dict, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATUMRL_HOME", str(tmp_path))
    with pytest.raises(DatumrlError, match=message):
        collector.collect(catalogue.find(dataset), **options)
    assert not list(tmp_path.iterdir())
